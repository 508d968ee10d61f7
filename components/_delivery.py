"""Rules and what they deliver to, with the role and the queue that a delivery takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from ._dead_letters import accept_from_rule
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
    """Which events are delivered: those of a pattern, or one that EventBridge makes at a rate.

    One at a rate is dropped before the next is due, and leaves no dead letter.
    """

    description: str
    pattern: Mapping[str, Any] | None = None
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


def deliver(
    name: str,
    rules: Mapping[str, Rule],
    to: Target,
    queue: aws.sqs.Queue,
    opts: pulumi.ResourceOptions,
    *,
    role: str | None = None,
) -> dict[str, aws.cloudwatch.EventRule]:
    """The rules, by their names, each with its target of the same name.

    What cannot be delivered for a day goes to `queue`. `role` is the role's name, else `name`.
    """
    made = {
        key: aws.cloudwatch.EventRule(
            key,
            description=rule.description,
            event_pattern=None if rule.pattern is None else json_text(rule.pattern),
            schedule_expression=rule.rate,
            opts=opts,
        )
        for key, rule in rules.items()
    }
    kept = [made[key].arn for key, rule in rules.items() if rule.rate is None]
    # What arrives before the queue takes dead letters must not be lost.
    before: list[pulumi.Resource] = [accept_from_rule(name, queue, _one_or_all(kept), opts)]
    role_arn = None
    if to.function_name is None:
        source = {"ArnEquals": {"aws:SourceArn": _one_or_all([rule.arn for rule in made.values()])}}
        role_arn = service_role(
            role or name,
            service="events.amazonaws.com",
            source=source,
            statements=to.statements,
            opts=opts,
            deliveries=True,
        )
    else:
        before += [
            aws.lambda_.Permission(
                key,
                action="lambda:InvokeFunction",
                function=to.function_name,
                principal="events.amazonaws.com",
                source_arn=rule.arn,
                opts=opts,
            )
            for key, rule in made.items()
        ]
    ready = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=before))
    for key, rule in rules.items():
        delivery: dict[str, Any] = {
            "dead_letter_config": {"arn": queue.arn},
            "retry_policy": _FOR_A_DAY,
        }
        if rule.rate is not None:
            delivery = {"input": "{}", "retry_policy": _before_the_next()}
        aws.cloudwatch.EventTarget(
            key,
            rule=made[key].name,
            arn=to.arn,
            role_arn=role_arn,
            **delivery,
            **to.parameters,
            opts=ready,
        )
    return made


def _before_the_next() -> aws.cloudwatch.EventTargetRetryPolicyArgsDict:
    return {"maximum_event_age_in_seconds": 240, "maximum_retry_attempts": 3}


def _one_or_all(arns: list[pulumi.Output[str]]) -> pulumi.Output[str] | list[pulumi.Output[str]]:
    return arns[0] if len(arns) == 1 else arns
