"""Queues for what could not be delivered, kept for 14 days: long enough for a long holiday."""

from collections.abc import Collection, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from ._here import here, migrates_states
from ._iam import document, role_arns_under

RETENTION_SECONDS = 14 * 24 * 60 * 60


def dead_letter_queue(
    name: str,
    opts: pulumi.ResourceOptions,
    *,
    rules: Sequence[pulumi.Input[str]] = (),
    role_arn: pulumi.Input[str] | None = None,
    protect: bool = False,
) -> aws.sqs.Queue:
    """An encrypted queue whose messages stay 14 days, the most SQS allows; over TLS only.

    These rules may send to it, or this role: whoever else does needs a grant of its own. The
    stack's watcher may look at it. With `protect` Pulumi never deletes it.
    """
    statements = [_tls_only(), _may_look()]
    if rules:
        # A rule writes its dead letters as the service, not with its role:
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
        source = list(rules) if len(rules) > 1 else rules[0]
        statements.append(_may_send({"Service": "events.amazonaws.com"}, "SourceArn", source))
    if role_arn is not None:
        # Not as the principal: SQS refuses a role that IAM has only just made.
        statements.append(_may_send("*", "PrincipalArn", role_arn))
    return aws.sqs.Queue(
        f"{name}-dead-letters",
        message_retention_seconds=RETENTION_SECONDS,
        sqs_managed_sse_enabled=True,
        policy=document(statements),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=protect)),
    )


# In a queue's own policy * is the queue, whose ARN is not known before it is made:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/quickref-sns.html
_THE_QUEUE = "*"


def queue_url() -> pulumi.Output[str]:
    """What the URLs of the account's queues begin with, before their names.

    https://docs.aws.amazon.com/general/latest/gr/sqs-service.html
    """
    return here().all.apply(
        lambda of: f"https://sqs.{of[1]}.amazonaws.com{'.cn' * (of[0] == 'aws-cn')}/{of[2]}/"
    )


# Below the IAM path of the stack's roles, where no job's role is.
READER_PATH = "watch/"


def _may_look() -> dict[str, Any]:
    """What the watcher takes: a list of all queues would not fit into its role's policy."""
    return {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
        "Resource": _THE_QUEUE,
        "Condition": {"ArnLike": {"aws:PrincipalArn": role_arns_under(READER_PATH)}},
    }


def _may_send(principal: object, key: str, value: object) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": principal,
        "Action": "sqs:SendMessage",
        "Resource": _THE_QUEUE,
        "Condition": {"ArnEquals": {f"aws:{key}": value}},
    }


def _tls_only() -> dict[str, Any]:
    return {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": _THE_QUEUE,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def with_queue(opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """A component's options, such that a queue's policy of before becomes part of its queue.

    Pulumi would delete the resource of before, after it has updated the queue: with its policy.
    Pulumi's mocks have no state of before to migrate.
    """
    if not migrates_states():
        return pulumi.ResourceOptions.merge(opts, None)
    fold = pulumi.ResourceOptions(state_migrations=[fold_queue_policies])
    return pulumi.ResourceOptions.merge(opts, fold)


def fold_queue_policies(args: pulumi.StateMigrationArgs) -> pulumi.StateMigrationResult | None:
    """The state of a component with each queue's policy succeeded by the queue."""
    queues = {one["id"]: one["urn"] for one in args.old_state if one["type"] == _QUEUE}
    successors = {
        one["urn"]: queues[one["id"]]
        for one in args.old_state
        if one["type"] == _QUEUE_POLICY and one.get("id") in queues
    }
    if not successors:
        return None
    there = {one["urn"] for one in args.old_state}
    kept = [_within(there, one) for one in args.old_state if one["urn"] not in successors]
    return pulumi.StateMigrationResult(kept, successors)


def _within(there: Collection[str], state: dict[str, Any]) -> dict[str, Any]:
    """The state of a resource without what it depends on elsewhere.

    That may have been registered under another URN by now, and Pulumi knows it by none but that.
    """
    of = state.get("propertyDependencies") or {}
    return {
        **state,
        "dependencies": [urn for urn in state.get("dependencies") or [] if urn in there],
        "propertyDependencies": {
            key: [urn for urn in urns or [] if urn in there] for key, urns in of.items()
        },
    }


_QUEUE = "aws:sqs/queue:Queue"
_QUEUE_POLICY = "aws:sqs/queuePolicy:QueuePolicy"
