"""The text of an option → its value.

Raises argparse.ArgumentTypeError: the text is none of that; says what it should be.
"""

import argparse
import re
from datetime import UTC, datetime, timedelta

_EARLIEST = datetime.fromtimestamp(0, UTC)
_LONGEST = timedelta(days=50 * 365)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def text_of(text: str) -> str:
    """Something: the beginning of every id is nothing, which a variable that is not set has."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def time_of(text: str) -> datetime:
    """A time so long ago, or a date or time of ISO 8601, of this machine's zone if it has none."""
    if re.fullmatch(r"\d{1,6}[smhdw]", text):
        return datetime.now(UTC) - duration_of(text)
    try:
        return max(datetime.fromisoformat(text).astimezone(UTC), _EARLIEST)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text} is neither a duration (90s, 2h, 3d) nor a time (2030-01-31T10:00)"
        ) from None


def later_of(text: str) -> datetime:
    """A time to come: so long from now, or a date or time as `time_of` takes it."""
    if re.fullmatch(r"\d{1,6}[smhdw]", text):
        return datetime.now(UTC) + duration_of(text)
    found = time_of(text)
    if found <= datetime.now(UTC):
        raise argparse.ArgumentTypeError(f"{text} is over")
    return found


def duration_of(text: str) -> timedelta:
    """A number and a unit: 90s, 15m, 2h."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text} is no duration: 90s, 15m, 2h")
    length = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if length > _LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is longer than 50 years")
    return length


def variable_of(text: str) -> tuple[str, str]:
    """NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


def month_of(text: str) -> tuple[datetime, datetime]:
    """The first moments of a month and of the next, of UTC."""
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text} is no month: 2030-01")
    year, month = int(found[1]), int(found[2])
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    return datetime(year, month, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC)


def count_of(text: str) -> int:
    """A number from 1 to 10000."""
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 to 10000")
    return int(text)


def number_of(text: str) -> int:
    """A number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no number from 0 on")
    return int(text)


def port_of(text: str) -> int:
    """The number of a port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return int(text)
