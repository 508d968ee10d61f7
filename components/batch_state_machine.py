"""A state machine that runs one job's task to its end."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi

from . import defaults
from ._documents import as_output, joined
from ._here import Component
from ._iam import allow, arn, instances_of, managed_rule, tasks_of
from ._machine import state_machine
from ._task import PlacementArgs, TaskArgs, known_place, known_task, may_run
from .asl.job import Endings, RetryPolicy, run_job
from .asl.limit import WAIT_SECONDS, Permits
from .asl.states import Definition
from .asl.turn import Turns
from .concurrency import MOST, ConcurrencyLimit, ConcurrencyLimitArgs, was_lifted
from .names import machine_prefix


class BatchStateMachineArgs(TypedDict):
    """What is run, where, and what is done when it fails."""

    task: pulumi.Input[TaskArgs]
    """The job's task: `FargateJob.task`."""
    placement: PlacementArgs
    """Where it runs."""
    timeout_seconds: NotRequired[int]
    """After how many seconds a task is stopped. Default: 3600."""
    retries: NotRequired[int]
    """How often a task that was interrupted, never started or ended with an exit code of
    `retry_exit_codes` is retried. Default: 5."""
    retry_exit_codes: NotRequired[Sequence[int]]
    """Exit codes that ask for another try. Default: 75."""
    success_exit_codes: NotRequired[Sequence[int]]
    """Exit codes of a run that went well, beside 0. Default: none."""
    warning_exit_codes: NotRequired[Sequence[int]]
    """Exit codes of a run that went well, but of which somebody is told. Default: none."""
    spot_interruptions: NotRequired[int]
    """After how many interruptions a Spot task is started on demand. Default: 2."""
    max_concurrency: NotRequired[int | None]
    """How many executions may run the task at once, 1 to 1000: see `ConcurrencyLimit`. Default: as
    many as there are."""
    launch_table_name: NotRequired[pulumi.Input[str] | None]
    """The table in which executions take turns when AWS throttles RunTask, of all state machines
    of a cluster: `BatchCluster.launch_table_name`. Default: none; each tries again by itself, with
    growing jittered delays, which in a burst is slower and costs more."""
    launches_per_second: NotRequired[int]
    """How many turns there are a second, as many as the account may launch tasks. Default: 20."""
    exclusions: NotRequired[Mapping[str, Sequence[str]]]
    """Keys, with * for any characters, that are not to be run, by the name of the `UploadTrigger`
    whose `exclude` they are. Default: none."""
    stop_timeout: NotRequired[int]
    """Within how many seconds a task that is told to stop has stopped, as its container says.
    Default: 30."""
    log_group_arn: NotRequired[pulumi.Input[str] | None]
    """The ARN of the log group of its executions, whose name begins with /aws/vendedlogs/states/.
    Default: one of its own."""
    log_retention_days: NotRequired[int]
    """For how many days a log of its own is kept. Default: 30."""
    protect: NotRequired[bool]
    """Whether that log and a limit's dead letters stay when the job is removed. Default: True."""


class BatchStateMachine(Component):
    """Runs one job's task to its end with `ecs:runTask.sync`.

    Input: an S3 "Object Created" event as EventBridge delivers it, whose key becomes the task's
    command, and of which its environment's BUCKET, OBJECT_KEY, OBJECT_VERSION (empty in a bucket
    that keeps none), OBJECT_SIZE (bytes), OBJECT_ETAG and OBJECT_SEQUENCER tell; or
    `{"commands": [text, ...], "environment": {name: text, ...}, "tags": {name: text, ...}}`, each
    optional. The tags are those of the task, beside its job's.

    Output: `{"job", "taskArn", "exitCode", "attempts", "logGroup", "logStream"}`, and `"warning"`,
    a text, after an exit code of `warning_exit_codes`.

    Errors: `Input.Invalid`; `Batch.BadData` (exit code 65), `Batch.ObjectGone` (66),
    `Batch.TryAgainLater` (75), `Batch.Misconfigured` (78), `Batch.Failed` (any other);
    `Batch.NoPermit` (a week without one of `max_concurrency`);
    `Batch.NeverStarted`, `Batch.Interrupted`, `Batch.Stopped`, `Batch.TimedOut`; or ECS's own.

    One of an upload that `exclusions` has ends well at once, with the output `{"skipped": true,
    "upload": name}`.

    An execution without retries takes three state transitions, 0.000075 USD, as a skipped one does;
    one whose RunTask is throttled three more each time.
    """

    state_machine_arn: pulumi.Output[str]
    """The state machine's ARN."""
    concurrency_rule_name: pulumi.Output[str] | None
    """With `max_concurrency`: the name of the rule on ends of its executions."""
    concurrency_dead_letter_queue_name: pulumi.Output[str] | None
    """With `max_concurrency`: the name of the queue of ends that were not handled."""

    def __init__(
        self, name: str, args: BatchStateMachineArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:BatchStateMachine", name, opts, looks_back=True)
        child = pulumi.ResourceOptions(parent=self)
        task, placement = as_output(args["task"]), args["placement"]
        cluster_arn = placement["cluster_arn"]
        timeout_seconds = args.get("timeout_seconds", defaults.TIMEOUT_SECONDS)
        log_retention_days = args.get("log_retention_days", defaults.LOG_RETENTION_DAYS)
        protect = args.get("protect", defaults.PROTECT)
        retries = RetryPolicy(
            attempts=args.get("retries", defaults.RETRIES),
            exit_codes=args.get("retry_exit_codes", defaults.RETRY_EXIT_CODES),
            spot_interruptions=args.get("spot_interruptions", defaults.SPOT_INTERRUPTIONS),
        )
        table = args.get("launch_table_name")
        per_second = args.get("launches_per_second", defaults.LAUNCHES_PER_SECOND)
        most, limit = args.get("max_concurrency"), None
        limited: ConcurrencyLimitArgs = {
            "state_machine_name": f"{machine_prefix()}job-{name}",
            "limit": MOST if most is None else most,
            "lifted": most is None,
            "stop_timeout": args.get("stop_timeout", defaults.STOP_TIMEOUT),
            "log_group_arn": args.get("log_group_arn"),
            "log_retention_days": log_retention_days,
            "protect": protect,
        }
        if most is not None:
            limit = ConcurrencyLimit(name, limited, child)
        elif (rule := self.was("aws:cloudwatch/eventRule:EventRule", name)) is not None:
            # Executions wait for its permits, and would for a week: it goes with the next update.
            rule.apply(
                lambda state: (
                    None
                    if state is None or was_lifted(state, name)
                    else ConcurrencyLimit(name, limited, child).urn
                )
            )

        def definition(known: dict[str, Any]) -> Definition:
            return run_job(
                known_task(known["task"]),
                known_place(known["placement"]),
                timeout_seconds=timeout_seconds,
                retries=retries,
                endings=Endings(
                    success=args.get("success_exit_codes", ()),
                    warning=args.get("warning_exit_codes", ()),
                ),
                permits=None if most is None else Permits(known["permits"], most),
                turns=None if table is None else Turns(known["turns"], per_second),
                exclusions=args.get("exclusions"),
            )

        machine = state_machine(
            name,
            kind="job",
            of={
                "task": task,
                "placement": placement,
                "permits": limit and limit.table_name,
                "turns": table,
            },
            definition=definition,
            statements=[
                *may_run(task, placement),
                # Without DescribeTasks an execution can hang, without StopTask an aborted one
                # leaves its task running:
                # https://docs.aws.amazon.com/step-functions/latest/dg/connect-ecs.html
                allow(["ecs:StopTask", "ecs:DescribeTasks"], tasks_of(cluster_arn)),
                # A list names no task, so the cluster's instances stand for it:
                # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
                allow(
                    "ecs:ListTasks",
                    instances_of(cluster_arn),
                    {"ArnEquals": {"ecs:cluster": cluster_arn}},
                ),
                managed_rule("StepFunctionsGetEventsForECSTaskRule"),
                *([allow(_ACQUIRE, limit.table_arn)] if limit else []),
                *([allow("dynamodb:UpdateItem", _table(table))] if table is not None else []),
            ],
            log_group_arn=args.get("log_group_arn"),
            log_retention_days=log_retention_days,
            protect=protect,
            opts=child,
            longest_seconds=timeout_seconds + (WAIT_SECONDS if limit else 0),
        )
        self.state_machine_arn = machine.arn
        self.concurrency_rule_name = limit and limit.rule_name
        self.concurrency_dead_letter_queue_name = limit and limit.dead_letter_queue_name
        self.register_outputs(
            {
                "state_machine_arn": self.state_machine_arn,
                "concurrency_rule_name": self.concurrency_rule_name,
                "concurrency_dead_letter_queue_name": self.concurrency_dead_letter_queue_name,
            }
        )


def _table(name: pulumi.Input[str]) -> pulumi.Output[str]:
    return arn("dynamodb", joined("table/", name))


# What acquiring a permit of a `ConcurrencyLimit` takes.
_ACQUIRE = ["dynamodb:UpdateItem", "dynamodb:PutItem"]
