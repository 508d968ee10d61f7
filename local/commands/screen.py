"""Text → the terminal with colours and tables, or plain lines when standard output is piped."""

import sys
import threading
import unicodedata
from collections.abc import Sequence
from typing import Protocol

from operate.text import printable


class Screen(Protocol):
    """Where a command writes what people read; control characters in a text come out escaped."""

    def heading(self, text: str) -> None:
        """A line that begins a part."""
        ...

    def line(self, text: str = "") -> None:
        """A line as it is."""
        ...

    def event(self, what: str, text: str) -> None:
        """Something that happened, by its kind."""
        ...

    def verdict(self, text: str, *, good: bool) -> None:
        """A result: what was expected was seen, or was not."""
        ...

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under their columns."""
        ...


def screen() -> Screen:
    """The screen that fits standard output."""
    if not sys.stdout.isatty():
        return PlainScreen()
    from local.commands.terminal import RichScreen  # noqa: PLC0415 -- Rich is for terminals only

    return RichScreen()


class PlainScreen:
    """Lines of text, each written whole and at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def heading(self, text: str) -> None:
        """A line with an empty one before it."""
        self.line()
        self.line(text)

    def line(self, text: str = "") -> None:
        """A line."""
        with self._lock:
            sys.stdout.write(f"{printable(text)}\n")
            sys.stdout.flush()

    def event(self, what: str, text: str) -> None:
        """An indented line, its kind first."""
        self.line(f"  {what:<10} {text}")

    def verdict(self, text: str, *, good: bool) -> None:
        """A line that begins with ok or MISSING."""
        self.line(f"  {'ok' if good else 'MISSING':<10} {text}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as their widest cell."""
        lines = [[printable(cell) for cell in line] for line in (columns, *rows)]
        widths = [max(_width(line[i]) for line in lines) for i in range(len(columns))]
        for line in lines:
            cells = (
                cell + " " * (width - _width(cell))
                for cell, width in zip(line, widths, strict=True)
            )
            self.line(f"  {'  '.join(cells)}".rstrip())


def _width(text: str) -> int:
    """The columns that a text takes: a wide character, such as a Japanese one, takes two."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)
