"""`python -m local` as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

from tests.local.programs import ROOT

READY_SECONDS = 240


def environment() -> dict[str, str]:
    """This one, with credentials of nobody's, a home of its own and a proxy that is not there."""
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {
        **{name: value for name, value in os.environ.items() if name.lower() != "no_proxy"},
        **dict.fromkeys(proxies, "http://127.0.0.1:9"),
        "AWS_ACCESS_KEY_ID": "not-to-be-used",
        "AWS_PROFILE": "absent",
        "PIP_INDEX_URL": "https://someone:secret@packages.example/simple",
        "HOME": "/nonexistent",
        "COLUMNS": "100",
    }


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "local", *arguments],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str) -> tuple[int, str, str]:
    with start(*arguments) as process:
        out, err = process.communicate(timeout=READY_SECONDS)
        return process.returncode, out, err


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    deadline = threading.Timer(READY_SECONDS, process.kill)
    deadline.start()
    try:
        return process.stdout.readline()
    finally:
        deadline.cancel()


@contextmanager
def ended(process: subprocess.Popen[str]) -> Generator[subprocess.Popen[str]]:
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(READY_SECONDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
