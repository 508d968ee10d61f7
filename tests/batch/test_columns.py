"""What a column turns out to be, and why it stays text."""

import numpy as np
import pyarrow as pa
import pytest

from batch import kinds
from batch.columns import Column
from batch.options import Options


def column(sample: list[str | None], whole: list[str | None], first_line: int = 2) -> Column:
    """A column that was sampled, and read whole, as text if its kind does not fit."""
    made = Column("c", kinds.candidates(kinds.ALL, Options()))
    made.sample(pa.array(sample, pa.string()))
    text = pa.array(whole, pa.string())
    lines = np.arange(first_line, first_line + len(whole))
    made.begin()
    if made.made(text, lines) is None:
        made.surprised()
        made.narrow(text)
        made.begin()
        assert made.made(text, lines) is not None
    return made


def reason(*whole: str | None, sample: list[str | None] | None = None) -> str | None:
    values = list(whole)
    return column(sample or values, values).report(len(values)).reason


def test_a_column_that_is_no_text_needs_no_reason() -> None:
    assert reason("1", "2") is None


def test_a_column_says_how_many_values_are_not_what_the_others_are() -> None:
    assert reason("1", "2", "x") == "1 of 3 values is no whole number, the first at line 4: x"
    assert reason("1", "x", "2", "y") == "2 of 4 values are no whole number, the first at line 3: x"
    assert reason("x", "y", "1") == "text, the first at line 2: x"
    assert reason(None, "x" * 40) == f"text, the first at line 3: {'x' * 40}"
    assert reason(None, "x" * 41) == f"text, the first at line 3: {'x' * 40} …"
    assert (
        reason("x", sample=["1", "2"]) == "1 of 1 values is no whole number, the first at line 2: x"
    )


def test_a_column_without_a_value_says_so() -> None:
    assert reason(None, None) == "no value"


def test_more_digits_than_a_number_has_are_told() -> None:
    assert reason("1" * 40, "2") == "whole numbers of more digits than a BIGINT has"


@pytest.mark.parametrize(("bad", "said"), [(999, "999 of"), (1000, "at least 1,000 of")])
def test_misfits_are_counted_up_to_a_number(bad: int, said: str) -> None:
    text = reason(*["1"] * 2000, *["x"] * bad, sample=["1"])
    assert text is not None
    assert text.startswith(f"{said} ")
