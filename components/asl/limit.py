"""Definitions that keep a job to so many executions at once, with one table as their memory.

The table has one item of slots: `holders`, the executions past the gate, and `waiting`, how many
stand in the queue; and an item for each of these, in the order in which they started. Every change
of the slots is one conditional write. An execution is removed from the holders only once it has
ended, so there are never more holders than the limit, nor more executions past the gate.
"""

from typing import Any

import pulumi

from .job import Definition, expression

_SLOTS = {"kind": {"S": "slots"}, "arrival": {"S": "-"}}

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

# A task that is told to stop has 30 seconds to:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
STOP_SECONDS = 35
_IS_END = "$exists($states.input.detail.executionArn)"
_STOPS_A_TASK = (
    '$states.input.detail.status in ["ABORTED", "TIMED_OUT"]'
    ' or $states.input.detail.error = "Batch.TimedOut"'
)

_HAS_ROOM = "attribute_not_exists(#holders) OR size(#holders) < :limit"


def limit_concurrency(definition: Definition, table: pulumi.Input[str], limit: int) -> Definition:
    """The definition of `run_job`, with a gate before its task.

    An execution goes through when fewer than `limit` are past it and nobody waits; else it waits in
    the queue until it is woken, by when it is among the holders.
    """
    states = definition["States"]
    read_input = states["ReadInput"]
    choices = [{**choice, "Next": "TakeSlot"} for choice in read_input["Choices"]]
    catchers: list[dict[str, Any]] = states["RunTask"]["Catch"]
    not_started = [catcher for catcher in catchers if catcher["ErrorEquals"] == ["States.ALL"]]
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
    gate = {
        "TakeSlot": {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:updateItem",
            "Arguments": {
                "TableName": table,
                "Key": _SLOTS,
                "UpdateExpression": "ADD #holders :me",
                "ConditionExpression": (
                    f"contains(#holders, :name) OR (({_HAS_ROOM})"
                    " AND (attribute_not_exists(#waiting) OR #waiting = :nobody))"
                ),
                "ExpressionAttributeNames": {"#holders": "holders", "#waiting": "waiting"},
                "ExpressionAttributeValues": {
                    ":me": {"SS": [name]},
                    ":name": {"S": name},
                    ":limit": {"N": str(limit)},
                    ":nobody": {"N": "0"},
                },
            },
            "Retry": _retry(_REFUSED),
            "Catch": [{"ErrorEquals": _REFUSED, "Next": "Queue"}, *not_started],
            "Next": "RunTask",
        },
        # Refused unless the execution must wait: had a slot come free since, nobody would wake it.
        "Queue": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:transactWriteItems.waitForTaskToken",
            "Arguments": {
                "TransactItems": [
                    {
                        "Update": {
                            "TableName": table,
                            "Key": _SLOTS,
                            "UpdateExpression": "ADD #waiting :one",
                            "ConditionExpression": "size(#holders) >= :limit OR #waiting > :nobody",
                            "ExpressionAttributeNames": {
                                "#holders": "holders",
                                "#waiting": "waiting",
                            },
                            "ExpressionAttributeValues": {
                                ":one": {"N": "1"},
                                ":limit": {"N": str(limit)},
                                ":nobody": {"N": "0"},
                            },
                        }
                    },
                    {
                        "Put": {
                            "TableName": table,
                            "Item": {**place, "execution": {"S": name}, "taskToken": token},
                            "ConditionExpression": "attribute_not_exists(#kind)",
                            "ExpressionAttributeNames": {"#kind": "kind"},
                        }
                    },
                ]
            },
            # Also canceled when another transaction touched the slots at the same moment, which in
            # a burst is the rule.
            "Retry": [_jittered(_CANCELED, 6), *_retry()],
            "Catch": [{"ErrorEquals": _CANCELED, "Next": "QueueAgain"}, *not_started],
            "Next": "RunTask",
        },
        # The answer to a place that was taken may have been lost; a retry has a token of its own.
        "QueueAgain": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken",
            "Arguments": {
                "TableName": table,
                "Key": place,
                "UpdateExpression": "SET #token = :token",
                "ConditionExpression": "attribute_exists(#kind)",
                "ExpressionAttributeNames": {"#kind": "kind", "#token": "taskToken"},
                "ExpressionAttributeValues": {":token": token},
            },
            "Retry": _retry(_REFUSED),
            "Catch": [{"ErrorEquals": _REFUSED, "Next": "TakeSlot"}, *not_started],
            "Next": "RunTask",
        },
    }
    return {
        **definition,
        "States": {**states, "ReadInput": {**read_input, "Choices": choices}, **gate},
    }


def hand_on_slots(table: pulumi.Input[str], limit: int) -> Definition:
    """A definition that takes the slots of executions that ended and gives them to who waits.

    Input: the event that an execution ended; or anything else to look which have, as long as
    someone waits. Any number may run at once, and again: what one has done is not done twice.
    """
    ended = {"ended": expression("[$states.input.detail.executionArn]")}
    states: dict[str, Any] = {
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
        "LetTaskStop": {"Type": "Wait", "Seconds": STOP_SECONDS, "Next": "Release"},
        **_find_ended(table),
        "Release": {
            **_leave(table, expression("$ended")),
            "Assign": {"waiting": expression(_waiting("$states.result.Attributes"))},
            "Next": "IsAnyoneLeft",
        },
        "IsAnyoneLeft": _choice("$waiting > 0", "Oldest", "Done"),
        **_admit(table, limit),
        "Done": {"Type": "Succeed"},
    }
    return {
        "Comment": "Hands the slots of ended executions on to those that wait",
        "QueryLanguage": "JSONata",
        "StartAt": "Begin",
        "States": states,
    }


def _find_ended(table: pulumi.Input[str]) -> dict[str, Any]:
    """States that find the holders that no longer run, such as when an event was lost."""
    return {
        "Look": {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:getItem",
            "Arguments": {"TableName": table, "Key": _SLOTS, "ConsistentRead": True},
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
        "IsAnyoneWaiting": _choice("$waiting > 0", "FindEnded", "Done"),
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
                            {
                                "ErrorEquals": _GONE,
                                "Output": expression("$states.context.Map.Item.Value"),
                                "Next": "Gone",
                            }
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
        "HasAnyEnded": _choice("$count($ended) > 0", "Release", "Oldest"),
    }


def _admit(table: pulumi.Input[str], limit: int) -> dict[str, Any]:
    """States that make who waits longest a holder and wake it, as long as there is room."""
    return {
        "Oldest": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:query",
            "Arguments": {
                "TableName": table,
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
        "IsThereOne": _choice("$waiter != null", "Admit", "Done"),
        "Admit": {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:updateItem",
            "Arguments": {
                "TableName": table,
                "Key": _SLOTS,
                "UpdateExpression": "ADD #holders :waiter",
                "ConditionExpression": f"contains(#holders, :name) OR {_HAS_ROOM}",
                "ExpressionAttributeNames": {"#holders": "holders"},
                "ExpressionAttributeValues": {
                    ":waiter": {"SS": [expression("$waiter.execution")]},
                    ":name": {"S": expression("$waiter.execution")},
                    ":limit": {"N": str(limit)},
                },
            },
            "Retry": _retry(_REFUSED),
            "Catch": [{"ErrorEquals": _REFUSED, "Next": "Done"}],
            "Next": "Wake",
        },
        "Wake": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sfn:sendTaskSuccess",
            "Arguments": {"TaskToken": expression("$waiter.token"), "Output": "{}"},
            "Retry": _retry(_DEAD_TOKEN),
            "Catch": [{"ErrorEquals": _DEAD_TOKEN, "Next": "DescribeWaiter"}],
            "Next": "Dequeue",
        },
        # It was aborted, or woken before, or is just about to queue again and finds it is a holder.
        "DescribeWaiter": {
            **_describe(expression("$waiter.execution")),
            "Assign": {"status": expression("$states.result.Status")},
            "Catch": [{"ErrorEquals": _GONE, "Next": "GiveBack"}],
            "Next": "IsItRunning",
        },
        "IsItRunning": _choice('$status = "RUNNING"', "Dequeue", "GiveBack"),
        "GiveBack": {**_leave(table, [expression("$waiter.execution")]), "Next": "Dequeue"},
        "Dequeue": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:transactWriteItems",
            "Arguments": {
                "TransactItems": [
                    {
                        "Delete": {
                            "TableName": table,
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
                            "TableName": table,
                            "Key": _SLOTS,
                            "UpdateExpression": "ADD #waiting :less",
                            "ExpressionAttributeNames": {"#waiting": "waiting"},
                            "ExpressionAttributeValues": {":less": {"N": "-1"}},
                        }
                    },
                ]
            },
            "Retry": [_jittered(_CANCELED, 3), *_retry()],
            "Catch": [{"ErrorEquals": _CANCELED, "Next": "Oldest"}],
            "Next": "Oldest",
        },
    }


def _leave(table: pulumi.Input[str], executions: object) -> dict[str, Any]:
    """A state that takes executions from the holders; those that are none of them do no harm."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::dynamodb:updateItem",
        "Arguments": {
            "TableName": table,
            "Key": _SLOTS,
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


def _choice(condition: str, then: str, otherwise: str) -> dict[str, Any]:
    return {
        "Type": "Choice",
        "Choices": [{"Condition": expression(condition), "Next": then}],
        "Default": otherwise,
    }


def _retry(but_not: list[str] | None = None) -> list[dict[str, Any]]:
    """Retries of whatever goes wrong in a call, but for answers that a Catch is for."""
    final = [{"ErrorEquals": but_not, "MaxAttempts": 0}] if but_not else []
    # A quarter of an hour: the slots are one item, which DynamoDB throttles by its size.
    return [*final, _jittered(["States.TaskFailed"], 60)]


def _jittered(errors: list[str], attempts: int) -> dict[str, Any]:
    return {
        "ErrorEquals": errors,
        "IntervalSeconds": 1,
        "BackoffRate": 2,
        "MaxDelaySeconds": 30,
        "MaxAttempts": attempts,
        "JitterStrategy": "FULL",
    }
