"""Data to standard output, words to standard error; as a terminal can show it, or whole."""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any, TextIO

from .guarded import harmless, unguarded
from .text import cut, printable, width

_COLOURS = {
    "succeeded": "32",
    "failed": "31",
    "timed-out": "31",
    "stopped": "33",
    "running": "36",
    "dim": "2",
    "bold": "1",
    "warning": "33",
    "failing": "31",
    "unknown": "33",
    "ok": "32",
}
_BAR = 30
_LEAST = 12
"""The columns that a text is not cut below; before that another column is dropped."""


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table: where the terminal is narrow, the greatest `drop` goes first.

    `drop` 0 is never dropped; what may be `cut` is made shorter before anything is dropped.
    """

    title: str
    drop: int = 0
    cut: bool = False


class Output:
    """Where a command writes.

    Args:
        utc: times of UTC instead of this machine's zone. What is not a terminal has UTC always.
        stdout: by default the process's.
    """

    def __init__(self, *, utc: bool = False, stdout: TextIO | None = None) -> None:
        # Whoever has closed standard output wants nothing.
        self._stdout = stdout or unguarded(sys.stdout or StringIO())
        self.terminal = self._stdout.isatty()
        self._utc = utc
        self._coloured = (
            self.terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )

    def json(self, document: object) -> None:
        """A document, on one line for each object of a list that is not for people."""
        self.raw(json.dumps(document, ensure_ascii=False, default=_plain))

    def line(self, text: str = "", style: str | None = None) -> None:
        """A line of text, safe to show."""
        self._stdout.write(f"{self.styled(printable(text), style)}\n")
        self._stdout.flush()

    def raw(self, text: str) -> None:
        """A line as it is, for what was asked for as it is; on a terminal it is safe to show."""
        self._stdout.write(f"{harmless(text) if self.terminal else text}\n")
        self._stdout.flush()

    def say(self, text: str) -> None:
        """A word to the person: not data."""
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()

    def styled(self, text: str, style: str | None) -> str:
        """The text in a colour, where that can be shown."""
        code = _COLOURS.get(style or "")
        return f"\033[{code}m{text}\033[0m" if self._coloured and code else text

    def time(self, moment: datetime | None, *, precise: bool = False) -> str:
        """A time: of this zone, short, on a terminal; RFC 3339 elsewhere."""
        if moment is None:
            return ""
        if not self.terminal:
            shown = moment.astimezone(UTC).isoformat(
                timespec="milliseconds" if precise else "seconds"
            )
            return shown.replace("+00:00", "Z")
        local = moment.astimezone(UTC) if self._utc else moment.astimezone()
        if precise:
            return local.strftime("%m-%d %H:%M:%S.") + f"{local.microsecond // 1000:03}"
        same_year = local.year == datetime.now(local.tzinfo).year
        return local.strftime("%m-%d %H:%M:%S" if same_year else "%Y-%m-%d %H:%M")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Rows under their titles: fitted to a terminal, separated by tabs and whole elsewhere."""
        cells = [[printable(cell) for cell in row] for row in rows]
        if not self.terminal:
            for row in ([column.title for column in columns], *cells):
                self._stdout.write("\t".join(row) + "\n")
            self._stdout.flush()
            return
        shown, widths = _fitted(columns, cells, _columns_of_terminal())
        titles = [columns[i].title.upper() for i in shown]
        self._stdout.write(self.styled(_row(titles, widths), "dim") + "\n")
        for row in cells:
            texts = [cut(row[i], width_) for i, width_ in zip(shown, widths, strict=True)]
            padded = _row(texts, widths)
            for text in texts:
                if text in _COLOURS:
                    padded = padded.replace(text, self.styled(text, text), 1)
            self._stdout.write(padded + "\n")
        self._stdout.flush()


class Progress:
    """A line that is written over on a terminal; elsewhere one now and then.

    Args:
        seconds: how often elsewhere.
    """

    def __init__(self, seconds: float = 30) -> None:
        self._stream = unguarded(sys.stderr)
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._seconds = seconds
        self._said: tuple[str, float] | None = None

    def show(self, done: int, of: int, text: str) -> None:
        """Show how much is done, and a few words."""
        told = f"{done} of {of}{f', {text}' if text else ''}"
        if self._live:
            full = done * _BAR // of if of else _BAR
            bar = f"[{'#' * full}{'.' * (_BAR - full)}] {told}"
            self._stream.write(f"\r\033[K{cut(printable(bar), _columns_of_terminal() - 1)}")
            self._stream.flush()
        elif self._said is None or (
            told != self._said[0] and time.monotonic() - self._said[1] >= self._seconds
        ):
            self._said = told, time.monotonic()
            self._stream.write(f"{printable(told)}\n")
            self._stream.flush()

    def end(self) -> None:
        """Leave the last line as it is."""
        if self._live:
            self._stream.write("\n")
            self._stream.flush()


def _row(texts: Sequence[str], widths: Sequence[int]) -> str:
    cells = (text + " " * (room - width(text)) for text, room in zip(texts, widths, strict=True))
    return "  ".join(cells).rstrip()


def _columns_of_terminal() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        # A terminal that does not know its size says 0.
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80


def _fitted(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], room: int
) -> tuple[list[int], list[int]]:
    """Which columns are shown, and how wide each of them is."""
    shown = list(range(len(columns)))
    while True:
        widths = [max(width(row[i]) for row in [[c.title for c in columns], *cells]) for i in shown]
        over = sum(widths) + 2 * (len(widths) - 1) - room
        if over <= 0:
            return shown, widths
        cut_ = [place for place, i in enumerate(shown) if columns[i].cut]
        while over > 0 and (widest := max((widths[one] for one in cut_), default=0)) > _LEAST:
            # One character at a time, so that a long one leaves room to the others.
            widths[next(one for one in cut_ if widths[one] == widest)] -= 1
            over -= 1
        if over <= 0:
            return shown, widths
        droppable = [i for i in shown if columns[i].drop]
        if not droppable:
            return shown, widths
        shown.remove(max(droppable, key=lambda i: columns[i].drop))


def duration(seconds: float | None) -> str:
    """`42.1s`, `12m03s`, `3h12m`."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d{hours % 24:02}h"


def money(dollars: float | None) -> str:
    """In USD; four digits, for a run costs less than a cent."""
    return "" if dollars is None else f"{dollars:.4f}"


def _plain(value: object) -> Any:  # noqa: ANN401 -- JSON
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
