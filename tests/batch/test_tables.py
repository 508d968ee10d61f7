"""Batches of rows, and two ways of counting them that have to agree."""

import pytest

from batch import tables
from batch.report import Rejects
from batch.tables import differ, gathered


def test_rows_are_gathered_by_number_and_by_size_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "CHUNK", 10)
    rejects = Rejects()
    rejects.add(9, "odd")
    rows = [("a", 1, 9), ("b", 2, 1), ("c", 3, 10), ("d", 4, 1), ("e", 5, 1), ("f", 6, 1)]
    batches = list(gathered(iter([*rows, ("g", 7, 1)]), 3, rejects))
    assert batches == [
        (["a", "b"], [1, 2]),
        (["c"], [3]),
        (["d", "e", "f"], [4, 5, 6]),
        (["g"], [7]),
    ]
    assert rejects.records == 8


def test_two_counts_that_differ_are_told() -> None:
    assert differ(1000, 2000, 5) == (
        "from line 5 on, 1,000 records were counted and 2,000 read: one of the two is wrong, so"
        " nothing is written"
    )
    assert differ(1, 2).startswith("from line 1 on, ")
