"""How far a large file is, on a terminal and nowhere else."""

import time
from typing import TextIO

_SECONDS = 0.5


class Progress:
    """Shows bytes received and converted, on one line that is taken away at the end."""

    def __init__(self, screen: TextIO) -> None:
        self._screen = screen
        self._shown = 0.0 if screen.isatty() else None
        self._began = time.monotonic()
        self._received = self._converted = 0

    def received(self, size: int) -> None:
        """Take a block that was received."""
        self._received += size
        self._show(f"{self._received / 1e6:,.0f} MB received")

    def converted(self, size: int) -> None:
        """Take a block that was converted."""
        self._converted += size
        self._show(f"{self._converted / 1e6:,.0f} of {self._received / 1e6:,.0f} MB read")

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            self._screen.write("\r\x1b[K")
            self._screen.flush()

    def _show(self, text: str) -> None:
        now = time.monotonic() - self._began
        if self._shown is not None and now - self._shown >= _SECONDS:
            self._shown = now
            self._screen.write(f"\r\x1b[K{text}, {now:.0f} s")
            self._screen.flush()
