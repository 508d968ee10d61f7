"""A resource as a program declares it, and as the cloud has it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Properties = dict[str, Any]
"""Inputs or outputs of a resource, with the provider's own (camelCase) keys, as JSON has them."""


class EvaluationError(Exception):
    """One or more one-line messages: what the program or the cloud refused, and where."""


@dataclass(frozen=True)
class Registration:
    """A resource as the program declared it. A component of the program's own is never one."""

    type: str
    name: str
    urn: str
    inputs: Properties


@dataclass(frozen=True)
class Created:
    """A resource as the cloud made it: its id, and the outputs that are not among its inputs."""

    id: str
    outputs: Properties


@dataclass(frozen=True)
class State:
    """A resource that was made, as the next update finds it. A component has no id."""

    type: str
    name: str
    urn: str
    id: str
    inputs: Properties
    outputs: Properties
    depends_on: frozenset[str] = field(default=frozenset())
    """The URNs of the resources that must be deleted after this one, its parent's among them."""
    parent: str = ""
    protect: bool = False
    retain: bool = False
    """Whether it stays in the cloud when the program no longer declares it."""
    delete_seconds: float = 0
    """How long its deletion may take; 0 for the resource's own limit."""


@dataclass(frozen=True)
class Diff:
    """The inputs that changed; those among them that take another resource; and in which order."""

    changed: frozenset[str]
    replaces: frozenset[str] = field(default=frozenset())
    delete_first: bool = False
    """Whether the old one must be gone before there can be the new one: they have one name."""


class Child(Protocol):
    """A resource inside a remote component: what it hands on, by the name of the output."""

    def __getitem__(self, output: str, /) -> Any: ...  # noqa: ANN401 -- JSON, or a promise of it


class Make(Protocol):
    """What a remote component is made with: in process at once, behind the engine as promised."""

    def __call__(
        self,
        kind: str,
        name: str,
        inputs: Properties,
        /,
        outputs: Sequence[str] = (),
    ) -> Child:
        """Declare a resource inside the component, of which it asks for `id` and `outputs`."""
        ...

    def join(self, *parts: Any) -> Any:  # noqa: ANN401 -- text, or a promise of it
        """The texts, one after the other."""
        ...


def autoname(name: str, seed: str) -> str:
    """`<logical name>-<7 hex digits>`, as Pulumi names; the same seed gives the same name."""
    return f"{name}-{hashlib.sha256(seed.encode()).hexdigest()[:7]}"
