"""What definitions in the Amazon States Language with JSONata are written with.

What a user wrote in the stack's configuration goes in as literals, what an execution gets as
variables: neither is ever read as an expression.
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Definition = dict[str, Any]
States = dict[str, dict[str, Any]]

# A key that AWS's console reads to link an execution to the one that started it:
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-nested-workflows.html
PARENT_EXECUTION = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"


def literal(value: str | Mapping[str, str]) -> object:
    """`value` such that Step Functions takes a string that looks like `{% … %}` as that string."""
    if isinstance(value, str):
        return f"{{% {quoted(value)} %}}" if value.startswith("{%") else value
    return {key: literal(item) for key, item in value.items()}


def quoted(text: str) -> str:
    """`text` as a string of JSONata, without escapes that are half a character."""
    return json.dumps(text, ensure_ascii=False)


def expression(text: str) -> str:
    """A JSONata expression as a state's field; runs of white space become one blank."""
    return "{% " + " ".join(text.split()) + " %}"


def definition(comment: str, start: str, states: States) -> Definition:
    """A state machine that begins with the state `start`."""
    return {
        "Comment": comment,
        "QueryLanguage": "JSONata",
        "StartAt": start,
        "States": states,
    }


def choice(condition: str, then: str, otherwise: str, **assign: object) -> dict[str, Any]:
    """A state that goes one of two ways; `assign` are variables set on the way `then`."""
    rule: dict[str, Any] = {"Condition": expression(condition), "Next": then}
    if assign:
        rule["Assign"] = assign
    return {"Type": "Choice", "Choices": [rule], "Default": otherwise}


def retry(
    errors: Sequence[str], attempts: int, *, seconds: int = 2, most: int | None = 60
) -> dict[str, Any]:
    """A retrier with full jitter below `seconds`, twice that, ... and at most `most` seconds."""
    limit = {} if most is None else {"MaxDelaySeconds": most}
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": seconds,
        "BackoffRate": 2,
        **limit,
        "MaxAttempts": attempts,
        "JitterStrategy": "FULL",
    }


def catch(then: str, errors: Sequence[str] = ("States.ALL",), **more: object) -> dict[str, Any]:
    """A catcher; `more` are its Assign or Output."""
    return {"ErrorEquals": list(errors), **more, "Next": then}


RETRY = retry(
    [
        "StepFunctions.AWSStepFunctionsException",
        "StepFunctions.ExecutionLimitExceededException",
        "StepFunctions.SdkClientException",
        "Sfn.SfnException",
        "Sfn.SdkClientException",
    ],
    10,
)
"""Of calls of Step Functions, such as the start of another execution."""
