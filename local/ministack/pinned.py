"""Ways to MiniStack's internals: called, read or replaced, each only as it was pinned.

Naming one imports nothing: MiniStack is imported on first use, when its environment is set.
"""

import importlib
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, cast

from local.ministack import patch

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Value(Generic[T]):
    """A name that is read, by calling this, whenever its value is needed."""

    def __init__(self, path: str) -> None:
        module, _, self._name = path.rpartition(".")
        self._module = f"ministack.{module}"
        patch.leans_on(self._module, self._name)

    def __call__(self) -> T:
        """What the name has now."""
        return cast("T", getattr(importlib.import_module(self._module), self._name))


class ReplacedValue(Value[T]):
    """A value with another in its place while a cloud is open; `reason` says why."""

    def __init__(self, path: str, *, reason: str) -> None:
        super().__init__(path)
        self.reason = reason

    def replace(self, new: T) -> None:
        """Put `new` in its place until the cloud closes."""
        patch.replace(self._module, self._name, new)


class Function(Generic[P, R]):
    """A function that is called, with the names of its parameters in order."""

    def __init__(self, path: str, *parameters: str) -> None:
        module, _, self._name = path.rpartition(".")
        self._module = f"ministack.{module}"
        self._parameters = parameters
        patch.leans_on(self._module, self._name, parameters)

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        """Call it."""
        function: Any = getattr(importlib.import_module(self._module), self._name)
        return cast("R", function(*arguments, **named))


class Replaced(Function[P, R]):
    """A function with another in its place while a cloud is open; `reason` says why.

    Calling it calls the one in its place, `original` MiniStack's.
    """

    def __init__(self, path: str, *parameters: str, reason: str) -> None:
        super().__init__(path, *parameters)
        self.reason = reason
        self._original: Callable[..., Any] | None = None

    def replace(self, new: Callable[P, R]) -> None:
        """Put `new` in its place until the cloud closes."""
        self._original = patch.replace(self._module, self._name, new, self._parameters)

    def original(self, *arguments: P.args, **named: P.kwargs) -> R:
        """Call MiniStack's own, which `replace` took the place of."""
        if self._original is None:
            raise RuntimeError(f"{self._module}.{self._name} is not replaced")
        return cast("R", self._original(*arguments, **named))
