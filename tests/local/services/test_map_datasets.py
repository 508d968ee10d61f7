"""What a distributed Map state reads, batches, exports and is refused for, without a cloud."""

import io
import json
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from local.services.stepfunctions import definitions, items, results
from local.services.stepfunctions.asl import StateError
from local.shapes import Json


class S3:
    """A bucket of one object for any key; `missing` has none. What is put is kept."""

    def __init__(self, text: str = "", *, missing: bool = False) -> None:
        self.text = text
        self.missing = missing
        self.written: dict[str, bytes] = {}

    def get_object(self, **_: str) -> dict[str, Any]:
        if self.missing:
            message = "The specified key does not exist."
            error = {"Error": {"Code": "NoSuchKey", "Message": message}}
            raise ClientError(cast("Any", error), "GetObject")
        return {"Body": io.BytesIO(self.text.encode())}

    def put_object(self, **put: Json) -> None:
        self.written[put["Key"]] = put["Body"]


def read(text: str, **config: Json) -> list[Json]:
    """The items of an object with this text."""
    reader = {
        "Resource": items.GET_OBJECT,
        "ReaderConfig": config,
        "Arguments": {"Bucket": "b", "Key": "k"},
    }
    source, found = items.read(S3(text), reader)
    assert source == "S3://b/k"
    return found


def test_json_lines_are_an_item_each_and_empty_ones_are_none() -> None:
    assert read('{"a": "x\\u2028"}\n\n2\r\n"\u2028"', InputType="JSONL") == [
        {"a": "x\u2028"},
        2,
        "\u2028",
    ]


def test_json_is_an_array_or_one_within_it() -> None:
    assert read("[1, [2]]", InputType="JSON") == [1, [2]]
    document = '{"a/b": [{"c": [3, 4]}]}'
    assert read(document, InputType="JSON", ItemsPointer="/a~1b/0/c") == [3, 4]
    with pytest.raises(StateError, match=r"Failed: Attempting to map over non-iterable node\.$"):
        read("{}", InputType="JSON")


# As recorded of AWS: headers are the first row or given, fields are padded and cut to them.
def test_rows_of_csv_are_objects_by_their_headers() -> None:
    text = '\ufeffH1,H2\n"a, b",c,more\nd\n\n'
    assert read(text, InputType="CSV", CSVHeaderLocation="FIRST_ROW") == [
        {"H1": "a, b", "H2": "c"},
        {"H1": "d", "H2": ""},
    ]
    given: dict[str, Json] = {"CSVHeaderLocation": "GIVEN", "CSVDelimiter": "PIPE"}
    assert read("1|2\n3", InputType="CSV", **given, CSVHeaders=["a", "b"]) == [
        {"a": "1", "b": "2"},
        {"a": "3", "b": ""},
    ]
    with pytest.raises(StateError, match=r"Failed: CSV headers cannot contain duplicates\.$"):
        read("1|2", InputType="CSV", **given, CSVHeaders=["a", "a"])


def test_at_most_as_many_items_are_read_as_the_reader_says() -> None:
    assert read("[1, 2, 3]", InputType="JSON", MaxItems=2) == [1, 2]
    assert read("[1, 2, 3]", InputType="JSON", MaxItems=0) == [1, 2, 3]
    with pytest.raises(StateError, match=r"Failed: field MaxItems must be positive$"):
        read("[1]", InputType="JSON", MaxItems=-1)


def test_a_dataset_that_cannot_be_read_is_an_error_of_the_reader() -> None:
    arguments = {"Bucket": "b", "Key": "k"}
    for s3, text, pointer in (
        (S3(missing=True), "NoSuchKey", ""),
        (S3("[1"), "Expecting", ""),
        (S3("{}"), "'a'", "/a"),
        (S3("[]"), "index", "/0"),
        (S3("1"), "int", "/a"),
    ):
        config = {"InputType": "JSON", "ItemsPointer": pointer}
        reader = {"Resource": items.GET_OBJECT, "ReaderConfig": config, "Arguments": arguments}
        with pytest.raises(StateError, match=text) as raised:
            items.read(s3, reader)
        assert raised.value.error == "States.ItemReaderFailed"


def test_batches_have_as_many_items_or_bytes_as_they_may() -> None:
    around: dict[str, Json] = {"MaxItemsPerBatch": 2, "BatchInput": {"n": 1}}
    assert list(items.batches([1, 2, 3], around)) == [
        ({"BatchInput": {"n": 1}, "Items": [1, 2]}, 2),
        ({"BatchInput": {"n": 1}, "Items": [3]}, 1),
    ]
    most = len('{"Items":["é","b"]}'.encode())
    assert [
        count for _, count in items.batches(["é", "b", "c"], {"MaxInputBytesPerBatch": most})
    ] == [
        2,
        1,
    ]
    assert [
        count for _, count in items.batches(["é", "b", "c"], {"MaxInputBytesPerBatch": most - 1})
    ] == [1, 2]


def record(output: Json) -> dict[str, Any]:
    """The record of a child that succeeded."""
    day = "2030-01-01T00:00:00Z"
    arns = {"executionArn": "arn:e", "stateMachineArn": "arn:m", "mapRunArn": "arn:r"}
    dates = {"startDate": day, "stopDate": day}
    ended = {"status": "SUCCEEDED", "output": json.dumps(output), "events": []}
    return arns | dates | {"name": "n"} | ended


@pytest.mark.parametrize(
    ("config", "name", "body"),
    [
        ({"Transformation": "COMPACT", "OutputType": "JSON"}, "SUCCEEDED_0.json", "[[1,2],3]"),
        ({"Transformation": "FLATTEN", "OutputType": "JSON"}, "SUCCEEDED_0.json", "[1,2,3]"),
        ({"Transformation": "FLATTEN", "OutputType": "JSONL"}, "SUCCEEDED_0.jsonl", "1\n2\n3"),
    ],
)
def test_results_are_exported_as_the_writer_s_configuration_has_them(
    config: dict[str, Json], name: str, body: str
) -> None:
    s3 = S3()
    writer = results.Writer(
        s3, {"Arguments": {"Bucket": "b"}, "WriterConfig": config}, "arn:run:id"
    )
    assert writer.write([record([1, 2]), record(3)], []) == {
        "MapRunArn": "arn:run:id",
        "ResultWriterDetails": {"Bucket": "b", "Key": "id/manifest.json"},
    }
    assert s3.written.pop("id/" + name) == body.encode()
    manifest = json.loads(s3.written.pop("id/manifest.json"))
    files = {"FAILED": [], "PENDING": [], "SUCCEEDED": [{"Key": "id/" + name, "Size": len(body)}]}
    assert manifest == {"DestinationBucket": "b", "MapRunArn": "arn:run:id", "ResultFiles": files}
    assert s3.written == {}


def test_what_did_not_succeed_is_exported_among_what_failed() -> None:
    s3 = S3()
    unsuccessful = [record(0) | {"status": one} for one in ("FAILED", "TIMED_OUT", "ABORTED")]
    results.Writer(s3, {"Arguments": {"Bucket": "b"}}, "arn:run:id").write(unsuccessful, [])
    exported = json.loads(s3.written["id/FAILED_0.json"])
    assert [one["Status"] for one in exported] == ["FAILED", "TIMED_OUT", "ABORTED"]


def test_results_that_cannot_be_written_are_an_error_of_the_writer() -> None:
    class Full(S3):
        def put_object(self, **_: Json) -> None:
            raise EndpointConnectionError(endpoint_url="https://s3")

    writer = results.Writer(Full(), {"Arguments": {"Bucket": "b", "Prefix": "p/"}}, "arn:run:id")
    for write in (writer.test, lambda: writer.write([], [])):
        with pytest.raises(StateError, match="https://s3") as raised:
            write()
        assert raised.value.error == "States.ResultWriterFailed"


DISTRIBUTED = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
READER = {"Resource": items.GET_OBJECT, "Arguments": {"Bucket": "b", "Key": "k"}}


def refused(config: dict[str, Json], *states: dict[str, Json]) -> str | None:
    """Why Map states with these fields are refused."""
    processor = {"ProcessorConfig": config, "StartAt": "P", "States": {"P": {"Type": "Succeed"}}}
    named: dict[str, Json] = {
        f"M{index}": {"Type": "Map", "ItemProcessor": processor, "Next": f"M{index + 1}"} | state
        for index, state in enumerate(states)
    }
    named[f"M{len(states)}"] = {"Type": "Succeed"}
    return definitions.problem(json.dumps({"StartAt": "M0", "States": named}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ItemReader", READER),
        ("ItemBatcher", {"MaxItemsPerBatch": 1}),
        ("ResultWriter", {"WriterConfig": {}}),
        ("Label", "l"),
        ("ToleratedFailureCount", 1),
        ("ToleratedFailurePercentage", 1),
    ],
)
def test_what_only_a_distributed_map_has_is_refused_inline(field: str, value: Json) -> None:
    config = {"ReaderConfig": {"InputType": "JSON"}}
    state = {field: value | config if field == "ItemReader" else value}
    assert refused(DISTRIBUTED, state) is None
    for mode in ({}, {"Mode": "INLINE"}):
        assert refused(mode, state) == (
            "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: "
            f"The field '{field}' is not supported in INLINE mode at /States/M0/{field}'"
        )


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"MaxConcurrency": -1}, "The value -1 is out of range at /States/M0/MaxConcurrency"),
        ({"ToleratedFailureCount": -1}, "The value -1 is out of range"),
        ({"ToleratedFailurePercentage": 101}, "The value 101 is out of range"),
        ({"Label": "a b"}, "'a b' is no label of up to 40 characters"),
        ({"Label": "a/b:c"}, "is no label"),
        ({"Label": "a" * 41}, "is no label"),
        ({"ItemBatcher": {}}, "One of MaxItemsPerBatch and MaxInputBytesPerBatch is required"),
        ({"ResultWriter": {}}, "[Resource, Arguments] or [WriterConfig]"),
        ({"ResultWriter": {"Resource": "s3"}}, "The resource provided s3 is not recognized"),
        (
            {"ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Arguments": {}}},
            "These fields are required: [Bucket] at /States/M0/ResultWriter/Arguments",
        ),
        ({"ItemReader": {"Resource": "s3"}}, "The resource provided s3 is not recognized"),
        ({"ItemReader": READER}, "This cloud reads CSV, JSON, JSONL, not 'None'"),
        ({"ItemReader": READER | {"ReaderConfig": {"InputType": "PARQUET"}}}, "not 'PARQUET'"),
        ({"ItemReader": READER | {"ReaderConfig": {"InputType": "CSV"}}}, "CSVHeaderLocation"),
        (
            {
                "ItemReader": {
                    "Resource": items.LIST_OBJECTS,
                    "ReaderConfig": {"Transformation": "LOAD_AND_FLATTEN"},
                }
            },
            "This cloud lists objects, and reads none of them",
        ),
    ],
)
def test_a_distributed_map_that_could_not_run_is_refused(state: dict[str, Json], why: str) -> None:
    assert why in str(refused(DISTRIBUTED, state))


def test_a_map_s_mode_type_and_labels_are_checked() -> None:
    assert "[INLINE, DISTRIBUTED]" in str(refused({"Mode": "SPREAD"}, {}))
    assert "[STANDARD, EXPRESS]" in str(refused({"Mode": "DISTRIBUTED"}, {}))
    express = {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}
    assert "of type STANDARD, not EXPRESS" in str(refused(express, {}))
    assert "'l' is not unique" in str(refused(DISTRIBUTED, {"Label": "l"}, {"Label": "l"}))
    assert refused(DISTRIBUTED, {"Label": "l"}, {"Label": "m"}) is None
    assert refused(DISTRIBUTED, {"MaxConcurrency": "{% 1 %}"}, {}) is None
