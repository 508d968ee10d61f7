"""The burst simulation keeps the laws it claims to; the program's turns do their work."""

from bisect import bisect_right
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import burst, costs
from benchmarks.burst import Burst, Limit, Limits, Pace, Policy, alone, chosen, simulate, spread
from components.asl.turn import MOST_SECONDS
from tests.components.expressions import evaluate

_POLICIES = st.builds(
    Policy,
    name=st.just("any"),
    interval=st.integers(1, 100),
    backoff=st.floats(1, 4),
    maximum_delay=st.integers(1, 600),
    attempts=st.integers(0, 50),
    full_jitter=st.booleans(),
)
_PACES = st.builds(Pace, gap=st.floats(0.001, 1), most=st.integers(1, 100))
_LIMITS = st.builds(
    Limits,
    start_execution=st.builds(Limit, st.integers(1, 50), st.integers(1, 50)),
    run_task=st.builds(Limit, st.integers(1, 30), st.integers(1, 30)),
    fargate_launch=st.builds(Limit, st.integers(1, 100), st.integers(1, 30)),
)


def most_within(times: list[float], seconds: float) -> int:
    """The most of the sorted `times` that lie within any `seconds`."""
    return max(bisect_right(times, at + seconds) - i for i, at in enumerate(times))


@settings(max_examples=60, deadline=None)
@given(_POLICIES | _PACES, _LIMITS, st.integers(1, 300), st.integers())
def test_every_upload_ends_in_one_way_and_no_bucket_gives_more_than_it_has(
    policy: Policy | Pace, limits: Limits, uploads: int, seed: int
) -> None:
    result = simulate(policy, seed=seed, uploads=uploads, within=5, limits=limits)

    assert len(result.launches) + result.exhausted + result.undelivered == uploads
    attempts = policy.attempts if isinstance(policy, Policy) else 0
    assert max(result.retries) <= attempts
    assert sum(retries == attempts for retries in result.retries) >= result.exhausted
    assert sum(result.turns) == 0 or isinstance(policy, Pace)
    for limit in (limits.run_task, limits.fargate_launch):
        for seconds in (0.0, 1.0, 10.0):
            allowed = limit.burst + seconds * limit.per_second
            assert not result.launches or most_within(result.launches, seconds) <= allowed + 1e-6


@settings(max_examples=25, deadline=None)
@given(_LIMITS, st.integers(1, 60), st.integers())
def test_no_policy_is_faster_than_the_minimum_and_a_tireless_one_nearly_as_fast(
    limits: Limits, uploads: int, seed: int
) -> None:
    tireless = Policy("tireless", 0.2, 1, attempts=10**9)
    # A call that finds no room on Fargate has used up one of RunTask: here it has plenty.
    limits = replace(limits, run_task=Limit(10**9, 10**9))

    result = simulate(tireless, seed=seed, uploads=uploads, within=5, limits=limits)

    assert len(result.launches) == uploads
    # The minimum waits a billionth of a second more for each token.
    assert result.launches[-1] >= result.minimum_launch - uploads * 3e-9
    # EventBridge's own retries are not the policy's: they may come late.
    if limits.start_execution.burst >= uploads:
        assert result.launches[-1] <= result.minimum_launch + uploads * 0.2


def test_the_minimum_of_ten_thousand_uploads_is_what_twenty_a_second_take() -> None:
    result = simulate(chosen())

    assert result.minimum_launch == pytest.approx((10_000 - 20) / 20, abs=1.0)
    assert max(result.ends) == pytest.approx(result.launches[-1] + 60)


@pytest.mark.parametrize("seed", range(1, 7))
def test_every_upload_comes_through_in_1_05_of_the_minimum_and_for_two_dollars(seed: int) -> None:
    result = simulate(chosen(), seed=seed, duration=spread())

    assert len(result.launches) == 10_000
    assert (result.exhausted, result.undelivered) == (0, 0)
    assert result.drain_ratio <= 1.05
    assert result.dollars <= 2
    assert result.history_events() < burst.HISTORY_LIMIT / 100


@pytest.mark.parametrize(("uploads", "within"), [(200, 1), (1_000, 5), (3_000, 60)])
def test_turns_are_faster_than_retries_and_no_dearer_whatever_the_burst(
    uploads: int, within: float
) -> None:
    turns, retries = (
        simulate(policy, uploads=uploads, within=within) for policy in (chosen(), alone())
    )

    assert turns.drain_ratio < min(1.15, retries.drain_ratio)
    assert turns.transitions <= 6.5 * uploads
    assert uploads < 3_000 or turns.dollars < retries.dollars


def test_what_others_launch_meanwhile_costs_turns_and_hardly_any_time() -> None:
    result = simulate(chosen(), limits=Limits(fargate_launch=Limit(50, 10)))

    assert len(result.launches) == 10_000
    assert result.drain_ratio <= 1.1
    assert result.dollars <= 2.5


def test_without_a_table_retries_bring_every_upload_through() -> None:
    result = simulate(alone(), duration=spread())

    assert len(result.launches) == 10_000
    assert result.drain_ratio <= 1.2
    assert burst.EVENTS_WITHOUT_RETRY + burst.EVENTS_PER_RETRY * alone().attempts < (
        burst.HISTORY_LIMIT
    )


@pytest.mark.parametrize("refusals", [1, 2, 3, 6, 7, 300])
def test_a_turn_waits_as_the_definition_says(refusals: int) -> None:
    states = burst.definition(launches_per_second=8)["States"]
    expression = (
        states["AwaitTurn"]["Timestamp"].replace("$random()", "1").replace("$millis()", "0")
    )

    latest = evaluate(expression, turn=0, refusals=refusals)

    pace = chosen(8)
    assert (pace.gap, pace.most) == (0.125, MOST_SECONDS)
    drawn = [pace.delay(refusals, Random(seed)) for seed in range(300)]  # noqa: S311 - the same
    seconds = (datetime.fromisoformat(latest) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    assert seconds * 0.98 <= max(drawn) <= seconds
    assert min(drawn) <= seconds * 0.02


def test_three_attempts_lose_most_of_the_burst() -> None:
    result = simulate(Policy("AWS's default"))

    assert result.exhausted > 5_000
    assert result.drain_ratio == float("inf")


def test_the_same_seed_gives_the_same_burst_and_another_seed_another() -> None:
    first, again, other = (simulate(chosen(), seed=seed, uploads=500) for seed in (7, 7, 8))

    assert first == again
    assert first != other


def test_a_retry_waits_as_the_states_language_says() -> None:
    steady = Policy("steady", interval=2, backoff=3, maximum_delay=20, attempts=9)
    jittery = Policy("jittery", interval=2, backoff=3, attempts=9, full_jitter=True)
    random = Random(1)  # noqa: S311 - to be had again

    assert [steady.delay(retry, random) for retry in range(4)] == [2, 6, 18, 20]
    drawn = [jittery.delay(1, random) for _ in range(1000)]
    assert 0 <= min(drawn) < 0.1
    assert 5.9 < max(drawn) <= 6


def test_transitions_and_concurrency_are_counted_by_hand() -> None:
    result = Burst(3, [0, 1, 5], [2, 4, 6], retries=[0, 2, 1], turns=[2, 0, 1], first_turns=1)

    assert burst.happy_transitions() == 3
    assert [burst.turn_transitions(first=first) for first in (False, True)] == [3, 5]
    assert result.transitions == 3 * 3 + 3 + 2 * 3 + 5
    assert result.dollars == pytest.approx(23 * 0.000025 + 4 * 0.000000625)
    assert result.most_at_once == 2
    assert result.history_events() == 10 + 2 * 19


def test_the_line_items_are_what_the_price_lists_make_of_a_minute() -> None:
    items = costs.line_items()

    assert items["Step Functions, 3 transitions"] == pytest.approx(0.075)
    assert items["Fargate vCPU"] == pytest.approx(1000 * 0.5 * 0.04048 / 60)
    assert items["public IPv4 address"] == pytest.approx(1000 * 0.005 / 60)
    assert sum(costs.nested(items).values()) - sum(items.values()) == pytest.approx(0.05)
