"""Blocks of delimited text → chunks of whole records of one width, and why the others are none.

The structure is found with NumPy, a window at a time: quotes by parity, as long as every one is
where it belongs. From the first that is not, the rest of its window is read by the csv module.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batch.delimited import records
from batch.limits import ROW_BYTES
from batch.report import Rejects

WINDOW = 256 << 10
CHUNK = 1 << 20
"""Bytes of records that are read at once; of a wide table more, as each column takes its time."""
_CHUNK_OF_COLUMN = 2 << 10
INVALID = 0xFF
"""A byte that is nothing in UTF-8: stands where the file has no valid character."""

BAD_CHARACTER = "a character is not valid in the file's encoding"
BAD_QUOTE = "a quote is never closed, or text follows a closing quote"
BAD_RETURN = "a carriage return within a line"
TOO_LONG = f"the row is longer than {ROW_BYTES >> 20} MiB"
_QUOTE, _LF, _CR = b'"\n\r'

_Places = npt.NDArray[np.int64]
_Bytes = npt.NDArray[np.uint8]
_Answers = npt.NDArray[np.bool_]


class QuotesAreTextError(Exception):
    """Quotes of a tab-separated file do not enclose values: read it again without quoting."""


@dataclass(frozen=True)
class Shape:
    """How records are told apart: the delimiter, whether quotes count, the number of columns.

    With `returns` a lone carriage return ends a record; else it is part of a value.
    """

    delimiter: str
    quoting: bool
    width: int
    returns: bool = False


@dataclass(frozen=True)
class Chunk:
    """Whole records, all as wide as they should be, and the line that each begins at."""

    data: bytes
    lines: _Places


@dataclass(frozen=True)
class _Marks:
    """Where a window has delimiters, line ends, quotes and invalid bytes, and which they are.

    `breaks` end a line, and a record if they are `outside` of quotes; `odd` is the place of the
    first quote or carriage return that is not where it belongs; `quoted` is the window's end.
    """

    at: _Places
    byte: _Bytes
    breaks: _Answers
    outside: _Answers
    odd: int
    quoted: bool


class Records:
    """The records of a text from `line` on; `good` and `rejects` are complete at its end."""

    def __init__(self, blocks: Iterator[bytes], shape: Shape, line: int, rejects: Rejects) -> None:
        self.good = 0
        self._blocks = blocks
        self._shape = shape
        self._delimiter = ord(shape.delimiter)
        self._ends = (b"\n", b"\r") if shape.returns else (b"\n",)
        self._rejects = rejects
        self._answers = np.empty((2, WINDOW), np.bool_)
        # Of the window's beginning:
        self._line = line
        self._last = _LF
        # Of the record that reaches into the window:
        self._begun: list[bytes] = []
        self._begun_bytes = 0
        self._begun_line = line
        self._begun_cells = 0
        self._begun_invalid = False
        self._quoted = False
        # Up to the next line end nothing is a record.
        self._skipping = False

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the good records in chunks of at least `CHUNK` bytes, but for the last."""
        data: list[bytes] = []
        lines: list[_Places] = []
        size = 0
        enough = max(CHUNK, _CHUNK_OF_COLUMN * self._shape.width)
        for kept, begins in self._kept():
            self.good += begins.size
            data.append(kept)
            lines.append(begins)
            size += len(kept)
            if size >= enough:
                yield Chunk(b"".join(data), np.concatenate(lines))
                data, lines, size = [], [], 0
        if size:
            yield Chunk(b"".join(data), np.concatenate(lines))

    def _kept(self) -> Iterator[tuple[bytes, _Places]]:
        held = b""
        for window, final in _windows(self._blocks):
            data, held = held + window, b""
            if final:
                data = self._ended(data)
            elif data[-1:] in {b'"', b"\r"}:
                # What these mean depends on the byte behind them.
                place = len(data) - (2 if data.endswith(b'"\r') else 1)
                data, held = data[:place], data[place:]
            if self._skipping:
                data = self._skipped(data)
            if not data:
                continue
            kept, begins, odd = self._scan(data, held[:1])
            if begins.size:
                yield kept, begins
            if odd is not None:
                kept, begins, rest = self._read(odd, final=final)
                if begins.size:
                    yield kept, begins
                held = rest + held
        if self._quoted:
            self._reject_lines(self._begun_line, self._line - self._begun_line)

    def _scan(self, data: bytes, behind: bytes) -> tuple[bytes, _Places, bytes | None]:
        """Take the records of a window up to the first that is odd; it and the rest come third.

        `behind` is the byte that follows the window, if it matters.
        """
        ahead = np.frombuffer(data + (behind or b"\0"), np.uint8)
        a = ahead[:-1]
        marks = self._marks(data, ahead)
        separators = np.flatnonzero(
            ((marks.byte == self._delimiter) | marks.breaks) & marks.outside
        )
        last = np.flatnonzero(marks.breaks[separators])
        places = marks.at[separators]
        stops = places[last]
        if marks.odd < a.size:
            stops = stops[: np.searchsorted(stops, marks.odd)]
            last = last[: stops.size]
        cut = int(stops[-1]) + 1 if stops.size else 0
        invalid = marks.at[marks.byte == INVALID]
        physical = marks.at[marks.breaks]
        kept = self._judge(data, a, stops, _steps(last), physical, invalid)
        if marks.odd < a.size:
            return *kept, self._odd(data, cut, marks.odd, physical)
        # The record that is cut by the window's end.
        if stops.size:
            self._begin_anew()
        if not self._begun_bytes:
            self._begun_line = self._line + int(np.searchsorted(physical, cut))
        self._line += physical.size
        self._last = int(a[-1])
        self._begun_cells += places.size - (int(last[-1]) + 1 if last.size else 0)
        self._begun_invalid |= bool(invalid.size and invalid[-1] >= cut)
        self._quoted = marks.quoted
        self._begun_bytes += a.size - cut
        if self._begun_bytes > ROW_BYTES:
            self._begun = []
        elif cut < a.size:
            self._begun.append(data[cut:])
        return *kept, None

    def _marks(self, data: bytes, ahead: _Bytes) -> "_Marks":
        """Find what separates cells and records, and the first thing that has to be looked at."""
        a = ahead[:-1]
        others = [_LF]
        if self._shape.quoting:
            others.append(_QUOTE)
        others += [byte for byte in (_CR, INVALID) if byte in data]
        at = np.flatnonzero(self._equal(a, others))
        byte = a[at]
        breaks = byte == _LF
        outside = np.ones(at.size, np.bool_)
        odd, quoted = a.size, self._quoted
        quotes = byte == _QUOTE
        if self._shape.quoting and (quoted or quotes.any()):
            parity = (np.cumsum(quotes) + quoted) & 1
            outside = parity == 0
            odd = self._first_stray(ahead, at[quotes])
            quoted = bool(not outside[-1]) if at.size else quoted
        lone = byte == _CR
        if lone.any():
            lone[lone] = ahead[at[lone] + 1] != _LF
            if self._shape.returns:
                breaks |= lone
            else:
                odd = min([odd, *at[lone & outside][:1].tolist()])
        return _Marks(at, byte, breaks, outside, odd, quoted)

    def _equal(self, a: _Bytes, others: list[int]) -> _Answers:
        """Say which bytes are the delimiter or one of the others, in memory that is used again."""
        if self._answers.shape[1] < a.size:
            self._answers = np.empty((2, a.size), np.bool_)
        found, one = self._answers[:, : a.size]
        np.equal(a, self._delimiter, out=found)
        for byte in others:
            np.equal(a, byte, out=one)
            np.logical_or(found, one, out=found)
        return found

    def _begin_anew(self) -> None:
        self._begun, self._begun_bytes, self._begun_cells = [], 0, 0
        self._begun_invalid = False

    def _first_stray(self, a: _Bytes, quotes: _Places) -> int:
        """Return the place of the first quote that opens or closes where none can."""
        openers, closers = quotes[self._quoted :: 2], quotes[1 - self._quoted :: 2]
        before = a[openers - 1]
        if openers.size and openers[0] == 0:
            before[0] = self._last
        behind = a[closers + 1]
        ends = behind == _LF
        if (returned := behind == _CR).any():
            ends |= returned if self._shape.returns else returned & _before_line_feed(a, closers)
        starts = before == _LF
        if self._shape.returns:
            starts |= before == _CR
        well = (before == self._delimiter) | starts | (before == _QUOTE)
        closed = (behind == self._delimiter) | ends | (behind == _QUOTE)
        strays = [*openers[~well][:1].tolist(), *closers[~closed][:1].tolist()]
        return min([a.size - 1, *strays])

    def _judge(
        self,
        data: bytes,
        a: _Bytes,
        stops: _Places,
        widths: _Places,
        physical: _Places,
        invalid: _Places,
    ) -> tuple[bytes, _Places]:
        """Return the bytes and lines of the records that are kept; reject the others."""
        if not stops.size:
            return b"", stops
        begins = np.concatenate(([0], stops[:-1] + 1))
        lines = self._line + np.searchsorted(physical, begins)
        sizes = stops - begins
        blank = (sizes == 0) | ((sizes == 1) & (a[begins] == _CR))
        if self._begun_bytes:
            sizes[0] += self._begun_bytes
            widths[0] += self._begun_cells
            lines[0] = self._begun_line
            blank[0] = False
        long = sizes > ROW_BYTES
        wrong = widths != self._shape.width
        spoilt = np.zeros(stops.size, np.bool_)
        if invalid.size:
            spoilt[np.searchsorted(stops, invalid[invalid < stops[-1]])] = True
        spoilt[0] |= self._begun_invalid
        skipped = blank & (self._shape.width > 1)
        rejected = (long | wrong | spoilt) & ~skipped
        dropped = rejected | skipped
        prefix = b"".join(self._begun)
        end = int(stops[-1]) + 1
        if not dropped.any():
            return prefix + data[:end] if prefix else data[:end], lines
        self._reject(rejected, long, spoilt, widths, lines)
        keep = ~dropped
        taken = a[:end][np.repeat(keep, stops - begins + 1)].tobytes()
        return (prefix + taken if keep[0] else taken), lines[keep]

    def _reject(
        self,
        rejected: _Answers,
        long: _Answers,
        spoilt: _Answers,
        widths: _Places,
        lines: _Places,
    ) -> None:
        rejects = self._rejects
        places = np.flatnonzero(rejected)
        reasons = {
            TOO_LONG: np.count_nonzero(long),
            BAD_CHARACTER: np.count_nonzero(spoilt & rejected & ~long),
        }
        found = np.unique_counts(widths[rejected & ~long & ~spoilt])
        for width, count in zip(found.values.tolist(), found.counts.tolist(), strict=True):
            reasons[self._misfit(width)] = count
        for place in places[: rejects.room].tolist():
            reason = BAD_CHARACTER if spoilt[place] else self._misfit(int(widths[place]))
            rejects.list(int(lines[place]), TOO_LONG if long[place] else reason)
        for reason, count in reasons.items():
            if count:
                rejects.tally(reason, int(count))

    def _misfit(self, width: int) -> str:
        return f"expected {self._shape.width} columns, found {width}"

    def _reject_lines(self, first: int, count: int) -> None:
        """Reject lines between quotes that do not match: which are records nobody can say."""
        if self._shape.delimiter == "\t":
            raise QuotesAreTextError
        for line in range(first, first + min(count, self._rejects.room)):
            self._rejects.list(line, BAD_QUOTE)
        if count:
            self._rejects.tally(BAD_QUOTE, count)

    def _odd(self, data: bytes, cut: int, odd: int, physical: _Places) -> bytes:
        """Return what the csv module is to read, and forget the record that it begins with."""
        if not cut and self._begun_bytes > ROW_BYTES:
            # Too long to be read again: its lines are rejected up to the quote that shows it.
            before = int(np.searchsorted(physical, odd))
            self._reject_lines(self._begun_line, self._line - self._begun_line + before + 1)
            self._line += before
            data, self._skipping = data[odd:], True
            data = self._skipped(data)
        else:
            if cut or not self._begun_bytes:
                self._line += int(np.searchsorted(physical, cut))
            else:
                self._line = self._begun_line
            data = b"".join(self._begun) * (not cut) + data[cut:]
        self._begin_anew()
        self._quoted, self._last = False, _LF
        return data

    def _skipped(self, data: bytes) -> bytes:
        """Return what comes behind the next line end."""
        end = data.find(b"\n")
        if end < 0:
            return b""
        self._skipping = False
        self._line += 1
        return data[end + 1 :]

    def _ended(self, data: bytes) -> bytes:
        """Return the last bytes with an end to the last line, without DOS's end of file."""
        data = data.rstrip(b"\x1a")
        nothing = not data and not self._begun_bytes
        return data if nothing or data.endswith(self._ends) else data + b"\n"

    def _read(self, data: bytes, *, final: bool) -> tuple[bytes, _Places, bytes]:
        """Read a window's records with the csv module; what is not a whole record comes third."""
        whole = (
            data.splitlines(keepends=True) if self._shape.returns else io.BytesIO(data).readlines()
        )
        if not final and whole and not whole[-1].endswith(self._ends):
            whole.pop()
        kept: list[bytes] = []
        begins: list[int] = []
        size = done = 0
        line = self._line
        # A byte a character: what is read back is what was there, valid or not.
        texts = [text.decode("latin-1") for text in whole]
        for record in records(
            texts, self._shape.delimiter, quoting=self._shape.quoting, whole=final
        ):
            taken = whole[record.first : record.first + record.lines]
            size += sum(map(len, taken))
            done = record.first + record.lines
            at = line + record.first
            if record.cells is None:
                self._reject_lines(at, record.lines)
                continue
            cells = record.cells or [""]
            if not record.cells and self._shape.width > 1:
                continue
            if any(bytes((INVALID,)) in text for text in taken):
                self._rejects.add(at, BAD_CHARACTER)
            elif sum(map(len, taken)) > ROW_BYTES:
                self._rejects.add(at, TOO_LONG)
            elif not self._shape.quoting and any("\r" in cell for cell in cells):
                self._rejects.add(at, BAD_RETURN)
            elif len(cells) != self._shape.width:
                self._rejects.add(at, self._misfit(len(cells)))
            else:
                kept.append(self._quote(cells))
                begins.append(at)
        self._line = line + done
        return b"".join(kept), np.array(begins, np.int64), data[size:]

    def _quote(self, cells: list[str]) -> bytes:
        quoted = (f'"{cell.replace(chr(_QUOTE), chr(_QUOTE) * 2)}"' for cell in cells)
        return (self._shape.delimiter.join(quoted) + "\n").encode("latin-1")


def _steps(places: _Places) -> _Places:
    """Return how far each place is from the one before it; the first from -1."""
    steps = places.copy()
    steps[1:] -= places[:-1]
    steps[:1] += 1
    return steps


def _before_line_feed(a: _Bytes, closers: _Places) -> _Answers:
    return a[np.minimum(closers + 2, a.size - 1)] == _LF


def _windows(blocks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield windows of a fixed size, wherever the blocks were cut, and if it is the last."""
    held = b""
    for block in blocks:
        data = held + block
        # The last bytes wait: whether they are the file's last decides what they mean.
        whole = (len(data) - 1) // WINDOW * WINDOW if data else 0
        for start in range(0, whole, WINDOW):
            yield data[start : start + WINDOW], False
        held = data[whole:]
    yield held, True
