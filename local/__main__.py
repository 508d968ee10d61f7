"""`python -m local`: the command line of the laptop's cloud."""

import os
import signal
import sys


def _leave(number: int, _frame: object) -> None:
    """End at once: until a command has opened something, there is nothing to close."""
    os._exit(128 + number)


if __name__ == "__main__":
    # First of all, so that Ctrl-C while the rest is imported leaves no traceback.
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)

    from local.commands import main

    status = main(sys.argv[1:])
    # The interpreter gives signals back their default as it ends: one more would end it as a crash.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(status)
