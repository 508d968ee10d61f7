"""A text → batches of columns of text: what every format has in common for typing and writing."""

import codecs
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv

from batch import kinds
from batch.arrow import Values
from batch.dialect import Csv
from batch.exits import BadDataError
from batch.kinds import Kind
from batch.options import Options
from batch.records import CHUNK, Chunk, QuotesAreTextError, Records, Shape
from batch.report import Format, Rejects
from batch.text import Text

_AHEAD, _AHEAD_BYTES = 8, 16 << 20
"""Batches that wait to be written: a row group is made of so many, and takes its time."""
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Batch:
    """Rows as columns, in the order of the table, and the line that each begins at.

    Columns to be typed are text; the others are in the type that they are written in.
    """

    columns: Sequence[Values]
    lines: npt.NDArray[np.int64]

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return self.lines.nbytes + sum(column.nbytes for column in self.columns)


class Table(Protocol):
    """A file that can be read as often as it takes."""

    @property
    def options(self) -> Options:
        """What is declared of it."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """The columns' names, each only once."""
        ...

    def candidates(self) -> Sequence[tuple[Kind, ...]]:
        """What each column may turn out to be, where things are written as declared."""
        ...

    def batches(self, rejects: Rejects) -> Iterator[Batch]:
        """Read the file from its beginning; rows that are none go to `rejects`."""
        ...

    def detected(self) -> Format:
        """What the content turned out to be."""
        ...


@dataclass
class CsvTable:
    """Delimited text."""

    text: Text
    dialect: Csv
    options: Options
    quoting: bool = field(init=False)

    def __post_init__(self) -> None:
        self.quoting = self.dialect.quoting

    @property
    def names(self) -> Sequence[str]:
        """The names of the header, or those of the columns' places."""
        return self.dialect.names

    def candidates(self) -> Sequence[tuple[Kind, ...]]:
        """Every column may be anything."""
        return [kinds.candidates(kinds.ALL, self.options)] * len(self.names)

    def detected(self) -> Format:
        """The dialect."""
        return Format(
            format="csv",
            encoding=self.text.encoding,
            compression=self.text.compression,
            delimiter=self.dialect.delimiter,
            header=self.dialect.header,
            quoting=self.quoting,
            preamble=self.dialect.preamble,
        )

    def batches(self, rejects: Rejects) -> Iterator[Batch]:
        """Yield the records that are as wide as the table.

        The records are found by `Records`, and read by Arrow: two readers that have to agree
        on their number, and Arrow on their width.

        Raises:
            BadDataError: they do not.
            QuotesAreTextError: quotes do not enclose values: `batches` is to be called again.
        """
        shape = Shape(
            self.dialect.delimiter, self.quoting, len(self.names), returns=self.dialect.returns
        )
        found = Records(self._blocks(), shape, self.dialect.line, rejects)
        places = [str(place) for place in range(len(self.names))]
        parse = pa_csv.ParseOptions(
            delimiter=self.dialect.delimiter,
            quote_char='"' if self.quoting else False,
            newlines_in_values=True,
            ignore_empty_lines=len(places) > 1,
        )
        convert = pa_csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(places, pa.string()),
            strings_can_be_null=True,
            null_values=["", *self.options.null_values],
        )

        def parsed(chunk: Chunk) -> pa.Table:
            return pa_csv.read_csv(
                pa.BufferReader(_unmarked(chunk.data)),  # pyright: ignore[reportArgumentType] - a file of Arrow's own
                read_options=pa_csv.ReadOptions(
                    column_names=places, use_threads=False, block_size=len(chunk.data) + 1
                ),
                parse_options=parse,
                convert_options=convert,
            ).combine_chunks()

        def read(chunk: Chunk) -> Batch | None:
            try:
                table = parsed(chunk)
            except pa.ArrowInvalid:
                # A record is not as wide as the table: Arrow stops at the first.
                chunk = found.narrowed(chunk)
                if not chunk.lines.size:
                    return None
                table = parsed(chunk)
            if table.num_rows != chunk.lines.size:
                raise BadDataError(differ(chunk.lines.size, table.num_rows, int(chunk.lines[0])))
            return Batch(
                cast("list[Values]", [column.chunk(0) for column in table.columns]), chunk.lines
            )

        try:
            yield from (batch for batch in map(read, found) if batch is not None)
        except QuotesAreTextError:
            self.quoting = False
            raise
        except pa.ArrowInvalid as error:
            raise BadDataError(f"the file cannot be read: {error}") from error
        rejects.records = found.good + rejects.count

    def _blocks(self) -> Iterator[bytes]:
        skip = self.dialect.skip
        for block in self.text.blocks():
            if skip >= len(block):
                skip -= len(block)
                continue
            yield block[skip:]
            skip = 0


def ahead(batches: Iterator[Batch]) -> Generator[Batch]:
    """Yield batches while another thread reads the next, a few of them ahead.

    An error of reading is raised where its batch would have come.
    """
    with ThreadPoolExecutor(1) as pool:
        pending = deque([pool.submit(next, batches, None)])
        try:
            while (batch := pending.popleft().result()) is not None:
                most = min(_AHEAD, _AHEAD_BYTES // (1 + batch.bytes))
                while len(pending) < max(1, most):
                    pending.append(pool.submit(next, batches, None))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)


def gathered(
    rows: Iterable[tuple[_Row, int, int]], most: int, rejects: Rejects
) -> Iterator[tuple[Sequence[_Row], Sequence[int]]]:
    """Yield rows of a line and a size each as batches of at most `most`, and count them all."""
    found: list[_Row] = []
    lines: list[int] = []
    size = taken = 0
    for row, line, length in rows:
        found.append(row)
        lines.append(line)
        size += length
        if size >= CHUNK or len(found) >= most:
            yield found, lines
            taken += len(found)
            found, lines, size = [], [], 0
    if found:
        yield found, lines
    rejects.records = taken + len(found) + rejects.count


def _unmarked(data: bytes) -> bytes:
    """Return the data so that Arrow, which takes a byte order mark away, takes none of it."""
    return codecs.BOM_UTF8 + data if data.startswith(codecs.BOM_UTF8) else data


def differ(counted: int, read: int, line: int = 1) -> str:
    """Say that two ways of counting records do not agree."""
    return (
        f"from line {line} on, {counted:,} records were counted and {read:,} read: one of the two"
        " is wrong, so nothing is written"
    )
