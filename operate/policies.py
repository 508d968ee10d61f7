"""What reading and what acting on one stack takes: two IAM policy documents, made for the stack.

They name what the stack has. Where a resource is `*`, or all of a kind, the action knows none, or
what it only looks at has a name of its own:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .stack import Stack

Statement = dict[str, Any]

_OWN = ("alerts", "limit", "reaper")
ANY_QUEUE = "*-dead-letters-*"
"""The queues of this stack, and of others."""
MOST_CHARACTERS = 6144
"""Of a managed policy: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html."""


def reading(stack: Stack) -> dict[str, Any]:
    """What `runs`, `show`, `logs`, `letters list|show`, `schedules`, `doctor` and `cost` take.

    And `backfills` and `backfill --dry-run`, of a stack that has them.
    """
    return _fitting(stack, _reading)


def acting(stack: Stack) -> dict[str, Any]:
    """What `start`, `fire`, `stop`, `retry` and `letters send|drop` take, reading included.

    And `backfill` and `backfills rate|stop|continue`, of a stack that has them.
    """
    return _fitting(stack, _acting)


def policy_with(operation: str) -> str:
    """Which of the two has the action of an API operation, in words."""
    # A batch is authorised as the calls it is made of, and some actions have another name.
    action = _ACTIONS.get(operation, operation.removesuffix("Batch"))
    for name, statements in (("reading", _reading(_ANY)), ("acting", _acting(_ANY))):
        for statement in statements:
            actions: list[str] = statement["Action"]
            if action in {one.partition(":")[2] for one in actions}:
                return f"`fargate-batch policy {name}` prints a policy that has it"
    return "neither policy of `fargate-batch policy` has it"


_ACTIONS = {"Invoke": "InvokeFunction", "ListObjectsV2": "ListBucket"}


@dataclass(frozen=True)
class _Here:
    """What a stack's policies name."""

    scope: tuple[str, str, str]
    """Partition, Region and account."""
    prefix: str
    path: str
    cluster: str
    """Its name."""
    topic: str
    buckets: tuple[str, ...]
    queues: tuple[str, ...]
    groups: tuple[str, ...]
    """Of its schedules."""
    roles: tuple[str, ...]
    function: str
    lists: str
    """The objects with which backfills begin and end; empty of a stack without them."""

    def arn(self, service: str, resource: str) -> str:
        partition, region, account = self.scope
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"


_ANY = _Here(("aws", "*", "*"), "*", "*", "*", "*", ("*",), ("*",), ("*",), ("*",), "*", "*")


def _here(stack: Stack, *, every_queue: bool) -> _Here:
    _, partition, _, region, account, cluster = stack.cluster.split(":", 5)
    own = f"/{stack.project}/{stack.name}/"
    jobs: list[dict[str, str]] = list((stack.index.get("jobs") or {}).values())
    roles = {job[key] for job in jobs for key in ("executionRoleArn", "taskRoleArn") if key in job}
    placed = {role.partition(own)[0] + own + "*" for role in roles if own in role}
    schedules = (one.schedule_arn for one in stack.schedules.values() if one.schedule_arn)
    queues = sorted(one.queue for one in stack.triggers.values() if one.queue)
    return _Here(
        scope=(partition, region, account),
        prefix=stack.prefix.removesuffix("-"),
        path=f"{stack.project}/{stack.name}",
        cluster=cluster.rpartition("/")[2],
        topic=stack.index["alertsTopicArn"],
        buckets=tuple(sorted({f"arn:{partition}:s3:::{one}" for one in stack.buckets})),
        queues=tuple(queues) if not every_queue else (ANY_QUEUE,),
        groups=tuple(sorted({one.split("/")[1] for one in schedules})),
        # A role that was there before roles had a path has none.
        roles=tuple(sorted(placed))
        if all(own in role for role in roles)
        else (f"arn:{partition}:iam::{account}:role/*",),
        function=stack.index.get("taskEventFunction", "task-events-*"),
        lists=f"arn:{partition}:s3:::{stack.results_bucket}/{stack.lists_of_backfills}*"
        if stack.backfills
        else "",
    )


def _fitting(stack: Stack, make: Callable[[_Here], list[Statement]]) -> dict[str, Any]:
    """The document; of more queues than it has room for, it names the middle of their names."""
    whole = _document(make(_here(stack, every_queue=False)))
    if len(json.dumps(whole, separators=(",", ":"))) <= MOST_CHARACTERS:
        return whole
    return _document(make(_here(stack, every_queue=True)))


def _document(statements: list[Statement]) -> dict[str, Any]:
    # A stack without schedules has no statement about them.
    named = [one for one in statements if one["Resource"]]
    return {"Version": "2012-10-17", "Statement": named}


def _allow(sid: str, actions: list[str], *resources: str, **more: Any) -> Statement:  # noqa: ANN401 -- JSON
    resource = resources[0] if len(resources) == 1 else list(resources)
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource, **more}


def _in_cluster(here: _Here) -> dict[str, Any]:
    return {"Condition": {"ArnEquals": {"ecs:cluster": here.arn("ecs", f"cluster/{here.cluster}")}}}


def _machines(here: _Here, kind: str) -> list[str]:
    return [here.arn("states", f"{kind}:{here.prefix}-{one}-*") for one in ("job", "pipeline")]


# A letter that is looked at is received, and hidden from others for as long as that takes.
_LOOK_AT_LETTERS = [
    *("sqs:GetQueueUrl", "sqs:GetQueueAttributes"),
    *("sqs:ReceiveMessage", "sqs:ChangeMessageVisibility"),
]


def _of_letters(here: _Here, *more: str) -> Statement:
    queues = [here.arn("sqs", one) for one in here.queues]
    return _allow("Letters", [*_LOOK_AT_LETTERS, *more], *queues)


def _of_schedules(here: _Here, *more: str) -> Statement:
    groups = [here.arn("scheduler", f"schedule/{one}/*") for one in here.groups]
    return _allow("Schedules", ["scheduler:GetSchedule", *more], *groups)


def _of_backfills(here: _Here, *, acting: bool) -> list[Statement]:
    if not here.lists:
        return []

    def of(kind: str, ending: str, reading: list[str], more: list[str]) -> Statement:
        actions = [f"states:{one}" for one in (*reading, *(more if acting else ()))]
        machine = f"{here.prefix}-backfill-backfills{ending}"
        sid = f"Backfill{kind[0].upper()}{kind[1:]}"
        return _allow(sid, actions, here.arn("states", f"{kind}:{machine}"))

    seen = ["DescribeExecution", "GetExecutionHistory", "ListMapRuns"]
    statements = [
        of("stateMachine", "", ["ListExecutions"], ["StartExecution"]),
        of("execution", ":*", seen, ["StopExecution", "RedriveExecution"]),
        of("mapRun", "/*", ["DescribeMapRun"], ["UpdateMapRun"]),
        _allow("ListObjects", ["s3:ListBucket"], *here.buckets),
    ]
    if acting:
        through_s3 = f"s3.{here.scope[1]}.amazonaws.com"
        statements += [
            _allow("ListsOfObjects", ["s3:GetObject", "s3:PutObject"], here.lists),
            # Where the bucket is encrypted with a key of one's own.
            _allow(
                "KeyOfBucket",
                ["kms:Decrypt", "kms:GenerateDataKey"],
                here.arn("kms", "key/*"),
                Condition={"StringEquals": {"kms:ViaService": through_s3}},
            ),
        ]
    return statements


def _reading(here: _Here) -> list[Statement]:
    return [
        *_looking(here),
        _of_letters(here),
        _of_schedules(here),
        *_of_backfills(here, acting=False),
    ]


def _looking(here: _Here) -> list[Statement]:
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
            **_in_cluster(here),
        ),
        _allow("SeeRules", ["events:ListTargetsByRule"], here.arn("events", "rule/*")),
        # What `doctor` looks at.
        _allow("SeeBuckets", ["s3:GetEncryptionConfiguration"], *here.buckets),
        _allow("SeeTopic", ["sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic"], here.topic),
        _allow("SeeRoles", ["iam:SimulatePrincipalPolicy"], *here.roles),
        # Most of these actions know no resources; the others name images, keys and secrets.
        _allow(
            "LookAround",
            [
                "cloudwatch:ListMetrics",
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
                "kms:GetKeyPolicy",
                "secretsmanager:DescribeSecret",
                "servicequotas:GetAWSDefaultServiceQuota",
                "servicequotas:GetServiceQuota",
                "ssm:DescribeParameters",
            ],
            "*",
        ),
    ]


def _acting(here: _Here) -> list[Statement]:
    return [
        *_looking(here),
        _of_letters(here, "sqs:DeleteMessage"),
        _of_schedules(here, "scheduler:UpdateSchedule"),
        *_of_backfills(here, acting=True),
        # An alert and a permit are letters, too.
        _allow(
            "Start",
            ["states:StartExecution"],
            *_machines(here, "stateMachine"),
            *(here.arn("states", f"stateMachine:{here.prefix}-{one}-*") for one in _OWN),
        ),
        _allow(
            "SendEventsToLog",
            ["lambda:InvokeFunction"],
            here.arn("lambda", f"function:{here.function}"),
        ),
        _allow(
            "RunTasks",
            ["ecs:RunTask"],
            here.arn("ecs", f"task-definition/{here.prefix}-job-*:*"),
            **_in_cluster(here),
        ),
        _allow(
            "TagTasks",
            ["ecs:TagResource"],
            here.arn("ecs", f"task/{here.cluster}/*"),
            Condition={"StringEquals": {"ecs:CreateAction": "RunTask"}},
        ),
        # The roles of the jobs and schedules, to what they are for alone.
        _allow(
            "PassRoles",
            ["iam:PassRole"],
            *here.roles,
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
            "StopTasks",
            ["ecs:StopTask"],
            here.arn("ecs", f"task/{here.cluster}/*"),
            **_in_cluster(here),
        ),
        _allow(
            "StopAndRedrive",
            ["states:StopExecution", "states:RedriveExecution"],
            *_machines(here, "execution"),
        ),
    ]
