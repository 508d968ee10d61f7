"""What the page shows, read once for all who look at it at a time."""

import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from .. import backfills, cost, letters, logs, runs, schedules, timeline, wrong
from ..backfills import Backfill
from ..errors import OperateError
from ..letters import Letter
from ..runs import Run
from ..schedules import Schedule
from ..stack import Stack
from ..timeline import Moment, Timeline

T = TypeVar("T")

LINES = 500
"""Log lines that a run shows: its last."""
_LOOK_BACK = timedelta(days=7)
_AT_MOST = 500
# What hides letters from others while it is read, or asks for each schedule, is read less often.
_SELDOM = 60.0
_TASKS_WITH_LOGS = 5
_BACKFILLS = 20


@dataclass(frozen=True)
class Wrong:
    """What somebody should look at."""

    letters: Sequence[tuple[str, int, float | None]]
    """Trigger, how many, and the days that the oldest has left, if it could be read."""
    failures: Sequence[Run]
    backfills: Sequence[Backfill]
    slow: Sequence[wrong.Slow]
    late: Sequence[Schedule]

    @property
    def count(self) -> int:
        """How many things are wrong."""
        found = (self.letters, self.failures, self.backfills, self.slow, self.late)
        return sum(map(len, found))


@dataclass(frozen=True)
class Told:
    """A run's timeline, its log lines in their place."""

    timeline: Timeline
    moments: Sequence[Moment]
    steps: Sequence[Run]
    over: bool
    """Whether nothing more is to come."""


class Views:
    """A stack's state, each part of it no older than `seconds`."""

    def __init__(self, stack: Stack, seconds: float) -> None:
        self.stack = stack
        self.seconds = seconds
        self._kept: dict[Hashable, tuple[float, object]] = {}
        self._locks: dict[Hashable, threading.Lock] = {}
        self._guard = threading.Lock()
        # Two readers of letters would hide them from each other.
        self.letters_lock = threading.RLock()
        self._read = runs.History(stack, _AT_MOST, _LOOK_BACK)
        self._ended: dict[str, Backfill] = {}
        self._last_runs = schedules.LastRuns(stack)

    def wrong(self) -> Wrong:
        """What is wrong."""
        # Each is a wait for AWS; nobody waits for one after the other.
        with ThreadPoolExecutor(4) as pool:
            at_hand = pool.submit(self._waiting)
            history = pool.submit(self._history)
            planned = pool.submit(self.schedules)
            filled = pool.submit(self.backfills, _SELDOM)
        (waiting, known), found = at_hand.result(), history.result()
        return Wrong(
            letters=[
                (
                    label,
                    count,
                    min((one.days_left for one in known if one.trigger == label), default=None),
                )
                for label, count in waiting.items()
            ],
            failures=wrong.unmended(found),
            backfills=wrong.unfinished(filled.result(), datetime.now(UTC) - _LOOK_BACK),
            slow=wrong.slow(found, datetime.now(UTC)),
            late=[one for one in planned.result() if one.late is not None],
        )

    def _waiting(self) -> tuple[dict[str, int], list[Letter]]:
        """How many letters each trigger has, and the letters."""
        waiting = self._fresh("waiting", lambda: letters.waiting(self.stack))
        if not waiting:
            return waiting, []
        known = self._fresh(
            ("letters", tuple(waiting.items())), lambda: self.letters(letters.Filter()), _SELDOM
        )
        return waiting, known

    def warm(self) -> None:
        """Read what the first page shows before somebody asks for it; hides no letter."""
        with contextlib.suppress(BotoCoreError, ClientError, HTTPClientError, OperateError):
            self._history()
            self.schedules()

    def runs(self, want: runs.Filter, last: int, since: datetime | None = None) -> list[Run]:
        """The newest runs."""
        if since is None:
            known = [run for run in self._history() if want.takes(run)]
            if len(known) >= last:
                return known[:last]
        return self._fresh(
            ("runs", want, last, since),
            lambda: runs.recent(self.stack, want, last=last, since=since),
        )

    def run(self, wanted: str) -> Told | None:
        """A run by its id; None if there is none."""
        return self._fresh(("run", wanted), lambda: self._run(wanted))

    def letters(self, want: letters.Filter) -> list[Letter]:
        """Dead letters, hidden from others for as long as this takes."""
        with self.letters_lock, letters.taken(self.stack, want) as found:
            return found

    def schedules(self) -> list[Schedule]:
        """All schedules."""
        return self._fresh(
            "schedules", lambda: schedules.every(self.stack, last=self._last_runs), _SELDOM
        )

    def backfills(self, seconds: float | None = None) -> list[Backfill]:
        """The newest backfills; none of a stack that has none."""
        if self.stack.backfills is None:
            return []
        return self._fresh("backfills", self._backfills, seconds)

    def _backfills(self) -> list[Backfill]:
        found = backfills.every(self.stack, _BACKFILLS, self._ended)
        self._ended = {one.arn: one for one in found if one.ended is not None}
        return found

    def cost(self, by: str, since: datetime, until: datetime | None) -> list[cost.Cost]:
        """What runs have cost."""
        key = ("cost", by, since.replace(second=0, microsecond=0), until)
        return self._fresh(key, lambda: cost.of_runs(self.stack, since, until, by=by), _SELDOM)

    def forget(self) -> None:
        """Read everything anew: something was changed."""
        with self._guard:
            self._kept.clear()

    def _history(self) -> list[Run]:
        return self._fresh("history", self._read.runs)

    def _run(self, wanted: str) -> Told | None:
        known = [run for run in self._history() if run.id == wanted]
        found = known or runs.matching(self.stack, wanted)
        if not found:
            return None
        told = timeline.of(self.stack, found[0])
        run, job = told.run, self.stack.jobs.get(told.run.name)
        lines: list[Moment] = []
        steps: list[Run] = []
        if run.kind == "pipeline":
            want = runs.Filter(pipeline=run.name)
            every = runs.recent(self.stack, want, since=run.began, until=run.ended)
            names = {one.text.partition(" ")[0] for one in told.moments if one.what == "step"}
            steps = [one for one in reversed(every) if one.id in names]
        elif job is not None:
            lines = [
                Moment(entry.at, "log", logs.readable(entry.text))
                for attempt in run.attempts[-_TASKS_WITH_LOGS:]
                for entry in logs.last_of_task(self.stack, job, attempt.id, LINES)
            ]
        # The timeline has the last line already.
        others = [one for one in told.moments if one.what != "log" or not lines]
        moments = sorted([*others, *lines], key=lambda one: one.at)
        return Told(told, moments, steps, runs.settled(run))

    def _fresh(self, key: Hashable, read: Callable[[], T], seconds: float | None = None) -> T:
        """What was read no longer ago than that; asked for by several at once, it is read once."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            at, value = self._kept.get(key, (0.0, None))
            if value is None or time.monotonic() - at > (seconds or self.seconds):
                value = read()
                with self._guard:
                    self._kept[key] = (time.monotonic(), value)
                    self._drop_stale()
        return cast("T", value)

    def _drop_stale(self) -> None:
        stale = time.monotonic() - 2 * _SELDOM
        for key in [key for key, (at, _) in self._kept.items() if at < stale]:
            del self._kept[key]
            self._locks.pop(key, None)
