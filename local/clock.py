"""One thread that calls things later: time-outs, retries of deliveries and schedules hang on it."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from contextvars import copy_context


class Alarm:
    """One call to come, for the account and Region it was asked in; `cancel` makes it not come."""

    __slots__ = ("_call", "_context")

    def __init__(self, call: Callable[[], object]) -> None:
        self._call: Callable[[], object] | None = call
        self._context = copy_context()

    def cancel(self) -> None:
        """Forget the call, if it has not come yet."""
        self._call = None

    def ring(self) -> None:
        """Make the call in a thread of its own, unless it was cancelled."""
        call, self._call = self._call, None
        if call is not None:
            threading.Thread(
                target=self._context.run, args=(call,), name="alarm", daemon=True
            ).start()


class Clock:
    """Calls that are due at a time, held in one heap and made by one thread until `close`."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Alarm]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
        self._thread.start()

    def after(self, seconds: float, call: Callable[[], object]) -> Alarm:
        """Call `call` once, `seconds` from now, in a thread of its own."""
        alarm = Alarm(call)
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), alarm))
            self._changed.notify()
        return alarm

    def close(self) -> None:
        """Make no more calls."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not self._ripe():
                    self._changed.wait(self._seconds_left())
                if self._closed:
                    return
                alarm = heapq.heappop(self._due)[2]
            alarm.ring()

    def _ripe(self) -> bool:
        return bool(self._due) and self._due[0][0] <= time.monotonic()

    def _seconds_left(self) -> float | None:
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else None


class Aborted(Exception):  # noqa: N818 - no error, but the end that was asked for
    """What was waited for is not wanted any more."""


class Cancellation:
    """Tells whoever waits that what they wait for is not wanted any more, and all narrower ones."""

    def __init__(self, wider: "Cancellation | None" = None) -> None:
        self.event = threading.Event()
        self._narrower: list[Cancellation] = []
        self._callbacks: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._wider = wider
        if wider is not None:
            wider._add(self)  # noqa: SLF001 - the same class

    def __bool__(self) -> bool:
        return self.event.is_set()

    def _add(self, narrower: "Cancellation") -> None:
        with self._lock:
            self._narrower.append(narrower)
        if self:
            narrower.cancel()

    def cancel(self) -> None:
        """Wake every waiter of this and of all narrower ones; a second time does nothing."""
        with self._lock:
            if self:
                return
            self.event.set()
            narrower, self._narrower = self._narrower, []
            callbacks, self._callbacks = self._callbacks, []
        for one in narrower:
            one.cancel()
        for callback in callbacks:
            callback()

    def call(self, callback: Callable[[], object]) -> None:
        """Call `callback` when cancelled; at once if it already is."""
        with self._lock:
            if not self:
                self._callbacks.append(callback)
                return
        callback()

    def check(self) -> None:
        """Raise `Aborted` if cancelled."""
        if self:
            raise Aborted

    def wait(self, seconds: float) -> bool:
        """Wait that long, or until cancelled; whether it was."""
        return self.event.wait(seconds)

    def close(self) -> None:
        """Stop hearing of the wider one."""
        if self._wider is not None:
            with self._wider._lock:  # noqa: SLF001 - the same class
                if self in self._wider._narrower:  # noqa: SLF001
                    self._wider._narrower.remove(self)  # noqa: SLF001
