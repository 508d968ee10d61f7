"""`runs`: the newest executions and tasks in a table."""

import argparse

from local.commands import stack, tasks
from local.commands.lifetime import Lifetime
from local.commands.printable import printable
from local.commands.screen import screen

SHOWN_CHARACTERS = 60
"""What is shown of a trigger: a key may have 1024 bytes."""


def run(options: argparse.Namespace, _lifetime: Lifetime) -> int:
    """List what the stack's state machines and its cluster ran."""
    running = stack.find(options.port)
    machines = [
        (name, outputs["stateMachineArn"])
        for kind in ("jobs", "pipelines")
        for name, outputs in (running.outputs.get(kind) or {}).items()
    ]
    found = tasks.executions(running.client("stepfunctions"), machines, options.limit)
    if cluster := running.outputs.get("clusterArn"):
        found += [tasks.task_run(task) for task in tasks.tasks(running.client("ecs"), cluster)]
    found.sort(key=lambda one: one.began, reverse=True)
    if not found:
        screen().line("Nothing has run yet.")
        return 0
    screen().table(
        ("began", "what", "name", "status", "trigger", "seconds"),
        [
            (
                one.began.astimezone().strftime("%H:%M:%S"),
                one.kind,
                one.name,
                one.status,
                _cut(printable(one.trigger)),
                "" if one.seconds is None else f"{one.seconds:.1f}",
            )
            for one in found[: options.limit]
        ],
    )
    return 0


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
