"""What reading and what acting on one stack takes: two IAM policy documents, made for the stack.

Each statement names the commands that need it. Where a resource is `*`, the action knows none:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from typing import Any

Statement = dict[str, Any]

_OWN = ("alerts", "limit", "reaper")


def reading(partition: str, region: str, account: str, project: str, stack: str) -> dict[str, Any]:
    """What `runs`, `show`, `logs`, `letters list|show`, `schedules`, `doctor` and `cost` take."""
    here = _Here(partition, region, account, f"{project}-{stack}", f"{project}/{stack}")
    return _document(_reading(here))


def acting(partition: str, region: str, account: str, project: str, stack: str) -> dict[str, Any]:
    """What `start`, `fire`, `stop`, `retry` and `letters send|drop` take, reading included."""
    here = _Here(partition, region, account, f"{project}-{stack}", f"{project}/{stack}")
    return _document(_reading(here) + _acting(here))


def policy_with(operation: str) -> str:
    """Which of the two has the action of an API operation, in words."""
    here = _Here("aws", "*", "*", "*", "*")
    # A batch is authorised as the calls it is made of, and Lambda's action has a longer name.
    action = {"Invoke": "InvokeFunction"}.get(operation, operation.removesuffix("Batch"))
    for name, statements in (("reading", _reading(here)), ("acting", _acting(here))):
        for statement in statements:
            actions: list[str] = statement["Action"]
            if action in {one.partition(":")[2] for one in actions}:
                return f"`fargate-batch policy {name}` prints a policy that has it"
    return "neither policy of `fargate-batch policy` has it"


class _Here:
    def __init__(self, partition: str, region: str, account: str, prefix: str, path: str) -> None:
        self.partition, self.region, self.account = partition, region, account
        self.prefix, self.path = prefix, path

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


def _document(statements: list[Statement]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(sid: str, actions: list[str], *resources: str, **more: Any) -> Statement:  # noqa: ANN401 -- JSON
    resource = resources[0] if len(resources) == 1 else list(resources)
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource, **more}


def _machines(here: _Here, kind: str) -> list[str]:
    return [here.arn("states", f"{kind}:{here.prefix}-{one}-*") for one in ("job", "pipeline")]


def _reading(here: _Here) -> list[Statement]:
    return [
        # The index, and the pauses of schedules; a path is one without what ends it.
        _allow(
            "FindStack", ["ssm:GetParametersByPath"], here.arn("ssm", f"parameter/{here.path}/*")
        ),
        _allow(
            "ReadLogs",
            ["logs:FilterLogEvents", "logs:GetLogEvents"],
            here.arn("logs", f"log-group:/{here.path}/*"),
        ),
        _allow(
            "SeeExecutions",
            ["states:DescribeExecution", "states:GetExecutionHistory"],
            *_machines(here, "execution"),
        ),
        _allow("SeeMachines", ["states:DescribeStateMachine"], *_machines(here, "stateMachine")),
        _allow(
            "SeeTasks",
            ["ecs:ListTasks", "ecs:DescribeTasks"],
            "*",
            Condition={"ArnLike": {"ecs:cluster": here.arn("ecs", "cluster/*")}},
        ),
        _allow("SeeRules", ["events:ListTargetsByRule"], here.arn("events", "rule/*")),
        _allow(
            "SeeSchedules",
            ["scheduler:GetSchedule"],
            here.arn("scheduler", "schedule/*/*"),
        ),
        # A letter that is looked at is received, and hidden from others for as long as that takes.
        _allow(
            "SeeLetters",
            [
                "sqs:GetQueueUrl",
                "sqs:GetQueueAttributes",
                "sqs:ReceiveMessage",
                "sqs:ChangeMessageVisibility",
            ],
            here.arn("sqs", "*-dead-letters-*"),
        ),
        # What `doctor` looks at; most of these actions know no resources.
        _allow(
            "LookAround",
            [
                "ec2:DescribeRouteTables",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcEndpoints",
                "ecr:DescribeImages",
                "ecs:DescribeClusters",
                "ecs:DescribeTaskDefinition",
                "events:ListRules",
                "iam:GetAccountSummary",
                "iam:GetRole",
                "kms:DescribeKey",
                "s3:GetEncryptionConfiguration",
                "secretsmanager:DescribeSecret",
                "servicequotas:GetServiceQuota",
                "sns:GetTopicAttributes",
                "sns:ListSubscriptionsByTopic",
                "ssm:GetParameters",
            ],
            "*",
        ),
    ]


def _acting(here: _Here) -> list[Statement]:
    return [
        _allow("Start", ["states:StartExecution"], *_machines(here, "stateMachine")),
        # An alert and a slot are letters, too.
        _allow(
            "SendLetters",
            ["states:StartExecution"],
            *(here.arn("states", f"stateMachine:{here.prefix}-{one}-*") for one in _OWN),
        ),
        _allow(
            "SendEventsToLog",
            ["lambda:InvokeFunction"],
            here.arn("lambda", "function:task-events-*"),
        ),
        _allow("DropLetters", ["sqs:DeleteMessage"], here.arn("sqs", "*-dead-letters-*")),
        _allow(
            "RunTasks",
            ["ecs:RunTask"],
            here.arn("ecs", f"task-definition/{here.prefix}-*:*"),
        ),
        _allow(
            "TagTasks",
            ["ecs:TagResource"],
            here.arn("ecs", "task/*"),
            Condition={"StringEquals": {"ecs:CreateAction": "RunTask"}},
        ),
        # The roles of the jobs and schedules, whose names end at random; they can be passed to
        # what they are for alone.
        _allow(
            "PassRoles",
            ["iam:PassRole"],
            f"arn:{here.partition}:iam::{here.account}:role/*",
            Condition={
                "StringEquals": {
                    "iam:PassedToService": ["ecs-tasks.amazonaws.com", "scheduler.amazonaws.com"]
                }
            },
        ),
        _allow(
            "PauseSchedules",
            ["ssm:PutParameter", "ssm:DeleteParameter"],
            here.arn("ssm", f"parameter/{here.path}/paused/*"),
        ),
        _allow(
            "SwitchSchedules",
            ["scheduler:UpdateSchedule"],
            here.arn("scheduler", "schedule/schedules-*/*"),
        ),
        _allow(
            "StopTasks",
            ["ecs:StopTask"],
            here.arn("ecs", "task/*"),
            Condition={"ArnLike": {"ecs:cluster": here.arn("ecs", "cluster/*")}},
        ),
        _allow(
            "StopAndRedrive",
            ["states:StopExecution", "states:RedriveExecution"],
            *_machines(here, "execution"),
        ),
    ]
