"""Exit codes, and the refusals that end a batch with one of them.

The numbers are those of BSD's sysexits.h; the state machine retries 75 and nothing else of these.
"""

DONE = 0
FAILED = 1
BAD_DATA = 65
GONE = 66
TRY_AGAIN = 75
MISCONFIGURED = 78


class RefusalError(Exception):
    """An end that was foreseen: its text is the whole message, its `code` the exit code."""

    code = FAILED


class BadDataError(RefusalError):
    """The object can never be ingested as it is."""

    code = BAD_DATA


class GoneError(RefusalError):
    """The object, or the version that was being read, no longer exists."""

    code = GONE


class TryAgainError(RefusalError):
    """Nothing is wrong with the job; the same attempt may succeed later."""

    code = TRY_AGAIN


class MisconfiguredError(RefusalError):
    """Somebody has to change the job or its permissions first."""

    code = MISCONFIGURED


class StoppedError(Exception):
    """The work was told to stop and did."""
