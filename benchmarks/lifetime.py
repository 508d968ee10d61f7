"""One task's whole life in the running stack: from an upload to the last line about its task."""

import json
import statistics
import time
from typing import Any

from benchmarks._stack import Running, running, wait_for

TASKS = 7
SECONDS = 30


def run() -> list[tuple[str, str]]:
    """Measure and return rows of label and value."""
    with running() as stack:
        lives = [_life(stack, n) for n in range(TASKS)]
    return [
        (
            "an upload to the last line about its task",
            f"{statistics.median(lives):.2f} s (from {min(lives):.2f} to {max(lives):.2f})",
        )
    ]


def _life(stack: Running, number: int) -> float:
    """Seconds from the trigger until the line that the task has stopped is in the log."""
    logs, group = stack.client("logs"), stack.stack.outputs["taskEventLogGroup"]
    before = {line["taskId"] for _, line in _stopped(logs, group)}
    began = time.time()
    stack.s3.put_object(
        Bucket=stack.stack.outputs["uploadBucket"], Key=f"target/{number}.csv", Body=b"a,b\n1,2\n"
    )

    def new() -> list[tuple[float, dict[str, Any]]]:
        return [it for it in _stopped(logs, group) if it[1]["taskId"] not in before]

    ((ingested, line),) = wait_for("the task's last line", SECONDS, 0.1, new)
    assert line["level"] == "INFO", line
    return ingested - began


def _stopped(logs: Any, group: str) -> list[tuple[float, dict[str, Any]]]:  # noqa: ANN401 -- a boto3 client
    """The lines about tasks that have stopped, each with the time it was in the log."""
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    lines = (
        (event["ingestionTime"] / 1000, json.loads(event["message"]))
        for page in pages
        for event in page["events"]
        if event["message"].startswith("{")
    )
    return [(at, line) for at, line in lines if line.get("lastStatus") == "STOPPED"]
