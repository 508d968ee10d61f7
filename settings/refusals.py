"""What is refused, as the lines that a person reads."""

import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import pulumi
from pydantic import ValidationError

PROJECT = "fargate-batch"


class SettingsError(pulumi.RunError):
    """The configuration is refused; the text has one line for each reason.

    Pulumi prints a RunError without a traceback.
    """


# By this status a program tells Pulumi that it has said itself why it ends:
# https://github.com/pulumi/pulumi/blob/master/sdk/python/cmd/pulumi-language-python/main.go
_SAID = 32


def end_program(error: SettingsError) -> NoReturn:
    """End the program with what is refused, told once.

    For what a program raises, Pulumi tells of its exit status as well. Where the program is a part
    of another one, as the Automation API has it, the error is raised as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        raise error
    pulumi.log.error(str(error))
    raise SystemExit(_SAID) from error


def lines(
    error: ValidationError, values: Mapping[str, Any], below: tuple[str, ...] = ()
) -> Iterable[str]:
    """A line for each refusal: the key as one writes it, what is allowed, and the value.

    `below` is where in `values` that is which was refused.
    """
    told = set[str]()
    for refusal in error.errors(include_url=False):
        kind, value = refusal["type"], refusal["input"]
        if kind == "too_short" and value:
            # Its members were refused, each in a line of its own.
            continue
        # "[key]" marks the name of an entry, such as a job's: the name itself is what is wrong.
        path = [*below, *(part for part in refusal["loc"] if part != "[key]")]
        path = _as_written(path, values)
        if (place := _key(path)) in told:
            # Of what may be a text or a list of them, each way of being neither is an error.
            continue
        told.add(place)
        reason = _REASONS.get(kind, refusal["msg"]).format(**refusal.get("ctx", {}))
        if kind == "too_long":
            # Of a mapping pydantic does not say how many it has.
            most = refusal.get("ctx", {})["max_length"]
            reason = f"must have at most {most} entries, has {len(value)}"
        if kind == "string_type" and isinstance(value, list | dict):
            reason = "must be text, no list and no mapping"
        # Whoever took a secret's value for its ARN should not read it in a build's log.
        hidden = kind in _WITHOUT_VALUE or _is_whole(value) or "secrets" in path
        shown = "" if hidden else f" (is: {_shown(value)})"
        yield f"{place}: {reason.removeprefix('Value error, ')}{shown}"


_REASONS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of keys to values",
    "extra_forbidden": "unknown key; the README lists what there is",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "missing": "missing",
    "model_type": "must be a mapping of keys to values",
    "string_pattern_mismatch": "must have no NUL, which cannot be passed to a process",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be text; put it in quotes",
    "too_short": "must have at least one entry",
    "tuple_type": "must be a list",
    "value_error": "{error}",
}
_WITHOUT_VALUE = {"missing", "extra_forbidden", "too_long", "too_short"}


def _is_whole(value: object) -> bool:
    """Whether it is a mapping whose parts were right: the reason says which do not go together."""
    return isinstance(value, dict)


def _as_written(path: list[int | str], values: Mapping[str, Any]) -> list[int | str]:
    """The path without the index of an only member, which nobody wrote as a list."""
    match path:
        case ["uploads", name, "prefix" | "suffix" | "key" | "wildcard" | "exclude" as key, int()]:
            return path if isinstance(values["uploads"][name][key], list) else path[:3]
        case ["jobs", _, "policies", int(), "conditions", _, _, _, *rest]:
            # A text or a list of them, and which of these it would be.
            return [*path[:7], *rest]
        case ["pipelines", name, "steps", int(number), int(), *rest]:
            step = values["pipelines"][name]["steps"][number]
            return path if isinstance(step, list) else [*path[:4], *rest]
        case _:
            return path


def _key(path: Iterable[int | str]) -> str:
    """jobs, ingest, cpu -> fargate-batch:jobs.ingest.cpu, and an index as [0]."""
    text = ""
    for part in path:
        text += (
            f"[{part}]"
            if isinstance(part, int)
            else "." + json.dumps(part, ensure_ascii=False).strip('"')
        )
    text = text.removeprefix(".")
    # Keys of Pulumi's AWS provider.
    namespace = "aws" if text.partition(".")[0] in {"region", "defaultTags"} else PROJECT
    return f"{namespace}:{text}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
