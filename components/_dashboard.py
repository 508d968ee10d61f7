"""One dashboard of a stack: starts, failures, durations and queue depths, a line for each job.

A widget for each measure, not for each job, so that 100 jobs stay readable and far below the 500
widgets and 2,500 metrics that a dashboard may have:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from ._documents import joined, json_text
from ._here import here
from ._queries import QUERIES

# Three metrics each make 300 of the 500 that a widget may have.
LINES_OF_A_WIDGET = 100
_PERIOD_SECONDS = 300
_WIDTH, _HEIGHT = 12, 7


@dataclass(frozen=True)
class Shown:
    """What the dashboard shows, by the names people know."""

    machines: Mapping[str, pulumi.Input[str]]
    queues: Mapping[str, pulumi.Input[str]]
    task_event_log_group: pulumi.Input[str]


Line = tuple[str, pulumi.Input[str]]


def dashboard_body(shown: Shown, *, title: str, runbook: str) -> pulumi.Output[str]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html."""
    machines, queues = list(shown.machines.items()), list(shown.queues.items())
    text = {
        "type": "text",
        "width": 24,
        "height": 2,
        "properties": {"markdown": f"# {title}\nWhat to do about a failure: {runbook}"},
    }
    failed = ["ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"]
    log_group = shown.task_event_log_group
    widgets = [
        text,
        *_of_machines("Started", ["ExecutionsStarted"], "Sum", machines),
        *_of_machines("Failed, timed out, stopped", failed, "Sum", machines),
        *_of_machines("Duration in ms, 95th percentile", ["ExecutionTime"], "p95", machines),
        *_of_queues(queues),
        _log("Tasks that failed or never started", QUERIES["failed-today"], log_group),
        _log("How long tasks wait, in seconds", QUERIES["task-waits"], log_group),
    ]
    return json_text({"start": "-PT24H", "widgets": widgets})


def _of_machines(
    title: str, metrics: Sequence[str], stat: str, machines: Sequence[Line]
) -> Iterator[dict[str, Any]]:
    for some in _in_widgets(machines):
        yield _metric(
            title,
            stat,
            [
                ["AWS/States", metric, "StateMachineArn", arn, {"label": _label(name, metric)}]
                for name, arn in some
                for metric in metrics
            ],
        )


def _label(name: str, metric: str) -> str:
    outcome = {"ExecutionsTimedOut": " timed out", "ExecutionsAborted": " stopped"}
    return name + outcome.get(metric, "")


def _of_queues(queues: Sequence[Line]) -> Iterator[dict[str, Any]]:
    depth = "ApproximateNumberOfMessagesVisible"
    for some in _in_widgets(queues):
        yield _metric(
            "Dead letters waiting",
            "Maximum",
            [["AWS/SQS", depth, "QueueName", queue, {"label": name}] for name, queue in some],
        )


def _in_widgets(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    for start in range(0, len(lines), LINES_OF_A_WIDGET):
        yield lines[start : start + LINES_OF_A_WIDGET]


def _metric(title: str, stat: str, metrics: list[Any]) -> dict[str, Any]:
    return {
        "type": "metric",
        "width": _WIDTH,
        "height": _HEIGHT,
        "properties": {
            "title": title,
            "view": "timeSeries",
            "region": here().region,
            "period": _PERIOD_SECONDS,
            "stat": stat,
            "metrics": metrics,
        },
    }


def _log(title: str, query: str, log_group: pulumi.Input[str]) -> dict[str, Any]:
    return {
        "type": "log",
        "width": _WIDTH,
        "height": _HEIGHT,
        "properties": {
            "title": title,
            "view": "table",
            "region": here().region,
            "query": joined("SOURCE '", log_group, "' | ", query),
        },
    }
