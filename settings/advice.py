"""What is not refused, but better known before an update: a line for each."""

from collections.abc import Iterable

from .refusals import PROJECT
from .stack import Settings


def advice(settings: Settings) -> Iterable[str]:
    """What is worth a warning."""
    if settings.protect and settings.alerts.nobody:
        yield (
            f"{PROJECT}:alerts: nobody gets a message when something fails in this protected"
            " stack; name emails, httpsEndpoints or chat"
        )
    for name, job in settings.jobs.items():
        if job.retry_exit_codes is not None:
            yield (
                f"{PROJECT}:jobs.{name}.retryExitCodes: is exitCodes.retry from the next release on"
                " (with it 75 is retried, too, unless exitCodes says that it is something else)"
            )
