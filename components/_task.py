"""What a state machine, a rule and a schedule must know to run a job's task, and where."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi

from . import defaults


class TaskArgs(TypedDict):
    """A job's task, as `FargateJob.task` gives it."""

    name: str
    """The job's name, which is also its container's name."""
    task_definition_arn: pulumi.Input[str]
    """The task definition's ARN with its revision: what is granted is what is run."""
    execution_role_arn: pulumi.Input[str]
    """The role ECS pulls the image and writes the log with."""
    task_role_arn: pulumi.Input[str]
    """The role the container's own AWS calls are made with."""
    log_group_name: pulumi.Input[str]
    """The log group of the container's output; the stream is NAME/NAME/TASK_ID."""


class PlacementArgs(TypedDict):
    """Where tasks run."""

    cluster_arn: pulumi.Input[str]
    """The ECS cluster's ARN."""
    subnet_ids: pulumi.Input[Sequence[str]]
    """The subnets a task's network interface may be in."""
    security_group_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    """The security groups of the task's network interface."""
    assign_public_ip: NotRequired[bool]
    """Whether a task gets a public IPv4 address, as in public subnets it must. Default: True."""
    platform_version: NotRequired[str]
    """The Fargate platform version. Default: 1.4.0."""
    spot: NotRequired[bool]
    """Whether tasks run on Fargate Spot. Default: False."""


def capacity_provider(placement: PlacementArgs) -> str:
    """The capacity provider that tasks are placed with."""
    return "FARGATE_SPOT" if placement.get("spot", defaults.SPOT) else "FARGATE"
