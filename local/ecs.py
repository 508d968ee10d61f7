"""ECS tasks as processes: RunTask, through every caller, to STOPPED with its log and its events."""

import threading
from typing import Any

from local.cloud import Cloud


class EcsError(Exception):
    """A refusal of the ECS API: its error code and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def install(cloud: Cloud) -> None:
    """Put tasks as processes in place of MiniStack's."""


def run_task(request: dict[str, Any]) -> dict[str, Any]:
    """RunTask: a request and an answer (`tasks`, `failures`) in the API's camelCase.

    Raises `EcsError`. Call it in a request scope.
    """
    raise NotImplementedError(request)


def stop_task(
    cluster: str, task_arn: str, reason: str, *, code: str = "UserInitiated"
) -> dict[str, Any]:
    """StopTask: SIGTERM, then SIGKILL after `stopTimeout`; returns the task at once."""
    raise NotImplementedError(cluster, task_arn, reason, code)


def wait_until_stopped(task_arn: str, cancelled: threading.Event | None = None) -> dict[str, Any]:
    """The task document (camelCase, times as epoch seconds) once it is STOPPED.

    Returns the task as it is then, not STOPPED, when `cancelled` is set or the cloud closes.
    """
    raise NotImplementedError(task_arn, cancelled)


def find_tasks(*, started_by: str) -> list[dict[str, Any]]:
    """The documents of all tasks with this `startedBy`, oldest first."""
    raise NotImplementedError(started_by)
