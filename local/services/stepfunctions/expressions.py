"""JSONata as Step Functions has it: templates in, JSON out, with its variables and functions.

https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import functools
import hashlib
import json
import math
import random
import re
import uuid
from collections.abc import Mapping
from typing import Any

import jsonata
from jsonata.parser import Parser
from jsonata.utils import Utils

Json = Any

# Long enough for a machine that is busy with other things.
_TIMEOUT_MILLIS = 10_000
_ALGORITHMS = {"MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512"}


class QueryError(Exception):
    """An expression has no value, or another than its field takes: the message is the cause."""


def evaluate(
    template: Json,
    data: Json,
    context: Mapping[str, Json],
    variables: Mapping[str, Json],
    result: Json = None,
    error: Json = None,
) -> Json:
    """A template with each text `{% … %}` in it evaluated.

    `data`, `context`, `result` and `error` are `$states.input`, `.context`, `.result` and
    `.errorOutput`.

    Raises:
        QueryError: an expression fails, or has no value.
    """
    states = {"input": data, "context": context, "result": result, "errorOutput": error}
    # The engine takes a None for a variable that is not there.
    bound = {
        name: Utils.NULL_VALUE if value is None else value for name, value in variables.items()
    }
    return _filled(template, {**bound, "states": states})


def field(name: str, expected: str, value: Json) -> Json:
    """A field's value, which must be of the JSON type `expected`.

    Raises:
        QueryError: it is of another.
    """
    if (found := _type(value)) != expected:
        raise QueryError(
            f"The JSONata expression specified for the field '{name}' returned an unexpected "
            f"result type. Expected '{expected}', but was '{found}' for value: {json.dumps(value)}"
        )
    return value


def _filled(template: Json, bindings: Mapping[str, Json]) -> Json:
    match template:
        case str() if template.startswith("{%") and template.endswith("%}"):
            return _value(template[2:-2].strip(), bindings)
        case dict():
            return {key: _filled(value, bindings) for key, value in template.items()}
        case list():
            return [_filled(value, bindings) for value in template]
        case _:
            return template


def _value(text: str, bindings: Mapping[str, Json]) -> Json:
    try:
        # Its limit of time begins here; parsing takes longer than all the rest.
        expression = jsonata.Jsonata("null", timeout=_TIMEOUT_MILLIS)
        expression.ast = _parsed(text)
        # Without this, null and a value that is not there come out alike.
        expression.set_output_convert_nulls(False)
        for name, function in _FUNCTIONS.items():
            expression.register_lambda(name, function)
        value = expression.evaluate(None, bindings)
    except Exception as error:  # noqa: BLE001 - whatever the engine raises
        code = getattr(error, "error", None)
        raise QueryError(f"{code}: {error}" if code else str(error)) from None
    if value is None:
        raise QueryError(f"JSONata expression did not return a result: {text}")
    return Utils.convert_nulls(value)


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> Parser.Symbol | None:
    return jsonata.Jsonata(text).ast


def _type(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


# What Step Functions adds to JSONata; numbers that must be whole are rounded down.
# https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html#jsonata-functions-provided-by-step-functions


def _partition(array: list[Json], size: float) -> list[Json]:
    step = math.floor(size)
    if step <= 0:
        raise ValueError("$partition chunk size must be a positive integer")
    return [array[start : start + step] for start in range(0, len(array), step)]


def _range(start: float, end: float, step: float) -> list[int]:
    first, last, by = math.floor(start), math.floor(end), math.floor(step)
    if by == 0:
        raise ValueError("$range delta must not be zero")
    return list(range(first, last + (1 if by > 0 else -1), by))


def _hash(text: str, algorithm: str) -> str:
    if algorithm not in _ALGORITHMS:
        raise ValueError(f"$hash algorithm must be one of {', '.join(sorted(_ALGORITHMS))}")
    return hashlib.new(algorithm.replace("-", "", 1), text.encode()).hexdigest()


def _random(seed: float | None = None) -> float:
    return (random.Random(math.floor(seed)) if seed is not None else random).random()  # noqa: S311


def _parse(text: str) -> Json:
    value = json.loads(text)
    return Utils.NULL_VALUE if value is None else value


def _to_millis(timestamp: Json = None, picture: Json = None) -> Json:
    # The engine also takes a space for the T.
    if timestamp is None:
        return None
    try:
        if picture is not None or "T" in timestamp:
            return jsonata.Functions.datetime_to_millis(timestamp, picture)
    except ValueError:
        pass
    raise ValueError(
        "D3110: The argument of the toMillis function must be an ISO 8601 formatted timestamp. "
        f'Given "{timestamp}"'
    )


def _replace(text: Json = None, pattern: Json = None, by: Json = None, limit: Json = None) -> Json:
    # The engine lets a regular expression match nothing.
    if isinstance(pattern, re.Pattern) and (found := pattern.search("")) and not found.group():
        raise ValueError("D1004: Regular expression matches zero length string")
    return jsonata.Functions.replace(text, pattern, by, limit)


def _string(value: Json = None, prettify: Json = None) -> Json:
    # The engine writes all but ASCII of an object or a list as \\uXXXX, six characters for one.
    text = jsonata.Functions.string(value, bool(prettify))
    if not isinstance(value, dict | list) or text is None:
        return text
    return _ESCAPED.sub(_unescaped, text)


_ESCAPED = re.compile(r"(\\\\)|((?:\\u[0-9a-f]{4})+)")


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        return match[1]
    characters = json.loads(f'"{match[2]}"')
    return "".join(c if c >= " " and c not in '"\\' else json.dumps(c)[1:-1] for c in characters)


_FUNCTIONS = {
    "hash": _hash,
    "parse": _parse,
    "partition": _partition,
    "random": _random,
    "range": _range,
    "replace": _replace,
    "string": _string,
    "toMillis": _to_millis,
    "uuid": lambda: str(uuid.uuid4()),
}
