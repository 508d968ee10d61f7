"""Batches of typed columns → one Parquet file, in row groups that fit into memory."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.arrow import Values

_ROWS = 122_880
_BYTES = 24 << 20
_NAMES: dict[pa.DataType, str] = {
    pa.bool_(): "BOOLEAN",
    pa.int64(): "BIGINT",
    pa.uint64(): "UBIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
}


def sql_name(kind: pa.DataType) -> str:
    """Return the name that DuckDB gives to the type of a nested value."""
    if pa.types.is_list(kind):
        return f"{sql_name(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        fields = (f"{_quoted(inner.name)} {sql_name(inner.type)}" for inner in kind)
        return f"STRUCT({', '.join(fields)})"
    return _NAMES[kind]


def _quoted(name: str) -> str:
    plain = name.isascii() and name.isidentifier() and name == name.lower()
    return name if plain else '"' + name.replace('"', '""') + '"'


class Writer:
    """Writes one Parquet file, a row group at a time."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            if self._writer is not None:
                self._writer.close()

    def write(self, columns: Sequence[Values]) -> None:
        """Add rows."""
        batch = pa.RecordBatch.from_arrays(list(columns), schema=self._schema)
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        if self._waiting_rows >= _ROWS or self._waiting_bytes >= _BYTES:
            self._flush()

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._waiting, schema=self._schema)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path,
                self._schema,
                compression="zstd",
                use_dictionary=_repetitive(table),  # pyright: ignore[reportArgumentType] - or the names of columns
            )
        if table.num_rows:
            self._writer.write_table(table, row_group_size=table.num_rows)


def _repetitive(table: pa.Table) -> list[str]:
    """Return the columns whose values repeat: a dictionary costs the others time and space."""
    return [
        name
        for name, column in zip(table.column_names, table.columns, strict=True)
        if pa.types.is_nested(column.type)
        or pc.count_distinct(column.slice(0, 10_000)).as_py() * 2 <= min(10_000, len(column))
    ]
