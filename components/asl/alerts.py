"""The definition that turns an event about a failure into one message that a person can read."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..outcomes import ADVICE, ERRORS, MEANINGS, OTHERWISE, WHAT_TO_DO
from .restart import RESTARTED, is_started_again
from .states import (
    PARENT_EXECUTION,
    RETRY,
    Definition,
    States,
    catch,
    choice,
    definition,
    expression,
    retry,
)
from .timeout import REASON

CAUSE_CHARACTERS = 2000
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
SUBJECT_CHARACTERS = 100


def alert(
    *,
    project: str,
    stack: str,
    prefix: str,
    runbook: str,
    topic_arn: str,
    queue_url: str,
    chat_topic_arn: str | None = None,
    exit_codes: Mapping[str, Any] | None = None,
    restarted: Sequence[str] = (),
    log_groups: Mapping[str, str] | None = None,
    backfills: bool = False,
) -> Definition:
    """A definition that publishes one message for an event, and nothing for what is no failure.

    Input: an event "Step Functions Execution Status Change" or "ECS Task State Change". Output:
    `{"published": false}` or what SNS answered. `prefix` is what the names of the stack's state
    machines and task definition families begin with. An event of which nothing can be published
    goes to the queue. `exit_codes` are those of each job that mean success or a warning;
    `restarted` are the jobs whose tasks are started again that did not start: the last one is told.
    `log_groups` are those of the jobs, by job; that of another is `/PROJECT/STACK/JOB`. A chat's
    topic gets a custom notification of Amazon Q Developer. With `backfills`, only the first warning
    of a backfill is published: by an execution of this machine that is named after it, which an
    account has once in 90 days.
    """
    known = {"logGroups": dict(log_groups or {})}
    read_task = _read_task(prefix, exit_codes or {}, restarted)
    of_task, of_execution = _task(read_task, project, stack), _execution(prefix, project, stack)
    keep = {"Output": expression("$states.input")}
    states: States = {
        "Read": {
            "Type": "Choice",
            "Choices": [
                {
                    "Condition": expression(_task_failed(read_task)),
                    "Assign": known,
                    "Next": "ReadTask",
                },
                {"Condition": expression(_FAILED_IN_BACKFILL), "Next": "NothingToReport"},
                *(
                    [
                        {
                            "Condition": expression(f"{_IN_BACKFILL} and {_WARNED} and {_IS_ANY}"),
                            "Assign": known,
                            "Next": "TellOnce",
                        }
                    ]
                    if backfills
                    else []
                ),
                {
                    "Condition": expression(_has_pipeline(prefix)),
                    "Assign": known,
                    "Next": "AskPipeline",
                },
                {
                    "Condition": expression(f"{_execution_failed()} or {_WARNED}"),
                    "Assign": known,
                    "Next": "ReadExecution",
                },
            ],
            "Default": "NothingToReport",
        },
        "AskPipeline": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sfn:describeExecution",
            "Arguments": {"ExecutionArn": expression(_PARENT)},
            "Retry": [_RETRY],
            "Assign": {"pipeline": expression("$states.result")},
            "Catch": [catch("ReadExecution", **keep)],
            **keep,
            "Next": "IsReportedByPipeline",
        },
        # Who starts a step again by hand starts it with the same input, in which the pipeline is
        # still named; but that has ended before.
        "IsReportedByPipeline": choice(
            "$not($exists($pipeline.StopDate)) or"
            " $toMillis($pipeline.StopDate) >= $states.input.detail.startDate",
            "NothingToReport",
            "ReadExecution",
        ),
        "ReadExecution": {
            "Type": "Pass",
            "Assign": _message(project, stack, runbook, of_execution),
            "Next": "Publish",
        },
        "ReadTask": {
            "Type": "Pass",
            "Assign": _message(project, stack, runbook, of_task),
            "Next": "Publish",
        },
        "Publish": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sns:publish",
            "Arguments": {
                "TopicArn": topic_arn,
                "Subject": expression("$subject"),
                "Message": expression("$message"),
            },
            "Retry": [_RETRY],
            "Catch": [
                catch(
                    "KeepEvent",
                    Assign={"failure": expression("$states.errorOutput")},
                    **keep,
                )
            ],
            **({"End": True} if chat_topic_arn is None else {"Next": "PublishToChat"}),
        },
        "KeepEvent": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage",
            "Arguments": {
                "QueueUrl": queue_url,
                "MessageBody": expression("$string($states.input)"),
            },
            "Retry": [_RETRY],
            "Next": "NotPublished",
        },
        "NotPublished": {
            "Type": "Fail",
            "Error": expression("$failure.Error"),
            "Cause": expression(
                '"This message could not be published: " & $failure.Cause & "\\n\\n" & $message'
            ),
        },
        "NothingToReport": {"Type": "Succeed", "Output": {"published": False}},
    }
    if backfills:
        states["TellOnce"] = _tell_once(keep)
    if chat_topic_arn is not None:
        states["PublishToChat"] = {
            "Type": "Task",
            "Resource": "arn:aws:states:::sns:publish",
            "Arguments": {"TopicArn": chat_topic_arn, "Message": expression("$chat")},
            "Retry": [_RETRY],
            "End": True,
        }
        for read, of in (("ReadExecution", of_execution), ("ReadTask", of_task)):
            states[read]["Assign"]["chat"] = _notification(project, stack, of)
    return definition("Publishes a message about a failure", "Read", states)


_RETRY = retry(["States.ALL"], 6)

_PARENT = f"$parse($states.input.detail.input).{PARENT_EXECUTION}"


# Whether a backfill ran what the event is about.
_IN_BACKFILL = """
    $states.input.source = "aws.states"
    and $contains($states.input.detail.name, /_backfill_[0-9a-f]+$/)
"""

# What fails is reported by the backfill's own end.
_FAILED_IN_BACKFILL = f"""
    {_IN_BACKFILL} and $states.input.detail.status != "SUCCEEDED"
"""

# An event as EventBridge sent it: of that which is to be told, `backfill` says of which.
_IS_ANY = "$not($exists($states.input.backfill))"


def _tell_once(keep: Mapping[str, Any]) -> dict[str, Any]:
    """Start this machine for the event again, under a name that only the first of a backfill has.

    What cannot be started is told as if there were no backfill.
    """
    backfill = '$substringAfter($states.input.detail.name, "_backfill_")'
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution",
        "Arguments": {
            "StateMachineArn": expression("$states.context.StateMachine.Id"),
            "Name": expression(f'"warning-of-" & {backfill}'),
            "Input": expression(f'$merge([$states.input, {{"backfill": {backfill}}}])'),
        },
        "Retry": [RETRY],
        "Catch": [
            catch("NothingToReport", ["StepFunctions.ExecutionAlreadyExistsException"]),
            catch("ReadExecution", **keep),
        ],
        "Output": {"published": False},
        "End": True,
    }


def _has_pipeline(prefix: str) -> str:
    """Whether a pipeline of this stack started the execution: its message reports the failure."""
    return f"""(
        $input := $states.input.detail.input;
        $parent := $type($input) = "string" and $contains($input, "{PARENT_EXECUTION}")
            ? {_PARENT} : null;
        {_execution_failed()} and $type($parent) = "string"
            and $contains($parent, ":execution:{prefix}pipeline-")
    )"""


def _execution_failed() -> str:
    return f"""(
        $states.input.source = "aws.states"
        and ($states.input.detail.status != "SUCCEEDED" or $count({_FAILED_STEPS}) > 0)
    )"""


# Whether a job's execution ended well, but with a warning.
_WARNED = """(
    $states.input.source = "aws.states" and $states.input.detail.status = "SUCCEEDED"
    and $contains($states.input.detail.stateMachineArn, "-job-")
    and $exists($parse($states.input.detail.output).warning)
)"""

# Steps that a pipeline went on after, in series or side by side.
_FAILED_STEPS = """(
    $states.input.detail.status = "SUCCEEDED"
        ? [$reduce($parse($states.input.detail.output).steps,
            function($all, $step) { $append($all, $step) }, [])[status = "FAILED"]]
        : []
)"""


def _read_task(prefix: str, exit_codes: Mapping[str, Any], restarted: Sequence[str]) -> str:
    return f"""
        $detail := $states.input.detail;
        $family := $split($split($detail.taskDefinitionArn, "/")[-1], ":")[0];
        $job := $substringAfter($substringAfter($family, "{prefix}"), "job-");
        $container := $detail.containers[name = $job];
        $code := $exists($container.exitCode) ? $container.exitCode : null;
        $stop := $type($detail.stopCode) = "string" ? $detail.stopCode : "";
        $reason := $type($detail.stoppedReason) = "string" ? $detail.stoppedReason : "";
        $exited := $stop = "" or $stop = "EssentialContainerExited";
        $codes := $lookup({json.dumps(exit_codes)}, $job);
        $succeeded := $exited and ($code = 0 or $code in $codes.success);
        $warned := $exited and $code in $codes.warning;
        $startedAgain := {is_started_again('$reason & " " & $container.reason', list(restarted))};
    """


def _task_failed(read_task: str) -> str:
    """The rule lets a little more pass than what failed: a side container that did not exit 0."""
    return f"""(
        $states.input.source = "aws.ecs" and (
            {read_task}
            $not($succeeded or $startedAgain)
        )
    )"""


def _task(read_task: str, project: str, stack: str) -> str:
    """What, why, where the log is and what to do, of a task that was started directly."""
    return f"""
        {read_task}
        $meaning := $lookup({json.dumps(MEANINGS)}, $string($code));
        $timedOut := $stop = "UserInitiated" and $substring($reason, 0, {len(REASON)}) = "{REASON}";
        $error := $warned ? "Batch.Warned"
            : $timedOut ? "Batch.TimedOut"
            : $stop = "UserInitiated" ? "Batch.Stopped"
            : $stop = "TaskFailedToStart" ? "Batch.NeverStarted"
            : $stop in ["SpotInterruption", "TerminationNotice", "InfrastructureHealth"]
                ? "Batch.Interrupted"
            : $lookup({json.dumps(ERRORS)}, $string($code));
        $what := "Job " & $job & " "
            & ($warned ? "ended with a warning: exit code " & $string($code)
               : $error = "Batch.TimedOut" ? "timed out"
               : $error = "Batch.Stopped" ? "was stopped"
               : $error = "Batch.NeverStarted" ? "never started"
                   & ({RESTARTED} = 0 ? "" : ", " & $string({RESTARTED} + 1) & " times")
               : $error = "Batch.Interrupted" ? "was interrupted"
               : $code = null ? "failed without an exit code"
               : "failed: exit code " & $string($code)
                   & ($exists($meaning) ? " (" & $meaning & ")" : ""));
        $why := $join([$reason, $container.reason,
            "stop code " & ($stop = "" ? "unknown" : $stop)
        ][$type($) = "string" and $ != ""], "; ");
        $environment := $detail.overrides.containerOverrides[name = $job].environment;
        $bucket := $environment[name = "BUCKET"].value;
        $key := $environment[name = "OBJECT_KEY"].value;
        $object := $exists($bucket) and $exists($key) ? "s3://" & $bucket & "/" & $key : "";
        $started := $split($detail.startedBy, "/");
        $subjectOf := "Task " & $detail.taskArn & "\\nStarted by: "
            & ($started[0] = "events-rule" ? "rule " : "schedule ") & $started[1]
            & ", at " & $detail.createdAt;
        $log := $exists($detail.startedAt) or $code != null
            ? {_group(project, stack, "$job")} & ", stream " & $job & "/" & $job & "/"
                & $split($detail.taskArn, "/")[-1] : "";
        $again := "";
        $kind := "job";
        $title := $job;
    """


def _group(project: str, stack: str, job: str) -> str:
    return f"""(
        $group := $lookup($logGroups, {job});
        "group " & ($exists($group) ? $group : "/{project}/{stack}/" & {job})
    )"""


def _execution(prefix: str, project: str, stack: str) -> str:
    """What, why, where the log is and what to do, of an execution."""
    return f"""
        $detail := $states.input.detail;
        $name := $substringAfter($split($detail.stateMachineArn, ":")[6], "{prefix}");
        $kind := $substringBefore($name, "-");
        $title := $substringAfter($name, "-");
        $steps := {_FAILED_STEPS};
        $went := $count($steps) > 0;
        $output := $detail.status = "SUCCEEDED" ? $parse($detail.output) : {{}};
        $warned := $exists($output.warning);
        $error := $went ? "Pipeline.StepFailed" : $warned ? "Batch.Warned"
            : $exists($detail.error) ? $detail.error : null;
        $backfill := $exists($states.input.backfill) ? $states.input.backfill : "";
        $what := ($backfill = "" ? "" : "Backfill " & $backfill & ": ")
            & ($kind = "job" ? "Job " & $title
               : $kind = "pipeline" ? "Pipeline " & $title
               : $kind = "backfill" ? "Backfill " & $substring($detail.name, 0, 12)
               : $kind & " " & $title)
            & ($warned ? " ended with a warning: " & $output.warning
               : $went ? " went on after steps that failed"
               : $detail.status = "ABORTED" ? " was stopped"
               : $detail.status = "TIMED_OUT" ? " timed out" : " failed")
            & ($went or $warned or $error = null ? "" : ": " & $error);
        $why := $warned ? "Its exit code means a warning, as jobs." & $title & ".exitCodes says."
                & ($backfill = "" ? "" : " No other warning of this backfill is told:"
                    & " fargate-batch runs --backfill " & $backfill)
            : $went ? $join($steps.(job & ": " & error & ": " & cause), "\\n")
            : $exists($detail.cause) and $detail.cause != null
                ? $substringBefore($detail.cause, "{WHAT_TO_DO}")
            : $detail.status = "ABORTED" ? "It was stopped on request, without a reason."
            : $detail.status = "TIMED_OUT" ? "It took longer than its definition allows."
            : "No cause was given.";
        $text := $detail.input;
        $input := $type($text) = "string" and $contains($text, "Object Created")
            ? $parse($text) : {{}};
        $object := $type($input.detail.object.key) = "string"
            ? "s3://" & $input.detail.bucket.name & "/" & $input.detail.object.key : "";
        $subjectOf := "Execution " & $detail.executionArn & "\\nStarted at "
            & $fromMillis($detail.startDate)
            & ($type($detail.stopDate) = "number"
               ? ", ended at " & $fromMillis($detail.stopDate) : "");
        $ran := $detail.status != "FAILED" or $contains($string($detail.cause), "Log: group");
        $log := $kind = "job" and $ran ? {_group(project, stack, "$title")} : "";
        $again := $kind = "backfill" ? "fargate-batch backfills continue " & $detail.name
            : "aws stepfunctions start-execution --state-machine-arn "
            & $detail.stateMachineArn & " --input \\"$(aws stepfunctions describe-execution"
            & " --execution-arn " & $detail.executionArn & " --query input --output text)\\"";
    """


_WHAT_TO_DO = f"""
    $known := $lookup({json.dumps(ADVICE)}, $string($error));
    $do := $exists($known) ? $known
        : $kind = "backfill" ? {json.dumps(ADVICE["Backfill.ObjectsFailed"])}
        : $log = "" ? {json.dumps(ADVICE["Batch.NeverStarted"])} : {json.dumps(OTHERWISE)};
"""


def _message(project: str, stack: str, runbook: str, read: str) -> dict[str, Any]:
    """The variables `subject`, of printable ASCII, and `message`."""
    return {
        "subject": expression(f"""(
            {read}
            $substring($replace($what & " ({project} {stack})", /[^ -~]/, "?"),
                0, {SUBJECT_CHARACTERS})
        )"""),
        "message": expression(f"""(
            {read}
            {_WHAT_TO_DO}
            $cut := $length($why) > {CAUSE_CHARACTERS}
                ? $substring($why, 0, {CAUSE_CHARACTERS}) & " ... (cut)" : $why;
            $what & "\\n\\nWhat: " & $subjectOf
            & ($object = "" ? "" : "\\nObject: " & $object)
            & "\\nStack: {project} {stack}"
            & "\\n\\nWhy: " & $cut
            & ($log = "" ? "" : "\\n\\nLog: " & $log)
            & "\\n\\nWhat to do: " & $do
            & ($again = "" ? "" : "\\nTo start it again: " & $again)
            & "\\nMore: " & {json.dumps(f"{runbook}#a-message-came")}
        )"""),
    }


def _notification(project: str, stack: str, read: str) -> str:
    """A custom notification, in a thread of what failed.

    https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    """
    about = json.dumps(f"{project}/{stack}/")
    return expression(f"""(
        {read}
        {_WHAT_TO_DO}
        $string({{
            "version": "1.0",
            "source": "custom",
            "content": {{
                "textType": "client-markdown",
                "title": $substring(":warning: " & $what, 0, 250),
                "description": $substring($subjectOf & ($object = "" ? "" : "\\n" & $object)
                    & "\\n" & $why & ($log = "" ? "" : "\\nLog: " & $log), 0, 4000),
                "nextSteps": [$do],
                "keywords": [{json.dumps(project)}, {json.dumps(stack)}, "failure"]
            }},
            "metadata": {{
                "threadId": {about} & $kind & "/" & $title,
                "summary": $substring($what, 0, 250),
                "eventType": "failure"
            }}
        }})
    )""")
