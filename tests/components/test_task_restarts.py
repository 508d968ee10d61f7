"""The restarter: which tasks it starts again, how, how often, and what it may do."""

from typing import Any

import pytest

from components import TaskReaper
from tests.components.expressions import check_structure, choose, evaluate
from tests.components.parts import (
    CLUSTER,
    EXECUTION_ROLE,
    LOG_DELIVERY,
    PLACEMENT,
    TASK_ROLE,
    TASKS,
    allows,
    outputs,
    queue_policy,
    trusts,
)
from tests.recorder import ACCOUNT, REGION, Recording, deploy, one

FAMILIES = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/fargate-batch-dev-job-"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:fargate-batch-dev-reaper-restarter"
RULE = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/restarter-1a2b3c4"
TASK = TASKS.replace("*", "0123")
RULE_IN_VAIN = RULE.replace("restarter-", "restarter-restarts-")
NO_ADDRESS = "InsufficientFreeAddressesInSubnet"


def restarter() -> Recording:
    return deploy(
        lambda: TaskReaper(
            "restarter",
            {
                "cluster_arn": CLUSTER,
                "timeouts": {"ingest": 60},
                "placements": {"ingest": PLACEMENT},
                "task_role_arns": [EXECUTION_ROLE, TASK_ROLE],
            },
        )
    )


RECORDED = restarter()
DEFINITION: dict[str, Any] = one(RECORDED.resources, type="StateMachine").document("definition")
STATES: dict[str, Any] = DEFINITION["States"]


def stopped(reason: str | None = NO_ADDRESS, **detail: object) -> dict[str, Any]:
    task = {
        "taskArn": TASK,
        "clusterArn": CLUSTER,
        "taskDefinitionArn": f"{FAMILIES}ingest:3",
        "capacityProviderName": "FARGATE_SPOT",
        "platformVersion": "1.4.0",
        "group": "schedule:hello",
        "startedBy": "chronos-schedule/hello-1a2b3c4",
        "stopCode": "TaskFailedToStart",
        "stoppedReason": reason,
        "containers": [{"name": "ingest"}, {"name": "router", "reason": "r"}],
        "overrides": {"containerOverrides": [{"name": "ingest"}]},
    }
    return {"detail": {**task, **detail}}


def test_its_rule_takes_tasks_that_a_rule_or_a_schedule_started_in_vain() -> None:
    assert one(RECORDED.resources, type="EventRule", name="restarter-restarts").document(
        "eventPattern"
    ) == {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "clusterArn": [CLUSTER],
            "lastStatus": ["STOPPED"],
            "stopCode": ["TaskFailedToStart"],
            "startedBy": [{"prefix": "events-rule/"}, {"prefix": "chronos-schedule/"}],
            "taskDefinitionArn": [{"prefix": FAMILIES}],
        },
    }


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (stopped(), "BackOff"),
        (stopped(startedBy="events-rule/in-1a2b3c4/4"), "BackOff"),
        (stopped(startedBy="events-rule/in-1a2b3c4/5"), "Done"),
        (stopped("CannotPullContainerError: not found"), "Done"),
        (
            stopped("", containers=[{"name": "ingest", "reason": "429 Too Many Requests"}]),
            "BackOff",
        ),
        (stopped(None, containers=[]), "Done"),
        (stopped(taskDefinitionArn=f"{FAMILIES}taken-out:1"), "Done"),
        (stopped(stopCode="EssentialContainerExited"), "Done"),
        (stopped(lastStatus="RUNNING"), "Wait"),
    ],
    ids=str,
)
def test_what_may_start_later_is_started_again_a_bounded_number_of_times(
    event: dict[str, Any], state: str
) -> None:
    assert choose(STATES["Read"], input=event)[0] == state


def test_the_task_is_started_as_it_was() -> None:
    overrides = [
        {
            "name": "ingest",
            "command": ['a "b"'],
            "environment": [{"name": "A", "value": "  {% 1 %}"}],
        },
        {"name": "router", "environment": []},
    ]
    event = stopped(overrides={"containerOverrides": overrides})
    _, told = choose(STATES["Read"], input=event)
    assert (told["task"], told["restarts"], told["refusals"]) == (TASK, 0, 0)
    assert evaluate(STATES["RunTask"]["Arguments"], **told) == {
        "Cluster": CLUSTER,
        "TaskDefinition": f"{FAMILIES}ingest:3",
        "CapacityProviderStrategy": [{"CapacityProvider": "FARGATE_SPOT", "Weight": 1}],
        "PlatformVersion": "1.4.0",
        "Group": "schedule:hello",
        "NetworkConfiguration": {
            "AwsvpcConfiguration": {
                "Subnets": ["subnet-1", "subnet-2"],
                "SecurityGroups": ["sg-1"],
                "AssignPublicIp": "ENABLED",
            }
        },
        "Overrides": {
            "ContainerOverrides": [
                {
                    "Name": "ingest",
                    "Command": ['a "b"'],
                    "Environment": [{"Name": "A", "Value": "  {% 1 %}"}],
                },
                {"Name": "router", "Environment": []},
            ]
        },
        "PropagateTags": "TASK_DEFINITION",
        "StartedBy": "chronos-schedule/hello-1a2b3c4/1",
        "ClientToken": "0123",
    }
    _, again = choose(STATES["Read"], input=stopped(startedBy="events-rule/in-1a2b3c4/4"))
    assert again["request"]["StartedBy"] == "events-rule/in-1a2b3c4/5"


def test_it_waits_longer_each_time() -> None:
    for restarts, refusals, most in ((0, 0, 15), (2, 0, 60), (0, 2, 60), (4, 5, 300)):
        given: dict[str, Any] = {"restarts": restarts, "refusals": refusals}
        waits = [evaluate(STATES["BackOff"]["Seconds"], **given) for _ in range(50)]
        assert 0 < min(waits) < max(waits) <= most


def test_a_start_that_is_refused_with_an_answer_is_repeated_and_at_last_told() -> None:
    def answered(*failures: dict[str, str]) -> list[str]:
        result = {"Tasks": [], "Failures": list(failures)}
        return evaluate(STATES["RunTask"]["Assign"], result=result)["failures"]

    assert choose(STATES["IsStarted"], failures=answered())[0] == "Done"
    refused = answered({"Reason": "Capacity is unavailable at this time"})
    assert choose(STATES["IsStarted"], failures=refused)[0] == "IsRefusedForGood"
    repeated = choose(STATES["IsRefusedForGood"], refusals=4)
    assert repeated == ("BackOff", {"refusals": 5})
    assert choose(STATES["IsRefusedForGood"], refusals=5)[0] == "NotStarted"
    assert evaluate(STATES["NotStarted"]["Cause"], task=TASK, failures=refused) == (
        f"The task {TASK} never started, and could not be started again: "
        "Capacity is unavailable at this time"
    )
    caught = STATES["RunTask"]["Catch"][0]
    told = evaluate(caught["Assign"], error={"Error": "E", "Cause": "not allowed"})
    assert (caught["Next"], told) == ("NotStarted", {"failures": ["not allowed"]})


def test_the_definition_holds_together() -> None:
    check_structure(DEFINITION)


def test_it_may_run_the_stacks_tasks_in_its_cluster_and_nothing_else() -> None:
    policy = one(RECORDED.resources, type="RolePolicy", name="restarter-reaper")
    stop, run, tag, pass_, log = policy.document("policy")["Statement"]
    assert stop == {"Effect": "Allow", "Action": "ecs:StopTask", "Resource": TASKS}
    assert run == {
        "Effect": "Allow",
        "Action": "ecs:RunTask",
        "Resource": f"{FAMILIES}*:*",
        "Condition": {"ArnEquals": {"ecs:cluster": CLUSTER}},
    }
    assert (tag["Action"], tag["Resource"]) == ("ecs:TagResource", TASKS)
    assert pass_["Action"] == "iam:PassRole"
    assert pass_["Resource"] == [
        f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/*",
        EXECUTION_ROLE,
        TASK_ROLE,
    ]
    assert log == LOG_DELIVERY
    role = one(RECORDED.resources, type="Role", name="restarter-reaper")
    assert role.document("assumeRolePolicy") == trusts(
        "states.amazonaws.com", ArnLike={"aws:SourceArn": f"{MACHINE}*"}
    )
    assert one(RECORDED.resources, type="RolePolicy", name="restarter-rule").document(
        "policy"
    ) == allows({"Effect": "Allow", "Action": "states:StartExecution", "Resource": MACHINE})


def test_an_event_that_cannot_be_delivered_waits_in_its_queue() -> None:
    queue = one(RECORDED.resources, type="Queue")
    assert queue.document("policy") == queue_policy([RULE, RULE_IN_VAIN])
    assert outputs(RECORDED, "TaskReaper") == {
        "rule_name": "restarter-1a2b3c4",
        "restart_rule_name": "restarter-restarts-1a2b3c4",
        "dead_letter_queue_name": queue.name + "-1a2b3c4",
    }
