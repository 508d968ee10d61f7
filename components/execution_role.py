"""The role with which ECS starts the tasks of all jobs that have no secrets."""

from typing import NotRequired, TypedDict

import pulumi

from ._here import Component
from ._iam import arn
from .fargate_job import execution_statements, task_role


class ExecutionRoleArgs(TypedDict):
    """What it may pull."""

    repository_arn: NotRequired[pulumi.Input[str] | None]
    """The ECR repository of the jobs' image. Not for public images. Default: none."""


class ExecutionRole(Component):
    """A role that may write to the log group of every job of the stack, and pull their image.

    ECS uses it, no container has its credentials: they could only write to the logs of others. A
    job that has secrets, or an image of its own, takes a role of its own.
    """

    role_arn: pulumi.Output[str]
    """The role's ARN: `FargateJobArgs.execution_role_arn`."""

    def __init__(
        self, name: str, args: ExecutionRoleArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:ExecutionRole", name, opts)
        groups = arn("logs", f"log-group:/{pulumi.get_project()}/{pulumi.get_stack()}/*")
        self.role_arn = task_role(
            name,
            execution_statements(groups, [args.get("repository_arn")], [], None, None),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"role_arn": self.role_arn})
