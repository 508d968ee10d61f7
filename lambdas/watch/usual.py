"""How long runs usually take → from when on one goes on for too long.

The watcher and the command line measure alike: operate/usual.py is this file.
"""

from collections.abc import Sequence
from datetime import timedelta
from statistics import median

USUAL_RUNS = 20
"""So many of the last that succeeded say what is usual,"""
FEWEST_RUNS = 5
"""and fewer than these say nothing."""
TIMES_USUAL = 3
# What is slow for its kind but over within a few looks is nobody's concern.
SHORTEST_CONCERN = timedelta(minutes=10)


def usual(took: Sequence[timedelta]) -> timedelta | None:
    """The middle of what the last runs took, the newest first; None if they are too few."""
    known = [one.total_seconds() for one in took[:USUAL_RUNS]]
    return timedelta(seconds=median(known)) if len(known) >= FEWEST_RUNS else None


def longest(usually: timedelta) -> timedelta:
    """What a run may take that usually takes so long."""
    return max(TIMES_USUAL * usually, SHORTEST_CONCERN)
