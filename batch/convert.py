"""A prepared text → DuckDB → one typed Parquet file, and what was rejected on the way."""

# ruff: noqa: S608 - what is put into a query is a constant, or quoted by batch.columns

import errno
import re
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, cast

import duckdb

from batch.columns import (
    ALL,
    MISFIT,
    Column,
    chosen,
    literal,
    narrowed,
    profile,
    quoted,
    sampled,
    typed,
)
from batch.exits import BadDataError, MisconfiguredError, RefusalError, StoppedError
from batch.jsonlines import columns_of, problem
from batch.report import LISTED, ColumnReport, Converted, Rejected, RejectedRow
from batch.sniff import Csv, JsonLines
from batch.text import BLOCK, Text, disk_full

# DuckDB's own limit leaves out its CSV buffers and the Parquet row groups being written; with
# these the process stays under 512 MiB, botocore and Python included.
_MEMORY_LIMIT = "192MB"
_THREADS = 2
_ROW_BYTES = 2 << 20
_BUFFER_BYTES = 8 << 20
_SAMPLE_ROWS = 4_096
_ROW_GROUP = 61_440
# DuckDB's unit of work: no row group is smaller.
_SMALLEST_ROW_GROUP = 2_048

_Rows: TypeAlias = list[tuple[object, ...]]


class Conversion:
    """One conversion, which another thread may stop while it runs."""

    def __init__(self, scratch: Path) -> None:
        self._stopped = threading.Event()
        self._connection = duckdb.connect(
            config={
                "memory_limit": _MEMORY_LIMIT,
                "threads": str(_THREADS),
                "temp_directory": str(scratch / "spill"),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            }
        )
        self._connection.execute("SET TimeZone = 'UTC'")

    def close(self) -> None:
        """Give back memory and temporary files."""
        self._connection.close()

    def stop(self) -> None:
        """End the running query, and let no other begin; safe from any thread."""
        self._stopped.set()
        self._connection.interrupt()

    def run(self, text: Text, kind: Csv | JsonLines, parquet: Path) -> Converted:
        """Write `text` to `parquet` and say what went in and what did not.

        Types are those of the whole file: they are guessed from its beginning, every value is
        held against the guess while it is written, and the first that does not fit sends the
        conversion through the whole file for types that fit all.

        Raises:
            BadDataError: not a single row can be read.
            MisconfiguredError: the scratch disk is full.
            StoppedError: `stop` was called.
        """
        with self._errors():
            return (
                self._csv(text, kind, parquet)
                if isinstance(kind, Csv)
                else self._json_lines(text, parquet)
            )

    def _csv(self, text: Text, kind: Csv, parquet: Path) -> Converted:
        columns = [Column(name) for name in kind.names]
        lenient = _read_csv(text.path, kind, "ignore_errors=true")
        strict = _read_csv(text.path, kind, "store_rejects=true")
        copied = self._copy(columns, lenient, strict, parquet)
        count = self._number("SELECT count(DISTINCT line_byte_position) FROM reject_errors")
        listed = self._query(
            "SELECT line_byte_position, min(error_type), min(error_message),"
            " max(length(csv_line) - length(replace(csv_line, chr(10), '')))"
            f" FROM reject_errors GROUP BY 1 ORDER BY 1 LIMIT {LISTED}"
        )
        lines = _line_numbers(text.path, [cast("int", row[0]) for row in listed])
        rejected = Rejected(
            count,
            tuple(
                RejectedRow(
                    line, _reason(str(error), str(message), cast("int | None", breaks) or 0)
                )
                for line, (_, error, message, breaks) in zip(lines, listed, strict=True)
            ),
        )
        return self._converted(columns, copied, rejected, parquet)

    def _json_lines(self, text: Text, parquet: Path) -> Converted:
        # One column without delimiter or quote: a row is a line, and an empty one is NULL.
        lines = _read_lines(text.path, "ignore_errors=true")
        self._query(
            "CREATE TEMP TABLE bad AS SELECT number, reason FROM"
            f" (SELECT row_number() OVER () AS number, {problem('line')} AS reason"
            f" FROM {_read_lines(text.path, 'store_rejects=true')})"
            " WHERE reason IS NOT NULL"
        )
        rejected = self._rejected_lines()
        objects = f"(SELECT line FROM {lines} WHERE {problem('line')} IS NULL AND trim(line) <> '')"
        structure = cast(
            "str | None",
            self._query(f"SELECT json_group_structure(line::JSON)::VARCHAR FROM {objects}")[0][0],
        )
        if structure is None:
            raise BadDataError(_all_bad(rejected))
        columns, relation = columns_of(structure, objects)
        if not columns:
            raise BadDataError("every object is empty: there is no column to write")
        return self._converted(
            columns, self._copy(columns, relation, relation, parquet), rejected, parquet
        )

    def _rejected_lines(self) -> Rejected:
        """Merge the lines that are no text with those that are no object.

        The former are missing from the numbers of the latter.
        """
        unread = "SELECT DISTINCT line, error_type FROM reject_errors"
        count = self._number(
            f"SELECT (SELECT count(*) FROM bad) + (SELECT count(*) FROM ({unread}))"
        )
        listed = self._query(
            f"""
            WITH unread AS ({unread}),
            -- The n-th line that could be read lies behind every unread one that is at most
            -- as far from the start as there are readable lines before it.
            gaps AS (SELECT line - row_number() OVER (ORDER BY line) AS before FROM unread)
            SELECT number + (SELECT count(*) FROM gaps WHERE before < number) AS line, reason
            FROM (SELECT * FROM bad ORDER BY number LIMIT {LISTED})
            UNION ALL
            SELECT * FROM (SELECT line, error_type FROM unread ORDER BY line LIMIT {LISTED})
            ORDER BY 1 LIMIT {LISTED}
            """
        )
        return Rejected(
            count,
            tuple(
                RejectedRow(cast("int", line), _reason(str(reason), "", 0))
                for line, reason in listed
            ),
        )

    def _copy(
        self, columns: Sequence[Column], lenient: str, strict: str, parquet: Path
    ) -> tuple[int, dict[str, int]]:
        sample = f"(SELECT * FROM {lenient} LIMIT {_SAMPLE_ROWS})"
        seen = self._sampled(columns, sample)
        types = chosen(columns, seen)
        try:
            return self._written(columns, types, strict, parquet)
        except duckdb.InvalidInputException as error:
            if MISFIT not in str(error):
                raise
        remaining = narrowed(columns, seen)
        types = chosen(remaining, self._profile(remaining, lenient))
        return self._written(columns, types, strict, parquet)

    def _sampled(self, columns: Sequence[Column], relation: str) -> list[bool | None]:
        answers = {
            row[0]: dict(zip(ALL, row[1:], strict=True))
            for row in self._query(sampled(columns, relation))
        }
        return [
            cast("bool | None", answers.get(place, {}).get(kind))
            for place, column in enumerate(columns)
            for kind in column.candidates
        ]

    def _profile(self, columns: Sequence[Column], relation: str) -> list[bool | None]:
        return cast("list[bool | None]", list(self._query(profile(columns, relation))[0][1:]))

    def _written(
        self, columns: Sequence[Column], types: Sequence[str], relation: str, parquet: Path
    ) -> tuple[int, dict[str, int]]:
        query = typed(columns, types, relation)
        try:
            return self._write(query, relation, parquet, _ROW_GROUP)
        except duckdb.OutOfMemoryException:
            # Rows of many kilobytes: as many as are usual in a row group do not fit into memory.
            return self._write(query, relation, parquet, _SMALLEST_ROW_GROUP)

    def _write(
        self, query: str, relation: str, parquet: Path, row_group: int
    ) -> tuple[int, dict[str, int]]:
        for table in ("reject_errors", "reject_scans"):
            if "store_rejects" in relation:
                self._query(f"DROP TABLE IF EXISTS {table}")
        (_, rows, _, _, statistics, *_) = self._query(
            f"COPY ({query}) TO {literal(str(parquet))}"
            f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {row_group}, RETURN_STATS)"
        )[0]
        nulls = {
            name: int(values.get("null_count", "0"))
            for name, values in cast("dict[str, dict[str, str]]", statistics or {}).items()
        }
        return cast("int", rows), nulls

    def _converted(
        self,
        columns: Sequence[Column],
        copied: tuple[int, dict[str, int]],
        rejected: Rejected,
        parquet: Path,
    ) -> Converted:
        rows, nulls = copied
        if not rows and rejected.count:
            raise BadDataError(_all_bad(rejected))
        written = f"read_parquet({literal(str(parquet))})"
        kinds = {
            str(row[0]): str(row[1]) for row in self._query(f"DESCRIBE SELECT * FROM {written}")
        }
        return Converted(
            rows,
            tuple(
                ColumnReport(
                    column.name,
                    kinds[column.name],
                    self._number(f"SELECT count(*) - count({column.sql}) FROM {written}")
                    if column.nested is not None
                    else nulls.get(quoted(column.name), 0),
                )
                for column in columns
            ),
            rejected,
        )

    def _number(self, sql: str) -> int:
        return cast("int", self._query(sql)[0][0])

    def _query(self, sql: str) -> _Rows:
        if self._stopped.is_set():
            raise StoppedError
        return self._connection.execute(sql).fetchall()

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except duckdb.InterruptException as error:
            raise StoppedError from error
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            # A full disk is an out-of-memory error to DuckDB while it spills.
            if re.search(r"no space left|disk|max_temp_directory_size", str(error), re.IGNORECASE):
                raise MisconfiguredError(disk_full()) from error
            raise RefusalError(f"DuckDB: {_first_line(error)}") from error
        except (duckdb.InvalidInputException, duckdb.ConversionException) as error:
            raise BadDataError(f"the file cannot be read: {_first_line(error)}") from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise MisconfiguredError(disk_full()) from error
            raise


def _read_csv(path: Path, kind: Csv, errors: str) -> str:
    names = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in kind.names)
    return (
        f"read_csv({literal(str(path))}, auto_detect=false, header={kind.header},"
        f" skip={kind.skip}, delim={literal(kind.delimiter)}, quote='\"', escape='\"',"
        f" columns={{{names}}}, max_line_size={_ROW_BYTES}, buffer_size={_BUFFER_BYTES}, {errors})"
    )


def _read_lines(path: Path, errors: str) -> str:
    return (
        f"read_csv({literal(str(path))}, auto_detect=false, header=false, delim='\\0', quote='',"
        f" escape='', columns={{'line': 'VARCHAR'}}, max_line_size={_ROW_BYTES},"
        f" buffer_size={_BUFFER_BYTES}, {errors})"
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _all_bad(rejected: Rejected) -> str:
    first = rejected.rows[0]
    return (
        f"not one row can be read; {rejected.count} rejected, the first at line {first.line}:"
        f" {first.reason}"
    )


def _reason(error: str, message: str, breaks: int) -> str:
    """Say in plain words what DuckDB's error type means."""
    numbers = re.findall(r"\d+", message)
    match error:
        case "MISSING COLUMNS" | "TOO MANY COLUMNS" if len(numbers) >= 2:
            return f"expected {numbers[0]} columns, found {numbers[1]}"
        case "UNQUOTED VALUE":
            reach = f"; it reaches over {breaks} more lines" if breaks else ""
            return f"a quote is never closed, or text follows a closing quote{reach}"
        case "INVALID ENCODING":
            return "a character is not valid in the file's encoding"
        case "LINE SIZE OVER MAXIMUM":
            return f"the row is longer than {_ROW_BYTES >> 20} MiB"
        case _:
            return message or error


def _line_numbers(path: Path, positions: Iterable[int]) -> list[int]:
    """Return the line, from 1, that each byte position lies in; positions count from 1, ascending.

    DuckDB numbers rows, and puts a row of a file with CRLF at the line feed before it.
    """
    lines: list[int] = []
    with path.open("rb") as file:
        line, offset = 1, 0
        block = b""
        for position in positions:
            target = position - 1
            while offset + len(block) <= target:
                line += block.count(b"\n")
                offset += len(block)
                block = file.read(BLOCK)
                if not block:
                    break
            cut = target - offset
            lines.append(line + block[:cut].count(b"\n") + (block[cut : cut + 1] == b"\n"))
    return lines
