"""A prepared text → typed columns → one Parquet file, and what was rejected on the way."""

import contextlib
import errno
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from batch.arrow import Values
from batch.dialect import Csv, Declared
from batch.exits import BadDataError, MisconfiguredError, StoppedError
from batch.formats import SAMPLE, sniff
from batch.jsonlines import JsonTable
from batch.options import Options
from batch.parquet import Writer
from batch.records import QuotesAreTextError
from batch.report import Converted, Rejected, Rejects
from batch.schema import Plan, plan
from batch.tables import Batch, CsvTable, Table, ahead, differ
from batch.text import Text, disk_full


class _SurpriseError(Exception):
    """A value does not fit the type that was guessed from the beginning of the file."""


class Conversion:
    """One conversion, which another thread may stop while it runs."""

    def __init__(self, options: Options, progress: Callable[[int], None] | None = None) -> None:
        self._options = options
        self._progress = progress
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End as soon as the batch at hand is done; safe from any thread."""
        self._stopped.set()

    def run(self, text: Text, parquet: Path) -> Converted:
        """Write `text` to `parquet` and say what went in and what did not.

        Types are those of the whole file: they are guessed from its beginning, every value is
        held against the guess while it is written, and the first that does not fit sends the
        conversion through the whole file for types that fit all.

        Raises:
            BadDataError: no table, too much of it is rejected, or it goes beyond a limit.
            MisconfiguredError: the scratch disk is full.
            StoppedError: `stop` was called.
        """
        with _errors():
            table = self._table(replace(text, check=self._check))
            try:
                return self._convert(table, parquet)
            except QuotesAreTextError:
                return self._convert(table, parquet)

    def _check(self, size: int) -> None:
        if self._stopped.is_set():
            raise StoppedError
        if self._progress is not None:
            self._progress(size)

    def _table(self, text: Text) -> Table:
        options = self._options
        if text.workbook:
            # Few files are one.
            from batch.sheet import SheetTable  # noqa: PLC0415

            return SheetTable(text, options)
        sample = bytearray()
        blocks = text.blocks()
        while len(sample) <= SAMPLE and (block := next(blocks, None)) is not None:
            sample += block
        kind = sniff(
            bytes(sample[:SAMPLE]),
            whole=len(sample) <= SAMPLE,
            declared=Declared(options.delimiter, options.header),
        )
        if isinstance(kind, Csv):
            return CsvTable(text, kind, options)
        return JsonTable(text, options)

    def _convert(self, table: Table, parquet: Path) -> Converted:
        planned = plan(table)
        first = next(table.batches(Rejects()), None)
        if first is not None:
            for column, text in zip(planned.columns, _chosen(planned, first), strict=True):
                column.sample(text)
        try:
            return self._write(table, planned, parquet)
        except _SurpriseError:
            self._narrow(table, planned)
            return self._write(table, planned, parquet)

    def _narrow(self, table: Table, planned: Plan) -> None:
        rejects = Rejects()
        for batch in table.batches(rejects):
            for column, text in zip(planned.columns, _chosen(planned, batch), strict=True):
                column.narrow(text)
        self._judge(rejects.merged(), rejects.records - rejects.count)

    def _write(self, table: Table, planned: Plan, parquet: Path) -> Converted:
        columns = planned.columns
        for column in columns:
            column.begin()
        rejects, misfits = Rejects(), Rejects()
        schema = pa.schema([(column.name, column.kind.type) for column in columns])

        # Arrow and NumPy work without the interpreter's lock: one reads while the other writes.
        with (
            Writer(parquet, schema) as writer,
            contextlib.closing(ahead(table.batches(rejects))) as batches,
        ):
            for batch in batches:
                writer.write(_made(planned, batch, misfits))
        rejected = rejects.merged(misfits)
        rows = pq.read_metadata(parquet).num_rows
        if rows + rejected.count != rejects.records:
            raise BadDataError(differ(rejects.records, rows + rejected.count))
        self._judge(rejected, rows)
        return Converted(
            rows,
            tuple(column.report(rows) for column in columns),
            rejected,
            table.detected(),
            planned.drift,
        )

    def _judge(self, rejected: Rejected, rows: int) -> None:
        """Refuse a file of which too much is rejected, but never for a single row of several."""
        count, share = rejected.count, self._options.rejected_share
        if not count or (rows and (count == 1 or count <= share * (rows + count))):
            return
        first = rejected.rows[0]
        where = f"the first at line {first.line}: {first.reason}"
        if not rows:
            raise BadDataError(f"not one row can be read; {count:,} rejected, {where}")
        reasons = "; ".join(f"{reason} ({n:,})" for reason, n in [*rejected.reasons.items()][:3])
        raise BadDataError(
            f"{count:,} of {rows + count:,} records are rejected, {count / (rows + count):.1%},"
            f" where jobs.NAME.ingest.rejectedShare allows {share:.1%}; {where}; in all: {reasons}"
        )


def _chosen(planned: Plan, batch: Batch) -> Sequence[Values]:
    rows = batch.lines.size
    return [
        pa.nulls(rows, pa.string()) if source is None else batch.columns[source]
        for source in planned.sources
    ]


def _made(planned: Plan, batch: Batch, misfits: Rejects) -> Sequence[Values]:
    """Return the typed columns of the rows that fit the declared types; reject the others."""
    made: list[Values] = []
    reasons: dict[int, str] = {}
    for column, text in zip(planned.columns, _chosen(planned, batch), strict=True):
        values = column.made(text, batch.lines)
        if values is None:
            if not column.declared:
                column.surprised()
                raise _SurpriseError
            values, bad = column.fitting(text)
            for place, reason in bad.items():
                reasons.setdefault(place, reason)
        made.append(values)
    if reasons:
        for place in sorted(reasons):
            misfits.add(int(batch.lines[place]), reasons[place])
        keep = np.ones(batch.lines.size, np.bool_)
        keep[list(reasons)] = False
        made = [values.filter(pa.array(keep)) for values in made]
    for column, values in zip(planned.columns, made, strict=True):
        column.nulls += values.null_count
    return made


@contextlib.contextmanager
def _errors() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise MisconfiguredError(disk_full()) from error
        raise
