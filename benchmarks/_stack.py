"""The dev stack on this machine, in a process of its own, for the benchmarks that use one."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from local.commands.stack import Stack

ROOT = Path(__file__).parents[1]
READY_SECONDS = 60
# As many tasks at once as the cloud of this machine runs.
AT_ONCE = 2 * (os.cpu_count() or 1)


@dataclass(frozen=True)
class Running:
    """The stack, and the process that serves it."""

    stack: Stack
    process: psutil.Process
    s3: Any
    """A boto3 client; clients are shared by threads, and dear to make."""

    def client(self, service: str) -> Any:  # noqa: ANN401 -- each service has a type of its own
        """A boto3 client for the stack's account and Region."""
        return self.stack.client(service)


@contextlib.contextmanager
def running() -> Generator[Running]:
    """Serve the dev stack on a free port until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "local", "up", "--json", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            answer = json.loads(_first_line(child))
            stack = Stack(answer["endpoint"], answer["region"], answer["outputs"])
            yield Running(stack, psutil.Process(child.pid), stack.client("s3"))
        finally:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def _first_line(child: subprocess.Popen[bytes]) -> bytes:
    assert child.stdout is not None
    with selectors.DefaultSelector() as ready:
        ready.register(child.stdout, selectors.EVENT_READ)
        if not ready.select(READY_SECONDS):
            raise TimeoutError(f"The stack was not there after {READY_SECONDS} s")
    line = child.stdout.readline()
    if not line:
        raise RuntimeError("The stack did not start")
    return line


@contextlib.contextmanager
def peak_memory(process: psutil.Process) -> Generator[list[int]]:
    """Watch the resident bytes of a process, without its children; the one item is the peak."""
    peak = [process.memory_info().rss]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def wait_for(what: str, seconds: float, pause: float, found: Any) -> Any:  # noqa: ANN401 -- the caller's
    """Call `found` until its answer is true, and return that.

    Raises:
        TimeoutError: it was not within `seconds`; says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {seconds:.0f} s for {what}")
        time.sleep(pause)
    return answer
