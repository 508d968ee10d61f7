"""A definition's structure, and its JSONata expressions evaluated as Step Functions would."""

import json
from collections.abc import Iterable
from typing import Any

from local.services.stepfunctions import definitions, expressions

CONTEXT = {
    "Execution": {
        "Id": "arn:aws:states:ap-northeast-1:123456789012:execution:nightly:me",
        "Name": "me",
        "StartTime": "2030-01-01T00:00:05.000Z",
    },
    "StateMachine": {"Id": "arn:aws:states:ap-northeast-1:123456789012:stateMachine:nightly"},
}


def evaluate(
    field: Any,  # noqa: ANN401 JSON
    *,
    input: Any = None,  # noqa: A002, ANN401 Step Functions' word; JSON
    result: Any = None,  # noqa: ANN401 JSON
    error: dict[str, str] | None = None,
    **variables: Any,  # noqa: ANN401 JSON
) -> Any:  # noqa: ANN401 JSON
    """The value of a state's field: a text `{% … %}` is an expression, all else is itself."""
    return expressions.evaluate(field, input, CONTEXT, variables, result, error)


def choose(state: dict[str, Any], **given: Any) -> tuple[str, dict[str, Any]]:  # noqa: ANN401 JSON
    """Where a Choice goes, and what it assigns on the way."""
    for choice in state["Choices"]:
        if evaluate(choice["Condition"], **given) is True:
            return choice["Next"], evaluate(choice.get("Assign", {}), **given)
    return state["Default"], {}


def check_structure(definition: dict[str, Any]) -> None:
    """It is what the laptop's cloud, and AWS, take, and States.ALL stands alone and last."""
    assert definition["QueryLanguage"] == "JSONata"
    assert definitions.problem(json.dumps(definition)) is None
    for line in _lines(definition):
        for name, state in line["States"].items():
            ends = [key for key in ("Next", "End", "Default") if key in state]
            assert len(ends) == (0 if state["Type"] in {"Succeed", "Fail"} else 1), name
            for rules in (state.get("Retry", []), state.get("Catch", [])):
                for number, rule in enumerate(rules, start=1):
                    if "States.ALL" in rule["ErrorEquals"]:
                        assert rule["ErrorEquals"] == ["States.ALL"]
                        assert number == len(rules), name
            retried = [error for rule in state.get("Retry", []) for error in rule["ErrorEquals"]]
            assert not {"States.ALL", "States.Timeout"} & set(retried)
            # A task that failed may have done half its work: only its cause tells.
            assert ".sync" not in state.get("Resource", "") or "States.TaskFailed" not in retried
            if ".sync" in state.get("Resource", ""):
                assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"]
    # AWS takes no definition over 1 MiB.
    assert len(json.dumps(definition)) <= 1024 * 1024


def _lines(definition: dict[str, Any]) -> Iterable[dict[str, Any]]:
    yield definition
    for state in definition["States"].values():
        for branch in state.get("Branches", []):
            yield from _lines(branch)
