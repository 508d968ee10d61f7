"""What runs have cost: how long their tasks ran and their sizes, at the prices of one table."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from . import runs
from .stack import Stack


@dataclass(frozen=True)
class Cost:
    """What the tasks of a job, or of a day, came to."""

    of: str
    tasks: int
    seconds: float
    """How long their containers ran, together."""
    dollars: float


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
