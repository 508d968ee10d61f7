"""A state machine that runs one job's task to its end."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi

from . import defaults
from ._iam import allow, instances_of, managed_rule, run_task, tasks_of
from ._machine import machine_prefix, state_machine
from ._task import PlacementArgs, TaskArgs
from .asl.job import RetryPolicy, run_job
from .asl.timeout import stopping_own_task
from .concurrency import ConcurrencyLimit


class BatchStateMachineArgs(TypedDict):
    """What is run, where, and what is done when it fails."""

    task: TaskArgs
    """The job's task: `FargateJob.task`."""
    placement: PlacementArgs
    """Where it runs."""
    timeout_seconds: NotRequired[int]
    """After how many seconds a task is given up. Default: 3600."""
    retries: NotRequired[int]
    """How often a task that was interrupted, never started or ended with an exit code of
    `retry_exit_codes` is started anew. Default: 5."""
    retry_exit_codes: NotRequired[Sequence[int]]
    """Exit codes that ask for another try. Default: 75."""
    spot_interruptions: NotRequired[int]
    """After how many interruptions a Spot task is started on demand. Default: 2."""
    max_concurrency: NotRequired[int | None]
    """How many executions may run the task at once, 1 to 1000: see `ConcurrencyLimit`. Default: as
    many as there are."""
    log_retention_days: NotRequired[int]
    """For how many days the execution log is kept. Default: 30."""


class BatchStateMachine(pulumi.ComponentResource):
    """Runs one job's task to its end with `ecs:runTask.sync`.

    Input: an S3 "Object Created" event as EventBridge delivers it, whose key becomes the task's
    command and whose bucket and key its environment's BUCKET and OBJECT_KEY; or
    `{"commands": [text, ...], "environment": {name: text, ...}}`, both optional.

    Output: `{"job", "taskArn", "exitCode", "attempts", "logGroup", "logStream"}`.

    Errors: `Input.Invalid`; `Batch.BadData` (exit code 65), `Batch.ObjectGone` (66),
    `Batch.TryAgainLater` (75), `Batch.Misconfigured` (78), `Batch.Failed` (any other);
    `Batch.NeverStarted`, `Batch.Interrupted`, `Batch.Stopped`, `Batch.TimedOut`; or ECS's own.

    An execution without retries takes three state transitions, 0.000075 USD.
    """

    state_machine_arn: pulumi.Output[str]
    """The state machine's ARN."""

    def __init__(
        self, name: str, args: BatchStateMachineArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:BatchStateMachine", name, dict(args), opts)
        task, placement = args["task"], args["placement"]
        cluster_arn = placement["cluster_arn"]

        definition = run_job(
            task,
            placement,
            timeout_seconds=args.get("timeout_seconds", defaults.TIMEOUT_SECONDS),
            retry=RetryPolicy(
                attempts=args.get("retries", defaults.RETRIES),
                exit_codes=args.get("retry_exit_codes", defaults.RETRY_EXIT_CODES),
                spot_interruptions=args.get("spot_interruptions", defaults.SPOT_INTERRUPTIONS),
            ),
        )
        definition = stopping_own_task(
            definition,
            cluster_arn=cluster_arn,
            task_definition_arn=task["task_definition_arn"],
            timeout_seconds=args.get("timeout_seconds", defaults.TIMEOUT_SECONDS),
        )
        limit = args.get("max_concurrency")
        self._concurrency = None
        if limit is not None:
            self._concurrency = ConcurrencyLimit(
                name,
                {
                    "state_machine_name": f"{machine_prefix()}job-{name}",
                    "limit": limit,
                    "log_retention_days": args.get(
                        "log_retention_days", defaults.LOG_RETENTION_DAYS
                    ),
                },
                pulumi.ResourceOptions(parent=self),
            )
            definition = self._concurrency.limited(definition)
        machine = state_machine(
            name,
            kind="job",
            definition=definition,
            statements=[
                *run_task(
                    task_definition_arn=task["task_definition_arn"],
                    cluster_arn=cluster_arn,
                    role_arns=[task["execution_role_arn"], task["task_role_arn"]],
                ),
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
                *(self._concurrency.statements if self._concurrency else []),
            ],
            log_retention_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.state_machine_arn = machine.arn
        self._task = task
        self.register_outputs({"state_machine_arn": self.state_machine_arn})

    @property
    def concurrency(self) -> ConcurrencyLimit | None:
        """What keeps its executions to `max_concurrency`, if that is given."""
        return self._concurrency

    @property
    def outputs(self) -> dict[str, pulumi.Input[str]]:
        """What other teams read of a job: its task definition, state machine and log group."""
        return {
            "taskDefinitionArn": self._task["task_definition_arn"],
            "stateMachineArn": self.state_machine_arn,
            "logGroup": self._task["log_group_name"],
        }
