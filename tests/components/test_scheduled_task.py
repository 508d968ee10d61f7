"""A schedule that runs a task directly: its target, its grants, its dead letters."""

from typing import Any

import pytest

from components import ScheduledTask, ScheduledTaskArgs
from tests.components.parts import (
    CLUSTER,
    GROUP,
    PLACEMENT,
    RUN_AS_PLACED,
    RUN_TASK,
    SCHEDULE,
    TASK,
    allows,
    names,
    outputs,
    queue_policy,
    trusts,
)
from tests.recorder import ACCOUNT, REGION, Recording, deploy, one

QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:hello-dead-letters-1a2b3c4"


def scheduled(*, preview: bool = False, **more: Any) -> Recording:  # noqa: ANN401 any key of the Args
    args: ScheduledTaskArgs = {"schedule": SCHEDULE, "task": TASK, "placement": PLACEMENT}
    merged: Any = {**args, **more}
    return deploy(lambda: ScheduledTask("hello", merged), preview=preview)


def test_the_schedule_runs_the_task_as_placed() -> None:
    schedule = one(scheduled(count=3).resources, type="Schedule")
    assert schedule.inputs["target"].pop("input") == (
        '{"containerOverrides": [{"name": "ingest"}]}'
    )
    assert schedule.inputs["target"] == {
        "arn": CLUSTER,
        "roleArn": f"arn:aws:iam::{ACCOUNT}:role/hello-schedule-1a2b3c4",
        "deadLetterConfig": {"arn": QUEUE_ARN},
        "retryPolicy": {"maximumEventAgeInSeconds": 3600, "maximumRetryAttempts": 185},
        "ecsParameters": {**RUN_AS_PLACED, "taskCount": 3},
    }


def test_commands_and_environment_reach_the_container_unchanged() -> None:
    import json

    recording = scheduled(commands=['"', "{% 1 %}", "取込"], environment={"B": "2", "A": ""})
    target = one(recording.resources, type="Schedule").inputs["target"]
    assert json.loads(target["input"]) == {
        "containerOverrides": [
            {
                "name": "ingest",
                "command": ['"', "{% 1 %}", "取込"],
                "environment": [{"name": "A", "value": ""}, {"name": "B", "value": "2"}],
            }
        ]
    }


def test_it_may_run_this_task_and_write_dead_letters() -> None:
    recording = scheduled()
    policy = one(recording.resources, type="RolePolicy", name="hello-schedule")
    assert policy.document("policy") == allows(
        *RUN_TASK, {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE_ARN}
    )
    role = one(recording.resources, type="Role", name="hello-schedule")
    assert role.document("assumeRolePolicy") == trusts(
        "scheduler.amazonaws.com", ArnEquals={"aws:SourceArn": GROUP}
    )
    queue = one(recording.resources, type="QueuePolicy")
    assert queue.document("policy") == queue_policy("hello-dead-letters-1a2b3c4", None)
    assert policy.urn in one(recording.resources, type="Schedule").depends_on


@pytest.mark.parametrize("preview", [False, True])
def test_its_children_are_its_own(*, preview: bool) -> None:
    assert names(scheduled(preview=preview), "ScheduledTask") == {
        ("Queue", "hello-dead-letters"),
        ("QueuePolicy", "hello-dead-letters"),
        ("Role", "hello-schedule"),
        ("RolePolicy", "hello-schedule"),
        ("Schedule", "hello"),
    }


def test_it_puts_out_its_schedule() -> None:
    assert outputs(scheduled(), "ScheduledTask") == {
        "schedule_arn": f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/stack/hello-1a2b3c4",
        "dead_letter_queue_name": "hello-dead-letters-1a2b3c4",
    }
