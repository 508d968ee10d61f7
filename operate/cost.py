"""What runs have cost: how long their tasks ran and their sizes, at the prices of one table."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from . import prices, runs
from .stack import Stack


@dataclass(frozen=True)
class Cost:
    """What the tasks of a job, or of a day, came to."""

    of: str
    tasks: int
    seconds: float
    """How long their containers ran, together."""
    dollars: float


# Of the stack's own alarms; each upload and each limit of a job adds one.
METRICS_OF_ALARMS = 14
_WATCHER_FOR_A_TRIGGER = 0.01


def idle(stack: Stack) -> dict[str, float]:
    """What a stack costs a month while nothing runs, in USD of us-east-1, by what it is of.

    Without what its network has (a NAT gateway, endpoints) and what is kept: logs and objects.
    """
    limits = sum(label.startswith("limit-") for label in stack.triggers)
    metrics = METRICS_OF_ALARMS + len(stack.uploads) + limits
    return {
        "key": prices.A_KEY,
        "dashboard": prices.A_DASHBOARD,
        "alarms": metrics * prices.A_METRIC_OF_AN_ALARM,
        "watcher": len(stack.triggers) * _WATCHER_FOR_A_TRIGGER,
    }


def of_runs(stack: Stack, since: datetime, until: datetime | None, *, by: str) -> list[Cost]:
    """The costs by `job` or by `day` (of UTC), the dearest job or the last day first.

    Tasks that run on are not in it, nor what is not Fargate's: logs, transitions, alarms.
    """
    found: dict[str, list[runs.Attempt]] = defaultdict(list)
    for run in runs.recent(stack, since=since, until=until):
        for attempt in run.attempts:
            began = attempt.began or run.began
            found[attempt.job if by == "job" else f"{began:%Y-%m-%d}"].append(attempt)
    costs = [
        Cost(
            of=name,
            tasks=len(attempts),
            seconds=sum(one.seconds or 0 for one in attempts),
            dollars=sum(one.cost or 0 for one in attempts),
        )
        for name, attempts in found.items()
    ]
    return sorted(costs, key=lambda one: one.of if by == "day" else one.dollars, reverse=True)
