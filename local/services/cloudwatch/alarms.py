"""CloudWatch: an alarm that changes its state to the topics it may tell.

Alarms and their states stay MiniStack's.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
"""

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


def _may_publish(alarm_arn: str, action: str) -> bool:
    if ":sns:" not in action:
        return True
    try:
        iam.for_service_publish("cloudwatch.amazonaws.com", action, alarm_arn)
    except iam.AccessDenied:
        return False
    return True
