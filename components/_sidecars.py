"""The further containers of a job's task: their arguments, and what these are in its definition."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi

from . import defaults


class HealthCheckArgs(TypedDict):
    """When a container is healthy."""

    command: Sequence[str]
    """The program and its arguments that end with 0 if it is; they are of the container's image."""
    interval: NotRequired[int]
    """How many seconds are between two of them, 5 to 300. Default: 30."""
    timeout: NotRequired[int]
    """After how many seconds one has failed, 2 to 60. Default: 5."""
    retries: NotRequired[int]
    """How many have to fail in a row, 1 to 10. Default: 3."""
    start_period: NotRequired[int]
    """For how many seconds after the start a failure does not count, 0 to 300. Default: 0."""


class SidecarArgs(TypedDict):
    """A container that runs beside the job's own, with the same roles, disk and network."""

    image: pulumi.Input[str]
    """The image's URI."""
    repository_arn: NotRequired[pulumi.Input[str] | None]
    """The ECR repository of `image`, which may then be pulled from. Not for public images. Default:
    none."""
    essential: NotRequired[bool]
    """Whether the task is stopped when this container ends. Default: False."""
    cpu: NotRequired[int | None]
    """CPU units of the job's that it has for itself. Without it: none."""
    memory: NotRequired[int | None]
    """MiB of the job's memory, above which the container is killed, if it may not have all. Without
    it: as much as there is."""
    environment: NotRequired[Mapping[str, str]]
    """Environment variables of this container. Default: none."""
    secrets: NotRequired[Mapping[str, str]]
    """Environment variables by ARN of a Secrets Manager secret or SSM parameter. Default: none."""
    entry_point: NotRequired[Sequence[str] | None]
    """The program and its first arguments. Default: the image's."""
    commands: NotRequired[Sequence[str] | None]
    """Its arguments. Default: the image's."""
    depends_on: NotRequired[Mapping[str, str]]
    """Other sidecars this one starts after, each with START, COMPLETE, SUCCESS or HEALTHY. Default:
    none."""
    health_check: NotRequired[HealthCheckArgs | None]
    """When it is HEALTHY. Default: never."""


def sidecar(
    name: str, args: SidecarArgs, *, stop_timeout: int, log_configuration: Mapping[str, Any]
) -> dict[str, Any]:
    """The container definition of a sidecar.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
    """
    entry_point, commands = args.get("entry_point"), args.get("commands")
    check = args.get("health_check")
    optional: dict[str, Any] = {
        "cpu": args.get("cpu"),
        "memory": args.get("memory"),
        "entryPoint": None if entry_point is None else list(entry_point),
        "command": None if commands is None else list(commands),
        "healthCheck": None if check is None else _health_check(check),
    }
    return {
        "name": name,
        "image": args["image"],
        "essential": args.get("essential", defaults.ESSENTIAL),
        "environment": pairs(args.get("environment", {})),
        "secrets": secret_pairs(args.get("secrets", {})),
        "stopTimeout": stop_timeout,
        "logConfiguration": log_configuration,
        **dependencies(args.get("depends_on", {})),
        **{key: value for key, value in optional.items() if value is not None},
    }


def _health_check(check: HealthCheckArgs) -> dict[str, Any]:
    return {
        "command": ["CMD", *check["command"]],
        "interval": check.get("interval", defaults.HEALTHCHECK_INTERVAL),
        "timeout": check.get("timeout", defaults.HEALTHCHECK_TIMEOUT),
        "retries": check.get("retries", defaults.HEALTHCHECK_RETRIES),
        "startPeriod": check.get("start_period", defaults.HEALTHCHECK_START_PERIOD),
    }


def pairs(environment: Mapping[str, pulumi.Input[str]]) -> list[dict[str, Any]]:
    """Variables as a container definition has them."""
    return [{"name": name, "value": value} for name, value in sorted(environment.items())]


def secret_pairs(secrets: Mapping[str, str]) -> list[dict[str, str]]:
    """Secrets as a container definition has them."""
    return [{"name": name, "valueFrom": value} for name, value in sorted(secrets.items())]


def dependencies(depends_on: Mapping[str, str]) -> dict[str, Any]:
    """What a container waits for, if it does."""
    if not depends_on:
        return {}
    return {
        "dependsOn": [
            {"containerName": name, "condition": condition}
            for name, condition in sorted(depends_on.items())
        ]
    }
