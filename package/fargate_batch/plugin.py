"""The components as a Pulumi package: what other languages say, as the arguments of Python."""

import inspect
import json
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.errors import InputPropertyError
from pulumi.provider.experimental.analyzer import ComponentDefinition, PropertyDefinition
from pulumi.provider.experimental.component import ComponentProvider

from . import components
from .components._keys import NOT_PLAIN

NAME = "fargate-batch"


class Package(ComponentProvider):
    """Every component, its schema inferred from its arguments.

    Beside what `ComponentProvider` does, keys are mapped in what is an output or in lists of lists,
    and a number without a fraction, which comes as a float, is an int.
    """

    def __init__(self, version: str) -> None:
        found = [getattr(components, name) for name in components.__all__]
        classes = [
            it for it in found if isinstance(it, type) and issubclass(it, pulumi.ComponentResource)
        ]
        super().__init__(classes, NAME, None, version)
        # Python 3.13 takes a docstring's indentation away, those before do not.
        self.schema = json.dumps(_dedented(json.loads(self.schema or "{}")))

    def map_inputs(self, inputs: Any, component_def: ComponentDefinition) -> Any:  # noqa: ANN401 - the base's
        """The arguments of a component, by their names in Python."""
        return self._mapped(inputs, component_def.inputs, component_def.inputs_mapping, ())

    def _mapped(
        self,
        values: Mapping[str, Any],
        properties: Mapping[str, PropertyDefinition],
        names: Mapping[str, str],
        path: tuple[str, ...],
    ) -> dict[str, Any]:
        given = {key: value for key, value in values.items() if value is not None}
        for key, property_ in properties.items():
            if key not in given and not property_.optional:
                missing = ".".join((*path, key))
                raise InputPropertyError(missing, f"{missing}: missing")
        return {
            names.get(key, key): self._value(value, properties.get(key), (*path, key))
            for key, value in given.items()
        }

    def _value(self, value: Any, of: PropertyDefinition | None, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON
        match value:
            case pulumi.Output():
                if of and of.plain:
                    where = ".".join(path)
                    raise InputPropertyError(where, f"{where}: {NOT_PLAIN}")
                return value.apply(lambda known: self._value(known, of, path))
            case float():
                return int(value) if value.is_integer() else value
            case list():
                items = of and of.items
                return [self._value(it, items, (*path, str(n))) for n, it in enumerate(value)]
            case dict():
                if of and of.ref and (named := self.get_type_definition(of)):
                    return self._mapped(value, named.properties, named.properties_mapping, path)
                inner = of and of.additional_properties
                return {key: self._value(it, inner, (*path, key)) for key, it in value.items()}
            case _:
                return value


def _dedented(schema: Any) -> Any:  # noqa: ANN401 - JSON
    match schema:
        case dict():
            return {
                key: inspect.cleandoc(value)
                if key == "description" and isinstance(value, str)
                else _dedented(value)
                for key, value in schema.items()
            }
        case list():
            return [_dedented(item) for item in schema]
        case _:
            return schema
