"""EventBridge Scheduler: a schedule, by the clock of its timezone or by `fire`, to its target.

The store of schedules is MiniStack's; what AWS refuses, when a schedule is due and the delivery are
made here. https://docs.aws.amazon.com/scheduler/latest/UserGuide/what-is-scheduler.html
"""

import json
import random
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from local.clock import Alarm
from local.ministack import internals
from local.ministack.internals import Response
from local.ministack.seam import Refused, Request, serve
from local.runtime import Runtime
from local.services import delivery
from local.services.delivery import Deliveries, DeliveryError, Exhausted
from local.services.events import targets
from local.services.iam import iam
from local.services.scheduler import expressions

# The longest wait at once, so that a laptop that slept finds its schedules again.
_MAX_WAIT_SECONDS = 30.0


class NoSchedule(Exception):  # noqa: N818 - says what happened
    """There is no such schedule, or several groups have one of that name."""


@dataclass(kw_only=True)
class _Firing(delivery.Sending):
    schedule: dict[str, Any]
    execution_id: str
    scheduled: datetime


class _Schedules:
    """The schedules of the open cloud, each with the alarm of its next time."""

    def __init__(self, cloud: Runtime) -> None:
        self._cloud = cloud
        self._deliveries = Deliveries[_Firing](
            cloud,
            "schedule",
            self._deliver,
            lambda firing: delivery.retry_policy(firing.schedule["Target"]),
            _give_up,
        )
        self._clock = self._deliveries.clock
        self._alarms: dict[str, Alarm] = {}
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Fire nothing more."""
        self._closed = True
        self._deliveries.close()

    def arm(self, key: str, after: datetime | None = None) -> None:
        """Set the alarm for a schedule's first time after `after`, by default from now on."""
        with self._lock:
            if (old := self._alarms.pop(key, None)) is not None:
                old.cancel()
        with self._cloud.scope():
            schedule: dict[str, Any] | None = internals.schedules().get(key)
        if schedule is None or schedule["State"] != "ENABLED":
            return
        due = _next(schedule, after or datetime.now(UTC) - timedelta(microseconds=1))
        if due is None:
            self._complete(key, schedule)
            return
        window: dict[str, Any] = schedule["FlexibleTimeWindow"]
        flexible = window.get("Mode") == "FLEXIBLE"
        spread = 60.0 * window.get("MaximumWindowInMinutes", 0) if flexible else 0.0
        at = due + timedelta(seconds=random.uniform(0, spread))  # noqa: S311 - spreads load
        self._watch(key, schedule, due, at)

    def _watch(self, key: str, schedule: dict[str, Any], due: datetime, at: datetime) -> None:
        left = (at - datetime.now(UTC)).total_seconds()

        def ring() -> None:
            if datetime.now(UTC) < at:
                self._watch(key, schedule, due, at)
                return
            self.fire(schedule, due)
            self.arm(key, due)

        with self._lock:
            if not self._closed:
                wait = min(max(left, 0.0), _MAX_WAIT_SECONDS)
                self._alarms[key] = self._clock.after(wait, ring)

    def _complete(self, key: str, schedule: dict[str, Any]) -> None:
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-delete.html
        if schedule.get("ActionAfterCompletion") == "DELETE":
            with self._cloud.scope():
                internals.schedules().pop(key, None)

    def fire(self, schedule: dict[str, Any], scheduled: datetime) -> str:
        """Deliver to the schedule's target, in a thread of its own; the id of this execution."""
        firing = _Firing(
            schedule=dict(schedule), execution_id=str(uuid.uuid4()), scheduled=scheduled
        )
        self._deliveries.send(firing, firing.execution_id)
        return firing.execution_id

    async def handle_put(self, request: Request) -> Response:
        """CreateSchedule and UpdateSchedule: what AWS refuses is, what is kept is armed."""
        if (refusal := _refusal(request.members)) is not None:
            raise Refused("ValidationException", refusal)
        response = await request.pass_on()
        if response[0] == 200:
            self.arm(f"{request.members.get('GroupName', 'default')}/{request.members['Name']}")
        return response

    async def handle_delete(self, request: Request) -> Response:
        """DeleteSchedule: it is not armed any more."""
        response = await request.pass_on()
        self.arm(f"{request.members.get('groupName', 'default')}/{request.members['Name']}")
        return response

    def find(self, name_or_arn: str, group: str | None) -> dict[str, Any]:
        """The one schedule of that name or ARN, of the group if one is given; else NoSchedule."""
        with self._cloud.scope():
            every: list[dict[str, Any]] = list(internals.schedules().values())
        found = [
            schedule
            for schedule in every
            if name_or_arn in {schedule["Arn"], schedule["Name"]}
            and group in {None, schedule["GroupName"]}
        ]
        if not found:
            names = ", ".join(sorted(schedule["Name"] for schedule in every)) or "none"
            raise NoSchedule(f"there is no schedule {name_or_arn!r}; there are: {names}")
        if len(found) > 1:
            groups = ", ".join(sorted(schedule["GroupName"] for schedule in found))
            raise NoSchedule(f"several groups have a schedule {name_or_arn!r}, name one: {groups}")
        return found[0]

    def _deliver(self, firing: _Firing) -> None:
        schedule, target = firing.schedule, firing.schedule["Target"]
        sender = targets.Sender(
            principal="scheduler.amazonaws.com",
            source_arn=schedule["Arn"],
            role_arn=target["RoleArn"],
            started_by=f"chronos-schedule/{schedule['Name']}",
            execution_name=firing.execution_id,
            about=f"schedule {schedule['Name']}",
        )
        targets.deliver(target, _payload(firing), sender, self._cloud.faults)


_open: list[_Schedules] = []


def install(cloud: Runtime) -> None:
    """Refuse, keep and fire schedules as AWS does, until the cloud closes."""
    schedules = _Schedules(cloud)
    _open.append(schedules)
    cloud.on_close(_open.clear)
    cloud.on_close(schedules.close)
    internals.start_schedules.replace(lambda: None)
    operations = {
        "CreateSchedule": schedules.handle_put,
        "UpdateSchedule": schedules.handle_put,
        "DeleteSchedule": schedules.handle_delete,
    }
    cloud.on_close(serve("scheduler", operations))


def fire(name_or_arn: str, group: str | None = None) -> str:
    """Fire a schedule now, whatever its state; the id of this execution.

    Raises:
        NoSchedule: there is none of that name, or in more than one group.
    """
    for schedules in _open:
        return schedules.fire(schedules.find(name_or_arn, group), datetime.now(UTC))
    raise NoSchedule("no cloud is open")


def handle_control(path: str, query: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Answer a request to this program itself: status and JSON body.

    `/_fargate-batch/fire?name=NAME[&group=GROUP]` fires a schedule: `{"executionId": …}`, or 404
    and `{"message": …}`.
    """
    if path != "/_fargate-batch/fire" or not query.get("name"):
        return 404, {"message": f"there is nothing at {path}"}
    try:
        return 200, {"executionId": fire(query["name"], query.get("group"))}
    except NoSchedule as error:
        return 404, {"message": str(error)}


def _refusal(body: dict[str, Any]) -> str | None:  # noqa: PLR0911 - one a refusal
    """What AWS refuses about a schedule, None if nothing."""
    expression = str(body.get("ScheduleExpression", ""))
    if expressions.problem(expression) is not None:
        return f"Invalid Schedule Expression {expression}."
    try:
        zone = ZoneInfo(body.get("ScheduleExpressionTimezone") or "UTC")
    except (KeyError, OSError, ValueError):
        return f"The provided timezone {body['ScheduleExpressionTimezone']} is not valid."
    window: dict[str, Any] = body.get("FlexibleTimeWindow") or {}
    minutes = window.get("MaximumWindowInMinutes")
    if (window.get("Mode") == "FLEXIBLE") != (minutes is not None):
        return "MaximumWindowInMinutes must be given for the mode FLEXIBLE, and for no other."
    now = datetime.now(UTC)
    if expression.startswith("at(") and expressions.next_due(expression, zone, now, now) is None:
        return f"Invalid Schedule Expression {expression}. The time must be in the future."
    start, end = _time(body.get("StartDate")), _time(body.get("EndDate"))
    if start is not None and end is not None and end <= start:
        return "The StartDate must come before the EndDate."
    # A one-time schedule has no use for it.
    if (
        start is not None
        and start < now - timedelta(minutes=5)
        and not expression.startswith("at(")
    ):
        return "The StartDate you specify cannot be earlier than 5 minutes ago."
    if end is not None and end <= now:
        return "The EndDate you specify cannot be earlier than now."
    return None


def _time(value: float | str | None) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return datetime.fromtimestamp(value, UTC)


def _next(schedule: dict[str, Any], after: datetime) -> datetime | None:
    """The first time later than `after`, within the schedule's dates; None if there is none.

    A rate without StartDate begins when the schedule is created.
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#rate-based
    """
    start, end = _time(schedule.get("StartDate")), _time(schedule.get("EndDate"))
    anchor = start or datetime.fromtimestamp(schedule["CreationDate"], UTC)
    if start is not None:
        after = max(after, start - timedelta(microseconds=1))
    zone = ZoneInfo(schedule.get("ScheduleExpressionTimezone") or "UTC")
    due = expressions.next_due(schedule["ScheduleExpression"], zone, after, anchor)
    return due if due is not None and (end is None or due <= end) else None


# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
def _payload(firing: _Firing) -> str:
    text: str = firing.schedule["Target"].get("Input") or "{}"
    for name, value in {
        "schedule-arn": firing.schedule["Arn"],
        "scheduled-time": _stamp(firing.scheduled),
        "execution-id": firing.execution_id,
        "attempt-number": str(firing.retries + 1),
    }.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _give_up(firing: _Firing, error: DeliveryError, exhausted: Exhausted | None) -> None:
    """Send a dead letter with the schedule's role.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
    """
    target: dict[str, Any] = firing.schedule["Target"]
    queue_arn: str | None = (target.get("DeadLetterConfig") or {}).get("Arn")
    if queue_arn is None:
        return
    attributes = {
        "SCHEDULE_ARN": firing.schedule["Arn"],
        "TARGET_ARN": target["Arn"],
        "EXECUTION_ID": firing.execution_id,
        "SCHEDULED_TIME": _stamp(firing.scheduled),
        "IS_PAYLOAD_TRUNCATED": "false",
        **delivery.why(error, firing.retries, exhausted),
    }
    payload = _payload(firing)
    body: dict[str, Any] = {"Input": payload, "Target": target["Arn"]}
    if ":states:" in target["Arn"]:
        body = {"StateMachineArn": target["Arn"], "Name": firing.execution_id, "Input": payload}
    delivery.send_dead_letter(
        queue_arn,
        json.dumps(body, ensure_ascii=False),
        attributes,
        lambda: iam.for_send_message(target["RoleArn"], queue_arn),
    )
