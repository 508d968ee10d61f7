"""Tasks and their log lines, as AWS's APIs tell them."""

import json
from collections.abc import Iterator
from typing import Any

PAGE = 100
"""Tasks that DescribeTasks takes at most."""


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


def exit_code(task: dict[str, Any]) -> int | None:
    """The exit code of the job's own container; None while it runs, or when it never did."""
    family = task["taskDefinitionArn"].rpartition(":")[0]
    containers: list[dict[str, Any]] = task.get("containers", [])
    own = (one for one in containers if family.endswith(f"-job-{one['name']}"))
    return next((one.get("exitCode") for one in own), None)


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
