"""Command and environment → echo, or ingest of an object or a file → exit code."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from batch import exits
from batch.echo import describe
from batch.exits import MisconfiguredError, RefusalError, StoppedError
from batch.log import emit

# ECS sends SIGKILL stopTimeout after SIGTERM; whoever waits for a stop wants it within a second.
_GRACE_SECONDS = 0.5


class _SignalledError(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the batch and return its exit code; see `batch.exits` for what each means.

    The arguments `--file PATH --out DIR` ingest a file without S3; with BUCKET set the one
    argument is a key; else they are only printed.
    """
    file = len(arguments) == 4 and (arguments[0], arguments[2]) == ("--file", "--out")
    if not file and not environment.get("BUCKET"):
        emit(describe(arguments, environment))
        return exits.DONE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _raise)
    try:
        return _ingest(arguments, environment)
    except _SignalledError as signalled:
        _say_stopped(signalled)
        return 128 + signalled.number


def _ingest(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    # What these import takes longer than everything a job without an object does.
    from batch.ingest import FileIngest, Ingest, Request  # noqa: PLC0415
    from batch.options import Options  # noqa: PLC0415

    try:
        options = Options.read(environment)
        ingest = (
            FileIngest(Path(arguments[1]), Path(arguments[3]), options)
            if len(arguments) == 4
            else Ingest(Request.read(arguments, environment), options)
        )
    except MisconfiguredError as refusal:
        return _refuse(refusal)

    raised: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            ingest.run()
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, judged there
            raised.append(error)
        finally:
            done.set()

    # A signal handler runs in the main thread, between two of its bytecodes: it must not be busy
    # inside a query or a socket. It waits for the event, for an interrupted join() takes the
    # thread for ended: https://github.com/python/cpython/issues/89437
    worker = threading.Thread(target=work, name="ingest", daemon=True)
    try:
        worker.start()
        done.wait()
    except _SignalledError as signalled:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        ended = _stopped(ingest.stop, done)
        ingest.clean()
        if not ended:
            # The interpreter would wait for, or crash, a thread inside a request that hangs.
            _say_stopped(signalled)
            os._exit(128 + signalled.number)
        if raised:
            raise
    worker.join()
    return _outcome(raised)


def _stopped(stop: Callable[[], None], done: threading.Event) -> bool:
    """Stop the work and say whether it ended in time; aborting an upload may hang as well."""
    deadline = time.monotonic() + _GRACE_SECONDS
    stopper = threading.Thread(target=stop, name="stop", daemon=True)
    stopper.start()
    stopper.join(_GRACE_SECONDS)
    return done.wait(max(0.0, deadline - time.monotonic())) and not stopper.is_alive()


def _say_stopped(signalled: _SignalledError) -> None:
    emit({"event": "stopped", "signal": str(signalled)})


def _outcome(raised: Sequence[BaseException]) -> int:
    for error in raised:
        if isinstance(error, RefusalError):
            return _refuse(error)
        if not isinstance(error, StoppedError):
            raise error
    return exits.DONE


def _refuse(refusal: RefusalError) -> int:
    emit({"event": "failed", "exit": refusal.code, "reason": str(refusal)})
    return refusal.code


def _raise(number: int, _frame: FrameType | None) -> None:
    raise _SignalledError(number)
