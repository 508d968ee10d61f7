"""States that start a task again that a rule or a schedule started in vain."""

import json
from collections.abc import Mapping
from typing import Any

from .job import passes_by_itself
from .states import States, catch, choice, expression, retry

RESTARTS = 5
"""How often a task is started again."""
REFUSALS = 5
"""How often a start that RunTask answers with failures is repeated."""


def is_started_again(reason: str, jobs: list[str]) -> str:
    """Whether a task that did not start is started again; of `$detail`, its `$job` and a text.

    How often it was is told by who started it: rule or schedule / its name / a number.
    """
    return f"""(
        $detail.stopCode = "TaskFailedToStart"
        and $job in {json.dumps(sorted(jobs))}
        and {RESTARTED} < {RESTARTS}
        and {passes_by_itself(reason)}
    )"""


RESTARTED = """(
    $parts := $split($detail.startedBy, "/");
    $count($parts) > 2 ? $number($parts[2]) : 0
)"""


def restart_task(networks: Mapping[str, Mapping[str, Any]], prefix: str) -> States:
    """States from `Read` that start the task of a "task is STOPPED" event again, if that may help.

    One of a "task is RUNNING" event goes on with `Wait`. `networks` are the AwsvpcConfiguration by
    job, for an event does not have all of it; `prefix` is what the families of the jobs' task
    definitions begin with. The new task is started with the old one's id as the client token: it is
    one, however often the event comes. Their end is `Done`.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
    """
    read = f"""
        $detail := $states.input.detail;
        $family := $split($split($detail.taskDefinitionArn, "/")[-1], ":")[0];
        $job := $substringAfter($family, {json.dumps(prefix)});
        $why := $join([$detail.stoppedReason, $detail.containers.reason]
            [$type($) = "string"], " ");
    """
    request = f"""(
        {read}
        $started := $split($detail.startedBy, "/");
        {{"Cluster": $detail.clusterArn,
          "TaskDefinition": $detail.taskDefinitionArn,
          "CapacityProviderStrategy": [{{"Weight": 1, "CapacityProvider":
              $exists($detail.capacityProviderName) ? $detail.capacityProviderName : "FARGATE"}}],
          "PlatformVersion": $exists($detail.platformVersion)
              ? $detail.platformVersion : "LATEST",
          "Group": $detail.group,
          "NetworkConfiguration": {{"AwsvpcConfiguration": $lookup({json.dumps(networks)}, $job)}},
          "Overrides": {{"ContainerOverrides": [$detail.overrides.containerOverrides.$merge([
              {{"Name": name}},
              $exists(command) ? {{"Command": [command]}} : {{}},
              $exists(environment) ? {{"Environment":
                  [environment.{{"Name": name, "Value": value}}]}} : {{}}])]}},
          "PropagateTags": "TASK_DEFINITION",
          "StartedBy": $started[0] & "/" & $started[1] & "/" & $string({RESTARTED} + 1),
          "ClientToken": $split($detail.taskArn, "/")[-1]}}
    )"""
    runs = {
        "Condition": expression('$states.input.detail.lastStatus = "RUNNING"'),
        "Next": "Wait",
    }
    in_vain = choice(
        f"({read} {is_started_again('$why', list(networks))})",
        "BackOff",
        "Done",
        task=expression("$states.input.detail.taskArn"),
        restarts=expression(f"({read} {RESTARTED})"),
        request=expression(request),
        refusals=0,
    )
    return {
        "Read": {**in_vain, "Choices": [runs, *in_vain["Choices"]]},
        "BackOff": {
            "Type": "Wait",
            # Full jitter below 15 s, 30 s, 1 min ... at most 5 minutes.
            "Seconds": expression(
                "$ceil($random() * $min([300, 15 * $power(2, $restarts + $refusals)]))"
            ),
            "Next": "RunTask",
        },
        "RunTask": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:ecs:runTask",
            "Arguments": expression("$request"),
            "Retry": [
                retry(["Ecs.EcsException", "Ecs.ServerException", "Ecs.SdkClientException"], 20)
            ],
            "Assign": {"failures": expression("[$states.result.Failures.Reason]")},
            "Catch": [
                catch("NotStarted", Assign={"failures": expression("[$states.errorOutput.Cause]")})
            ],
            "Next": "IsStarted",
        },
        # RunTask answers 200 where there is no capacity, and says so in what it answers.
        "IsStarted": choice("$count($failures) = 0", "Done", "IsRefusedForGood"),
        "IsRefusedForGood": choice(
            f"$refusals < {REFUSALS}", "BackOff", "NotStarted", refusals=expression("$refusals + 1")
        ),
        "NotStarted": {
            "Type": "Fail",
            "Error": "Batch.NeverStarted",
            "Cause": expression(
                '"The task " & $task & " never started, and could not be started again: "'
                ' & $join($failures, "; ")'
            ),
        },
    }
