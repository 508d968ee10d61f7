"""What ends a command with a line for its user, and the exit status that goes with it."""

import difflib
from collections.abc import Collection, Iterable

FAILED = 1
WRONG_USE = 2
STILL_RUNNING = 3
NOT_ALLOWED = 4


class OperateError(Exception):
    """One line that says what is wrong and what to do, and an exit status."""

    def __init__(self, message: str, status: int = WRONG_USE) -> None:
        super().__init__(message)
        self.status = status


def no_such(kind: str, name: str, among: Iterable[str]) -> OperateError:
    """There is no such thing: the nearest name there is, or all of them if they are few."""
    names = sorted(among)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    elif not names:
        hint = "the stack has none"
    else:
        shown = ", ".join(names[:10])
        hint = f"there are: {shown}{', …' if len(names) > 10 else ''}"
    return OperateError(f"no such {kind}: {name} ({hint})")


def check(kind: str, name: str | None, among: Collection[str]) -> None:
    """Refuse a name that the stack has not, rather than find nothing of it.

    Raises:
        OperateError: there is no such thing.
    """
    if name is not None and name not in among:
        raise no_such(kind, name, among)
