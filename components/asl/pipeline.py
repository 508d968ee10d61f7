"""The definition that runs several jobs' state machines in series, or side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .states import (
    PARENT_EXECUTION,
    Definition,
    States,
    catch,
    choice,
    definition,
    expression,
    literal,
    retry,
)
from .upload import IS_UPLOAD, variables


@dataclass(frozen=True)
class Step:
    """One job of a pipeline; what is None is left as the job's task definition has it."""

    job: str
    state_machine_arn: str
    commands: Sequence[str] | None
    environment: Mapping[str, str] | None
    continue_on_failure: bool


def run_pipeline(name: str, steps: Sequence[Sequence[Step]], *, skip_overlap: bool) -> Definition:
    """A definition that runs `steps` in series, the members of each side by side.

    Output and error: see `ScheduledPipeline`.
    """
    states: States = {
        "Begin": {
            "Type": "Pass",
            "Assign": {
                "results": [],
                "upload": expression(f"({IS_UPLOAD}) ? {variables()} : {{}}"),
            },
            "Next": "ListRunning" if skip_overlap else "Step1",
        },
        **(_skip_overlap() if skip_overlap else {}),
    }
    for number, members in enumerate(steps, start=1):
        after = f"Step{number + 1}" if number < len(steps) else "Done"
        if len(members) == 1:
            states[f"Step{number}"] = _step_in_series(members[0], number, after)
        else:
            states[f"Step{number}"] = _steps_side_by_side(members, number, after)
    states["Done"] = {"Type": "Succeed", "Output": {"steps": expression("$results")}}
    # AWS refuses a definition with a state that nothing leads to.
    if any(len(members) > 1 or not members[0].continue_on_failure for members in steps):
        states["StepFailed"] = {
            "Type": "Fail",
            "Error": "Pipeline.StepFailed",
            "Cause": expression("$failure"),
        }
    return definition(f"Runs the pipeline {name}", "Begin", states)


def _skip_overlap() -> States:
    """States that end a run while an earlier one of the same state machine still runs.

    The list may lag behind by a moment, so of two runs that start within it both may go on:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html
    """
    return {
        "ListRunning": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sfn:listExecutions",
            "Arguments": {
                "StateMachineArn": expression("$states.context.StateMachine.Id"),
                "StatusFilter": "RUNNING",
            },
            "Retry": [_RETRY],
            "Assign": {
                "earlier": expression("""(
                    $self := $states.context.Execution.Id;
                    $others := $filter($states.result.Executions, function($run) {
                        $run.ExecutionArn != $self });
                    $own := $filter($states.result.Executions, function($run) {
                        $run.ExecutionArn = $self });
                    $started := $toMillis($exists($own) ? $own[0].StartDate
                        : $states.context.Execution.StartTime);
                    [$filter($others, function($run) {
                        $toMillis($run.StartDate) < $started
                        or ($toMillis($run.StartDate) = $started and $run.ExecutionArn < $self)
                    }).ExecutionArn]
                )""")
            },
            "Next": "IsRunning",
        },
        "IsRunning": choice("$count($earlier) > 0", "Skip", "Step1"),
        "Skip": {
            "Type": "Succeed",
            "Output": {"skipped": True, "running": expression("$earlier[-1]")},
        },
    }


_RETRY = retry(
    [
        "StepFunctions.AWSStepFunctionsException",
        "StepFunctions.ExecutionLimitExceededException",
        "StepFunctions.SdkClientException",
        "Sfn.SfnException",
        "Sfn.SdkClientException",
    ],
    10,
)


def _start_execution(step: Step) -> dict[str, Any]:
    input_: dict[str, Any] = {PARENT_EXECUTION: expression("$states.context.Execution.Id")}
    if step.commands is not None:
        input_["commands"] = literal(list(step.commands))
    # Of a run that an upload started, each step is told of it.
    input_["environment"] = expression(
        f"$merge([$upload, {json.dumps(dict(step.environment or {}))}])"
    )
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {"StateMachineArn": step.state_machine_arn, "Input": input_},
        "Retry": [_RETRY],
    }


def _succeeded(step: Step) -> str:
    return f"""{{"job": {json.dumps(step.job)}, "status": "SUCCEEDED",
        "execution": $states.result.ExecutionArn, "output": $states.result.Output}}"""


# The cause of a failed child is its DescribeExecution as JSON text, unless it was cut.
_CHILD = """(
    $error := $states.errorOutput.Error;
    $text := $exists($states.errorOutput.Cause) ? $string($states.errorOutput.Cause) : "";
    $whole := $error = "States.TaskFailed"
        and $substring($text, 0, 1) = "{" and $substring($text, -1) = "}";
    $child := $whole ? $parse($text) : {};
    {"error": $exists($child.Error) ? $child.Error
        : $exists($child.Status) ? "States." & $child.Status : $error,
     "cause": $exists($child.Cause) ? $child.Cause : $text,
     "execution": $exists($child.ExecutionArn) ? $child.ExecutionArn : "unknown"}
)"""


def _failed(step: Step) -> str:
    return f"""$merge([{{"job": {json.dumps(step.job)}, "status": "FAILED"}}, {_CHILD}])"""


def _why(step: Step, number: int) -> str:
    return f"""(
        $child := {_CHILD};
        "Step {number} (job " & {json.dumps(step.job)} & ") failed with " & $child.error
        & ", so the steps after it were not run. Its execution: " & $child.execution
        & ". Its cause: " & $child.cause
    )"""


def _step_in_series(step: Step, number: int, after: str) -> dict[str, Any]:
    if step.continue_on_failure:
        results = expression(f"$append($results, [{_failed(step)}])")
        on_failure = catch(after, Assign={"results": results})
    else:
        on_failure = catch("StepFailed", Assign={"failure": expression(_why(step, number))})
    return {
        **_start_execution(step),
        "Assign": {"results": expression(f"$append($results, [{_succeeded(step)}])")},
        "Catch": [on_failure],
        "Next": after,
    }


def _steps_side_by_side(members: Sequence[Step], number: int, after: str) -> dict[str, Any]:
    branches: list[dict[str, Any]] = []
    for member, step in enumerate(members, start=1):
        start, end = f"Step{number}Member{member}", f"Step{number}Member{member}Ended"
        if step.continue_on_failure:
            last = {end: {"Type": "Pass", "End": True}}
            on_failure = catch(end, Output=expression(_failed(step)))
        else:
            last = {
                end: {
                    "Type": "Fail",
                    "Error": "Pipeline.StepFailed",
                    "Cause": expression("$states.input.failure"),
                }
            }
            on_failure = catch(end, Output={"failure": expression(_why(step, number))})
        task = {
            **_start_execution(step),
            "Output": expression(_succeeded(step)),
            "Catch": [on_failure],
            "End": True,
        }
        branches.append({"StartAt": start, "States": {start: task, **last}})
    return {
        "Type": "Parallel",
        "Branches": branches,
        # [$array] is that array itself: only within [[ ]] does a list stay one entry.
        "Assign": {"results": expression("$append($results, [[$states.result]])")},
        "Catch": [catch("StepFailed", Assign={"failure": expression("$states.errorOutput.Cause")})],
        "Next": after,
    }
