"""The log of what happened to tasks and executions → one record a run or task, however old.

ECS forgets a stopped task within about an hour; this log keeps its end. Only what is asked for is
sent: FilterLogEvents takes a pattern, and 5 calls a second in most Regions.
"""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from .stack import Stack

Line = dict[str, Any]

EPOCH = datetime.fromtimestamp(0, UTC)
EXECUTIONS = '($.execution = "*")'
# Four of such a value, with every character escaped, are a pattern.
_MOST_CHARACTERS = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ENDED_TASKS = '($.lastStatus = "STOPPED")'


def either(*conditions: str) -> str:
    """A condition that holds if one of these does."""
    return conditions[0] if len(conditions) == 1 else f"({' || '.join(conditions)})"


def both(*conditions: str) -> str:
    """A condition that holds if all of these do."""
    return conditions[0] if len(conditions) == 1 else f"({' && '.join(conditions)})"


def equals(field: str, value: str, *, beginning: bool = False) -> str:
    """A condition on a text field, which holds for others too if it is long or has controls.

    A pattern takes 1,024 characters.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """
    known = _CONTROL.split(value, maxsplit=1)[0][:_MOST_CHARACTERS]
    beginning = beginning or known != value
    escaped = known.replace("\\", "\\\\").replace('"', '\\"')
    return f'($.{field} = "{escaped}{"*" if beginning else ""}")'


def read(
    stack: Stack, condition: str, since: datetime, until: datetime | None = None
) -> Iterator[Line]:
    """The lines that meet a condition and were written within a time, oldest first."""
    pages = stack.aws.client("logs").get_paginator("filter_log_events")
    for page in pages.paginate(
        logGroupName=stack.event_log,
        filterPattern=f"{{ {condition} }}",
        startTime=_millis(since),
        **({} if until is None else {"endTime": _millis(until)}),
    ):
        for event in page["events"]:
            try:
                line: object = json.loads(event["message"])
            except ValueError:
                # What Lambda itself writes into its log.
                continue
            if isinstance(line, dict):
                yield line


def windows(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The time between, in pieces, newest first, each three times as long as the one before."""
    end, span = until, timedelta(hours=1)
    while end > since:
        start = max(since, end - span)
        yield start, end
        # Both ends of a piece belong to it.
        end, span = start - timedelta(milliseconds=1), span * 3


def executions_of(lines: Iterable[Line]) -> dict[str, Line]:
    """The last line of each execution by its ARN: its end, if that is there."""
    found: dict[str, Line] = {}
    for line in lines:
        if "execution" not in line:
            continue
        known = found.get(line["executionArn"])
        # A redriven execution runs again; what was written last counts.
        if known is None or _moment(line) >= _moment(known):
            found[line["executionArn"]] = line
    return found


def tasks_of(lines: Iterable[Line]) -> dict[str, Line]:
    """The newest line of each task by its id; they may come twice, and in any order."""
    found: dict[str, Line] = {}
    for line in lines:
        if "taskId" not in line:
            continue
        known = found.get(line["taskId"])
        if known is None or (line.get("version") or 0) >= (known.get("version") or 0):
            found[line["taskId"]] = line
    return found


def _moment(line: Line) -> tuple[str, bool]:
    return line.get("time") or "", line.get("stoppedAt") is not None


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
