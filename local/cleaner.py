"""Waits for the cloud that started it to end, then ends its processes and removes its folder.

Standard input tells the process groups: `+GROUP` began, `-GROUP` ended. Its end is the cloud's.
"""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path


def remove(folder: str) -> None:
    """Remove a cloud's folder, and what is large of it elsewhere."""
    shutil.rmtree(Path(folder, "scratch").resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def main(folder: str) -> None:
    """Read to the end, then clean up."""
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    remove(folder)


if __name__ == "__main__":
    main(sys.argv[1])
