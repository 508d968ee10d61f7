"""Queues for what could not be delivered, kept for 14 days: long enough for a long holiday."""

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from ._iam import document

RETENTION_SECONDS = 14 * 24 * 60 * 60


def dead_letter_queue(name: str, opts: pulumi.ResourceOptions) -> aws.sqs.Queue:
    """An encrypted queue whose messages stay 14 days, the most SQS allows."""
    return aws.sqs.Queue(
        f"{name}-dead-letters",
        message_retention_seconds=RETENTION_SECONDS,
        sqs_managed_sse_enabled=True,
        opts=opts,
    )


def accept_from_rule(
    name: str,
    queue: aws.sqs.Queue,
    rule_arn: pulumi.Input[str] | Sequence[pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> aws.sqs.QueuePolicy:
    """Lets one EventBridge rule or some, and nobody else, send to the queue, over TLS only.

    A rule writes its dead letters as the service, not with its role:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    return aws.sqs.QueuePolicy(
        f"{name}-dead-letters",
        queue_url=queue.url,
        policy=document(
            [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "events.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": queue.arn,
                    "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
                },
                tls_only(queue.arn),
            ]
        ),
        opts=opts,
    )


def accept_over_tls(
    name: str, queue: aws.sqs.Queue, opts: pulumi.ResourceOptions
) -> aws.sqs.QueuePolicy:
    """Refuses what does not come over TLS; who may send is the senders' roles' matter."""
    return aws.sqs.QueuePolicy(
        f"{name}-dead-letters",
        queue_url=queue.url,
        policy=document([tls_only(queue.arn)]),
        opts=opts,
    )


def tls_only(queue_arn: pulumi.Input[str]) -> dict[str, object]:
    """The statement that denies whatever does not come over TLS."""
    return {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": queue_arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
