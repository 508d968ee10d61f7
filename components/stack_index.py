"""What a stack made, kept where an operator's tools find it by the stack's project and name."""

from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from ._documents import json_text

# Ten entries of the longest names fit the 8 KB of an advanced parameter:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
_ENTRIES = 10


class StackIndexArgs(TypedDict):
    """What is kept of the stack."""

    outputs: dict[str, Any]
    """The stack's outputs, by name; any of them may be a mapping of names to values."""
    dead_letter_queue_names: NotRequired[dict[str, pulumi.Input[str]]]
    """The queue of each trigger, by kind and name: `upload-NAME`. Default: none."""
    protect: NotRequired[bool]
    """Whether the stack is one to be careful with. Default: True."""


class StackIndex(pulumi.ComponentResource):
    """The stack's outputs and the queues of its triggers, as SSM parameters.

    They are `/PROJECT/STACK/index/…`. Each is a JSON object with a part of the whole, ten jobs or
    triggers at most; together they are the outputs by their names, `deadLetters` (trigger → queue
    name) and `protect`. Parameters of up to 4 KB are free, larger ones 0.05 USD a month.
    """

    path: pulumi.Output[str]
    """What the names of the parameters begin with."""

    def __init__(
        self, name: str, args: StackIndexArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:StackIndex", name, dict(args), opts)
        path = f"/{pulumi.get_project()}/{pulumi.get_stack()}/index"
        content = {
            **args["outputs"],
            "deadLetters": args.get("dead_letter_queue_names", {}),
            "protect": args.get("protect", True),
        }
        scalars = {key: value for key, value in content.items() if not isinstance(value, dict)}
        parts = {"stack": scalars} | {
            f"{key}/{start // _ENTRIES}": {key: dict(list(value.items())[start : start + _ENTRIES])}
            for key, value in content.items()
            if isinstance(value, dict)
            for start in range(0, len(value), _ENTRIES)
        }
        for part, value in parts.items():
            aws.ssm.Parameter(
                f"{name}-{part.replace('/', '-')}",
                name=f"{path}/{part}",
                type="String",
                # Standard while it fits, else advanced.
                tier="Intelligent-Tiering",
                value=json_text(value),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.path = pulumi.Output.from_input(path)
        self.register_outputs({"path": self.path})
