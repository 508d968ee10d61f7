"""Placeholders in what steps and schedules give a task, such as `<key>` and `<date:%Y%m%d>`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

# `<<name>` is the text <name>.
_PLACEHOLDER = re.compile(r"<(<?)([A-Za-z][\w.-]*)(?::([^<>]*))?>")

# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
_OF_SCHEDULER = ("schedule-arn", "scheduled-time", "execution-id", "attempt-number")

IN_STEPS = ("scheduledTime", "date", "executionName", "bucket", "key")
"""The placeholders of a pipeline's steps."""
IN_SCHEDULES = {
    "scheduledTime": "aws.scheduler.scheduled-time",
    "executionName": "aws.scheduler.execution-id",
    **{f"aws.scheduler.{name}": f"aws.scheduler.{name}" for name in _OF_SCHEDULER},
}
"""The placeholders of a schedule, and what Scheduler calls them."""

# What strftime writes, as a picture of JSONata's $fromMillis:
# https://docs.jsonata.org/date-time-functions#frommillis
PICTURES = {
    "Y": "[Y0001]",
    "m": "[M01]",
    "d": "[D01]",
    "H": "[H01]",
    "M": "[m01]",
    "S": "[s01]",
    "y": "[Y01]",
    "j": "[d001]",
    "b": "[MNn,3-3]",
    "B": "[MNn]",
    "a": "[FNn,3-3]",
    "A": "[FNn]",
    "u": "[F1]",
    "G": "[X0001]",
    "V": "[W01]",
    "I": "[h01]",
    "p": "[PN]",
    "z": "[Z0000]",
}

FIRST_YEAR, LAST_YEAR = 2000, 2099
"""The years whose changes to and from daylight saving time are known to a pipeline."""


@dataclass(frozen=True)
class Placeholder:
    """One of a text's placeholders; `format` is what is behind a colon."""

    name: str
    format: str | None = None


def parts(text: str) -> Iterator[str | Placeholder]:
    """A text's placeholders, and what stands between them as it is meant."""
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        doubled, name, format_ = match.groups()
        if before := text[end : match.start()]:
            yield before
        yield match[0][1:] if doubled else Placeholder(name, format_)
        end = match.end()
    if rest := text[end:]:
        yield rest


def check_step(text: str) -> None:
    """Refuse, with a `ValueError`, what is no placeholder of a pipeline's step."""
    for part in parts(text):
        if not isinstance(part, Placeholder):
            continue
        of_scheduler = part.name.removeprefix("aws.scheduler.")
        if of_scheduler != part.name:
            known = {"scheduled-time": "scheduledTime", "execution-id": "executionName"}
            instead = f"; use <{known[of_scheduler]}>" if of_scheduler in known else ""
            raise ValueError(f"Scheduler does not replace <{part.name}> in a step{instead}")
        _check(part, IN_STEPS)


def check_schedule(text: str) -> None:
    """Refuse, with a `ValueError`, what is no placeholder of a schedule that starts a task."""
    for part in parts(text):
        if not isinstance(part, Placeholder):
            if part[1:-1] in IN_SCHEDULES.values():
                raise ValueError(f"Scheduler replaces {part}, however it is written")
            continue
        if part.name == "date":
            raise ValueError(
                "a schedule has no <date:…>, as Scheduler formats no dates; make it a pipeline of "
                "one step, or use <scheduledTime>"
            )
        if part.name in {"bucket", "key"}:
            raise ValueError(f"a schedule has no <{part.name}>, as no upload starts it")
        _check(part, tuple(IN_SCHEDULES))


def _check(part: Placeholder, known: tuple[str, ...]) -> None:
    text = part.name if part.format is None else f"{part.name}:{part.format}"
    if part.name not in known:
        nearest = get_close_matches(part.name, known, 1, cutoff=0.5)
        means = f"did you mean <{nearest[0]}>" if nearest else f"there are <{'>, <'.join(known)}>"
        raise ValueError(
            f"there is no placeholder <{text}>; {means}, or for the text itself <<{text}>"
        )
    if part.name != "date":
        if part.format is not None:
            raise ValueError(f"<{text}>: only <date:…> has a format; use <{part.name}>")
        return
    if not part.format:
        raise ValueError("<date> needs a format, such as <date:%Y-%m-%d>")
    for match in re.finditer(r"%(.?)", part.format):
        if match[1] not in {*PICTURES, "%"}:
            raise ValueError(
                f"<{text}>: a pipeline cannot write {match[0]}; there are "
                + ", ".join(f"%{code}" for code in (*PICTURES, "%"))
            )


def pictures(format_: str) -> Iterator[tuple[str, bool]]:
    """The parts of a date's format: a picture of `$fromMillis` and True, or a text and False.

    In a picture a bracket begins or ends what it stands for, so a text with one is left out of it.
    """
    picture = ""
    for code, text in re.findall(r"%(.)|([^%]+)", format_):
        plain = text or code
        if code in PICTURES:
            picture += PICTURES[code]
        elif {"[", "]"}.isdisjoint(plain):
            picture += plain
        else:
            if picture:
                yield picture, True
            yield plain, False
            picture = ""
    if picture:
        yield picture, True


@cache
def offsets(timezone: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """A zone's offsets as `$fromMillis` takes them, and from which second each but the first is.

    JSONata knows no zones, and a rule could not say what a table can: a zone that had other offsets
    before, or changes them by the moon.
    """
    zone = ZoneInfo(timezone)

    def offset(second: int) -> timedelta | None:
        return datetime.fromtimestamp(second, zone).utcoffset()

    def change(day: int, after: int) -> int:
        while after - day > 1:
            middle = (day + after) // 2
            if offset(middle) == offset(day):
                day = middle
            else:
                after = middle
        return after

    # From a day before, for a year begins earlier in the east.
    first = int(datetime(FIRST_YEAR - 1, 12, 31, tzinfo=UTC).timestamp())
    last = int(datetime(LAST_YEAR + 1, 1, 2, tzinfo=UTC).timestamp())
    days = [(second, offset(second)) for second in range(first, last, 86_400)]
    changes = [
        change(day, after) for (day, before), (after, since) in pairwise(days) if before != since
    ]
    texts = (datetime.fromtimestamp(at, zone).strftime("%z") for at in (first, *changes))
    return tuple(texts), tuple(changes)
