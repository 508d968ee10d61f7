"""Schedule expressions of rules and schedules: whether AWS takes one, and when it is next due.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aws_cron_expression_validator.validator import (
    AWSCronExpressionError,
    AWSCronExpressionValidator,
)

from local.services.iam.policies import internal

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
    fields: Any = internal("services.eventbridge", "_parse_cron_fields")(expression)
    wall = after.astimezone(zone).replace(tzinfo=None)
    while True:
        # MiniStack counts on the clock it is given, from the minute after.
        found_wall: datetime | None = internal("services.eventbridge", "_cron_next_fire")(
            fields, wall.replace(tzinfo=UTC)
        )
        if found_wall is None:
            return None
        wall = found_wall.replace(tzinfo=None)
        moment = _moment(wall, zone)
        if moment is not None and moment > after:
            return moment


def _moment(wall: datetime, zone: ZoneInfo) -> datetime | None:
    """A time of the zone's clock in UTC, its first if shown twice, None if never shown."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    return moment if moment.astimezone(zone).replace(tzinfo=None) == wall else None
