"""Ways to another package's internals: called, read or replaced, each only as it was pinned.

Naming one imports nothing: it is imported on first use, when MiniStack's environment is set.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Generic, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_PACKAGE = "ministack"


class PinnedInternalMoved(RuntimeError):  # noqa: N818 - says what happened
    """An internal is gone, or has another signature than the one pinned."""


class Pinned:
    """One internal, by its path within the package: `services.sqs._queues`.

    `parameters` are those of a function in order, None for a value.
    """

    def __init__(self, path: str, parameters: tuple[str, ...] | None, package: str) -> None:
        module, _, self.name = path.rpartition(".")
        self.module = f"{package}.{module}"
        self.parameters = parameters

    def owner(self) -> ModuleType:
        """The module that has it, imported."""
        return importlib.import_module(self.module)

    def now(self) -> Any:  # noqa: ANN401 - an internal of an untyped package
        """What the name has now."""
        return getattr(self.owner(), self.name)

    def problem(self) -> str | None:
        """What is not as it was pinned, in one line, or None."""
        where = f"{self.module}.{self.name}"
        if not hasattr(self.owner(), self.name):
            return f"{where} is gone"
        if self.parameters is None:
            return None
        original = _originals.get((self.module, self.name), self.now())
        if not callable(original):
            return f"{where} is no function any more"
        found = tuple(inspect.signature(original).parameters)
        if found != self.parameters:
            return f"{where} takes {found}, not {self.parameters}"
        return None

    def check(self) -> None:
        """Raise `PinnedInternalMoved` if it is not as it was pinned."""
        if (what := self.problem()) is not None:
            raise PinnedInternalMoved(
                f"{what}: the installed {_PACKAGE} is not the version this project is pinned to, "
                "run `pip install -r requirements-local.txt`"
            )


_originals: dict[tuple[str, str], Any] = {}


class Value(Pinned, Generic[T]):
    """A name that is read, by calling this, whenever its value is needed."""

    def __init__(self, path: str, *, package: str = _PACKAGE) -> None:
        super().__init__(path, None, package)

    def __call__(self) -> T:
        """What the name has now."""
        return cast("T", self.now())


class Members(Pinned):
    """A class of which these members are used."""

    def __init__(self, path: str, *members: str) -> None:
        super().__init__(path, None, _PACKAGE)
        self.members = members

    def problem(self) -> str | None:
        """What is not as it was pinned, in one line, or None."""
        gone = [name for name in self.members if not hasattr(self.now(), name)]
        where = f"{self.module}.{self.name}"
        return super().problem() or (f"{where} has no {', '.join(gone)}" if gone else None)


class State(Value[T]):
    """A value that is set and stays as it is set."""

    def set(self, value: T) -> None:
        """Give the name a value."""
        setattr(self.owner(), self.name, value)


class Function(Pinned, Generic[P, R]):
    """A function that is called, with the names of its parameters in order."""

    def __init__(self, path: str, *parameters: str) -> None:
        super().__init__(path, parameters, _PACKAGE)

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        """Call it."""
        return cast("R", self.now()(*arguments, **named))


class Replaced(Function[P, R]):
    """A function with another in its place while a cloud is open; `reason` says why.

    Calling it calls the one in its place, `original` the package's own.
    """

    def __init__(self, path: str, *parameters: str, reason: str) -> None:
        super().__init__(path, *parameters)
        self.reason = reason
        self._original: Callable[..., Any] | None = None

    def replace(self, new: Callable[P, R]) -> None:
        """Put `new` in its place until `restore`."""
        self._original = _replace(self, new)

    def original(self, *arguments: P.args, **named: P.kwargs) -> R:
        """Call the function that `replace` took the place of."""
        if self._original is None:
            raise RuntimeError(f"{self.module}.{self.name} is not replaced")
        return cast("R", self._original(*arguments, **named))


class ReplacedValue(Value[T]):
    """A value with another in its place while a cloud is open; `reason` says why."""

    def __init__(self, path: str, *, reason: str, package: str = _PACKAGE) -> None:
        super().__init__(path, package=package)
        self.reason = reason

    def replace(self, new: T) -> None:
        """Put `new` in its place until `restore`."""
        _replace(self, new)


def _replace(pinned: Pinned, new: Any) -> Any:  # noqa: ANN401 - an internal of an untyped package
    pinned.check()
    original = pinned.now()
    _originals[pinned.module, pinned.name] = original
    setattr(pinned.owner(), pinned.name, new)
    return original


def restore() -> None:
    """Put back all that was replaced."""
    while _originals:
        (module, name), original = _originals.popitem()
        setattr(importlib.import_module(module), name, original)


def loaded() -> list[ModuleType]:
    """The package's modules that are imported."""
    return [module for name, module in sys.modules.items() if name.startswith(f"{_PACKAGE}.")]
