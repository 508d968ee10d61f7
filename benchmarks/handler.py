"""Measure the task event logger: its cold import and a warm event, each beside a bare one."""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
HANDLER = ROOT / "lambdas" / "task_events" / "handler.py"
EVENT = ROOT / "tests" / "events" / "task-succeeded.json"
STARTS = 20
EVENTS = 100
ROUNDS = 140

# Timed inside a fresh interpreter without site, from a folder without bytecode: Lambda cannot write
# any beside the code, so there every cold start compiles the handler.
IMPORT = """
import sys, time
sys.path.insert(0, sys.argv[1])
start = time.perf_counter()
import handler
print((time.perf_counter() - start) * 1e3)
"""


def run() -> list[tuple[str, str]]:
    """Measure and return rows of label and value."""
    event = json.loads(EVENT.read_text())
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HANDLER, folder)
        imported = statistics.median(float(_python("-c", IMPORT, folder)) for _ in range(STARTS))
    bare = statistics.median(_milliseconds("-c", "pass") for _ in range(STARTS))
    handle = _warm_handler()
    # Short rounds of both take turns, so that a busy machine slows both alike.
    rounds = [
        (_microseconds(lambda: handle(event, None)), _microseconds(lambda: json.dumps(event)))
        for _ in range(ROUNDS)
    ]
    warm, alone = (min(column) for column in zip(*rounds, strict=True))
    return [
        ("handler: cold import", f"{imported:.1f} ms (a bare interpreter starts in {bare:.1f} ms)"),
        ("handler: a warm event", f"{warm:.1f} us"),
        ("json.dumps of the same event", f"{alone:.1f} us"),
        ("handler / json.dumps", f"{warm / alone:.2f}"),
    ]


def _warm_handler() -> Callable[[object, object], None]:
    sys.path.insert(0, str(ROOT))
    try:
        from lambdas.task_events.handler import handler  # noqa: PLC0415 - what is measured
    finally:
        sys.path.pop(0)
    return handler


def _python(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", *arguments], check=True, capture_output=True, text=True
    ).stdout


def _milliseconds(*arguments: str) -> float:
    start = time.perf_counter()
    _python(*arguments)
    return (time.perf_counter() - start) * 1e3


def _microseconds(call: Callable[[], object]) -> float:
    # Lines go where they leave the process, as in Lambda: to keep them would be measured too.
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        start = time.perf_counter()
        for _ in range(EVENTS):
            call()
        return (time.perf_counter() - start) / EVENTS * 1e6


if __name__ == "__main__":
    for label, value in run():
        print(f"{label:32}{value}")
