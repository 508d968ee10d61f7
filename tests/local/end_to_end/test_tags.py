"""Tags of jobs and triggers, from the YAML to the tasks, however these are started."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.cloud import Cloud
from local.engine.project import load
from local.services.scheduler import schedules
from tests.local import stacks
from tests.local.probe import IMAGE, eventually, write_image
from tests.local.programs import ROOT

CONFIG: Mapping[str, Any] = {
    "protect": False,
    "image": IMAGE,
    "jobs": {"load": {"tags": {"team": "sales", "cost-center": "42"}}},
    "uploads": {
        "straight": {"job": "load", "prefix": "in/", "via": "task", "tags": {"feed": "orders"}}
    },
    "schedules": {
        "hourly": {"job": "load", "schedule": "cron(0 0 L 2 ? *)", "tags": {"team": "batch"}}
    },
}


def test_a_task_has_the_tags_of_its_job_and_of_what_started_it(tmp_path: Path) -> None:
    write_image(tmp_path / "probe")
    with stacks.deployed(CONFIG, tmp_path / "probe", wait_scale=0.01) as (cloud, made):
        outputs = made.outputs
        cloud.client("stepfunctions").start_execution(
            stateMachineArn=outputs["jobs"]["load"]["stateMachineArn"]
        )
        cloud.client("s3").put_object(Bucket=outputs["uploadBucket"], Key="in/a", Body=b"a")
        schedules.fire(outputs["schedules"]["hourly"])
        tags = eventually(lambda: _tags(cloud, outputs["clusterArn"]), 30)
    of_job = {
        **load(ROOT, "dev").default_tags,
        "batch-job": "load",
        "team": "sales",
        "cost-center": "42",
    }
    triggers = {found.pop("batch-trigger"): found for found in tags.values()}
    assert triggers["schedule-hourly"] == of_job | {"team": "batch"}
    assert triggers["upload-straight"] == of_job | {"feed": "orders"}
    assert tags["execution"] == of_job


def _tags(cloud: Cloud, cluster: str) -> dict[str, dict[str, str]] | None:
    """The tags of the three tasks, by the kind of their group; None before all are there."""
    ecs = cloud.client("ecs")
    arns = [
        arn
        for status in ("RUNNING", "STOPPED")
        for arn in ecs.list_tasks(cluster=cluster, desiredStatus=status)["taskArns"]
    ]
    if not arns:
        return None
    tasks = ecs.describe_tasks(cluster=cluster, tasks=arns, include=["TAGS"])["tasks"]
    found = {
        task["group"].partition(":")[0]: {tag["key"]: tag["value"] for tag in task["tags"]}
        for task in tasks
    }
    return found if len(found) == 3 else None
