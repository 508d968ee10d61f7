"""The burst simulation keeps the laws it claims to; the program's retry policy does its work."""

from bisect import bisect_right
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import burst, costs
from benchmarks.burst import Burst, Limit, Limits, Policy, chosen, simulate, spread

_POLICIES = st.builds(
    Policy,
    name=st.just("any"),
    interval=st.integers(1, 100),
    backoff=st.floats(1, 4),
    maximum_delay=st.integers(1, 600),
    attempts=st.integers(0, 50),
    full_jitter=st.booleans(),
)
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
@given(_POLICIES, _LIMITS, st.integers(1, 300), st.integers())
def test_every_upload_ends_in_one_way_and_no_bucket_gives_more_than_it_has(
    policy: Policy, limits: Limits, uploads: int, seed: int
) -> None:
    result = simulate(policy, seed=seed, uploads=uploads, within=5, limits=limits)

    assert len(result.launches) + result.exhausted + result.undelivered == uploads
    assert max(result.retries) <= policy.attempts
    assert sum(retries == policy.attempts for retries in result.retries) >= result.exhausted
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
def test_the_chosen_policy_brings_every_upload_through_within_a_fifth_of_the_minimum(
    seed: int,
) -> None:
    result = simulate(chosen(), seed=seed, duration=spread())

    assert len(result.launches) == 10_000
    assert (result.exhausted, result.undelivered) == (0, 0)
    assert result.drain_ratio <= 1.2
    assert result.history_events() < burst.HISTORY_LIMIT / 100


def test_the_chosen_policy_never_fills_a_history_even_when_every_attempt_is_used() -> None:
    events = burst.EVENTS_WITHOUT_RETRY + burst.EVENTS_PER_RETRY * chosen().attempts

    assert events < burst.HISTORY_LIMIT


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
    result = Burst(3, launches=[0, 1, 5], ends=[2, 4, 6], retries=[0, 2, 1])

    assert burst.happy_transitions() == 3
    assert result.transitions == 3 * 3 + 3
    assert result.most_at_once == 2
    assert result.history_events() == 10 + 2 * 3


def test_the_line_items_are_what_the_price_lists_make_of_a_minute() -> None:
    items = costs.line_items()

    assert items["Step Functions, 3 transitions"] == pytest.approx(0.075)
    assert items["Fargate vCPU"] == pytest.approx(1000 * 0.5 * 0.04048 / 60)
    assert items["public IPv4 address"] == pytest.approx(1000 * 0.005 / 60)
    assert sum(costs.nested(items).values()) - sum(items.values()) == pytest.approx(0.05)
