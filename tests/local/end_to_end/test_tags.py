"""Tags of jobs and triggers, from the YAML to the tasks, however these are started."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Cloud
from local.engine.project import load
from local.services.scheduler import schedules
from tests.local import stacks
from tests.local.probe import IMAGE, eventually, write_image
from tests.local.programs import ROOT

pytestmark = pytest.mark.slow

CONFIG: Mapping[str, Any] = {
    "protect": False,
    "image": IMAGE,
    "jobs": {"load": {"tags": {"team": "sales", "cost-center": "42"}}},
    "uploads": {
        "straight": {"job": "load", "prefix": "in/", "via": "task", "tags": {"feed": "orders"}}
    },
    "pipelines": {
        "series": {
            "schedule": "cron(0 0 L 2 ? *)",
            "steps": [{"job": "load"}],
            "tags": {"部門": "経理"},
        }
    },
    "schedules": {
        "hourly": {"job": "load", "schedule": "cron(0 0 L 2 ? *)", "tags": {"team": "batch"}}
    },
}


def test_a_task_has_the_tags_of_its_job_and_of_what_started_it(tmp_path: Path) -> None:
    write_image(tmp_path / "probe")
    with stacks.deployed(CONFIG, tmp_path / "probe", wait_scale=0.01) as (cloud, made):
        outputs = made.outputs
        machines = cloud.client("stepfunctions")
        machines.start_execution(
            stateMachineArn=outputs["jobs"]["load"]["stateMachineArn"],
            input='{"tags": {"asked-by": "hand"}}',
        )
        machines.start_execution(stateMachineArn=outputs["pipelines"]["series"]["stateMachineArn"])
        cloud.client("s3").put_object(Bucket=outputs["uploadBucket"], Key="in/a", Body=b"a")
        schedules.fire(outputs["schedules"]["hourly"])
        tags = eventually(lambda: _tags(cloud, outputs["clusterArn"]))
    of_job = {
        **load(ROOT, "dev").default_tags,
        "batch-job": "load",
        "team": "sales",
        "cost-center": "42",
    }
    assert tags == {
        "schedule-hourly": of_job | {"team": "batch"},
        "upload-straight": of_job | {"feed": "orders"},
        "fargate-batch-dev-pipeline-series": of_job | {"部門": "経理"},
        "hand": of_job | {"asked-by": "hand"},
    }


def _tags(cloud: Cloud, cluster: str) -> dict[str, dict[str, str]] | None:
    """The other tags of the four tasks, by their trigger's; None before all are there."""
    ecs = cloud.client("ecs")
    # A task that stops between the two calls is in both answers.
    arns = {
        arn
        for status in ("RUNNING", "STOPPED")
        for arn in ecs.list_tasks(cluster=cluster, desiredStatus=status)["taskArns"]
    }
    if not arns:
        return None
    tasks = ecs.describe_tasks(cluster=cluster, tasks=sorted(arns), include=["TAGS"])["tasks"]
    found = [{tag["key"]: tag["value"] for tag in task["tags"]} for task in tasks]
    return {one.pop("batch-trigger"): one for one in found} if len(found) == 4 else None
