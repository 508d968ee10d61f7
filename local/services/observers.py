"""Those who are told of what a service does, each within a block."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Generic, ParamSpec

P = ParamSpec("P")


class Observers(Generic[P]):
    """Callbacks, called from the thread in which something happens."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[P, object]] = []

    @contextmanager
    def observe(self, callback: Callable[P, object]) -> Generator[None]:
        """Tell `callback` of all that happens within the block."""
        self._callbacks.append(callback)
        try:
            yield
        finally:
            self._callbacks.remove(callback)

    def tell(self, *arguments: P.args, **named: P.kwargs) -> None:
        """Tell all who observe."""
        for callback in tuple(self._callbacks):
            callback(*arguments, **named)
