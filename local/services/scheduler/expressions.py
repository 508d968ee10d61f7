"""Schedule expressions of rules and schedules: whether AWS takes one, and when it is next due.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from aws_cron_expression_validator.validator import (
    AWSCronExpressionError,
    AWSCronExpressionValidator,
)
from croniter import CroniterBadDateError, croniter

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\(([^()]+)\)")
_AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")


def problem(expression: str, *, at: bool = True) -> str | None:  # noqa: PLR0911 - one a refusal
    """What AWS refuses about an expression, None if nothing; rules have no `at`."""
    if found := _RATE.fullmatch(expression):
        count, unit, plural = int(found[1]), found[2], found[3]
        if count < 1:
            return f"the rate must be at least 1 {unit}"
        if (count == 1) == bool(plural):
            return f"write {unit if count == 1 else unit + 's'} for a rate of {count}"
        return None
    if found := _CRON.fullmatch(expression):
        try:
            AWSCronExpressionValidator.validate(found[1])
        except AWSCronExpressionError as error:
            return str(error)
        return None
    if at and (found := _AT.fullmatch(expression)):
        try:
            datetime.fromisoformat(found[1])
        except ValueError as error:
            return str(error)
        return None
    return "it is none of rate(value unit), cron(fields)" + (" and at(time)" if at else "")


def next_due(expression: str, zone: ZoneInfo, after: datetime, anchor: datetime) -> datetime | None:
    """The first moment later than `after` (UTC), None if there is none.

    A rate counts from `anchor`. A cron or at time that the clock of the zone skips in spring is
    left out, one that it shows twice in autumn comes once.
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#daylist-savings-time
    """
    if found := _RATE.fullmatch(expression):
        step = timedelta(**{f"{found[2]}s": int(found[1])})
        if after < anchor:
            return anchor
        return anchor + ((after - anchor) // step + 1) * step
    if found := _AT.fullmatch(expression):
        moment = _moment(datetime.fromisoformat(found[1]), zone)
        return moment if moment is not None and moment > after else None
    wall = after.astimezone(zone).replace(tzinfo=None)
    times = croniter(_fields(expression), wall, max_years_between_matches=_LAST_YEAR - wall.year)
    while True:
        try:
            moment = _moment(times.get_next(datetime), zone)
        except CroniterBadDateError:
            return None
        if moment is not None and moment > after:
            return moment


_LAST_YEAR = 2099
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_WEEKDAY = re.compile(rf"(?<![#/])([1-7]|{'|'.join(_WEEKDAYS)})", re.IGNORECASE)


def _from_zero(weekday: re.Match[str]) -> str:
    text = weekday[0].upper()
    return str(int(text) - 1 if text.isdigit() else _WEEKDAYS.index(text))


def _fields(expression: str) -> str:
    """AWS's six fields as croniter has them: weekdays from 0, then seconds, the year at the end.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
    """
    minute, hour, day, month, weekday, year = expression[len("cron(") : -1].split()
    if day.upper() == "LW":
        day = "31W"
    if weekday.upper() == "L":
        weekday = "7"
    weekday = re.sub(r"(\d)L", r"L\1", _WEEKDAY.sub(_from_zero, weekday.upper()))
    year = re.sub(r"\d{4}", lambda one: str(min(int(one[0]), _LAST_YEAR)), year)
    # croniter takes 3-3 for a range that goes once round.
    return re.sub(r"\b(\w+)-\1\b", r"\1", f"{minute} {hour} {day} {month} {weekday} 0 {year}")


def _moment(wall: datetime, zone: ZoneInfo) -> datetime | None:
    """A time of the zone's clock in UTC, its first if shown twice, None if never shown."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    return moment if moment.astimezone(zone).replace(tzinfo=None) == wall else None
