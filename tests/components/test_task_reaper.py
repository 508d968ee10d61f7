"""The reaper: which tasks it waits for, until when, and what it may do."""

from typing import Any

import pytest

from components import TaskReaper
from tests.components.expressions import choose, evaluate
from tests.components.parts import CLUSTER, LOG_DELIVERY, TASKS, allows, queue_policy, trusts
from tests.recorder import ACCOUNT, REGION, Recording, deploy, one

FAMILIES = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/fargate-batch-dev-job-"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:fargate-batch-dev-reaper-reaper"
RULE = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/reaper-1a2b3c4"
TASK = TASKS.replace("*", "0123")


def reaper() -> Recording:
    timeouts = {"ingest": 60, "report": 7200}
    return deploy(lambda: TaskReaper("reaper", {"cluster_arn": CLUSTER, "timeouts": timeouts}))


STATES: dict[str, Any] = one(reaper().resources, type="StateMachine").document("definition")[
    "States"
]


def test_it_logs_to_a_group_of_its_own_where_it_is_given_none() -> None:
    group = one(reaper().resources, type="LogGroup").inputs
    name = "/aws/vendedlogs/states/fargate-batch-dev-reaper-reaper"
    assert group == {"name": name, "retentionInDays": 30}
    logged = one(reaper().resources, type="StateMachine").inputs["loggingConfiguration"]
    assert logged["logDestination"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"


def running(family: str, **detail: object) -> dict[str, Any]:
    task = {"taskArn": TASK, "taskDefinitionArn": f"{FAMILIES}{family}:3"}
    return {
        "time": "2030-01-01T00:00:09Z",
        "detail": {**task, "startedAt": "2030-01-01T00:00:05.500Z", **detail},
    }


def test_its_rule_takes_running_tasks_that_a_rule_or_a_schedule_started() -> None:
    assert one(reaper().resources, type="EventRule").document("eventPattern") == {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "clusterArn": [CLUSTER],
            "lastStatus": ["RUNNING"],
            "desiredStatus": ["RUNNING"],
            "startedBy": [{"prefix": "events-rule/"}, {"prefix": "chronos-schedule/"}],
            "taskDefinitionArn": [{"prefix": FAMILIES}],
        },
    }


@pytest.mark.parametrize(
    ("family", "until", "seconds"),
    [
        ("ingest", "2030-01-01T00:01:05.500Z", 60),
        ("report", "2030-01-01T02:00:05.500Z", 7200),
        ("taken-out-of-the-stack", "2030-01-01T02:00:05.500Z", 7200),
    ],
)
def test_it_waits_for_the_timeout_of_the_tasks_job(family: str, until: str, seconds: int) -> None:
    assert evaluate(STATES["Wait"]["Timestamp"], input=running(family)) == until
    assert evaluate(STATES["Wait"]["Assign"], input=running(family)) == {
        "task": TASK,
        "seconds": seconds,
    }


def test_an_event_without_the_start_counts_from_the_event() -> None:
    event = running("ingest")
    del event["detail"]["startedAt"]
    assert evaluate(STATES["Wait"]["Timestamp"], input=event) == "2030-01-01T00:01:09.000Z"


def test_it_stops_the_task_with_a_reason_that_the_log_of_task_events_knows() -> None:
    assert evaluate(STATES["StopTask"]["Arguments"], task=TASK, seconds=60) == {
        "Cluster": CLUSTER,
        "Task": TASK,
        "Reason": "Timed out after 60 seconds",
    }


def test_a_task_that_is_gone_is_no_failure_and_any_other_refusal_is_one() -> None:
    def after(cause: str) -> str:
        failure = {"Error": "Ecs.InvalidParameterException", "Cause": cause}
        return choose(STATES["IsGone"], failure=failure)[0]

    assert [one["ErrorEquals"] for one in STATES["StopTask"]["Catch"]] == [
        ["Ecs.InvalidParameterException"]
    ]
    assert after("The referenced task was not found.") == "Done"
    assert after("Invalid identifier") == "Failed"


def test_it_may_stop_tasks_of_the_cluster_and_its_rule_may_start_it() -> None:
    resources = reaper().resources
    own = one(resources, type="RolePolicy", name="reaper-reaper")
    assert own.document("policy") == allows(
        {"Effect": "Allow", "Action": "ecs:StopTask", "Resource": TASKS}, LOG_DELIVERY
    )
    rule = one(resources, type="RolePolicy", name="reaper-rule")
    assert rule.document("policy") == allows(
        {"Effect": "Allow", "Action": "states:StartExecution", "Resource": MACHINE}
    )
    role = one(resources, type="Role", name="reaper-rule")
    assert role.document("assumeRolePolicy") == trusts(
        "events.amazonaws.com", ArnEquals={"aws:SourceArn": RULE}
    )


def test_an_event_that_cannot_be_delivered_is_kept() -> None:
    resources = reaper().resources
    target = one(resources, type="EventTarget").inputs
    assert target["arn"] == MACHINE
    assert target["deadLetterConfig"] == {
        "arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:reaper-dead-letters-1a2b3c4"
    }
    assert target["retryPolicy"] == {
        "maximumEventAgeInSeconds": 86_400,
        "maximumRetryAttempts": 185,
    }
    assert one(resources, type="Queue").document("policy") == queue_policy(RULE)
