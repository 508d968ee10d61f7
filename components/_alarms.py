"""Alarms on what the watcher cannot tell of: events that are lost, and what tells itself.

CloudWatch bills 0.10 USD a month for each metric an alarm looks at, ten at most.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from .names import machine_prefix

PERIOD_SECONDS = 300
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
METRICS_OF_AN_ALARM = 10

Dimensions = Mapping[str, pulumi.Input[str]]


@dataclass(frozen=True)
class Watched:
    """What the alarms look at."""

    rules: Mapping[str, pulumi.Input[str]]
    schedule_group: pulumi.Input[str]
    function: pulumi.Input[str]
    alerts_machine_arn: pulumi.Input[str]


@dataclass(frozen=True)
class Alarm:
    """One metric, of one or some things, and when it is too high: at 1, unless `below`."""

    name: str
    about: str
    section: str
    namespace: str
    metric: str
    of: Sequence[Dimensions]
    periods: int = 1
    below: bool = field(default=False)
    """Whether it is too low instead, and its absence the worst."""


def make(
    alarms: Sequence[Alarm],
    *,
    topic_arns: Sequence[pulumi.Input[str]],
    runbook: str,
    opts: pulumi.ResourceOptions,
) -> None:
    """The alarms, published to the topics; the description says where to read on."""
    for alarm in alarms:
        aws.cloudwatch.MetricAlarm(
            alarm.name,
            name=f"{machine_prefix()}{alarm.name}",
            alarm_description=f"{alarm.about} See {runbook}#{alarm.section}",
            evaluation_periods=alarm.periods,
            datapoints_to_alarm=alarm.periods,
            threshold=1,
            comparison_operator="LessThanThreshold"
            if alarm.below
            else "GreaterThanOrEqualToThreshold",
            # No failure, no datapoint; and none of what should be there is a failure.
            treat_missing_data="breaching" if alarm.below else "notBreaching",
            alarm_actions=list(topic_arns),
            **_measured(alarm),
            opts=opts,
        )


def _measured(alarm: Alarm) -> dict[str, Any]:
    if len(alarm.of) == 1:
        return {
            "namespace": alarm.namespace,
            "metric_name": alarm.metric,
            "dimensions": dict(alarm.of[0]),
            "statistic": "Sum",
            "period": PERIOD_SECONDS,
        }
    queries: list[dict[str, Any]] = [
        {
            "id": f"m{number}",
            "metric": {
                "namespace": alarm.namespace,
                "metric_name": alarm.metric,
                "dimensions": dict(dimensions),
                "stat": "Sum",
                "period": PERIOD_SECONDS,
            },
        }
        for number, dimensions in enumerate(alarm.of)
    ]
    total = {"id": "total", "expression": "SUM(METRICS())", "label": alarm.metric}
    return {"metric_queries": [{**total, "return_data": True}, *queries]}


def of_stack(watched: Watched) -> Iterator[Alarm]:
    """The alarms of a stack, however many triggers it has."""
    yield from _lost_events(list(watched.rules.values()))
    yield from _schedules(watched.schedule_group)
    yield from _task_events(watched.function)
    yield Alarm(
        "alerts-not-sent",
        "A message about a failure could not be sent.",
        "alarm-alerts-not-sent",
        "AWS/States",
        "ExecutionsFailed",
        [{"StateMachineArn": watched.alerts_machine_arn}],
    )


# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
def _lost_events(rules: Sequence[pulumi.Input[str]]) -> Iterator[Alarm]:
    for start in range(0, len(rules), METRICS_OF_AN_ALARM):
        yield Alarm(
            f"events-lost-{start // METRICS_OF_AN_ALARM}",
            "A rule gave up on an event and could not keep it in its dead-letter queue.",
            "alarm-events-lost",
            "AWS/Events",
            "InvocationsFailedToBeSentToDlq",
            [{"RuleName": rule} for rule in rules[start : start + METRICS_OF_AN_ALARM]],
        )


# https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
def _schedules(group: pulumi.Input[str]) -> Iterator[Alarm]:
    # A start that fails once and succeeds when tried again is no reason to wake anybody.
    for name, about, metric, periods in (
        ("dropped", "A scheduled start was given up.", "InvocationDroppedCount", 1),
        (
            "lost",
            "A scheduled start was given up and could not be kept in its dead-letter queue.",
            "InvocationsFailedToBeSentToDeadLetterCount",
            1,
        ),
        ("errors", "Scheduled starts keep failing.", "TargetErrorCount", 3),
        ("throttled", "Scheduled starts keep being throttled.", "TargetErrorThrottledCount", 3),
    ):
        yield Alarm(
            f"schedule-{name}",
            about,
            "alarm-schedules",
            "AWS/Scheduler",
            metric,
            [{"ScheduleGroup": group}],
            periods,
        )


# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
def _task_events(function: pulumi.Input[str]) -> Iterator[Alarm]:
    for name, about, metric in (
        ("errors", "The function that logs task events failed.", "Errors"),
        ("throttled", "The function that logs task events is throttled.", "Throttles"),
    ):
        yield Alarm(
            f"task-events-{name}",
            about,
            "alarm-task-events",
            "AWS/Lambda",
            metric,
            [{"FunctionName": function}],
        )


# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
def of_watcher(function: pulumi.Input[str]) -> Iterator[Alarm]:
    """The alarms on the function that looks every five minutes."""
    of = [{"FunctionName": function}]
    section, namespace = "alarm-watcher", "AWS/Lambda"
    yield Alarm(
        "watcher-silent",
        "Nobody looks: the watcher has not run for 15 minutes.",
        section,
        namespace,
        "Invocations",
        of,
        periods=3,
        below=True,
    )
    yield Alarm(
        "watcher-errors", "The watcher failed.", section, namespace, "Errors", of, periods=2
    )
