"""A command in a thread, its signals in the main one: Ctrl-C ends it wherever it is."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Protocol

CLOSE_SECONDS = 1.7


class Closable(Protocol):
    """Something with children or sockets to be rid of."""

    def close(self) -> None:
        """End them; may be called twice, and from another thread than opened it."""
        ...


class Lifetime:
    """From the start of a command to its end, or to a signal, whichever is first."""

    def __init__(self) -> None:
        self._opened: list[Closable] = []
        self._over = threading.Event()
        self._status = 1
        self._error: BaseException | None = None

    def opened(self, what: Closable) -> None:
        """Have `what` closed when the command ends, however it ends."""
        self._opened.append(what)

    def forever(self) -> int:
        """Wait for the signal that ends the process."""
        threading.Event().wait()
        return 0

    def run(self, work: Callable[["Lifetime"], int]) -> int:
        """Do `work` and return its exit status; what it raises is raised here.

        SIGINT and SIGTERM close what was opened and end the process with 128 + the signal's number.
        Python delivers a signal to the main thread only, between two of its instructions: that
        thread does nothing but wait, so it is never inside an import, a lock or an event loop.
        """
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGTERM, self._end)
        threading.Thread(target=self._work, args=(work,), name="command", daemon=True).start()
        self._over.wait()
        self._close()
        if self._error is not None:
            raise self._error
        return self._status

    def _work(self, work: Callable[["Lifetime"], int]) -> None:
        try:
            self._status = work(self)
        except BaseException as error:  # noqa: BLE001 -- raised again in the main thread
            self._error = error
        finally:
            self._over.set()

    def _close(self) -> None:
        # Clients and servers that are cut off complain, which is nobody's concern any more.
        logging.disable(logging.CRITICAL)
        while self._opened:
            self._opened.pop().close()

    def _end(self, number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        status = 128 + number
        last_resort = threading.Timer(CLOSE_SECONDS, os._exit, (status,))
        last_resort.daemon = True
        last_resort.start()
        try:
            self._close()
            sys.stdout.flush()
        finally:
            # The command's thread may be anywhere: it is not waited for.
            os._exit(status)
