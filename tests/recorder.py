"""The recorder, and the stacks of this repository on it."""

import copy
import json
import runpy
from functools import cache
from pathlib import Path

from fargate_batch.testing import (
    ACCOUNT,
    PROJECT,
    REGION,
    UNKNOWN,
    Json,
    Recording,
    Resource,
    children,
    deploy,
    every,
    one,
)
from local.engine import project

__all__ = [
    "ACCOUNT",
    "PROJECT",
    "REGION",
    "ROOT",
    "UNKNOWN",
    "Json",
    "Recording",
    "Resource",
    "children",
    "deploy",
    "deploy_stack",
    "every",
    "one",
    "the_stack",
]

ROOT = Path(__file__).parent.parent


def deploy_stack(
    stack: str, *, preview: bool = False, called: str | None = None, **config: object
) -> Recording:
    """Evaluate `__main__.py` with the stack's file, and `config` (camelCase) in place of its keys.

    What is None is left out. `called` is the stack's name, if not that of its file.
    """
    values = dict(project.load(ROOT, stack).config)
    for key, value in config.items():
        values.pop(f"{PROJECT}:{key}", None)
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            values[f"{PROJECT}:{key}"] = text
    return deploy(
        lambda: runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__"),
        config=values,
        preview=preview,
        stack=called or stack,
    )


@cache
def _stack(stack: str, *, preview: bool) -> Recording:
    return deploy_stack(stack, preview=preview)


def the_stack(stack: str, *, preview: bool = False) -> Recording:
    """The stack as its file has it, evaluated once; each call gives a copy."""
    return copy.deepcopy(_stack(stack, preview=preview))
