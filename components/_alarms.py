"""Alarms on what no execution and no task reports: deliveries, schedules, the log of task events.

CloudWatch bills 0.10 USD a month for each metric an alarm looks at, and for a query each metric it
finds, so one alarm for each queue and rule costs no more than one over all, and names the culprit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from ._machine import machine_prefix

PERIOD_SECONDS = 300


@dataclass(frozen=True)
class Watched:
    """What the alarms look at."""

    queues: Mapping[str, pulumi.Input[str]]
    rules: Mapping[str, pulumi.Input[str]]
    schedule_group: pulumi.Input[str]
    function: pulumi.Input[str]
    alerts_machine_arn: pulumi.Input[str]


@dataclass(frozen=True)
class _Alarm:
    name: str
    about: str
    section: str
    namespace: str
    metric: str
    dimensions: Mapping[str, pulumi.Input[str]]
    statistic: str = "Sum"
    periods: int = 1


def alarms(
    watched: Watched, *, topic_arn: pulumi.Input[str], runbook: str, opts: pulumi.ResourceOptions
) -> None:
    """One alarm for each metric, published to the topic; its description says where to read on."""
    for alarm in _alarms(watched):
        aws.cloudwatch.MetricAlarm(
            alarm.name,
            name=f"{machine_prefix()}{alarm.name}",
            alarm_description=f"{alarm.about} See {runbook}#{alarm.section}",
            namespace=alarm.namespace,
            metric_name=alarm.metric,
            dimensions=dict(alarm.dimensions),
            statistic=alarm.statistic,
            period=PERIOD_SECONDS,
            evaluation_periods=alarm.periods,
            datapoints_to_alarm=alarm.periods,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            # No failure, no datapoint.
            treat_missing_data="notBreaching",
            alarm_actions=[topic_arn],
            opts=opts,
        )


def _alarms(watched: Watched) -> list[_Alarm]:
    return [
        *(_dead_letters(name, queue) for name, queue in watched.queues.items()),
        *(_failed_invocations(name, rule) for name, rule in watched.rules.items()),
        *_schedules(watched.schedule_group),
        *_task_events(watched.function),
        _Alarm(
            "alerts-not-sent",
            "A message about a failure could not be sent.",
            "alarm-alerts-not-sent",
            "AWS/States",
            "ExecutionsFailed",
            {"StateMachineArn": watched.alerts_machine_arn},
        ),
    ]


# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
def _dead_letters(name: str, queue: pulumi.Input[str]) -> _Alarm:
    return _Alarm(
        f"{name}-dead-letters",
        f"Events or starts that {name} could not deliver are in its dead-letter queue.",
        "alarm-dead-letters",
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        {"QueueName": queue},
        statistic="Maximum",
    )


# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
def _failed_invocations(name: str, rule: pulumi.Input[str]) -> _Alarm:
    return _Alarm(
        f"{name}-failed-invocations",
        f"The rule of {name} gave up on an event.",
        "alarm-failed-invocations",
        "AWS/Events",
        "FailedInvocations",
        {"RuleName": rule},
    )


# https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
def _schedules(group: pulumi.Input[str]) -> list[_Alarm]:
    def alarm(name: str, about: str, metric: str, periods: int) -> _Alarm:
        return _Alarm(
            name,
            about,
            "alarm-schedules",
            "AWS/Scheduler",
            metric,
            {"ScheduleGroup": group},
            periods=periods,
        )

    # A start that fails once and succeeds when tried again is no reason to wake anybody.
    return [
        alarm(
            "schedule-dropped",
            "EventBridge Scheduler gave up on a start.",
            "InvocationDroppedCount",
            1,
        ),
        alarm("schedule-errors", "Scheduled starts keep failing.", "TargetErrorCount", 3),
        alarm(
            "schedule-throttled",
            "Scheduled starts keep being throttled.",
            "TargetErrorThrottledCount",
            3,
        ),
    ]


# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
def _task_events(function: pulumi.Input[str]) -> list[_Alarm]:
    def alarm(name: str, about: str, metric: str) -> _Alarm:
        dimensions = {"FunctionName": function}
        return _Alarm(name, about, "alarm-task-events", "AWS/Lambda", metric, dimensions)

    return [
        alarm("task-events-errors", "The function that logs task events failed.", "Errors"),
        alarm(
            "task-events-throttled", "The function that logs task events is throttled.", "Throttles"
        ),
    ]
