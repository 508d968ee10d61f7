"""Waits for the cloud that started it to end, then ends its processes and removes its folder.

Standard input tells the process groups, `+GROUP` began, `-GROUP` ended, and what else is to be run
then: `!["docker", …]`, or `?["docker", …]` that it is not, any more. Its end is the cloud's.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

COMMAND_SECONDS = 60.0
"""What a command may take: a container engine may have stopped answering."""
_ROUNDS = 5
"""How often it is looked for what was started meanwhile."""


def end_all_of(folder: str) -> None:
    """Kill what has a folder in a variable, such as HOME, where /proc tells.

    A container's processes have, those that left its process group as well.
    """
    for _ in range(_ROUNDS):
        found = [process for process in Path("/proc").glob("[0-9]*") if _is_of(process, folder)]
        for process in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(process.name), signal.SIGKILL)
        if not found:
            return


def _is_of(process: Path, folder: str) -> bool:
    try:
        variables = (process / "environ").read_bytes()
    except OSError:
        return False
    named = b"=" + os.fsencode(folder)
    return int(process.name) != os.getpid() and (
        named + b"/" in variables or named + b"\0" in variables
    )


def remove(folder: str) -> None:
    """Remove a cloud's folder, and what is large of it elsewhere."""
    with contextlib.suppress(OSError):
        end_all_of(str(Path(folder, "scratch").readlink()))
    shutil.rmtree(Path(folder, "scratch").resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def main(folder: str) -> None:
    """Read to the end, then clean up."""
    groups: set[bytes] = set()
    commands: set[bytes] = set()
    for line in sys.stdin.buffer:
        kept = groups if line[:1] in b"+-" else commands
        (kept.add if line[:1] in b"+!" else kept.discard)(line[1:])
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(group), signal.SIGKILL)
    for process in [subprocess.Popen(json.loads(command)) for command in commands]:
        try:
            process.wait(COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    remove(folder)


if __name__ == "__main__":
    main(sys.argv[1])
