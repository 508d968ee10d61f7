"""What executions under way take stays granted: a second update of parts, with no cloud behind."""

import json
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
