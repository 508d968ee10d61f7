"""10,000 uploads within a minute, simulated: what the definition of a job makes of them.

Uploads arrive, EventBridge starts executions, each calls RunTask until it is let through: every
call and transition against the token buckets that AWS documents. When a refused one calls again,
its turn says, or the retry policy under test; the numbers of ours are read from the definition.
"""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from components import defaults
from components.asl.job import Place, RetryPolicy, Task, run_job
from components.asl.turn import Turns

UPLOADS = 10_000
WITHIN_SECONDS = 60.0
TASK_SECONDS = 60.0
TASK_VCPU = 0.5

# https://aws.amazon.com/step-functions/pricing/, us-east-1, November 2026
DOLLARS_PER_TRANSITION = 0.000025
# https://aws.amazon.com/dynamodb/pricing/on-demand/, a write of up to a kilobyte, refused or not
DOLLARS_PER_WRITE = 0.000000625
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
HISTORY_LIMIT = 25_000
# An execution's own events, from ExecutionStarted to ExecutionSucceeded, and those of a retry:
# TaskScheduled, TaskStarted and what went wrong. A turn has these, five of the task that takes it,
# two of the choice and five more where nobody waits, two of the wait and two of entering and
# leaving RunTask.
EVENTS_WITHOUT_RETRY = 10
EVENTS_PER_RETRY = 3
EVENTS_PER_TURN = 19

# Assumed, for AWS says nothing of it: how late a wait ends at most, and what a write takes. That a
# wait's timestamp counts up to its second, it does say:
# https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html
WAIT_LATE_SECONDS = 1.0
WRITE_SECONDS = 0.05

_DAY = 86_400.0


@dataclass(frozen=True)
class Limit:
    """A token bucket as AWS documents it: what it holds, what a second adds."""

    burst: int
    per_second: float


@dataclass(frozen=True)
class Limits:
    """The limits of an account in one Region, as AWS sets them without being asked."""

    # https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html: these are those of
    # most Regions; us-east-1, us-west-2 and eu-west-1 have 1,300 and 300.
    start_execution: Limit = Limit(800, 150)
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html
    run_task: Limit = Limit(20, 20)
    fargate_launch: Limit = Limit(100, 20)
    # Of Step Functions again: 5,000 and 1,500 in those three. Who finds no token waits for one.
    state_transition: Limit = Limit(800, 500)


@dataclass(frozen=True)
class Policy:
    """A retrier of the Amazon States Language; delays in seconds."""

    name: str
    interval: float = 1
    backoff: float = 2
    maximum_delay: float = float("inf")
    attempts: int = 3
    full_jitter: bool = False

    def delay(self, retry: int, random: Random) -> float:
        """How long the retry that is the `retry`th, from 0, is waited for."""
        # Beyond this many doublings the cap is long reached, and a float would overflow.
        delay = min(self.interval * self.backoff ** min(retry, 500), self.maximum_delay)
        return random.uniform(0, delay) if self.full_jitter else delay


def retrier(name: str, fields: Mapping[str, Any]) -> Policy:
    """The policy that a Retry entry of a definition stands for.

    What it leaves out has AWS's default:
    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """
    return Policy(
        name,
        interval=fields.get("IntervalSeconds", 1),
        backoff=fields.get("BackoffRate", 2.0),
        maximum_delay=fields.get("MaxDelaySeconds", float("inf")),
        attempts=fields.get("MaxAttempts", 3),
        full_jitter=fields.get("JitterStrategy") == "FULL",
    )


@dataclass(frozen=True)
class Pace:
    """The turns of a definition."""

    gap: float
    """Seconds between two."""
    most: float = 90
    """The longest wait, in seconds, of one that is refused though nobody is before it."""

    def delay(self, refusals: int, random: Random) -> float:
        """The least that one waits which has been refused so often."""
        return random.uniform(0, min(self.most, 2.0 ** min(refusals - 1, 500) - 1))


def definition(launches_per_second: int | None = defaults.LAUNCHES_PER_SECOND) -> dict[str, Any]:
    """The state machine of a job, as the program builds it; with None it has no turns."""
    return run_job(
        Task("ingest", "task-definition", "log-group"),
        Place("cluster", ["subnet"], ["group"], True, "1.4.0", False),  # noqa: FBT003 as declared
        timeout_seconds=3600,
        retries=RetryPolicy(attempts=5, exit_codes=[75], spot_interruptions=2),
        turns=None if launches_per_second is None else Turns("launches", launches_per_second),
    )


def chosen(launches_per_second: int = defaults.LAUNCHES_PER_SECOND) -> Pace:
    """What the program does when RunTask is throttled, read from the definition it builds."""
    states = definition(launches_per_second)["States"]
    retried = {error for one in states["RunTask"]["Retry"] for error in one["ErrorEquals"]}
    caught = states["RunTask"]["Catch"][0]
    assert "ECS.ThrottlingException" not in retried
    assert "ECS.ThrottlingException" in caught["ErrorEquals"]
    values = states[caught["Next"]]["Arguments"]["ExpressionAttributeValues"]
    return Pace(float(values[":gap"]["N"]) / 1000)


def alone() -> Policy:
    """What a state machine does that shares no table with others, read from its definition."""
    retriers = cast("list[Mapping[str, Any]]", definition(None)["States"]["RunTask"]["Retry"])
    throttled = next(one for one in retriers if "ECS.ThrottlingException" in one["ErrorEquals"])
    return retrier("without a table, full jitter below 90 s", throttled)


OTHERS = (
    # https://github.com/cdklabs/construct-hub/tree/main/src/backend/orchestration
    Policy("60 s, rate 1.1, 45 attempts", interval=60, backoff=1.1, attempts=45),
    Policy(
        "full jitter below 60 s, 60 attempts", 2, 2, maximum_delay=60, attempts=60, full_jitter=True
    ),
    Policy("AWS's default"),
)


_OTHER_BURSTS = ((200, 1.0), (3_000, 60.0), (30_000, 60.0))
_OTHER_QUOTAS = (
    ("half of the launches taken by others", Limits(fargate_launch=Limit(50, 10)), 20),
    (
        "100 launches a second and as many turns, in us-east-1",
        Limits(Limit(1300, 300), Limit(100, 100), Limit(100, 100), Limit(5000, 1500)),
        100,
    ),
)


class _Bucket:
    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def earliest(self, now: float) -> float:
        """When there is a token next, from `now` on."""
        self._fill(now)
        return now + max(0.0, (1 - self._tokens) / self._limit.per_second)

    def _fill(self, now: float) -> None:
        filled = self._tokens + (now - self._at) * self._limit.per_second
        self._tokens, self._at = min(float(self._limit.burst), filled), now

    def wait_in_line(self, now: float, tokens: int) -> float:
        """When so many tokens have been taken, by one who waits for them behind all others."""
        self._fill(now)
        self._tokens -= tokens
        return now + max(0.0, -self._tokens / self._limit.per_second)


@dataclass
class Burst:
    """What became of the uploads. Times are seconds since the first may have come."""

    uploads: int
    launches: list[float] = field(default_factory=list[float])
    """When each task was launched, in order."""
    ends: list[float] = field(default_factory=list[float])
    """When each task ended."""
    retries: list[int] = field(default_factory=list[int])
    """Retries of RunTask, of each execution."""
    turns: list[int] = field(default_factory=list[int])
    """Turns that each execution has taken."""
    first_turns: int = 0
    """Turns of which none was before."""
    exhausted: int = 0
    """Executions that ran out of attempts: failed."""
    undelivered: int = 0
    """Uploads whose event EventBridge gave up: a dead letter each."""
    minimum_launch: float = 0.0
    """When the last task would have been launched, had no call been refused and no token lain
    unused."""
    busiest_second: int = 0
    """The most calls of RunTask in a second."""

    @property
    def drain_ratio(self) -> float:
        """The last launch as a multiple of the earliest possible; infinite if one never came."""
        if len(self.launches) < self.uploads:
            return float("inf")
        return self.launches[-1] / self.minimum_launch

    @property
    def transitions(self) -> int:
        """State transitions that are paid: those of the way through, of retries and of turns."""
        through = (self.uploads - self.undelivered) * happy_transitions() + sum(self.retries)
        others = sum(self.turns) - self.first_turns
        return (
            through
            + others * turn_transitions(first=False)
            + self.first_turns * turn_transitions(first=True)
        )

    @property
    def dollars(self) -> float:
        """What the transitions and the writes to the table of turns cost."""
        writes = sum(self.turns) + self.first_turns
        return self.transitions * DOLLARS_PER_TRANSITION + writes * DOLLARS_PER_WRITE

    @property
    def most_at_once(self) -> int:
        """The most tasks that ran at the same time."""
        changes = sorted([(end, -1) for end in self.ends] + [(at, 1) for at in self.launches])
        running = most = 0
        for _, change in changes:
            running += change
            most = max(most, running)
        return most

    def history_events(self, of: float = 1.0) -> int:
        """The history events that the share `of` of the executions stay within."""
        ordered = sorted(
            EVENTS_PER_RETRY * retries + EVENTS_PER_TURN * turns
            for retries, turns in zip(self.retries, self.turns, strict=True)
        )
        return EVENTS_WITHOUT_RETRY + ordered[min(len(ordered) - 1, int(of * len(ordered)))]


def happy_transitions() -> int:
    """State transitions of an execution that an upload starts and whose task succeeds at once.

    One from the start to the first state, one from each state to the next or to the end.
    """
    machine = definition()
    state: str | None = machine["StartAt"]
    transitions = 1
    while state is not None:
        fields = machine["States"][state]
        # An upload is what the first branch of a choice is for.
        state = fields["Choices"][0]["Next"] if "Choices" in fields else fields.get("Next")
        transitions += 1
    return transitions


def turn_transitions(*, first: bool) -> int:
    """State transitions of one turn, from a RunTask that is refused to the next one.

    Who takes the first turn finds that the condition of the write does not hold.
    """
    states = definition()["States"]
    state = states["RunTask"]["Catch"][0]["Next"]
    transitions = 1
    while state != "RunTask":
        fields = states[state]
        if "Choices" in fields:
            state = fields["Choices"][0]["Next"]
        elif first and state == "TakeTurn":
            state = fields["Catch"][0]["Next"]
        else:
            state = fields["Next"]
        transitions += 1
    return transitions


def steady(seconds: float = TASK_SECONDS) -> Callable[[Random], float]:
    """Tasks that all take as long."""
    return lambda _: seconds


def spread(mean: float = TASK_SECONDS, deviation: float = 0.8) -> Callable[[Random], float]:
    """Tasks most of which are short and some long: log-normal of this mean in seconds."""

    def duration(random: Random) -> float:
        return mean * random.lognormvariate(-(deviation**2) / 2, deviation)

    return duration


def simulate(
    policy: Policy | Pace,
    *,
    seed: int = 1,
    uploads: int = UPLOADS,
    within: float = WITHIN_SECONDS,
    limits: Limits | None = None,
    duration: Callable[[Random], float] | None = None,
) -> Burst:
    """`uploads` at random moments `within` seconds, until the last task has ended."""
    random = Random(seed)  # noqa: S311 - a simulation, to be had again
    limits = limits or Limits()
    duration = duration or steady()
    arrivals = sorted(random.uniform(0, within) for _ in range(uploads))
    burst = Burst(uploads, retries=[0] * uploads, turns=[0] * uploads)
    start, run_task, launch, transition = map(
        _Bucket,
        (limits.start_execution, limits.run_task, limits.fargate_launch, limits.state_transition),
    )
    # Each entry is an upload's next step: when, which upload, and what it does.
    steps: list[tuple[float, int, str]] = [(at, i, "start") for i, at in enumerate(arrivals)]
    deliveries: Counter[int] = Counter()
    seconds: Counter[int] = Counter()
    next_turn = 0.0
    per_turn = {first: turn_transitions(first=first) for first in (False, True)}

    def go_on(now: float, upload: int, step: str, transitions: int, after: float = 0) -> None:
        heapq.heappush(steps, (transition.wait_in_line(now, transitions) + after, upload, step))

    while steps:
        now, upload, step = heapq.heappop(steps)
        if step == "start":
            if start.take(now):
                go_on(now, upload, "run", 2)
            elif (again := _redelivery(deliveries[upload], random)) is not None:
                deliveries[upload] += 1
                heapq.heappush(steps, (now + again, upload, "start"))
            else:
                burst.undelivered += 1
        elif step == "turn":
            assert isinstance(policy, Pace)
            first = next_turn <= now
            turn, next_turn = (now if first else next_turn), max(now, next_turn) + policy.gap
            burst.first_turns += first
            burst.turns[upload] += 1
            delay = WRITE_SECONDS + policy.delay(burst.turns[upload], random)
            until = max(now + WRITE_SECONDS, math.floor(max(turn, now + delay)))
            late = random.uniform(0, WAIT_LATE_SECONDS)
            go_on(now, upload, "run", per_turn[first] - 1, until - now + late)
        else:
            seconds[int(now)] += 1
            if run_task.take(now) and launch.take(now):
                burst.launches.append(now)
                burst.ends.append(now + duration(random))
            elif isinstance(policy, Pace):
                go_on(now, upload, "turn", 1)
            elif burst.retries[upload] < policy.attempts:
                delay = policy.delay(burst.retries[upload], random)
                burst.retries[upload] += 1
                go_on(now, upload, "run", 1, delay)
            else:
                burst.exhausted += 1
    burst.busiest_second = max(seconds.values())
    burst.minimum_launch = max(_earliest_launches(arrivals, limits))
    return burst


def _redelivery(deliveries: int, random: Random) -> float | None:
    """Seconds until EventBridge tries again to start an execution; None when it gives up.

    AWS documents exponential backoff with jitter, 185 attempts in a day, and no numbers:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
    """
    return None if deliveries >= 185 else random.uniform(0.5, 1) * min(2.0**deliveries, _DAY / 185)


def _earliest_launches(arrivals: Sequence[float], limits: Limits) -> Iterator[float]:
    """When each task were launched if every call waited in line for its token."""
    buckets = [_Bucket(limit) for limit in (limits.run_task, limits.fargate_launch)]
    start, now = _Bucket(limits.start_execution), 0.0
    for arrival in arrivals:
        # A moment more, for a sum of floats may fall short of the whole token.
        started = start.earliest(arrival) + 1e-9
        start.take(started)
        now = max(now, started)
        now = max(bucket.earliest(now) for bucket in buckets) + 1e-9
        for bucket in buckets:
            bucket.take(now)
        yield now


def _of(burst: Burst) -> str:
    failed = burst.exhausted + burst.undelivered
    last = f"last launch {burst.launches[-1]:,.0f} s"
    return (
        f"{len(burst.launches):,} succeeded, {failed:,} gave up; {last}, "
        f"{burst.launches[-1] / burst.minimum_launch:.2f} x the minimum of "
        f"{burst.minimum_launch:,.0f} s; {sum(burst.turns):,} turns, {sum(burst.retries):,} "
        f"retries, {burst.transitions:,} transitions ({burst.dollars:.2f} USD); history "
        f"{burst.history_events():,} events at most, p99 "
        f"{burst.history_events(0.99):,}, of {HISTORY_LIMIT:,}"
    )


def run() -> list[tuple[str, str]]:
    """Figure (8): label and figure, of our turns and of retries; a line for other bursts."""
    ours = chosen()
    figures = [("turns of those that RunTask refuses", f"one every {1000 * ours.gap:g} ms")]
    title = f"{UPLOADS:,} uploads in {WITHIN_SECONDS:.0f} s"
    mine = simulate(ours)
    figures.append((f"{title}: ours", _of(mine)))
    figures += [(f"{title}: {one.name}", _of(simulate(one))) for one in (alone(), *OTHERS)]
    figures.append(("last launch / earliest possible", f"{mine.drain_ratio:.2f}"))
    figures.append(("orchestration", f"{mine.dollars:.2f} USD"))
    quota = (
        f"{mine.most_at_once:,} tasks at once, {mine.most_at_once * TASK_VCPU:,.0f} vCPU; at most "
        f"{mine.busiest_second:,} calls of RunTask a second; over after {max(mine.ends):,.0f} s"
    )
    figures.append((f"{title}: quota it takes", quota))
    ratios = [simulate(ours, seed=seed, duration=spread()).drain_ratio for seed in range(2, 7)]
    figures.append(
        (f"{title}: 5 more seeds", f"{min(ratios):.3f} to {max(ratios):.3f} x the minimum")
    )
    for uploads, within in _OTHER_BURSTS:
        title = f"{uploads:,} uploads in {within:g} s"
        for name, policy in (("ours", ours), ("without a table", alone())):
            figures.append(
                (f"{title}: {name}", _of(simulate(policy, uploads=uploads, within=within)))
            )
    for label, limits, per_second in _OTHER_QUOTAS:
        burst = simulate(chosen(per_second), limits=limits)
        figures.append((f"{UPLOADS:,} uploads, {label}", _of(burst)))
    return figures


if __name__ == "__main__":
    for label, figure in run():
        print(f"{label:<50} {figure}")
