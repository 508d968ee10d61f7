"""What is done later is done for the account and Region it was asked in."""

import threading
from contextvars import ContextVar

from local.clock import Clock

REGION = ContextVar("region", default="of the process")


def test_an_alarm_rings_in_the_context_it_was_asked_in() -> None:
    clock, heard, rang = Clock(), list[str](), threading.Event()

    def ring() -> None:
        heard.append(REGION.get())
        rang.set()

    token = REGION.set("of the cloud")
    clock.after(0, ring)
    REGION.reset(token)
    assert rang.wait(60)
    clock.close()
    assert heard == ["of the cloud"]


def test_a_cancelled_alarm_does_not_ring() -> None:
    clock, heard, rang = Clock(), list[str](), threading.Event()
    clock.after(0.05, lambda: heard.append("cancelled")).cancel()
    clock.after(0.1, rang.set)
    assert rang.wait(60)
    clock.close()
    assert heard == []
