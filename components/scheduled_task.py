"""A schedule that runs a job's task directly, without a state machine."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi

from . import defaults
from ._dead_letters import with_queue
from ._documents import as_output, json_text
from ._here import Component
from ._schedule import ScheduleArgs, schedule
from ._task import PlacementArgs, TaskArgs, ecs_parameters, may_run
from .placeholders import IN_SCHEDULES, Placeholder, parts


class ScheduledTaskArgs(TypedDict):
    """When, what, where."""

    schedule: ScheduleArgs
    """When tasks are started."""
    task: pulumi.Input[TaskArgs]
    """The job's task: `FargateJob.task`."""
    placement: PlacementArgs
    """Where it runs."""
    count: NotRequired[int]
    """How many tasks are started each time, 1 to 10. Default: 1."""
    commands: NotRequired[Sequence[str] | None]
    """The container's arguments instead of the task definition's; `<scheduledTime>` and
    `<executionName>` stand for what Scheduler calls so, as do its own placeholders. Default: the
    image's."""
    environment: NotRequired[Mapping[str, str] | None]
    """Environment variables in addition to the task definition's, with the same placeholders.
    Default: none."""
    tags: NotRequired[Mapping[str, str]]
    """The tasks' tags, beside those of their job. Default: none."""
    protect: NotRequired[bool]
    """Whether the dead letters stay when the schedule is removed. Default: True."""


class ScheduledTask(Component):
    """An EventBridge Scheduler schedule whose target is ECS RunTask.

    A start counts as delivered once ECS has accepted the task: whether it ran is for the task
    events to tell. Where its end matters, use a `ScheduledPipeline` of one step.
    """

    schedule_arn: pulumi.Output[str]
    """The schedule's ARN; empty if it can never fire again."""
    dead_letter_queue_name: pulumi.Output[str]
    """The name of the queue of starts that failed."""

    def __init__(
        self, name: str, args: ScheduledTaskArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:ScheduledTask", name, with_queue(opts))
        task, placement = as_output(args["task"]), args["placement"]

        self.schedule_arn, queue = schedule(
            name,
            args["schedule"],
            target={
                "arn": placement["cluster_arn"],
                "input": json_text({"containerOverrides": [_override(args, task["name"])]}),
                "ecs_parameters": ecs_parameters(
                    task,
                    placement,
                    trigger=f"schedule-{name}",
                    count=args.get("count", defaults.COUNT),
                    # By it a task is found from its schedule.
                    group=f"schedule:{name}",
                    tags=args.get("tags"),
                ),
            },
            statements=may_run(task, placement),
            protect=args.get("protect", defaults.PROTECT),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.dead_letter_queue_name = queue.name
        self.register_outputs(
            {
                "schedule_arn": self.schedule_arn,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )


def _override(args: ScheduledTaskArgs, name: pulumi.Output[str]) -> dict[str, object]:
    override: dict[str, object] = {"name": name}
    if (commands := args.get("commands")) is not None:
        override["command"] = [_said(text) for text in commands]
    if (environment := args.get("environment")) is not None:
        override["environment"] = [
            {"name": key, "value": _said(value)} for key, value in sorted(environment.items())
        ]
    return override


def _said(text: str) -> str:
    return "".join(
        f"<{IN_SCHEDULES[part.name]}>" if isinstance(part, Placeholder) else part
        for part in parts(text)
    )
