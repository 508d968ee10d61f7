"""Text → a terminal, with colours and tables."""

import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from operate.guarded import unguarded
from operate.text import printable


class RichScreen:
    """What `Screen` asks for. Nothing is read as markup: object keys may hold brackets."""

    def __init__(self) -> None:
        self._console: Console = Console(
            file=unguarded(sys.stdout), highlight=False, markup=False, emoji=False
        )

    def heading(self, text: str) -> None:
        """A bold line with an empty one before it."""
        self._console.print()
        self._console.print(printable(text), style="bold cyan")

    def line(self, text: str = "") -> None:
        """A line."""
        self._console.print(printable(text), soft_wrap=True)

    def event(self, what: str, text: str) -> None:
        """An indented line, its kind dimmed."""
        told = Text(f"  {what:<10} ", "dim").append(printable(text), "default")
        self._console.print(told, soft_wrap=True)

    def verdict(self, text: str, *, good: bool) -> None:
        """A line that begins with a mark."""
        style = "green" if good else "bold red"
        marked = f"  {'✓' if good else '✗'} {printable(text)}"
        self._console.print(marked, style=style, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table without vertical lines."""
        table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(Text(printable(cell), overflow="fold") for cell in row))
        self._console.print(table)
