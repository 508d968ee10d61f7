"""Documents in the spellings AWS uses: an API's own member names, Step Functions' PascalCase.

Only names that botocore's service model knows as members are respelled: keys of maps, such as the
labels and variables people choose, and all values stay as they are.
"""

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, cast

import botocore.session
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

Json = Any
Times = Literal["millis", "iso"]


@functools.cache
def service_model(service: str) -> ServiceModel:
    """Botocore's model of one service."""
    return botocore.session.Session().get_service_model(service)


def model_of(service: str) -> str:
    """Botocore's name of a service that an SDK integration names otherwise."""
    names = {
        "sfn": "stepfunctions",
        "states": "stepfunctions",
        "eventbridge": "events",
        "cloudwatchlogs": "logs",
    }
    return names.get(service, service)


def to_api(service: str, operation: str, document: Json) -> Json:
    """The arguments of a task state (PascalCase) as the operation's own request document.

    A member already spelled as the API does passes; one that the model does not know is kept, for
    the service to refuse.
    """
    return _respell(
        document, service_model(service).operation_model(operation).input_shape, _to_api
    )


def to_states(service: str, shape: str, document: Json, times: Times = "millis") -> Json:
    """A document of the API, of the named shape, in PascalCase.

    Times become epoch milliseconds, as in the result of `ecs:runTask.sync`, or ISO 8601 text, as in
    results of `aws-sdk` integrations.
    """
    return _respell(
        document, service_model(service).shape_for(shape), functools.partial(_to_states, times)
    )


def error_names(service: str, operation: str) -> set[str]:
    """The errors the model lists for an operation; an SDK has a class for these and no others."""
    return {shape.name for shape in service_model(service).operation_model(operation).error_shapes}


def _respell(
    document: Json, shape: Shape | None, spell: Callable[[str, Any, Shape | None], tuple[str, Any]]
) -> Json:
    if isinstance(shape, StructureShape) and isinstance(document, dict):
        spelled: dict[str, Any] = {}
        members = {_lower(name): (name, member) for name, member in shape.members.items()}
        for name, value in cast("dict[str, Any]", document).items():
            own, member = members.get(_lower(name), (_lower(name), None))
            key, leaf = spell(own, value, member)
            spelled[key] = _respell(leaf, member, spell)
        return spelled
    if isinstance(shape, ListShape) and isinstance(document, list):
        return [_respell(value, shape.member, spell) for value in cast("list[Any]", document)]
    if isinstance(shape, MapShape) and isinstance(document, dict):
        return {
            key: _respell(value, shape.value, spell)
            for key, value in cast("dict[str, Any]", document).items()
        }
    return document


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _to_api(name: str, value: Json, _member: Shape | None) -> tuple[str, Json]:
    return name, value


def _to_states(times: Times, name: str, value: Json, member: Shape | None) -> tuple[str, Json]:
    key = name[:1].upper() + name[1:]
    if member is not None and member.type_name == "timestamp":
        return key, _time(value, times)
    return key, value


def _time(value: Json, times: Times) -> Json:
    if isinstance(value, str):
        value = datetime.fromisoformat(value).timestamp()
    if not isinstance(value, int | float):
        return value
    if times == "millis":
        return round(value * 1000)
    moment = datetime.fromtimestamp(value, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
