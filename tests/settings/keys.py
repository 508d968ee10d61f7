"""The keys of a stack's file, found from the settings."""

import types
from collections.abc import Iterator
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import settings


def _models(annotation: object, path: str) -> Iterator[tuple[type[BaseModel], str]]:
    """The models an annotation leads to, with how the README writes the way there."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, path
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _models(arguments[0], path)
    elif origin is dict:
        yield from _models(arguments[1], f"{path}.NAME")
    elif origin is tuple:
        yield from _models(arguments[0], path if path.endswith("[]") else f"{path}[]")
    elif origin in {Union, types.UnionType}:
        for argument in arguments:
            yield from _models(argument, path)


def _keys(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for field in model.model_fields.values():
        key = f"{path}.{field.alias}".removeprefix(".")
        inner = list(_models(field.annotation, key))
        for nested, nested_path in inner:
            yield from _keys(nested, nested_path)
        if not inner:
            yield key, field


# aws:region is a key of Pulumi's AWS provider.
KEYS = {key: field for key, field in _keys(settings.Settings) if key != "region"}
"""As the README writes them: `jobs.NAME.cpu`, `pipelines.NAME.steps[].job`."""
