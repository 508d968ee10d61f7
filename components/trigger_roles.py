"""The roles with which a stack's rules, schedules and pipelines start what they start."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi

from ._here import Component
from ._iam import Statement, allow, arn, run_any_task, service_role
from ._machine import machine_role
from ._schedule import schedule_role
from ._task import family
from .names import machine_prefix
from .scheduled_pipeline import may_run_steps, one_or_all


class TriggerRolesArgs(TypedDict):
    """What there is to start in the stack. What is left out is not granted."""

    uploads: bool
    """Whether uploads start the state machines of jobs."""
    uploaded_pipelines: NotRequired[bool]
    """Whether uploads start pipelines. Default: none does."""
    pipelines: bool
    """Whether there are pipelines."""
    scheduled_pipelines: NotRequired[bool]
    """Whether schedules start them. Default: as `pipelines`."""
    schedule_group_arn: pulumi.Input[str]
    """The schedule group, one of the stack's own."""
    cluster_arn: pulumi.Input[str]
    """The cluster in which tasks are started."""
    uploaded_task_role_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """The roles of the tasks that uploads start, execution roles among them. Default: none."""
    scheduled_task_role_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """The roles of the tasks that schedules start. Default: none."""


class TriggerRoles(Component):
    """One role for each kind of trigger, however many there are.

    Lists of what they start would not fit into a policy, so they name the stack's own by a pattern:
    by `machine_prefix`, which no other stack's names begin with, and by the IAM path of the stack's
    roles.
    """

    upload_role_arn: pulumi.Output[str] | None
    """With which rules start the state machines of jobs, and pipelines."""
    task_upload_role_arn: pulumi.Output[str] | None
    """With which rules start tasks."""
    pipeline_role_arn: pulumi.Output[str] | None
    """With which pipelines start the state machines of jobs."""
    pipeline_schedule_role_arn: pulumi.Output[str] | None
    """With which schedules start pipelines."""
    task_schedule_role_arn: pulumi.Output[str] | None
    """With which schedules start tasks."""

    def __init__(
        self, name: str, args: TriggerRolesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:TriggerRoles", name, opts, looks_back=True)
        child = pulumi.ResourceOptions(parent=self)
        prefix = machine_prefix()
        jobs, pipelines = (
            arn("states", f"stateMachine:{prefix}{kind}-*") for kind in ("job", "pipeline")
        )
        group_arn = args["schedule_group_arn"]
        self.upload_role_arn = self.task_upload_role_arn = self.pipeline_role_arn = None
        self.pipeline_schedule_role_arn = self.task_schedule_role_arn = None
        uploaded = [jobs] if args["uploads"] else []
        if args.get("uploaded_pipelines", False):
            uploaded.append(pipelines)
        if uploaded:
            self.upload_role_arn = _rules_role(
                f"{name}-uploads",
                [allow("states:StartExecution", one_or_all(uploaded))],
                child,
            )
        if role_arns := args.get("uploaded_task_role_arns", []):
            self.task_upload_role_arn = _rules_role(
                f"{name}-task-uploads", _run_any(args, role_arns), child
            )
        if args["pipelines"]:
            self.pipeline_role_arn = machine_role(
                f"{name}-pipelines",
                f"{prefix}pipeline-*",
                may_run_steps([jobs], [pipelines]),
                child,
            )
        if args.get("scheduled_pipelines", args["pipelines"]):
            self.pipeline_schedule_role_arn = schedule_role(
                f"{name}-pipeline-schedules",
                group_arn,
                [allow("states:StartExecution", pipelines)],
                child,
            )
        if role_arns := args.get("scheduled_task_role_arns", []):
            self.task_schedule_role_arn = schedule_role(
                f"{name}-task-schedules", group_arn, _run_any(args, role_arns), child
            )
        self.register_outputs(
            {
                "upload_role_arn": self.upload_role_arn,
                "task_upload_role_arn": self.task_upload_role_arn,
                "pipeline_role_arn": self.pipeline_role_arn,
                "pipeline_schedule_role_arn": self.pipeline_schedule_role_arn,
                "task_schedule_role_arn": self.task_schedule_role_arn,
            }
        )


def _rules_role(
    name: str, statements: Sequence[Statement], opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    return service_role(
        name,
        service="events.amazonaws.com",
        # Rules are called after their upload, as those of before are: with a new name there would
        # be two of them for a while, or none.
        source={"ArnLike": {"aws:SourceArn": arn("events", "rule/*")}},
        statements=statements,
        opts=opts,
        # What is delivered until the rules point elsewhere is started with it, too.
        under_way=True,
    )


def _run_any(args: TriggerRolesArgs, role_arns: Sequence[pulumi.Input[str]]) -> Sequence[Statement]:
    return run_any_task(families=family("*"), cluster_arn=args["cluster_arn"], role_arns=role_arns)
