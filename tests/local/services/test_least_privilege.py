"""Scenarios with roles that have just what they use, and each grant taken away in turn."""

import contextlib
import json
from collections.abc import Callable, Generator
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


def map_machine(cloud: Cloud, name: str, states: dict[str, Any]) -> tuple[str, str]:
    """A machine that goes through a bucket, with what AWS says that a Distributed Map needs.

    https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
    """
    here = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    cloud.client("s3").create_bucket(Bucket="batches", **here)
    cloud.client("s3").put_object(Bucket="batches", Key="in/a", Body=b"")
    listing = {
        "Resource": "arn:aws:states:::s3:listObjectsV2",
        "Arguments": {"Bucket": "batches", "Prefix": "in/"},
    }
    writer = {
        "Resource": "arn:aws:states:::s3:putObject",
        "Arguments": {"Bucket": "batches", "Prefix": "out"},
    }
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    processor = {"ProcessorConfig": config, "StartAt": next(iter(states)), "States": states}
    state = {"Type": "Map", "ItemReader": listing, "ResultWriter": writer, "Label": "each"}
    executions = f"arn:aws:states:{HERE}:execution:{name}"
    return make_machine(
        cloud,
        name,
        {"Each": state | {"ItemProcessor": processor, "End": True}},
        ("states:StartExecution", f"arn:aws:states:{HERE}:stateMachine:{name}", {}),
        ("states:DescribeExecution", f"{executions}:*", {}),
        ("states:StopExecution", f"{executions}:*", {}),
        ("states:RedriveExecution", f"{executions}/each:*", {}),
        ("s3:ListBucket", "arn:aws:s3:::batches", {"StringLike": {"s3:prefix": "in/*"}}),
        ("s3:PutObject", "arn:aws:s3:::batches/out/*", {}),
    )


def test_each_grant_of_a_machine_with_a_distributed_map_is_needed(cloud: Cloud) -> None:
    machine, role = map_machine(cloud, "maps", {"Done": {"Type": "Succeed"}})
    denied = ("FAILED", "States.Permissions")
    found = needed(role, lambda: outcome(cloud, machine), ("SUCCEEDED", None))
    assert found == {
        ("trust policy", 0): denied,
        ("uses", 0): denied,
        ("uses", 1): denied,
        ("uses", 2): ("SUCCEEDED", None),  # StopExecution, which only an abort needs
        ("uses", 3): ("SUCCEEDED", None),  # RedriveExecution, which only a redrive needs
        ("uses", 4): ("FAILED", "States.ItemReaderFailed"),
        ("uses", 5): ("FAILED", "States.ResultWriterFailed"),
    }


def test_a_child_assumes_the_role_for_its_machine(cloud: Cloud) -> None:
    call = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sfn:describeExecution",
        "Arguments": {"ExecutionArn": f"arn:aws:states:{HERE}:execution:trusted:none"},
        "Catch": [{"ErrorEquals": ["Sfn.ExecutionDoesNotExistException"], "Next": "Allowed"}],
        "End": True,
    }
    states = {"Call": call, "Allowed": {"Type": "Succeed"}}
    machine, role = map_machine(cloud, "trusted", states)
    client, name = cloud.client("iam"), role.rpartition("/")[2]
    trust = client.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    trust["Statement"][0]["Condition"] = {"StringEquals": {"aws:SourceArn": machine}}
    client.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    assert outcome(cloud, machine) == ("SUCCEEDED", None)


def test_a_map_run_redrives_its_children_only_if_it_may(cloud: Cloud) -> None:
    machine, role = map_machine(cloud, "redriven", {"Bad": {"Type": "Fail", "Error": "Bad"}})
    machines = Machines(cloud)
    execution = machines.run(machine)["executionArn"]

    def redriven() -> tuple[str, str, list[tuple[str, int]]]:
        states = cloud.client("stepfunctions")
        states.redrive_execution(executionArn=execution)
        ended = machines.ended(execution)
        [run] = states.list_map_runs(executionArn=execution)["mapRuns"]
        listed = states.list_executions(mapRunArn=run["mapRunArn"])["executions"]
        found = [(child["status"], child["redriveCount"]) for child in listed]
        return ended["status"], ended["error"], found

    [redrive] = [one for one in iam.statements([role]) if "states:RedriveExecution" in one.text]
    with iam.without(redrive):
        assert redriven() == ("FAILED", "States.Permissions", [("FAILED", 0)])
    assert redriven() == ("FAILED", "States.ExceedToleratedFailureThreshold", [("FAILED", 1)])


@pytest.mark.parametrize(("granted", "status"), [(True, "ABORTED"), (False, "RUNNING")])
def test_an_aborted_execution_stops_its_children_only_if_it_may(
    cloud: Cloud, *, granted: bool, status: str
) -> None:
    waits = {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}
    machine, role = map_machine(cloud, "stopped", waits)
    states, machines = cloud.client("stepfunctions"), Machines(cloud)
    execution = machines.start(machine)
    [run] = eventually(lambda: states.list_map_runs(executionArn=execution)["mapRuns"] or None)
    arn = run["mapRunArn"]
    eventually(lambda: states.list_executions(mapRunArn=arn)["executions"] or None)
    [stop] = [one for one in iam.statements([role]) if "states:StopExecution" in one.text]
    with contextlib.nullcontext() if granted else iam.without(stop):
        states.stop_execution(executionArn=execution)
        eventually(lambda: states.describe_map_run(mapRunArn=arn)["status"] == "ABORTED" or None)
    [child] = states.list_executions(mapRunArn=arn)["executions"]
    assert child["status"] == status


def test_each_call_on_a_map_run_is_authorised_on_its_arn(cloud: Cloud) -> None:
    machine, _ = map_machine(cloud, "called", {"Bad": {"Type": "Fail"}})
    execution = Machines(cloud).run(machine)["executionArn"]
    states = cloud.client("stepfunctions")
    [run] = states.list_map_runs(executionArn=execution)["mapRuns"]
    runs, arn = f"arn:aws:states:{HERE}:mapRun:called/each:*", run["mapRunArn"]
    calls: dict[str, tuple[str, Callable[[Any], object]]] = {
        "DescribeMapRun": (runs, lambda sfn: sfn.describe_map_run(mapRunArn=arn)),
        "ListExecutions": (runs, lambda sfn: sfn.list_executions(mapRunArn=arn)),
        "UpdateMapRun": (runs, lambda sfn: sfn.update_map_run(mapRunArn=arn, maxConcurrency=1)),
        "ListMapRuns": (execution, lambda sfn: sfn.list_map_runs(executionArn=execution)),
        "RedriveExecution": (execution, lambda sfn: sfn.redrive_execution(executionArn=execution)),
    }

    def refusals(client: object) -> Generator[str]:
        for action, (_, call) in calls.items():
            try:
                call(client)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code", "") == "AccessDeniedException":
                    yield action

    for action, (resource, _) in calls.items():
        grant = (f"states:{action}", resource, {})
        granted, role = make_machine(cloud, action, {"End": {"Type": "Succeed"}}, grant)
        session = iam.start_session(role, "states.amazonaws.com", "s", source_arn=granted)
        client = cloud.client("stepfunctions", session)
        assert {*refusals(client)} == calls.keys() - {action}
