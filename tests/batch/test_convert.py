"""Bytes through preparing, sniffing, typing and writing, in process; DuckDB reads the result."""

# ruff: noqa: E501 -- a refusal is one line, here as there

import datetime as dt
import gzip
import io
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.convert import Conversion
from batch.exits import BadDataError, StoppedError
from batch.options import Options
from batch.report import Converted
from batch.text import prepare

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@dataclass(frozen=True)
class Outcome:
    encoding: str
    compression: str
    converted: Converted
    rows: list[tuple[object, ...]]

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.converted.columns}

    @property
    def rejected(self) -> list[tuple[int, str]]:
        return [(row.line, row.reason) for row in self.converted.rejected.rows]


WITH_ZONE = "TIMESTAMP WITH TIME ZONE"


class Ingest(Protocol):
    def __call__(self, body: bytes, **declared: object) -> Outcome: ...


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    return lambda body, **declared: convert_bytes(body, tmp_path, **declared)


def convert_bytes(body: bytes, scratch: Path, select: str = "*", /, **declared: object) -> Outcome:
    options = Options(**cast("dict[str, Any]", declared))
    stream = io.BufferedReader(cast("io.RawIOBase", io.BytesIO(body)))
    text = prepare(stream, scratch / "text", options.encoding)
    parquet = scratch / "out.parquet"
    converted = Conversion(options).run(text, parquet)
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT {select} FROM read_parquet(?)",  # noqa: S608 - the test's own
            [str(parquet)],
        ).fetchall()
    return Outcome(text.encoding, text.compression, converted, rows)


def test_each_column_gets_the_narrowest_type_that_loses_nothing(ingest: Ingest) -> None:
    done = ingest(
        b"i,f,b,d,t,c,zip,big,phone,v\n"
        b"1,1.50,true,2024-01-05,2024-01-05T10:00:01.5,10:00:00,00123,12345678901234567890,+81,1_0\n"
        b" 2 ,2.,FALSE,2024/01/06,2024-01-06 10:00,23:59:59,12345,1,+82,2\n"
    )
    assert done.types == {
        "i": "BIGINT",
        "f": "DOUBLE",
        "b": "BOOLEAN",
        "d": "DATE",
        "t": "TIMESTAMP",
        "c": "TIME",
        "zip": "VARCHAR",
        "big": "VARCHAR",
        "phone": "VARCHAR",
        "v": "VARCHAR",
    }
    assert done.rows == [
        (
            1,
            1.5,
            True,
            dt.date(2024, 1, 5),
            dt.datetime(2024, 1, 5, 10, 0, 1, 500000),  # noqa: DTZ001 - naive as in the file
            dt.time(10),
            "00123",
            "12345678901234567890",
            "+81",
            "1_0",
        ),
        (
            2,
            2.0,
            False,
            dt.date(2024, 1, 6),
            dt.datetime(2024, 1, 6, 10, 0),  # noqa: DTZ001 - as above
            dt.time(23, 59, 59),
            "12345",
            "1",
            "+82",
            "2",
        ),
    ]


def test_times_with_an_offset_are_instants(tmp_path: Path) -> None:
    body = b"at,n\n2024-05-01T10:00:00Z,1\n2024-05-01T10:00:00+09:00,2\n"
    done = convert_bytes(body, tmp_path, 'CAST(epoch("at") AS BIGINT), n')
    assert done.rows == [(1714557600, 1), (1714525200, 2)]
    assert done.types == {"at": "TIMESTAMP WITH TIME ZONE", "n": "BIGINT"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ("1 -1 0 -0", "DOUBLE"),
        ("1 -1 0 9223372036854775807 -9223372036854775808", "BIGINT"),
        ("1 5e2", "VARCHAR"),
        ("1.5 1E5", "VARCHAR"),
        ("1.5 1e400", "VARCHAR"),
        ("4758331E90003 4758331E90004", "VARCHAR"),
        ("1.5 -1.50 0 0. 0.25 -0.5 .5 -.5 nan -Infinity", "DOUBLE"),
        ("1.5 00.5", "VARCHAR"),
        ("1.5 -01.5", "VARCHAR"),
        ("1.5 1_0", "VARCHAR"),
        ("1.5 +1.5", "VARCHAR"),
        ("1.5 1234567890123456", "DECIMAL(38,1)"),
        ("0.10 99999999999999.99", "DECIMAL(38,2)"),
        ("0.123456789012345", "DOUBLE"),
        ("0.1234567890123456 1", "DECIMAL(38,16)"),
        ("-1234567890.1234567890 .5 7.", "DECIMAL(38,10)"),
        ("1234567890123456789012345678901234567.12 0.001", "VARCHAR"),
        ("12345678901234567890 1", "VARCHAR"),
        ("true FALSE True", "BOOLEAN"),
        ("true t", "VARCHAR"),
        ("2024-01-05 2024/01/05", "DATE"),
        ("2024-01-05 2024-1-5", "VARCHAR"),
        ("2026/4/1 2026/12/31 2026/04/01", "DATE"),
        ("2026/4/1 2026/4/31", "VARCHAR"),
        ("2026/4/1 2026/4/1/1", "VARCHAR"),
        ("2026年4月1日 2026年12月31日", "DATE"),
        ("20260401 20260402", "BIGINT"),
        ("2024-01-05 infinity", "VARCHAR"),
        ("2024-01-05T10:00:00 infinity", "VARCHAR"),
        ("2024-01-05T10:00:00 2024-01-05T10:00:00.25 2024/01/05T10:00", "TIMESTAMP"),
        ("2024-01-05T10:00:00 2024-01-05T10:00:0Z", "VARCHAR"),
        ("2024-01-05T10:00:00Z 2024-01-05T10:00:00.5Z 2024-01-05T10:00:00+09", WITH_ZONE),
        ("2024-01-05T10:00:00Z 2024-01-05T10:00:0.Z", "VARCHAR"),
        ("10:00:00 10:00:00.5", "TIME"),
        ("10:00:00 10:00:00.50", "VARCHAR"),
    ],
)
def test_one_value_that_a_type_does_not_give_back_rules_it_out(
    tmp_path: Path, values: str, kind: str
) -> None:
    body = "\n".join(["name,number", *(f"{value},1" for value in values.split())])
    assert convert_bytes(body.encode(), tmp_path, "number").types == {
        "name": kind,
        "number": "BIGINT",
    }


def test_a_column_without_a_value_is_text_and_all_null(ingest: Ingest) -> None:
    done = ingest(b"a,b\n1,\n2,\n")
    assert [(c.name, c.type, c.nulls) for c in done.converted.columns] == [
        ("a", "BIGINT", 0),
        ("b", "VARCHAR", 2),
    ]


@pytest.mark.parametrize(
    ("late", "kind", "last"),
    [
        (b"00123", "VARCHAR", "00123"),
        (b"1.5", "DOUBLE", 1.5),
        (b"none", "VARCHAR", "none"),
        (b"12345678901234567890", "VARCHAR", "12345678901234567890"),
    ],
)
def test_a_late_value_that_does_not_fit_widens_its_column_and_loses_nothing(
    ingest: Ingest, late: bytes, kind: str, last: object
) -> None:
    body = b"id,n\n" + b"".join(b"%d,7\n" % n for n in range(30_000)) + late + b",8\n"
    done = ingest(body)
    assert done.types == {"id": kind, "n": "BIGINT"}
    assert (len(done.rows), done.rows[-1]) == (30_001, (last, 8))
    assert done.converted.rejected.count == 0


def test_the_first_value_of_a_column_may_come_late(ingest: Ingest) -> None:
    done = ingest(b"id,n\n" + b"".join(b"%d,\n" % n for n in range(30_000)) + b"1,8\n")
    assert done.types == {"id": "BIGINT", "n": "BIGINT"}
    assert done.converted.columns[1].nulls == 30_000


def test_ragged_rows_are_rejected_with_their_line_and_the_rest_stays(ingest: Ingest) -> None:
    body = b'a,b\n1,2\n3\n"x\n\ny",5\n6,7,8\n\n9,10\n11\n'
    done = ingest(body, rejected_share=0.5)
    assert done.rows == [("1", 2), ("x\n\ny", 5), ("9", 10)]
    assert done.rejected == [
        (3, "expected 2 columns, found 1"),
        (7, "expected 2 columns, found 3"),
        (10, "expected 2 columns, found 1"),
    ]


def test_line_numbers_are_right_with_crlf_and_quoted_line_ends(ingest: Ingest) -> None:
    body = b'a,b\r\n1,2\r\n3\r\n"q\r\nr",3\r\n4\r\n'
    done = ingest(body, rejected_share=0.5)
    assert done.rows == [("1", 2), ("q\r\nr", 3)]
    assert [line for line, _ in done.rejected] == [3, 6]


@pytest.mark.parametrize(
    "body",
    [b"a,b\r\n1,2\n3,4\r\n", b"a,b\n1,2\r\n3,4\n", b"a,b\r1,2\r3,4\r", b"\n\r\na,b\n1,2\n3,4"],
)
def test_any_mixture_of_line_ends_is_read(ingest: Ingest, body: bytes) -> None:
    done = ingest(body)
    assert (list(done.types), done.rows) == (["a", "b"], [(1, 2), (3, 4)])


def test_the_count_of_rejected_rows_is_true_when_the_list_is_cut(ingest: Ingest) -> None:
    body = b"a,b\n" + b"1,2\n3\n" * 5_000
    done = ingest(body, rejected_share=0.5)
    assert (len(done.rows), done.converted.rejected.count) == (5_000, 5_000)
    assert [line for line, _ in done.rejected] == [3 + 2 * n for n in range(100)]


def test_line_numbers_hold_across_many_buffers(ingest: Ingest) -> None:
    rows = [b'%d,"%s\n"\n' % (n, b"x" * 90) for n in range(250_000)]
    rows[200_000] = b"ragged\n"
    done = ingest(b"a,b\n" + b"".join(rows))
    assert done.rejected == [(400_002, "expected 2 columns, found 1")]
    assert len(done.rows) == 249_999


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b'"a,b\n', 1),
        (b'\n\n"a,b\n1,2\n', 3),
        (b'sep=;\n\n"a;b\n', 3),
        # Longer than what the delimiter is told from.
        (b'\n"a,b\n' + b"1,2\n" * 600_000, 2),
    ],
    ids=["alone", "behind blank lines", "behind its delimiter", "long"],
)
def test_a_first_row_that_never_ends_is_refused_by_its_line(
    ingest: Ingest, body: bytes, line: int
) -> None:
    reason = "a quote is never closed, or text follows a closing quote"
    with pytest.raises(BadDataError, match=f"first row cannot be read, at line {line}: {reason}"):
        ingest(body)


def test_every_line_behind_a_quote_that_is_never_closed_is_rejected(ingest: Ingest) -> None:
    done = ingest(b'a,b\n1,2\n3,"4\n5,6\n7,8\n', rejected_share=1.0)
    assert done.rows == [(1, 2)]
    reason = "a quote is never closed, or text follows a closing quote"
    assert done.rejected == [(3, reason), (4, reason), (5, reason)]


def test_a_row_longer_than_the_limit_costs_only_itself(ingest: Ingest) -> None:
    done = ingest(b"a,b\n1,2\n3," + b"x" * (9 << 20) + b"\n5,6\n")
    assert done.rows == [(1, 2), (5, 6)]
    assert done.rejected == [(3, "the row is longer than 8 MiB")]


def test_a_row_as_long_as_the_limit_is_read(ingest: Ingest) -> None:
    done = ingest(b'a,b\n1,"' + b"x\n" * ((4 << 20) - 3) + b'"\n5,6\n')
    assert [(a, len(str(b))) for a, b in done.rows] == [(1, (8 << 20) - 6), (5, 1)]


@pytest.mark.slow
def test_rows_of_many_kilobytes_fit_into_memory(tmp_path: Path) -> None:
    note = b"x" * (16 << 10)
    body = b"n,note\n" + b"".join(b"%d,%s\n" % (n, note) for n in range(14_000))
    done = convert_bytes(body, tmp_path, "count(*), sum(n), min(length(note))")
    assert done.rows == [(14_000, 13_999 * 7_000, 16 << 10)]
    assert done.converted.rows == 14_000


def test_a_file_with_a_header_only_is_an_empty_table(ingest: Ingest) -> None:
    done = ingest(b"a,b\n")
    assert (done.types, done.rows) == ({"a": "VARCHAR", "b": "VARCHAR"}, [])


def test_columns_get_unique_names_whatever_the_header_has(ingest: Ingest) -> None:
    done = ingest(b'a,A,,a_2,"say ""hi"", {c}\'"\n1,2,3,4,5\n')
    assert list(done.types) == ["a", "A_2", "column_3", "a_2_2", 'say "hi", {c}\'']
    assert done.rows == [(1, 2, 3, 4, 5)]


def test_a_first_row_without_any_text_is_data(ingest: Ingest) -> None:
    done = ingest(b"1,2024-01-01\n2,2024-01-02\n")
    assert list(done.types) == ["column_1", "column_2"]
    assert len(done.rows) == 2


def test_excels_first_line_says_the_delimiter(ingest: Ingest) -> None:
    for line, delimiter in ((b"sep=\t", b"\t"), (b'"sep=\t"', b"\t"), (b"SEP=|", b"|")):
        done = ingest(line + b"\r\na,x" + delimiter + b"b,y\r\n1,2" + delimiter + b"3,4\r\n")
        assert done.rows == [("1,2", "3,4")]
        assert done.converted.detected.preamble == 1


def test_one_column_needs_no_delimiter(ingest: Ingest) -> None:
    done = ingest(b"name\nx\n\ny\n")
    assert done.rows == [("x",), (None,), ("y",)]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_found(ingest: Ingest, delimiter: str) -> None:
    body = f"name{delimiter}n{delimiter}m\n" + f"x{delimiter}1{delimiter}2\n" * 5
    assert ingest(body.encode()).rows == [("x", 1, 2)] * 5


TEXT = "名前,値\n東京,1\n大阪,2\n"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-8-sig"), "utf-8"),
        (TEXT.encode("utf-16"), "utf-16-le"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("utf-32"), "utf-32-le"),
        (b"\0\0\xfe\xff" + TEXT.encode("utf-32-be"), "utf-32-be"),
        (TEXT.encode("cp932"), "cp932"),
        (("ascii,値\n" + "x,1\n" * 400_000 + "東京,1\n").encode("cp932"), "cp932"),
    ],
)
def test_encodings_are_known_by_content(ingest: Ingest, body: bytes, encoding: str) -> None:
    done = ingest(body)
    assert done.encoding == encoding
    assert ("東京", 1) in done.rows
    assert done.converted.rejected.count == 0


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"a,b\n1,\xff\n3,4\n", 2),
        ("名前,値\n東京,1\n".encode("cp932") + b"\xfd,2\n" + "大阪,3\n".encode("cp932"), 3),
        (
            b"\xff\xfe"
            + "a,b\n1,2\n".encode("utf-16-le")
            + b"\x00\xd8"
            + ",3\n4,5\n".encode("utf-16-le"),
            3,
        ),
        ("名,値\n東京,1\n大阪,2\n名古屋,3\n".encode() + b"\xff,2\n", 5),
    ],
)
def test_a_character_that_is_none_costs_its_row_only(
    ingest: Ingest, body: bytes, line: int
) -> None:
    done = ingest(body)
    assert done.rejected == [(line, "a character is not valid in the file's encoding")]
    assert len(done.rows) >= 1


@pytest.mark.parametrize(
    ("compress", "name"), [(gzip.compress, "gzip"), (zstd.compress, "zstd"), (bytes, "none")]
)
def test_compression_is_known_by_content(
    ingest: Ingest, compress: Callable[[bytes], bytes], name: str
) -> None:
    done = ingest(compress(b"a,b\n1,2\n") + compress(b"3,4\n"))
    assert (done.compression, done.rows) == (name, [(1, 2), (3, 4)])


def named(value: object) -> str | None:
    """Name a case by its words: bytes are long, and gzip's carry the time of day."""
    return "file" if isinstance(value, bytes) else None


EXPECTED = "expected CSV, JSON Lines or an Excel workbook (.xlsx)"
EXPECTED_LINES = "expected JSON Lines, one object a line (jq -c '.[]' makes that of an array)"
NOISE = random.Random(7).randbytes(4096)  # noqa: S311 - not for secrets


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf\r\n \n", "the file is empty"),
        (gzip.compress(b""), "the file is empty"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", f"the file is a PDF: {EXPECTED}"),
        (b"PAR1\x15\x04", f"the file is a Parquet file: {EXPECTED}"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1",
            f"the file is an old Office file, or an encrypted one: {EXPECTED}",
        ),
        (b"BZh91AY&SY", f"the file is bzip2-compressed: {EXPECTED}"),
        (b"\xfd7zXZ\0", f"the file is xz-compressed: {EXPECTED}"),
        (b"7z\xbc\xaf\x27\x1c", f"the file is a 7-Zip archive: {EXPECTED}"),
        (b"SQLite format 3\0", f"the file is an SQLite database: {EXPECTED}"),
        (b"Obj\x01\x04", f"the file is an Avro file: {EXPECTED}"),
        (b"ORC\x08\x03", f"the file is an ORC file: {EXPECTED}"),
        (b"ARROW1\0\0", f"the file is an Arrow file: {EXPECTED}"),
        (b"{\\rtf1\\ansi", f"the file is a rich text document: {EXPECTED}"),
        (b"PK\x03\x04....", "the file is a damaged ZIP archive: "),
        (NOISE, "the file is binary, or UTF-16 without a byte order mark: expected text"),
        (
            "a,b\n1,2\n".encode("utf-16-le"),
            "the file is binary, or UTF-16 without a byte order mark: expected text",
        ),
        (gzip.compress(gzip.compress(b"a,b\n")), f"the file is compressed twice: {EXPECTED}"),
        (gzip.compress(b"a,b\n1,2\n" * 99)[:-9], "the compressed data is damaged: "),
        (zstd.compress(b"a,b\n1,2\n" * 99)[:-9], "the compressed data is damaged: "),
        (gzip.compress(b"a,b\n1,2\n")[:-8] + b"\0" * 8, "the compressed data is damaged: "),
        (
            b"a,b\n1\n2\n",
            "not one row can be read; 2 rejected, the first at line 2: expected 2 columns, found 1",
        ),
        (b"sep=;\n", "the file is empty but for its first line"),
        (
            b'"a,b\n1,2\n',
            "the first row cannot be read, at line 1: a quote is never closed, or text follows a closing quote",
        ),
        (b'[{"a": 1},\n {"a": 2}]\n', f"the file is a JSON array: {EXPECTED_LINES}"),
        (
            b'{\n  "a": 1\n}\n',
            f"the file is one JSON document over several lines: {EXPECTED_LINES}",
        ),
        (
            b'{"a":1\n[1]\n{"b"\n{}x',
            "not one row can be read; 4 rejected, the first at line 1: not valid JSON",
        ),
        (
            b'{"a":1,"b":',
            "not one row can be read; 1 rejected, the first at line 1: not valid JSON",
        ),
        (b"{}\n{}\n", "every object is empty: there is no column to write"),
        (
            b"\n\nx,\xff\n1,2\n3,4\n",
            "the header, at line 3, has a character that is not valid in the file's encoding: correct it, or declare it as jobs.NAME.ingest.encoding: NAME",
        ),
        (
            b"Report\n\n,Sales,Sales\nYear,North,South\n,EUR,EUR\n2024,1,2\n2025,3,4\n",
            "the header has 3 rows, lines 3 to 5: leave one that names every column",
        ),
        (b"c" + b",c" * 2000 + b"\n", "the table has 2,001 columns: at most 2,000 can be read"),
        (
            b"".join(b'{"k%d":1}\n' % n for n in range(2001)),
            "the objects have more than 2,000 different keys, and a column each is what can be written",
        ),
        (
            "номер,имя\n1,Иван\n2,Мария\n".encode("cp1251"),
            "it cannot be told what the file's characters are in, of the encodings UTF-8, UTF-16, cp932, euc-jp, gb18030, cp949, windows-1252: convert it to UTF-8, or declare it as jobs.NAME.ingest.encoding: NAME",
        ),
        (
            "番号\n漢字\n".encode("iso-2022-jp"),
            "the file is ISO-2022-JP, a 7-bit encoding of mail: convert it to UTF-8, or declare it as jobs.NAME.ingest.encoding: iso-2022-jp",
        ),
        (
            "이름\n한국어\n".encode("iso2022_kr"),
            "the file is ISO-2022-KR, a 7-bit encoding of mail: convert it to UTF-8, or declare it as jobs.NAME.ingest.encoding: utf-8 if it is none",
        ),
        (
            "a,b\n1,2\n".encode("cp500"),
            "the file is EBCDIC, the encoding of mainframes: convert it to UTF-8",
        ),
        (
            b"a,b\n" + b"1,2\n" * 17 + b"3\n" * 2,
            "2 of 19 records are rejected, 10.5%, where jobs.NAME.ingest.rejectedShare allows 10.0%; the first at line 19: expected 2 columns, found 1; in all: expected 2 columns, found 1 (2)",
        ),
        (
            b'{"a":1,"a":2}\n',
            "not one row can be read; 1 rejected, the first at line 1: a key occurs twice in the object",
        ),
    ],
    ids=named,
)
def test_what_can_never_be_read_is_bad_data(ingest: Ingest, body: bytes, reason: str) -> None:
    with pytest.raises(BadDataError) as refused:
        ingest(body)
    # What follows a colon at its end is a library's.
    said = str(refused.value)
    assert said.startswith(reason) if reason.endswith(": ") else said == reason


def test_json_lines_become_typed_columns(ingest: Ingest) -> None:
    done = ingest(
        b'{"a":1,"code":"00123","day":"2024-01-01","n":{"x":1,"y":[1,2]},"m":1,"f":2}\n'
        b'{"a":2,"A":true,"":"e","f":2.5,"m":"x","big":12345678901234567890123}\r\n'
        b"\n"
        b'{"a":null,"a/b~c\\"":[{"k":1},{"l":null}],"k":{"X":1,"x":2}}'
    )
    assert done.types == {
        "a": "BIGINT",
        "code": "VARCHAR",
        "day": "DATE",
        "n": "STRUCT(x UBIGINT, y UBIGINT[])",
        "m": "VARCHAR",
        "f": "DOUBLE",
        "A_2": "BOOLEAN",
        "column_8": "VARCHAR",
        "big": "VARCHAR",
        'a/b~c"': "STRUCT(k UBIGINT, l VARCHAR)[]",
        "k": "VARCHAR",
    }
    none = (None,) * 3
    assert done.rows == [
        (1, "00123", dt.date(2024, 1, 1), {"x": 1, "y": [1, 2]}, "1", 2.0, *none, None, None),
        (2, None, None, None, "x", 2.5, True, "e", "12345678901234567890123", None, None),
        (
            None,
            None,
            None,
            None,
            None,
            None,
            *none,
            [{"k": 1, "l": None}, {"k": None, "l": None}],
            '{"X":1,"x":2}',
        ),
    ]
    assert done.converted.columns[3].nulls == 2


def test_lines_that_are_no_object_are_rejected_with_their_line(ingest: Ingest) -> None:
    done = ingest(
        b'{"a":1}\n\n{"a":\n\xff\n[1]\n{"a":2}\r\n"\xff"\n{"a":3,"a":4}\n"s"\n{"a":5}\n{"b"\n',
        encoding="utf-8",
        rejected_share=1.0,
    )
    assert done.rows == [(1,), (2,), (5,)]
    encoding = "a character is not valid in the file's encoding"
    assert done.rejected == [
        (3, "not valid JSON"),
        (4, encoding),
        (5, "a JSON value, but not an object"),
        (7, encoding),
        (8, "a key occurs twice in the object"),
        (9, "a JSON value, but not an object"),
        (11, "not valid JSON"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a":NaN}', "not valid JSON"),
        (b'{"a":-Infinity}', "not valid JSON"),
        (b'{"a":"\\ud800"}', "an escape that is half a character"),
        (b'{"a":"\\uDfff"}', "an escape that is half a character"),
        (b'{"a":"' + b"x" * (8 << 20) + b'"}', "the row is longer than 8 MiB"),
    ],
    ids=["NaN", "infinity", "first half", "second half", "long"],
)
def test_a_line_that_is_no_row_costs_only_itself(ingest: Ingest, line: bytes, reason: str) -> None:
    done = ingest(b'{"a":"1"}\n' + line + b'\n{"a":"\\ud83d\\ude00"}\n')
    assert done.rows == [("1",), ("😀",)]
    assert done.rejected == [(2, reason)]


def test_many_values_beside_one_another_are_not_deep(ingest: Ingest) -> None:
    done = ingest(b'{"a":[' + b",".join([b"[]", b'[["[{"]]'] * 99) + b"]}\n")
    assert len(done.rows) == 1


def test_nested_values_of_several_types_are_the_text_they_were(ingest: Ingest) -> None:
    text = '{"a":[null,true,false,1,-2,1.50,1e400,"é\\"",{"b":[]}]}'
    assert ingest(f"{text}\n".encode()).rows == [(text[5:-1],)]


def test_a_nested_object_used_as_a_dictionary_stays_text(ingest: Ingest) -> None:
    body = b"".join(b'{"a":{"key%d":%d}}\n' % (n, n) for n in range(300))
    assert ingest(body).types == {"a": "VARCHAR"}


def test_a_stopped_conversion_raises_and_starts_nothing(tmp_path: Path) -> None:
    stream = io.BufferedReader(cast("io.RawIOBase", io.BytesIO(b"a,b\n1,2\n")))
    conversion = Conversion(Options())
    conversion.stop()
    with pytest.raises(StoppedError):
        conversion.run(prepare(stream, tmp_path / "text"), tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


CELL = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff"),
    max_size=8,
)


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6))
def test_whatever_a_csv_writer_writes_comes_back_or_is_counted(
    tmp_path: Path, rows: list[tuple[str, str]]
) -> None:
    quoted = ['"' + '","'.join(c.replace('"', '""') for c in row) + '"' for row in rows]
    done = convert_bytes("\n".join(["name,text", *quoted]).encode(), tmp_path)
    assert len(done.rows) == len(rows)
    for column in (0, 1):
        if list(done.types.values())[column] == "VARCHAR":
            assert [row[column] for row in done.rows] == [row[column] or None for row in rows]
