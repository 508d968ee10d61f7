"""What a platform takes, and what a stack's file takes, are the same keys."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from components import BatchPlatformArgs
from components._keys import as_configured
from tests.settings.keys import KEYS


def keys(shape: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - a type
    """The keys of a typed dict, as the README writes them."""
    inner = (get_args(shape) or (None,))[-1]
    if is_typeddict(shape):
        for key, hint in get_type_hints(shape).items():
            camel = next(iter(as_configured({key: None}, shape)))
            yield from keys(hint, f"{path}.{camel}".removeprefix("."))
    elif get_origin(shape) is Mapping and is_typeddict(inner):
        yield from keys(inner, f"{path}.NAME")
    elif get_origin(shape) is Sequence and (is_typeddict(inner) or get_origin(inner) is Sequence):
        yield from keys(inner, path if path.endswith("[]") else f"{path}[]")
    else:
        yield path


def test_every_key_of_a_stacks_file_is_an_argument_of_the_platform_and_no_other_is() -> None:
    # The Region is a key of Pulumi's AWS provider: aws:region.
    assert sorted(set(keys(BatchPlatformArgs)) - {"region"}) == sorted(KEYS)
