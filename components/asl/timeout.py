"""Definitions that stop a task that outlived its job's timeout."""

import json
from collections.abc import Mapping
from typing import Any

import pulumi

from .job import Definition, expression

REASON = "Timed out after "
"""What the reason of such a stop begins with, before the number of seconds."""


def reap_task(timeouts: Mapping[str, int], cluster_arn: pulumi.Input[str]) -> Definition:
    """A definition that stops the task of a "task is RUNNING" event when its time is up.

    `timeouts` are seconds by the family of the task definition. A task of a family that is no
    longer among them has the longest time of all.
    """
    return {
        "Comment": "Stops a task that outlives its job's timeout",
        "QueryLanguage": "JSONata",
        "StartAt": "Wait",
        "States": {
            "Wait": {
                "Type": "Wait",
                "Timestamp": expression(f"""(
                    {_seconds(timeouts)};
                    $detail := $states.input.detail;
                    $from := $exists($detail.startedAt) ? $detail.startedAt : $states.input.time;
                    $fromMillis($toMillis($from) + $seconds * 1000)
                )"""),
                "Assign": {
                    "task": expression("$states.input.detail.taskArn"),
                    "seconds": expression(f"({_seconds(timeouts)}; $seconds)"),
                },
                "Next": "StopTask",
            },
            "StopTask": {
                **stop_task(cluster_arn, expression("$task"), expression(_reason("$seconds"))),
                "Catch": [
                    {
                        # What StopTask says of a task that ended about an hour ago or earlier; one
                        # that ended since then is left as it is.
                        "ErrorEquals": ["Ecs.InvalidParameterException"],
                        "Assign": {"failure": expression("$states.errorOutput")},
                        "Next": "IsGone",
                    }
                ],
                "Next": "Done",
            },
            "IsGone": {
                "Type": "Choice",
                "Choices": [
                    {
                        "Condition": expression('$contains($failure.Cause, "was not found")'),
                        "Next": "Done",
                    }
                ],
                "Default": "Failed",
            },
            "Failed": {
                "Type": "Fail",
                "Error": expression("$failure.Error"),
                "Cause": expression(
                    '"The task " & $task & " ran for longer than " & $string($seconds)'
                    ' & " seconds and could not be stopped: " & $failure.Cause'
                ),
            },
            "Done": {"Type": "Succeed"},
        },
    }


def _seconds(timeouts: Mapping[str, int]) -> str:
    known = json.dumps(dict(sorted(timeouts.items())))
    return f"""
        $family := $split($split($states.input.detail.taskDefinitionArn, "/")[-1], ":")[0];
        $known := $lookup({known}, $family);
        $seconds := $exists($known) ? $known : {max(timeouts.values())}
    """


def _reason(seconds: str) -> str:
    return f'"{REASON}" & $string({seconds}) & " seconds"'


def stop_task(cluster_arn: pulumi.Input[str], task: str, reason: str) -> dict[str, Any]:
    """A state that stops one task; without `Next`."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ecs:stopTask",
        "Arguments": {"Cluster": cluster_arn, "Task": task, "Reason": reason},
        "Retry": [RETRY_ECS],
    }


RETRY_ECS: dict[str, Any] = {
    "ErrorEquals": ["Ecs.EcsException", "Ecs.ServerException", "Ecs.SdkClientException"],
    "IntervalSeconds": 2,
    "BackoffRate": 2,
    "MaxDelaySeconds": 60,
    "MaxAttempts": 10,
    "JitterStrategy": "FULL",
}


def stopping_own_task(
    definition: Definition,
    *,
    cluster_arn: pulumi.Input[str],
    task_definition_arn: pulumi.Input[str],
    timeout_seconds: int,
) -> Definition:
    """A definition of `run_job` that, before it ends as timed out, stops the task it started.

    AWS names what makes Step Functions stop what a `.sync` state started: that the execution is
    stopped, or another branch fails. A time-out of the state itself is not among it, so the task is
    looked for, by the group that has the execution's name, and stopped if it runs:
    https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-sync
    """
    states: dict[str, Any] = dict(definition["States"])
    family = pulumi.Output.from_input(task_definition_arn).apply(_family)
    listing = {"Cluster": cluster_arn, "Family": family, "DesiredStatus": "RUNNING"}
    choices = [
        {**choice, "Assign": {"listTasks": listing}, "Next": "ListTasks"}
        if choice["Next"] == "TimedOut"
        else choice
        for choice in states["Diagnose"]["Choices"]
    ]
    # Whatever goes wrong here, the execution ends as what it is: timed out.
    give_up = {"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "TimedOut"}]}
    own = '[$states.result.Tasks[Group = "execution:" & $states.context.Execution.Name].TaskArn]'
    next_page = {
        "Condition": expression("$exists($page.NextToken)"),
        "Assign": {"listTasks": expression('$merge([$listTasks, {"NextToken": $page.NextToken}])')},
        "Next": "ListTasks",
    }
    states |= {
        "Diagnose": {**states["Diagnose"], "Choices": choices},
        "ListTasks": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:ecs:listTasks",
            "Arguments": expression("$listTasks"),
            "Retry": [RETRY_ECS],
            "Assign": {"page": expression("$states.result")},
            **give_up,
            "Next": "HasTasks",
        },
        "HasTasks": {
            "Type": "Choice",
            "Choices": [
                {
                    "Condition": expression("$count($page.TaskArns) > 0"),
                    "Next": "DescribeTasks",
                },
                next_page,
            ],
            "Default": "TimedOut",
        },
        "DescribeTasks": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:ecs:describeTasks",
            "Arguments": {"Cluster": cluster_arn, "Tasks": expression("[$page.TaskArns]")},
            "Retry": [RETRY_ECS],
            "Assign": {"own": expression(own)},
            **give_up,
            "Next": "HasOwnTask",
        },
        "HasOwnTask": {
            "Type": "Choice",
            "Choices": [
                {"Condition": expression("$count($own) > 0"), "Next": "StopTask"},
                next_page,
            ],
            "Default": "TimedOut",
        },
        "StopTask": {
            **stop_task(cluster_arn, expression("$own[0]"), f"{REASON}{timeout_seconds} seconds"),
            **give_up,
            "Next": "TimedOut",
        },
    }
    return {**definition, "States": states}


def _family(task_definition_arn: str) -> str:
    return task_definition_arn.rpartition("/")[2].partition(":")[0]
