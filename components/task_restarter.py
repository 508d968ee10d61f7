"""A task that a rule or a schedule started, and that did not start, is started again."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi

from . import defaults
from ._dead_letters import with_queue
from ._delivery import Rule, deliver, listen, start
from ._here import Component
from ._iam import arn, run_any_task
from ._machine import state_machine
from ._task import PlacementArgs, family, known_place
from .asl.job import network_of
from .asl.restart import restart_task
from .task_reaper import STARTED_DIRECTLY


class TaskRestarterArgs(TypedDict):
    """Whose tasks, and where they run."""

    cluster_arn: pulumi.Input[str]
    """The cluster: tasks of others are left alone."""
    placements: Mapping[str, PlacementArgs]
    """Where the tasks of each job run that rules or schedules start, by the job's name."""
    task_role_arns: Sequence[pulumi.Input[str]]
    """The roles of those tasks, execution roles among them."""
    log_retention_days: NotRequired[int]
    """For how many days the execution log is kept. Default: 30."""


class TaskRestarter(Component):
    """A rule on tasks that did not start, and a state machine that starts those anew that may.

    To a rule or a schedule a task is delivered that ECS has accepted. One that did not start for a
    reason that passes by itself, such as want of addresses or capacity, is started again up to five
    times, each task once. A restart takes five state transitions, 0.000125 USD.
    """

    rule_name: pulumi.Output[str]
    """The rule's name."""
    dead_letter_queue_name: pulumi.Output[str]
    """The name of the queue of events that could not be delivered: of tasks that are lost."""

    def __init__(
        self, name: str, args: TaskRestarterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:TaskRestarter", name, args, with_queue(opts))
        child = pulumi.ResourceOptions(parent=self)
        cluster_arn = args["cluster_arn"]

        def definition(placements: Mapping[str, PlacementArgs]) -> dict[str, Any]:
            networks = {job: network_of(known_place(it)) for job, it in placements.items()}
            return restart_task(networks, family(""))

        machine = state_machine(
            name,
            # Of what looks after the tasks that no state machine runs.
            kind="reaper",
            definition=pulumi.Output.from_input(args["placements"]).apply(definition),
            statements=run_any_task(
                families=family("*"), cluster_arn=cluster_arn, role_arns=args["task_role_arns"]
            ),
            log_retention_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            opts=child,
        )
        rule = Rule("Tasks that a rule or a schedule started in vain", _in_vain(cluster_arn))
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


def _in_vain(cluster_arn: pulumi.Input[str]) -> dict[str, Any]:
    return {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "clusterArn": [cluster_arn],
            "lastStatus": ["STOPPED"],
            "stopCode": ["TaskFailedToStart"],
            "startedBy": [{"prefix": by} for by in STARTED_DIRECTLY],
            "taskDefinitionArn": [{"prefix": arn("ecs", f"task-definition/{family('')}")}],
        },
    }
