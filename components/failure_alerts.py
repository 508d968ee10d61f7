"""Failed executions become messages to the people who must know."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from ._dead_letters import accept_from_rule, dead_letter_queue
from ._iam import account_id, arn, document
from ._json import json_text
from ._machine import machine_prefix


class FailureAlertsArgs(TypedDict):
    """Who is told. What is watched are all state machines of this stack."""

    emails: NotRequired[list[str]]
    """Addresses that get the messages once their owner has confirmed the subscription."""
    https_endpoints: NotRequired[list[str]]
    """HTTPS URLs that get the messages; each must confirm its subscription."""


class FailureAlerts(pulumi.ComponentResource):
    """An encrypted SNS topic that gets a message for every execution that did not succeed.

    The topic's KMS key costs 1 USD a month: EventBridge cannot publish to a topic encrypted with
    the key that AWS manages.
    """

    topic_arn: pulumi.Output[str]
    """The topic's ARN, for subscriptions of one's own."""
    dead_letter_queue_name: pulumi.Output[str]
    """The name of the queue of messages that could not be published."""

    def __init__(
        self, name: str, args: FailureAlertsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:FailureAlerts", name, dict(args), opts)
        child = pulumi.ResourceOptions(parent=self)

        rule = aws.cloudwatch.EventRule(
            name,
            description="Executions that did not succeed",
            event_pattern=json_text(
                {
                    "source": ["aws.states"],
                    "detail-type": ["Step Functions Execution Status Change"],
                    "detail": {
                        # Their ARNs one by one would not fit into a pattern of 100 jobs.
                        "stateMachineArn": [
                            {"prefix": arn("states", f"stateMachine:{machine_prefix()}")}
                        ],
                        "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                    },
                }
            ),
            opts=child,
        )
        key = aws.kms.Key(
            name,
            description="Encrypts the failure messages",
            enable_key_rotation=True,
            policy=_key_policy(),
            opts=child,
        )
        topic = aws.sns.Topic(name, kms_master_key_id=key.arn, opts=child)
        published = aws.sns.TopicPolicy(
            name, arn=topic.arn, policy=_topic_policy(topic.arn, rule.arn), opts=child
        )
        queue = dead_letter_queue(name, child)
        accepts = accept_from_rule(name, queue, rule.arn, child)
        aws.cloudwatch.EventTarget(
            name,
            rule=rule.name,
            arn=topic.arn,
            dead_letter_config={"arn": queue.arn},
            # Variables stand outside quotes: a quote in a cause must not break the message.
            input_transformer={
                "input_paths": {
                    "cause": "$.detail.cause",
                    "error": "$.detail.error",
                    "execution": "$.detail.executionArn",
                    "status": "$.detail.status",
                },
                "input_template": (
                    '{"status": <status>, "error": <error>, "cause": <cause>,'
                    ' "execution": <execution>}'
                ),
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[accepts, published]),
        )
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
        self.topic_arn = topic.arn
        self.dead_letter_queue_name = queue.name
        self.register_outputs(
            {
                "topic_arn": self.topic_arn,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )


def _key_policy() -> pulumi.Output[str]:
    """https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html."""
    return document(
        [
            {
                # In a key policy * is the key itself:
                # https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html
                "Effect": "Allow",
                "Principal": {"AWS": _account_root()},
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Effect": "Allow",
                "Principal": {"Service": ["events.amazonaws.com", "cloudwatch.amazonaws.com"]},
                "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:SourceAccount": account_id()}},
            },
        ]
    )


def _account_root() -> pulumi.Output[str]:
    """The account itself as a principal, so that its IAM policies decide."""
    return pulumi.Output.format(
        "arn:{0}:iam::{1}:root", aws.get_partition_output().partition, account_id()
    )


def _topic_policy(topic_arn: pulumi.Input[str], rule_arn: pulumi.Input[str]) -> pulumi.Output[str]:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html."""
    return document(
        [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": topic_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
            },
            {
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": topic_arn,
                "Condition": {"ArnLike": {"aws:SourceArn": arn("cloudwatch", "alarm:*")}},
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
