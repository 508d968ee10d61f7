"""The rows of a sheet as the records among which a table is looked for."""

# pyright: reportPrivateUsage=false

from batch.delimited import Record
from batch.sheet import _records
from batch.workbook import Cell, CellKind, Row


def row(number: int, *texts: str) -> Row:
    cells = {place: Cell(CellKind.TEXT, text) for place, text in enumerate(texts) if text}
    return number, cells


def test_rows_without_a_value_are_one_record_and_rows_of_the_table_as_wide_as_it_is() -> None:
    rows = [row(2, "title"), row(3, "", "x"), row(7, "a", "b", "c"), row(8, "1"), row(9, "1", "2")]
    rows += [row(10, "1", "2", "3"), row(12, "1", "2", "3")]
    assert list(_records(rows, 4)) == [
        Record(0, 1, []),
        Record(1, 1, ["title"]),
        Record(2, 1, ["", "x"]),
        Record(3, 1, []),
        Record(6, 1, ["a", "b", "c", ""]),
        Record(7, 1, ["1", "", "", ""]),
        Record(8, 1, ["1", "2", "", ""]),
        Record(9, 1, ["1", "2", "3", ""]),
        Record(10, 1, []),
        Record(11, 1, ["1", "2", "3", ""]),
    ]


def test_a_sheet_that_begins_at_once_has_no_empty_record_before() -> None:
    assert list(_records([row(1, "a"), row(2, "b")], 1)) == [
        Record(0, 1, ["a"]),
        Record(1, 1, ["b"]),
    ]
