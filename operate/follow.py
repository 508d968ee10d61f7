"""A run that goes on: its new log lines, and what became of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from . import events, runs
from .logs import Entry, Pause, Tail
from .runs import Run
from .stack import Stack


class Follower:
    """One run, looked at again and again.

    Args:
        stack: the stack it is of.
        arn: of its execution, or of its task.
        run: what is known of it, if anything is.
        since: from when on its lines are of interest; by default from its start.
    """

    def __init__(
        self, stack: Stack, arn: str, run: Run | None = None, *, since: datetime | None = None
    ) -> None:
        self._stack = stack
        self._arn = arn
        self._run = run
        self._began = datetime.now(UTC)
        self._since = since or (run.began if run else self._began - timedelta(seconds=30))
        self._tail: Tail | None = None
        self._held: list[Entry] = []
        self._last_look = False
        self._pause = Pause()
        self._busy = False

    @property
    def run(self) -> Run:
        """What became of it."""
        if self._run is None:
            raise LookupError(self._arn)
        return self._run

    @property
    def over(self) -> bool:
        """Whether it has ended and its last lines were read."""
        return self._last_look

    def new_entries(self) -> Iterator[Entry]:
        """The lines of its tasks that were not there the last time."""
        # Asked first: what is read after the end is all there is.
        self._look()
        if self._run is None:
            return
        job = self._stack.jobs.get(self._run.name)
        if job is not None and self._run.kind != "pipeline":
            self._tail = self._tail or Tail(self._stack, job, self._since)
            tasks = {attempt.id for attempt in self._run.attempts}
            self._held += self._tail.new_entries()
            own = [entry for entry in self._held if entry.task in tasks]
            self._busy = bool(own)
            yield from own
            # A task's line may come before the log tells whose task it is.
            self._held = [entry for entry in self._held if entry.task not in tasks]
        self._last_look = runs.settled(self._run)

    def sleep(self) -> None:
        """Wait a moment, longer the longer nothing is new."""
        self._pause(busy=self._busy)

    def _look(self) -> None:
        identity = self._arn.replace("/", ":").rpartition(":")[2]
        if self._run is None:
            condition = events.either(
                events.equals("execution", identity), events.equals("taskId", identity)
            )
            lines = events.read(self._stack, condition, self._since)
            found = [run for run in runs.of_lines(self._stack, lines) if run.arn == self._arn]
            if not found:
                return
            self._run = found[0]
        self._run, _ = runs.whole(self._stack, self._run)
