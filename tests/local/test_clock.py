"""What is done later is done for the account and Region it was asked in."""

import threading
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace

import pytest

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


class AtOnce:
    """A thread that is none: threads that are begun in order need not run in it."""

    def __init__(
        self, *, target: Callable[..., object], args: tuple[object, ...], **_: object
    ) -> None:
        self.start = lambda: target(*args)


def test_alarms_ring_by_their_times_and_not_once_they_are_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, heard, rang = Clock(), list[str](), threading.Event()
    monkeypatch.setattr("local.clock.threading", SimpleNamespace(Thread=AtOnce))
    # None rings before all are there.
    with clock._changed:  # pyright: ignore[reportPrivateUsage]
        clock.after(0, lambda: (heard.append("second"), rang.set()))
        clock.after(-1, lambda: heard.append("cancelled")).cancel()
        clock.after(-2, lambda: heard.append("first"))
    assert rang.wait(60)
    clock.close()
    assert heard == ["first", "second"]
