"""Replaces and checks the MiniStack internals that `local/` leans on.

Every internal is named by module and name as text, so that naming one imports nothing. `replace`
remembers the original; `restore` puts all of them back, last first.
"""

import importlib
import inspect
from collections.abc import MutableMapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast


class PinnedInternalMoved(RuntimeError):  # noqa: N818 - says what happened
    """An internal of MiniStack is gone or has another signature than the one leaned on."""


@dataclass(frozen=True)
class Internal:
    """One internal leaned on: a name of a module and, for a function, its parameters in order."""

    module: str
    name: str
    parameters: tuple[str, ...] | None


_leaned_on: dict[tuple[str, str], Internal] = {}
_originals: list[tuple[ModuleType, str, Any]] = []
_original_items: list[tuple[MutableMapping[str, Any], str, Any]] = []


def leans_on(module: str, name: str, expects_parameters: tuple[str, ...] | None = None) -> None:
    """Register an internal that is called or read but not replaced; nothing is imported.

    `expects_parameters` are a function's parameter names in order, `None` for a value.
    """
    _leaned_on[module, name] = Internal(module, name, expects_parameters)


def leaned_on() -> list[Internal]:
    """Every internal registered so far, by `leans_on` or `replace`."""
    return list(_leaned_on.values())


def problem(internal: Internal) -> str | None:
    """What is wrong with one internal, in one line, or None. Imports its module."""
    where = f"{internal.module}.{internal.name}"
    module = importlib.import_module(internal.module)
    original = next(
        (old for owner, name, old in _originals if owner is module and name == internal.name),
        getattr(module, internal.name, None),
    )
    if not hasattr(module, internal.name):
        return f"{where} is gone"
    if internal.parameters is None:
        return None
    if not callable(original):
        return f"{where} is no function any more"
    found = tuple(inspect.signature(original).parameters)
    if found != internal.parameters:
        return f"{where} takes {found}, not {internal.parameters}"
    return None


def check(internal: Internal) -> None:
    """Raise `PinnedInternalMoved` if the internal is not as it was when it was pinned."""
    if (what := problem(internal)) is not None:
        raise PinnedInternalMoved(
            f"{what}: the installed ministack is not the version this project is pinned to, "
            "run `pip install -r requirements-local.txt`"
        )


def replace(
    module: ModuleType | str,
    name: str,
    new: Any,  # noqa: ANN401 - an internal of an untyped package
    expects_parameters: tuple[str, ...] | None = None,
) -> Any:  # noqa: ANN401 - the same
    """Put `new` in place of a module's attribute until `restore`, and return the original.

    Raises `PinnedInternalMoved`, naming the internal, when it is not there or when its parameters
    are not `expects_parameters` (`None` for a value that is no function).
    """
    owner = importlib.import_module(module) if isinstance(module, str) else module
    internal = Internal(owner.__name__, name, expects_parameters)
    _leaned_on[internal.module, internal.name] = internal
    check(internal)
    original = getattr(owner, name)
    _originals.append((owner, name, original))
    setattr(owner, name, new)
    return original


def replace_item(
    module: ModuleType | str,
    name: str,
    key: str,
    new: Any,  # noqa: ANN401 - an internal of an untyped package
) -> Any:  # noqa: ANN401 - the same
    """Put `new` in place of one entry of a module's table until `restore`; return the original.

    For dispatch tables such as `ministack.services.ecs._ACTION_MAP`, which hold the functions
    themselves and do not see `replace`. A key that is not there raises `PinnedInternalMoved`.
    """
    owner = importlib.import_module(module) if isinstance(module, str) else module
    leans_on(owner.__name__, name)
    check(_leaned_on[owner.__name__, name])
    table = cast("MutableMapping[str, Any]", getattr(owner, name))
    if key not in table:
        raise PinnedInternalMoved(f"{owner.__name__}.{name}[{key!r}] is gone")
    original = table[key]
    _original_items.append((table, key, original))
    table[key] = new
    return original


def restore() -> None:
    """Put every original back."""
    while _original_items:
        table, key, original = _original_items.pop()
        table[key] = original
    while _originals:
        owner, name, original = _originals.pop()
        setattr(owner, name, original)
