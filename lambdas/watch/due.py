"""When a schedule was due: the expressions of EventBridge Scheduler, read backwards from now.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

_CRON = re.compile(r"cron\(([^()]+)\)")
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_AT = re.compile(r"at\((\S+)\)")


def rate_of(expression: str) -> timedelta | None:
    """The time between two runs of a `rate(…)`; None of any other expression."""
    found = _RATE.fullmatch(expression)
    return timedelta(**{f"{found[2]}s": int(found[1])}) if found else None


def due_times(expression: str, timezone: str, after: datetime, until: datetime) -> list[datetime]:
    """The moments (UTC) later than `after` and not later than `until`, in order.

    Of a rate, those that follow `after` in its steps. A time that the zone's clock skips in spring
    is left out, one that it shows twice in autumn comes once, at its first:
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#daylist-savings-time

    Raises:
        ValueError: it is no expression of a schedule.
    """
    if step := rate_of(expression):
        return [after + step * n for n in range(1, (until - after) // step + 1)]
    zone = ZoneInfo(timezone)
    first, last = after.astimezone(zone).date(), until.astimezone(zone).date()
    moments = (_moment(wall, zone) for wall in clock_times(expression, first, last))
    return [moment for moment in moments if moment is not None and after < moment <= until]


def clock_times(expression: str, first: date, last: date) -> Iterable[datetime]:
    """The times of a `cron(…)` or `at(…)` on its zone's clock, of a day and those up to another.

    Of `at(…)` its time, whatever the days.

    Raises:
        ValueError: it is neither.
    """
    if found := _AT.fullmatch(expression):
        return [datetime.fromisoformat(found[1])]
    if found := _CRON.fullmatch(expression):
        return _cron(found[1]).between(first, last)
    raise ValueError(f"{expression} is none of cron(…), rate(…) and at(…)")


def _moment(wall: datetime, zone: ZoneInfo) -> datetime | None:
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    return moment if moment.astimezone(zone).replace(tzinfo=None) == wall else None


@dataclass(frozen=True)
class _Cron:
    """The fields of a cron expression: times of a day, and which days."""

    minutes: list[int]
    hours: list[int]
    is_day: Callable[[date], bool]

    def between(self, first: date, last: date) -> Iterator[datetime]:
        """The times on the zone's clock from the first day to the end of the last."""
        day = first
        while day <= last:
            if self.is_day(day):
                for hour in self.hours:
                    for minute in self.minutes:
                        yield datetime.combine(day, time(hour, minute))
            day += timedelta(days=1)


@cache
def _cron(fields: str) -> _Cron:
    minutes, hours, days, months, weekdays, years = fields.upper().split()
    in_month = set(_values(months, 1, 12, MONTHS))
    in_year = set(_values(years, 1970, 2199))
    fits = _by_weekday(weekdays) if days == "?" else _by_day(days)

    def is_day(day: date) -> bool:
        return day.year in in_year and day.month in in_month and fits(day)

    return _Cron(sorted(set(_values(minutes, 0, 59))), sorted(set(_values(hours, 0, 23))), is_day)


def _by_day(field: str) -> Callable[[date], bool]:
    """Days of the month: numbers, L the last one, nW the weekday nearest to the nth."""
    parts = field.split(",")
    special = [part for part in parts if part.endswith(("L", "W"))]
    plain = [part for part in parts if part not in special]
    days = {value for part in plain for value in _values(part, 1, 31)}

    def fits(day: date) -> bool:
        return day.day in days or any(_special_day(part, day) == day.day for part in special)

    return fits


def _special_day(part: str, day: date) -> int:
    last = monthrange(day.year, day.month)[1]
    if part == "L":
        return last
    nth = last if part == "LW" else int(part.removesuffix("W"))
    if nth > last:
        # AWS does not say: what may not have been due is not missed.
        return 0
    weekday = day.replace(day=nth).weekday()
    # Saturday's is the Friday before, Sunday's the Monday after, but never in another month.
    if weekday == 5:
        return nth - 1 if nth > 1 else nth + 2
    if weekday == 6:
        return nth + 1 if nth < last else nth - 2
    return nth


def _by_weekday(field: str) -> Callable[[date], bool]:
    """Days of the week: numbers from Sunday, nL the last n of the month, n#k its kth."""
    fits = [_weekday(part) for part in field.split(",")]
    return lambda day: any(fit(day) for fit in fits)


def _weekday(part: str) -> Callable[[date], bool]:
    def number(day: date) -> int:
        return day.isoweekday() % 7 + 1

    if "#" in part:
        name, _, nth = part.partition("#")
        [wanted] = _values(name, 1, 7, WEEKDAYS)
        return lambda day: number(day) == wanted and (day.day - 1) // 7 + 1 == int(nth)
    if part.endswith("L") and part != "L":
        [wanted] = _values(part.removesuffix("L"), 1, 7, WEEKDAYS)
        return lambda day: (
            number(day) == wanted and day.day + 7 > monthrange(day.year, day.month)[1]
        )
    # The last day of the week is Saturday.
    wanted_days = {7} if part == "L" else set(_values(part, 1, 7, WEEKDAYS))
    return lambda day: number(day) in wanted_days


def _values(field: str, least: int, most: int, names: Sequence[str] = ()) -> list[int]:
    """The numbers of a field: `*`, `?`, a number or name, `a-b`, each with `/step`, and lists.

    A range may go on from the field's start: `22-2`, `FRI-MON`.
    """
    count = most - least + 1

    def number(text: str) -> int:
        return names.index(text) + least if text in names else int(text)

    values: list[int] = []
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, dash, high = span.partition("-")
        if span in {"*", "?"}:
            first, last = least, most
        else:
            first = number(low)
            # A step without an end goes on to the end: 5/10 is 5, 15, 25 …
            last = number(high) if dash else most if step else first
        last += count if last < first else 0
        values += (least + (n - least) % count for n in range(first, last + 1, int(step or 1)))
    return values
