"""The definition that runs one job's task to its end."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..outcomes import (
    ADVICE,
    ERRORS,
    MEANINGS,
    OTHERWISE,
    OUT_OF_MEMORY,
    PERMANENT_REASONS,
    TRANSIENT_REASONS,
    WHAT_TO_DO,
)
from .limit import Permits, acquire_permit
from .states import PARENT_EXECUTION, Definition, States, catch, definition, expression, retry
from .timeout import stop_own_task
from .turn import FRESH, MOST_SECONDS, NOT_NOW, REFUSED, Turns, take_turn
from .upload import IS_UPLOAD, NUL, Exclusions, excluded, is_excluded, variables

# RunTask refuses longer overrides, the JSON around them included:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
OVERRIDES_LIMIT = 8192


@dataclass(frozen=True)
class Task:
    """What is run."""

    name: str
    """The job's name, which is also its container's name."""
    task_definition_arn: str
    log_group_name: str


@dataclass(frozen=True)
class Place:
    """Where it runs."""

    cluster_arn: str
    subnet_ids: Sequence[str]
    security_group_ids: Sequence[str]
    assign_public_ip: bool
    platform_version: str
    spot: bool


@dataclass(frozen=True)
class RetryPolicy:
    """How often a job's task is retried, and after which exit codes."""

    attempts: int
    """Retries of a task that was interrupted, never started or asked to be tried again."""
    exit_codes: Sequence[int]
    """Exit codes that ask for a retry."""
    spot_interruptions: int
    """After how many interruptions a Spot task is started on demand."""


@dataclass(frozen=True)
class Endings:
    """Exit codes, beside 0, of a run that went well."""

    success: Sequence[int] = ()
    warning: Sequence[int] = ()
    """Those of which the output tells."""


def run_job(
    task: Task,
    place: Place,
    *,
    timeout_seconds: int,
    retries: RetryPolicy,
    endings: Endings = Endings(),
    permits: Permits | None = None,
    turns: Turns | None = None,
    exclusions: Exclusions | None = None,
) -> Definition:
    """A definition that runs one task to its end and says in its error why it failed.

    With `permits` an execution acquires one before its task, with `turns` it takes one when RunTask
    is throttled. Input and output: see `BatchStateMachine`.
    """
    ended = _output(task, "$task.arn", "$task.exitCode")
    fresh = FRESH if turns else {}
    states: States = {
        **_read_input(
            task, "RunTask" if permits is None else "AcquirePermit", exclusions or {}, fresh
        ),
        **({} if permits is None else acquire_permit(permits, "RunTask", otherwise=_FAILURE)),
        "RunTask": _run_task(task, place, timeout_seconds, retries, turns),
        **({} if turns is None else take_turn(turns, "RunTask", otherwise="NotStarted")),
        **_diagnose(task, retries, endings, fresh),
        "BackOff": {
            "Type": "Wait",
            # Full jitter below 10 s, 20 s, 40 s ... at most 5 minutes.
            "Seconds": expression("$ceil($random() * $min([300, 5 * $power(2, $attempt)]))"),
            "Next": "RunTask",
        },
        "Succeeded": {"Type": "Succeed", "Output": expression(ended)},
        **(
            {
                "Warned": {
                    "Type": "Succeed",
                    "Output": expression(
                        f'$merge([{ended}, {{"warning": "exit code " & $string($task.exitCode)}}])'
                    ),
                }
            }
            if endings.warning
            else {}
        ),
        "Failed": {
            "Type": "Fail",
            "Error": expression(_ERROR),
            "Cause": expression(_cause_of(task)),
        },
        **stop_own_task(
            place.cluster_arn, task.task_definition_arn, timeout_seconds, then="TimedOut"
        ),
        "TimedOut": {
            "Type": "Fail",
            "Error": "Batch.TimedOut",
            "Cause": (
                f"Job {task.name} did not end within {timeout_seconds} seconds and was stopped. "
                f"Log: group {task.log_group_name}.{WHAT_TO_DO}{ADVICE['Batch.TimedOut']}"
            ),
        },
        "NotStarted": {
            "Type": "Fail",
            "Error": expression("$failure.Error"),
            "Cause": expression(
                f"{json.dumps(f'Job {task.name} was not started, or its end is unknown: ')}"
                " & $failure.Cause"
                " & \" See docs/operations.md, section 'A task was never started'.\""
            ),
        },
    }
    return definition(f"Runs the job {task.name} to its end", "ReadInput", states)


def _read_input(task: Task, then: str, exclusions: Exclusions, fresh: Mapping[str, int]) -> States:
    name = json.dumps(task.name)

    def read(condition: str, override: str, tags: object) -> dict[str, Any]:
        return {
            "Condition": expression(f"{condition} and {_fits(override)}"),
            "Assign": {
                "override": expression(override),
                "trigger": expression(_TRIGGER),
                "tags": tags,
                "attempt": 0,
                "interruptions": 0,
                **fresh,
            },
            "Next": then,
        }

    return {
        "ReadInput": {
            "Type": "Choice",
            "Choices": [
                *is_excluded(exclusions, "Excluded"),
                read(IS_UPLOAD, _upload_override(name), []),
                read(_IS_REQUEST, _request_override(name), expression(_TAGS)),
            ],
            "Default": "RefuseInput",
        },
        **excluded(exclusions, "Excluded"),
        "RefuseInput": {
            "Type": "Fail",
            "Error": "Input.Invalid",
            "Cause": (
                "Expected an S3 'Object Created' event from EventBridge, or "
                '{"commands": ["text", ...], "environment": {"NAME": "text", ...}, '
                '"tags": {"NAME": "text", ...}} with each key optional. As overrides of the task '
                "the commands and the environment must fit into "
                f"{OVERRIDES_LIMIT} characters of JSON; no text may hold NUL, and no NAME may be "
                "empty or hold '='."
            ),
        },
    }


# What a bill has of who started a task: the name of the pipeline's or backfills' machine, if one
# did. A child of a map run has the label of its state behind it.
TRIGGER_TAG = "batch-trigger"
_TRIGGER = f"""(
    $parent := $states.input.{PARENT_EXECUTION};
    $name := $type($parent) = "string" ? $split($split($parent, ":")[6], "/")[0] : "";
    $contains($name, /^[A-Za-z0-9_-]+$/) ? $name : ({IS_UPLOAD}) ? "upload" : "hand"
)"""


_TAGS = """
    $exists($states.input.tags) ? [$each($states.input.tags, function($value, $key) {
        {"Key": $key, "Value": $value} })] : []
"""


_IS_REQUEST = f"""
    $type($states.input) = "object"
    and $count($filter($keys($states.input), function($key) {{
        $not($key in ["commands", "environment", "tags", "{PARENT_EXECUTION}"]) }})) = 0
    and ($not($exists($states.input.tags)) or (
        $type($states.input.tags) = "object"
        and $count($keys($states.input.tags)) = $count($filter(
            $each($states.input.tags, function($value) {{ $type($value) = "string" }}),
            function($valid) {{ $valid }}))))
    and ($not($exists($states.input.commands)) or (
        $type($states.input.commands) = "array"
        and $count($states.input.commands) = $count($filter($states.input.commands,
            function($value) {{ $type($value) = "string" and $not($contains($value, {NUL})) }}))))
    and ($not($exists($states.input.environment)) or (
        $type($states.input.environment) = "object"
        and $count($keys($states.input.environment)) = $count($filter(
            $each($states.input.environment, function($value, $key) {{
                $type($value) = "string" and $not($contains($value, {NUL}))
                and $key != "" and $not($contains($key, "=")) and $not($contains($key, {NUL})) }}),
            function($valid) {{ $valid }}))))
"""


def _fits(override: str) -> str:
    return f'$length($string({{"containerOverrides": [{override}]}})) <= {OVERRIDES_LIMIT}'


def _upload_override(name: str) -> str:
    """The key as the command and OBJECT_KEY; as the command alone where both would not fit.

    In JSON a key's 1,024 bytes can take six characters each (control characters).
    """

    def with_environment(told: str) -> str:
        return f"""{{"Name": {name}, "Command": [$states.input.detail.object.key],
            "Environment": [$each({told}, function($value, $key) {{
                {{"Name": $key, "Value": $value}} }})]}}"""

    all_of_it = with_environment("$told")
    without_key = with_environment('$sift($told, function($value, $key) { $key != "OBJECT_KEY" })')
    return f"($told := {variables()}; {_fits(all_of_it)} ? {all_of_it} : {without_key})"


def _request_override(name: str) -> str:
    return f"""
        $merge([{{"Name": {name}}},
            $exists($states.input.commands) ? {{"Command": $states.input.commands}} : {{}},
            $exists($states.input.environment) ? {{"Environment": [
                $each($states.input.environment, function($value, $key) {{
                    {{"Name": $key, "Value": $value}} }})]}} : {{}}])
    """


_WHAT_FAILED = {
    "failure": {
        "Error": expression("$states.errorOutput.Error"),
        "Cause": expression(
            '$exists($states.errorOutput.Cause) ? $string($states.errorOutput.Cause) : ""'
        ),
    }
}
_FAILURE = catch("Diagnose", Assign=_WHAT_FAILED)


def _run_task(
    task: Task, place: Place, timeout_seconds: int, retries: RetryPolicy, turns: Turns | None
) -> dict[str, Any]:
    provider = "FARGATE"
    if place.spot:
        provider = expression(
            f'$interruptions >= {retries.spot_interruptions} ? "FARGATE" : "FARGATE_SPOT"'
        )
    name = json.dumps(task.name)
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::ecs:runTask.sync",
        "Arguments": {
            "Cluster": place.cluster_arn,
            "TaskDefinition": task.task_definition_arn,
            "CapacityProviderStrategy": [{"CapacityProvider": provider, "Weight": 1}],
            "PlatformVersion": place.platform_version,
            # The task's events carry its group: by it a task is found from its execution.
            "Group": expression('"execution:" & $states.context.Execution.Name'),
            "NetworkConfiguration": {"AwsvpcConfiguration": network_of(place)},
            "Overrides": {"ContainerOverrides": expression("[$override]")},
            "PropagateTags": "TASK_DEFINITION",
            "Tags": expression(
                f'[$append([{{"Key": "{TRIGGER_TAG}", "Value": $trigger}}], $tags)]'
            ),
        },
        "TimeoutSeconds": timeout_seconds,
        "Retry": [
            # About four hours, in which Fargate launches 288,000 tasks at its default rate.
            *([] if turns else [retry(NOT_NOW, 320, seconds=5, most=MOST_SECONDS)]),
            # Also raised when ECS itself is throttled looking up the subnets.
            retry(["ECS.InvalidParameterException"], 3, seconds=5, most=None),
        ],
        "Catch": [
            *([catch("TakeTurn", NOT_NOW, Assign={**_WHAT_FAILED, **REFUSED})] if turns else []),
            _FAILURE,
        ],
        "Output": expression(
            f"""(
            $container := $states.result.Containers[Name = {name}];
            {_output(task, "$states.result.TaskArn", "$container.ExitCode")}
            )"""
        ),
        "End": True,
    }


def network_of(place: Place) -> dict[str, Any]:
    """The AwsvpcConfiguration of RunTask."""
    return {
        "Subnets": place.subnet_ids,
        "SecurityGroups": place.security_group_ids,
        "AssignPublicIp": "ENABLED" if place.assign_public_ip else "DISABLED",
    }


def _output(task: Task, task_arn: str, exit_code: str) -> str:
    return f"""{{"job": {json.dumps(task.name)},
              "taskArn": {task_arn},
              "exitCode": {exit_code},
              "attempts": $attempt + 1,
              "logGroup": {json.dumps(task.log_group_name)},
              "logStream": {_stream(task, task_arn)}}}"""


def _stream(task: Task, task_arn: str) -> str:
    return f'{json.dumps(f"{task.name}/{task.name}/")} & $split({task_arn}, "/")[-1]'


def _diagnose(
    task: Task, retries: RetryPolicy, endings: Endings, fresh: Mapping[str, int]
) -> States:
    def exited_with(codes: Sequence[int]) -> str:
        code = f"$task.exitCode in {json.dumps(sorted(codes))}"
        return expression(f'$task.stopCode = "EssentialContainerExited" and {code}')

    return {
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
                    "Assign": {"task": expression(_task_of(json.dumps(task.name)))},
                    "Next": "Decide",
                },
                {
                    "Condition": expression('$failure.Error = "States.Timeout"'),
                    "Next": "FindOwnTask",
                },
            ],
            "Default": "NotStarted",
        },
        "Decide": {
            "Type": "Choice",
            "Choices": [
                # A state fails by any container's exit code, a sidecar's that is killed as the
                # job's own ends, too.
                {"Condition": exited_with([0, *endings.success]), "Next": "Succeeded"},
                *(
                    [{"Condition": exited_with(endings.warning), "Next": "Warned"}]
                    if endings.warning
                    else []
                ),
                {
                    "Condition": expression(
                        f"$attempt < {retries.attempts} and ({_may_succeed_later(retries)})"
                    ),
                    "Assign": {
                        "attempt": expression("$attempt + 1"),
                        "interruptions": expression(f"$interruptions + (({_INTERRUPTED}) ? 1 : 0)"),
                        **fresh,
                    },
                    "Next": "BackOff",
                },
            ],
            "Default": "Failed",
        },
    }


def _task_of(name: str) -> str:
    """What the cause of a failed runTask, the task as JSON text, says."""
    return f"""(
        $task := $parse($failure.Cause);
        $container := $task.Containers[Name = {name}];
        {{"arn": $task.TaskArn,
          "started": $exists($task.StartedAt) or $exists($container.ExitCode),
          "stopCode": $exists($task.StopCode) ? $task.StopCode : "",
          "reason": $exists($task.StoppedReason) ? $task.StoppedReason : "",
          "containerReason": $exists($container.Reason) ? $container.Reason : "",
          "exitCode": $exists($container.ExitCode) ? $container.ExitCode : null}}
    )"""


_INTERRUPTED = '$task.stopCode in ["SpotInterruption", "TerminationNotice"]'
_NEVER_STARTED = '$task.stopCode = "TaskFailedToStart"'
_OUT_OF_MEMORY = '$contains($task.reason & $task.containerReason, "OutOfMemory")'


def passes_by_itself(reason: str) -> str:
    """Whether a task that never started for this reason may start later; the reason as JSONata."""

    def mentions(reasons: Sequence[str]) -> str:
        # Between slashes a slash would end the expression.
        pattern = "|".join(re.escape(one).replace("/", r"\/") for one in reasons)
        return f"$contains({reason}, /{pattern}/i)"

    return f"({mentions(TRANSIENT_REASONS)} and $not({mentions(PERMANENT_REASONS)}))"


def _may_succeed_later(retries: RetryPolicy) -> str:
    codes = json.dumps(sorted(retries.exit_codes))
    return f"""
        {_INTERRUPTED} or $task.exitCode in {codes}
        or ({_NEVER_STARTED} and {passes_by_itself("$task.reason & $task.containerReason")})
    """


_ERROR = f"""(
    {_INTERRUPTED} ? "Batch.Interrupted"
    : {_NEVER_STARTED} ? "Batch.NeverStarted"
    : $task.stopCode = "UserInitiated" ? "Batch.Stopped"
    : (
        $error := $lookup({json.dumps(ERRORS)}, $string($task.exitCode));
        $exists($error) ? $error : "Batch.Failed"
    )
)"""


def _cause_of(task: Task) -> str:
    return f"""(
        $meaning := {_OUT_OF_MEMORY} ? "out of memory"
            : $lookup({json.dumps(MEANINGS)}, $string($task.exitCode));
        $advice := {_OUT_OF_MEMORY} ? {json.dumps(OUT_OF_MEMORY)}
            : $lookup({json.dumps(ADVICE)}, {_ERROR});
        {json.dumps(f"Job {task.name}: ")}
        & ({_INTERRUPTED} ? "its task was interrupted"
           : {_NEVER_STARTED} ? "its task never started"
           : $task.stopCode = "UserInitiated" ? "its task was stopped on request"
           : $task.exitCode = null ? "its container has no exit code"
           : "exit code " & $string($task.exitCode)
               & ($exists($meaning) ? " (" & $meaning & ")" : ""))
        & ($attempt = 0 ? "" : $attempt = 1 ? ", after 1 retry"
           : ", after " & $string($attempt) & " retries")
        & ". Task " & $task.arn & " stopped with " & $task.stopCode & ": " & $task.reason
        & ($task.containerReason = "" ? "" : " (" & $task.containerReason & ")")
        & ($not($task.started) ? ""
           : {json.dumps(f". Log: group {task.log_group_name}, stream ")}
               & {_stream(task, "$task.arn")})
        & {json.dumps(f".{WHAT_TO_DO}")}
        & ($exists($advice) ? $advice : {json.dumps(OTHERWISE)})
    )"""
