"""States in which executions whose RunTask was refused take turns, at the pace of the quota.

All of a stack share one item of a table: `next`, when the next free turn is, in milliseconds. Who
is refused takes it by adding to it what lies between two, waits until then, and tries again. So
however many wait, few call in vain, and no launch is left unused meanwhile.
What that saves over retries with jitter: benchmarks/burst.py.
"""

from dataclasses import dataclass

from .states import States, catch, choice, expression, retry

NOT_NOW = [
    "ECS.AmazonECSException",
    "ECS.ThrottlingException",
    "ECS.ServerException",
    "ECS.ClientException",
    "AmazonECS.Unknown",
]
"""What RunTask answers when it may do later what it refuses now."""

PATIENCE_SECONDS = 4 * 60 * 60
"""For how long a start that is refused is repeated."""
MOST_SECONDS = 90
"""The longest wait of one whose turns are refused, too, where nobody is before it."""

_KEY = {"queue": {"S": "launches"}}
# Later than any turn: a condition with it does not hold.
_NEVER = 9_000_000_000_000
_REFUSED = ["DynamoDB.ConditionalCheckFailedException"]

FRESH = {"refusals": 0, "giveUpAt": 0}
"""The variables of an execution whose RunTask has not been refused yet."""
REFUSED = {
    "refusals": expression("$refusals + 1"),
    "giveUpAt": expression(f"$refusals = 0 ? $millis() + {1000 * PATIENCE_SECONDS} : $giveUpAt"),
}
"""What a refusal makes of them."""


@dataclass(frozen=True)
class Turns:
    """The table that knows when the next turn is, and how many there are a second."""

    table: str
    per_second: int


def take_turn(turns: Turns, then: str, *, otherwise: str) -> States:
    """States from `TakeTurn` that go on with `then` when it is this execution's turn.

    One that was refused again and again goes on with `otherwise`. What goes wrong with the table
    fails nothing: it is waited for a while, and tried again, for as long.
    """
    gap = 1000 / turns.per_second
    update = {
        "Type": "Task",
        "Resource": "arn:aws:states:::dynamodb:updateItem",
        "Retry": [
            {"ErrorEquals": _REFUSED, "MaxAttempts": 0},
            # A write to one item is throttled from 1,000 a second on.
            retry(["States.TaskFailed"], 5, seconds=1, most=10),
        ],
        "Next": "AwaitTurn",
    }
    names = {"#next": "next"}
    some_time = catch(
        "MayTryAgain",
        Assign={"turn": expression(f"$millis() + $random() * {1000 * MOST_SECONDS}")},
    )
    return {
        "TakeTurn": {
            **update,
            "Arguments": {
                "TableName": turns.table,
                "Key": _KEY,
                "UpdateExpression": "ADD #next :gap",
                "ConditionExpression": "#next > :now",
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": {
                    ":gap": {"N": f"{gap:g}"},
                    ":now": {
                        "N": expression(f"$string($millis() < $giveUpAt ? $millis() : {_NEVER})")
                    },
                },
                "ReturnValues": "UPDATED_NEW",
            },
            "Assign": {"turn": expression(f"$number($states.result.Attributes.next.N) - {gap:g}")},
            "Catch": [catch("MayTakeTurn", _REFUSED), some_time],
        },
        "MayTakeTurn": choice("$millis() < $giveUpAt", "TakeFirstTurn", otherwise),
        # Nobody waits.
        "TakeFirstTurn": {
            **update,
            "Arguments": {
                "TableName": turns.table,
                "Key": _KEY,
                "UpdateExpression": "SET #next = :next",
                "ConditionExpression": "attribute_not_exists(#next) OR #next <= :now",
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": {
                    ":next": {"N": expression(f"$string($millis() + {gap:g})")},
                    ":now": {"N": expression("$string($millis())")},
                },
            },
            "Assign": {"turn": expression("$millis()")},
            "Catch": [catch("TakeTurn", _REFUSED), some_time],
        },
        "MayTryAgain": choice("$millis() < $giveUpAt", "AwaitTurn", otherwise),
        "AwaitTurn": {
            "Type": "Wait",
            # A timestamp counts up to its second, so those of one second go on together:
            # https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html
            # Not before a second, three, seven ... at most, with full jitter, where turns are
            # refused, too: by a quota that others share, or for want of capacity.
            "Timestamp": expression(f"""$fromMillis($floor($max([
                $turn,
                $millis() + 1000 * $random() * $min([{MOST_SECONDS}, $power(2, $refusals - 1) - 1])
            ])))"""),
            "Next": then,
        },
    }
