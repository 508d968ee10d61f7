"""One container while it runs: its program in, lines and an exit code out.

A container is a process of this machine, or one of a container engine's (`engine`).
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from local import cleaner
from local.services.ecs.build import Image, within

# The awslogs driver cuts a line to fit an event of CloudWatch Logs: 262,144 bytes, 26 its own.
# https://docs.docker.com/engine/logging/drivers/awslogs/
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
LINE_BYTES = 262_144 - 26
CHUNK_BYTES = 65_536
# A child that left the process group could hold the output open for ever.
DRAIN_SECONDS = 5.0


class CannotStart(Exception):  # noqa: N818 - the word of ECS's reason, CannotStartContainerError
    """The container's program cannot be started; the message is one line."""


class Line(NamedTuple):
    """One line of a container's output, without its line break, at epoch milliseconds."""

    timestamp: int
    message: str


class Endings(Protocol):
    """Who ends what outlives this process: `local.instance.Instance`."""

    def began(self, group: int) -> None:
        """There is a process group of this number."""
        ...

    def ended(self, group: int) -> None:
        """There is none any more."""
        ...

    def leave(self, command: Sequence[str]) -> None:
        """Run this command at the end, however that comes."""
        ...

    def done(self, command: Sequence[str]) -> None:
        """Do not, any more."""
        ...


class Container(Protocol):
    """What a container's program runs in, from before its start to after its end."""

    reason: str | None
    """Why it ended, where that is more than its exit code, once it is closed."""

    def start(self) -> subprocess.Popen[bytes]:
        """The program, whose output is that of the process; raises `CannotStart`."""
        ...

    def check(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Another program beside it, without its output; raises `CannotStart`."""
        ...

    def terminate(self) -> None:
        """Ask the program to end."""
        ...

    def kill(self) -> None:
        """End it at once, with everything it started."""
        ...

    def close(self, status: int) -> int:
        """Leave nothing behind; the exit code, given the process's."""
        ...


class Process:
    """A container that runs.

    `endings` is told of its process groups. `write` receives the lines of standard output and
    error, in order, from one thread; `exited` is called once, after the last line.
    """

    def __init__(
        self,
        container: Container,
        endings: Endings,
        write: Callable[[list[Line]], None],
        exited: Callable[["Process"], None],
    ) -> None:
        self.exit_code: int | None = None
        self._container = container
        self._endings = endings
        self._write = write
        self._exited = exited
        self._process = container.start()
        endings.began(self._process.pid)
        self._reader = threading.Thread(target=self._read, name="container-log", daemon=True)
        self._waiter = threading.Thread(target=self._wait, name="container", daemon=True)
        self._reader.start()
        self._waiter.start()

    def terminate(self) -> None:
        """Ask the program to end, with SIGTERM."""
        if self._process.returncode is None:
            self._container.terminate()

    def kill(self) -> None:
        """Send SIGKILL to the program and everything it started."""
        if self._process.returncode is None:
            self._container.kill()

    def join(self, timeout: float) -> bool:
        """Wait for the end of the process and of its log; whether it came."""
        self._waiter.join(timeout)
        return not self._waiter.is_alive()

    def check(self, command: Sequence[str], seconds: float) -> bool:
        """Whether another program of the container ends with 0 within that time."""
        try:
            checking = self._container.check(command)
        except CannotStart:
            return False
        self._endings.began(checking.pid)
        try:
            return checking.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            os.killpg(checking.pid, signal.SIGKILL)
            checking.wait()
            return False
        finally:
            self._endings.ended(checking.pid)

    def _wait(self) -> None:
        # The process is not reaped before its group is killed, so that its id is not another's.
        if hasattr(os, "waitid") and self._process.returncode is None:
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            _signal(os.killpg, self._process, signal.SIGKILL)
        self._endings.ended(self._process.pid)
        status = self._process.wait()
        self._reader.join(DRAIN_SECONDS)
        self.exit_code = self._container.close(status)
        self._exited(self)

    def _read(self) -> None:
        output = self._process.stdout
        if output is None:
            return
        lines = Lines()
        with output:
            while chunk := os.read(output.fileno(), CHUNK_BYTES):
                self._write(lines.feed(chunk))
            self._write(lines.end())


class Lines:
    """Cuts a stream of bytes into lines of at most `LINE_BYTES`, dropping empty ones.

    Bytes that are not UTF-8 become U+FFFD; a long line is not cut inside a character.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that `chunk` completes."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        found = [piece for line in whole for piece in _pieces(line)]
        while len(self._rest) > LINE_BYTES:
            cut = _boundary(self._rest)
            found.append(self._rest[:cut])
            self._rest = self._rest[cut:]
        return _at_now(found)

    def end(self) -> list[Line]:
        """The last line, when it has no line break."""
        rest, self._rest = self._rest, b""
        return _at_now(_pieces(rest))


def _pieces(line: bytes) -> list[bytes]:
    found: list[bytes] = []
    while len(line) > LINE_BYTES:
        cut = _boundary(line)
        found.append(line[:cut])
        line = line[cut:]
    return [*found, line] if line else found


def _boundary(line: bytes) -> int:
    cut = LINE_BYTES
    while cut > LINE_BYTES - 4 and line[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut


def _at_now(pieces: list[bytes]) -> list[Line]:
    now = time.time_ns() // 1_000_000
    return [Line(now, piece.decode("utf-8", "replace")) for piece in pieces]


def _make_directory(scratch: Path) -> Path:
    """A container's own folder: without one it would write wherever else it can."""
    try:
        directory = Path(tempfile.mkdtemp(dir=scratch))
        probe = directory / "probe"
        probe.write_bytes(bytes(CHUNK_BYTES))
        probe.unlink()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CannotStart(f"the folder of the container cannot be written: {reason}") from None
    return directory


def _signal(
    send: Callable[[int, int], None], process: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    with suppress(ProcessLookupError, PermissionError):
        send(process.pid, number)


class OnThisMachine:
    """A container as a process in a session of its own, with a copy of its image's files.

    `mounts` are folders of this machine by their path in the container.
    """

    def __init__(
        self,
        image: Image,
        command: Sequence[str],
        environment: Mapping[str, str],
        scratch: Path,
        mounts: Mapping[str, Path] | None = None,
    ) -> None:
        self.reason: str | None = None
        self._image = image
        self._command = command
        self._environment = environment
        self._scratch = scratch
        self._mounts = mounts or {}

    def start(self) -> subprocess.Popen[bytes]:
        """The program, in a folder of its own."""
        self._directory = _make_directory(self._scratch)
        try:
            self._folder, self._placed = _files(self._image, self._mounts, self._directory)
            home = {"HOME": str(self._directory), "TMPDIR": str(self._directory)}
            own = {name: self._placed(value) for name, value in self._environment.items()}
            self._variables = home | own
            self._process = self._start(self._command, subprocess.PIPE)
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        return self._process

    def check(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Another program in the same folder."""
        return self._start(command, subprocess.DEVNULL)

    def terminate(self) -> None:
        """Send SIGTERM to the program alone, as a container runtime does to process 1."""
        _signal(os.kill, self._process, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to its process group."""
        _signal(os.killpg, self._process, signal.SIGKILL)

    def close(self, status: int) -> int:
        """End what left the group, as with a container, and remove the folder."""
        cleaner.end_all_of(str(self._directory))
        shutil.rmtree(self._directory, ignore_errors=True)
        return 128 - status if status < 0 else status

    def _start(self, command: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        """A program in a session of its own; raises `CannotStart`."""
        program, *arguments = map(self._placed, command)
        named = Path(program).name
        if re.fullmatch(r"python(3(\.\d+)?)?", named) and not Path(program).is_file():
            program = str(self._image.programs / "python")
        try:
            # Encoded here, not by the locale of this process: every byte arrives as it was given.
            return subprocess.Popen(  # pyright: ignore[reportCallIssue] - the same
                [word.encode() for word in (_found(program, self._variables), *arguments)],
                env={name.encode(): value.encode() for name, value in self._variables.items()},  # pyright: ignore[reportArgumentType] - bytes are what POSIX takes
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise CannotStart(f'exec: "{command[0]}": executable file not found in $PATH') from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CannotStart(f'exec: "{command[0]}": {reason}') from None
        except ValueError:
            raise CannotStart(
                f'exec: "{command[0]}": an argument or variable has a NUL or an unpaired surrogate'
            ) from None


def _files(
    image: Image, mounts: Mapping[str, Path], directory: Path
) -> tuple[Path, Callable[[str], str]]:
    """Where the program starts, and what makes a path of the container one of this machine."""

    def mounted(text: str) -> str:
        for path, folder in mounts.items():
            text = re.sub(rf"(?<![\w./@~-]){re.escape(path)}(?![\w.@~-])", str(folder), text)
        return text

    if image.root is None:
        return Path(image.workdir), mounted
    root = directory / "root"
    shutil.copytree(image.root, root, symlinks=True)
    folder = root / image.workdir.relative_to("/")
    folder.mkdir(parents=True, exist_ok=True)
    for path, volume in mounts.items():
        _link(root / path.lstrip("/"), volume)
    return folder, lambda text: within(root, mounted(text))


def _link(place: Path, volume: Path) -> None:
    """A volume in the container's folder, in front of what the image has there."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(volume, target_is_directory=True)


def _found(program: str, variables: Mapping[str, str]) -> str:
    """The program by its path; one with a `/` is looked for from the folder it starts in."""
    if "/" in program:
        return program
    return shutil.which(program, path=variables.get("PATH")) or program
