"""The records that NumPy finds and Arrow reads, held against those of Python's csv module."""

import csv
import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch import records
from batch.dialect import Csv
from batch.limits import ROW_BYTES
from batch.options import Options
from batch.records import (
    BAD_CHARACTER,
    BAD_QUOTE,
    BAD_RETURN,
    TOO_LONG,
    QuotesAreTextError,
    Records,
    Shape,
)
from batch.report import Rejects
from batch.tables import Batch, CsvTable, ahead
from batch.text import Text

PIECE = st.sampled_from(
    ["a", "é", "日", " ", '"', '""', ",", "\n", "\r\n", "\r", "x" * 7, "\n\n", '","', '",\n"', ";"]
)
NAMES = ["a", "b", "c", "d"]
TEXT = st.lists(PIECE, max_size=40).map("".join)


def found(
    data: bytes, width: int, *, cut: int = 1 << 20, returns: bool = False, quoting: bool = True
) -> tuple[list[tuple[int, list[str]]], Rejects, int]:
    """The records that are kept with their lines, those rejected, and how many are good."""
    blocks = [data[start : start + cut] for start in range(0, len(data), cut)]
    text = cast("Text", SimpleNamespace(blocks=lambda: iter(blocks)))
    names = tuple(NAMES[:width])
    dialect = Csv(
        ",", names, header=False, quoting=quoting, skip=0, line=1, preamble=0, returns=returns
    )
    rejects = Rejects()
    kept: list[tuple[int, list[str]]] = []
    for batch in CsvTable(text, dialect, Options()).batches(rejects):
        columns = [[value or "" for value in column.to_pylist()] for column in batch.columns]
        kept += zip(batch.lines.tolist(), map(list, zip(*columns, strict=True)), strict=True)
    return kept, rejects, rejects.records - rejects.count


def expected(text: str, width: int) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str]]]:
    """What the csv module reads, line by line: the good records, then the bad ones."""
    lines = [line + "\n" for line in text.rstrip("\x1a").split("\n")]
    if lines[-1] == "\n":
        lines.pop()
    good: list[tuple[int, list[str]]] = []
    bad: list[tuple[int, str]] = []
    taken = 0

    def feed() -> Iterator[str]:
        nonlocal taken
        for line in lines:
            taken += 1
            body = line.removesuffix("\n").removesuffix("\r")
            # The csv module takes a carriage return in a value for a line end.
            yield body.replace("\r", "\ufffe") + line[len(body) :]

    reader = csv.reader(feed(), strict=True)
    while True:
        first = taken
        try:
            row = next(reader)
        except StopIteration:
            return good, bad
        except csv.Error:
            bad += [(number + 1, BAD_QUOTE) for number in range(first, taken)]
            continue
        cells = [cell.replace("\ufffe", "\r") for cell in row]
        if not row and width > 1:
            continue
        if len(cells or [""]) == width:
            good.append((first + 1, cells or [""]))
        else:
            bad.append((first + 1, f"expected {width} columns, found {len(cells or [''])}"))


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, int]:
    """Text as a CSV writer writes it, with rows of another width now and then."""
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(TEXT, min_size=1, max_size=5), max_size=12))
    kept = [row if draw(st.integers(0, 4)) == 0 else (row * width)[:width] for row in rows]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=end, quoting=draw(st.sampled_from([0, 1]))).writerows(kept)
    text = stream.getvalue()
    return (text.removesuffix(end) if draw(st.booleans()) else text), width


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(table=tables(), window=st.integers(1, 40), cut=st.integers(1, 50))
def test_what_a_writer_writes_is_read_as_the_csv_module_reads_it(
    table: tuple[str, int], window: int, cut: int
) -> None:
    text, width = table
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "WINDOW", window)
        kept, rejects, good = found(text.encode(), width, cut=cut)
    rows, bad = expected(text, width)
    assert kept == rows
    assert [(row.line, row.reason) for row in rejects.rows] == bad
    assert (good, rejects.count) == (len(rows), len(bad))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    text=TEXT,
    width=st.integers(1, 3),
    window=st.integers(1, 40),
    cut=st.integers(1, 50),
    returns=st.booleans(),
    quoting=st.booleans(),
)
@example(text="\r,\n\n", width=1, window=40, cut=50, returns=True, quoting=True)
def test_any_text_has_the_same_records_wherever_it_is_cut(
    text: str, *, width: int, window: int, cut: int, returns: bool, quoting: bool
) -> None:
    whole = found(text.encode(), width, returns=returns, quoting=quoting)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "WINDOW", window)
        parts = found(text.encode(), width, cut=cut, returns=returns, quoting=quoting)
    assert parts[0] == whole[0]
    assert parts[1].rows == whole[1].rows
    assert (parts[1].count, parts[2]) == (whole[1].count, whole[2])


def test_only_a_few_batches_are_read_ahead_however_small_the_first_is() -> None:
    made: list[int] = []

    def batches() -> Iterator[Batch]:
        for number in range(1000):
            made.append(number)
            yield Batch([], np.array([number]))

    reading = ahead(batches())
    next(reading)
    reading.close()
    assert len(made) < 10


def many(count: int) -> Iterator[bytes]:
    return (b"%d,x\n" % number for number in range(count))


def test_a_quote_that_is_never_closed_rejects_its_lines_and_keeps_those_before() -> None:
    data = b"".join([*many(1000), b'1,"x\n', *many(100_000)])
    kept, rejects, _ = found(data, 2)
    assert (len(kept), rejects.reasons) == (1000, {BAD_QUOTE: 100_001})
    assert [row.line for row in rejects.rows[:2]] == [1001, 1002]


def test_a_quote_closed_by_one_that_opens_rejects_the_lines_between() -> None:
    data = b'1,"x\n2,y\n3,"z"\n4,w\n'
    kept, rejects, _ = found(data, 2)
    assert kept == [(4, ["4", "w"])]
    assert [row.line for row in rejects.rows] == [1, 2, 3]


def test_text_behind_a_closing_quote_rejects_its_line_alone() -> None:
    kept, rejects, _ = found(b'1,"x"y\n2,"z"\n3,w\n', 2)
    assert kept == [(2, ["2", "z"]), (3, ["3", "w"])]
    assert [(row.line, row.reason) for row in rejects.rows] == [(1, BAD_QUOTE)]


def test_blank_lines_are_neither_kept_nor_rejected_among_those_that_are() -> None:
    kept, rejects, good = found(b"1,2\n\n3\n\r\n4,5\n\n", 2)
    assert (kept, good) == ([(1, ["1", "2"]), (5, ["4", "5"])], 2)
    assert [row.line for row in rejects.rows] == [3]
    kept, rejects, good = found(b"1,2\n\n3,4\n", 2)
    assert (kept, good, rejects.count) == ([(1, ["1", "2"]), (3, ["3", "4"])], 2, 0)


def test_an_open_quote_that_goes_on_for_longer_than_a_row_may_be_is_no_row() -> None:
    line = b"2," + b"y" * 97 + b"\n"
    lines = ROW_BYTES // len(line) + 10
    kept, rejects, _ = found(b'1,"x\n' + line * lines + b'3,"z"\n4,w\n', 2)
    assert kept == [(lines + 3, ["4", "w"])]
    assert rejects.reasons == {BAD_QUOTE: lines + 2}


@pytest.mark.parametrize("behind", [b"x", b"x" * 200])
def test_a_quote_that_is_closed_within_text_after_too_many_bytes_costs_its_lines_alone(
    monkeypatch: pytest.MonkeyPatch, behind: bytes
) -> None:
    monkeypatch.setattr(records, "ROW_BYTES", 100)
    monkeypatch.setattr(records, "WINDOW", 64)
    data = b'0,a\n1,"' + b"y\n" * 90 + b'"' + behind + b"\n3,w\n4,v\n"
    kept, rejects, good = found(data, 2, cut=64)
    assert kept == [(1, ["0", "a"]), (93, ["3", "w"]), (94, ["4", "v"])]
    assert [(row.line, row.reason) for row in rejects.rows] == [
        (line, BAD_QUOTE) for line in range(2, 93)
    ]
    assert (good, rejects.count) == (3, 91)


def test_a_row_that_is_too_long_costs_only_itself_wherever_its_quotes_are() -> None:
    body = b"y\n" * (ROW_BYTES // 2)
    kept, rejects, _ = found(b'1,x\n2,"' + body + b'"\n3,z\n', 2)
    assert [cells for _, cells in kept] == [["1", "x"], ["3", "z"]]
    assert [(row.line, row.reason) for row in rejects.rows] == [(2, TOO_LONG)]
    assert kept[1][0] == 3 + ROW_BYTES // 2


def test_quotes_that_enclose_nothing_are_text_in_a_value_and_told_of_in_a_tab_separated_file() -> (
    None
):
    kept, _, _ = found(b'1,5" disk\n2,a "b" c\n', 2)
    assert kept == [(1, ["1", '5" disk']), (2, ["2", 'a "b" c'])]
    with pytest.raises(QuotesAreTextError):
        list(Records(iter([b'1\t"a" b\n']), Shape("\t", quoting=True, width=2), 1, Rejects()))


def test_an_invalid_byte_costs_its_row_also_across_windows() -> None:
    data = b"1," + b"x" * 300_000 + b"\xff" + b"x" * 300_000 + b"\n2,y\n"
    kept, rejects, _ = found(data, 2)
    assert [cells[0] for _, cells in kept] == ["2"]
    assert [(row.line, row.reason) for row in rejects.rows] == [(1, BAD_CHARACTER)]


def test_where_quotes_are_text_a_carriage_return_in_a_row_changes_no_other_row() -> None:
    kept, rejects, _ = found(b'1,a\r2,b\n2,"c"\n3,\n', 2, quoting=False)
    assert kept == [(2, ["2", '"c"']), (3, ["3", ""])]
    assert [(row.line, row.reason) for row in rejects.rows] == [(1, BAD_RETURN)]


def test_rejected_rows_are_counted_by_reason_and_listed_up_to_a_hundred() -> None:
    data = b"".join(b"1" + b",x" * (number % 200) + b"\n" for number in range(10_000))
    _, rejects, good = found(data, 2)
    assert (good, rejects.count, len(rejects.rows)) == (50, 9_950, 100)
    assert len(rejects.reasons) == 51
    assert rejects.reasons["another reason"] == 149 * 50


def test_the_rejected_rows_that_are_listed_are_the_first_whatever_their_reasons() -> None:
    _, rejects, _ = found(b"1\n" * 99 + b"1,\xff\n" * 50 + b"1\n" * 99, 2)
    assert [row.line for row in rejects.rows] == [*range(1, 101)]
    assert {row.reason for row in rejects.rows[:99]} == {"expected 2 columns, found 1"}
    assert rejects.rows[99].reason == BAD_CHARACTER
