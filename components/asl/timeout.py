"""Definitions that stop a task that outlived its job's timeout."""

import json
from collections.abc import Mapping
from typing import Any

from .states import Definition, States, catch, choice, definition, expression, retry

REASON = "Timed out after "
"""What the reason of such a stop begins with, before the number of seconds."""

_RETRY = retry(["Ecs.EcsException", "Ecs.ServerException", "Ecs.SdkClientException"], 10)


def reap_task(
    timeouts: Mapping[str, int], cluster_arn: str, restarts: States | None = None
) -> Definition:
    """A definition that stops the task of a "task is RUNNING" event when its time is up.

    `timeouts` are seconds by the family of the task definition. A task of a family that is no
    longer among them has the longest time of all. `restarts` are those of `restart_task`.
    """
    states: States = {
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
            **_stop_task(
                cluster_arn,
                expression("$task"),
                expression(f'"{REASON}" & $string($seconds) & " seconds"'),
            ),
            # What StopTask says of a task that ended about an hour ago or earlier; one that ended
            # since then is left as it is.
            "Catch": [
                catch(
                    "IsGone",
                    ["Ecs.InvalidParameterException"],
                    Assign={"failure": expression("$states.errorOutput")},
                )
            ],
            "Next": "Done",
        },
        "IsGone": choice('$contains($failure.Cause, "was not found")', "Done", "Failed"),
        "Failed": {
            "Type": "Fail",
            "Error": expression("$failure.Error"),
            "Cause": expression(
                '"The task " & $task & " ran for longer than " & $string($seconds)'
                ' & " seconds and could not be stopped: " & $failure.Cause'
            ),
        },
        "Done": {"Type": "Succeed"},
    }
    if restarts:
        what = "Stops a task that outlives its job's timeout, starts one again that did not start"
        return definition(what, "Read", {**restarts, **states})
    return definition("Stops a task that outlives its job's timeout", "Wait", states)


def _seconds(timeouts: Mapping[str, int]) -> str:
    known = json.dumps(dict(sorted(timeouts.items())))
    return f"""
        $family := $split($split($states.input.detail.taskDefinitionArn, "/")[-1], ":")[0];
        $known := $lookup({known}, $family);
        $seconds := $exists($known) ? $known : {max(timeouts.values())}
    """


def stop_own_task(
    cluster_arn: str, task_definition_arn: str, timeout_seconds: int, *, then: str
) -> States:
    """States from `FindOwnTask` that stop the task that this execution started, if it runs.

    AWS names what makes Step Functions stop what a `.sync` state started: that the execution is
    stopped, or another branch fails. A time-out of the state itself is not among it, so the task is
    looked for, by the group that has the execution's name, and stopped if it runs:
    https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-sync

    Whatever goes wrong here, the execution goes on with `then`: it ends as what it is, timed out.
    """
    family = task_definition_arn.rpartition("/")[2].partition(":")[0]
    own = '[$states.result.Tasks[Group = "execution:" & $states.context.Execution.Name].TaskArn]'
    next_page = {
        "Condition": expression("$exists($page.NextToken)"),
        "Assign": {"listTasks": expression('$merge([$listTasks, {"NextToken": $page.NextToken}])')},
        "Next": "ListTasks",
    }
    return {
        "FindOwnTask": {
            "Type": "Pass",
            "Assign": {
                "listTasks": {
                    "Cluster": cluster_arn,
                    "Family": family,
                    "DesiredStatus": "RUNNING",
                    # A hundred described would not fit into a state.
                    "MaxResults": 25,
                }
            },
            "Next": "ListTasks",
        },
        "ListTasks": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:ecs:listTasks",
            "Arguments": expression("$listTasks"),
            "Retry": [_RETRY],
            "Assign": {"page": expression("$states.result")},
            "Catch": [catch(then)],
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
            "Default": then,
        },
        "DescribeTasks": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:ecs:describeTasks",
            "Arguments": {"Cluster": cluster_arn, "Tasks": expression("[$page.TaskArns]")},
            "Retry": [_RETRY],
            "Assign": {"own": expression(own)},
            "Catch": [catch(then)],
            "Next": "HasOwnTask",
        },
        "HasOwnTask": {
            "Type": "Choice",
            "Choices": [
                {"Condition": expression("$count($own) > 0"), "Next": "StopTask"},
                next_page,
            ],
            "Default": then,
        },
        "StopTask": {
            **_stop_task(cluster_arn, expression("$own[0]"), f"{REASON}{timeout_seconds} seconds"),
            "Catch": [catch(then)],
            "Next": then,
        },
    }


def _stop_task(cluster_arn: str, task: str, reason: str) -> dict[str, Any]:
    """A state that stops one task; without `Next`."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ecs:stopTask",
        "Arguments": {"Cluster": cluster_arn, "Task": task, "Reason": reason},
        "Retry": [_RETRY],
    }
