"""A document with outputs in it becomes its JSON text."""

import json
from collections.abc import Iterator
from typing import Any

import pulumi


def json_text(document: Any, *, escaped: bool = True) -> pulumi.Output[str]:  # noqa: ANN401 -- any JSON
    """The JSON text of `document`, in which any value may be an output.

    Unless it is `escaped`, as IAM wants it, Japanese takes one character of a quota and not six.

    `pulumi.Output.json_dumps` makes several outputs of every value, known or not, and Pulumi's
    time grows with the square of the outputs it waits for: of a state machine it makes a thousand.
    """
    outputs = {id(output): output for output in _outputs(document)}

    def text(values: list[Any]) -> str:
        known = dict(zip(outputs, values, strict=True))
        return json.dumps(_resolved(document, known), ensure_ascii=escaped)

    return pulumi.Output.all(*outputs.values()).apply(text)


def _outputs(document: Any) -> Iterator[pulumi.Output[Any]]:  # noqa: ANN401 -- any JSON
    pending: list[Any] = [document]
    while pending:
        match pending.pop():
            case str():
                pass
            case dict() as mapping:
                pending.extend(mapping.values())
            case list() | tuple() as items:
                pending.extend(items)
            case pulumi.Output() as output:
                yield output
            case _:
                pass


def _resolved(value: Any, known: dict[int, Any]) -> Any:  # noqa: ANN401 -- any JSON
    match value:
        case str():
            return value
        case dict():
            return {key: _resolved(item, known) for key, item in value.items()}
        case list() | tuple():
            return [_resolved(item, known) for item in value]
        case pulumi.Output():
            return known[id(value)]
        case _:
            return value
