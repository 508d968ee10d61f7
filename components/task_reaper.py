"""A task that a rule or a schedule started is stopped when it outlives its job's timeout."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi

from . import defaults
from ._dead_letters import with_queue
from ._delivery import Rule, deliver, listen, start
from ._here import Component
from ._iam import allow, arn, tasks_of
from ._machine import state_machine
from ._task import families_of, family
from .asl.timeout import reap_task


class TaskReaperArgs(TypedDict):
    """Whose tasks, and how long they may run."""

    cluster_arn: pulumi.Input[str]
    """The cluster: tasks of others are left alone."""
    timeouts: Mapping[str, int]
    """After how many seconds a task is stopped, by the name of its job."""
    log_retention_days: NotRequired[int]
    """For how many days the execution log is kept. Default: 30."""


class TaskReaper(Component):
    """A rule on tasks that run, and a state machine that waits and then stops the task.

    Neither a rule nor a schedule can give a task a time limit, and ECS has none. The time counts
    from when the task started to run. A task takes four state transitions, 0.0001 USD, however
    short it is. Tasks of a `BatchStateMachine` are its own to stop.
    """

    rule_name: pulumi.Output[str]
    """The rule's name."""
    dead_letter_queue_name: pulumi.Output[str]
    """The name of the queue of events that could not be delivered: of tasks without a limit."""

    def __init__(
        self, name: str, args: TaskReaperArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:TaskReaper", name, args, with_queue(opts))
        child = pulumi.ResourceOptions(parent=self)
        cluster_arn = args["cluster_arn"]

        families = families_of(args["timeouts"])
        machine = state_machine(
            name,
            kind="reaper",
            definition=pulumi.Output.from_input(cluster_arn).apply(
                lambda cluster: reap_task(families, cluster)
            ),
            statements=[allow("ecs:StopTask", tasks_of(cluster_arn))],
            log_retention_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            opts=child,
        )
        rule = Rule("Tasks that a rule or a schedule started and that run", _run(cluster_arn))
        heard = listen(name, {name: rule}, child)
        deliver(name, heard, start(machine.arn), child, role=f"{name}-rule")
        self.rule_name = heard.rules[name].name
        self.dead_letter_queue_name = heard.queue.name
        self.register_outputs(
            {
                "rule_name": self.rule_name,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )


# What ECS shows of who started a task, as seen in events: AWS documents it nowhere.
STARTED_DIRECTLY = ("events-rule/", "chronos-schedule/")


def _run(cluster_arn: pulumi.Input[str]) -> dict[str, Any]:
    return {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "clusterArn": [cluster_arn],
            "lastStatus": ["RUNNING"],
            "desiredStatus": ["RUNNING"],
            "startedBy": [{"prefix": by} for by in STARTED_DIRECTLY],
            "taskDefinitionArn": [{"prefix": arn("ecs", f"task-definition/{family('')}")}],
        },
    }
