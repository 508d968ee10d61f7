"""What executions under way take stays granted: a second update of parts, with no cloud behind."""

import json
import re
from pathlib import Path
from typing import Any

from local.engine.deployment import Deployment
from local.engine.monitor import DryProvider, update
from tests.local.programs import REGION, write_project

PROGRAM = """
import pulumi
from components import Backfills, BatchStateMachine, FargateJob, ScheduledPipeline

place = {"cluster_arn": "arn:aws:ecs:r:a:cluster/c", "subnet_ids": [], "security_group_ids": []}
args = {"image": "i:1", "execution_role_arn": SHARED, "secrets": SECRETS}
job = FargateJob("ingest", args)
machine = BatchStateMachine("ingest", {"task": job.task, "placement": place})
steps = [[{"job": "ingest", "state_machine_arn": machine.state_machine_arn}]]
ScheduledPipeline("nightly", {"steps": steps, "role_arn": SHARED})
bucket = "mine" if SHARED else "other"
Backfills("fill", {"bucket_name": bucket, "bucket_arn": f"arn:aws:s3:::{bucket}"})
"""
OWN = ('SHARED, SECRETS = None, {"TOKEN": "arn:aws:ssm:r:a:parameter/token"}', PROGRAM)
SHARED = ('SHARED, SECRETS = "arn:aws:iam::a:role/shared", {}', PROGRAM)


def test_what_is_under_way_keeps_the_roles_and_grants_of_before(tmp_path: Path) -> None:
    deployment, provider = Deployment(), DryProvider(REGION)

    def deployed(*lines: str) -> dict[str, Any]:
        update(write_project(tmp_path, "\n".join(lines)), deployment, provider)
        return {one.urn.partition("aws:")[2]: one.inputs for one in deployment.states.values()}

    def granted(parts: dict[str, Any], name: str) -> list[tuple[str, object]]:
        policy = json.loads(parts[f"iam/rolePolicy:RolePolicy::{name}"]["policy"])
        return [(one["Sid"], one["Action"]) for one in policy["Statement"] if "Sid" in one]

    first = deployed(*SHARED)
    assert "iam/role:Role::ingest-execution" not in first
    own = deployed(*OWN)
    # The role of the task definition of before is passed as long as it may be started.
    assert granted(own, "ingest-job") == [("Before0", "iam:PassRole")]
    # A map goes on for days, and writes what came of it at its end.
    [(_, actions)] = granted(own, "fill-backfill")
    assert "s3:PutObject" in str(actions)
    back = deployed(*SHARED)
    assert {"iam/role:Role::ingest-execution", "iam/role:Role::nightly-pipeline"} <= back.keys()
    assert granted(back, "ingest-execution") == [("Before0", "ssm:GetParameters")]
    assert deployed(*SHARED) == back


JOB = """
from components import FargateJob

FargateJob("ingest", {"image": "i:1", "execution_role_arn": "arn:aws:iam::a:role/shared", **MORE})
"""
FILES = {"file_system_id": "fs-1", "container_path": "/mnt"}
MORE = {
    "source_bucket_arns": ["arn:aws:s3:::in", "arn:aws:s3:::in-other"],
    "volumes": {"data": FILES},
    "policies": [{"actions": ["sqs:SendMessage"], "resources": ["arn:aws:sqs:r:a:q"]}],
}
LESS = {
    "source_bucket_arns": ["arn:aws:s3:::in-other"],
    "policies": [{"actions": ["sqs:SendMessage"], "resources": ["arn:aws:sqs:r:a:other"]}],
}


def policy_of(deployment: Deployment, role: str) -> dict[str, Any]:
    """What a role may do, by its name."""
    [policy] = [
        json.loads(one.inputs["policy"])
        for one in deployment.states.values()
        if one.urn.endswith(f"aws:iam/rolePolicy:RolePolicy::{role}")
    ]
    return policy


def test_a_task_of_before_still_reads_and_mounts_but_a_jobs_own_rights_end_at_once(
    tmp_path: Path,
) -> None:
    deployment, provider = Deployment(), DryProvider(REGION)

    def granted(more: object) -> list[tuple[str, object]]:
        program = f"MORE = {more!r}\n{JOB}"
        update(write_project(tmp_path, program), deployment, provider)
        policy = policy_of(deployment, "ingest-task")
        return [(one.get("Sid", ""), one["Resource"]) for one in policy["Statement"]]

    mounted = "arn:aws:elasticfilesystem:ap-northeast-1:123456789012:file-system/fs-1"
    assert granted(MORE)[-2:] == [("", mounted), ("AtOnce0", ["arn:aws:sqs:r:a:q"])]
    assert granted(LESS)[2:] == [
        ("AtOnce0", ["arn:aws:sqs:r:a:other"]),
        ("Before0", ["arn:aws:s3:::in"]),
        ("Before1", ["arn:aws:s3:::in/*"]),
        ("Before2", mounted),
    ]
    assert granted({**LESS, "policies": []})[2:] == granted(LESS)[3:]


ROLES = """
from components import TriggerRoles

TriggerRoles(
    "roles",
    {
        "uploads": JOBS,
        "uploaded_pipelines": not JOBS,
        "pipelines": True,
        "schedule_group_arn": "arn:aws:scheduler:r:a:schedule-group/g",
        "cluster_arn": "arn:aws:ecs:r:a:cluster/c",
    },
)
"""


def test_an_upload_is_delivered_until_its_rule_points_elsewhere(tmp_path: Path) -> None:
    deployment, provider = Deployment(), DryProvider(REGION)
    granted = list[list[tuple[str, str]]]()
    for jobs in (True, False, True):
        program = f"JOBS = {jobs}\n{ROLES}"
        update(write_project(tmp_path, program), deployment, provider)
        policy = policy_of(deployment, "roles-uploads")
        statements = policy["Statement"]
        granted.append(
            [(one.get("Sid", ""), one["Resource"].rpartition("dev-")[2]) for one in statements]
        )
    assert granted == [
        [("", "job-*")],
        [("", "pipeline-*"), ("Before0", "job-*")],
        [("", "job-*"), ("Before0", "pipeline-*")],
    ]


LIMITED = """
from components import BatchStateMachine, FargateJob

place = {"cluster_arn": "arn:aws:ecs:r:a:cluster/c", "subnet_ids": [], "security_group_ids": []}
job = FargateJob("ingest", {"image": "i:1", "execution_role_arn": "arn:aws:iam::a:role/shared"})
BatchStateMachine("ingest", {"task": job.task, "placement": place, "max_concurrency": LIMIT})
"""


def test_who_waits_for_a_permit_gets_one_when_there_is_no_limit_any_more(tmp_path: Path) -> None:
    deployment, provider = Deployment(), DryProvider(REGION)

    def limit_of(limit: int | None) -> str | None:
        program = f"LIMIT = {limit}\n{LIMITED}"
        update(write_project(tmp_path, program), deployment, provider)
        below = [one for one in deployment.states.values() if "ConcurrencyLimit$" in one.urn]
        machines = [one for one in below if one.type == "aws:sfn/stateMachine:StateMachine"]
        if not machines:
            assert below == []
            return None
        [permits] = set(re.findall(r'":limit": {"N": "(\d+)"}', machines[0].inputs["definition"]))
        return permits

    assert [limit_of(one) for one in (2, None, None)] == ["2", "1000", None]
    assert [limit_of(one) for one in (2, None, 3)] == ["2", "1000", "3"]
