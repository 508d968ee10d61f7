"""Threads that take turns as often as they can."""

import contextlib
import sys
from collections.abc import Generator


@contextlib.contextmanager
def taking_turns() -> Generator[None]:
    """Let each thread run for a microsecond at a time, to meet each other halfway."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
