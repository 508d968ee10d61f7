"""What a state machine's definition is refused for, before anything runs."""

import json
from collections.abc import Iterator
from typing import Any, cast

State = dict[str, Any]

# https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
_OF_JSON_PATH = {
    *("InputPath", "OutputPath", "ResultPath", "Parameters", "ResultSelector", "Result"),
    *("ItemsPath", "SecondsPath", "TimestampPath", "TimeoutSecondsPath", "HeartbeatSecondsPath"),
    *("ErrorPath", "CausePath", "MaxConcurrencyPath", "Variable", "And", "Or", "Not"),
}
# https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
_DISTRIBUTED = (
    *("ItemReader", "ItemBatcher", "ResultWriter", "Label"),
    *("ToleratedFailureCount", "ToleratedFailurePercentage"),
)
_MOST = {"ToleratedFailurePercentage": 100}
_NOT_IN_LABELS = set('?*<>{}[]:;,\\|^~$#%&`"')
_MAX_LABEL = 40
_INPUT_TYPES = {"CSV", "JSON", "JSONL"}


def problem(definition: object) -> str | None:
    """Why AWS, or this cloud, refuses a definition; None if they take it."""
    try:
        parsed: object = json.loads(str(definition))
    except ValueError:
        return None
    if not isinstance(parsed, dict):
        return None
    labels: set[str] = set()
    for path, state in _states(cast("State", parsed), ""):
        rules = [*state.get("Choices", []), *state.get("Catch", [])]
        for fields in (state, *rules):
            for found in sorted(_OF_JSON_PATH & fields.keys()):
                where = f"{path.rpartition('/')[2]}.{found}"
                return f"This cloud runs JSONata, and {where} is of JSONPath."
        if state.get("Type") == "Map":
            for text, field in _of_map(state, labels):
                return (
                    "Invalid State Machine Definition: "
                    f"'SCHEMA_VALIDATION_FAILED: {text} at {path}/{field}'"
                )
    return None


def _states(definition: State, above: str) -> Iterator[tuple[str, State]]:
    """All states, by where they are."""
    for name, state in cast("dict[str, State]", definition.get("States") or {}).items():
        path = f"{above}/States/{name}"
        yield path, state
        for field in ("ItemProcessor", "Iterator"):
            yield from _states(state.get(field) or {}, f"{path}/{field}")
        for index, branch in enumerate(state.get("Branches", [])):
            yield from _states(branch, f"{path}/Branches[{index}]")


def _of_map(state: State, labels: set[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with a Map state, and in which field."""
    for field in ("MaxConcurrency", "ToleratedFailureCount", "ToleratedFailurePercentage"):
        value = state.get(field, 0)
        # A text is an expression.
        if isinstance(value, int | float) and not 0 <= value <= _MOST.get(field, value):
            yield f"The value {value} is out of range", field
    config = (state.get("ItemProcessor") or {}).get("ProcessorConfig") or {}
    where = "ItemProcessor/ProcessorConfig"
    mode = config.get("Mode", "INLINE")
    if mode not in {"INLINE", "DISTRIBUTED"}:
        yield "The field 'Mode' should have one of these values: [INLINE, DISTRIBUTED]", where
    if mode != "DISTRIBUTED":
        for field in _DISTRIBUTED:
            if field in state:
                yield f"The field '{field}' is not supported in {mode} mode", field
        return
    match config.get("ExecutionType"):
        case "STANDARD":
            pass
        case "EXPRESS":
            yield "This cloud runs child workflows of type STANDARD, not EXPRESS", where
        case _:
            yield (
                "The field 'ExecutionType' should have one of these values: [STANDARD, EXPRESS]",
                where,
            )
    yield from _of_label(state.get("Label"), labels)
    yield from _of_reader(state.get("ItemReader"))
    yield from _of_writer(state.get("ResultWriter"))
    batcher = state.get("ItemBatcher")
    if batcher is not None and not {"MaxItemsPerBatch", "MaxInputBytesPerBatch"} & batcher.keys():
        yield "One of MaxItemsPerBatch and MaxInputBytesPerBatch is required", "ItemBatcher"


def _of_label(label: str | None, labels: set[str]) -> Iterator[tuple[str, str]]:
    if label is None:
        return
    if not 0 < len(label) <= _MAX_LABEL or any(
        one in _NOT_IN_LABELS or one.isspace() or not one.isprintable() for one in label
    ):
        yield f"'{label}' is no label of up to {_MAX_LABEL} characters", "Label"
    if label in labels:
        yield f"The label '{label}' is not unique", "Label"
    labels.add(label)


# https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
def _of_reader(reader: State | None) -> Iterator[tuple[str, str]]:
    if reader is None:
        return
    resource = reader.get("Resource")
    if resource == "arn:aws:states:::s3:listObjectsV2":
        if "Transformation" in (reader.get("ReaderConfig") or {}):
            yield "This cloud lists objects, and reads none of them", "ItemReader/ReaderConfig"
        return
    if resource != "arn:aws:states:::s3:getObject":
        yield f"The resource provided {resource} is not recognized", "ItemReader/Resource"
    where, config = "ItemReader/ReaderConfig", reader.get("ReaderConfig") or {}
    kind = config.get("InputType")
    if kind not in _INPUT_TYPES:
        yield f"This cloud reads {', '.join(sorted(_INPUT_TYPES))}, not '{kind}'", where
    location = config.get("CSVHeaderLocation")
    if kind == "CSV" and location not in {"FIRST_ROW", "GIVEN"}:
        yield (
            "The field 'CSVHeaderLocation' should have one of these values: [FIRST_ROW, GIVEN]",
            where,
        )
    if (location == "GIVEN") != ("CSVHeaders" in config):
        yield "The field 'CSVHeaders' goes with the CSVHeaderLocation GIVEN", where


# https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
def _of_writer(writer: State | None) -> Iterator[tuple[str, str]]:
    if writer is None:
        return
    if not {"Resource", "WriterConfig"} & writer.keys():
        yield "These fields are required: [Resource, Arguments] or [WriterConfig]", "ResultWriter"
    if "Resource" not in writer:
        return
    if writer["Resource"] != "arn:aws:states:::s3:putObject":
        yield (
            f"The resource provided {writer['Resource']} is not recognized",
            "ResultWriter/Resource",
        )
    if "Bucket" not in (writer.get("Arguments") or {}):
        yield "These fields are required: [Bucket]", "ResultWriter/Arguments"
