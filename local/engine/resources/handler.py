"""What becomes of a resource of one type: how it is made, changed and taken away."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local.engine.resources.context import Context
from local.engine.state import Created, Diff, Properties, Registration, State, autoname

Create = Callable[[Context, Registration], Created]
Update = Callable[[Context, Registration, State], Properties | None]
Delete = Callable[[Context, State], object]
Exists = Callable[[Context, State], object]

FILLED = "__defaults"
"""The input that lists the inputs that the program left out and `check` filled in."""


@dataclass(frozen=True)
class Name:
    """The input that holds the physical name, and how long AWS lets it be."""

    limit: int
    key: str = "name"
    lower: bool = False
    prefix: str = ""


@dataclass(frozen=True)
class Handler:
    """The functions of one resource type.

    `create` returns the id and the outputs, `update` the outputs that are others now. A resource
    that has no `update` is replaced, whatever changes; with one, only if an input of `replaces`
    does. `exists` raises the service's own error if the resource is gone. `check` fills in what
    the program left out, beyond the name and the stack's tags.
    """

    create: Create
    delete: Delete
    update: Update | None = None
    replaces: frozenset[str] = field(default=frozenset())
    exists: Exists | None = None
    name: Name | None = None
    tagged: bool = False
    check: Callable[[Context, Properties], Properties] | None = None


def put(create: Create) -> Update:
    """An update that does what the creation did: the call sets the whole resource."""

    def update(context: Context, registration: Registration, _before: State) -> Properties:
        return create(context, registration).outputs

    return update


def checked(
    handler: Handler,
    context: Context,
    registration: Registration,
    before: Properties | None,
    seed: str,
) -> Properties:
    """The inputs with the physical name and the stack's tags in them.

    A name that was made up stays as it was `before`.

    Raises:
        ValueError: a name is longer than AWS allows, which Pulumi refuses likewise.
    """
    inputs = {key: value for key, value in registration.inputs.items() if value is not None}
    if handler.tagged:
        tags = context.default_tags | {k: str(v) for k, v in (inputs.get("tags") or {}).items()}
        inputs["tags"] = tags
    if handler.check is not None:
        inputs = handler.check(context, inputs)
    rule = handler.name
    if rule is not None:
        if not inputs.get(rule.key):
            kept = (before or {}).get(rule.key) if _filled(before, rule.key) else None
            inputs[rule.key] = kept or _physical(rule, registration.name, inputs, seed)
            inputs[FILLED] = [rule.key]
        name = str(inputs[rule.key])
        if len(name) > rule.limit:
            raise ValueError(
                f"the name {name!r} has {len(name)} characters, AWS allows {rule.limit}: shorten it"
            )
    return inputs


def _filled(inputs: Properties | None, key: str) -> bool:
    return key in (inputs or {}).get(FILLED, ())


def _physical(rule: Name, logical: str, inputs: Properties, seed: str) -> str:
    name = autoname(logical, seed)
    given = inputs.get("namePrefix") or inputs.get("bucketPrefix")
    if given:
        name = f"{given}{name.removeprefix(f'{logical}-')}"
    name = rule.prefix + (name.lower() if rule.lower else name)
    return f"{name}.fifo" if inputs.get("fifoQueue") or inputs.get("fifoTopic") else name


def difference(handler: Handler, before: Properties, after: Properties) -> Diff:
    """What changed between two sets of checked inputs."""
    keys = {key for key in before.keys() | after.keys() if not key.startswith("__")}
    changed = frozenset(
        key for key in keys if _comparable(before.get(key)) != _comparable(after.get(key))
    )
    replaces = changed if handler.update is None else changed & handler.replaces
    # As Pulumi's AWS provider has it: two resources cannot have one name that was given.
    rule = handler.name
    delete_first = bool(
        replaces and rule and rule.key not in changed and not _filled(after, rule.key)
    )
    return Diff(changed, replaces, delete_first)


def _comparable(value: Any) -> Any:  # noqa: ANN401 -- JSON
    """The value without what is left out, JSON texts as what they say: AWS keeps no spaces."""
    match value:
        case str() if value[:1] in {"{", "["}:
            try:
                return _comparable(json.loads(value))
            except ValueError:
                return value
        case Mapping():
            return {k: _comparable(v) for k, v in value.items() if v is not None} or None
        case list() | tuple():
            return [_comparable(item) for item in value] or None
        case str() | bool() | int() | float() | None:
            return value
        case _:
            # An asset or archive: what it holds is compared by its hash, which `check` adds.
            return None


_GONE = re.compile(r"NotFound|NoSuch|DoesNotExist|NonExistent|^404$|NotAttached")


def is_gone(error: ClientError) -> bool:
    """Whether the service says that there is no such resource."""
    return _GONE.search(error.response.get("Error", {}).get("Code", "")) is not None


def retagged(registration: Registration, before: State) -> tuple[dict[str, str], list[str]]:
    """The tags that are new or others, and the keys of those that are gone."""
    old: dict[str, str] = before.inputs.get("tags") or {}
    new: dict[str, str] = registration.inputs.get("tags") or {}
    added = {key: value for key, value in new.items() if old.get(key) != value}
    return added, sorted(old.keys() - new.keys())


def retag(
    registration: Registration,
    before: State,
    client: Any,  # noqa: ANN401 -- of any service that has both operations
    form: Callable[[dict[str, str]], object],
    **of: str,
) -> None:
    """Have TagResource and UntagResource change what has changed; `of` is the one resource."""
    added, gone = retagged(registration, before)
    tags, keys = ("tags", "tagKeys") if "resourceArn" in of else ("Tags", "TagKeys")
    if added:
        client.tag_resource(**of, **{tags: form(added)})
    if gone:
        client.untag_resource(**of, **{keys: gone})
