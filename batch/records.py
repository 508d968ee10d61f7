"""Blocks of delimited text → chunks of whole records, and why the others are none.

The structure is found with NumPy, a window at a time: quotes by parity, as long as every one is
where it belongs. From the first that is not, the rest of its window is read by the csv module.
Delimiters, which are most of the structure, are counted only of a chunk that has a wrong width.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batch.delimited import records
from batch.limits import ROW_BYTES
from batch.report import LISTED, Rejects

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
    """Whole records, the line that each begins at, and how many bytes each has."""

    data: bytes
    lines: _Places
    sizes: _Places


@dataclass(frozen=True)
class _Marks:
    """Where a window has line ends, quotes and invalid bytes, and which they are.

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
        self._begun_invalid = False
        self._quoted = False
        # Up to the next line end nothing is a record.
        self._skipping = False

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the records in chunks of at least `CHUNK` bytes, but for the last.

        They are good but for their width: who finds a chunk with a wrong one asks for `narrowed`.
        """
        parts: list[Chunk] = []
        size = 0
        enough = max(CHUNK, _CHUNK_OF_COLUMN * self._shape.width)
        for part in self._kept():
            self.good += part.lines.size
            parts.append(part)
            size += len(part.data)
            if size >= enough:
                yield _joined(parts)
                parts, size = [], 0
        if size:
            yield _joined(parts)

    def narrowed(self, chunk: Chunk) -> Chunk:
        """Return the records that are as wide as they should be, and reject the others."""
        ends = np.cumsum(chunk.sizes)
        # How many delimiters there are up to the end of each record.
        cells = np.empty_like(ends)
        before = quotes = 0
        looked_for = [_QUOTE] * self._shape.quoting
        for start in range(0, len(chunk.data), WINDOW):
            a = np.frombuffer(chunk.data[start : start + WINDOW], np.uint8)
            at = np.flatnonzero(self._equal(a, [self._delimiter, *looked_for]))
            if self._shape.quoting:
                quote = a[at] == _QUOTE
                inside = np.cumsum(quote) + quotes
                quotes += np.count_nonzero(quote)
                at = at[~quote & (inside & 1 == 0)]
            first, last = np.searchsorted(ends, (start, start + a.size), "right")
            cells[first:last] = np.searchsorted(at, ends[first:last] - start) + before
            before += at.size
        widths = np.diff(cells, prepend=0) + 1
        keep = widths == self._shape.width
        found = np.unique_counts(widths[~keep])
        for width, count in zip(found.values.tolist(), found.counts.tolist(), strict=True):
            self._rejects.tally(self._misfit(width), count)
        for place in np.flatnonzero(~keep)[:LISTED].tolist():
            self._rejects.list(int(chunk.lines[place]), self._misfit(int(widths[place])))
        self.good -= int(np.count_nonzero(~keep))
        return Chunk(_taken(chunk.data, keep, chunk.sizes), chunk.lines[keep], chunk.sizes[keep])

    def _kept(self) -> Iterator[Chunk]:
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
            kept, odd = self._scan(data, held[:1])
            if kept.data:
                yield kept
            if odd is not None:
                kept, rest = self._read(odd, final=final)
                if kept.data:
                    yield kept
                held = rest + held
        if self._quoted:
            self._reject_lines(self._begun_line, self._line - self._begun_line)

    def _scan(self, data: bytes, behind: bytes) -> tuple[Chunk, bytes | None]:
        """Take the records of a window up to the first that is odd; it and the rest come second.

        `behind` is the byte that follows the window, if it matters.
        """
        ahead = np.frombuffer(data + (behind or b"\0"), np.uint8)
        a = ahead[:-1]
        marks = self._marks(data, ahead)
        stops = marks.at[marks.breaks & marks.outside]
        if marks.odd < a.size:
            stops = stops[: np.searchsorted(stops, marks.odd)]
        cut = int(stops[-1]) + 1 if stops.size else 0
        invalid = marks.at[marks.byte == INVALID]
        physical = marks.at[marks.breaks]
        kept = self._judge(data, a, stops, physical, invalid)
        if marks.odd < a.size:
            return kept, self._odd(data, cut, marks.odd, physical)
        # The record that is cut by the window's end.
        if stops.size:
            self._begin_anew()
        if not self._begun_bytes:
            self._begun_line = self._line + int(np.searchsorted(physical, cut))
        self._line += physical.size
        self._last = int(a[-1])
        self._begun_invalid |= bool(invalid.size and invalid[-1] >= cut)
        self._quoted = marks.quoted
        self._begun_bytes += a.size - cut
        if self._begun_bytes > ROW_BYTES:
            self._begun = []
        elif cut < a.size:
            self._begun.append(data[cut:])
        return kept, None

    def _marks(self, data: bytes, ahead: _Bytes) -> "_Marks":
        """Find what separates records, and the first thing that has to be looked at."""
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
        """Say which bytes are one of the others, in memory that is used again."""
        if self._answers.shape[1] < a.size:
            self._answers = np.empty((2, a.size), np.bool_)
        found, one = self._answers[:, : a.size]
        np.equal(a, others[0], out=found)
        for byte in others[1:]:
            np.equal(a, byte, out=one)
            np.logical_or(found, one, out=found)
        return found

    def _begin_anew(self) -> None:
        self._begun, self._begun_bytes, self._begun_invalid = [], 0, False

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
        self, data: bytes, a: _Bytes, stops: _Places, physical: _Places, invalid: _Places
    ) -> Chunk:
        """Return the records that are kept; reject the others."""
        if not stops.size:
            return Chunk(b"", stops, stops)
        begins = np.concatenate(([0], stops[:-1] + 1))
        if physical.size == stops.size:
            lines = np.arange(self._line, self._line + stops.size)
        else:
            lines = self._line + np.searchsorted(physical, begins)
        sizes = stops - begins + 1
        whole = sizes.copy()
        dropped = np.zeros(stops.size, np.bool_)
        if self._shape.width > 1:
            dropped |= (sizes == 1) | ((sizes == 2) & (a[begins] == _CR))
        if self._begun_bytes:
            whole[0] += self._begun_bytes
            lines[0] = self._begun_line
            dropped[0] = False
        long = whole > ROW_BYTES + 1
        spoilt = np.zeros(stops.size, np.bool_)
        if invalid.size:
            spoilt[np.searchsorted(stops, invalid[invalid < stops[-1]])] = True
        spoilt[0] |= self._begun_invalid
        self._reject(TOO_LONG, lines[long])
        self._reject(BAD_CHARACTER, lines[spoilt & ~long & ~dropped])
        dropped |= long | spoilt
        own = memoryview(data)[: int(stops[-1]) + 1]
        if self._shape.returns:
            # With what was between them gone, a carriage return and a line feed would be one end.
            ended = np.array(own)
            ended[stops] = _LF
            own = ended.data
        if not dropped.any():
            return Chunk(b"".join((*self._begun, own)), lines, whole)
        keep = ~dropped
        begun = self._begun if keep[0] else ()
        return Chunk(b"".join((*begun, _taken(own, keep, sizes))), lines[keep], whole[keep])

    def _reject(self, reason: str, lines: _Places) -> None:
        if lines.size:
            self._rejects.tally(reason, lines.size)
        for line in lines[:LISTED].tolist():
            self._rejects.list(line, reason)

    def _misfit(self, width: int) -> str:
        return f"expected {self._shape.width} columns, found {width}"

    def _reject_lines(self, first: int, count: int) -> None:
        """Reject lines between quotes that do not match: which are records nobody can say."""
        if self._shape.delimiter == "\t":
            raise QuotesAreTextError
        for line in range(first, first + min(count, LISTED)):
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

    def _read(self, data: bytes, *, final: bool) -> tuple[Chunk, bytes]:
        """Read a window's records with the csv module; what is not a whole record comes second."""
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
                kept.append(self._written(cells))
                begins.append(at)
        self._line = line + done
        sizes = np.array([len(text) for text in kept], np.int64)
        return Chunk(b"".join(kept), np.array(begins, np.int64), sizes), data[size:]

    def _written(self, cells: list[str]) -> bytes:
        if self._shape.quoting:
            cells = [f'"{cell.replace(chr(_QUOTE), chr(_QUOTE) * 2)}"' for cell in cells]
        return (self._shape.delimiter.join(cells) + "\n").encode("latin-1")


def _joined(parts: Sequence[Chunk]) -> Chunk:
    return Chunk(
        b"".join(part.data for part in parts),
        np.concatenate([part.lines for part in parts]),
        np.concatenate([part.sizes for part in parts]),
    )


def _taken(data: bytes | memoryview, keep: _Answers, sizes: _Places) -> bytes:
    """Return the data of some of its records."""
    return np.frombuffer(data, np.uint8)[np.repeat(keep, sizes)].tobytes()


def _before_line_feed(a: _Bytes, closers: _Places) -> _Answers:
    return a[np.minimum(closers + 2, a.size - 1)] == _LF


def _windows(blocks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield windows of at most a fixed size, and if it is the last: its end means more."""
    waiting = b""
    for block in blocks:
        for start in range(0, len(block), WINDOW):
            yield waiting, False
            waiting = block[start : start + WINDOW]
    yield waiting, True
