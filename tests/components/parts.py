"""What components are given in tests: a job's task, a place to run it, ARNs as AWS writes them."""

from typing import Any

from components import PlacementArgs, ScheduleArgs, TaskArgs
from tests.recorder import ACCOUNT, REGION, Recording, Resource, children, one

CLUSTER = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/batch"
TASKS = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/batch/*"
TASK_DEFINITION = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/ingest:7"
EXECUTION_ROLE = f"arn:aws:iam::{ACCOUNT}:role/ingest-execution"
TASK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/ingest-task"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:ingest"
LOG_GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/vendedlogs/states/all"
GROUP = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/stack"

TASK: TaskArgs = {
    "name": "ingest",
    "task_definition_arn": TASK_DEFINITION,
    "execution_role_arn": EXECUTION_ROLE,
    "task_role_arn": TASK_ROLE,
    "log_group_name": "/batch/ingest",
}
PLACEMENT: PlacementArgs = {
    "cluster_arn": CLUSTER,
    "subnet_ids": ["subnet-1", "subnet-2"],
    "security_group_ids": ["sg-1"],
}
SCHEDULE: ScheduleArgs = {
    "expression": "cron(0 10 * * ? *)",
    "group_name": "stack",
    "group_arn": GROUP,
}

RUN_TASK: list[dict[str, Any]] = [
    {
        "Effect": "Allow",
        "Action": "ecs:RunTask",
        "Resource": TASK_DEFINITION.removesuffix(":7") + ":*",
        "Condition": {"ArnEquals": {"ecs:cluster": CLUSTER}},
    },
    {
        "Effect": "Allow",
        "Action": "ecs:TagResource",
        "Resource": TASKS,
        "Condition": {"StringEquals": {"ecs:CreateAction": "RunTask"}},
    },
    {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": [EXECUTION_ROLE, TASK_ROLE],
        "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
    },
]
# How a rule or a schedule runs the task, but for how many and its name.
RUN_AS_PLACED: dict[str, Any] = {
    "taskDefinitionArn": TASK_DEFINITION,
    "capacityProviderStrategies": [{"capacityProvider": "FARGATE", "weight": 1}],
    "platformVersion": "1.4.0",
    "networkConfiguration": {
        "subnets": ["subnet-1", "subnet-2"],
        "securityGroups": ["sg-1"],
        "assignPublicIp": True,
    },
    "propagateTags": "TASK_DEFINITION",
}
LOG_DELIVERY: dict[str, Any] = {
    "Effect": "Allow",
    "Action": [
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    ],
    "Resource": "*",
}


def allows(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trusts(service: str, **source: dict[str, str]) -> dict[str, Any]:
    return allows(
        {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}, **source},
        }
    )


def queue_policy(rule: str | list[str] | None = None, role: str | None = None) -> dict[str, Any]:
    """Only these rules, or this role, may send, the watcher may look, and nobody without TLS."""

    def send(principal: object, key: str, value: object) -> dict[str, Any]:
        return {
            "Effect": "Allow",
            "Principal": principal,
            "Action": "sqs:SendMessage",
            "Resource": "*",
            "Condition": {"ArnEquals": {f"aws:{key}": value}},
        }

    over_tls = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    watchers = f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/watch/*"
    look = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
        "Resource": "*",
        "Condition": {"ArnLike": {"aws:PrincipalArn": watchers}},
    }
    senders = [send({"Service": "events.amazonaws.com"}, "SourceArn", rule)] if rule else []
    senders += [send("*", "PrincipalArn", role)] if role else []
    return allows(over_tls, look, *senders)


def component(recording: Recording, class_name: str) -> Resource:
    return one(recording.resources, type=f"fargate-batch:index:{class_name}")


def names(recording: Recording, class_name: str) -> set[tuple[str, str]]:
    """The children of the one component of this class, as (type without module, name)."""
    parent = component(recording, class_name)
    return {(child.type.split(":")[-1], child.name) for child in children(recording, parent)}


def outputs(recording: Recording, class_name: str) -> dict[str, Any]:
    return recording.outputs[component(recording, class_name).urn]
