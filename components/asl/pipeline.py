"""The definition that runs several jobs' state machines in series, or side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..placeholders import Placeholder, offsets, parts, pictures
from .states import (
    PARENT_EXECUTION,
    RETRY,
    Definition,
    States,
    catch,
    choice,
    definition,
    expression,
    literal,
    quoted,
)
from .upload import IS_UPLOAD, Exclusions, excluded, is_excluded, variables


@dataclass(frozen=True)
class Step:
    """One job of a pipeline; what is None is left as the job's task definition has it."""

    job: str
    state_machine_arn: str
    commands: Sequence[str] | None
    environment: Mapping[str, str] | None
    on_failure: str = "stop"
    """stop, continue or finish."""
    on_warning: str = "continue"
    """stop or continue."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    """Tags of its task, beside its job's."""


def run_pipeline(
    name: str,
    steps: Sequence[Sequence[Step]],
    *,
    skip_overlap: bool,
    timezone: str = "UTC",
    exclusions: Exclusions | None = None,
) -> Definition:
    """A definition that runs `steps` in series, the members of each side by side.

    Dates in what the steps are given are those of `timezone`. Input, output and error: see
    `ScheduledPipeline`.
    """
    states: States = {
        **_read_input(steps, timezone, skip_overlap=skip_overlap),
        **(_skip_overlap(len(steps)) if skip_overlap else {}),
        **excluded(exclusions or {}, "Excluded"),
    }
    states["Begin"]["Choices"][:0] = is_excluded(exclusions or {}, "Excluded")
    if len(steps) > 1:
        states["FromStep"] = {
            "Type": "Choice",
            "Choices": [
                {"Condition": expression(f"$fromStep = {number}"), "Next": f"Step{number}"}
                for number in range(2, len(steps) + 1)
            ],
            "Default": "Step1",
        }
    for number, members in enumerate(steps, start=1):
        after = f"Step{number + 1}" if number < len(steps) else "Done"
        make = _step_in_series if len(members) == 1 else _steps_side_by_side
        states |= make(members, number, after)
    states["Done"] = {"Type": "Succeed", "Output": {"steps": expression("$results")}}
    # AWS refuses a definition with a state that nothing leads to.
    if any(
        len(members) > 1 or "stop" in {members[0].on_failure, members[0].on_warning}
        for members in steps
    ):
        states["StepFailed"] = {
            "Type": "Fail",
            "Error": expression("$failure.error"),
            "Cause": expression("$failure.cause"),
        }
    return definition(f"Runs the pipeline {name}", "Begin", states)


def _read_input(steps: Sequence[Sequence[Step]], timezone: str, *, skip_overlap: bool) -> States:
    """States from `Begin` that read what a run is told; what else is in its input does no harm."""
    used = {
        part.name
        for members in steps
        for step in members
        for text in (*(step.commands or ()), *(step.environment or {}).values())
        for part in parts(text)
        if isinstance(part, Placeholder)
    }
    needs_object = bool(used & {"bucket", "key"})
    valid = f"{_TIME_IS_VALID} and ({IS_UPLOAD})" if needs_object else _TIME_IS_VALID
    about = (
        {"about": expression(_about(timezone, dated="date" in used))}
        if used & {"scheduledTime", "date"}
        else {}
    )
    return {
        "Begin": choice(
            f"{valid} and ($not({_IS_RETRY}) or {_retry_is_valid(len(steps))})",
            "ListRunning" if skip_overlap else "FromStep" if len(steps) > 1 else "Step1",
            "RefuseInput",
            upload=expression(f"({IS_UPLOAD}) ? {variables()} : {{}}"),
            **_kept(steps),
            **about,
        ),
        "RefuseInput": {
            "Type": "Fail",
            "Error": "Input.Invalid",
            "Cause": (
                'Expected, each of them optional, {"scheduledTime": "20yy-mm-ddThh:mm:ssZ", '
                f'"fromStep": 1 to {len(steps)}, "results": [what "steps" of the output has of the '
                "steps before it, ...]}"
                + (
                    ", and an S3 'Object Created' event, whose object the steps are given."
                    if needs_object
                    else "."
                )
            ),
        },
    }


_TIME_IS_VALID = r"""(
    $type($states.input) != "object" or $not($exists($states.input.scheduledTime)) or (
        $type($states.input.scheduledTime) = "string"
        and $contains($states.input.scheduledTime,
            /^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/)))
"""
_IS_RETRY = '($type($states.input) = "object" and $exists($states.input.fromStep))'


def _retry_is_valid(steps: int) -> str:
    return f"""(
        $type($states.input.fromStep) = "number"
        and $states.input.fromStep in [1..{steps}]
        and ($not($exists($states.input.results)) or (
            $type($states.input.results) = "array"
            and $count($states.input.results) <= $states.input.fromStep)))
    """


def _kept(steps: Sequence[Sequence[Step]]) -> dict[str, str]:
    """Where a run begins, and what it keeps of the one before; nothing else is known of a step."""

    def skipped(step: Step) -> dict[str, str]:
        return {"job": step.job, "status": "SKIPPED"}

    before = [
        skipped(members[0]) if len(members) == 1 else [skipped(step) for step in members]
        for members in steps
    ]
    given = f"""
        $given := {_IS_RETRY} and $exists($states.input.results) ? $states.input.results : [];
        $fromStep := {_IS_RETRY} ? $states.input.fromStep : 1;
    """
    # [$array] is that array itself: only within [[ ]] does a list stay one entry.
    results = f"""(
        {given}
        $skipped := {json.dumps(before)};
        $fromStep = 1 ? [] : $reduce([0..$fromStep - 2], function($all, $number) {{(
            $result := $exists($given[$number]) and $given[$number] != null
                ? $given[$number] : $skipped[$number];
            $append($all, $type($result) = "array" ? [[$result]] : [$result])
        )}}, [])
    )"""
    kept = f"""(
        {given}
        $result := $given[$fromStep - 1];
        $type($result) = "array" ? $result : []
    )"""
    return {
        "fromStep": expression(f"({given} $fromStep)"),
        "results": expression(results),
        "kept": expression(kept),
    }


def _about(timezone: str, *, dated: bool) -> str:
    """The moment that a run is about, and what the zone's offset is then."""
    zone, changes = offsets(timezone)
    # As a variable, for an index is worked out anew for each entry.
    offset = f"""
        $changed := $count({json.dumps(changes)}[$ <= $millis / 1000]);
        $offset := {json.dumps(zone)}[$changed];
    """
    return f"""(
        $given := $type($states.input) = "object" ? $states.input : {{}};
        $millis := $toMillis($exists($given.scheduledTime) ? $given.scheduledTime
            : {IS_UPLOAD} and $type($given.time) = "string" ? $given.time
            : $states.context.Execution.StartTime);
        {offset if dated else ""}
        {{"scheduledTime": $fromMillis($millis, "[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01]Z")
          {', "millis": $millis, "offset": $offset' if dated else ""}}}
    )"""


def _said(text: str) -> object:
    """A text of the configuration, with its placeholders' values, as a state's field."""
    if any(isinstance(part, Placeholder) for part in parts(text)):
        return f"{{% {_text(text)} %}}"
    return literal("".join(map(str, parts(text))))


def _text(text: str) -> str:
    """The same as an expression."""
    return " & ".join(map(_value, parts(text))) or '""'


def _value(part: str | Placeholder) -> str:
    match part:
        case str():
            return quoted(part)
        case Placeholder("executionName"):
            return "$states.context.Execution.Name"
        case Placeholder("scheduledTime"):
            return "$about.scheduledTime"
        case Placeholder("bucket"):
            return "$upload.BUCKET"
        case Placeholder("key"):
            return "$upload.OBJECT_KEY"
        case Placeholder(_, format_):
            return " & ".join(
                f"$fromMillis($about.millis, {quoted(text)}, $about.offset)"
                if is_picture
                else quoted(text)
                for text, is_picture in pictures(format_ or "")
            )


def _skip_overlap(steps: int) -> States:
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
            "Retry": [RETRY],
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
        "IsRunning": {
            "Type": "Choice",
            "Choices": [
                {"Condition": expression("$count($earlier) > 0"), "Next": "Skip"},
                *(
                    [{"Condition": expression("$fromStep > 1"), "Next": "FromStep"}]
                    if steps > 1
                    else []
                ),
            ],
            "Default": "Step1",
        },
        "Skip": {
            "Type": "Succeed",
            "Output": {"skipped": True, "running": expression("$earlier[-1]")},
        },
    }


def _start_execution(step: Step) -> dict[str, Any]:
    input_: dict[str, Any] = {PARENT_EXECUTION: expression("$states.context.Execution.Id")}
    if step.commands is not None:
        input_["commands"] = [_said(text) for text in step.commands]
    if step.tags:
        input_["tags"] = literal(step.tags)
    # Of a run that an upload started, each step is told of it.
    own = ", ".join(
        f"{quoted(name)}: {_text(text)}" for name, text in (step.environment or {}).items()
    )
    input_["environment"] = f"{{% $merge([$upload, {{{own}}}]) %}}"
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {"StateMachineArn": step.state_machine_arn, "Input": input_},
        "Retry": [RETRY],
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


def _failure(step: Step, number: int) -> str:
    """Why the pipeline fails when the step does, of the state that catches it."""
    return f"""(
        $child := {_CHILD};
        {{"error": "Pipeline.StepFailed",
          "cause": {_why(step, number, "$child.error", "$child.execution", "$child.cause")}}}
    )"""


def _why(step: Step, number: int, error: str, execution: str, cause: str) -> str:
    return f"""
        "Step {number} (job " & {json.dumps(step.job)} & ") failed with " & {error}
        & ", so the steps after it were not run. Its execution: " & {execution}
        & ". Its cause: " & {cause}
    """


# As "output" it may be a text, of a job of another's.
_WARNED = '$type({0}) = "object" and $exists({0}.warning)'


def _warning(step: Step, number: int, result: str) -> str:
    """Why the pipeline fails when the step ends with a warning."""
    return f"""{{"error": "Pipeline.StepWarned",
        "cause": "Step {number} (job " & {json.dumps(step.job)} & ") ended with a warning, "
            & {result}.output.warning & ", so the steps after it were not run. Its execution: "
            & {result}.execution}}"""


def _step_in_series(members: Sequence[Step], number: int, after: str) -> States:
    [step] = members
    name = f"Step{number}"
    if step.on_failure == "continue":
        results = expression(f"$append($results, [{_failed(step)}])")
        on_failure = catch(after, Assign={"results": results}, Output=expression(_failed(step)))
    else:
        on_failure = catch("StepFailed", Assign={"failure": expression(_failure(step, number))})
    stops = step.on_warning == "stop"
    state = {
        **_start_execution(step),
        "Assign": {"results": expression(f"$append($results, [{_succeeded(step)}])")},
        # By it a run that is to begin with a later step is told the results of this one.
        "Output": expression(_succeeded(step)),
        "Catch": [on_failure],
        "Next": f"{name}Ended" if stops else after,
    }
    if not stops:
        return {name: state}
    ended = choice(
        _WARNED.format("$states.input.output"),
        "StepFailed",
        after,
        failure=expression(_warning(step, number, "$states.input")),
    )
    return {name: state, f"{name}Ended": ended}


def _steps_side_by_side(members: Sequence[Step], number: int, after: str) -> States:
    name = f"Step{number}"
    # Without any that stops at once, the failure of the first that does is known at the end.
    finishing = [(at, step) for at, step in enumerate(members) if step.on_failure == "finish"]
    state = {
        "Type": "Parallel",
        "Branches": [_member(step, number, at) for at, step in enumerate(members, start=1)],
        # [$array] is that array itself: only within [[ ]] does a list stay one entry.
        "Assign": {"results": expression("$append($results, [[$states.result]])")},
        "Catch": [
            catch(
                "StepFailed",
                Assign={
                    "failure": {
                        "error": expression("$states.errorOutput.Error"),
                        "cause": expression("$states.errorOutput.Cause"),
                    }
                },
            )
        ],
        "Next": f"{name}Ended" if finishing else after,
    }
    if not finishing:
        return {name: state}
    rules = [
        {
            "Condition": expression(f'$states.input[{at}].status = "FAILED"'),
            "Assign": {
                "failure": {
                    "error": "Pipeline.StepFailed",
                    "cause": expression(
                        _why(step, number, *(f"$states.input[{at}].{key}" for key in _TOLD))
                    ),
                }
            },
            "Next": "StepFailed",
        }
        for at, step in finishing
    ]
    return {name: state, f"{name}Ended": {"Type": "Choice", "Choices": rules, "Default": after}}


_TOLD = ("error", "execution", "cause")


def _member(step: Step, number: int, member: int) -> dict[str, Any]:
    """A branch that runs one of those side by side, unless it is kept of the run before."""
    start = f"Step{number}Member{member}"
    kept, stopped, ended = f"{start}Kept", f"{start}Stopped", f"{start}Ended"
    result = f"$kept[{member - 1}]"
    is_kept = choice(
        f"""$fromStep = {number} and {result}.job = {json.dumps(step.job)}
            and {result}.status = "SUCCEEDED\"""",
        kept,
        start,
    )
    if step.on_failure == "stop":
        on_failure = catch(stopped, Assign={"reason": expression(_failure(step, number))})
    else:
        on_failure = catch(ended, Output=expression(_failed(step)))
    warns = step.on_warning == "stop"
    states: States = {
        f"{start}IsKept": is_kept,
        kept: {"Type": "Pass", "Output": expression(result), "End": True},
        start: {
            **_start_execution(step),
            "Output": expression(_succeeded(step)),
            "Catch": [on_failure],
            **({"Next": f"{start}IsWarned"} if warns else {"End": True}),
        },
    }
    if warns:
        states[f"{start}IsWarned"] = choice(
            _WARNED.format("$states.input.output"),
            stopped,
            ended,
            reason=expression(_warning(step, number, "$states.input")),
        )
    if warns or step.on_failure != "stop":
        states[ended] = {"Type": "Pass", "End": True}
    if warns or step.on_failure == "stop":
        states[stopped] = {
            "Type": "Fail",
            "Error": expression("$reason.error"),
            "Cause": expression("$reason.cause"),
        }
    return {"StartAt": f"{start}IsKept", "States": states}
