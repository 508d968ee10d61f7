"""A task that a rule or a schedule started is stopped when it outlives its job's timeout."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import defaults
from ._dead_letters import RULE_RETRIES, accept_from_rule, dead_letter_queue
from ._iam import allow, arn, service_role, tasks_of
from ._json import json_text
from ._machine import machine_prefix, state_machine
from .asl.timeout import reap_task


class TaskReaperArgs(TypedDict):
    """Whose tasks, and how long they may run."""

    cluster_arn: pulumi.Input[str]
    """The cluster: tasks of others are left alone."""
    timeouts: Mapping[str, int]
    """After how many seconds a task is stopped, by the name of its job."""
    log_retention_days: NotRequired[int]
    """For how many days the execution log is kept. Default: 30."""


class TaskReaper(pulumi.ComponentResource):
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
        super().__init__("fargate-batch:index:TaskReaper", name, dict(args), opts)
        child = pulumi.ResourceOptions(parent=self)
        cluster_arn = args["cluster_arn"]

        families = {f"{machine_prefix()}{job}": limit for job, limit in args["timeouts"].items()}
        machine = state_machine(
            name,
            kind="reaper",
            definition=reap_task(families, cluster_arn),
            statements=[allow("ecs:StopTask", tasks_of(cluster_arn))],
            log_retention_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            opts=child,
        )
        rule = aws.cloudwatch.EventRule(
            name,
            description="Tasks that a rule or a schedule started and that run",
            event_pattern=json_text(
                {
                    "source": ["aws.ecs"],
                    "detail-type": ["ECS Task State Change"],
                    "detail": {
                        "clusterArn": [cluster_arn],
                        "lastStatus": ["RUNNING"],
                        "desiredStatus": ["RUNNING"],
                        "startedBy": [{"prefix": by} for by in STARTED_DIRECTLY],
                        "taskDefinitionArn": [
                            {"prefix": arn("ecs", f"task-definition/{machine_prefix()}")}
                        ],
                    },
                }
            ),
            opts=child,
        )
        queue = dead_letter_queue(name, child)
        accepts = accept_from_rule(name, queue, rule.arn, child)
        role_arn = service_role(
            f"{name}-rule",
            service="events.amazonaws.com",
            source={"ArnEquals": {"aws:SourceArn": rule.arn}},
            statements=[allow("states:StartExecution", machine.arn)],
            opts=child,
        )
        aws.cloudwatch.EventTarget(
            name,
            rule=rule.name,
            arn=machine.arn,
            role_arn=role_arn,
            dead_letter_config={"arn": queue.arn},
            retry_policy=RULE_RETRIES,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[accepts]),
        )
        self.rule_name = rule.name
        self.dead_letter_queue_name = queue.name
        self.register_outputs(
            {
                "rule_name": self.rule_name,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )


# What ECS shows of who started a task, as seen in events: AWS documents it nowhere.
STARTED_DIRECTLY = ("events-rule/", "chronos-schedule/")
