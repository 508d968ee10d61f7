"""Which runs somebody should look at."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from operate.backfills import Backfill
from operate.runs import Run, Started
from operate.wrong import slow, unfinished, unmended
from tests.recorder import ROOT

NOW = datetime(2030, 1, 31, tzinfo=UTC)
BY_HAND = Started("by", "ana")


def run(
    minutes_ago: float,
    status: str,
    *,
    key: str | None = None,
    name: str = "ingest",
    kind: str = "job",
    started: Started = BY_HAND,
    took: float = 60,
) -> Run:
    began = NOW - timedelta(minutes=minutes_ago)
    identity = f"{name}-{minutes_ago:g}"
    return Run(
        id=identity,
        arn=f"arn:{identity}",
        kind=kind,
        name=name,
        status=status,
        error=None,
        reason=None,
        started=started,
        object=("uploads", key) if key else None,
        began=began,
        ended=None if status == "running" else began + timedelta(seconds=took),
    )


@pytest.mark.parametrize(
    "later",
    [
        run(1, "succeeded", key="a.csv"),
        run(1, "succeeded", key="b.csv", started=Started("retry", "ingest-9")),
    ],
)
def test_what_succeeded_later_or_as_a_retry_makes_a_failure_good(later: Run) -> None:
    assert unmended([later, run(9, "failed", key="a.csv")]) == []


@pytest.mark.parametrize(
    "other",
    [
        run(1, "succeeded", key="b.csv"),
        run(1, "succeeded", key="a.csv", name="another"),
        run(1, "succeeded", key="a.csv", kind="pipeline"),
        run(1, "running", key="a.csv"),
        run(99, "succeeded", key="a.csv"),
        run(1, "succeeded", started=Started("retry", "another-9")),
    ],
)
def test_nothing_else_does(other: Run) -> None:
    failed = run(9, "failed", key="a.csv")
    found = sorted([other, failed], key=lambda one: one.began, reverse=True)
    assert unmended(found) == [failed]


def test_a_job_without_an_object_is_made_good_by_its_next_success() -> None:
    assert unmended([run(1, "succeeded"), run(9, "failed")]) == []


def test_of_one_subject_the_newest_failure_is_told_and_a_step_by_its_pipeline() -> None:
    newest = run(2, "timed-out", key="a.csv")
    step = run(3, "failed", name="step", started=Started("pipeline", "nightly"))
    pipeline = run(4, "failed", name="nightly", kind="pipeline")
    assert unmended([newest, step, pipeline, run(9, "failed", key="a.csv")]) == [newest, pipeline]


def test_an_object_is_its_backfill_s_matter_which_is_told_until_it_is_continued() -> None:
    assert unmended([run(5, "failed", key="a.csv", started=Started("backfill", "1a2b"))]) == []
    failed, stopped = backfill("1a2b3c4d5e6f", "failed"), backfill("2", "stopped")
    old, other = backfill("3", "failed", days=8), backfill("4", "succeeded")
    week = NOW - timedelta(days=7)
    assert unfinished([other, failed, stopped, old], week) == [failed]
    again = backfill("5", "failed", started=Started("retry", failed.id))
    assert unfinished([again, failed], week) == [again]


def backfill(
    identity: str, status: str, *, days: float = 1, started: Started = BY_HAND
) -> Backfill:
    ended = NOW - timedelta(days=days)
    return Backfill(
        id=identity,
        arn=f"arn:{identity}",
        job="ingest",
        selection="--only all",
        status=status,
        error=None,
        reason=None,
        started=started,
        began=ended,
        ended=ended,
        objects=2,
        succeeded=1,
        failed=1,
        stopped=0,
        running=0,
        max_concurrency=1,
        tolerated=0,
    )


def usual(seconds: float, count: int = 5) -> list[Run]:
    return [run(1000 + n, "succeeded", took=seconds) for n in range(count)]


@pytest.mark.parametrize(
    ("minutes", "known", "told"),
    [
        (31, usual(600), True),
        (29, usual(600), False),
        # Not enough is known of it.
        (31, usual(600, 4), False),
        # It is over its usual, but that is short.
        (9, usual(1), False),
        (11, usual(1), True),
        # The oldest are not its usual any more.
        (31, [*usual(600, 20), *usual(6000, 30)], True),
    ],
)
def test_a_run_of_three_times_its_usual_is_slow(
    minutes: float,
    known: list[Run],
    told: bool,  # noqa: FBT001 -- of a table
) -> None:
    running = run(minutes, "running")
    found = slow([running, *known], NOW)
    assert [one.run for one in found] == ([running] if told else [])


def test_what_is_usual_of_one_job_is_not_of_another() -> None:
    others = [run(1000 + n, "succeeded", name="another") for n in range(9)]
    assert slow([run(99, "running"), *others], NOW) == []


@pytest.mark.parametrize("name", ["due.py", "pauses.py", "usual.py"])
def test_what_the_watcher_knows_too_is_one_file(name: str) -> None:
    assert (ROOT / "operate" / name).readlink() == Path("..", "lambdas", "watch", name)
