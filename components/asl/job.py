"""State machine definitions in the Amazon States Language with JSONata, as plain data.

What a user wrote in the stack's configuration goes in as literals, what an execution gets as
variables: neither is ever read as an expression.
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from .. import defaults
from .._task import PlacementArgs, TaskArgs

Definition = dict[str, Any]

# RunTask refuses longer overrides, the JSON around them included:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
OVERRIDES_LIMIT = 8192

# A key that AWS's console reads to link an execution to the one that started it:
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-nested-workflows.html
PARENT_EXECUTION = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"

TRANSIENT_REASONS = (
    "Timeout waiting for network interface provisioning to complete",
    "Timeout waiting for EphemeralStorage provisioning to complete",
    "Unexpected EC2 error while attempting to Create Network Interface",
    "Capacity is unavailable at this time",
)


@dataclass(frozen=True)
class RetryPolicy:
    """How often a job's task is started anew, and after which exit codes."""

    attempts: int
    """Retries of a task that was interrupted, never started or asked to be tried again."""
    exit_codes: Sequence[int]
    """Exit codes that ask for a retry."""
    spot_interruptions: int
    """After how many interruptions a Spot task is started on demand."""


def literal(value: object) -> object:
    """`value` such that Step Functions takes a string that looks like `{% … %}` as that string."""
    if isinstance(value, str):
        return f"{{% {json.dumps(value)} %}}" if value.startswith("{%") else value
    if isinstance(value, Mapping):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [literal(item) for item in value]
    return value


def expression(text: str) -> str:
    """A JSONata expression as a state's field; runs of white space become one blank."""
    return "{% " + " ".join(text.split()) + " %}"


def run_job(
    task: TaskArgs, placement: PlacementArgs, *, timeout_seconds: int, retry: RetryPolicy
) -> Definition:
    """A definition that runs one task to its end and says in its error why it failed.

    Input and output: see `BatchStateMachine`.
    """
    name = json.dumps(task["name"])
    states = {
        "ReadInput": {
            "Type": "Choice",
            "Choices": [
                {
                    "Condition": expression(f"{_IS_UPLOAD} and {_fits(_upload_override(name))}"),
                    "Assign": _start(_upload_override(name)),
                    "Next": "RunTask",
                },
                {
                    "Condition": expression(f"{_IS_REQUEST} and {_fits(_request_override(name))}"),
                    "Assign": _start(_request_override(name)),
                    "Next": "RunTask",
                },
            ],
            "Default": "RefuseInput",
        },
        "RefuseInput": {
            "Type": "Fail",
            "Error": "Input.Invalid",
            "Cause": (
                "Expected an S3 'Object Created' event from EventBridge, or "
                '{"commands": ["text", ...], "environment": {"NAME": "text", ...}} '
                "with both optional; as overrides of the task they have at most "
                f"{OVERRIDES_LIMIT} characters of JSON, none of them is NUL, and no NAME is empty "
                "or has a '='."
            ),
        },
        "RunTask": _run_task(task, placement, timeout_seconds, retry),
        "Diagnose": {
            "Type": "Choice",
            "Choices": [
                {
                    # Only a whole JSON text can be parsed, and Step Functions may cut a long cause.
                    "Condition": expression(
                        '$failure.Error = "States.TaskFailed"'
                        ' and $substring($failure.Cause, 0, 1) = "{"'
                        ' and $substring($failure.Cause, -1) = "}"'
                    ),
                    "Assign": {"task": expression(_task_of(name))},
                    "Next": "Decide",
                },
                {
                    "Condition": expression('$failure.Error = "States.Timeout"'),
                    "Next": "TimedOut",
                },
            ],
            "Default": "NotStarted",
        },
        "Decide": {
            "Type": "Choice",
            "Choices": [
                {
                    "Condition": expression(
                        f"$attempt < {retry.attempts} and ({_may_succeed_later(retry)})"
                    ),
                    "Assign": {
                        "attempt": expression("$attempt + 1"),
                        "interruptions": expression(f"$interruptions + (({_INTERRUPTED}) ? 1 : 0)"),
                    },
                    "Next": "BackOff",
                }
            ],
            "Default": "Failed",
        },
        "BackOff": {
            "Type": "Wait",
            # Full jitter below 10 s, 20 s, 40 s ... at most 5 minutes.
            "Seconds": expression("$ceil($random() * $min([300, 5 * $power(2, $attempt)]))"),
            "Next": "RunTask",
        },
        "Failed": {
            "Type": "Fail",
            "Error": expression(_error_of()),
            "Cause": expression(_cause_of(name)),
        },
        "TimedOut": {
            "Type": "Fail",
            "Error": "Batch.TimedOut",
            "Cause": expression(
                f'"Job " & {name} & " did not end within {timeout_seconds} seconds; given up."'
                ' & " Its log: group " & $logGroup'
                ' & ". Give the job a longer timeout, or smaller input."'
            ),
        },
        "NotStarted": {
            "Type": "Fail",
            "Error": expression("$failure.Error"),
            "Cause": expression(
                f'"Job " & {name} & " was not started, or its end is unknown: "'
                " & $failure.Cause"
                " & \" See docs/operations.md, section 'A task was never started'.\""
            ),
        },
    }
    return {
        "Comment": f"Runs the job {task['name']} to its end",
        "QueryLanguage": "JSONata",
        "StartAt": "ReadInput",
        "States": _with_variable(states, "ReadInput", "logGroup", task["log_group_name"]),
    }


def _with_variable(
    states: dict[str, Any], choice: str, variable: str, value: pulumi.Input[str]
) -> dict[str, Any]:
    """Assigns an output of Pulumi's in every branch of a Choice: expressions cannot hold one."""
    branches = [
        {**branch, "Assign": {**branch["Assign"], variable: value}}
        for branch in states[choice]["Choices"]
    ]
    return {**states, choice: {**states[choice], "Choices": branches}}


# No argument and no variable of a process can hold it.
_NUL = r'"\u0000"'

# A path reads through lists: [{"a": 1}].a is 1.
_IS_UPLOAD = f"""
    $type($states.input) = "object"
    and $states.input.source = "aws.s3"
    and $states.input."detail-type" = "Object Created"
    and $type($states.input.detail) = "object"
    and $type($states.input.detail.bucket) = "object"
    and $type($states.input.detail.object) = "object"
    and $type($states.input.detail.bucket.name) = "string"
    and $type($states.input.detail.object.key) = "string"
    and $not($contains($states.input.detail.bucket.name & $states.input.detail.object.key, {_NUL}))
"""

_IS_REQUEST = f"""
    $type($states.input) = "object"
    and $count($filter($keys($states.input), function($key) {{
        $not($key in ["commands", "environment", "{PARENT_EXECUTION}"]) }})) = 0
    and ($not($exists($states.input.commands)) or (
        $type($states.input.commands) = "array"
        and $count($states.input.commands) = $count($filter($states.input.commands,
            function($value) {{ $type($value) = "string" and $not($contains($value, {_NUL})) }}))))
    and ($not($exists($states.input.environment)) or (
        $type($states.input.environment) = "object"
        and $count($keys($states.input.environment)) = $count($filter(
            $each($states.input.environment, function($value, $key) {{
                $type($value) = "string" and $not($contains($value, {_NUL}))
                and $key != "" and $not($contains($key, "=")) and $not($contains($key, {_NUL})) }}),
            function($valid) {{ $valid }}))))
"""


def _fits(override: str) -> str:
    return f'$length($string({{"containerOverrides": [{override}]}})) <= {OVERRIDES_LIMIT}'


def _start(override: str) -> dict[str, Any]:
    return {"override": expression(override), "attempt": 0, "interruptions": 0}


def _upload_override(name: str) -> str:
    """The key as the command and OBJECT_KEY; as the command alone where both would not fit.

    In JSON a key's 1,024 bytes can take six characters each (control characters).
    """
    bucket = '{"Name": "BUCKET", "Value": $states.input.detail.bucket.name}'
    key = '{"Name": "OBJECT_KEY", "Value": $states.input.detail.object.key}'

    def with_environment(variables: str) -> str:
        command = "[$states.input.detail.object.key]"
        return f'{{"Name": {name}, "Command": {command}, "Environment": [{variables}]}}'

    both = with_environment(f"{bucket}, {key}")
    return f"({_fits(both)} ? {both} : {with_environment(bucket)})"


def _request_override(name: str) -> str:
    return f"""
        $merge([{{"Name": {name}}},
            $exists($states.input.commands) ? {{"Command": $states.input.commands}} : {{}},
            $exists($states.input.environment) ? {{"Environment": [
                $each($states.input.environment, function($value, $key) {{
                    {{"Name": $key, "Value": $value}} }})]}} : {{}}])
    """


def _run_task(
    task: TaskArgs, placement: PlacementArgs, timeout_seconds: int, retry: RetryPolicy
) -> dict[str, Any]:
    on_demand, spot = "FARGATE", "FARGATE_SPOT"
    provider: str = on_demand
    if placement.get("spot", defaults.SPOT):
        provider = expression(
            f'$interruptions >= {retry.spot_interruptions} ? "{on_demand}" : "{spot}"'
        )
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::ecs:runTask.sync",
        "Arguments": {
            "Cluster": placement["cluster_arn"],
            "TaskDefinition": task["task_definition_arn"],
            "CapacityProviderStrategy": [{"CapacityProvider": provider, "Weight": 1}],
            "PlatformVersion": placement.get("platform_version", defaults.PLATFORM_VERSION),
            # The task's events carry its group: by it a task is found from its execution.
            "Group": expression('"execution:" & $states.context.Execution.Name'),
            "NetworkConfiguration": {
                "AwsvpcConfiguration": {
                    "Subnets": placement["subnet_ids"],
                    "SecurityGroups": placement["security_group_ids"],
                    "AssignPublicIp": (
                        "ENABLED"
                        if placement.get("assign_public_ip", defaults.ASSIGN_PUBLIC_IP)
                        else "DISABLED"
                    ),
                }
            },
            "Overrides": {"ContainerOverrides": expression("[$override]")},
            "PropagateTags": "TASK_DEFINITION",
        },
        "TimeoutSeconds": timeout_seconds,
        "Retry": [
            {
                "ErrorEquals": [
                    "ECS.AmazonECSException",
                    "ECS.ThrottlingException",
                    "ECS.ServerException",
                    "ECS.ClientException",
                    "AmazonECS.Unknown",
                ],
                # About four hours, in which Fargate launches 288,000 tasks at its default rate.
                # How these numbers were chosen: benchmarks/burst.py.
                "IntervalSeconds": 5,
                "BackoffRate": 2,
                "MaxDelaySeconds": 90,
                "MaxAttempts": 320,
                "JitterStrategy": "FULL",
            },
            {
                # Also raised when ECS itself is throttled looking up the subnets.
                "ErrorEquals": ["ECS.InvalidParameterException"],
                "IntervalSeconds": 5,
                "BackoffRate": 2,
                "MaxAttempts": 3,
                "JitterStrategy": "FULL",
            },
        ],
        "Catch": [
            {
                "ErrorEquals": ["States.ALL"],
                "Assign": {
                    "failure": {
                        "Error": expression("$states.errorOutput.Error"),
                        "Cause": expression(
                            "$exists($states.errorOutput.Cause)"
                            ' ? $string($states.errorOutput.Cause) : ""'
                        ),
                    }
                },
                "Next": "Diagnose",
            }
        ],
        "Output": expression(
            f"""(
            $container := $states.result.Containers[Name = {json.dumps(task["name"])}];
            {{"job": {json.dumps(task["name"])},
              "taskArn": $states.result.TaskArn,
              "exitCode": $container.ExitCode,
              "attempts": $attempt + 1,
              "logGroup": $logGroup,
              "logStream": {_stream(json.dumps(task["name"]), "$states.result.TaskArn")}}}
            )"""
        ),
        "End": True,
    }


def _stream(name: str, task_arn: str) -> str:
    return f'{name} & "/" & {name} & "/" & $split({task_arn}, "/")[-1]'


def _task_of(name: str) -> str:
    """What the cause of a failed runTask, the task as JSON text, says."""
    return f"""(
        $task := $parse($failure.Cause);
        $container := $task.Containers[Name = {name}];
        {{"arn": $task.TaskArn,
          "stopCode": $exists($task.StopCode) ? $task.StopCode : "",
          "reason": $exists($task.StoppedReason) ? $task.StoppedReason : "",
          "containerReason": $exists($container.Reason) ? $container.Reason : "",
          "exitCode": $exists($container.ExitCode) ? $container.ExitCode : null}}
    )"""


_INTERRUPTED = '$task.stopCode in ["SpotInterruption", "TerminationNotice"]'
_PULL_TIMED_OUT = (
    '($contains($task.reason, "CannotPullContainerError")'
    ' and ($contains($task.reason, "i/o timeout") or $contains($task.reason, "EOF")))'
)


def _may_succeed_later(retry: RetryPolicy) -> str:
    reasons = " or ".join(
        f"$contains($task.reason, {json.dumps(reason)})" for reason in TRANSIENT_REASONS
    )
    codes = json.dumps(sorted(retry.exit_codes))
    return f"{_INTERRUPTED} or {reasons} or {_PULL_TIMED_OUT} or $task.exitCode in {codes}"


def _error_of() -> str:
    return f"""
        {_INTERRUPTED} ? "Batch.Interrupted"
        : $task.stopCode = "TaskFailedToStart" ? "Batch.NeverStarted"
        : $task.stopCode = "UserInitiated" ? "Batch.Stopped"
        : $task.exitCode = 65 ? "Batch.BadData"
        : $task.exitCode = 66 ? "Batch.ObjectGone"
        : $task.exitCode = 75 ? "Batch.TryAgainLater"
        : $task.exitCode = 78 ? "Batch.Misconfigured"
        : "Batch.Failed"
    """


def _cause_of(name: str) -> str:
    return f"""
        "Job " & {name} & ": "
        & ({_INTERRUPTED} ? "Fargate took its task away"
           : $task.stopCode = "TaskFailedToStart" ? "its task never started"
           : $task.stopCode = "UserInitiated" ? "its task was stopped by hand"
           : $task.exitCode = 65 ? "exit code 65, the data is bad; a retry would not help"
           : $task.exitCode = 66 ? "exit code 66, the object is gone; a retry would not help"
           : $task.exitCode = 75 ? "exit code 75, try again later, which was done in vain"
           : $task.exitCode = 78 ? "exit code 78, it is misconfigured"
           : $task.exitCode = null ? "its container has no exit code"
           : "exit code " & $string($task.exitCode))
        & ($attempt > 0 ? ", after " & $string($attempt) & " retries" : "")
        & ". Task " & $task.arn & " stopped with " & $task.stopCode & ": " & $task.reason
        & ($task.containerReason = "" ? "" : " (" & $task.containerReason & ")")
        & ". Log: group " & $logGroup & ", stream " & {_stream(name, "$task.arn")}
        & ". Mend what it says there, then start the execution again with the same input."
    """


@dataclass(frozen=True)
class Step:
    """One job of a pipeline; what is None is left as the job's task definition has it."""

    job: str
    state_machine_arn: pulumi.Input[str]
    commands: Sequence[str] | None
    environment: Mapping[str, str] | None
    continue_on_failure: bool


def run_pipeline(name: str, steps: Sequence[Sequence[Step]], *, skip_overlap: bool) -> Definition:
    """A definition that runs `steps` in series, the members of each side by side.

    Output and error: see `ScheduledPipeline`.
    """
    states: dict[str, Any] = {
        "Begin": {"Type": "Pass", "Assign": {"results": []}, "Next": "Step1"},
    }
    if skip_overlap:
        states["Begin"]["Next"] = "ListRunning"
        states |= _skip_overlap()
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
    return {
        "Comment": f"Runs the pipeline {name}",
        "QueryLanguage": "JSONata",
        "StartAt": "Begin",
        "States": states,
    }


def _skip_overlap() -> dict[str, Any]:
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
            "Retry": [_RETRY_STEP_FUNCTIONS],
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
            "Choices": [{"Condition": expression("$count($earlier) > 0"), "Next": "Skip"}],
            "Default": "Step1",
        },
        "Skip": {
            "Type": "Succeed",
            "Output": {"skipped": True, "running": expression("$earlier[-1]")},
        },
    }


_RETRY_STEP_FUNCTIONS = {
    "ErrorEquals": [
        "StepFunctions.AWSStepFunctionsException",
        "StepFunctions.ExecutionLimitExceededException",
        "StepFunctions.SdkClientException",
        "Sfn.SfnException",
        "Sfn.SdkClientException",
    ],
    "IntervalSeconds": 2,
    "BackoffRate": 2,
    "MaxDelaySeconds": 60,
    "MaxAttempts": 10,
    "JitterStrategy": "FULL",
}


def _start_execution(step: Step) -> dict[str, Any]:
    input_: dict[str, Any] = {PARENT_EXECUTION: expression("$states.context.Execution.Id")}
    if step.commands is not None:
        input_["commands"] = literal(list(step.commands))
    if step.environment is not None:
        input_["environment"] = literal(dict(step.environment))
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {"StateMachineArn": step.state_machine_arn, "Input": input_},
        "Retry": [_RETRY_STEP_FUNCTIONS],
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


def _catch(assign: dict[str, Any], next_state: str) -> list[dict[str, Any]]:
    return [{"ErrorEquals": ["States.ALL"], **assign, "Next": next_state}]


def _step_in_series(step: Step, number: int, after: str) -> dict[str, Any]:
    if step.continue_on_failure:
        on_failure = _catch(
            {"Assign": {"results": expression(f"$append($results, [{_failed(step)}])")}}, after
        )
    else:
        on_failure = _catch({"Assign": {"failure": expression(_why(step, number))}}, "StepFailed")
    return {
        **_start_execution(step),
        "Assign": {"results": expression(f"$append($results, [{_succeeded(step)}])")},
        "Catch": on_failure,
        "Next": after,
    }


def _steps_side_by_side(members: Sequence[Step], number: int, after: str) -> dict[str, Any]:
    branches: list[dict[str, Any]] = []
    for member, step in enumerate(members, start=1):
        start, end = f"Step{number}Member{member}", f"Step{number}Member{member}Ended"
        if step.continue_on_failure:
            last = {end: {"Type": "Pass", "End": True}}
            on_failure = _catch({"Output": expression(_failed(step))}, end)
        else:
            last = {
                end: {
                    "Type": "Fail",
                    "Error": "Pipeline.StepFailed",
                    "Cause": expression("$states.input.failure"),
                }
            }
            on_failure = _catch({"Output": {"failure": expression(_why(step, number))}}, end)
        task = {
            **_start_execution(step),
            "Output": expression(_succeeded(step)),
            "Catch": on_failure,
            "End": True,
        }
        branches.append({"StartAt": start, "States": {start: task, **last}})
    return {
        "Type": "Parallel",
        "Branches": branches,
        # [$array] is that array itself: only within [[ ]] does a list stay one entry.
        "Assign": {"results": expression("$append($results, [[$states.result]])")},
        "Catch": _catch(
            {"Assign": {"failure": expression("$states.errorOutput.Cause")}}, "StepFailed"
        ),
        "Next": after,
    }
