"""Processes that a test starts, and that do not outlive it."""

import subprocess
from typing import Any


def stop(process: "subprocess.Popen[Any]") -> None:
    """End a process, with force if it does not do so by itself."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
