"""What the containers of a task wait for: each other's starts, ends and health.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html
"""

import time
from collections.abc import Callable, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any, cast

from local.services.ecs.processes import Process

# How often a container is asked that has not been healthy yet: ECS waits for the whole interval.
_FIRST_SECONDS = 0.5


def of(definition: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The containers that this one waits for, and what for."""
    named = cast("list[dict[str, str]]", definition.get("dependsOn") or [])
    return [(one["containerName"], one["condition"]) for one in named]


def in_order(definitions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The containers of a task, each after those that it waits for."""
    by_name = {one["name"]: one for one in definitions}
    graph = {name: [other for other, _ in of(one)] for name, one in by_name.items()}
    return [by_name[name] for name in TopologicalSorter(graph).static_order()]


def met(container: Mapping[str, Any], condition: str) -> bool:
    """Whether a container that has been started is what another waits for."""
    match condition:
        case "COMPLETE":
            return container["lastStatus"] == "STOPPED"
        case "SUCCESS":
            return container["lastStatus"] == "STOPPED" and container["exitCode"] == 0
        case "HEALTHY":
            return container["healthStatus"] == "HEALTHY"
        case _:
            return True


def failed(container: Mapping[str, Any]) -> bool:
    """Whether it will not become anything any more."""
    return container["lastStatus"] == "STOPPED" or container["healthStatus"] == "UNHEALTHY"


def watch(process: Process, check: Mapping[str, Any], tell: Callable[[str], None]) -> None:
    """Ask a container how it is, and tell it, until it has ended.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
    """
    kind, *words = cast("list[str]", check["command"])
    command = words if kind == "CMD" else ["/bin/sh", "-c", *words]
    interval = check.get("interval") or 30
    patience = (check.get("retries") or 3) * interval
    since, pause = time.monotonic() + (check.get("startPeriod") or 0), _FIRST_SECONDS
    while not process.join(0):
        if process.check(command, check.get("timeout") or 5):
            since, pause = time.monotonic(), interval
            tell("HEALTHY")
        elif time.monotonic() - since >= patience:
            tell("UNHEALTHY")
        process.join(pause)
