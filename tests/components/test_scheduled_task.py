"""A schedule that runs a task directly: its target, its grants, its dead letters."""

import json
from datetime import UTC, datetime
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
        "roleArn": f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/hello-schedule-1a2b3c4",
        "deadLetterConfig": {"arn": QUEUE_ARN},
        "retryPolicy": {"maximumEventAgeInSeconds": 3600, "maximumRetryAttempts": 185},
        "ecsParameters": {
            **RUN_AS_PLACED,
            "group": "schedule:hello",
            "taskCount": 3,
            "tags": {"batch-trigger": "schedule-hello"},
        },
    }


def test_commands_and_environment_reach_the_container_unchanged() -> None:
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


def test_placeholders_become_those_of_scheduler() -> None:
    said = ["<scheduledTime> <executionName>", "<aws.scheduler.attempt-number>", "<<b>"]
    recording = scheduled(commands=said, environment={"A": "<scheduledTime>"})
    target = one(recording.resources, type="Schedule").inputs["target"]
    [override] = json.loads(target["input"])["containerOverrides"]
    assert override["command"] == [
        "<aws.scheduler.scheduled-time> <aws.scheduler.execution-id>",
        "<aws.scheduler.attempt-number>",
        "<b>",
    ]
    assert override["environment"] == [{"name": "A", "value": "<aws.scheduler.scheduled-time>"}]


def test_it_may_run_this_task_and_write_dead_letters() -> None:
    recording = scheduled()
    policy = one(recording.resources, type="RolePolicy", name="hello-schedule")
    assert policy.document("policy") == allows(*RUN_TASK)
    role = one(recording.resources, type="Role", name="hello-schedule")
    assert role.document("assumeRolePolicy") == trusts(
        "scheduler.amazonaws.com", ArnEquals={"aws:SourceArn": GROUP}
    )
    queue = one(recording.resources, type="Queue")
    assert queue.document("policy") == queue_policy(
        role=f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/hello-schedule-1a2b3c4"
    )
    assert policy.urn in one(recording.resources, type="Schedule").depends_on


@pytest.mark.parametrize("preview", [False, True])
def test_its_children_are_its_own(*, preview: bool) -> None:
    assert names(scheduled(preview=preview), "ScheduledTask") == {
        ("Queue", "hello-dead-letters"),
        ("Role", "hello-schedule"),
        ("RolePolicy", "hello-schedule"),
        ("Schedule", "hello"),
    }


def test_it_puts_out_its_schedule() -> None:
    assert outputs(scheduled(), "ScheduledTask") == {
        "schedule_arn": f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/stack/hello-1a2b3c4",
        "dead_letter_queue_name": "hello-dead-letters-1a2b3c4",
    }


def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2026, 6, 15, 12, tzinfo=UTC)
    monkeypatch.setattr("components._schedule.now", lambda: noon)


def schedule_args(**more: str) -> Any:  # noqa: ANN401 ScheduleArgs
    return {**SCHEDULE, **more}


@pytest.mark.parametrize(
    ("start", "sent"),
    [("2026-06-15T12:00:01Z", "2026-06-15T12:00:01Z"), ("2026-06-15T12:00:00Z", None)],
)
def test_a_start_is_sent_until_it_is_over(
    monkeypatch: pytest.MonkeyPatch, start: str, sent: str | None
) -> None:
    at_noon(monkeypatch)
    recording = scheduled(schedule=schedule_args(start=start))
    assert one(recording.resources, type="Schedule").inputs.get("startDate") == sent


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ({"expression": "at(2026-06-15T12:00:00)"}, "at(2026-06-15T12:00:00) is over"),
        (
            {"expression": "at(2026-06-15T20:59:59)", "timezone": "Asia/Tokyo"},
            "at(2026-06-15T20:59:59) is over",
        ),
        ({"expression": "cron(0 10 * * ? 2024-2025)"}, "the year 2024-2025 is over"),
        ({"end": "2026-06-15T12:00:00Z"}, "it ended at 2026-06-15T12:00:00Z"),
    ],
)
def test_a_schedule_that_can_never_fire_again_is_left_out_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, when: dict[str, str], reason: str, *, preview: bool
) -> None:
    at_noon(monkeypatch)
    warned: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", warned.append)
    recording = scheduled(schedule=schedule_args(**when), preview=preview)
    assert [r for r in recording.resources if r.type.endswith(":Schedule")] == []
    [warning] = warned
    assert warning == (
        f"The schedule hello is left out, as it can never fire again: {reason}. "
        "Give it another time, or remove it."
    )
    # What it could not start in its time is still in its queue.
    assert one(recording.resources, type="Queue").name == "hello-dead-letters"
    assert outputs(recording, "ScheduledTask")["schedule_arn"] == ""


@pytest.mark.parametrize(
    "when",
    [
        {"expression": "at(2026-06-15T12:00:01)"},
        {"expression": "at(2026-06-15T21:00:01)", "timezone": "Asia/Tokyo"},
        {"expression": "cron(0 10 * * ? 2024-2026)"},
        {"expression": "cron(0 10 * * ? *)", "end": "2026-06-15T12:00:01Z"},
    ],
)
def test_a_schedule_that_can_still_fire_is_made(
    monkeypatch: pytest.MonkeyPatch, when: dict[str, str]
) -> None:
    at_noon(monkeypatch)
    one(scheduled(schedule=schedule_args(**when)).resources, type="Schedule")
