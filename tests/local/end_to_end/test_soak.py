"""Uploads while everything fails now and then: each ends as a result, a dead letter or a reason."""

import pytest

from benchmarks import soak

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def soaked() -> soak.Soak:
    return soak.soaked(60)


def test_no_upload_is_lost_whatever_fails(soaked: soak.Soak) -> None:
    assert len(soaked.sent) == 60
    assert soaked.lost == set()
    ends = (soaked.succeeded, soaked.dead_lettered, soaked.failed_with_reason)
    assert sum(len(end) for end in ends) == 60
    # So that the rest is not shown of a day on which nothing failed.
    assert all(ends)
    assert set(soaked.occurred) == set(soak.MIX)


def test_no_object_version_has_two_different_results(soaked: soak.Soak) -> None:
    assert soaked.duplicated == 0
    assert soaked.occurred["duplicate"] > 0


def test_each_failure_says_why(soaked: soak.Soak) -> None:
    told = [soaked.failed[key] for key in soaked.failed_with_reason]
    for reason in told:
        assert reason.startswith(
            ("Batch.", "Essential container", "Your Spot Task", "Timeout waiting for network")
        ), reason
    assert all(soaked.dead[key] for key in soaked.dead_lettered)


def test_without_faults_every_upload_succeeds() -> None:
    calm = soak.soaked(8, {})
    assert (len(calm.succeeded), calm.duplicated, calm.written_again) == (8, 0, 0)
    assert (calm.occurred, calm.failed, calm.dead) == ({}, {}, {})
