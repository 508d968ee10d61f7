"""Definitions that let a job run a limited number of executions at once: a semaphore in one table.

The table has one item of the semaphore: `holders`, the executions that hold a permit, and
`waiting`, how many stand in the queue; and an item for each of these, in the order in which they
started. Every change of the semaphore is one conditional write. An execution is removed from the
holders only once it has ended, so never are there more holders than permits, nor more executions
past the gate.
"""

from dataclasses import dataclass
from typing import Any

from .. import defaults
from ..outcomes import ADVICE, WHAT_TO_DO
from .states import Definition, States, catch, choice, definition, expression, retry

# The name that the item has had in the tables of deployed stacks since the first version.
_SEMAPHORE = {"kind": {"S": "slots"}, "arrival": {"S": "-"}}

# The two integrations with DynamoDB spell its name, and so their errors, in two ways.
_REFUSED = [
    "DynamoDB.ConditionalCheckFailedException",
    "DynamoDb.ConditionalCheckFailedException",
]
_CANCELED = ["DynamoDb.TransactionCanceledException"]
_DEAD_TOKEN = [
    "Sfn.TaskTimedOutException",
    "Sfn.TaskDoesNotExistException",
    "Sfn.InvalidTokenException",
]
_GONE = ["Sfn.ExecutionDoesNotExistException"]

WAIT_SECONDS = 7 * 24 * 60 * 60
"""The longest that an execution waits for a permit; without a bound it would for a year."""

# Who collides with another does so again unless they wait differently long.
CONFLICT_SECONDS = 4
_CAUSE = '$exists($states.errorOutput.Cause) ? $states.errorOutput.Cause : ""'

# What a task that is asked to stop has besides the time of its container:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
_STOP_GRACE_SECONDS = 5
_IS_END = "$exists($states.input.detail.executionArn)"
_STOPS_A_TASK = (
    '$states.input.detail.status in ["ABORTED", "TIMED_OUT"]'
    ' or $states.input.detail.error = "Batch.TimedOut"'
)

_HAS_ROOM = "attribute_not_exists(#holders) OR size(#holders) < :limit"


@dataclass(frozen=True)
class Permits:
    """How many executions may run the task at once, and the table that knows which do."""

    table: str
    limit: int
    stop_timeout: int = defaults.STOP_TIMEOUT
    """Within how many seconds a task that is told to stop has stopped."""


def acquire_permit(permits: Permits, then: str, *, otherwise: dict[str, Any]) -> States:
    """States from `AcquirePermit` that go on with `then` once the execution holds a permit.

    It gets one at once when fewer than the limit are held and nobody waits; else it waits in the
    queue until it is woken, by when it is among the holders. `otherwise` catches any error.
    """
    name = expression("$states.context.Execution.Id")
    place = {
        "kind": {"S": "queue"},
        "arrival": {
            "S": expression(
                '$states.context.Execution.StartTime & "/" & $states.context.Execution.Name'
            )
        },
    }
    token = {"S": expression("$states.context.Task.Token")}
    limit = {"N": str(permits.limit)}
    bounded = {"TimeoutSeconds": WAIT_SECONDS}
    gave_up = catch("NoPermit", ["States.Timeout"])
    return {
        "AcquirePermit": {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:updateItem",
            "Arguments": {
                "TableName": permits.table,
                "Key": _SEMAPHORE,
                "UpdateExpression": "ADD #holders :me",
                "ConditionExpression": (
                    f"contains(#holders, :name) OR (({_HAS_ROOM})"
                    " AND (attribute_not_exists(#waiting) OR #waiting = :nobody))"
                ),
                "ExpressionAttributeNames": {"#holders": "holders", "#waiting": "waiting"},
                "ExpressionAttributeValues": {
                    ":me": {"SS": [name]},
                    ":name": {"S": name},
                    ":limit": limit,
                    ":nobody": {"N": "0"},
                },
            },
            "Retry": _retry(_REFUSED),
            "Catch": [catch("Queue", _REFUSED), otherwise],
            "Next": then,
        },
        # Refused unless it must wait: had a permit come free since, nobody would wake it.
        "Queue": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:transactWriteItems.waitForTaskToken",
            "Arguments": {
                "TransactItems": [
                    {
                        "Update": {
                            "TableName": permits.table,
                            "Key": _SEMAPHORE,
                            "UpdateExpression": "ADD #waiting :one",
                            "ConditionExpression": "size(#holders) >= :limit OR #waiting > :nobody",
                            "ExpressionAttributeNames": {
                                "#holders": "holders",
                                "#waiting": "waiting",
                            },
                            "ExpressionAttributeValues": {
                                ":one": {"N": "1"},
                                ":limit": limit,
                                ":nobody": {"N": "0"},
                            },
                        }
                    },
                    {
                        "Put": {
                            "TableName": permits.table,
                            "Item": {**place, "execution": {"S": name}, "taskToken": token},
                            "ConditionExpression": "attribute_not_exists(#kind)",
                            "ExpressionAttributeNames": {"#kind": "kind"},
                        }
                    },
                ]
            },
            **bounded,
            "Retry": _retry(_CANCELED),
            "Catch": [
                catch("WhyCanceled", _CANCELED, Assign={"cause": expression(_CAUSE)}),
                gave_up,
                otherwise,
            ],
            "Next": then,
        },
        # A permit that came free since is taken at once. In a burst, it is the rule that another
        # transaction touched the semaphore at the same moment:
        # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
        "WhyCanceled": choice(
            '$contains($cause, "ConditionalCheckFailed")', "QueueAgain", "LetOthersPass"
        ),
        "LetOthersPass": {
            "Type": "Wait",
            "Seconds": expression(f"$floor($random() * {CONFLICT_SECONDS})"),
            "Next": "QueueAgain",
        },
        # The answer to a place that was taken may have been lost; a retry has a token of its own.
        "QueueAgain": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken",
            "Arguments": {
                "TableName": permits.table,
                "Key": place,
                "UpdateExpression": "SET #token = :token",
                "ConditionExpression": "attribute_exists(#kind)",
                "ExpressionAttributeNames": {"#kind": "kind", "#token": "taskToken"},
                "ExpressionAttributeValues": {":token": token},
            },
            **bounded,
            "Retry": _retry(_REFUSED),
            "Catch": [catch("AcquirePermit", _REFUSED), gave_up, otherwise],
            "Next": then,
        },
        # Its place in the queue is taken away when its turn comes: its token is dead.
        "NoPermit": {
            "Type": "Fail",
            "Error": "Batch.NoPermit",
            "Cause": (
                f"It waited {WAIT_SECONDS // 86_400} days for one of {permits.limit} permits to "
                f"run the job's task.{WHAT_TO_DO}{ADVICE['Batch.NoPermit']}"
            ),
        },
    }


def pass_on_permits(permits: Permits) -> Definition:
    """A definition that takes the permits of executions that ended and gives them to who waits.

    Input: the event that an execution ended; or anything else to look which have, as long as
    someone waits. Any number may run at once, and again: what one has done is not done twice.
    """
    ended = {"ended": expression("[$states.input.detail.executionArn]")}
    states: States = {
        "Begin": {
            "Type": "Choice",
            "Choices": [
                {
                    "Condition": expression(f"{_IS_END} and ({_STOPS_A_TASK})"),
                    "Assign": ended,
                    "Next": "LetTaskStop",
                },
                {"Condition": expression(_IS_END), "Assign": ended, "Next": "Release"},
            ],
            "Default": "Look",
        },
        "LetTaskStop": {
            "Type": "Wait",
            "Seconds": permits.stop_timeout + _STOP_GRACE_SECONDS,
            "Next": "Release",
        },
        **_find_ended(permits.table),
        "Release": {
            **_leave(permits.table, expression("$ended")),
            "Assign": {"waiting": expression(_waiting("$states.result.Attributes"))},
            "Next": "IsAnyoneLeft",
        },
        "IsAnyoneLeft": choice("$waiting > 0", "Oldest", "Done"),
        **_admit(permits),
        "Done": {"Type": "Succeed"},
    }
    return definition(
        "Passes the permits of ended executions on to those that wait", "Begin", states
    )


def _find_ended(table: str) -> States:
    """States that find the holders that no longer run, such as when an event was lost."""
    return {
        "Look": {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:getItem",
            "Arguments": {"TableName": table, "Key": _SEMAPHORE, "ConsistentRead": True},
            "Retry": _retry(),
            "Assign": {
                "waiting": expression(_waiting("$states.result.Item")),
                # AWS documents no spelling of a set in an answer; both that it uses are read.
                "holders": expression(
                    "[$states.result.Item.holders.SS, $states.result.Item.holders.Ss]"
                ),
            },
            "Next": "IsAnyoneWaiting",
        },
        "IsAnyoneWaiting": choice("$waiting > 0", "FindEnded", "Done"),
        "FindEnded": {
            "Type": "Map",
            "Items": expression("$holders"),
            "MaxConcurrency": 10,
            "ItemProcessor": {
                "StartAt": "Describe",
                "States": {
                    "Describe": {
                        **_describe(expression("$states.input")),
                        "Output": expression(
                            '$states.result.Status = "RUNNING" ? null : $states.result.ExecutionArn'
                        ),
                        "Catch": [
                            catch(
                                "Gone", _GONE, Output=expression("$states.context.Map.Item.Value")
                            )
                        ],
                        "End": True,
                    },
                    "Gone": {"Type": "Pass", "End": True},
                },
            },
            "Assign": {
                "ended": expression(
                    "[$filter($states.result, function($execution) { $execution != null })]"
                )
            },
            "Next": "HasAnyEnded",
        },
        "HasAnyEnded": choice("$count($ended) > 0", "Release", "Oldest"),
    }


def _admit(permits: Permits) -> States:
    """States that make who waits longest a holder and wake it, as long as there is room."""
    return {
        "Oldest": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:query",
            "Arguments": {
                "TableName": permits.table,
                "KeyConditionExpression": "#kind = :queue",
                "ExpressionAttributeNames": {"#kind": "kind"},
                "ExpressionAttributeValues": {":queue": {"S": "queue"}},
                "Limit": 1,
                "ConsistentRead": True,
            },
            "Retry": _retry(),
            "Assign": {
                "waiter": expression("""(
                    $item := $states.result.Items[0];
                    $exists($item) ? {"arrival": $item.arrival.S,
                        "execution": $item.execution.S, "token": $item.taskToken.S} : null
                )""")
            },
            "Next": "IsThereOne",
        },
        "IsThereOne": choice("$waiter != null", "Admit", "Done"),
        "Admit": {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:updateItem",
            "Arguments": {
                "TableName": permits.table,
                "Key": _SEMAPHORE,
                "UpdateExpression": "ADD #holders :waiter",
                "ConditionExpression": f"contains(#holders, :name) OR {_HAS_ROOM}",
                "ExpressionAttributeNames": {"#holders": "holders"},
                "ExpressionAttributeValues": {
                    ":waiter": {"SS": [expression("$waiter.execution")]},
                    ":name": {"S": expression("$waiter.execution")},
                    ":limit": {"N": str(permits.limit)},
                },
            },
            "Retry": _retry(_REFUSED),
            "Catch": [catch("Done", _REFUSED)],
            "Next": "Wake",
        },
        "Wake": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sfn:sendTaskSuccess",
            "Arguments": {"TaskToken": expression("$waiter.token"), "Output": "{}"},
            "Retry": _retry(_DEAD_TOKEN),
            "Catch": [catch("DescribeWaiter", _DEAD_TOKEN)],
            "Next": "Dequeue",
        },
        # It was aborted, or woken before, or is just about to queue again and finds it is a holder.
        "DescribeWaiter": {
            **_describe(expression("$waiter.execution")),
            "Assign": {"status": expression("$states.result.Status")},
            "Catch": [catch("GiveBack", _GONE)],
            "Next": "IsItRunning",
        },
        "IsItRunning": choice('$status = "RUNNING"', "Dequeue", "GiveBack"),
        "GiveBack": {**_leave(permits.table, [expression("$waiter.execution")]), "Next": "Dequeue"},
        "Dequeue": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:transactWriteItems",
            "Arguments": {
                "TransactItems": [
                    {
                        "Delete": {
                            "TableName": permits.table,
                            "Key": {
                                "kind": {"S": "queue"},
                                "arrival": {"S": expression("$waiter.arrival")},
                            },
                            # With another token it has queued again and must be woken by that.
                            "ConditionExpression": "#token = :token",
                            "ExpressionAttributeNames": {"#token": "taskToken"},
                            "ExpressionAttributeValues": {
                                ":token": {"S": expression("$waiter.token")}
                            },
                        }
                    },
                    {
                        "Update": {
                            "TableName": permits.table,
                            "Key": _SEMAPHORE,
                            "UpdateExpression": "ADD #waiting :less",
                            "ExpressionAttributeNames": {"#waiting": "waiting"},
                            "ExpressionAttributeValues": {":less": {"N": "-1"}},
                        }
                    },
                ]
            },
            # Another transaction touched the semaphore, or it was dequeued by another execution.
            "Retry": [retry(_CANCELED, 3, seconds=1, most=1), *_retry()],
            "Catch": [catch("Oldest", _CANCELED)],
            "Next": "Oldest",
        },
    }


def _leave(table: str, executions: object) -> dict[str, Any]:
    """A state that takes executions from the holders; those that are none of them do no harm."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::dynamodb:updateItem",
        "Arguments": {
            "TableName": table,
            "Key": _SEMAPHORE,
            "UpdateExpression": "DELETE #holders :ended",
            "ExpressionAttributeNames": {"#holders": "holders"},
            "ExpressionAttributeValues": {":ended": {"SS": executions}},
            "ReturnValues": "ALL_NEW",
        },
        "Retry": _retry(),
    }


def _describe(execution: str) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sfn:describeExecution",
        "Arguments": {"ExecutionArn": execution},
        "Retry": _retry(_GONE),
    }


def _waiting(item: str) -> str:
    return f"$exists({item}.waiting) ? $number({item}.waiting.N) : 0"


def _retry(but_not: list[str] | None = None) -> list[dict[str, Any]]:
    """Retries of whatever goes wrong in a call, but for answers that a Catch is for."""
    final = [{"ErrorEquals": but_not, "MaxAttempts": 0}] if but_not else []
    # A quarter of an hour: the semaphore is one item, which DynamoDB throttles by its size.
    return [*final, _jittered(["States.TaskFailed"], 60)]


def _jittered(errors: list[str], attempts: int) -> dict[str, Any]:
    return retry(errors, attempts, seconds=1, most=30)
