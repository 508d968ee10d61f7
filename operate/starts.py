"""Starts and stops: of jobs, pipelines and schedules, by a person whose name is kept."""

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from . import runs, targets
from .aws import code_of
from .errors import FAILED, OperateError, no_such
from .outcomes import ADVICE
from .runs import Run
from .stack import Stack
from .targets import Made, Start

OPERATOR = "Operator"
"""The error of an execution that a person stopped."""


def of_job(
    stack: Stack,
    name: str,
    *,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
    date: datetime | None = None,
    from_step: int | None = None,
) -> Start:
    """A start of a job or pipeline, not made yet.

    Args:
        stack: the stack it is of.
        name: of the job or pipeline.
        arguments: the container's, of a job; without any the image's own hold.
        environment: variables, of a job.
        given: the whole input as JSON text instead.
        date: the time that a pipeline's run counts as scheduled for.
        from_step: the step of a pipeline to begin with, from 1.

    Raises:
        OperateError: there is no such job or pipeline, or it takes no such thing.
    """
    kind, machine = stack.machine(name)
    parts: dict[str, Any] = {}
    if arguments:
        parts["commands"] = list(arguments)
    if environment:
        parts["environment"] = dict(environment)
    if kind == "pipeline" and parts:
        raise OperateError(
            f"{name} is a pipeline: its steps have their own arguments and variables"
        )
    if kind == "job" and (date is not None or from_step is not None):
        raise OperateError(f"{name} is a job: --date and --from-step are for pipelines")
    if date is not None:
        parts["scheduledTime"] = date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if from_step is not None:
        if not _reads(stack, machine, "fromStep"):
            raise OperateError(f"the pipeline {name} cannot begin with a later step", FAILED)
        parts["fromStep"] = from_step
    if given is not None:
        if parts:
            raise OperateError("--input is the whole input: give nothing else with it")
        try:
            json.loads(given)
        except ValueError as error:
            raise OperateError(f"--input is no JSON: {error}") from None
    payload = given if given is not None else json.dumps(parts, ensure_ascii=False)
    name_ = runs.execution_name("by", stack.aws.caller(), uuid.uuid4().hex)
    return Start({"Arn": machine}, payload, name_, "")


def of_schedule(stack: Stack, name: str, at: datetime | None = None) -> Start:
    """What a schedule would start, as if it were due at a time, by default now.

    Raises:
        OperateError: there is no such schedule.
    """
    schedules = stack.schedules
    if name not in schedules:
        raise no_such("schedule or pipeline", name, schedules)
    arn = schedules[name].schedule_arn or ""
    return _of_schedule(
        stack, arn, at or datetime.now(UTC), "by", stack.aws.caller(), uuid.uuid4().hex
    )


def _of_schedule(stack: Stack, arn: str, due: datetime, kind: str, whom: str, unique: str) -> Start:
    target = targets.of_schedule(stack.aws, arn)["Target"]
    execution = runs.execution_name(kind, whom, unique)
    payload = targets.input_of_schedule(target, arn, due, execution)
    return Start(target, payload, execution, f"chronos-schedule/{arn.rpartition('/')[2]}")


def stop(stack: Stack, run: Run, reason: str) -> bool:
    """Stop a run, with who and why; False if it has ended already."""
    if run.status != "running":
        return False
    why = f"{stack.aws.caller()}: {reason}"
    if run.kind == "task":
        stack.aws.client("ecs").stop_task(cluster=stack.cluster, task=run.id, reason=why)
    else:
        stack.aws.client("stepfunctions").stop_execution(
            executionArn=run.arn, error=OPERATOR, cause=why
        )
    return True


@dataclass(frozen=True)
class Plan:
    """How a run is to be retried, and why so."""

    run: Run
    how: str
    """start, a new run; from-step, a new run of the rest of a pipeline; redrive, the same run."""
    why: str
    start: Start | None = None

    def __str__(self) -> str:
        what = {
            "start": "start it again",
            "from-step": "start the rest again",
            "redrive": "redrive it",
        }
        return f"{what[self.how]}: {self.why}"


def plan(stack: Stack, run: Run) -> Plan:
    """Choose how a run is retried.

    Raises:
        OperateError: it runs, did not fail, is retried already, or would fail the same way.
    """
    if run.status == "running":
        raise OperateError(f"{run.id} still runs", FAILED)
    if run.status == "succeeded":
        raise OperateError(f"{run.id} succeeded: `start` makes a new run", FAILED)
    if run.kind == "task":
        return _plan_task(stack, run)
    states = stack.aws.client("stepfunctions")
    try:
        described = states.describe_execution(executionArn=run.arn)
    except ClientError as error:
        if code_of(error) != "ExecutionDoesNotExist":
            raise
        raise OperateError(f"AWS knows {run.id} no more, nor its input", FAILED) from None
    if described["status"] == "RUNNING":
        raise OperateError(f"{run.id} runs again already", FAILED)
    if run.error == "Input.Invalid":
        raise OperateError(f"{run.id}: {ADVICE[run.error]}", FAILED)
    if not ended_in_fail(states, run.arn):
        if described.get("redriveStatus") == "REDRIVABLE":
            why = "AWS or a person ended it, so it goes on from the state that it was in"
            return Plan(run, "redrive", why)
        why = "AWS redrives it no more"
    else:
        why = "it ended in a Fail state, which a redrive would only enter again"
    machine = described["stateMachineArn"]
    payload: str = described["input"]
    step, given = _failed_step(run), json.loads(payload)
    how = "start"
    if step is not None and isinstance(given, dict) and _reads(stack, machine, "fromStep"):
        results = results_before(
            _history(states, run.arn), step, given.get("results") or [] if step > 1 else []
        )
        if step > 1 or any(results):
            again = {**given, "fromStep": step, "results": results}
            payload = json.dumps(again, ensure_ascii=False)
            how, why = "from-step", f"step {step} failed, what is before it did not"
    start = Start({"Arn": machine}, payload, "", "")
    return Plan(run, how, why, replace(start, name=free_name(states, run.id, run.arn, machine)))


def perform(stack: Stack, chosen: Plan) -> Made:
    """Retry a run as planned."""
    if chosen.start is not None:
        return targets.make(stack.aws, chosen.start)
    stack.aws.client("stepfunctions").redrive_execution(executionArn=chosen.run.arn)
    return Made(chosen.run.arn, new=True)


def _plan_task(stack: Stack, run: Run) -> Plan:
    """A task is started as its trigger would: nothing else keeps the values of its variables."""
    why = "a task is started again as its trigger started it"
    if run.started.kind == "schedule" and run.started.name in stack.schedules:
        arn = stack.schedules[run.started.name].schedule_arn or ""
        start = _of_schedule(stack, arn, run.began, "retry", run.id, run.id)
        return Plan(run, "start", why, start)
    rule = next((one.rule for one in stack.uploads.values() if _started(one.rule, run)), None)
    if run.object is None or rule is None:
        raise OperateError(f"{run.id}: nothing keeps what it was started with", FAILED)
    event = {"detail": {"bucket": {"name": run.object[0]}, "object": {"key": run.object[1]}}}
    target = targets.of_rule(stack.aws, rule, stack.cluster)
    start = Start(
        target,
        targets.input_of_rule(target, event),
        runs.execution_name("retry", run.id, run.id),
        f"events-rule/{rule}",
    )
    return Plan(run, "start", why, start)


def _started(rule: str | None, run: Run) -> bool:
    """Whether a rule started a run, by the beginning of its name that the task has kept."""
    return bool(rule and run.by and rule.startswith(run.by))


def free_name(states: Any, identity: str, arn: str, machine: str) -> str:  # noqa: ANN401 -- boto3
    """The name of the next retry, refused while an earlier one runs or once one has succeeded."""
    prefix = machine.replace(":stateMachine:", ":execution:", 1)
    for number in range(1, 100):
        name = runs.execution_name("retry", identity, f"{arn}/{number}")
        try:
            status = states.describe_execution(executionArn=f"{prefix}:{name}")["status"]
        except ClientError as error:
            if code_of(error) != "ExecutionDoesNotExist":
                raise
            return name
        if status in {"RUNNING", "SUCCEEDED"}:
            words = {"RUNNING": "runs", "SUCCEEDED": "succeeded"}[status]
            raise OperateError(f"{identity} was retried already: {name} {words}", FAILED)
    raise OperateError(f"{identity} was retried 99 times", FAILED)


def ended_in_fail(states: Any, arn: str) -> bool:  # noqa: ANN401 -- boto3
    """Whether the definition ended an execution, not AWS or a person."""
    newest = states.get_execution_history(executionArn=arn, reverseOrder=True, maxResults=2)
    return any(event["type"] == "FailStateEntered" for event in newest["events"])


def _failed_step(run: Run) -> int | None:
    """The number of the step that a pipeline's cause names."""
    if run.error != "Pipeline.StepFailed" or not (run.reason or "").startswith("Step "):
        return None
    number = (run.reason or "").split(" ", 2)[1]
    return int(number) if number.isdecimal() else None


def _history(states: Any, arn: str) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 -- boto3
    for page in states.get_paginator("get_execution_history").paginate(executionArn=arn):
        yield from page["events"]


_STEP = re.compile(r"Step(\d+)(?:Member(\d+)(?:Kept)?)?")


def results_before(
    events: Iterable[Mapping[str, Any]], step: int, given: Sequence[Any]
) -> list[Any]:
    """What the steps before one came to, as a pipeline takes it: an entry a step.

    Of a step whose members run side by side the entry is a list, with those members of the failed
    one, too, that had ended well.

    Args:
        events: the history of the run.
        step: the number of the step that failed.
        given: the results that the run itself was given.
    """
    results: list[Any] = [*given[: step - 1], *[None] * (step - 1 - len(given[: step - 1]))]
    members: dict[int, Any] = {}
    for event in events:
        details = event.get("stateExitedEventDetails") or {}
        found = _STEP.fullmatch(details.get("name", ""))
        if found is None or "output" not in details:
            continue
        number, member = int(found[1]), found[2]
        output = json.loads(details["output"])
        if member is None and number < step:
            results[number - 1] = output
        elif member is not None and number == step and output.get("status") == "SUCCEEDED":
            members[int(member)] = output
    if members:
        results.append([members.get(number) for number in range(1, max(members) + 1)])
    return results


def _reads(stack: Stack, machine: str, member: str) -> bool:
    """Whether a state machine's definition reads a member of its input."""
    found = stack.aws.client("stepfunctions").describe_state_machine(stateMachineArn=machine)
    return member in found["definition"]
