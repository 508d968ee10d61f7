"""The lines that tasks wrote, of a run or of all runs of a job, in the order of their time."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from .stack import Job, Stack

# FilterLogEvents may be asked 5 times a second by all of an account's users together.
LEAST_SECONDS, MOST_SECONDS = 0.25, 2.0
# A line may come later than one with a later time; how far back a follower looks again.
LATE = timedelta(seconds=30)


@dataclass(frozen=True)
class Entry:
    """A line of a task."""

    at: datetime
    task: str
    text: str
    id: str


def stream_of(job: str, task: str) -> str:
    """The log stream of a job's task: `<job>/<job>/<task id>`."""
    return f"{job}/{job}/{task}"


def of_tasks(stack: Stack, job: Job, tasks: list[str]) -> Iterator[Entry]:
    """What these tasks wrote; nothing of those that never started."""
    for start in range(0, len(tasks), 100):
        streams = [stream_of(job.name, task) for task in tasks[start : start + 100]]
        yield from _read(stack, job, logStreamNames=streams)


def last_of_task(stack: Stack, job: Job, task: str, count: int) -> list[Entry]:
    """The last lines that a task wrote, in their order."""
    logs, stream = stack.aws.client("logs"), stream_of(job.name, task)
    try:
        # Without startFromHead the page is the newest.
        events = logs.get_log_events(logGroupName=job.log_group, logStreamName=stream, limit=count)[
            "events"
        ]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [
        Entry(datetime.fromtimestamp(one["timestamp"] / 1000, UTC), task, one["message"], "")
        for one in events
    ]


def of_job(
    stack: Stack, job: Job, since: datetime, until: datetime | None = None
) -> Iterator[Entry]:
    """What all tasks of a job wrote within a time; not what their sidecars did."""
    times = {"startTime": _millis(since)} | ({} if until is None else {"endTime": _millis(until)})
    yield from _read(stack, job, logStreamNamePrefix=stream_of(job.name, ""), **times)


def follow(stack: Stack, job: Job, since: datetime) -> Iterator[Entry]:
    """What comes from now on, of every task that starts, for ever."""
    tail, pause = Tail(stack, job, since), Pause()
    while True:
        entries = list(tail.new_entries())
        yield from entries
        pause(busy=bool(entries))


class Pause:
    """Waits between two looks, longer the longer nothing is new."""

    def __init__(self) -> None:
        self._seconds = LEAST_SECONDS

    def __call__(self, *, busy: bool) -> None:
        """Wait a moment."""
        self._seconds = LEAST_SECONDS if busy else min(self._seconds * 1.5, MOST_SECONDS)
        time.sleep(self._seconds)


class Tail:
    """A job's log, read on from where the last reading ended."""

    def __init__(self, stack: Stack, job: Job, since: datetime) -> None:
        self._stack, self._job, self._since = stack, job, since
        self._oldest = since
        self._seen: set[str] = set()

    def new_entries(self) -> Iterator[Entry]:
        """What was not there the last time."""
        started = datetime.now(UTC)
        for entry in of_job(self._stack, self._job, self._oldest):
            if entry.id not in self._seen:
                self._seen.add(entry.id)
                yield entry
        self._oldest = max(self._since, started - LATE)


def _read(stack: Stack, job: Job, **query: Any) -> Iterator[Entry]:  # noqa: ANN401 -- FilterLogEvents
    logs = stack.aws.client("logs")
    try:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=job.log_group, **query
        )
        for page in pages:
            for event in page["events"]:
                yield Entry(
                    datetime.fromtimestamp(event["timestamp"] / 1000, UTC),
                    event["logStreamName"].rpartition("/")[2],
                    event["message"],
                    event["eventId"],
                )
    except logs.exceptions.ResourceNotFoundException:
        # A task that never started has no stream.
        return


def readable(line: str) -> str:
    """A log line; one of JSON as the names and values of its first two levels."""
    try:
        entry: object = json.loads(line)
    except ValueError:
        return line
    return _named(cast("dict[str, object]", entry)) if isinstance(entry, dict) else line


def _named(entry: Mapping[str, object]) -> str:
    parts: list[str] = []
    for name, value in entry.items():
        match value:
            case dict():
                inner = cast("dict[str, object]", value).items()
                flat = {key: item for key, item in inner if not isinstance(item, dict | list)}
                parts.append(f"{name}({_named(flat)})")
            case list():
                parts.append(f"{name} {json.dumps(value, ensure_ascii=False)}")
            case str() if name == "event":
                parts.append(value)
            case _:
                parts.append(f"{name} {value}")
    return ", ".join(parts)


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
