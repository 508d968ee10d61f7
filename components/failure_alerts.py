"""Failures become messages to the people who must know: executions, tasks, deliveries."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import defaults
from ._alarms import Watched, make, of_stack
from ._dashboard import Shown, dashboard_body
from ._dead_letters import with_queue
from ._delivery import Rule, deliver, listen, start
from ._here import Component, here
from ._iam import account_id, allow, arn, document
from ._machine import state_machine
from ._task import ExitCodesArgs
from .asl.alerts import alert
from .names import machine_prefix
from .task_reaper import STARTED_DIRECTLY


class FailureAlertsArgs(TypedDict):
    """Who gets messages, and what is watched besides the executions of this stack."""

    cluster_arn: pulumi.Input[str]
    """The cluster whose directly started tasks are watched."""
    machine_arns: Mapping[str, pulumi.Input[str]]
    """The state machines on the dashboard, by the names that people know them by."""
    rule_names: Mapping[str, pulumi.Input[str]]
    """The rules whose lost events raise an alarm, by what they belong to."""
    dead_letter_queue_names: Mapping[str, pulumi.Input[str]]
    """The queues on the dashboard, by what they belong to."""
    schedule_group_name: pulumi.Input[str]
    """The schedule group whose dropped and failing starts raise an alarm."""
    task_event_function_name: pulumi.Input[str]
    """The function whose errors raise an alarm."""
    task_event_log_group_name: pulumi.Input[str]
    """The log group of task events, which the dashboard queries."""
    exit_codes: NotRequired[Mapping[str, ExitCodesArgs]]
    """The exit codes that are no failures, of the jobs that have any but 0. Default: none."""
    backfills_machine_arn: NotRequired[pulumi.Input[str] | None]
    """The state machine whose failures are reported instead of those of what it runs:
    `Backfills.state_machine_arn`. Default: none."""
    restarted_jobs: NotRequired[Sequence[str]]
    """The jobs whose directly started tasks a `TaskReaper` starts again. Default: none."""
    log_groups: NotRequired[Mapping[str, pulumi.Input[str]]]
    """The names of the jobs' log groups, by job. Default: `/PROJECT/STACK/JOB` of each."""
    emails: NotRequired[Sequence[str]]
    """Addresses that get the messages once their owner has confirmed the subscription. Default:
    none."""
    https_endpoints: NotRequired[Sequence[str]]
    """HTTPS URLs that get the messages; each must confirm its subscription. Default: none."""
    chat: NotRequired[bool]
    """Whether there is a topic for Amazon Q Developer in chat applications too. Default: False."""
    runbook: NotRequired[str]
    """Where operations.md is read, for the links in messages. Default: docs/operations.md."""
    log_group_arn: NotRequired[pulumi.Input[str] | None]
    """The ARN of the log group of its executions, whose name begins with /aws/vendedlogs/states/.
    Default: one of its own."""
    log_retention_days: NotRequired[int]
    """For how many days a log of its own is kept. Default: 30."""


class FailureAlerts(Component):
    """An encrypted SNS topic that gets one message for each failure, alarms, and a dashboard.

    Reported are executions that failed, timed out or were stopped, tasks that a rule or a
    schedule started directly and that did not succeed, and warnings of either. A failed step of a
    pipeline is reported by its pipeline alone: when it fails, or at its end when it went on. So is
    an object of a backfill by the backfill, of whose warnings the first alone is reported.

    A state machine writes the messages, for an input transformer cannot quote a cause. It is a
    standard one: EventBridge starts it under the event's id, so a duplicate is reported once, which
    an express one could not do. A message takes four to six state transitions, 0.0001 USD,
    beside 0.00002 USD for an email. What it cannot publish goes to its dead-letter queue; its own
    executions match no rule, so it never reports itself.

    The topic's KMS key costs 1 USD a month, for CloudWatch cannot publish to a topic encrypted with
    the key that AWS manages; each metric of an alarm 0.10 USD a month, the dashboard 3 USD.
    """

    topic_arn: pulumi.Output[str]
    """The topic's ARN, for subscriptions of one's own."""
    chat_topic_arn: pulumi.Output[str] | None
    """The ARN of the topic that a chat channel's configuration names."""
    key_arn: pulumi.Output[str]
    """The key of the topics, for who publishes to them."""
    dead_letter_queue_name: pulumi.Output[str]
    """The name of the queue of events that could not be reported."""

    def __init__(
        self, name: str, args: FailureAlertsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:FailureAlerts", name, with_queue(opts))
        child = pulumi.ResourceOptions(parent=self)
        project, stack, prefix = pulumi.get_project(), pulumi.get_stack(), machine_prefix()
        runbook = args.get("runbook", defaults.RUNBOOK)
        backfills_arn = args.get("backfills_machine_arn")

        key = aws.kms.Key(
            name,
            description="Encrypts the failure messages",
            enable_key_rotation=True,
            policy=_key_policy(),
            opts=child,
        )
        topic = self._topic(name, key.arn)
        chat = self._topic(f"{name}-chat", key.arn) if args.get("chat", defaults.CHAT) else None
        topic_arns = [one.arn for one in (topic, chat) if one is not None]
        heard = listen(
            name,
            {
                f"{name}-executions": Rule(
                    "Executions that did not succeed",
                    _executions(backfills_arn),
                ),
                f"{name}-tasks": Rule(
                    "Directly started tasks that did not succeed", _tasks(args["cluster_arn"])
                ),
            },
            child,
        )
        queue = heard.queue
        machine = state_machine(
            name,
            kind="alerts",
            of=[queue.url, dict(args.get("log_groups", {})), *topic_arns],
            definition=lambda known: alert(
                project=project,
                stack=stack,
                prefix=prefix,
                runbook=runbook,
                queue_url=known[0],
                log_groups=known[1],
                topic_arn=known[2],
                chat_topic_arn=known[3] if chat is not None else None,
                exit_codes=args.get("exit_codes", {}),
                restarted=args.get("restarted_jobs", ()),
                backfills=backfills_arn is not None,
            ),
            statements=[
                allow("sns:Publish", topic_arns if chat is not None else topic.arn),
                # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
                allow(["kms:GenerateDataKey", "kms:Decrypt"], key.arn),
                allow("sqs:SendMessage", queue.arn),
                allow(
                    "states:DescribeExecution",
                    arn("states", f"execution:{machine_prefix()}pipeline-*:*"),
                ),
                *(
                    []
                    if backfills_arn is None
                    else [
                        allow(
                            "states:StartExecution",
                            arn("states", f"stateMachine:{machine_prefix()}alerts-{name}"),
                        )
                    ]
                ),
            ],
            log_group_arn=args.get("log_group_arn"),
            log_retention_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            opts=child,
        )
        deliver(name, heard, start(machine.arn), child, role=f"{name}-rules")
        for protocol, endpoints in (
            ("email", args.get("emails", [])),
            ("https", args.get("https_endpoints", [])),
        ):
            for endpoint in endpoints:
                aws.sns.TopicSubscription(
                    f"{name}-{endpoint}",
                    topic=topic.arn,
                    protocol=protocol,
                    endpoint=endpoint,
                    opts=child,
                )
        queues = {**args["dead_letter_queue_names"], name: queue.name}
        watched = Watched(
            rules={
                **args["rule_names"],
                **{rule_name: rule.name for rule_name, rule in heard.rules.items()},
            },
            schedule_group=args["schedule_group_name"],
            function=args["task_event_function_name"],
            alerts_machine_arn=machine.arn,
        )
        make(list(of_stack(watched)), topic_arns=topic_arns, runbook=runbook, opts=child)
        title = f"{project}-{stack}"
        shown = Shown(
            machines=args["machine_arns"],
            queues=queues,
            task_event_log_group=args["task_event_log_group_name"],
        )
        aws.cloudwatch.Dashboard(
            name,
            dashboard_name=title,
            dashboard_body=dashboard_body(shown, title=title, runbook=runbook),
            opts=child,
        )
        self.topic_arn = topic.arn
        self.chat_topic_arn = None if chat is None else chat.arn
        self.key_arn = key.arn
        self.dead_letter_queue_name = queue.name
        self.register_outputs(
            {
                "topic_arn": self.topic_arn,
                "chat_topic_arn": self.chat_topic_arn,
                "key_arn": self.key_arn,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )

    def _topic(self, name: str, key_arn: pulumi.Output[str]) -> aws.sns.Topic:
        child = pulumi.ResourceOptions(parent=self)
        topic = aws.sns.Topic(name, kms_master_key_id=key_arn, opts=child)
        aws.sns.TopicPolicy(name, arn=topic.arn, policy=_topic_policy(topic.arn), opts=child)
        return topic


# The alerts' own kind is not among them: what reports must not report itself.
_KINDS = ("job", "pipeline", "limit", "reaper")


def _executions(backfills_machine_arn: pulumi.Input[str] | None) -> dict[str, Any]:
    """Failed executions, pipelines that went on after a failed step, and jobs' warnings.

    The ARNs one by one would not fit into a pattern of 100 jobs.
    """

    def of(kind: str) -> dict[str, Any]:
        return {"prefix": arn("states", f"stateMachine:{machine_prefix()}{kind}-")}

    return {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            "$or": [
                {
                    "stateMachineArn": [
                        *(of(kind) for kind in _KINDS),
                        # Whole: its map's executions are of another, whose name begins with its.
                        *([] if backfills_machine_arn is None else [backfills_machine_arn]),
                    ],
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                },
                {
                    "stateMachineArn": [of("pipeline")],
                    "status": ["SUCCEEDED"],
                    "output": [{"wildcard": '*"FAILED"*'}],
                },
                {
                    "stateMachineArn": [of("job")],
                    "status": ["SUCCEEDED"],
                    "output": [{"wildcard": '*"warning"*'}],
                },
            ]
        },
    }


def _tasks(cluster_arn: pulumi.Input[str]) -> dict[str, Any]:
    """Tasks that a rule or a schedule started and that may not have succeeded.

    Which of several containers is the job's a pattern cannot tell; the state machine can.
    """
    return {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "clusterArn": [cluster_arn],
            "lastStatus": ["STOPPED"],
            "startedBy": [{"prefix": by} for by in STARTED_DIRECTLY],
            "$or": [
                {"stopCode": [{"anything-but": ["EssentialContainerExited"]}]},
                {"stopCode": [{"exists": False}]},
                {"containers": {"exitCode": [{"anything-but": [0]}]}},
                {"containers": {"exitCode": [{"exists": False}]}},
            ],
        },
    }


def _key_policy() -> pulumi.Output[str]:
    """https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html."""
    root = pulumi.Output.format("arn:{0}:iam::{1}:root", here().partition, account_id())
    return document(
        [
            {
                # In a key policy * is the key itself, and the account's IAM policies decide:
                # https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html
                "Effect": "Allow",
                "Principal": {"AWS": root},
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:SourceAccount": account_id()}},
            },
        ]
    )


def _topic_policy(topic_arn: pulumi.Input[str]) -> pulumi.Output[str]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html."""
    return document(
        [
            {
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": topic_arn,
                "Condition": {
                    "ArnLike": {"aws:SourceArn": arn("cloudwatch", "alarm:*")},
                    "StringEquals": {"aws:SourceAccount": account_id()},
                },
            },
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sns:Publish",
                "Resource": topic_arn,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ]
    )
