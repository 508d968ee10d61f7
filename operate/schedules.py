"""Schedules: when each is due next, how its last run went, and whether one is missing."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from . import due, events, runs, targets
from .errors import FAILED, OperateError, check
from .pauses import Pause, path_of, pauses, switch
from .runs import Run
from .stack import Stack, Trigger

SHOWN = 5
"""How many of the times to come are told."""
GRACE = timedelta(minutes=15)
"""How much later than its time a run may begin before it is late."""
_LOOK_BACK = timedelta(days=32)
_LOOK_AHEAD = (timedelta(days=8), timedelta(days=400), timedelta(days=1500))
_AT_ONCE = 8


@dataclass(frozen=True)
class Schedule:
    """A schedule of the stack."""

    name: str
    kind: str
    """pipeline, or schedule: a task straight from Scheduler."""
    arn: str
    enabled: bool
    expression: str
    timezone: str
    next: tuple[datetime, ...]
    last: Run | None
    """The newest run that it started."""
    late: datetime | None
    """When it was due and nothing ran, if that is so."""
    pause: Pause | None = None
    """Why it does not fire, if a person paused it."""

    @property
    def state(self) -> str:
        """enabled, disabled, or paused and until when."""
        return "paused" if self.pause else "enabled" if self.enabled else "disabled"


class LastRuns:
    """The newest run of each schedule, of which each reading takes what is new since the last."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._found: dict[tuple[str, str], Run] = {}
        self._since: datetime | None = None

    def runs(self, now: datetime) -> Mapping[tuple[str, str], Run]:
        """The runs by the kind and name of their schedule."""
        condition = events.both(
            events.equals("trigger.kind", "schedule"),
            events.either(events.EXECUTIONS, events.ENDED_TASKS),
        )
        lines = events.read(self._stack, condition, self._since or now - _LOOK_BACK)
        newest: dict[tuple[str, str], Run] = {}
        for run in runs.of_lines(self._stack, lines):
            # One that a person fired has the schedule's input, too.
            if run.kind == "pipeline":
                newest.setdefault(("pipeline", run.name), run)
            elif run.started.kind == "schedule":
                newest.setdefault(("schedule", run.started.name or ""), run)
        for key, run in newest.items():
            if key not in self._found or run.began >= self._found[key].began:
                self._found[key] = run
        self._since = now - runs.OVERLAP
        return self._found


def every(
    stack: Stack, now: datetime | None = None, last: LastRuns | None = None
) -> list[Schedule]:
    """All schedules, by name: a call for each, and one reading of the log."""
    moment = now or datetime.now(UTC)
    started = (last or LastRuns(stack)).runs(moment)
    paused = _pauses(stack)
    triggers = sorted(stack.schedules.values(), key=lambda one: (one.kind, one.name))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda one: _schedule(stack, one, started, moment), triggers)
        return [
            replace(one, pause=paused.get(trigger.label))
            for one, trigger in zip(found, triggers, strict=True)
        ]


def pause(stack: Stack, name: str, reason: str, until: datetime | None = None) -> Pause:
    """Keep a schedule from firing until it is resumed, or a time; a pause of before is changed.

    Raises:
        OperateError: there is no such schedule, or its configuration has disabled it.
    """
    trigger = _named(stack, name)
    if trigger.label in stack.disabled:
        raise OperateError(f"{name} does not fire: its configuration has it disabled", FAILED)
    arn = trigger.schedule_arn or ""
    made = Pause(arn, stack.aws.caller(), reason, datetime.now(UTC), until)
    # First what a deployment looks at.
    stack.aws.client("ssm").put_parameter(
        Name=f"{path_of(stack.project, stack.name)}{trigger.label}",
        Value=made.text,
        Type="String",
        Overwrite=True,
    )
    switch(stack.aws.client("scheduler"), arn, "DISABLED")
    return made


def resume(stack: Stack, name: str) -> Pause:
    """Have a schedule that was paused fire again, unless its configuration has disabled it since.

    Raises:
        OperateError: there is no such schedule, or it is not paused.
    """
    trigger = _named(stack, name)
    found = _pauses(stack).get(trigger.label)
    if found is None:
        raise OperateError(f"{name} is not paused", FAILED)
    if trigger.label not in stack.disabled:
        switch(stack.aws.client("scheduler"), trigger.schedule_arn or "", "ENABLED")
    stack.aws.client("ssm").delete_parameter(
        Name=f"{path_of(stack.project, stack.name)}{trigger.label}"
    )
    return found


def _named(stack: Stack, name: str) -> Trigger:
    schedules = stack.schedules
    check("schedule", name, schedules)
    if not schedules[name].schedule_arn:
        raise OperateError(f"{name} has no schedule", FAILED)
    return schedules[name]


def _pauses(stack: Stack) -> dict[str, Pause]:
    return pauses(stack.aws.client("ssm"), path_of(stack.project, stack.name))


def _schedule(
    stack: Stack, trigger: Trigger, started: Mapping[tuple[str, str], Run], now: datetime
) -> Schedule:
    arn = trigger.schedule_arn or ""
    found = targets.of_schedule(stack.aws, arn)
    expression: str = found["ScheduleExpression"]
    timezone: str = found.get("ScheduleExpressionTimezone") or "UTC"
    enabled = found["State"] == "ENABLED"
    run = started.get((trigger.kind, trigger.name))
    late = _last_due(found, now) if enabled else None
    if run is not None and late is not None and run.began >= late:
        late = None
    return Schedule(
        name=trigger.name,
        kind=trigger.kind,
        arn=arn,
        enabled=enabled,
        expression=expression,
        timezone=timezone,
        next=_next(found, now) if enabled else (),
        last=run,
        late=late,
    )


def _next(found: Mapping[str, Any], now: datetime) -> tuple[datetime, ...]:
    times: list[datetime] = []
    for ahead in _LOOK_AHEAD:
        times = _between(found, now, now + ahead)
        if len(times) >= SHOWN:
            break
    return tuple(times[:SHOWN])


def _last_due(found: Mapping[str, Any], now: datetime) -> datetime | None:
    """The last time that it was due and a run should be there by now; not from before a change."""
    window = timedelta(minutes=found["FlexibleTimeWindow"].get("MaximumWindowInMinutes") or 0)
    until = now - GRACE - window
    changed: datetime = found["LastModificationDate"]
    times = _between(found, max(changed.astimezone(UTC), until - _LOOK_BACK), until)
    return times[-1] if times else None


def _between(found: Mapping[str, Any], after: datetime, until: datetime) -> list[datetime]:
    """The times within, and within the schedule's own dates."""
    start, end = found.get("StartDate"), found.get("EndDate")
    anchor: datetime = (start or found["CreationDate"]).astimezone(UTC)
    if start is not None:
        after = max(after, anchor - timedelta(microseconds=1))
    if end is not None:
        until = min(until, end.astimezone(UTC))
    if until <= after:
        return []
    expression: str = found["ScheduleExpression"]
    step = due.rate_of(expression)
    if step is None:
        timezone = found.get("ScheduleExpressionTimezone") or "UTC"
        return due.due_times(expression, timezone, after, until)
    # A rate counts from its beginning; of many times the last thousand are enough.
    first = max(after, until - 1000 * step)
    aligned = anchor + ((first - anchor) // step) * step
    return [moment for moment in due.due_times(expression, "UTC", aligned, until) if moment > after]
