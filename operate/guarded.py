"""Standard output and error that let no control character of a text get through to a terminal."""

import re
import sys
from io import TextIOWrapper
from typing import Any, TextIO, cast

from .text import printable

_KEPT = {"\n", "\t"}


def harmless(text: str) -> str:
    """The text with its lines and tabs as they are, and any other control character escaped."""
    pieces = re.split(r"([\n\t])", text)
    return "".join(one if one in _KEPT else printable(one) for one in pieces)


class Guarded:
    """A terminal's stream: what would move its cursor, retitle it or fill its clipboard is escaped.

    `unguarded` is the stream itself, for whoever writes escape sequences of their own.
    """

    def __init__(self, stream: TextIO) -> None:
        self.unguarded = stream

    def write(self, text: str) -> int:
        """Write a text, its lines and tabs as they are."""
        self.unguarded.write(harmless(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the stream
        return getattr(self.unguarded, name)


def install() -> None:
    """Guard what is a terminal; in a pipe bytes stay as they are.

    What an encoding has no bytes for, such as half a character in JSON text, is escaped everywhere.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        if stream is not None and stream.isatty():
            setattr(sys, name, cast("TextIO", Guarded(stream)))


def unguarded(stream: TextIO) -> TextIO:
    """The stream behind a guarded one, or the stream itself."""
    return stream.unguarded if isinstance(stream, Guarded) else stream
