"""What each type takes of a text, and what it makes of it."""

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pytest

from batch import kinds
from batch.options import Options

NONE = "does not fit"
INSTANT = dt.datetime(2026, 4, 1, 9, 5)  # noqa: DTZ001 - as in the file
DAY = dt.date(2026, 4, 1)


def made(kind: kinds.Kind, text: str | None) -> object:
    found = kinds.fitted(kind, pa.array([text], pa.string()))
    return NONE if found is None else found[0].as_py()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "BIGINT",
            {
                "5": 5,
                "+5": 5,
                "-5": -5,
                "007": 7,
                " 5 ": 5,
                "9223372036854775807": 2**63 - 1,
                "9223372036854775808": NONE,
                "5.0": NONE,
                "++5": NONE,
                "x": NONE,
                "": NONE,
            },
        ),
        (
            "DOUBLE",
            {
                "1e5": 1e5,
                "+1.5": 1.5,
                "007.5": 7.5,
                " .5 ": 0.5,
                "-0": -0.0,
                "inf": math.inf,
                "-Infinity": -math.inf,
                "1e400": NONE,
                "1,5": NONE,
                "1.5 x": NONE,
            },
        ),
        (
            "DECIMAL(5,2)",
            {
                "123.45": Decimal("123.45"),
                "-1": Decimal("-1.00"),
                " 7. ": Decimal("7.00"),
                "1234.5": NONE,
                "1.234": NONE,
                "1e2": NONE,
                "+1": NONE,
                "01": NONE,
            },
        ),
        ("DECIMAL(3, 0)", {"999": Decimal(999), "1000": NONE, "0.5": NONE}),
        (
            "BOOLEAN",
            {"true": True, "FALSE": False, "truee": NONE, "t": NONE, "1": NONE, " true": NONE},
        ),
        (
            "DATE",
            {
                "2026-04-01": DAY,
                "2026/4/1": DAY,
                "2026年4月1日": DAY,
                "2026/04/01": DAY,
                "0001-01-01": dt.date(1, 1, 1),
                "0000-12-31": NONE,
                "2026-4-1": NONE,
                "2026-02-30": NONE,
                "2026/4": NONE,
                "26/4/1": NONE,
                "2026-04-01 ": NONE,
            },
        ),
        (
            "TIMESTAMP",
            {
                "2026-04-01 09:05": INSTANT,
                "2026-04-01T09:05:00": INSTANT,
                "2026/4/1 9:05": INSTANT,
                "2026年4月1日 09:05:00.000": INSTANT,
                "2026-04-01 09:05:00.000001": INSTANT.replace(microsecond=1),
                "2026-04-01 09:05:00.0000001": NONE,
                "2026-04-01": NONE,
                "2026-04-01 9": NONE,
                "2026-04-01 09:05:00Z": NONE,
                "0000-12-31 23:59": NONE,
                "infinity": NONE,
                "0001-01-01 00:00": dt.datetime(1, 1, 1),  # noqa: DTZ001 - as above
            },
        ),
        (
            "TIMESTAMPTZ",
            {
                "2026-04-01T09:05Z": INSTANT.replace(tzinfo=dt.UTC),
                "2026-04-01 09:05:00 Z": INSTANT.replace(tzinfo=dt.UTC),
                "2026-04-01 18:05+09": INSTANT.replace(tzinfo=dt.UTC),
                "2026-04-01 18:05 +0900": INSTANT.replace(tzinfo=dt.UTC),
                "2026/4/1 4:05 -05:00": INSTANT.replace(tzinfo=dt.UTC),
                "2026-04-01 09:05": NONE,
                "2026-04-01Z": NONE,
                "2026-04-01 09:05 UTC": NONE,
                "2026-04-01 09:05  Z": NONE,
                "0000-12-31 23:59Z": NONE,
            },
        ),
        (
            "TIME",
            {
                "10:00:00": dt.time(10),
                "10:00:00.5": dt.time(10, 0, 0, 500_000),
                "23:59:59.999999": dt.time(23, 59, 59, 999_999),
                "24:00:00": NONE,
                "10:00": NONE,
                "10:00:00.50": NONE,
                "10:00:00.0000001": NONE,
                "1:00:00": NONE,
            },
        ),
        ("VARCHAR", {"x": "x", " ": " "}),
    ],
)
def test_a_declared_type_takes_what_it_can_give_back(name: str, values: dict[str, object]) -> None:
    kind = kinds.declared(name, Options())
    assert {text: made(kind, text) for text in values} == values
    assert made(kind, None) is None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("DOUBLE", {"1,5": 1.5, "1": 1.0, "1.5": NONE, "1,2,3": NONE}),
        ("DECIMAL(5,2)", {"1,5": Decimal("1.50"), "1.5": NONE}),
        ("BIGINT", {"1": 1, "1,5": NONE}),
    ],
)
def test_a_comma_may_be_declared_to_begin_decimals(name: str, values: dict[str, object]) -> None:
    kind = kinds.declared(name, Options(decimal=","))
    assert {text: made(kind, text) for text in values} == values


@pytest.mark.parametrize(
    ("form", "name", "values"),
    [
        (
            "%Y%m%d",
            "DATE",
            {
                "20260401": DAY,
                "2026401": NONE,
                "202604011": NONE,
                "2026041": NONE,
                "00000101": NONE,
            },
        ),
        (
            "%d.%m.%Y",
            "DATE",
            {"1.4.2026": DAY, "01.04.2026": DAY, "1.4.26": NONE, "1-4-2026": NONE},
        ),
        ("%Y年%m月", "DATE", {"2026年4月": DAY, "2026年4月1日": NONE}),
        ("%d/%m/%Y %H:%M", "TIMESTAMP", {"1/4/2026 9:05": INSTANT, "1/4/2026": NONE}),
        ("%Y%m%d%H%M%S", "TIMESTAMP", {"20260401090500": INSTANT, "2026040109050": NONE}),
        ("%Y%%%m", "DATE", {"2026%4": DAY, "2026%04": DAY, "202604": NONE}),
        (
            "%H o'clock on %d.%m.%Y",
            "TIMESTAMP",
            {"9 o'clock on 1.4.2026": INSTANT.replace(minute=0)},
        ),
    ],
)
def test_dates_are_taken_as_they_are_declared_to_be_written(
    form: str, name: str, values: dict[str, object]
) -> None:
    kind = kinds.declared(name, Options(date_format=form))
    assert {text: made(kind, text) for text in values} == values
    assert kind.noun.endswith(f" as {form}")


def test_another_type_than_that_of_a_declared_date_is_as_ever() -> None:
    options = Options(date_format="%Y%m%d")
    assert made(kinds.declared("TIMESTAMP", options), "2026-04-01 09:05") == INSTANT
    assert [kind.name for kind in kinds.candidates(kinds.ALL, options)][:3] == [
        "VARCHAR",
        "DATE",
        "BOOLEAN",
    ]


def test_values_that_do_not_fit_are_found_up_to_a_number() -> None:
    text = pa.array(["1", "x", None, "2", "y", "z"])
    assert kinds.misfits(kinds.BIGINT, text, 9) == [1, 4, 5]
    assert kinds.misfits(kinds.BIGINT, text, 2) == [1, 4]
    assert kinds.misfits(kinds.BIGINT, pa.array(["1", None]), 9) == []


def test_digits_before_and_behind_the_point_are_counted() -> None:
    assert kinds.places(pa.array(["-12.5", ".125", " 7. ", None]), comma=False) == (2, 3)
    assert kinds.places(pa.array(["12,5"]), comma=True) == (2, 1)
    assert kinds.places(pa.array(["12,5"]), comma=False) is None
    assert kinds.places(pa.array([None], pa.string()), comma=False) == (0, 0)
