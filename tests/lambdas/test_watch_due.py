"""When a schedule was due: AWS's own examples, the clock's changes, and the laptop's scheduler."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lambdas.watch.due import due_times, rate_of
from local.services.scheduler.expressions import next_due, problem


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(expression: str, after: str, until: str, timezone: str = "UTC") -> list[str]:
    """The due times on the zone's own clock."""
    due = due_times(expression, timezone, at(after), at(until))
    return [f"{time.astimezone(ZoneInfo(timezone)):%m-%d %H:%M}" for time in due]


def days(month: str, hour: int, *days: int) -> list[str]:
    return [f"{month}-{day:02} {hour:02}:00" for day in days]


# The examples of https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html and of
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cron-expressions.html.
@pytest.mark.parametrize(
    ("expression", "until", "expected"),
    [
        ("cron(0 10 * * ? *)", "2026-06-03", ["06-01 10:00", "06-02 10:00"]),
        ("cron(15 12 * * ? *)", "2026-06-02", ["06-01 12:15"]),
        ("cron(0 18 ? * MON-FRI *)", "2026-06-09", days("06", 18, 1, 2, 3, 4, 5, 8)),
        ("cron(0 8 1 * ? *)", "2026-08-02", ["06-01 08:00", "07-01 08:00", "08-01 08:00"]),
        ("cron(0/15 * * * ? *)", "2026-06-01T00:40", ["06-01 00:15", "06-01 00:30"]),
        ("cron(0/5 8-17 ? * MON-FRI *)", "2026-06-01T08:05", ["06-01 08:00", "06-01 08:05"]),
        ("cron(0 9 ? * 2#1 *)", "2026-07-31", ["06-01 09:00", "07-06 09:00"]),
        ("cron(15 10 ? * 6L 2026-2027)", "2026-07-31T23:00", ["06-26 10:15", "07-31 10:15"]),
        ("cron(0 0 L * ? *)", "2026-08-01", ["06-30 00:00", "07-31 00:00"]),
        ("cron(0 0 3W * ? *)", "2026-08-04", ["06-03 00:00", "07-03 00:00", "08-03 00:00"]),
        ("cron(0 0 3W 10 ? *)", "2026-10-10", ["10-02 00:00"]),
        ("cron(0 0 31W * ? *)", "2026-08-31", ["07-31 00:00", "08-31 00:00"]),
        ("cron(0 0 1W 8 ? *)", "2026-08-31", ["08-03 00:00"]),
        ("cron(0 0 31W 10 ? *)", "2026-11-30", ["10-30 00:00"]),
        ("cron(0 0 31W 5 ? *)", "2027-06-30", ["05-31 00:00"]),
        ("cron(0 0 31W 1 ? *)", "2027-02-28", ["01-29 00:00"]),
        ("cron(0 0 1W 11 ? *)", "2026-11-30", ["11-02 00:00"]),
        ("cron(0 0 ? * 3#2 *)", "2026-07-31", ["06-09 00:00", "07-14 00:00"]),
        ("cron(0 0 LW * ? *)", "2026-08-31T12:00", ["06-30 00:00", "07-31 00:00", "08-31 00:00"]),
        ("cron(0 0 1W * ? *)", "2026-08-04", ["07-01 00:00", "08-03 00:00"]),
        ("cron(0 0 ? * L *)", "2026-06-14", ["06-06 00:00", "06-13 00:00"]),
        (
            "cron(1/10 0 1 6 ? 2026)",
            "2026-06-01T00:25",
            ["06-01 00:01", "06-01 00:11", "06-01 00:21"],
        ),
        ("cron(0 0 1 JAN,JUL ? *)", "2027-01-02", ["07-01 00:00", "01-01 00:00"]),
        ("rate(5 minutes)", "2026-06-01T00:12", ["06-01 00:05", "06-01 00:10"]),
        ("rate(1 hour)", "2026-06-01T02:00", ["06-01 01:00", "06-01 02:00"]),
        ("rate(7 days)", "2026-06-08T01:00", ["06-08 00:00"]),
        ("at(2026-11-20T13:00:00)", "2026-12-01", ["11-20 13:00"]),
        ("at(2026-11-20T13:00:00)", "2026-11-01", []),
    ],
)
def test_examples_of_aws_are_due_when_aws_says(
    expression: str, until: str, expected: list[str]
) -> None:
    assert times(expression, "2026-06-01", until) == expected


def test_a_day_that_a_month_lacks_is_not_due_in_it() -> None:
    assert times("cron(0 0 31 * ? *)", "2026-06-01", "2026-09-01") == ["07-31 00:00", "08-31 00:00"]
    assert times("cron(0 0 31W * ? *)", "2026-06-01", "2026-07-01") == []


def test_a_time_the_clock_skips_in_spring_is_left_out() -> None:
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#daylist-savings-time
    found = times("cron(30 2 * * ? *)", "2026-03-07", "2026-03-10", "America/New_York")
    assert found == ["03-07 02:30", "03-09 02:30"]


def test_a_time_the_clock_shows_twice_in_autumn_is_due_once() -> None:
    due = due_times("cron(30 1 1 11 ? *)", "America/New_York", at("2026-10-31"), at("2026-11-03"))
    assert due == [at("2026-11-01T05:30")]


def test_what_is_due_now_is_due_and_what_was_due_then_is_not() -> None:
    assert times("cron(0 10 * * ? *)", "2026-06-01T10:00", "2026-06-02T10:00") == ["06-02 10:00"]


def test_an_expression_of_no_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="none of cron"):
        due_times("every day", "UTC", at("2026-06-01"), at("2026-06-02"))


def test_only_a_rate_has_a_step() -> None:
    assert rate_of("rate(2 days)") == timedelta(days=2)
    assert rate_of("cron(0 10 * * ? *)") is None


def field(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.tuples(number, number).map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(number, st.integers(1, most)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        st.lists(number, min_size=2, max_size=3).map(lambda some: ",".join(map(str, some))),
    )


DAYS = st.one_of(field(1, 31), st.sampled_from(["L", "LW", "1W", "15W", "28W"]))
WEEKDAYS = st.one_of(
    field(1, 7), st.sampled_from(["MON-FRI", "SUN", "6L", "SATL", "2#1", "6#5", "FRI,SAT"])
)
ON_DAYS = st.one_of(DAYS.map(lambda day: (day, "?")), WEEKDAYS.map(lambda day: ("?", day)))
ZONES = st.sampled_from(
    ["UTC", "America/New_York", "Europe/Berlin", "Asia/Tokyo", "Asia/Kathmandu"]
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    minutes=field(0, 59),
    hours=field(0, 23),
    days=ON_DAYS,
    months=field(1, 12),
    zone=ZONES,
    after=st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 31)),  # noqa: DTZ001 - in UTC below
)
def test_it_agrees_with_the_laptops_scheduler(
    minutes: str, hours: str, days: tuple[str, str], months: str, zone: str, after: datetime
) -> None:
    expression = f"cron({minutes} {hours} {days[0]} {months} {days[1]} *)"
    assume(problem(expression) is None)
    start = after.replace(tzinfo=UTC)
    until = start + timedelta(days=35)
    expected: list[datetime] = []
    moment: datetime | None = start
    while len(expected) < 20:
        moment = next_due(expression, ZoneInfo(zone), moment, start)
        if moment is None or moment > until:
            break
        expected.append(moment)
    assert due_times(expression, zone, start, until)[:20] == expected


def test_a_range_may_go_on_from_the_fields_start() -> None:
    assert times("cron(0 22-1 * * ? *)", "2026-06-01", "2026-06-02") == [
        *("06-01 01:00", "06-01 22:00", "06-01 23:00", "06-02 00:00"),
    ]
    assert times("cron(0 9 ? * SAT-MON *)", "2026-06-02", "2026-06-09") == days("06", 9, 6, 7, 8)
    assert times("cron(0 9 1 NOV-FEB/2 ? *)", "2026-06-02", "2027-06-02") == [
        *("11-01 09:00", "01-01 09:00"),
    ]


def test_months_and_weekdays_are_named_in_english() -> None:
    months = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
    assert [times(f"cron(0 9 1 {name} ? *)", "2026-01-01", "2027-01-01") for name in months] == [
        [f"{number:02}-01 09:00"] for number in range(1, 13)
    ]
    # 1 June 2026 is a Monday.
    weekdays = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
    assert [times(f"cron(0 9 ? * {name} *)", "2026-06-01", "2026-06-08") for name in weekdays] == [
        [f"06-{number:02} 09:00"] for number in range(1, 8)
    ]
