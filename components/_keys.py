"""The keys of arguments, from Python's writing to that of a stack's file."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pulumi
from pydantic.alias_generators import to_camel

NOT_PLAIN = (
    "must be a plain value (is: an output, which is secret or may not be known yet):"
    " give the value itself; a container's secrets are named by ARN in `secrets`"
)


def outputs_in(value: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - JSON
    """Where in a value there is an output, as `jobs.ingest.cpu`."""
    match value:
        case pulumi.Output():
            yield path
        case Mapping():
            for key, of in value.items():
                yield from outputs_in(of, f"{path}.{key}" if path else str(key))
        case str():
            pass
        case Sequence():
            for number, of in enumerate(value):
                yield from outputs_in(of, f"{path}[{number}]")
        case _:
            pass


def as_configured(value: Any, shape: Any) -> Any:  # noqa: ANN401 - JSON, and a type of it
    """A value of `shape` with the keys of its typed dicts in camelCase; names stay as they are."""
    inner = (get_args(shape) or (None,))[-1]
    if isinstance(value, Mapping):
        if is_typeddict(shape):
            shapes = {to_camel(key): hint for key, hint in get_type_hints(shape).items()}
            keys = {to_camel(key): of for key, of in value.items()}
            return {key: as_configured(of, shapes.get(key)) for key, of in keys.items()}
        if get_origin(shape) is Sequence:
            # A stack's file has a step that is alone without its list.
            return as_configured(value, inner)
        return {key: as_configured(of, inner) for key, of in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_configured(of, inner) for of in value]
    return value
