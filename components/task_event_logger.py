"""Each state change of a cluster's tasks, and of what runs them, is logged as one JSON line."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import defaults
from ._dead_letters import with_queue
from ._delivery import Rule, Target, deliver, listen
from ._documents import joined
from ._here import Component
from ._iam import allow, arn, service_role
from ._queries import QUERIES
from ._task import ExitCodesArgs, family
from .names import machine_prefix

_HANDLER = Path(__file__).parent.parent / "lambdas" / "task_events" / "handler.py"


class TaskEventLoggerArgs(TypedDict):
    """Whose tasks, and what is kept."""

    cluster_arn: pulumi.Input[str]
    """The cluster: tasks of others are not logged."""
    keep_event: NotRequired[bool]
    """Whether a line has the whole event beside what is picked from it. Default: True."""
    exit_codes: NotRequired[Mapping[str, ExitCodesArgs]]
    """The exit codes that are no failures, of the jobs that have any but 0. Default: none."""
    log_retention_days: NotRequired[int]
    """For how many days the log is kept. Default: 30."""


class TaskEventLogger(Component):
    """A rule on the changes of tasks and executions, a function, its log group and saved queries.

    ECS forgets a stopped task within about an hour; this log is where one that never started is
    found, and where all runs of the stack are found in one place. Its events are free; a task's six
    or so invocations cost about 0.000002 USD, an execution's two a third of that.
    """

    log_group_name: pulumi.Output[str]
    """The log group of the lines."""
    function_name: pulumi.Output[str]
    """The function's name."""
    rule_name: pulumi.Output[str]
    """The rule's name."""
    dead_letter_queue_name: pulumi.Output[str]
    """The name of the queue of events that were not logged."""

    def __init__(
        self, name: str, args: TaskEventLoggerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:TaskEventLogger", name, with_queue(opts))
        child = pulumi.ResourceOptions(parent=self)

        log_group = aws.cloudwatch.LogGroup(
            name,
            name=f"/{pulumi.get_project()}/{pulumi.get_stack()}/{name}",
            retention_in_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            opts=child,
        )
        heard = listen(
            name,
            {
                name: Rule(
                    "Every state change of this stack's tasks and executions",
                    _pattern(args["cluster_arn"]),
                )
            },
            child,
        )
        role_arn = service_role(
            name,
            service="lambda.amazonaws.com",
            # Lambda sends no aws:SourceArn when it assumes a function's role:
            # https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
            source=None,
            statements=[
                allow(
                    ["logs:CreateLogStream", "logs:PutLogEvents"],
                    joined(log_group.arn, ":log-stream:*"),
                ),
                allow("sqs:SendMessage", heard.queue.arn),
            ],
            opts=child,
        )
        exit_codes = json.dumps(args.get("exit_codes", {}))
        told = {} if exit_codes == "{}" else {"exit_codes.json": pulumi.StringAsset(exit_codes)}
        function = aws.lambda_.Function(
            name,
            role=role_arn,
            runtime="python3.14",
            architectures=["arm64"],
            handler="handler.handler",
            # Only these files: a folder would take __pycache__ along and change with every run.
            code=pulumi.AssetArchive({"handler.py": pulumi.FileAsset(str(_HANDLER)), **told}),
            memory_size=128,
            timeout=10,
            environment={
                "variables": {
                    "KEEP_EVENT": "true"
                    if args.get("keep_event", defaults.KEEP_EVENT)
                    else "false",
                    "FAMILY_PREFIX": family(""),
                }
            },
            logging_config={"log_format": "Text", "log_group": log_group.name},
            opts=child,
        )
        aws.lambda_.FunctionEventInvokeConfig(
            name,
            function_name=function.name,
            maximum_retry_attempts=2,
            destination_config={"on_failure": {"destination": heard.queue.arn}},
            opts=child,
        )
        deliver(name, heard, Target(function.arn, function_name=function.name), child)
        for query, text in QUERIES.items():
            aws.cloudwatch.QueryDefinition(
                f"{name}-{query}",
                name=f"{pulumi.get_project()}/{pulumi.get_stack()}/{query}",
                log_group_names=[log_group.name],
                query_string=text,
                opts=child,
            )
        self.log_group_name = log_group.name
        self.function_name = function.name
        self.rule_name = heard.rules[name].name
        self.dead_letter_queue_name = heard.queue.name
        self.register_outputs(
            {
                "log_group_name": self.log_group_name,
                "function_name": self.function_name,
                "rule_name": self.rule_name,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )


def _pattern(cluster_arn: pulumi.Input[str]) -> dict[str, Any]:
    kinds = [
        {"prefix": arn("states", f"stateMachine:{machine_prefix()}{kind}-")}
        for kind in ("job", "pipeline")
    ]
    return {
        "source": ["aws.ecs", "aws.states"],
        "detail-type": ["ECS Task State Change", "Step Functions Execution Status Change"],
        "detail": {"$or": [{"clusterArn": [cluster_arn]}, {"stateMachineArn": kinds}]},
    }
