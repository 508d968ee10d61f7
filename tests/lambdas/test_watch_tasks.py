"""The watcher's look at tasks that run for too long and that no state machine stops."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest

from lambdas.watch.handler import Watch
from lambdas.watch.tell import Message

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=3)
STACK = {"cluster": "batch", "tasks": {"load": {"family": "p-dev-job-load", "seconds": 60}}}


def told(monkeypatch: pytest.MonkeyPatch, *tasks: dict[str, Any]) -> list[Message]:
    """What a look tells of these tasks."""
    ecs, found = MagicMock(), list[Message]()
    arns = [task["taskArn"] for task in tasks]
    ecs.get_paginator.return_value.paginate.return_value = [{"taskArns": arns}]
    ecs.describe_tasks.return_value = {"tasks": list(tasks)}
    watch = Watch(STACK)
    monkeypatch.setattr(watch, "_client", lambda _: ecs)
    monkeypatch.setattr(watch, "_settle", lambda _, messages, __: found.extend(messages))
    watch._tasks(NOW)  # pyright: ignore[reportPrivateUsage]
    ecs.get_paginator.return_value.paginate.assert_called_once_with(
        cluster="batch", family="p-dev-job-load", desiredStatus="RUNNING"
    )
    return found


def test_a_task_that_runs_for_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    [message] = told(monkeypatch, {"taskArn": "a/b/1", "startedAt": LONG_AGO})
    assert message.subject == "task/load"
    assert told(monkeypatch, {"taskArn": "a/b/1", "startedAt": NOW}) == []


def test_one_that_has_not_begun_or_that_an_execution_stops_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = {"taskArn": "a/b/2", "group": "schedule:hello"}
    of_machine = {"taskArn": "a/b/3", "startedAt": LONG_AGO, "group": "execution:x"}
    assert told(monkeypatch, waiting, of_machine, {"taskArn": "a/b/4"}) == []
