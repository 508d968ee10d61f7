"""When a delivery is tried again."""

from local.services.delivery import backoff


def test_attempts_come_ever_later_and_not_all_at_once() -> None:
    for retries, most in ((0, 1), (1, 2), (5, 32), (8, 256), (9, 300), (185, 300)):
        waits = [backoff(retries) for _ in range(200)]
        assert min(waits) >= most / 2
        assert max(waits) <= most
        assert max(waits) - min(waits) > most / 4
