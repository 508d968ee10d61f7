"""Rules and what they deliver to, with the role and the queue that a delivery takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from ._dead_letters import dead_letter_queue
from ._documents import json_text
from ._iam import Statement, allow, service_role

# A day and 185 attempts, the most EventBridge offers:
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
_FOR_A_DAY: aws.cloudwatch.EventTargetRetryPolicyArgsDict = {
    "maximum_event_age_in_seconds": 86_400,
    "maximum_retry_attempts": 185,
}


@dataclass(frozen=True)
class Rule:
    """Which events are delivered: those of a pattern, and those EventBridge makes at a rate."""

    description: str
    pattern: Mapping[str, Any]
    rate: str | None = None


@dataclass(frozen=True)
class Target:
    """What the events are delivered to, and what a role must be granted for it.

    A function takes no role: the rules are permitted to invoke it.
    """

    arn: pulumi.Input[str]
    statements: Sequence[Statement] = ()
    function_name: pulumi.Input[str] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further arguments of the target, such as `ecs_target`."""


def start(machine_arn: pulumi.Input[str]) -> Target:
    """A state machine that gets each event as the input of an execution."""
    return Target(machine_arn, [allow("states:StartExecution", machine_arn)])


@dataclass(frozen=True)
class Heard:
    """Rules that deliver nothing yet, and the queue of what they will not be able to deliver."""

    rules: Mapping[str, aws.cloudwatch.EventRule]
    queue: aws.sqs.Queue


def listen(
    name: str, rules: Mapping[str, Rule], opts: pulumi.ResourceOptions, *, protect: bool = False
) -> Heard:
    """The rules, by their names, and their dead-letter queue, which stays with `protect`."""
    made = {
        key: aws.cloudwatch.EventRule(
            key,
            description=rule.description,
            event_pattern=json_text(rule.pattern, escaped=False),
            schedule_expression=rule.rate,
            opts=opts,
        )
        for key, rule in rules.items()
    }
    arns = [rule.arn for rule in made.values()]
    return Heard(made, dead_letter_queue(name, opts, rules=arns, protect=protect))


def deliver(
    name: str,
    heard: Heard,
    to: Target,
    opts: pulumi.ResourceOptions,
    *,
    role: str | None = None,
    role_arn: pulumi.Input[str] | None = None,
) -> None:
    """Each rule's target, of the rule's name.

    `role` is the role's name, else `name`; `role_arn` another one that may do what the target
    takes. What cannot be delivered for a day goes to the queue.
    """
    before: list[pulumi.Resource] = []
    if to.function_name is not None:
        before = [permit(key, to.function_name, rule, opts) for key, rule in heard.rules.items()]
    elif role_arn is None:
        role_arn = service_role(
            role or name,
            service="events.amazonaws.com",
            source={"ArnEquals": {"aws:SourceArn": _one_or_all(heard.rules)}},
            statements=to.statements,
            opts=opts,
            deliveries=True,
        )
    ready = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=before))
    for key, rule in heard.rules.items():
        aws.cloudwatch.EventTarget(
            key,
            rule=rule.name,
            arn=to.arn,
            role_arn=role_arn,
            dead_letter_config={"arn": heard.queue.arn},
            retry_policy=_FOR_A_DAY,
            **to.parameters,
            opts=ready,
        )


def permit(
    name: str,
    function_name: pulumi.Input[str],
    rule: aws.cloudwatch.EventRule,
    opts: pulumi.ResourceOptions,
) -> aws.lambda_.Permission:
    """Let a rule invoke a function."""
    return aws.lambda_.Permission(
        name,
        action="lambda:InvokeFunction",
        function=function_name,
        principal="events.amazonaws.com",
        source_arn=rule.arn,
        opts=opts,
    )


# For what comes again every five minutes.
BEFORE_THE_NEXT: aws.cloudwatch.EventTargetRetryPolicyArgsDict = {
    "maximum_event_age_in_seconds": 240,
    "maximum_retry_attempts": 3,
}


def _one_or_all(
    rules: Mapping[str, aws.cloudwatch.EventRule],
) -> pulumi.Output[str] | list[pulumi.Output[str]]:
    arns = [rule.arn for rule in rules.values()]
    return arns[0] if len(arns) == 1 else arns
