"""When a delivery is tried again, and when no more."""

from contextlib import nullcontext
from threading import Event, Semaphore, Thread
from unittest.mock import Mock

from local.services.delivery import Deliveries, Sending, backoff


def test_attempts_come_ever_later_and_not_all_at_once() -> None:
    for retries, most in ((0, 1), (1, 2), (5, 32), (8, 256), (9, 300), (185, 300)):
        waits = [backoff(retries) for _ in range(200)]
        assert min(waits) >= most / 2
        assert max(waits) <= most
        assert max(waits) - min(waits) > most / 4


def test_closing_waits_for_what_began_and_for_nothing_else() -> None:
    began, go_on = Semaphore(0), Event()

    def attempt(_sending: Sending) -> None:
        began.release()
        go_on.wait()

    deliveries = Deliveries[Sending](Mock(scope=nullcontext), "test", attempt, Mock(), Mock())
    for line in range(9):
        deliveries.send(Sending(), line)
    for _ in range(8):
        began.acquire()
    deliveries.stop()
    closing = Thread(target=deliveries.join, daemon=True)
    closing.start()
    go_on.set()
    closing.join(60)
    assert not closing.is_alive()
    assert not began.acquire(blocking=False)
