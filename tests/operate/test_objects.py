"""Which objects an upload's rule takes, and which of them have a result."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from batch.results import result_keys
from components.upload_trigger import UploadFilterArgs, event_pattern
from operate import objects
from operate.errors import OperateError
from operate.stack import Stack


def taken(filter_: UploadFilterArgs, *given: tuple[str, int], exclude: tuple[str, ...] = ()) -> str:
    """Those of the keys and sizes that a rule with this filter takes."""
    conditions = event_pattern("uploads", filter_)["detail"].get("object", {})
    source = objects.source_of({"bucket": "uploads", **conditions}, exclude)
    assert source.bucket == "uploads"
    for key, size in given:
        if source.takes(key, size):
            assert key.startswith(source.starts), key
    return " ".join(key for key, size in given if source.takes(key, size))


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ({"prefix": ["in/"]}, "in/a.csv in/b.tmp"),
        ({"prefix": ["in/", "out/"], "suffix": [".csv"]}, "in/a.csv out/a.csv"),
        ({"suffix": [".tmp"]}, "in/b.tmp"),
        ({"key": ["in/a.csv"]}, "in/a.csv"),
        ({"wildcard": ["*/a.*"]}, "in/a.csv out/a.csv"),
        ({"wildcard": [r"\*/\\.csv"]}, r"*/\.csv"),
        ({"wildcard": ["*"], "exclude": ["in/*", "*.csv"]}, ""),
        ({"prefix": ["in/"], "max_size": 5}, "in/b.tmp"),
        ({"prefix": ["in/"], "min_size": 9, "max_size": 9}, "in/a.csv"),
        ({"wildcard": ["in/\n*"]}, ""),
    ],
)
def test_an_object_is_taken_if_the_pattern_of_its_upload_takes_it(
    filter_: UploadFilterArgs, expected: str
) -> None:
    given = [("in/", 0), ("in/a.csv", 9), ("in/b.tmp", 5), ("out/a.csv", 9), (r"*/\.csv", 9)]
    assert taken(filter_, *given) == expected


def test_what_its_state_machine_excludes_is_not_taken() -> None:
    given = [("in/a.csv", 1), ("in/a.tmp", 1), ("in/x/b.csv", 1)]
    assert taken({"prefix": ["in/"]}, *given, exclude=("*.tmp", "in/x/*")) == "in/a.csv"


def test_the_index_names_the_rules_that_took_an_upload_and_nobody_is_asked() -> None:
    here = {"starts": "job-ingest", "bucket": "uploads"}
    index = {
        "uploads": {name: {"ruleArn": f"arn:aws:events:::rule/{name}-1"} for name in "abcde"},
        "filters": {
            # What is excluded has been taken by its rule all the same.
            "a": {**here, "key": [{"prefix": "in/"}], "exclude": ["*.csv"]},
            "b": {**here, "key": [{"suffix": ".csv"}], "size": [{"anything-but": [0]}]},
            "c": {**here, "key": [{"prefix": "out/"}]},
            "d": {**here, "bucket": "others"},
            "e": {**here, "starts": "pipeline-ingest"},
        },
    }
    stack = Stack(cast("Any", None), "project", "stack", index)
    assert objects.rules_for(stack, "job-ingest", "uploads", "in/a.csv", 1) == ["a-1", "b-1"]
    assert objects.rules_for(stack, "job-ingest", "uploads", "in/a.csv", 0) == ["a-1"]
    assert objects.rules_for(stack, "pipeline-ingest", "uploads", "x", 0) == ["e-1"]


@pytest.mark.parametrize(
    "conditions", [{"key": [{"equals-ignore-case": "a"}]}, {"size": [{"exists": True}]}]
)
def test_a_condition_that_is_not_known_is_refused(conditions: dict[str, Any]) -> None:
    with pytest.raises(OperateError, match="is not known here: the stack is of another version"):
        objects.source_of({"bucket": "uploads", **conditions})


@pytest.mark.parametrize(
    ("starts", "wanted", "expected"),
    [
        (["in/"], [""], ["in/"]),
        (["in/"], ["in/2030/", "in/2031/"], ["in/2030/", "in/2031/"]),
        (["in/", "out/"], ["in/2030/", "in/"], ["in/"]),
        (["in/"], ["out/"], []),
        ([""], ["a", "ab", "b"], ["a", "b"]),
    ],
)
def test_no_more_is_listed_than_both_may_match_and_nothing_twice(
    starts: list[str], wanted: list[str], expected: list[str]
) -> None:
    assert objects.prefixes_of(starts, wanted) == expected


KEYS = ["a.csv", "a.csv.gz", "ä b\n?.csv", "x//../y", "d/" + "é" * 500, "a"]


def test_a_result_that_batch_names_is_found_by_its_object() -> None:
    stems = {objects.stem_of(key, "out/ingest/"): key for key in KEYS}
    assert len(stems) == len(KEYS)
    for key in KEYS:
        named = result_keys("out/ingest/", "uploads", key, "v")
        for name in (named.parquet, named.report):
            found = objects.result_of(name.removeprefix("out/ingest/"), set(stems))
            assert stems[found or ""] == key


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.csv", "a.csv"), ("a.csv/part-0", "a.csv"), ("a.csvx", "a"), ("ax", None), ("b.csv", None)],
)
def test_a_result_is_of_the_longest_key_that_its_name_begins_with(
    name: str, stem: str | None
) -> None:
    assert objects.result_of(name, {"a", "a.csv"}) == stem


class Bucket:
    """A results bucket as `list_objects_v2` has it."""

    def __init__(self, *found: tuple[str, datetime]) -> None:
        self.found = found
        self.asked: list[tuple[str, str]] = []

    def client(self, _service: str) -> "Bucket":
        return self

    def get_paginator(self, _operation: str) -> "Bucket":
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> list[dict[str, Any]]:  # noqa: N803 -- S3's
        self.asked.append((Bucket, Prefix))
        return [
            {},
            {
                "Contents": [
                    {"Key": key, "Size": 1, "ETag": '"e"', "LastModified": modified}
                    for key, modified in self.found
                    if key.startswith(Prefix)
                ]
            },
        ]


NOW = datetime(2030, 1, 31, tzinfo=UTC)
BEFORE = NOW - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("results", "missing"),
    [
        ([], ["in/a.csv", "in/b.csv"]),
        ([("out/ingest/in/a.csv-1.parquet", NOW)], ["in/b.csv"]),
        # Of what was there before.
        ([("out/ingest/in/a.csv-1.parquet", BEFORE)], ["in/a.csv", "in/b.csv"]),
        (
            [("out/ingest/in/a.csv-1.parquet", BEFORE), ("out/ingest/in/a.csv-2.parquet", NOW)],
            ["in/b.csv"],
        ),
        # Of another job, or of nothing that is there.
        ([("out/load/in/a.csv-1.parquet", NOW)], ["in/a.csv", "in/b.csv"]),
        ([("out/ingest/in/c.csv-1.parquet", NOW)], ["in/a.csv", "in/b.csv"]),
    ],
)
def test_an_object_is_missing_its_result_unless_there_is_one_that_is_not_older(
    results: list[tuple[str, datetime]], missing: list[str]
) -> None:
    bucket = Bucket(*results)
    index = {"resultsBucket": "results", "backfills": {"resultsPrefix": "out/"}}
    stack = Stack(cast("Any", bucket), "p", "dev", index)
    found = [objects.Object("uploads", key, 1, "e", NOW) for key in ("in/a.csv", "in/b.csv")]
    assert [one.key for one in objects.without_result(stack, "ingest", found)] == missing
    # No more is listed than the keys have in common.
    assert bucket.asked == [("results", "out/ingest/in/")]
