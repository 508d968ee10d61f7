"""What a program declares beside what is deployed → creates, updates, replacements, deletes."""

import dataclasses
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from local.engine.state import (
    Child,
    Created,
    Diff,
    EvaluationError,
    Make,
    Properties,
    Registration,
    State,
)


class Provider(Protocol):
    """What makes the resources. Called from several threads at once.

    What any of its functions raises ends the update, and is reported with the resource's URN.
    """

    def check(self, registration: Registration, before: Properties | None, seed: str) -> Properties:
        """The inputs with what the program leaves to the provider, such as a physical name.

        `before` are the checked inputs of the resource that there is; a new name is made of `seed`.
        """
        ...

    def diff(self, before: State, inputs: Properties) -> Diff:
        """What it takes for a resource to be as its new, checked inputs say."""
        ...

    def create(self, registration: Registration) -> Created:
        """Make one resource."""
        ...

    def update(self, registration: Registration, before: State) -> Properties:
        """Change one resource; its outputs."""
        ...

    def delete(self, state: State) -> None:
        """Take one resource away."""
        ...

    def construct(self, registration: Registration, make: Make) -> Properties:
        """Make what is in a remote component; its outputs."""
        ...

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """Answer a function call, like `aws:index/getRegion:getRegion`."""
        ...

    def not_honoured(self) -> Sequence[str]:
        """What the resources ask for that is only recorded."""
        ...


@dataclass(frozen=True)
class Resource:
    """An entry of the stack. A component has no id."""

    type: str
    name: str
    urn: str
    id: str


@dataclass
class Counts:
    """How many resources were created, and so on."""

    created: int = 0
    updated: int = 0
    replaced: int = 0
    deleted: int = 0
    same: int = 0


@dataclass(frozen=True)
class Evaluation:
    """What came of a program: its outputs as JSON has them, and its resources as registered."""

    outputs: Properties
    resources: tuple[Resource, ...]
    not_honoured: tuple[str, ...] = ()
    counts: Counts = field(default_factory=Counts)
    done: tuple[str, ...] = ()
    """What was done, in order: `updated aws:sfn/stateMachine:StateMachine ingest`."""


@dataclass(frozen=True)
class Options:
    """How a resource is to be treated, besides what it is."""

    depends_on: frozenset[str] = frozenset()
    parent: str = ""
    aliases: tuple[str, ...] = ()
    """The URNs it may have had before."""
    ignore_changes: frozenset[str] = frozenset()
    delete_first: bool = False
    protect: bool | None = None
    retain: bool | None = None
    """Whether it is protected, and kept when it is no longer declared: None as its parent is."""
    delete_seconds: float = 0
    replace_on_changes: frozenset[str] = frozenset()


class Deployment:
    """The resources of one stack in a cloud, from one update to the next."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.replaced: list[State] = []
        """Those that have been replaced and are still to be deleted."""
        self.updates = 0


class Update:
    """One run of the program against what is deployed, in the order of Pulumi's engine.

    Resources are created and changed as they are registered, replacements before what they
    replace is deleted; deletes come last, dependents first. `done` says what was done, in order.
    """

    def __init__(self, deployment: Deployment, provider: Provider) -> None:
        self.counts = Counts()
        self.done: list[str] = []
        self._deployment = deployment
        self._provider = provider
        self._registered: dict[str, None] = {}
        """Their URNs, in order."""
        self._renamed: dict[str, str] = {}
        self._lock = threading.Lock()
        self._number = deployment.updates
        deployment.updates += 1

    @property
    def resources(self) -> tuple[Resource, ...]:
        """What was registered, in the order of registration."""
        states = self._deployment.states
        found = (states[urn] for urn in self._registered if urn in states)
        return tuple(Resource(one.type, one.name, one.urn, one.id) for one in found)

    def was(self, urn: str) -> str:
        """The URN that a resource had before this update."""
        return self._renamed.get(urn, urn)

    def component(
        self,
        registration: Registration,
        options: Options,
        migrate: Callable[[Sequence[State]], Iterable[str]] = lambda _: (),
    ) -> None:
        """Register a component, which only the stack knows of.

        `migrate` is shown the states of what is below it; those it names are forgotten, for others
        have taken their place.
        """
        before = self._before(registration.urn, options)
        if before is not None:
            with self._lock:
                below = self._below(self.was(registration.urn))
            forgotten = migrate(below)
            with self._lock:
                for urn in forgotten:
                    del self._deployment.states[urn]
        self._keep(registration, Created("", {}), options)
        self._count("created" if before is None else "same", registration)

    def construct(self, registration: Registration, options: Options, make: Make) -> Properties:
        """Register a remote component and what is in it; its outputs."""
        self.component(registration, options)
        try:
            return self._provider.construct(registration, make)
        except Exception as error:
            raise _at(registration.urn, error) from error

    def resource(self, registration: Registration, options: Options) -> Created:
        """Create a resource, or make the one that there is as it is registered."""
        before = self._before(registration.urn, options)
        try:
            return self._step(registration, options, before)
        except Exception as error:
            raise _at(registration.urn, error) from error

    def _step(self, registration: Registration, options: Options, before: State | None) -> Created:
        provider = self._provider
        if before is not None:
            registration = _ignoring(options.ignore_changes, registration, before)
        # A name that an earlier update gave away may still be in use.
        seed = f"{registration.urn}#{self._number}" if self._number else registration.urn
        inputs = provider.check(registration, before and before.inputs, seed)
        checked = dataclasses.replace(registration, inputs=inputs)
        if before is None:
            created = provider.create(checked)
            self._keep(checked, created, options)
            self._count("created", checked)
            return created

        diff = provider.diff(before, inputs)
        if not diff.changed:
            unchanged = Created(before.id, before.outputs)
            self._keep(checked, unchanged, options)
            self._count("same", checked)
            return unchanged
        replaces = diff.changed & (diff.replaces | options.replace_on_changes)
        if not replaces:
            updated = Created(before.id, provider.update(checked, before))
            self._keep(checked, updated, options)
            self._count("updated", checked)
            return updated

        if before.protect:
            raise EvaluationError(
                f"a change of {', '.join(sorted(replaces))} replaces it, and it is protected:"
                " take protect away first"
            )
        inputs = provider.check(registration, None, seed)
        checked = dataclasses.replace(registration, inputs=inputs)
        first = diff.delete_first or options.delete_first
        if first:
            provider.delete(before)
            with self._lock:
                del self._deployment.states[registration.urn]
        created = provider.create(checked)
        self._keep(checked, created, options)
        if not first and not before.retain:
            with self._lock:
                self._deployment.replaced.append(before)
        self._count("replaced", checked)
        return created

    def finish(self) -> None:
        """Delete what was replaced, and what the program no longer declares.

        Raises:
            EvaluationError: something of it is protected, in which case nothing is deleted; or
                could not be deleted, and is tried again with the next update.
        """
        deployment = self._deployment
        gone = [s for urn, s in deployment.states.items() if urn not in self._registered]
        if protected := [state.urn for state in gone if state.protect]:
            raise EvaluationError(
                "\n".join(f"{urn}: it is no longer declared, and is protected" for urn in protected)
            )
        for state in _dependents_first([*gone, *deployment.replaced]):
            if state.id and not state.retain:
                try:
                    self._provider.delete(state)
                except Exception as error:
                    raise _at(state.urn, error) from error
            if state in deployment.replaced:
                deployment.replaced.remove(state)
            else:
                del deployment.states[state.urn]
                self._count("deleted", state)

    def _below(self, urn: str) -> list[State]:
        children: dict[str, list[State]] = defaultdict(list)
        for state in self._deployment.states.values():
            children[state.parent].append(state)
        found = list(children[urn])
        for state in found:
            # It grows as it is gone through, down to the leaves.
            found += children[state.urn]
        return found

    def _before(self, urn: str, options: Options) -> State | None:
        with self._lock:
            if urn in self._registered:
                raise EvaluationError(f"{urn}: two resources have this name: rename one.")
            self._registered[urn] = None
            states = self._deployment.states
            known = next((one for one in (urn, *options.aliases) if one in states), None)
            if known is None:
                return None
            if known != urn:
                self._renamed[urn] = known
                states[urn] = states.pop(known)
            return states[urn]

    def _keep(self, registration: Registration, created: Created, options: Options) -> None:
        parent = self._deployment.states.get(options.parent)
        state = State(
            registration.type,
            registration.name,
            registration.urn,
            created.id,
            registration.inputs,
            created.outputs,
            options.depends_on,
            options.parent,
            (parent is not None and parent.protect) if options.protect is None else options.protect,
            (parent is not None and parent.retain) if options.retain is None else options.retain,
            options.delete_seconds,
        )
        with self._lock:
            self._deployment.states[registration.urn] = state

    def _count(self, what: str, which: Registration | State) -> None:
        with self._lock:
            setattr(self.counts, what, getattr(self.counts, what) + 1)
            if what != "same":
                self.done.append(f"{what} {which.type} {which.name}")


class Made(Child):
    """A resource inside a remote component, as it was made."""

    def __init__(self, urn: str, created: Created) -> None:
        self.urn = urn
        self.created = created

    def __getitem__(self, output: str, /) -> Any:  # noqa: ANN401 -- JSON
        """The id, or an output."""
        return self.created.id if output == "id" else self.created.outputs[output]


def _ignoring(keys: Iterable[str], registration: Registration, before: State) -> Registration:
    """The registration with these of its inputs as they were, as Pulumi's engine hands it on."""
    inputs = {key: value for key, value in registration.inputs.items() if key not in keys}
    inputs |= {key: before.inputs[key] for key in keys if key in before.inputs}
    return dataclasses.replace(registration, inputs=inputs)


def _at(urn: str, error: Exception) -> EvaluationError:
    """The error as a line that begins with the resource's URN, unless it names one already."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, EvaluationError) and reason.startswith("urn:"):
        return error
    return EvaluationError(f"{urn}: {reason}")


def _dependents_first(states: Iterable[State]) -> list[State]:
    waiting, ordered = list(states), list[State]()
    while waiting:
        needed = {urn for state in waiting for urn in state.depends_on - {state.urn}}
        free = [state for state in waiting if state.urn not in needed]
        # Newest first, as they were declared after what they were made from.
        ordered += reversed(free or waiting)
        waiting = [state for state in waiting if free and state not in free]
    return ordered
