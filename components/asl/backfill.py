"""The definition that runs a job for each of many objects, as their uploads would have.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

import json
from typing import Any

from .states import PARENT_EXECUTION, RETRY, Definition, choice, definition, expression

LABEL = "objects"
"""What the ARNs of its map runs and of their executions have after the state machine's name."""


def run_backfill(*, jobs: str, bucket: str, folder: str) -> Definition:
    """A distributed map over the objects of a backfill: an execution of the job for each.

    Input: `{"job", "maxConcurrency", "toleratedFailures"}`, and what else whoever starts it wants
    to find again. `toleratedFailures` is how many objects may fail before no more are begun: then
    it fails in the map, from where a redrive goes on. If fewer fail, it ends with
    `Backfill.ObjectsFailed` once all have ended.

    The objects are the lines of FOLDER/EXECUTION/objects.jsonl in the bucket, each the
    `detail` of its upload's event: `{"bucket": {"name"}, "object": {"key", "size", "etag"}}`. What
    became of them, Step Functions writes beside it. `jobs` is what the ARNs of the jobs' state
    machines begin with.

    Each execution is named by the one of the map that waits for it, so a start that is repeated
    starts none twice, and ends with `_backfill_` and the first 12 characters of the backfill's.
    """
    folder_of = f"{json.dumps(folder)} & $states.context.Execution.Name"
    return definition(
        "Runs a job for each of many objects",
        "Objects",
        {
            "Objects": {
                "Type": "Map",
                "Label": LABEL,
                "ItemReader": {
                    "Resource": "arn:aws:states:::s3:getObject",
                    "ReaderConfig": {"InputType": "JSONL"},
                    "Arguments": {
                        "Bucket": bucket,
                        "Key": expression(f'{folder_of} & "/objects.jsonl"'),
                    },
                },
                "ItemSelector": {
                    "job": expression("$states.input.job"),
                    "backfill": expression("$substring($states.context.Execution.Name, 0, 12)"),
                    "item": expression("$states.context.Map.Item.Value"),
                },
                "MaxConcurrency": expression("$states.input.maxConcurrency"),
                "ToleratedFailureCount": expression("$states.input.toleratedFailures"),
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    "StartAt": "Run",
                    "States": {"Run": _run(jobs)},
                },
                "ResultWriter": {
                    "Resource": "arn:aws:states:::s3:putObject",
                    "Arguments": {"Bucket": bucket, "Prefix": expression(folder_of)},
                },
                "Next": "Count",
            },
            "Count": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:sfn:describeMapRun",
                "Arguments": {"MapRunArn": expression("$states.input.MapRunArn")},
                "Retry": [RETRY],
                "Output": expression("$states.result.ItemCounts"),
                "Next": "HaveAllSucceeded",
            },
            "HaveAllSucceeded": choice(
                "$states.input.Succeeded = $states.input.Total", "AllSucceeded", "SomeFailed"
            ),
            "AllSucceeded": {"Type": "Succeed"},
            "SomeFailed": {
                "Type": "Fail",
                "Error": "Backfill.ObjectsFailed",
                "Cause": expression(
                    "$string($states.input.Total - $states.input.Succeeded)"
                    ' & " of " & $string($states.input.Total) & " objects failed."'
                ),
            },
        },
    )


def _run(jobs: str) -> dict[str, Any]:
    """What is done about one object: the job's execution, which ends this one as it ends itself.

    Nothing is caught: a redrive goes on from a state that failed, and not from a Fail state.
    https://docs.aws.amazon.com/step-functions/latest/dg/redrive-map-run.html
    """
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {
            "StateMachineArn": expression(f"{json.dumps(jobs)} & $states.input.job"),
            "Name": expression("""(
                $redrives := $states.context.Execution.RedriveCount;
                $states.context.Execution.Name & ($redrives > 0 ? "-" & $string($redrives) : "")
                    & "_backfill_" & $states.input.backfill
            )"""),
            "Input": {
                PARENT_EXECUTION: expression("$states.context.Execution.Id"),
                "source": "aws.s3",
                "detail-type": "Object Created",
                "detail": expression("$states.input.item"),
            },
        },
        "Retry": [RETRY],
        "Output": {"execution": expression("$states.result.ExecutionArn")},
        "End": True,
    }
