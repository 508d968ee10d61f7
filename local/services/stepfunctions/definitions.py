"""What a state machine's definition is refused for, before anything runs."""

from typing import Any, cast

State = dict[str, Any]

# https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
_OF_JSON_PATH = {
    *("InputPath", "OutputPath", "ResultPath", "Parameters", "ResultSelector", "Result"),
    *("ItemsPath", "SecondsPath", "TimestampPath", "TimeoutSecondsPath", "HeartbeatSecondsPath"),
    *("ErrorPath", "CausePath", "MaxConcurrencyPath", "Variable", "And", "Or", "Not"),
}


def in_json_path(definition: State) -> str | None:
    """The first field of a definition that only JSONPath has, as `State.Field`; None if none."""
    for name, state in cast("dict[str, State]", definition.get("States") or {}).items():
        rules = [*state.get("Choices", []), *state.get("Catch", [])]
        for fields in (state, *rules):
            for found in sorted(_OF_JSON_PATH & fields.keys()):
                return f"{name}.{found}"
        inner = [state.get("ItemProcessor"), state.get("Iterator"), *state.get("Branches", [])]
        for line in inner:
            if found := in_json_path(line or {}):
                return found
    return None
