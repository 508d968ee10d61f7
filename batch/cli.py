"""Command and environment → echo or ingest → exit code, stopping at once on SIGTERM."""

import signal
import threading
from collections.abc import Mapping, Sequence
from types import FrameType

from batch import exits
from batch.echo import describe
from batch.exits import MisconfiguredError, RefusalError, StoppedError
from batch.log import emit

# ECS sends SIGKILL stopTimeout after SIGTERM; whoever waits for a stop wants it within a second.
_GRACE_SECONDS = 0.6


class _SignalledError(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the batch and return its exit code; see `batch.exits` for what each means."""
    if not environment.get("BUCKET"):
        emit(describe(arguments, environment))
        return exits.DONE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _raise)
    try:
        return _ingest(arguments, environment)
    except _SignalledError as signalled:
        emit({"event": "stopped", "signal": str(signalled), "written": False})
        return 128 + signalled.number


def _ingest(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    # Importing DuckDB and boto3 takes longer than everything a job without an object does.
    from batch.ingest import Ingest, Request  # noqa: PLC0415

    try:
        ingest = Ingest(Request.read(arguments, environment))
    except MisconfiguredError as refusal:
        return _refuse(refusal)

    raised: list[BaseException] = []

    def work() -> None:
        try:
            ingest.run()
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, judged there
            raised.append(error)

    # A signal handler runs in the main thread, between two of its bytecodes: it must not be busy
    # inside a query or a socket.
    worker = threading.Thread(target=work, name="ingest", daemon=True)
    try:
        worker.start()
        worker.join()
    except _SignalledError:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        ingest.stop()
        worker.join(_GRACE_SECONDS)
        ingest.clean()
        raise
    return _outcome(raised)


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
