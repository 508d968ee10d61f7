"""The schedule expressions of EventBridge Scheduler.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import re
from calendar import monthrange
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Annotated

from aws_cron_expression_validator.validator import (
    AWSCronExpressionError,
    AWSCronExpressionValidator,
)
from pydantic import AfterValidator

# Above all that is of use; AWS documents none.
_LONGEST_RATE = 100_000


def _schedule_expression(value: str) -> str:
    match = re.fullmatch(r"(cron|rate|at)\((.*)\)", value)
    if match is None:
        raise ValueError(
            "must be cron(minutes hours day-of-month month day-of-week year), "
            "rate(5 minutes) or at(2030-01-31T10:00:00)"
        )
    kind, inner = match.groups()
    {"cron": _check_cron, "rate": _check_rate, "at": _check_at}[kind](inner)
    return value


def _check_cron(fields: str) -> None:
    try:
        AWSCronExpressionValidator.validate(fields)
    except AWSCronExpressionError as error:
        reason = str(error).rstrip(".").replace("'.One", "'; one")
        raise ValueError(
            f"{reason}; AWS counts minutes hours day-of-month month day-of-week year"
        ) from None
    _, _, days, months, _, _ = fields.split(" ")
    numbers, calendar = _numbers(days), _numbers(months)
    if (
        numbers
        and calendar
        and not any(day <= _longest(month) for day in numbers for month in calendar)
    ):
        raise ValueError(f"day {days} does not exist in month {months}, so it would never fire")


def _numbers(field: str) -> list[int]:
    """The numbers of a field that lists numbers, months' names and ranges of them, else none."""
    for number, name in enumerate(_MONTHS, start=1):
        field = re.sub(name, str(number), field, flags=re.IGNORECASE)
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", field):
        return []
    ends = [part.split("-") for part in field.split(",")]
    return [number for end in ends for number in range(int(end[0]), int(end[-1]) + 1)]


_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


def _longest(month: int) -> int:
    return monthrange(2024, month)[1]


def _check_rate(inner: str) -> None:
    match = re.fullmatch(r"([1-9]\d*) (minute|hour|day)(s?)", inner, re.ASCII)
    if match is None:
        raise ValueError("a rate is a whole number above 0 and minutes, hours or days")
    if int(match[1]) > _LONGEST_RATE:
        raise ValueError(f"a rate is at most {_LONGEST_RATE} minutes, hours or days")
    singular = int(match[1]) == 1
    if singular == bool(match[3]):
        right = match[2] if singular else f"{match[2]}s"
        raise ValueError(f"AWS wants rate({match[1]} {right})")


def _is_moment(text: str) -> bool:
    """Whether it is a time as yyyy-mm-ddThh:mm:ss, each number with all its digits."""
    try:
        # It is only looked at, and its zone is a key of its own.
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").isoformat() == text  # noqa: DTZ007
    except ValueError:
        return False


def _check_at(inner: str) -> None:
    if not _is_moment(inner):
        raise ValueError("a moment is at(yyyy-mm-ddThh:mm:ss), a date and time that exist")


# What its program and its watcher read, wherever they run; a machine's own list may have more.
@cache
def _timezones() -> frozenset[str]:
    zones = (files("tzdata") / "zones").read_text(encoding="utf-8").split()
    return frozenset(zones) - {"Factory"}


def _timezone(value: str) -> str:
    if value not in _timezones():
        raise ValueError("must be an IANA time zone, such as Asia/Tokyo or UTC")
    return value


def _moment(value: str) -> str:
    if not (value.endswith("Z") and _is_moment(value.removesuffix("Z"))):
        raise ValueError("must be a UTC time that exists, as yyyy-mm-ddThh:mm:ssZ")
    return value


ScheduleExpression = Annotated[str, AfterValidator(_schedule_expression)]
Timezone = Annotated[str, AfterValidator(_timezone)]
Moment = Annotated[str, AfterValidator(_moment)]
