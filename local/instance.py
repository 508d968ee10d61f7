"""What a running cloud keeps on disk: a folder for each port, which nobody but its user may enter.

A cloud holds the lock of its folder, so one that is gone is told from one that runs, however it
ended. What it leaves behind is removed by `cleaner`, or when the next one starts.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from local import cleaner


class InstanceError(Exception):
    """The folder cannot be used; the message is one line that says what to do."""


class Instance:
    """The folder of the cloud on a port, from construction until `close`.

    Raises:
        InstanceError: the folder cannot be made, or is not this user's alone.
    """

    def __init__(self, port: int) -> None:
        base = _base()
        _remove_what_others_left(base)
        self.folder = base / str(port)
        if not (self.folder / "lock").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.mkdir(mode=0o700)
            self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Not in XDG_RUNTIME_DIR, which is in memory.
            self._scratch = Path(tempfile.mkdtemp(prefix="fargate-batch-")).absolute()
            (self.folder / "scratch").symlink_to(self._scratch)
        except OSError as error:
            where = error.filename or self.folder
            raise InstanceError(f"{where} cannot be used: {error.strerror}") from None
        self.token = secrets.token_urlsafe(32)
        descriptor = os.open(_token(base, port), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(self.token)
        self._writing = threading.Lock()
        self._cleaner = subprocess.Popen(
            [sys.executable, "-I", "-S", cleaner.__file__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            bufsize=0,
            # Ctrl-C, and a signal to the whole group, is not for it.
            start_new_session=True,
        )

    def scratch(self, name: str) -> Path:
        """A new folder for what may be large, on the disk of temporary files."""
        folder = self._scratch / name
        folder.mkdir()
        return folder

    def began(self, group: int) -> None:
        """A process group that ends with this process, even if that is killed."""
        self._tell(f"+{group}\n")

    def ended(self, group: int) -> None:
        """The group is gone, and its number may be another's from now on."""
        self._tell(f"-{group}\n")

    def leave(self, command: Sequence[str]) -> None:
        """A command for the end of this process, even if that is killed."""
        self._tell(f"!{json.dumps(command)}\n")

    def done(self, command: Sequence[str]) -> None:
        """The command need not be run any more."""
        self._tell(f"?{json.dumps(command)}\n")

    def _tell(self, line: str) -> None:
        with self._writing, contextlib.suppress(OSError, ValueError):
            if self._cleaner.stdin is not None:
                self._cleaner.stdin.write(line.encode())

    def close(self) -> None:
        """Remove the folder. Safe to call twice."""
        with self._writing:
            if self._cleaner.stdin is None or self._cleaner.stdin.closed:
                return
            self._cleaner.stdin.close()
        self._cleaner.wait()
        os.close(self._lock)


def read_token(port: int) -> str | None:
    """The token of the cloud that runs on a port; None if this user runs none there."""
    try:
        return _token(_base(), port).read_text(encoding="ascii")
    except (OSError, InstanceError):
        return None


def _token(base: Path, port: int) -> Path:
    return base / str(port) / "token"


def _base() -> Path:
    given = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    where = given if given.is_absolute() and os.access(given, os.W_OK) else tempfile.gettempdir()
    # `cleaner` has another working directory.
    base = Path(where).absolute() / f"fargate-batch-{os.getuid()}"
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        found = base.lstat()
    except OSError as error:
        raise InstanceError(f"{base} cannot be used: {error.strerror}") from None
    # Whoever else made it could read the token, or put another in its place.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InstanceError(f"{base} is not a folder of this user's alone: remove it")
    return base


def _remove_what_others_left(base: Path) -> None:
    for folder in base.iterdir():
        try:
            lock = os.open(folder / "lock", os.O_RDWR)
        except OSError:
            # Another cloud is making it at this moment, or was killed while it did.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            cleaner.remove(str(folder))
        finally:
            os.close(lock)
