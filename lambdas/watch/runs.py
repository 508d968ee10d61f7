"""Runs: which did not happen, which were skipped again and again, which go on for too long."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from .due import due_times, rate_of
from .tell import Message
from .usual import longest, usual

Memory = dict[str, Any]

# Scheduler starts within the minute: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
PRECISION = timedelta(minutes=1)
# One outage is told when it begins and when it ends, and once a day meanwhile.
AGAIN_AFTER = timedelta(days=1)
SKIPS = 3
LISTED = 20
# How long a task may take to stop once it is told to.
TO_STOP = timedelta(minutes=5)


@dataclass(frozen=True)
class Schedule:
    """An enabled schedule, as the stack's configuration has it."""

    name: str
    kind: str
    """pipeline or schedule."""
    expression: str
    timezone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    flexible: timedelta = timedelta()
    grace: timedelta = timedelta(minutes=15)


@dataclass(frozen=True)
class Run:
    """A run that a schedule started. `scheduled` is the due time it says itself, if it does."""

    started: datetime
    scheduled: datetime | None = None
    skipped: bool = False
    running: bool = False


def missed(
    schedule: Schedule,
    runs: Sequence[Run],
    memory: Memory,
    now: datetime,
    *,
    unseen: datetime | None = None,
) -> tuple[list[Message], Memory]:
    """What to tell of a schedule, and what to remember of it.

    `runs` are those since the last look; some may be of before. Those until `unseen`, if given, are
    not known, so none of them is missed. Remembered are `definition`,
    `from` (what was due until then is settled) and `runs` since then, `missed` (times not told of
    yet), `count` and `told` of an outage, `skips` and the last `run` that was looked at for them.
    """
    definition = f"{schedule.expression} {schedule.timezone} {schedule.start or ''}"
    if memory.get("definition") != definition:
        # Nothing was due before it was known.
        return [], {"definition": definition, "from": _text(now)}
    memory = dict(memory)
    if unseen is not None:
        memory["from"] = max(memory["from"], _text(unseen))
    messages = list(_skips(schedule, runs, memory, now))
    known = {run.started: run for run in runs} | {
        _time(started): Run(_time(started), _time(due) if due else None)
        for started, due in memory.get("runs", {}).items()
    }
    ripe = now - schedule.flexible - schedule.grace - PRECISION
    due, settled = _due(schedule, known.values(), _time(memory["from"]), ripe)
    gone = list(_not_run(schedule, due, known.values())) if due else []
    well = bool(due) and due[-1] not in gone
    if gone or (well and memory.get("count")):
        messages += _outage(schedule, gone, memory, now, well=well)
    memory["from"] = _text(settled)
    memory["runs"] = {
        _text(run.started): _text(run.scheduled) if run.scheduled else ""
        for run in known.values()
        if (run.scheduled or run.started) > settled - PRECISION
    }
    return messages, memory


def _due(
    schedule: Schedule, runs: Iterable[Run], since: datetime, ripe: datetime
) -> tuple[list[datetime], datetime]:
    """When it was due and is given up waiting for, and until when that is settled."""
    if (step := rate_of(schedule.expression)) is not None:
        # A rate counts from when the schedule was made, so from the last run.
        first = max([since, schedule.start - step] if schedule.start else [since])
        started = [run.scheduled or run.started for run in runs]
        due = list[datetime]()
        for time in sorted(time for time in started if first < time <= ripe):
            between = due_times(schedule.expression, schedule.timezone, first, time)
            due += [gone for gone in between if time - gone > step / 2]
            due.append(time)
            first = time
        late = due_times(schedule.expression, schedule.timezone, first, ripe)
        due += [time for time in late if not schedule.end or time <= schedule.end]
        return due, (due[-1] if due else since)
    ripe = max(since, ripe)
    times = due_times(schedule.expression, schedule.timezone, since, ripe)
    start, end = schedule.start, schedule.end
    return [
        time for time in times if (not start or start <= time) and (not end or time <= end)
    ], ripe


def _not_run(
    schedule: Schedule, due: Sequence[datetime], runs: Iterable[Run]
) -> Iterator[datetime]:
    """The due times that no run belongs to: one that does not say its own belongs to the last."""
    patience = schedule.flexible + schedule.grace + PRECISION
    after = due_times(schedule.expression, schedule.timezone, due[-1], due[-1] + patience)
    for time, following in zip(due, [*due[1:], *after[:1], None], strict=False):
        last = min(time + patience, following or time + patience)
        flexible = time + schedule.flexible
        if not any(
            abs(run.scheduled - time) < PRECISION
            if run.scheduled
            else time <= run.started < last or time <= run.started <= flexible
            for run in runs
        ):
            yield time


def _outage(
    schedule: Schedule, gone: Sequence[datetime], memory: Memory, now: datetime, *, well: bool
) -> Iterable[Message]:
    waiting = [*memory.get("missed", []), *(_text(time) for time in gone)]
    count = memory.get("count", 0) + len(gone)
    told = memory.get("told")
    name = _called(schedule)
    if gone and (told is None or now - _time(told) >= AGAIN_AFTER):
        yield Message(
            f"schedule/{schedule.name}",
            "retry" if told else "failure",
            f"{name} did not run" if count == 1 else f"{name} did not run, {count} times",
            [
                *_times(schedule, waiting, count),
                f"Nothing was started within {_span(schedule.grace + schedule.flexible)}.",
            ],
            [
                "Check its dead-letter queue, and whether somebody disabled it.",
                "If it cannot wait, start it by hand.",
            ],
        )
        told, waiting = _text(now), []
    memory |= {"missed": waiting[-LISTED:], "count": count, "told": told}
    if well:
        if told and not (gone and told == _text(now)):
            yield Message(
                f"schedule/{schedule.name}",
                "recovery",
                f"{name} runs again",
                [f"It missed {_runs(count)}.", *_times(schedule, waiting, len(waiting))],
            )
        for key in ("missed", "count", "told"):
            memory.pop(key, None)


def _skips(
    schedule: Schedule, runs: Sequence[Run], memory: Memory, now: datetime
) -> Iterable[Message]:
    """Three in a row that were skipped because an earlier run still went on."""
    judged, skips = memory.get("run"), memory.get("skips", 0)
    for run in sorted(runs, key=lambda run: run.started):
        if judged and run.started <= _time(judged):
            continue
        if run.running and now - run.started < PRECISION:
            # It may be about to be skipped; the next look sees it again.
            break
        judged = _text(run.started)
        if not run.skipped:
            if skips >= SKIPS:
                yield Message(
                    f"overlap/{schedule.name}",
                    "recovery",
                    f"{_called(schedule)} is no longer skipped",
                    [f"{skips} runs were skipped."],
                )
            skips = 0
            continue
        skips += 1
        if skips == SKIPS:
            yield Message(
                f"overlap/{schedule.name}",
                "failure",
                f"{_called(schedule)} was skipped {SKIPS} times in a row",
                ["Each time it was due, an earlier run was still going."],
                ["See what that run is waiting for; leave more time between runs, or stop it."],
            )
    memory |= {"skips": skips} if skips else {}
    if not skips:
        memory.pop("skips", None)
    if judged:
        memory["run"] = judged


def schedule_of(name: str, values: Mapping[str, Any]) -> Schedule:
    """A schedule from the stack's configuration."""
    return Schedule(
        name,
        "pipeline" if "machine" in values else "schedule",
        values["expression"],
        values.get("timezone", "UTC"),
        _time(values["start"]) if "start" in values else None,
        _time(values["end"]) if "end" in values else None,
        timedelta(minutes=values.get("flexibleMinutes", 0)),
        timedelta(seconds=values["graceSeconds"]),
    )


def run_of(execution: Mapping[str, Any]) -> Run | None:
    """A run from a DescribeExecution of a pipeline; None if no schedule started it."""
    asked = _object(execution.get("input"))
    if not isinstance(asked.get("scheduledTime"), str):
        return None
    skipped = _object(execution.get("output")).get("skipped") is True
    # What is remembered of it has no fractions of a second either.
    started = execution["startDate"].replace(microsecond=0)
    running = execution["status"] == "RUNNING"
    return Run(started, _time(asked["scheduledTime"]), skipped, running)


def scheduled_task(line: str) -> tuple[str, str, datetime] | None:
    """The schedule, the task's id and the time of a line of the log of task events."""
    record = _object(line)
    trigger, task = record.get("trigger"), record.get("taskId")
    # Not when it stopped, which may be days later.
    at = record.get("createdAt") or record.get("time")
    if not isinstance(trigger, dict) or not (isinstance(task, str) and isinstance(at, str)):
        return None
    if trigger.get("kind") != "schedule" or not isinstance(trigger.get("name"), str):
        return None
    return trigger["name"], task, _time(at).replace(microsecond=0)


def _object(text: object) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Running:
    """An execution or a task that has not ended."""

    id: str
    started: datetime


def too_long(
    subject: str,
    called: str,
    running: Sequence[Running],
    memory: Memory,
    now: datetime,
    *,
    timeout: timedelta | None,
    usual: Sequence[timedelta] = (),
) -> tuple[list[Message], Memory]:
    """What to tell of runs of one kind, and what to remember of them.

    `usual` is how long the last that succeeded took. Over its timeout is what ought to have been
    stopped, or is being tried again, or waits for its turn. Remembered are `until`, when the last
    of those began that were told of, and how many they were: what began before is late, too.
    """
    if "until" not in memory:
        # An earlier version's: as if it were lost.
        memory = {}
    until = _time(memory["until"]) if memory else None
    limit, why = _limit(timeout, usual)
    late = [one for one in running if limit is not None and now - one.started > limit]
    fresh = sorted(
        (one for one in late if until is None or one.started > until), key=lambda one: one.started
    )
    still = until is not None and any(one.started <= until for one in running)
    messages: list[Message] = []
    if fresh:
        have = "has" if len(fresh) == 1 else "have"
        messages.append(
            Message(
                subject,
                "retry" if memory else "failure",
                f"{_runs(len(fresh))} of {called} {have} not ended in time",
                [
                    f"More than {why}.",
                    *(f"- {one.id}, since {_text(one.started)}" for one in fresh[:LISTED]),
                    *([f"and {len(fresh) - LISTED} more"] if len(fresh) > LISTED else []),
                ],
                [
                    "Read its log: it may hang, be retrying, or be waiting for its turn.",
                    "Stop it if it does not end, or give the job a longer timeout.",
                ],
            )
        )
        count = len(fresh) + (memory["count"] if still else 0)
        return messages, {"until": fresh[-1].started.isoformat(), "count": count}
    if memory and not still:
        title = f"All overdue runs of {called} have ended"
        messages.append(Message(subject, "recovery", title, [f"{_runs(memory['count'])} ended."]))
        return messages, {}
    return messages, memory


def _limit(timeout: timedelta | None, took: Sequence[timedelta]) -> tuple[timedelta | None, str]:
    limits: list[tuple[timedelta, str]] = []
    if timeout is not None:
        limits.append((timeout, f"its timeout, {_span(timeout)}"))
    usually = usual(took)
    if usually is not None:
        most = longest(usually)
        limits.append((most, f"{_span(most)}; it usually takes {_span(usually)}"))
    return min(limits, default=(None, ""))


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _called(schedule: Schedule) -> str:
    return f"{schedule.kind.capitalize()} {schedule.name}"


def _times(schedule: Schedule, times: Sequence[str], count: int) -> list[str]:
    zone = ZoneInfo(schedule.timezone)
    shown = [
        f"- due {_time(time).astimezone(zone):%Y-%m-%d %H:%M} {schedule.timezone}"
        for time in times[-LISTED:]
    ]
    return [*shown, f"and {count - len(shown)} more"] if count > len(shown) else shown


def _span(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds} s"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")
