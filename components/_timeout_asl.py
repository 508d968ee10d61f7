"""Definitions that stop a task that outlived its job's timeout."""

import json
from collections.abc import Mapping
from typing import Any

import pulumi

from ._asl import Definition, expression

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
