"""Executions, tasks and their log lines, as AWS's APIs tell them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

PAGE = 100
"""Tasks that DescribeTasks takes at most."""


@dataclass(frozen=True)
class Run:
    """An execution or a task, for a table."""

    began: datetime
    kind: str
    name: str
    status: str
    trigger: str
    seconds: float | None


def trigger_of(text: str) -> str:
    """What started an execution, as its input shows."""
    try:
        given: Any = json.loads(text)
    except ValueError:
        return "by hand"
    match given:
        case {"source": "aws.s3", "detail": {"bucket": {"name": bucket}, "object": {"key": key}}}:
            return f"upload s3://{bucket}/{key}"
        case {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": str(parent)}:
            return f"pipeline {parent.split(':')[-2]}"
        case {"schedule": str(schedule), "scheduledTime": _}:
            return f"schedule {schedule.rpartition('/')[2]}"
        case _:
            return "by hand"


def executions(states: Any, machines: Sequence[tuple[str, str]], limit: int) -> list[Run]:  # noqa: ANN401 -- boto3
    """The newest executions of state machines, given as (what to call it, ARN)."""
    found: list[Run] = []
    for name, arn in machines:
        for execution in states.list_executions(stateMachineArn=arn, maxResults=limit)[
            "executions"
        ]:
            described = states.describe_execution(executionArn=execution["executionArn"])
            trigger = trigger_of(described.get("input", ""))
            error = described.get("error")
            found.append(
                Run(
                    described["startDate"],
                    "execution",
                    name,
                    f"{described['status']}, {error}" if error else described["status"],
                    trigger,
                    _seconds(described["startDate"], described.get("stopDate")),
                )
            )
    return found


def tasks(ecs: Any, cluster: str) -> list[dict[str, Any]]:  # noqa: ANN401 -- boto3
    """All tasks of a cluster that ECS still tells of: the stopped ones, for about an hour."""
    arns: list[str] = []
    for status in ("RUNNING", "STOPPED"):
        for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster, desiredStatus=status):
            arns += page["taskArns"]
    found: list[dict[str, Any]] = []
    for start in range(0, len(arns), PAGE):
        found += ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + PAGE])["tasks"]
    return found


def task_run(task: dict[str, Any]) -> Run:
    """A task for the table."""
    family = task["taskDefinitionArn"].rpartition("/")[2]
    began = task.get("createdAt") or datetime.now(UTC)
    code = exit_code(task)
    status = task["lastStatus"]
    if status == "STOPPED":
        status = f"STOPPED, exit {code}" if code is not None else task.get("stopCode", "STOPPED")
    return Run(
        began,
        "task",
        family,
        status,
        _trigger_of_task(task),
        _seconds(began, task.get("stoppedAt")),
    )


def _trigger_of_task(task: dict[str, Any]) -> str:
    """The state machines start a task in a group named after the execution."""
    kind, _, execution = str(task.get("group", "")).partition(":")
    if kind == "execution":
        return f"execution {execution[:8]}"
    return str(task.get("startedBy", ""))


def exit_code(task: dict[str, Any]) -> int | None:
    """The container's exit code; None while it runs, or when it never did."""
    codes: list[int] = [
        container["exitCode"]
        for container in task.get("containers", [])
        if container.get("exitCode") is not None
    ]
    return codes[0] if codes else None


def _seconds(began: datetime, ended: datetime | None) -> float | None:
    return None if ended is None else (ended - began).total_seconds()


def task_arns(states: Any, execution_arn: str) -> list[str]:  # noqa: ANN401 -- boto3
    """The tasks an execution ran, one an attempt, as its history tells them.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_TaskSubmittedEventDetails.html
    """
    arns: list[str] = []
    pages = states.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
    for page in pages:
        for event in page["events"]:
            output = event.get("taskSubmittedEventDetails", {}).get("output")
            arns += [task["TaskArn"] for task in json.loads(output)["Tasks"]] if output else []
    return arns


def why(described: dict[str, Any]) -> str:
    """Why an execution failed: its error and, if a task was the cause, how that one stopped."""
    error, cause = described.get("error") or "", described.get("cause") or ""
    try:
        task: Any = json.loads(cause)
        codes = [f"exit code {c['ExitCode']}" for c in task["Containers"] if "ExitCode" in c]
        cause = ", ".join([task["StoppedReason"], *codes])
    except (ValueError, KeyError, TypeError):
        pass
    return f"{error}: {cause}" if error and cause else error or cause


class Log:
    """One log stream, read on from where the last reading ended."""

    def __init__(self, logs: Any, group: str, stream: str) -> None:  # noqa: ANN401 -- boto3
        self._logs = logs
        self._where = {"logGroupName": group, "logStreamName": stream}
        self._token: str | None = None

    def more(self) -> Iterator[str]:
        """The lines that are new since the last call; none while there is no stream yet."""
        while True:
            token = {"nextToken": self._token} if self._token else {}
            try:
                page = self._logs.get_log_events(**self._where, startFromHead=True, **token)
            except self._logs.exceptions.ResourceNotFoundException:
                return
            yield from (event["message"] for event in page["events"])
            # At the end the same token comes back:
            # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
            if page["nextForwardToken"] == self._token or not page["events"]:
                self._token = page["nextForwardToken"]
                return
            self._token = page["nextForwardToken"]


def stream_of(job: str, task_arn: str) -> str:
    """The log stream of a job's task: `<job>/<job>/<task id>`."""
    return f"{job}/{job}/{task_arn.rpartition('/')[2]}"
