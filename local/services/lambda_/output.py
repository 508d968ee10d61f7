"""What a function's process writes: all of it is read before its answer is."""

import fcntl
import os
import select
import struct
import termios
from collections.abc import Generator
from threading import Condition
from typing import IO

from local.shapes import Json

_AT_ONCE = 65_536


class Lines:
    """The lines of a pipe for one reader, which may be waited for."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe
        self._read = self._taken = 0
        self._ended = False
        self._changed = Condition()

    def __getattr__(self, name: str) -> Json:
        return getattr(self._pipe, name)

    def __iter__(self) -> Generator[str]:
        rest, descriptor = b"", self._pipe.fileno()
        readable = select.poll()
        readable.register(descriptor, select.POLLIN)
        try:
            while True:
                readable.poll()
                with self._changed:
                    part = os.read(descriptor, _AT_ONCE)
                    self._read += len(part)
                *lines, rest = (rest + part).split(b"\n")
                yield from (line.decode("utf-8", "replace") + "\n" for line in lines)
                if not part:
                    break
                with self._changed:
                    self._taken = self._read
                    self._changed.notify_all()
            if rest:
                yield rest.decode("utf-8", "replace")
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def wait(self) -> None:
        """Return once the reader has asked for more than what is in the pipe now."""
        with self._changed:
            if self._ended:
                return
            waiting = fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4))
            end = self._read + struct.unpack("i", waiting)[0]
            self._changed.wait_for(lambda: self._ended or self._taken >= end)


class Answers:
    """The answers of a process, each given only once what it wrote before has been read."""

    def __init__(self, pipe: IO[str], written: Lines) -> None:
        self._pipe = pipe
        self._written = written

    def __getattr__(self, name: str) -> Json:
        return getattr(self._pipe, name)

    def readline(self) -> str:
        """The next line, or nothing at the end."""
        line = self._pipe.readline()
        if line:
            self._written.wait()
        return line
