"""Workbooks of Excel: cells in their types, one visible sheet, and what is refused."""

# ruff: noqa: E501 -- a refusal is one line, here as there

import datetime as dt
import gzip
import io
import zipfile
from pathlib import Path

import pytest

from batch import workbook as reader
from batch.exits import BadDataError
from tests.batch.test_convert import EXPECTED, Ingest, convert_bytes
from tests.batch.workbooks import cell, row, workbook

# pyright: reportPrivateUsage=false

NAMES = row(1, "id", "code", "at")
SINCE_1900, SINCE_1904 = dt.datetime(1899, 12, 30), dt.datetime(1904, 1, 1)  # noqa: DTZ001 - no zone


@pytest.fixture(name="ingest")
def fixture_ingest(tmp_path: Path) -> Ingest:
    return lambda body, **declared: convert_bytes(body, tmp_path, **declared)


def test_cells_come_out_in_their_types_and_text_as_it_was_stored(ingest: Ingest) -> None:
    done = ingest(
        workbook(
            row(1, "id", "code", "amount", "ok", "yen", "zip", "size")
            + row(2, 1, "00123", 0.1, cell("D2", 1, kind="b"), cell("E2", -5, style=6))
            + row(3, 2, "1E5", "<c r='C3'><v>3.3000000000000003</v></c>", cell("D3", 0, kind="b"))
            + row(4, 3, "12", 1e20, None, cell("E4", 7, style=6), cell("F4", 123, style=7), 8)
        )
    )
    assert done.types == {
        "id": "BIGINT",
        "code": "VARCHAR",
        "amount": "DOUBLE",
        "ok": "BOOLEAN",
        "yen": "BIGINT",
        "zip": "BIGINT",
        "size": "BIGINT",
    }
    assert done.rows == [
        (1, "00123", 0.1, True, -5, None, None),
        (2, "1E5", 3.3000000000000003, False, None, None, None),
        (3, "12", 1e20, None, 7, 123, 8),
    ]
    assert (done.converted.detected.format, done.converted.detected.header) == ("xlsx", True)


@pytest.mark.parametrize(
    ("since_1904", "day"), [(False, dt.date(2025, 4, 1)), (True, dt.date(2029, 4, 2))]
)
def test_dates_are_those_of_the_workbooks_date_system(
    ingest: Ingest,
    since_1904: bool,  # noqa: FBT001 - a case
    day: dt.date,
) -> None:
    rows = [
        row(
            number,
            cell(f"A{number}", 45748, style=1),
            cell(f"B{number}", serial, kind="n", style=2),
            cell(f"C{number}", 0.378472222222222, style=3),
            cell(f"D{number}", 1.0625, style=4),
            cell(f"E{number}", 45748, style=5),
        )
        for number, serial in ((2, 45748), (3, "45748.378472222219"))
    ]
    done = ingest(
        workbook(row(1, "day", "at", "time", "took", "era") + "".join(rows), since_1904=since_1904)
    )
    assert list(done.types.values()) == ["DATE", "TIMESTAMP", "TIME", "VARCHAR", "DATE"]
    clock = dt.time(9, 5)
    assert done.rows == [
        (day, dt.datetime.combine(day, dt.time()), clock, "25:30:00", day),
        (day, dt.datetime.combine(day, clock), clock, "25:30:00", day),
    ]


@pytest.mark.parametrize(
    ("style", "numbers"),
    [
        ("DATE", [14, 15, 16, 17, 22, *range(27, 32), 34, 35, 36, *range(50, 59)]),
        ("CLOCK", [18, 19, 20, 21, 32, 33, 45, 47]),
        ("ELAPSED", [46]),
    ],
)
def test_a_format_may_be_known_by_its_number(style: str, numbers: list[int]) -> None:
    assert [n for n in range(200) if reader._of_number(n).name == style] == numbers


@pytest.mark.parametrize(
    ("style", "codes"),
    [
        ("DATE", ["yyyy-mm-dd", "MMM", "d", "aaa", "ggge", "m/d h:mm", "[Red]d", '"h"m']),
        ("CLOCK", ["h:mm", "mm:ss.0", "h AM/PM", "s", "[$-409]h:mm"]),
        ("ELAPSED", ["[h]:mm:ss", "[mm]:ss", "[s]"]),
        ("NUMBER", ["General", "0.00E+00", "0;d", '0"days"', r"0\d", "_d0", "*h0", "[Blue]0", "@"]),
    ],
)
def test_a_format_is_known_by_its_letters(style: str, codes: list[str]) -> None:
    assert {code: reader._of_code(code).name for code in codes} == dict.fromkeys(codes, style)


def number(value: str, style: str = "DATE", epoch: dt.datetime = SINCE_1900) -> tuple[str, str]:
    sheet = reader._Sheet((), (reader._Style[style],), epoch, uncalculated=False)
    sheet._style = "0"
    found = sheet._numeric(value)
    return found.kind.name, found.text


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("1", ("DATE", "1900-01-01")),
        ("59", ("DATE", "1900-02-28")),
        ("60", ("ERROR", "60 is no date")),
        ("60.5", ("ERROR", "60.5 is no date")),
        ("61", ("DATE", "1900-03-01")),
        ("2958465", ("DATE", "9999-12-31")),
        ("2958465.5", ("MOMENT", "9999-12-31 12:00:00")),
        ("2958466", ("ERROR", "2958466 is no date")),
        ("0", ("ERROR", "0 is no date")),
        ("-1", ("ERROR", "-1 is no date")),
        ("0.5", ("TIME", "12:00:00")),
        ("0.9999999999", ("ERROR", "0.9999999999 is no date")),
        ("1.0000000001", ("DATE", "1900-01-01")),
        ("45748.37847222", ("MOMENT", "2025-04-01 09:05:00")),
    ],
)
def test_days_are_counted_as_excel_counts_them(value: str, found: tuple[str, str]) -> None:
    assert number(value) == found


def test_days_since_1904_begin_with_none() -> None:
    assert number("0", epoch=SINCE_1904) == ("DATE", "1904-01-01")
    assert number("60", epoch=SINCE_1904) == ("DATE", "1904-03-01")
    assert number("-0.5", epoch=SINCE_1904) == ("ERROR", "-0.5 is no date")
    assert number("0", "CLOCK", SINCE_1904) == ("TIME", "00:00:00")


@pytest.mark.parametrize(
    ("days", "text"),
    [
        ("0", "0:00:00"),
        ("-1.5", "-36:00:00"),
        ("0.00070601851", "0:01:01"),
        ("4.1666671296", "100:00:00.040"),
    ],
)
def test_a_duration_has_as_many_hours_as_it_takes(days: str, text: str) -> None:
    assert number(days, "ELAPSED") == ("TEXT", text)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("NUMBER", ["0", "-5", "123456789012345", "1.", "1234567890123456", "1E5", "-1E-7"]),
        ("NUMBER", ["3.3000000000000003", "0.12345678901234567"]),
        ("LONG", ["12345678901234567", "-12345678901234567", "12345678901234567.5"]),
    ],
)
def test_a_number_is_long_that_has_more_digits_than_excel_writes(
    kind: str, values: list[str]
) -> None:
    assert [number(value, "NUMBER") for value in values] == [(kind, value) for value in values]


def test_cells_and_rows_without_a_place_come_behind_the_last(ingest: Ingest) -> None:
    body = (
        "<row><c><v>1</v></c><c r='C1'><v>2</v></c><c><v>3</v></c></row><row><c><v>4</v></c></row>"
    )
    done = ingest(workbook(row(1, *"abcd").replace("1", "2") + body.replace("C1", "C3")))
    assert done.rows == [(1, None, 2, 3), (4, None, None, None)]


@pytest.mark.parametrize(("letters", "place"), [("A", 0), ("Z", 25), ("AA", 26), ("XFD", 16_383)])
def test_a_column_has_its_place(letters: str, place: int) -> None:
    sheet = reader._Sheet((), (), SINCE_1900, uncalculated=False)
    assert sheet._place(f"{letters}1") == place


def test_the_words_for_a_boolean_are_read_as_well(ingest: Ingest) -> None:
    cells = [cell(f"A{n}", word, kind="b") for n, word in ((2, "true"), (3, "false"))]
    done = ingest(workbook(row(1, "ok") + row(2, cells[0]) + row(3, cells[1])))
    assert done.rows == [(True,), (False,)]


def test_what_is_too_long_for_a_row_is_refused(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "ROW_BYTES", 1000)
    assert len(ingest(workbook(row(1, "a", "b") + row(2, "x" * 600, "y" * 400))).rows) == 1
    with pytest.raises(BadDataError, match="row 2 is longer than 0 MiB"):
        ingest(workbook(row(1, "a", "b") + row(2, "x" * 600, "y" * 401)))
    with pytest.raises(BadDataError, match="a cell of the workbook is longer than 0 MiB"):
        ingest(workbook(row(1, "a", "b") + row(2, "x" * 1001)))


def test_dates_may_be_written_in_iso_8601(ingest: Ingest) -> None:
    texts = ("2026-04-01", "2026-04-01T09:05:01.123", "09:05:01")
    cells = [cell(f"{column}2", text, kind="d") for column, text in zip("ABC", texts, strict=True)]
    done = ingest(workbook(NAMES + row(2, *cells)))
    assert done.rows == [
        (
            dt.date(2026, 4, 1),
            dt.datetime(2026, 4, 1, 9, 5, 1, 123000),  # noqa: DTZ001 - a cell has no zone
            dt.time(9, 5, 1),
        )
    ]


def test_a_formula_of_zero_is_a_value_where_its_writer_calculated_it(ingest: Ingest) -> None:
    body = row(1, "a", "b") + row(2, 1, cell("B2", 0, formula="A2-1"))
    assert ingest(workbook(body)).rows == [(1, 0)]
    written = row(1, "a", "b") + row(2, 0, cell("B2", 2, formula="A2+2"))
    assert ingest(workbook(written, uncalculated=True)).rows == [(0, 2)]


def test_a_cell_that_holds_no_value_of_its_column_rejects_its_row(ingest: Ingest) -> None:
    rows = [row(number, number, "x", cell(f"C{number}", 45748, style=1)) for number in range(2, 40)]
    bad = [
        row(40, 1, cell("B40", "#N/A", kind="e")),
        row(41, 1, "x", cell("C41", 60, style=1)),
        row(42, 1, "x", cell("C42", -1, style=1)),
        row(43, cell("A43", "#DIV/0!", kind="e", formula="1/0")),
    ]
    body = workbook(NAMES + "".join([*rows, *bad]))
    done = ingest(body)
    assert (len(done.rows), done.types["at"]) == (38, "DATE")
    assert done.rejected == [
        (40, "code: #N/A"),
        (41, "at: 60 is no date"),
        (42, "at: -1 is no date"),
        (43, "id: #DIV/0!"),
    ]
    done = ingest(body, null_values=("#N/A",))
    assert (len(done.rows), done.rows[-1]) == (39, (1, None, None))


def test_dates_that_are_text_are_dates_and_empty_texts_are_texts(
    ingest: Ingest,
) -> None:
    done = ingest(
        workbook(
            row(1, "day", "moment", "time", "none", "code")
            + row(2, "2026-04-01", "2026-04-01 09:05:01", "09:05:01", "", "2026-04-01")
            + row(3, "2026-04-02", "2026-04-02 00:00:00", "23:00:00", "", "-")
        )
    )
    assert list(done.types.values()) == ["DATE", "TIMESTAMP", "TIME", "VARCHAR", "VARCHAR"]
    assert done.rows[1][0] == dt.date(2026, 4, 2)


def test_texts_are_those_that_are_shown(ingest: Ingest) -> None:
    strings = (
        "<si><t>東京</t><rPh sb='0' eb='2'><t>トウキョウ</t></rPh></si>",
        "<si><r><t>a</t></r><r><rPr/><t xml:space='preserve'> b </t></r></si>",
        "<si><t>x_x000D_\ny_x005F_x000D_ _xD83D_</t></si>",
    )
    texts = [cell(f"A{n}", n - 2, kind="s") for n in range(2, 5)]
    rows = "".join(row(n, text) for n, text in enumerate(texts, start=2))
    body = workbook(row(1, "name") + rows + row(5, cell("A5", "<&>", kind="str")), strings=strings)
    assert [value for (value,) in ingest(body).rows] == [
        "東京",
        "a b ",
        "x_x000D_\ny_x005F_x000D_ _xD83D_",
        "<&>",
    ]


def test_numbers_with_more_digits_than_excel_has_keep_them(ingest: Ingest) -> None:
    done = ingest(
        workbook(
            row(1, "a", "b")
            + row(2, 123456789012345678, "<c r='B2'><v>12345678901234567.125</v></c>")
            + row(3, 1, 2)
        )
    )
    assert done.types == {"a": "BIGINT", "b": "DECIMAL(38,3)"}
    assert [str(value) for value in done.rows[0]] == ["123456789012345678", "12345678901234567.125"]


def test_the_table_begins_behind_titles_and_ends_where_its_values_do(ingest: Ingest) -> None:
    done = ingest(
        workbook(
            row(2, "売上一覧")
            + row(4, "開始日", "2026/04/01")
            + row(6, None, "id", "name", "n")
            + row(7, None, 1, "a", 2)
            + row(9, None, 3, "b", None, "note")
        )
    )
    assert (list(done.types), done.converted.detected.preamble) == (
        ["id", "name", "n", "column_4"],
        5,
    )
    assert done.rows == [(1, "a", 2, None), (3, "b", None, "note")]


def test_a_first_row_that_is_data_is_no_header(ingest: Ingest) -> None:
    assert len(ingest(workbook(row(1, 1, "a") + row(2, 2, "b"))).rows) == 2
    assert len(ingest(workbook(row(1, "x", cell("B1", 1, kind="b")))).rows) == 1
    assert list(ingest(workbook(row(1, 1, 2) + row(2, 3, 4)), header=True).types) == ["1", "2"]


def test_a_schema_holds_for_a_workbook(ingest: Ingest) -> None:
    body = workbook(NAMES + row(2, 1, "5.50", cell("C2", 45748, style=1)) + row(3, "x", "1", None))
    schema = {"id": "BIGINT", "code": "DECIMAL(5,2)", "at": "DATE"}
    done = ingest(body, schema=schema)
    assert [str(value) for value in done.rows[0]] == ["1", "5.50", "2025-04-01"]
    assert done.rejected == [(3, "id: x is no whole number")]


def test_hidden_and_empty_sheets_are_left_alone(ingest: Ingest) -> None:
    sheets = (row(1, "secret"), "", NAMES + row(2, 1, "a"))
    assert ingest(workbook(*sheets, states=("hidden",))).rows == [(1, "a", None)]
    done = ingest(gzip.compress(workbook(*sheets, states=("veryHidden",))))
    assert (done.compression, done.rows) == ("gzip", [(1, "a", None)])


def encrypted(body: bytes) -> bytes:
    """A ZIP archive with the bit that says so, in the headers of every part."""
    for header, place in ((b"PK\x03\x04", 2), (b"PK\x01\x02", 4)):
        first, *parts = body.split(header)
        marked = (part[:place] + b"\x01" + part[place + 1 :] for part in parts)
        body = header.join((first, *marked))
    return body


MANY = b"".join(b"<a%d/>" % number for number in range(30_000))
NONE = io.BytesIO()
with zipfile.ZipFile(NONE, "w") as archive:
    archive.writestr("a.csv", "a,b\n1,2\n")
SHEET = "xl/worksheets/sheet1.xml"
DAMAGED = f"the workbook is damaged, in {SHEET}: "
OTHER = b"<Relationships><Relationship Id='r' Type='x/officeDocument' Target='%s'/></Relationships>"
ENTITY = b"<!DOCTYPE a [<!ENTITY b 'c'>]><worksheet><sheetData/></worksheet>"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            workbook(NAMES + row(2, 1), NAMES + row(2, 2)),
            "the workbook has 2 visible sheets, S1, S2: leave one, and hide or delete the others",
        ),
        (
            workbook(NAMES, states=("hidden",)),
            "the file is empty: no visible sheet of the workbook has a value",
        ),
        (workbook(""), "the file is empty: no visible sheet of the workbook has a value"),
        (
            workbook(NAMES + row(2, cell("A2", None, formula="1+1"))),
            "row 2 of the sheet has a formula without a value: open the workbook in Excel and save it there",
        ),
        (
            workbook(NAMES + row(2, cell("A2", "", kind="n", formula="1+1"))),
            "row 2 of the sheet has a formula without a value: open the workbook in Excel and save it there",
        ),
        (
            workbook(NAMES + row(2, cell("A2", 0, formula="1+1")), uncalculated=True),
            "row 2 of the sheet has a formula without a value: open the workbook in Excel and save it there",
        ),
        (workbook(row(1, 1) + row(1, 2)), f"{DAMAGED}row 1 comes behind row 1"),
        (
            workbook(row(1, "<c r='B1'><v>1</v></c><c r='A1'><v>1</v></c>")),
            f"{DAMAGED}cell A1 comes behind another of its column or a later one",
        ),
        (
            workbook(row(1, "<c r='A1' t='s'><v>9</v></c>")),
            "the workbook is damaged, in xl/worksheets/sheet1.xml: ",
        ),
        (
            workbook(row(1, cell("A1", "x", kind="n"))),
            "the workbook is damaged, in xl/worksheets/sheet1.xml: ",
        ),
        (
            workbook(row(1, *range(20)).replace("</row>", cell("BYA1", 1) + "</row>")),
            "the table has 2,003 columns: at most 2,000 can be read",
        ),
        (
            workbook(NAMES, parts={SHEET: ENTITY}),
            "the workbook is damaged: it declares a document type",
        ),
        (
            workbook(NAMES, parts={SHEET: b"<a>" * 101}),
            f"{DAMAGED}elements are nested deeper than 100",
        ),
        (
            workbook(NAMES, parts={SHEET: b"<a b='" + b"x" * 9_000_000}),
            "the workbook is damaged: xl/worksheets/sheet1.xml makes no sense",
        ),
        (
            workbook(NAMES, parts={SHEET: b"<worksheet>" + MANY}),
            "the workbook is damaged: xl/worksheets/sheet1.xml makes no sense",
        ),
        (
            workbook(row(1, f"<c r='{'Z' * 9}1'><v>1</v></c>")),
            f"{DAMAGED}no cell has the reference ZZZZZZZZZ1",
        ),
        (workbook(NAMES + row(2, 1))[:-30], "the file is a damaged ZIP archive: "),
        (
            workbook(NAMES, parts={"xl/workbook.bin": b""}),
            "the file is a binary workbook (.xlsb): save it as .xlsx",
        ),
        (workbook(row(1, "<c r='A1' t='x'><v>1</v></c>")), f"{DAMAGED}a cell of the type x"),
        (
            workbook(parts={"word/a.xml": b"", "_rels/.rels": OTHER % b"word/a.xml"}),
            f"the file is an Office file, but no workbook: {EXPECTED}",
        ),
        (
            workbook(parts={"_rels/.rels": OTHER % b"xl/none.xml"}),
            f"the file is an Office file, but no workbook: {EXPECTED}",
        ),
        (
            workbook(parts={"_rels/.rels": OTHER.replace(b"office", b"") % b"xl/a"}),
            f"the file is an Office file, but no workbook: {EXPECTED}",
        ),
        (encrypted(workbook(NAMES + row(2, 1))), "the workbook is encrypted: "),
        (NONE.getvalue(), f"the file is a ZIP archive: {EXPECTED}"),
        (b"PK\x03\x04....", "the file is a damaged ZIP archive: "),
        (
            b"\xd0\xcf\x11\xe0" + bytes(600),
            f"the file is an old Office file, or an encrypted one: {EXPECTED}",
        ),
    ],
    ids=lambda value: "file" if isinstance(value, bytes) else None,
)
def test_what_is_no_table_of_one_sheet_is_refused_with_its_reason(
    ingest: Ingest, body: bytes, reason: str
) -> None:
    with pytest.raises(BadDataError) as refused:
        ingest(body)
    # What follows a colon at its end is a library's.
    said = str(refused.value)
    assert said.startswith(reason) if reason.endswith(": ") else said == reason


def test_a_workbook_that_expands_beyond_the_limit_is_refused(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = workbook(
        NAMES + "".join(row(n, n) for n in range(2, 5000)), strings=["<si><t>x</t></si>"] * 9
    )
    monkeypatch.setattr(reader, "STRINGS", 8)
    with pytest.raises(BadDataError, match="more than 8 different texts"):
        ingest(body)
    monkeypatch.setattr(reader, "STRINGS", 9)
    assert len(ingest(body).rows) == 4998
    monkeypatch.setattr(reader, "SHEET_BYTES", 100_000)
    with pytest.raises(BadDataError, match="expands to over 0 MiB of cells"):
        ingest(body)
