"""What a state machine, a rule and a schedule must know to run a job's task, and where."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from . import defaults
from ._iam import Statement, run_task
from .asl.job import TRIGGER_TAG, Place, Task
from .names import machine_prefix


class TaskArgs(TypedDict):
    """A job's task, as `FargateJob.task` gives it."""

    name: pulumi.Input[str]
    """The job's name, which is also its container's name."""
    task_definition_arn: pulumi.Input[str]
    """The task definition's ARN with its revision: the one that is run."""
    execution_role_arn: pulumi.Input[str]
    """The role ECS pulls the image and writes the log with."""
    task_role_arn: pulumi.Input[str]
    """The role the container's own AWS calls are made with."""
    log_group_name: pulumi.Input[str]
    """The log group of the container's output; the stream is NAME/NAME/TASK_ID."""


class ExitCodesArgs(TypedDict):
    """The exit codes of a job that are no failures, beside 0."""

    success: Sequence[int]
    """The exit codes of a run that went well."""
    warning: Sequence[int]
    """The exit codes of a run that went well, but of which somebody is told."""


class PlacementArgs(TypedDict):
    """Where tasks run."""

    cluster_arn: pulumi.Input[str]
    """The ECS cluster's ARN."""
    subnet_ids: pulumi.Input[Sequence[str]]
    """The subnets a task's network interface may be in."""
    security_group_ids: pulumi.Input[Sequence[str]]
    """The security groups of the task's network interface."""
    assign_public_ip: NotRequired[bool]
    """Whether a task gets a public IPv4 address, as in public subnets it must. Default: True."""
    platform_version: NotRequired[str]
    """The Fargate platform version. Default: 1.4.0."""
    spot: NotRequired[bool]
    """Whether tasks run on Fargate Spot. Default: False."""


def families_of(timeouts: Mapping[str, int]) -> dict[str, int]:
    """Seconds by the family of a job's task definitions, from seconds by job."""
    return {family(job): seconds for job, seconds in timeouts.items()}


def family(job: str) -> str:
    """The family of a job's task definitions."""
    return f"{machine_prefix()}job-{job}"


def known_task(task: TaskArgs) -> Task:
    """The task whose outputs are known, as inside an `apply` they are."""
    return Task(
        name=cast("str", task["name"]),
        task_definition_arn=cast("str", task["task_definition_arn"]),
        log_group_name=cast("str", task["log_group_name"]),
    )


def known_place(placement: PlacementArgs) -> Place:
    """The placement whose outputs are known, as inside an `apply` they are."""
    return Place(
        cluster_arn=cast("str", placement["cluster_arn"]),
        subnet_ids=cast("Sequence[str]", placement["subnet_ids"]),
        security_group_ids=cast("Sequence[str]", placement["security_group_ids"]),
        assign_public_ip=placement.get("assign_public_ip", defaults.ASSIGN_PUBLIC_IP),
        platform_version=placement.get("platform_version", defaults.PLATFORM_VERSION),
        spot=placement.get("spot", defaults.SPOT),
    )


def ecs_parameters(
    task: pulumi.Output[TaskArgs],
    placement: PlacementArgs,
    *,
    trigger: str,
    count: int = 1,
    group: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """How a rule's or a schedule's target runs the task.

    Its events carry the group, the bill the trigger; `tags` are its own, beside those of the job.
    """
    spot = placement.get("spot", defaults.SPOT)
    return {
        "task_definition_arn": task["task_definition_arn"],
        "task_count": count,
        "group": group,
        "capacity_provider_strategies": [
            {"capacity_provider": "FARGATE_SPOT" if spot else "FARGATE", "weight": 1}
        ],
        "platform_version": placement.get("platform_version", defaults.PLATFORM_VERSION),
        "network_configuration": {
            "subnets": placement["subnet_ids"],
            "security_groups": placement["security_group_ids"],
            "assign_public_ip": placement.get("assign_public_ip", defaults.ASSIGN_PUBLIC_IP),
        },
        "propagate_tags": "TASK_DEFINITION",
        "tags": {TRIGGER_TAG: trigger, **(tags or {})},
    }


def may_run(task: pulumi.Output[TaskArgs], placement: PlacementArgs) -> list[Statement]:
    """What starting the task takes."""
    return run_task(
        task_definition_arn=task["task_definition_arn"],
        cluster_arn=placement["cluster_arn"],
        role_arns=[task["execution_role_arn"], task["task_role_arn"]],
    )
