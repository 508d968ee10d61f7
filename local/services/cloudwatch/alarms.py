"""CloudWatch: what an alarm is of, and what it tells when its state changes.

Alarms and their states stay MiniStack's.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
"""

from http import HTTPStatus
from typing import Any

from local.ministack import internals
from local.runtime import Runtime
from local.services.iam import iam

_ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")


def install(cloud: Runtime) -> None:  # noqa: ARG001 - as every part
    """Publish as the service, which the topic's policy must allow, until the cloud closes."""

    def dispatch_allowed(
        alarm: dict[str, Any], old_state: str, new_state: str, reason: str
    ) -> None:
        arn: str = alarm["AlarmArn"]
        allowed = {
            actions: [topic for topic in alarm.get(actions) or [] if _may_publish(arn, topic)]
            for actions in _ACTIONS
        }
        internals.send_alarm.original({**alarm, **allowed}, old_state, new_state, reason)

    internals.send_alarm.replace(dispatch_allowed)
    internals.put_metric_alarm.replace(_put)


def _put(
    params: dict[str, Any],
    members: dict[str, Any],
    is_cbor: bool,  # noqa: FBT001 - as it is called
    is_json: bool = False,  # noqa: FBT001, FBT002
) -> internals.Response:
    """Put an alarm, with its queries if it is on several metrics: then it has no statistic.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    """
    answer = internals.put_metric_alarm.original(params, members, is_cbor, is_json)
    if answer[0] == HTTPStatus.OK and members and (queries := members.get("Metrics")):
        alarm = internals.metric_alarms()[members["AlarmName"]]
        alarm["Metrics"] = queries
        for of_one_metric in ("Statistic", "Period"):
            alarm.pop(of_one_metric, None)
    return answer


def _may_publish(alarm_arn: str, action: str) -> bool:
    if ":sns:" not in action:
        return True
    try:
        iam.for_service_publish("cloudwatch.amazonaws.com", action, alarm_arn)
    except iam.AccessDenied:
        return False
    return True
