"""Runs → those that somebody should look at: failures nothing mended, runs that take too long."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .backfills import Backfill
from .runs import Run, retries
from .usual import longest, usual


@dataclass(frozen=True)
class Slow:
    """A run that goes on for longer than its like."""

    run: Run
    took: timedelta
    usual: timedelta
    """How long the last that succeeded took, in the middle of them."""


_OF_OTHERS = {"pipeline", "backfill"}


def unfinished(found: Sequence[Backfill], since: datetime) -> list[Backfill]:
    """The backfills that failed since, and that nobody has continued.

    Args:
        found: newest first.
        since: how far back somebody still wants to know.
    """
    continued = {one.started.name for one in found if one.started.kind == "retry"}
    return [
        one
        for one in found
        if one.status in {"failed", "timed-out"}
        and (one.ended or since) > since
        and one.short not in continued
    ]


def unmended(found: Sequence[Run]) -> list[Run]:
    """The failures that no later run made good, one of each subject, newest first.

    A subject is a job and its object, or a job or pipeline by itself. A step is its pipeline's
    matter, an object of a backfill the backfill's.

    Args:
        found: newest first.
    """
    settled: set[Hashable] = set()
    succeeded: list[Run] = []
    failures: list[Run] = []
    for run in found:
        subject = (run.name, run.kind == "pipeline", run.object)
        if run.status == "succeeded":
            settled.add(subject)
            succeeded.append(run)
        elif run.failed and subject not in settled and run.started.kind not in _OF_OTHERS:
            settled.add(subject)
            if not any(retries(one, run) for one in succeeded):
                failures.append(run)
    return failures


def slow(found: Sequence[Run], now: datetime) -> list[Slow]:
    """The runs that go on for three times as long as the last that succeeded.

    Args:
        found: newest first.
        now: until when what runs has taken.
    """
    took: dict[tuple[str, str], list[timedelta]] = defaultdict(list)
    for run in found:
        if run.status == "succeeded" and run.ended is not None:
            took[run.kind, run.name].append(run.ended - run.began)
    result: list[Slow] = []
    for run in found:
        if run.status != "running":
            continue
        usually = usual(took[run.kind, run.name])
        if usually is not None and now - run.began > longest(usually):
            result.append(Slow(run, now - run.began, usually))
    return result
