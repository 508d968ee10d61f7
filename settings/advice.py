"""What is not refused, but better known before an update: a line for each."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from .due import clock_times, rate_of
from .placeholders import offsets
from .refusals import PROJECT
from .stack import Settings

# Every hour or more often, a run that is skipped is soon followed by another.
OFTEN = 24


def advice(settings: Settings) -> Iterable[str]:
    """What is worth a warning."""
    if settings.protect and settings.alerts.nobody:
        yield (
            f"{PROJECT}:alerts: nobody gets a message when something fails in this protected"
            " stack; name emails, httpsEndpoints or chat"
        )
    now = datetime.now(UTC)
    for section in ("pipelines", "schedules"):
        for name, when in getattr(settings, section).items():
            if when.enabled and when.schedule and not rate_of(when.schedule):
                for line in clock_changes(when.schedule, when.timezone, now):
                    yield f"{PROJECT}:{section}.{name}.schedule: {line}"
    for name, job in settings.jobs.items():
        if job.retry_exit_codes is not None:
            yield (
                f"{PROJECT}:jobs.{name}.retryExitCodes: is exitCodes.retry from the next release on"
                " (with it 75 is retried, too, unless exitCodes says that it is something else)"
            )


def clock_changes(expression: str, timezone: str, now: datetime) -> Iterable[str]:
    """Which time within a year the zone's clocks skip, or show twice.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#daylist-savings-time
    """
    zone, second = ZoneInfo(timezone), timedelta(seconds=1)
    for change in offsets(timezone)[1]:
        moment = datetime.fromtimestamp(change, zone)
        if not now < moment < now + timedelta(days=366):
            continue
        until = (datetime.fromtimestamp(change - 1, zone) + second).replace(tzinfo=None)
        onward = moment.replace(tzinfo=None)
        lost, twice = (until, onward), (onward, until)
        times = list(clock_times(expression, min(until, onward).date(), max(until, onward).date()))
        if len(times) >= OFTEN:
            continue
        for (first, last), what in (
            (lost, "is skipped"),
            (twice, "comes twice, of which Scheduler takes the first,"),
        ):
            if hit := next((time for time in times if first <= time < last), None):
                yield (
                    f"{expression} {what} on {hit:%Y-%m-%d}, when the clocks of {timezone} go from "
                    f"{until:%H:%M} to {onward:%H:%M}; choose another time, or UTC"
                )
