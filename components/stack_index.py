"""What a stack made, kept where an operator's tools find it by the stack's project and name."""

import json
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from ._documents import json_text
from ._here import Component
from .iam_path import role_path
from .names import machine_prefix

# What an advanced parameter takes:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
_CHARACTERS = 8192
# An ARN or a queue's URL without the names of the stack and of what it is of.
_ARN = 85


class StackIndexArgs(TypedDict):
    """What is kept of the stack."""

    outputs: dict[str, Any]
    """The stack's outputs, by name; any of them may be a mapping of names to values."""
    dead_letter_queue_names: NotRequired[dict[str, pulumi.Input[str]]]
    """The queue of each trigger, by kind and name: `upload-NAME`. Default: none."""
    protect: NotRequired[bool]
    """Whether the stack is one to be careful with. Default: True."""
    disabled_schedules: NotRequired[list[str]]
    """The schedules that never fire, by kind and name: `pipeline-NAME`. Default: none."""
    filters: NotRequired[dict[str, Any]]
    """By the name of an upload that starts a state machine: `starts`, `job-NAME` or
    `pipeline-NAME`; `bucket`; `key` and `size`, the alternatives of its rule's pattern, if it has
    any; `exclude`, keys that start nothing all the same. Default: none."""
    max_concurrency: NotRequired[dict[str, int]]
    """How many of a job's executions run their task at once, by its name. Default: as many as there
    are."""


class StackIndex(Component):
    """The stack's outputs and the queues of its triggers, as SSM parameters.

    They are `/PROJECT/STACK/index/…`. Each is a JSON object with a part of the whole; together they
    are the outputs by their names, `deadLetters` (trigger → queue name), `protect`, `disabled`
    (schedule → true), `filters` (upload → what it takes and starts) and `maxConcurrency` (job →
    number). Parameters of up to 4 KB are free, larger ones 0.05 USD a month.
    """

    path: pulumi.Output[str]
    """What the names of the parameters begin with."""

    def __init__(
        self, name: str, args: StackIndexArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:StackIndex", name, opts)
        path = f"/{pulumi.get_project()}/{pulumi.get_stack()}/index"
        content = {
            **args["outputs"],
            "deadLetters": args.get("dead_letter_queue_names", {}),
            "protect": args.get("protect", True),
            "disabled": dict.fromkeys(args.get("disabled_schedules", []), True),
            "filters": args.get("filters", {}),
            "maxConcurrency": args.get("max_concurrency", {}),
        }
        for number, part in enumerate(_parts(content)):
            aws.ssm.Parameter(
                f"{name}-{number}",
                name=f"{path}/{number}",
                type="String",
                # Standard while it fits, else advanced.
                tier="Intelligent-Tiering",
                value=json_text(part),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.path = pulumi.Output.from_input(path)
        self.register_outputs({"path": self.path})


def _parts(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Mappings as large as a parameter takes, whatever the outputs in them turn out to be."""
    parts: list[dict[str, Any]] = [
        {key: value for key, value in content.items() if not isinstance(value, dict)}
    ]
    room = 0
    for key, entries in content.items():
        if not isinstance(entries, dict):
            continue
        for name, entry in entries.items():
            size = len(key) + len(name) + 12 + _size(name, entry)
            if size > room:
                parts.append({})
                room = _CHARACTERS - 10
            parts[-1].setdefault(key, {})[name] = entry
            room -= size
    return parts


def _size(name: str, entry: object) -> int:
    if isinstance(entry, pulumi.Output):
        return _ARN + len(machine_prefix()) + len(name)
    if isinstance(entry, dict):
        return sum(len(key) + 6 + _size(name, value) + _path(key) for key, value in entry.items())
    return len(json.dumps(entry)) + 2


def _path(key: str) -> int:
    """What a role's ARN has besides, which a company's path makes long."""
    return len(role_path()) if key.endswith("RoleArn") else 0
