"""A schedule that starts a state machine that runs several jobs' state machines in series."""

import json
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict, cast

import pulumi

from . import defaults
from ._dead_letters import with_queue
from ._here import Component
from ._iam import Statement, allow, arn, managed_rule
from ._machine import state_machine
from ._schedule import ScheduleArgs, schedule
from .asl.limit import WAIT_SECONDS
from .asl.pipeline import Step, run_pipeline
from .names import machine_prefix


class StepArgs(TypedDict):
    """One job of a pipeline."""

    job: str
    """The job's name, which the pipeline's output repeats."""
    state_machine_arn: pulumi.Input[str]
    """The job's state machine: `BatchStateMachine.state_machine_arn`."""
    commands: NotRequired[Sequence[str] | None]
    """The container's arguments instead of the task definition's; `<scheduledTime>`,
    `<date:FORMAT>`, `<executionName>` of the pipeline, and `<bucket>` and `<key>` of the upload
    that starts it stand for their values. Default: the image's."""
    environment: NotRequired[Mapping[str, str] | None]
    """Environment variables in addition to the task definition's, with the same placeholders.
    Default: none."""
    on_failure: NotRequired[str]
    """stop: the pipeline fails when the step does, and what runs beside it is stopped; finish: it
    fails once what runs beside it has ended; continue: it goes on. Default: stop."""
    on_warning: NotRequired[str]
    """stop: the pipeline fails when the job ends with a warning, as when it fails; continue: it
    goes on. Default: continue."""


class ScheduledPipelineArgs(TypedDict):
    """When, and what in which order."""

    schedule: NotRequired[ScheduleArgs | None]
    """When the pipeline is started. Default: never; an `UploadTrigger` may start it."""
    steps: Sequence[Sequence[StepArgs]]
    """The steps in series. The members of one step run side by side."""
    overlap: NotRequired[str]
    """skip: a run ends at once, as succeeded, while an earlier one still runs; allow: it does not.
    Default: skip."""
    timezone: NotRequired[str]
    """The IANA time zone of the dates in what steps are given. Default: UTC."""
    tags: NotRequired[Mapping[str, str]]
    """Tags of the steps' tasks, beside their jobs': name to text. Default: none."""
    exclusions: NotRequired[Mapping[str, Sequence[str]]]
    """Keys, with * for any characters, that are not to be run, by the name of the `UploadTrigger`
    whose `exclude` they are. Default: none."""
    role_arn: NotRequired[pulumi.Input[str] | None]
    """The role that the steps are started with: `TriggerRoles`. Default: one of its own."""
    log_group_arn: NotRequired[pulumi.Input[str] | None]
    """The ARN of the log group of its executions, whose name begins with /aws/vendedlogs/states/.
    Default: one of its own."""
    log_retention_days: NotRequired[int]
    """For how many days a log of its own is kept. Default: 30."""
    protect: NotRequired[bool]
    """Whether that log and the dead letters stay when the pipeline is removed. Default: True."""


class ScheduledPipeline(Component):
    """Runs `BatchStateMachine`s in series with `states:startExecution.sync:2`, on a schedule.

    If its input is an S3 "Object Created" event as EventBridge delivers it, each step's environment
    gains the variables by which a `BatchStateMachine` tells of it; a step's own of the same name
    goes before. Further members of the input, each optional: `scheduledTime`, the UTC time that the
    run is about, else the upload's or that of the start; `fromStep`, the number of the step to
    begin with, and `results`, those of the steps before it, which are kept, and of the members of
    that step, of which those that succeeded are not run again.

    Output: `{"steps": [result, ...]}`, a list for a step whose members ran
    side by side, where a result is `{"job", "status", "execution", "output"}`, or with
    `on_failure` continue `{"job", "status": "FAILED", "error", "cause"}`, or `{"job", "status":
    "SKIPPED"}`. A run that was skipped ends with `{"skipped": true, "running": execution}`.
    Errors: `Pipeline.StepFailed`, `Pipeline.StepWarned`, `Input.Invalid`.

    A run of N steps takes N + 4 state transitions, at 0.000025 USD, beside those of its jobs; each
    member of those that run side by side takes one more.
    """

    state_machine_arn: pulumi.Output[str]
    """The pipeline's state machine, to start it by hand."""
    schedule_arn: pulumi.Output[str]
    """The schedule's ARN; empty if it has none, or one that can never fire again."""
    dead_letter_queue_name: pulumi.Output[str] | None
    """The name of the queue of the schedule's starts that failed. None without a schedule."""

    def __init__(
        self, name: str, args: ScheduledPipelineArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(
            "fargate-batch:index:ScheduledPipeline", name, with_queue(opts), looks_back=True
        )
        child = pulumi.ResourceOptions(parent=self)

        protect = args.get("protect", defaults.PROTECT)
        skip_overlap = args.get("overlap", defaults.OVERLAP) == "skip"
        machine = state_machine(
            name,
            kind="pipeline",
            of=args["steps"],
            definition=lambda steps: run_pipeline(
                name,
                [[_step(member, args.get("tags", {})) for member in step] for step in steps],
                skip_overlap=skip_overlap,
                timezone=args.get("timezone", defaults.TIMEZONE),
                exclusions=args.get("exclusions"),
            ),
            statements=_statements(name, args["steps"], skip_overlap=skip_overlap),
            role_arn=args.get("role_arn"),
            log_group_arn=args.get("log_group_arn"),
            log_retention_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            protect=protect,
            opts=child,
            # A step is an execution of a job, which may wait for a permit before its task runs.
            longest_seconds=WAIT_SECONDS + 24 * 60 * 60,
        )
        when, queue = args.get("schedule"), None
        self.schedule_arn = pulumi.Output.from_input("")
        if when is not None:
            self.schedule_arn, queue = schedule(
                name,
                when,
                # By what Scheduler puts in for <…> such a run differs from one started by hand:
                # https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
                target={
                    "arn": machine.arn,
                    "input": json.dumps(
                        {
                            "schedule": "<aws.scheduler.schedule-arn>",
                            "scheduledTime": "<aws.scheduler.scheduled-time>",
                        }
                    ),
                },
                statements=[allow("states:StartExecution", machine.arn)],
                protect=protect,
                opts=child,
            )
        self.state_machine_arn = machine.arn
        self.dead_letter_queue_name = queue and queue.name
        self.register_outputs(
            {
                "state_machine_arn": self.state_machine_arn,
                "schedule_arn": self.schedule_arn,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )


def _step(args: StepArgs, tags: Mapping[str, str]) -> Step:
    return Step(
        job=args["job"],
        state_machine_arn=cast("str", args["state_machine_arn"]),
        commands=args.get("commands"),
        environment=args.get("environment"),
        on_failure=args.get("on_failure", defaults.ON_FAILURE),
        on_warning=args.get("on_warning", defaults.ON_WARNING),
        tags=tags,
    )


def _statements(
    name: str, steps: Sequence[Sequence[StepArgs]], *, skip_overlap: bool
) -> list[Statement]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html."""
    machines = {
        member["job"]: pulumi.Output.from_input(member["state_machine_arn"])
        for step in steps
        for member in step
    }
    own = arn("states", f"stateMachine:{machine_prefix()}pipeline-{name}")
    return may_run_steps(list(machines.values()), [own] if skip_overlap else [])


def may_run_steps(
    machines: Sequence[pulumi.Output[str]], pipelines: Sequence[pulumi.Output[str]]
) -> list[Statement]:
    """What running these state machines takes, and seeing whether a run of a pipeline goes on."""
    statements = [
        allow("states:StartExecution", machines),
        allow(
            ["states:DescribeExecution", "states:StopExecution"],
            [machine.apply(executions_of) for machine in machines],
        ),
        managed_rule("StepFunctionsGetEventsForStepFunctionsExecutionRule"),
    ]
    if pipelines:
        statements.append(allow("states:ListExecutions", one_or_all(pipelines)))
    return statements


def one_or_all(
    arns: Sequence[pulumi.Output[str]],
) -> pulumi.Input[str] | Sequence[pulumi.Input[str]]:
    """The ARNs as a statement's `Resource`."""
    return arns[0] if len(arns) == 1 else arns


def executions_of(state_machine_arn: str) -> str:
    """The ARN pattern of every execution of a state machine."""
    return state_machine_arn.replace(":stateMachine:", ":execution:", 1) + ":*"
