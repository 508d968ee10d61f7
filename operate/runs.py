"""Runs: executions of jobs and pipelines, and tasks started directly, as the stack's log has them.

All runs of a stack come from one log group, so that a thousand of a hundred jobs take no more calls
than ten of one.
"""

import hashlib
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from . import events, prices
from .errors import OperateError
from .events import Line
from .outcomes import WHAT_TO_DO
from .stack import Stack
from .text import cut

STATUSES = ("running", "succeeded", "failed", "timed-out", "stopped")
# As far back as Step Functions tells of an execution that has ended:
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
OLDEST = timedelta(days=90)
# How much later than the end of an execution that of its task may be logged.
LATEST = timedelta(seconds=10)
OVERLAP = timedelta(minutes=2)
"""A line of the log may be seen a little later than its time says."""
_SOON = timedelta(minutes=1)
_OUTCOMES = {
    "succeeded": "succeeded",
    "failed": "failed",
    "timed-out": "timed-out",
    "stopped": "stopped",
    "never-started": "failed",
    "interrupted": "failed",
}
EXECUTION_STATUSES = {
    "RUNNING": "running",
    "PENDING_REDRIVE": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "TIMED_OUT": "timed-out",
    "ABORTED": "stopped",
}
_ERRORS = {"Batch.TimedOut": "timed-out", "States.Timeout": "timed-out", "Batch.Stopped": "stopped"}
# What ends the name of an execution that was started with this tool: who, or what it starts again.
_STARTED_HERE = re.compile(r"_(by|retry|letter|backfill)_([0-9A-Za-z-]{1,40})$")
_SHORT = 8
_WHOLE = 32
"""What has so many characters is a whole id."""


@dataclass(frozen=True)
class Started:
    """What started a run.

    kind is upload, schedule, pipeline, rule, backfill, by, retry, letter or other.
    """

    kind: str
    name: str | None = None

    def __str__(self) -> str:
        if self.kind == "by" and self.name:
            return f"{self.name}, by hand"
        return f"{self.kind} {self.name}" if self.name else self.kind


@dataclass(frozen=True)
class Attempt:
    """One task of a run."""

    id: str
    job: str
    status: str
    exit_code: int | None
    reason: str | None
    began: datetime | None
    ended: datetime | None
    """None while it runs."""
    seconds: float | None
    """How long its container ran."""
    cost: float | None
    """In USD, by the table of prices."""


@dataclass(frozen=True)
class Run:
    """One execution, or one task that was started directly."""

    id: str
    arn: str
    kind: str
    """job or pipeline, an execution; task, a task that was started directly."""
    name: str
    """Of the job or pipeline."""
    status: str
    """One of STATUSES."""
    error: str | None
    reason: str | None
    started: Started
    object: tuple[str, str] | None
    """Bucket and key of the upload that it is about."""
    began: datetime
    ended: datetime | None
    attempts: tuple[Attempt, ...] = ()
    by: str | None = None
    """The beginning of the name of the rule or schedule that started a task."""
    short: str = field(default="", compare=False)
    """The shortest beginning of its id that no other of the list has."""

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return None if self.ended is None else (self.ended - self.began).total_seconds()

    @property
    def cost(self) -> float | None:
        """What its tasks cost, in USD; None if nothing is known of them."""
        known = [one.cost for one in self.attempts if one.cost is not None]
        return sum(known) if known else None

    @property
    def failed(self) -> bool:
        """Whether it ended, and not well."""
        return self.status not in {"running", "succeeded"}

    @property
    def exit_code(self) -> int | None:
        """Of its last attempt that has one."""
        codes = [one.exit_code for one in self.attempts if one.exit_code is not None]
        return codes[-1] if codes else None


@dataclass(frozen=True)
class Filter:
    """Which runs are meant; what is None leaves all."""

    job: str | None = None
    pipeline: str | None = None
    upload: str | None = None
    """A key, or a part of one."""
    schedule: str | None = None
    backfill: str | None = None
    """The beginning of its id, or the whole."""
    statuses: tuple[str, ...] = ()

    def condition(self, stack: Stack) -> str:
        """The pattern of the log lines that may be about such runs."""
        executions, tasks = events.EXECUTIONS, events.ENDED_TASKS
        if self.job is not None:
            executions = events.equals("machine", f"{stack.prefix}job-{self.job}")
            tasks = events.both(tasks, events.equals("job", self.job))
        if self.backfill is not None:
            beginning = f"*_backfill_{self.backfill[:BACKFILL]}"
            return events.either(
                events.equals("execution", beginning, beginning=True),
                events.both(tasks, events.equals("trigger.name", beginning, beginning=True)),
            )
        if self.job is None and self.pipeline is not None:
            own = events.equals("machine", f"{stack.prefix}pipeline-{self.pipeline}")
            # The steps' executions, but not their tasks: those name no pipeline.
            return events.either(own, events.equals("trigger.kind", "execution"))
        return events.either(executions, tasks)

    def takes(self, run: Run) -> bool:
        """Whether a run is meant."""
        return (
            (self.job is None or (run.kind != "pipeline" and run.name == self.job))
            and (
                self.pipeline is None
                or (run.kind == "pipeline" and run.name == self.pipeline)
                or run.started == Started("pipeline", self.pipeline)
            )
            and (self.upload is None or (run.object is not None and self.upload in run.object[1]))
            and (self.schedule is None or run.started == Started("schedule", self.schedule))
            and (
                self.backfill is None
                or (
                    run.started.kind == "backfill"
                    and (run.started.name or "").startswith(self.backfill[:BACKFILL])
                )
            )
            and (not self.statuses or run.status in self.statuses)
        )


def recent(
    stack: Stack,
    want: Filter | None = None,
    *,
    last: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Run]:
    """The newest runs first: those begun since, or the `last` so many, or both.

    Reads no further back than it must. What still runs is asked of ECS, the rest of the log alone.
    """
    want = want or Filter()
    present = datetime.now(UTC)
    now = min(until or present, present)
    oldest = since or now - OLDEST
    running = _running(stack) if now == present else []
    found: list[Run] = []
    for start, lines in _back(stack, want.condition(stack), oldest, now + _SOON):
        every = of_lines(stack, [*lines, *running])
        found = [run for run in every if want.takes(run) and run.began >= start]
        if last is not None and len(found) >= last:
            break
    found = [run for run in found if oldest <= run.began <= now + _SOON]
    return with_short_ids(found[:last])


def _back(
    stack: Stack, condition: str, since: datetime, until: datetime
) -> Iterator[tuple[datetime, list[Line]]]:
    """Further and further back: from when on, and all lines since then."""
    lines: list[Line] = []
    for start, end in events.windows(since, until):
        lines = [*events.read(stack, condition, start, end), *lines]
        yield start, lines


class History:
    """The newest runs of a stack, of which each reading takes what is new since the last.

    Args:
        stack: the stack.
        last: how many at most.
        back: how far back, from the first reading on.
    """

    def __init__(self, stack: Stack, last: int, back: timedelta) -> None:
        self._stack, self._last = stack, last
        self._oldest = datetime.now(UTC) - back
        self._lines: list[Line] = []
        self._read: datetime | None = None

    def runs(self) -> list[Run]:
        """The runs, newest first."""
        now = datetime.now(UTC)
        condition = Filter().condition(self._stack)
        if self._read is None:
            for start, lines in _back(self._stack, condition, self._oldest, now + _SOON):
                self._lines = lines
                if len(of_lines(self._stack, lines)) >= self._last:
                    # Of what began before, a part may be missing.
                    self._oldest = start
                    break
        else:
            self._lines += events.read(self._stack, condition, self._read - OVERLAP)
        self._read = now
        every = of_lines(self._stack, [*self._lines, *_running(self._stack)])
        found = [run for run in every if run.began >= self._oldest][: self._last]
        told = {run.arn for run in found} | {one.id for run in found for one in run.attempts}
        self._lines = [
            line
            for lines in (events.executions_of(self._lines), events.tasks_of(self._lines))
            for line in lines.values()
            if told.intersection((line.get("executionArn"), line.get("taskId")))
        ]
        return with_short_ids(found)


def of_lines(stack: Stack, lines: Iterable[Line]) -> list[Run]:
    """The runs that log lines tell of, newest first."""
    kept = list(lines)
    attempts: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    runs: list[Run] = []
    names = _Names(stack)
    orphans: dict[tuple[str, str], Line] = {}
    for line in events.tasks_of(kept).values():
        attempt = _attempt(stack, line)
        trigger = line.get("trigger") or {}
        if trigger.get("kind") == "execution" and trigger.get("name"):
            owner = (attempt.job, trigger["name"])
            attempts[owner].append(attempt)
            orphans.setdefault(owner, line)
        else:
            runs.append(_of_task(line, attempt, names))
    for line in events.executions_of(kept).values():
        run = _of_execution(stack, line)
        if run is not None:
            owner = (run.name, run.id)
            orphans.pop(owner, None)
            own = sorted(attempts[owner], key=lambda one: one.began or events.EPOCH)
            reason = run.reason or (own[-1].reason if own and run.failed else None) or run.error
            runs.append(replace(run, attempts=tuple(own), reason=reason))
    runs.sort(key=lambda run: (run.began, run.id), reverse=True)
    return runs


def find(stack: Stack, wanted: str) -> Run:
    """The run that `@latest`, the beginning of an id, an ARN, or an object's key names.

    Raises:
        OperateError: there is none, or there are several; those are listed.
    """
    found = matching(stack, wanted)
    if not found:
        raise no_run(wanted)
    if len(found) > 1 and len({run.id for run in found}) > 1 and not _one_key(found, wanted):
        listed = "; ".join(
            f"{run.short} ({run.kind} {run.name}, {run.began:%Y-%m-%d %H:%M})" for run in found[:10]
        )
        raise OperateError(f"{wanted} is {len(found)} runs: {listed}")
    return found[0]


def no_run(wanted: str) -> OperateError:
    """That there is no run that a text names."""
    if wanted == "@latest":
        return OperateError("nothing has run yet")
    return OperateError(f"no such run: {cut(wanted, 80)} (`runs` lists them)")


def matching(stack: Stack, wanted: str) -> list[Run]:
    """All runs that a text names, newest first; by its whole id, one that is about to be logged."""
    if wanted == "@latest":
        return recent(stack, last=1)
    found = _matching(stack, wanted)
    for _ in range(3 if len(wanted) >= _WHOLE else 0):
        if found:
            break
        time.sleep(1)
        found = _matching(stack, wanted)
    return found


def _matching(stack: Stack, wanted: str) -> list[Run]:
    now = datetime.now(UTC)
    identity = re.split(r"[:/]", wanted)[-1] if wanted.startswith("arn:") else wanted
    conditions = [
        events.equals("execution", identity, beginning=True),
        events.both(events.equals("taskId", identity, beginning=True), events.ENDED_TASKS),
        events.equals("trigger.name", identity, beginning=True),
        events.equals("object.key", wanted),
    ]
    running = _running(stack)
    every: list[Run] = []
    for _, lines in _back(stack, events.either(*conditions), now - OLDEST, now + _SOON):
        every = of_lines(stack, [*lines, *running])
        # Of a whole id there is one; of a part, or a key, there may be older ones.
        if any(identity in {run.id, run.arn} for run in every):
            break
    by_id = [run for run in every if run.id.startswith(identity)]
    found = by_id or [run for run in every if run.object is not None and run.object[1] == wanted]
    found = found or [
        run for run in every if any(one.id.startswith(identity) for one in run.attempts)
    ]
    exact = [run for run in found if identity in {run.id, run.arn}]
    return with_short_ids(exact or found)


def whole(stack: Stack, run: Run) -> tuple[Run, list[Line]]:
    """The run with all its attempts, and every line about it, oldest first."""
    since = run.began - timedelta(minutes=5)
    conditions = [events.equals("execution", run.id), events.equals("taskId", run.id)]
    if run.kind == "job":
        conditions.append(events.equals("trigger.name", run.id))
    until = None if run.ended is None else run.ended + timedelta(hours=1)
    lines = list(events.read(stack, events.either(*conditions), since, until))
    lines = [
        line
        for line in lines
        if run.id
        in {line.get("execution"), line.get("taskId"), (line.get("trigger") or {}).get("name")}
    ]
    current = [one for one in of_lines(stack, [*lines, *_running(stack)]) if one.arn == run.arn]
    return replace(current[0], short=run.short) if current else run, lines


def settled(run: Run) -> bool:
    """Whether a run has ended and the end of its tasks is logged, which may be a little later."""
    if run.ended is None:
        return False
    known = bool(run.attempts) and all(one.status != "running" for one in run.attempts)
    return known or datetime.now(UTC) - run.ended > LATEST


def with_short_ids(found: list[Run]) -> list[Run]:
    """The runs, each with the shortest beginning of its id that finds it among them."""
    ids = sorted({run.id for run in found})
    shortest: dict[str, str] = {}
    for index, identity in enumerate(ids):
        neighbours = [*ids[max(index - 1, 0) : index], *ids[index + 1 : index + 2]]
        length = _SHORT
        while any(other[:length] == identity[:length] for other in neighbours):
            length += 1
        shortest[identity] = identity[:length]
    return [replace(run, short=shortest[run.id]) for run in found]


BACKFILL = 12
"""So much of a backfill's id is in the names of the executions that it starts."""


def execution_name(kind: str, whom: str, unique: str) -> str:
    """The name of an execution that is started here: found by its beginning, telling who or why.

    `kind` is by, retry or letter. The same arguments give the same name, and an account has at most
    one execution of a state machine and name in 90 days:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    digest = hashlib.sha256(f"{kind}/{whom}/{unique}".encode()).hexdigest()[:24]
    return f"{digest}_{kind}_{_in_a_name(whom)}"


def started_here(name: str) -> Started | None:
    """Who started an execution with this tool, or what it starts again, by its name."""
    found = _STARTED_HERE.search(name)
    return Started(found[1], found[2]) if found else None


def retries(run: Run, failed: Run) -> bool:
    """Whether a run is one that failed, started again."""
    return run.started == Started("retry", _in_a_name(failed.id))


def _in_a_name(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z-]", "-", text)[:40] or "unknown"


class _Names:
    """Rules and schedules by the beginning of their name, which is all that a task keeps of it."""

    def __init__(self, stack: Stack) -> None:
        self._uploads = {one.rule or "": name for name, one in stack.uploads.items()}
        self._schedules = {
            (one.schedule_arn or "").rpartition("/")[2]: name
            for name, one in stack.schedules.items()
        }

    def started(self, trigger: Mapping[str, Any]) -> Started:
        kind, name = trigger.get("kind"), trigger.get("name") or ""
        known = {"rule": self._uploads, "schedule": self._schedules}.get(kind or "", {})
        found = [ours for physical, ours in known.items() if name and physical.startswith(name)]
        if len(found) == 1:
            return Started("upload" if kind == "rule" else "schedule", found[0])
        return Started(kind or "other", name or None)


def _of_execution(stack: Stack, line: Line) -> Run | None:
    named = stack.named(line["machine"])
    began = moment(line.get("startedAt")) or moment(line.get("time"))
    if named is None or began is None:
        return None
    about, cause = line.get("object"), line.get("cause") or ""
    status = EXECUTION_STATUSES.get(line["status"], "failed")
    if status == "failed":
        status = _ERRORS.get(line.get("error") or "", status)
    return Run(
        id=line["execution"],
        arn=line["executionArn"],
        kind=named[0],
        name=named[1],
        status=status,
        error=line.get("error"),
        # A cause that is JSON text is a task, or an execution, whose own words say more.
        reason=None if cause.startswith("{") else cause.partition(WHAT_TO_DO)[0] or None,
        started=_started(stack, line, about),
        object=(about["bucket"], about["key"]) if about else None,
        began=began,
        ended=moment(line.get("stoppedAt")),
    )


def _started(stack: Stack, line: Line, about: Mapping[str, str] | None) -> Started:
    here = started_here(line["execution"])
    if here is not None:
        return here
    trigger = line.get("trigger") or {}
    match trigger.get("kind"):
        case "upload" if about:
            return Started("upload", about["key"])
        case "execution":
            parent: str = trigger.get("name") or ""
            named = stack.named(parent.rpartition(":")[0].rpartition(":")[2])
            return Started(named[0] if named else "execution", named[1] if named else parent)
        case "schedule":
            physical = trigger.get("name") or ""
            ours = {
                (one.schedule_arn or "").rpartition("/")[2]: name
                for name, one in stack.schedules.items()
            }
            return Started("schedule", ours.get(physical, physical))
        case _:
            return Started("other")


def _of_task(line: Line, attempt: Attempt, names: _Names) -> Run:
    about, trigger = line.get("object"), line.get("trigger") or {}
    started = names.started(trigger)
    if about and started.kind in {"upload", "rule"}:
        started = Started("upload", about["key"])
    return Run(
        id=line["taskId"],
        arn=line["taskArn"],
        kind="task",
        name=attempt.job,
        status=attempt.status,
        error=None,
        reason=attempt.reason,
        started=started,
        object=(about["bucket"], about["key"]) if about else None,
        began=attempt.began or moment(line.get("time")) or events.EPOCH,
        ended=attempt.ended,
        attempts=(attempt,),
        by=trigger.get("name") if trigger.get("kind") in {"rule", "schedule"} else None,
    )


def _attempt(stack: Stack, line: Line) -> Attempt:
    status = _OUTCOMES.get(line.get("outcome") or "", "running")
    ended = None if status == "running" else moment(line.get("stoppedAt") or line.get("time"))
    reason = line.get("message") if status not in {"running", "succeeded"} else None
    return Attempt(
        id=line["taskId"],
        job=line.get("job") or "",
        status=status,
        exit_code=line.get("exitCode"),
        reason=reason,
        began=moment(line.get("createdAt")),
        ended=ended,
        seconds=line.get("ranSeconds"),
        cost=_cost(stack, line),
    )


def _cost(stack: Stack, line: Line) -> float | None:
    cpu, memory = line.get("cpu"), line.get("memory")
    if not cpu or not memory or line.get("ranSeconds") is None:
        return None
    size = prices.Size(
        cpu,
        memory,
        spot=line.get("capacityProvider") == "FARGATE_SPOT",
        arm=line.get("architecture") == "arm64",
    )
    seconds = (line.get("pulledSeconds") or 0) + line["ranSeconds"]
    return prices.of_task(stack.aws.region, size, seconds)


def _running(stack: Stack) -> list[Line]:
    """The tasks that run now, as lines of the log would tell them: a call for each hundred."""
    ecs = stack.aws.client("ecs")
    lines: list[Line] = []
    pages = ecs.get_paginator("list_tasks")
    for page in pages.paginate(cluster=stack.cluster, desiredStatus="RUNNING"):
        if page["taskArns"]:
            tasks = ecs.describe_tasks(cluster=stack.cluster, tasks=page["taskArns"])["tasks"]
            lines += [_line_of(stack, task) for task in tasks if task["lastStatus"] != "STOPPED"]
    return lines


def _line_of(stack: Stack, task: Mapping[str, Any]) -> Line:
    group, by = task.get("group") or "", task.get("startedBy") or ""
    kind, _, name = by.partition("/")
    name = re.sub(r"/\d$", "", name)  # of one that was started again
    kinds = {"events-rule": "rule", "chronos-schedule": "schedule"}
    trigger = {"kind": kinds.get(kind, "other"), "name": name if kind in kinds else by or None}
    if group.startswith("execution:"):
        trigger = {"kind": "execution", "name": group.removeprefix("execution:")}
    overrides = task.get("overrides", {}).get("containerOverrides", [])
    variables = {
        one["name"]: one.get("value") for own in overrides for one in own.get("environment", [])
    }
    bucket, key = variables.get("BUCKET"), variables.get("OBJECT_KEY")
    family = task["taskDefinitionArn"].rpartition("/")[2].partition(":")[0]
    created = task.get("createdAt")
    return {
        "taskId": task["taskArn"].rpartition("/")[2],
        "taskArn": task["taskArn"],
        "job": family.removeprefix(f"{stack.prefix}job-"),
        "lastStatus": task["lastStatus"],
        "version": 0,
        "trigger": trigger,
        "object": {"bucket": bucket, "key": key} if bucket and key else None,
        "time": created.isoformat() if created else None,
        "createdAt": created.isoformat() if created else None,
    }


def _one_key(found: list[Run], wanted: str) -> bool:
    """Whether the runs are those of one object, of which the newest is meant."""
    return all(run.object is not None and run.object[1] == wanted for run in found)


def moment(text: str | None) -> datetime | None:
    """A time of the log's."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
