"""What a rule or a schedule started is stopped when it outlives its timeout, or started again."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi

from . import defaults
from ._dead_letters import with_queue
from ._delivery import Rule, deliver, listen, start
from ._here import Component
from ._iam import allow, arn, run_any_task, tasks_of
from ._machine import state_machine
from ._task import PlacementArgs, families_of, family, known_place
from .asl.job import network_of
from .asl.restart import restart_task
from .asl.states import Definition
from .asl.timeout import reap_task


class TaskReaperArgs(TypedDict):
    """Whose tasks, and how long they may run."""

    cluster_arn: pulumi.Input[str]
    """The cluster: tasks of others are left alone."""
    timeouts: Mapping[str, int]
    """After how many seconds a task is stopped, by the name of its job."""
    placements: NotRequired[Mapping[str, PlacementArgs]]
    """Where the tasks of each job run that are started again if they did not start, by the job's
    name. Default: none is."""
    task_role_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """The roles of those tasks, execution roles among them. Default: none."""
    log_group_arn: NotRequired[pulumi.Input[str] | None]
    """The ARN of the log group of its executions, whose name begins with /aws/vendedlogs/states/.
    Default: one of its own."""
    log_retention_days: NotRequired[int]
    """For how many days a log of its own is kept. Default: 30."""


class TaskReaper(Component):
    """Rules on tasks that run or did not start, and a state machine that stops or restarts them.

    Neither a rule nor a schedule can give a task a time limit, and ECS has none. The time counts
    from when the task started to run. A task takes five state transitions, 0.000125 USD, however
    short it is. To a rule or a schedule a task is delivered that ECS has accepted: one that did not
    start for a reason that passes by itself, such as want of addresses or capacity, is started
    again up to five times, each task once. Tasks of a `BatchStateMachine` are its own.
    """

    rule_name: pulumi.Output[str]
    """The name of the rule on tasks that run."""
    restart_rule_name: pulumi.Output[str] | None
    """With `placements`: the name of the rule on tasks that did not start."""
    dead_letter_queue_name: pulumi.Output[str]
    """The name of the queue of events that could not be delivered: of tasks without a limit."""

    def __init__(
        self, name: str, args: TaskReaperArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:TaskReaper", name, with_queue(opts))
        child = pulumi.ResourceOptions(parent=self)
        cluster_arn = args["cluster_arn"]

        families, placements = families_of(args["timeouts"]), args.get("placements", {})

        def definition(cluster: str, places: Mapping[str, PlacementArgs]) -> Definition:
            networks = {job: network_of(known_place(place)) for job, place in places.items()}
            restarts = restart_task(networks, family("")) if networks else None
            return reap_task(families, cluster, restarts)

        statements = [allow("ecs:StopTask", tasks_of(cluster_arn))]
        if placements:
            statements += run_any_task(
                families=family("*"),
                cluster_arn=cluster_arn,
                role_arns=args.get("task_role_arns", []),
            )
        machine = state_machine(
            name,
            kind="reaper",
            of=[cluster_arn, placements],
            definition=lambda known: definition(*known),
            statements=statements,
            log_group_arn=args.get("log_group_arn"),
            log_retention_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            opts=child,
        )
        rules = {
            name: Rule(
                "Tasks that a rule or a schedule started and that run", _directly(cluster_arn, _RUN)
            )
        }
        if placements:
            rules[f"{name}-restarts"] = Rule(
                "Tasks that a rule or a schedule started in vain", _directly(cluster_arn, _IN_VAIN)
            )
        heard = listen(name, rules, child)
        deliver(name, heard, start(machine.arn), child, role=f"{name}-rule")
        self.rule_name = heard.rules[name].name
        self.restart_rule_name = heard.rules[f"{name}-restarts"].name if placements else None
        self.dead_letter_queue_name = heard.queue.name
        self.register_outputs(
            {
                "rule_name": self.rule_name,
                "restart_rule_name": self.restart_rule_name,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )


# What ECS shows of who started a task, as seen in events: AWS documents it nowhere.
STARTED_DIRECTLY = ("events-rule/", "chronos-schedule/")


_RUN = {"lastStatus": ["RUNNING"], "desiredStatus": ["RUNNING"]}
_IN_VAIN = {"lastStatus": ["STOPPED"], "stopCode": ["TaskFailedToStart"]}


def _directly(cluster_arn: pulumi.Input[str], status: Mapping[str, Any]) -> dict[str, Any]:
    """Tasks of this stack's jobs that a rule or a schedule started, in that status."""
    return {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "clusterArn": [cluster_arn],
            **status,
            "startedBy": [{"prefix": by} for by in STARTED_DIRECTLY],
            "taskDefinitionArn": [{"prefix": arn("ecs", f"task-definition/{family('')}")}],
        },
    }
