"""A function that looks every five minutes for what no event tells of, and publishes it once."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import defaults
from ._alarms import make, of_watcher
from ._dead_letters import READER_PATH, queue_url
from ._delivery import BEFORE_THE_NEXT, permit
from ._documents import joined, json_text
from ._here import Component
from ._iam import allow, arn, instances_of, service_role, tasks_of
from ._task import family
from .names import machine_prefix
from .pauses import pauses_path
from .scheduled_pipeline import executions_of

_CODE = Path(__file__).parent.parent / "lambdas" / "watch"


class WatchedScheduleArgs(TypedDict):
    """A schedule that fires."""

    arn: pulumi.Input[str]
    """Its ARN."""
    expression: str
    """When, as of `ScheduleArgs`."""
    timezone: str
    """In which zone."""
    grace_seconds: NotRequired[int]
    """For how many seconds after it was due a run is waited for. Default: 900."""
    flexible_minutes: NotRequired[int | None]
    """Within how many minutes after its time it may fire. Default: at its time."""
    start: NotRequired[str | None]
    """The UTC time before which it does not fire, yyyy-mm-ddThh:mm:ssZ. Default: at once."""
    end: NotRequired[str | None]
    """The UTC time after which it does not fire, yyyy-mm-ddThh:mm:ssZ. Default: forever."""
    state_machine_arn: NotRequired[pulumi.Input[str] | None]
    """The pipeline it starts. Default: it starts a task."""


class WatcherArgs(TypedDict):
    """What is looked at, and where it is published."""

    topic_arn: pulumi.Input[str]
    """The topic: `FailureAlerts.topic_arn`."""
    chat_topic_arn: NotRequired[pulumi.Input[str] | None]
    """The topic of a chat channel: `FailureAlerts.chat_topic_arn`. Default: none."""
    key_arn: pulumi.Input[str]
    """The key of the topics."""
    cluster_arn: pulumi.Input[str]
    """The cluster whose tasks may hang."""
    task_event_log_group_name: pulumi.Input[str]
    """The log of task events, in which scheduled tasks are found."""
    dead_letter_queue_names: Mapping[str, pulumi.Input[str]]
    """The queues, by what they belong to."""
    machine_arns: Mapping[str, pulumi.Input[str]]
    """The state machines whose executions may hang, by name."""
    timeouts: Mapping[str, int]
    """After how many seconds a run is too long, by the name of its job."""
    schedules: Mapping[str, WatchedScheduleArgs]
    """The schedules that fire, by name."""
    schedule_group_name: NotRequired[pulumi.Input[str] | None]
    """Their group. Default: none; then no pause is looked for."""
    schedule_role_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """The roles that they start their targets with. Default: none."""
    runbook: NotRequired[str]
    """Where operations.md is read, for the links in messages. Default: docs/operations.md."""
    log_retention_days: NotRequired[int]
    """For how many days its log is kept. Default: 30."""


class Watcher(Component):
    """A Lambda function on a schedule, a table of what it has told, and alarms on itself.

    It tells, once each: dead letters, runs of schedules that did not happen or were skipped three
    times in a row, and runs that go on for too long; and once that things are well again. What it
    looks at is in its code, what it has told in a table, an item a subject. It ends the pauses of
    schedules whose time has come.

    100 triggers take it some 20 seconds each time: about 1 USD a month.
    """

    function_name: pulumi.Output[str]
    """The function's name, to look at once."""

    def __init__(
        self, name: str, args: WatcherArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:Watcher", name, opts)
        child = pulumi.ResourceOptions(parent=self)
        runbook = args.get("runbook", defaults.RUNBOOK)

        log_group = aws.cloudwatch.LogGroup(
            name,
            # Not among those of jobs, one of which may have this name.
            name=f"/{pulumi.get_project()}/{pulumi.get_stack()}/function/{name}",
            retention_in_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            opts=child,
        )
        # Encrypted as every table is. Without a backup: what is forgotten is told again.
        table = aws.dynamodb.Table(
            name,
            billing_mode="PAY_PER_REQUEST",
            hash_key="subject",
            attributes=[{"name": "subject", "type": "S"}],
            opts=child,
        )
        role_arn = service_role(
            name,
            service="lambda.amazonaws.com",
            # Lambda sends no aws:SourceArn when it assumes a function's role:
            # https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
            source=None,
            statements=_statements(args, log_group.arn, table.arn),
            path=READER_PATH,
            opts=child,
        )
        function = aws.lambda_.Function(
            name,
            role=role_arn,
            runtime="python3.14",
            architectures=["arm64"],
            handler="watch.handler.handler",
            code=_code(args, table.name, runbook),
            memory_size=256,
            timeout=240,
            logging_config={"log_format": "Text", "log_group": log_group.name},
            opts=child,
        )
        rule = aws.cloudwatch.EventRule(
            name,
            description="Looks for what nothing else tells of",
            schedule_expression="rate(5 minutes)",
            opts=child,
        )
        may_invoke = permit(name, function.name, rule, child)
        aws.cloudwatch.EventTarget(
            name,
            rule=rule.name,
            arn=function.arn,
            input="{}",
            retry_policy=BEFORE_THE_NEXT,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[may_invoke]),
        )
        topic_arns = [args["topic_arn"], args.get("chat_topic_arn")]
        make(
            list(of_watcher(function.name)),
            topic_arns=[one for one in topic_arns if one is not None],
            runbook=runbook,
            opts=child,
        )
        self.function_name = function.name
        self.register_outputs({"function_name": self.function_name})


def _statements(
    args: WatcherArgs, log_group_arn: pulumi.Output[str], table_arn: pulumi.Output[str]
) -> list[dict[str, Any]]:
    prefix, cluster_arn = machine_prefix(), args["cluster_arn"]
    machines = [arn("states", f"stateMachine:{prefix}{kind}-*") for kind in ("job", "pipeline")]
    chat = args.get("chat_topic_arn")
    return [
        *_of_pauses(args),
        allow(
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            joined(log_group_arn, ":log-stream:*"),
        ),
        allow(
            ["dynamodb:Scan", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
            table_arn,
        ),
        allow("states:ListExecutions", machines),
        allow("states:DescribeExecution", machines[1].apply(executions_of)),
        allow(
            "logs:FilterLogEvents",
            arn("logs", joined("log-group:", args["task_event_log_group_name"], ":*")),
        ),
        # A list names no task, so the cluster's instances stand for it:
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
        allow(
            "ecs:ListTasks",
            instances_of(cluster_arn),
            {"ArnEquals": {"ecs:cluster": cluster_arn}},
        ),
        allow("ecs:DescribeTasks", tasks_of(cluster_arn)),
        allow("sns:Publish", args["topic_arn"] if chat is None else [args["topic_arn"], chat]),
        # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
        allow(["kms:GenerateDataKey", "kms:Decrypt"], args["key_arn"]),
    ]


def _of_pauses(args: WatcherArgs) -> list[dict[str, Any]]:
    group = args.get("schedule_group_name")
    if group is None:
        return []
    path = pauses_path()
    role_arns = args.get("schedule_role_arns", [])
    return [
        allow("ssm:GetParametersByPath", arn("ssm", f"parameter{path.rstrip('/')}")),
        allow("ssm:DeleteParameter", arn("ssm", f"parameter{path}*")),
        allow(
            ["scheduler:GetSchedule", "scheduler:UpdateSchedule"],
            arn("scheduler", joined("schedule/", group, "/*")),
        ),
        # UpdateSchedule passes the role again, whatever it changes:
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/security_iam_id-based-policies.html
        *(
            [
                allow(
                    "iam:PassRole",
                    role_arns,
                    {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
                )
            ]
            if role_arns
            else []
        ),
    ]


def _code(
    args: WatcherArgs, table_name: pulumi.Output[str], runbook: str
) -> pulumi.Output[pulumi.AssetArchive]:
    """The function's files, and what it looks at."""
    schedules = args["schedules"]
    chat = args.get("chat_topic_arn")
    stack: dict[str, Any] = {
        "project": pulumi.get_project(),
        "stack": pulumi.get_stack(),
        "runbook": runbook,
        "topic": args["topic_arn"],
        "table": table_name,
        "cluster": args["cluster_arn"],
        "taskEvents": args["task_event_log_group_name"],
        "queueUrl": queue_url(),
        "queues": dict(args["dead_letter_queue_names"]),
        "machines": {
            name: _given({"arn": machine, "timeout": args["timeouts"].get(name)})
            for name, machine in args["machine_arns"].items()
        },
        "tasks": {
            job: {"family": family(job), "seconds": seconds}
            for job, seconds in args["timeouts"].items()
        },
        "schedules": {name: _schedule(schedule) for name, schedule in schedules.items()},
        "zones": _zones(schedules),
    }
    if chat is not None:
        stack["chat"] = chat
    if args.get("schedule_group_name") is not None:
        stack["pauses"] = pauses_path()
    code = {f"watch/{path.name}": path for path in sorted(_CODE.glob("*.py"))}
    return json_text(stack).apply(
        lambda text: pulumi.AssetArchive(
            {
                **{name: pulumi.FileAsset(str(path)) for name, path in code.items()},
                "watch/stack.json": pulumi.StringAsset(text),
            }
        )
    )


def _zones(schedules: Mapping[str, WatchedScheduleArgs]) -> dict[str, str]:
    """The time zones of the schedules, in base64: the runtime is not documented to have any."""
    folder = files("tzdata") / "zoneinfo"
    return {
        zone: b64encode((folder / zone).read_bytes()).decode()
        for zone in sorted({schedule["timezone"] for schedule in schedules.values()})
    }


def _schedule(schedule: WatchedScheduleArgs) -> dict[str, Any]:
    return _given(
        {
            "arn": schedule["arn"],
            "expression": schedule["expression"],
            "timezone": schedule["timezone"],
            "graceSeconds": schedule.get("grace_seconds", defaults.GRACE_SECONDS),
            "flexibleMinutes": schedule.get("flexible_minutes"),
            "start": schedule.get("start"),
            "end": schedule.get("end"),
            "machine": schedule.get("state_machine_arn"),
        }
    )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
