"""A workbook's sheet → columns: cells in their own types, text as it is."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from batch import kinds
from batch.delimited import Record
from batch.dialect import Declared, unique_names
from batch.dialect import head as head_of
from batch.exits import BadDataError
from batch.kinds import OF_CELLS, TEXT, Kind
from batch.limits import COLUMNS
from batch.options import Options
from batch.report import Format, Rejects
from batch.tables import Batch, gathered
from batch.text import Text
from batch.workbook import Cell, CellKind, Row, Workbook

_HEAD = 1000
_CELLS = 100_000
_NULLABLE = frozenset({CellKind.TEXT, CellKind.ERROR})
_NO_NAMES = frozenset({CellKind.BOOLEAN, CellKind.ERROR})
_MOMENTS = frozenset({CellKind.DATE, CellKind.MOMENT})
_MIDNIGHT = " 00:00:00"


class SheetTable:
    """The table of a workbook's one visible sheet; what it holds is known when it was read once."""

    def __init__(self, text: Text, options: Options) -> None:
        self._text = text
        # Numbers are numbers; how they are shown is the workbook's business.
        self.options = replace(options, decimal=".")
        self._book = Workbook(text.path, text.check)
        first = list(itertools.islice(self._book.rows(), _HEAD))
        width = max(max(cells) for _, cells in first) + 1
        found = list(_records(first, width))
        self._head = head_of(found, width, Declared(header=options.header))
        names = next(cells for number, cells in first if number == self._head.begins + 1)
        if options.header is None and any(cell.kind in _NO_NAMES for cell in names.values()):
            self._head = head_of(found, width, Declared(header=False))
        self._begin = self._head.begins + 1 + self._head.header
        kinds_of: dict[int, set[CellKind]] = {}
        for _, cells in self._rows():
            for column, cell in cells.items():
                kinds_of.setdefault(column, set()).add(cell.kind)
        names = [*self._head.names] if self._head.header else []
        width = max([len(names), *(column + 1 for column in kinds_of)], default=0)
        if width > COLUMNS:
            raise BadDataError(f"the sheet has {width:,} columns: at most {COLUMNS:,} can be read")
        names += [""] * (width - len(names))
        # Columns beside the table that have neither a name nor a value are none.
        self._columns = [place for place in range(width) if names[place] or place in kinds_of]
        self._names = unique_names(names[place] for place in self._columns)
        self._kinds = [
            frozenset(kinds_of.get(place, set()) - {CellKind.ERROR}) for place in self._columns
        ]

    @property
    def names(self) -> Sequence[str]:
        """The names of the header, or those of the columns' places."""
        return self._names

    def candidates(self) -> Sequence[tuple[Kind, ...]]:
        """A column is of its cells' type if they have one in common, else text."""
        return [
            kinds.candidates(
                OF_CELLS.get(frozenset(kind.value for kind in found), (TEXT,)), self.options
            )
            for found in self._kinds
        ]

    def detected(self) -> Format:
        """A workbook, and where the table begins."""
        return Format(
            format="xlsx",
            encoding=self._text.encoding,
            compression=self._text.compression,
            header=self._head.header,
            preamble=self._begin - 1 - self._head.header,
        )

    def batches(self, rejects: Rejects) -> Iterator[Batch]:
        """Yield the rows that have a value; one with an error in it goes to `rejects`."""
        most = max(1, _CELLS // max(1, len(self._columns)))
        for rows, lines in gathered(self._good(rejects), most, rejects):
            yield self._batch(rows, lines)

    def _good(self, rejects: Rejects) -> Iterator[tuple[Mapping[int, Cell], int, int]]:
        for number, cells in self._rows():
            if error := self._error(cells):
                rejects.add(number, error)
            else:
                yield cells, number, sum(len(cell.text) for cell in cells.values())

    def _rows(self) -> Iterator[Row]:
        """Yield the rows of the table, without the header; what stands for no value is none."""
        nulls = self.options.null_values
        for number, cells in self._book.rows():
            if number < self._begin:
                continue
            kept = cells
            if nulls:
                kept = {
                    column: cell
                    for column, cell in cells.items()
                    if cell.text not in nulls or cell.kind not in _NULLABLE
                }
            if kept:
                yield number, kept

    def _error(self, cells: Mapping[int, Cell]) -> str | None:
        for column, cell in cells.items():
            if cell.kind is CellKind.ERROR:
                return f"{self._names[self._columns.index(column)]}: {cell.text}"
        return None

    def _batch(self, rows: Sequence[Mapping[int, Cell]], lines: Sequence[int]) -> Batch:
        columns = [
            pa.array([_text(found.get(place), kinds) for found in rows], pa.string())
            for place, kinds in zip(self._columns, self._kinds, strict=True)
        ]
        return Batch(columns, np.array(lines, np.int64))


def _records(rows: Sequence[Row], width: int) -> Iterator[Record]:
    """Yield the rows as records: all as wide as the table from the first on that is about so.

    Rows without a value, however many, are one record without cells.
    """
    widths = [max(cells) + 1 for _, cells in rows]
    usual = max(Counter(widths).items(), key=lambda item: (item[0] > 1, item[1], item[0]))[0]
    last = 0
    table = False
    for (number, cells), here in zip(rows, widths, strict=True):
        if number > last + 1:
            yield Record(last, 1, [])
        last = number
        table = table or here >= usual
        places = range(width if table else here)
        texts = [cells[place].text if place in cells else "" for place in places]
        yield Record(number - 1, 1, texts)


def _text(cell: Cell | None, kinds: frozenset[CellKind]) -> str | None:
    if cell is None:
        return None
    if cell.kind is CellKind.DATE and kinds == _MOMENTS:
        return cell.text + _MIDNIGHT
    return cell.text
