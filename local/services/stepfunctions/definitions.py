"""What a state machine's definition is refused for, before anything runs."""

import json
from collections.abc import Iterator, Sequence
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
_LISTS = ("Choices", "Catch", "Retry", "Branches")
_OBJECTS = ("ItemProcessor", "Iterator", "ItemReader", "ItemBatcher", "ResultWriter")
_ENDS = {"Succeed", "Fail"}
_TYPES = {"Pass", "Task", "Choice", "Wait", "Parallel", "Map", *_ENDS}
_NOT_IN_LABELS = set('?*<>{}[]:;,\\|^~$#%&`"')
_MAX_LABEL = 40
_INPUT_TYPES = {"CSV", "JSON", "JSONL"}


def problem(definition: object) -> str | None:
    """Why AWS, or this cloud, refuses a definition; None if they take it, or an update has none."""
    if definition is None:
        return None
    try:
        parsed: State = json.loads(str(definition))
    except ValueError as error:
        return _invalid([f"INVALID_JSON_DESCRIPTION: {error}"])
    if found := list(_of_shape(parsed, "")):
        return _invalid([f"SCHEMA_VALIDATION_FAILED: {text} at {path}" for text, path in found])
    labels: set[str] = set()
    for path, state in _states(parsed, ""):
        rules = [*state.get("Choices", []), *state.get("Catch", [])]
        for fields in (state, *rules):
            for found in sorted(_OF_JSON_PATH & fields.keys()):
                where = f"{path.rpartition('/')[2]}.{found}"
                return f"This cloud runs JSONata, and {where} is of JSONPath."
        if state.get("Type") == "Map":
            for text, field in _of_map(state, labels):
                return _invalid([f"SCHEMA_VALIDATION_FAILED: {text} at {path}/{field}"])
    found = [*_of_transitions(parsed, "")]
    return _invalid(found) if found else None


def _invalid(problems: Sequence[str]) -> str:
    return f"Invalid State Machine Definition: '{', '.join(problems)}'"


def _of_shape(machine: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    """What is of another type than it has to be, and where."""
    states = machine.get("States") if isinstance(machine, dict) else None
    if not states or not isinstance(states, dict) or not isinstance(machine.get("StartAt"), str):
        yield "These fields are required: [StartAt, States]", path or "/"
        return
    for name, state in cast("dict[str, Any]", states).items():
        at = f"{path}/States/{name}"
        if not isinstance(state, dict) or state.get("Type") not in _TYPES:
            yield f"The field 'Type' should have one of these values: {sorted(_TYPES)}", at
            continue
        misshapen = [
            *(f for f in _LISTS if not _is_list_of_objects(state.get(f, []))),
            *(f for f in _OBJECTS if not isinstance(state.get(f, {}), dict)),
            *(["Label"] if not isinstance(state.get("Label", ""), str) else []),
        ]
        for field in misshapen:
            yield "The value is of the wrong type", f"{at}/{field}"
        if state["Type"] not in {*_ENDS, "Choice"} and not {"Next", "End"} & state.keys():
            yield "One of these fields is required: [Next, End]", at
        if not misshapen:
            for inner, where in _within(state, at):
                yield from _of_shape(inner, where)


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) for one in cast("list[object]", value)
    )


def _within(state: State, path: str) -> Iterator[tuple[State, str]]:
    """The definitions in a state, by where they are."""
    for field in ("ItemProcessor", "Iterator"):
        if field in state:
            yield state[field], f"{path}/{field}"
    for index, branch in enumerate(state.get("Branches", [])):
        yield branch, f"{path}/Branches[{index}]"


def _of_transitions(machine: State, path: str) -> Iterator[str]:
    """What leads nowhere, and what nothing leads to, in AWS's words.

    https://github.com/floci-io/floci/pull/2786
    """
    states: dict[str, State] = machine["States"]
    leads = {name: list(_transitions(state)) for name, state in states.items()}
    for where, target in (
        ("StartAt", machine["StartAt"]),
        *((f"States/{name}/{field}", to) for name in leads for field, to in leads[name]),
    ):
        if target not in states:
            yield f"MISSING_TRANSITION_TARGET: Missing 'Next' target: {target} at {path}/{where}"
    if not any(state.get("End") or state["Type"] in _ENDS for state in states.values()):
        yield "MISSING_END_STATE: Workflow has no terminal state"
        return
    reached, new = set[str](), {machine["StartAt"]} & states.keys()
    while new:
        reached |= new
        new = {to for name in new for _, to in leads[name]} & states.keys() - reached
    for name in states:
        if name in reached:
            continue
        yield f'MISSING_TRANSITION_TARGET: State "{name}" is not reachable. at {path}/States/{name}'
    for name, state in states.items():
        for inner, where in _within(state, f"{path}/States/{name}"):
            yield from _of_transitions(inner, where)


def _transitions(state: State) -> Iterator[tuple[str, str]]:
    """Where a state may lead to, and by which field."""
    for field in ("Next", "Default"):
        if field in state:
            yield field, str(state[field])
    for field in ("Choices", "Catch"):
        for index, rule in enumerate(state.get(field, [])):
            yield f"{field}[{index}]/Next", str(rule.get("Next"))


def _states(definition: State, above: str) -> Iterator[tuple[str, State]]:
    """All states, by where they are."""
    states: dict[str, State] = definition["States"]
    for name, state in states.items():
        path = f"{above}/States/{name}"
        yield path, state
        for inner, where in _within(state, path):
            yield from _states(inner, where)


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
