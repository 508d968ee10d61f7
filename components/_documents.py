"""A document with outputs in it becomes its JSON text, or what a function makes of it."""

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pulumi

Made = TypeVar("Made")


def json_text(document: Any, *, escaped: bool = True) -> pulumi.Output[str]:  # noqa: ANN401 -- any JSON
    """The JSON text of `document`, in which any value may be an output.

    Unless it is `escaped`, as IAM wants it, Japanese takes one character of a quota and not six.
    """
    return of_known(document, lambda known: json.dumps(known, ensure_ascii=escaped))


def joined(*parts: pulumi.Input[str]) -> pulumi.Output[str]:
    """The texts one after the other, as `pulumi.Output.concat` joins them."""
    return of_known(parts, "".join)


def of_known(document: Any, make: Callable[[Any], Made]) -> pulumi.Output[Made]:  # noqa: ANN401 -- any JSON
    """What `make` makes of `document` with the values of the outputs in it, once all are known.

    As `pulumi.Output.all(document).apply(make)`, which makes several outputs of every value, known
    or not, and of what is in an output once more: of a state machine a thousand. Each takes time;
    here there is one for each output.
    """

    def made(values: Any) -> Any:  # noqa: ANN401 -- any JSON, and what is made of it
        return pulumi.UNKNOWN if pulumi.contains_unknowns(values) else make(values)

    return _output(_once_there(document, made))


def as_output(document: Any) -> pulumi.Output[Any]:  # noqa: ANN401 -- any JSON
    """The document as one output, with the values of the outputs in it, some of them unknown."""
    return _output(_once_there(document, lambda values: values))


def _once_there(document: Any, make: Callable[[Any], Any]) -> Any:  # noqa: ANN401 -- an output, if there is one in it
    outputs = list({id(output): output for output in _outputs(document)}.values())

    def after(values: tuple[Any, ...]) -> Any:  # noqa: ANN401 -- the same
        if len(values) == len(outputs):
            by_id = {id(output): value for output, value in zip(outputs, values, strict=True)}
            return make(_resolved(document, by_id))
        # Run with what is unknown, as what depends on it depends on the outputs after it, too.
        return outputs[len(values)].apply(
            lambda value: _once_there(value, lambda known: after((*values, known))),
            run_with_unknowns=True,
        )

    return after(())


def _output(made: Any) -> pulumi.Output[Any]:  # noqa: ANN401 -- an output, or a value
    return made if isinstance(made, pulumi.Output) else pulumi.Output.from_input(made)


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
