"""Scenarios with roles that have just what they use, and each grant taken away in turn."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import ACCOUNT, Cloud
from local.services.iam import iam
from tests.local.machines import CHILD, Machines, run_task
from tests.local.probe import REGION, Stack, eventually

HERE = f"{REGION}:{ACCOUNT}"
PASSED = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
RULE = ["events:PutTargets", "events:PutRule", "events:DescribeRule"]


def make_machine(
    cloud: Cloud, name: str, states: dict[str, Any], *grants: tuple[Any, ...]
) -> tuple[str, str]:
    """A state machine and its role, which trusts it alone."""
    machine = f"arn:aws:states:{HERE}:stateMachine:{name}"
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "states.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": f"{machine}*"},
        },
    }
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition}
        for action, resource, condition in grants
    ]
    version = {"Version": "2012-10-17"}
    client = cloud.client("iam")
    role = client.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps(version | {"Statement": [trust]})
    )["Role"]["Arn"]
    client.put_role_policy(
        RoleName=name,
        PolicyName="uses",
        PolicyDocument=json.dumps(version | {"Statement": statements}),
    )
    definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
    cloud.client("stepfunctions").create_state_machine(
        name=name, roleArn=role, definition=json.dumps(definition)
    )
    return machine, role


def task_machine(cloud: Cloud, stack: Stack, name: str, command: list[str]) -> tuple[str, str]:
    """A machine that runs one task, with exactly the grants for it."""
    definition = stack.define()
    found = cloud.client("ecs").describe_task_definition(taskDefinition=definition)
    document = found["taskDefinition"]
    arn = document["taskDefinitionArn"]
    roles = {document.get("taskRoleArn"), document.get("executionRoleArn")} - {None}
    cluster = f"arn:aws:ecs:{HERE}:cluster/batch"
    tasks = f"arn:aws:ecs:{HERE}:task/batch/*"
    rule = f"arn:aws:events:{HERE}:rule/StepFunctionsGetEventsForECSTaskRule"
    return make_machine(
        cloud,
        name,
        {"Run": run_task(stack, definition, command)},
        ("ecs:RunTask", arn, {"ArnEquals": {"ecs:cluster": cluster}}),
        ("iam:PassRole", sorted(roles), PASSED),
        ("ecs:DescribeTasks", tasks, {}),
        ("ecs:StopTask", tasks, {}),
        (RULE, rule, {}),
    )


def outcome(cloud: Cloud, machine: str) -> tuple[str, str | None]:
    machines = Machines(cloud)
    ended = machines.run(machine)
    return ended["status"], ended.get("error")


def needed(
    role: str, scenario: Callable[[], object], passes: object
) -> dict[tuple[str, int], object]:
    """What becomes of a scenario without each statement of a role; with all of them it passes."""
    assert scenario() == passes
    found: dict[tuple[str, int], object] = {}
    for statement in iam.statements([role]):
        with iam.without(statement):
            found[statement.policy, statement.index] = scenario()
    assert scenario() == passes
    return found


def test_each_grant_of_a_machine_that_runs_a_task_is_needed(cloud: Cloud, stack: Stack) -> None:
    machine, role = task_machine(cloud, stack, "runs", ["exit", "0"])
    refused = ("FAILED", "ECS.AccessDeniedException")
    found = needed(role, lambda: outcome(cloud, machine), ("SUCCEEDED", None))
    assert found == {
        ("trust policy", 0): ("FAILED", "States.Permissions"),
        ("uses", 0): refused,
        ("uses", 1): refused,
        ("uses", 2): refused,
        ("uses", 3): ("SUCCEEDED", None),  # StopTask, which only an abort needs
        ("uses", 4): refused,
    }


@pytest.mark.parametrize(("granted", "status"), [(True, "STOPPED"), (False, "RUNNING")])
def test_an_aborted_execution_stops_its_task_only_if_it_may(
    cloud: Cloud, stack: Stack, *, granted: bool, status: str
) -> None:
    machine, role = task_machine(cloud, stack, "aborted", ["wait"])
    stop = next(one for one in iam.statements([role]) if "ecs:StopTask" in one.text)
    machines = Machines(cloud)
    execution = machines.start(machine)
    [task] = eventually(lambda: cloud.client("ecs").list_tasks(cluster="batch")["taskArns"] or None)
    eventually(lambda: stack.task(task)["lastStatus"] == "RUNNING" or None)
    iam.forget()
    with contextlib.nullcontext() if granted else iam.without(stop):
        cloud.client("stepfunctions").stop_execution(executionArn=execution)
        decided = eventually(
            lambda: [one for one in iam.decisions() if one.action == "ecs:StopTask"] or None
        )
    assert [decision.allowed for decision in decided] == [granted]
    if granted:
        assert stack.stopped(task)["stopCode"] == "UserInitiated"
    assert stack.task(task)["desiredStatus"] == status


def test_each_grant_of_a_machine_that_waits_for_another_is_needed(cloud: Cloud) -> None:
    child, _ = make_machine(
        cloud, "child", {"Done": {"Type": "Succeed"}}, ("states:ListExecutions", "*", {})
    )
    state = {"Type": "Task", "Resource": CHILD, "Arguments": {"StateMachineArn": child}}
    rule = f"arn:aws:events:{HERE}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
    executions = child.replace(":stateMachine:", ":execution:", 1) + ":*"
    parent, role = make_machine(
        cloud,
        "parent",
        {"Start": {**state, "End": True}},
        ("states:StartExecution", child, {}),
        ("states:DescribeExecution", executions, {}),
        (RULE, rule, {}),
    )
    refused = ("FAILED", "StepFunctions.AccessDeniedException")
    found = needed(role, lambda: outcome(cloud, parent), ("SUCCEEDED", None))
    assert found == {
        ("trust policy", 0): ("FAILED", "States.Permissions"),
        ("uses", 0): refused,
        ("uses", 1): refused,
        ("uses", 2): refused,
    }


def test_a_machine_calls_the_sdk_only_as_its_role_may(cloud: Cloud) -> None:
    resource = "arn:aws:states:::aws-sdk:sfn:listExecutions"
    machine = f"arn:aws:states:{HERE}:stateMachine:lists"
    state = {"Type": "Task", "Resource": resource, "Arguments": {"StateMachineArn": machine}}
    _, role = make_machine(
        cloud, "lists", {"List": {**state, "End": True}}, ("states:ListExecutions", machine, {})
    )
    found = needed(role, lambda: outcome(cloud, machine), ("SUCCEEDED", None))
    assert found == {
        ("trust policy", 0): ("FAILED", "States.Permissions"),
        ("uses", 0): ("FAILED", "Sfn.SfnException"),
    }


def test_a_machine_that_logs_is_made_only_with_a_role_that_may_set_the_log_up(cloud: Cloud) -> None:
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName="/aws/vendedlogs/states/logged")
    group = f"arn:aws:logs:{HERE}:log-group:/aws/vendedlogs/states/logged:*"
    logging = {
        "level": "ALL",
        "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}],
    }
    actions = [
        *("logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery"),
        *("logs:DeleteLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy"),
        *("logs:DescribeResourcePolicies", "logs:DescribeLogGroups"),
    ]
    machine, role = make_machine(cloud, "logged", {"Done": {"Type": "Succeed"}}, (actions, "*", {}))
    states = cloud.client("stepfunctions")

    def log() -> str:
        try:
            states.update_state_machine(
                stateMachineArn=machine, roleArn=role, loggingConfiguration=logging
            )
        except ClientError as error:
            return error.response.get("Error", {}).get("Code", "")
        return "logged"

    assert needed(role, log, "logged") == {
        ("trust policy", 0): "AccessDeniedException",
        ("uses", 0): "AccessDeniedException",
    }
