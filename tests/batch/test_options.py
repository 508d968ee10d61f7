"""What a job's container is told of its files, in INGEST."""

import json
from typing import Any

import pytest

from batch.charset import decoded
from batch.declared import ENCODINGS
from batch.exits import MisconfiguredError
from batch.options import Options

GIVEN: dict[str, Any] = {
    "schema": {"a": "BIGINT"},
    "nullValues": ["-"],
    "dateFormat": "%d.%m.%Y",
    "decimal": ",",
    "encoding": "cp932",
    "delimiter": ";",
    "header": False,
    "schemaDrift": "allow",
    "rejectedShare": 0.5,
}


def read(text: str) -> Options:
    return Options.read({"INGEST": text})


@pytest.mark.parametrize("text", ["", "{}"])
def test_nothing_said_is_what_is_usual(text: str) -> None:
    assert read(text) == Options() == Options.read({})


def test_what_is_said_is_taken() -> None:
    assert read(json.dumps(GIVEN)) == Options(
        schema={"a": "BIGINT"},
        null_values=["-"],  # pyright: ignore[reportArgumentType] - as JSON has it
        date_format="%d.%m.%Y",
        decimal=",",
        encoding="cp932",
        delimiter=";",
        header=False,
        schema_drift="allow",
        rejected_share=0.5,
    )


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("schema", [[], {"a": "INT"}, {"a": 1}, "BIGINT"]),
        ("nullValues", ["-", [1], {"a": "b"}]),
        ("dateFormat", [1, "", "%y", "%d.%"]),
        ("decimal", ["", ";", ",.", []]),
        ("encoding", ["latin1", "", "UTF8"]),
        ("delimiter", ["", ",,", '"', "\r", "\n", "、", 1]),
        ("header", ["true", 1, None]),
        ("schemaDrift", ["", "ignore"]),
        ("rejectedShare", [-0.01, 1.01, True, "0.1", None]),
    ],
)
def test_what_is_not_possible_is_refused(key: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(MisconfiguredError) as refused:
            read(json.dumps({key: value}))
        assert str(refused.value) == f"INGEST has a {key} that is not possible: {value!r}"
    assert read(json.dumps({key: GIVEN[key]})) != Options()


@pytest.mark.parametrize("share", [0, 1])
def test_a_share_may_be_none_or_all(share: float) -> None:
    assert read(json.dumps({"rejectedShare": share})).rejected_share == share


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "INGEST is not valid JSON: "),
        ("[1]", "INGEST is not a JSON object: [1]"),
        ('{"headers": true, "a": 1}', "INGEST has the key a, which is none of schema, nullValues,"),
    ],
)
def test_what_is_no_document_of_these_is_refused(text: str, reason: str) -> None:
    with pytest.raises(MisconfiguredError) as refused:
        read(text)
    assert str(refused.value).startswith(reason)


def test_every_encoding_that_may_be_declared_is_one() -> None:
    read = {name: b"".join(decoded([b"a\0"], name, marked=False)) for name in ENCODINGS}
    assert len(read) == 15
    assert read.pop("utf-16-le") == b"a"
    assert read.pop("utf-16-be") == "\u6100".encode()
    assert set(read.values()) == {b"a\0"}
