"""What a job's files are declared to be, and what the container reads of it."""

from pathlib import Path
from typing import Any

import pytest

import settings
from batch import options
from batch.exits import MisconfiguredError

ROOT = Path(__file__).parents[2]
PLAIN: dict[str, Any] = {"region": "ap-northeast-1"}
EVERYTHING: dict[str, Any] = {
    "schema": {"day": "DATE", "amount": "DECIMAL(18,2)", "note": "VARCHAR"},
    "nullValues": ["-", "N/A"],
    "dateFormat": "%Y%m%d",
    "decimal": ",",
    "encoding": "cp932",
    "delimiter": "\t",
    "header": False,
    "schemaDrift": "allow",
    "rejectedShare": 0.25,
}


def job(**keys: object) -> settings.JobSettings:
    return settings.validated({**PLAIN, "jobs": {"a": keys}}).jobs["a"]


def test_the_container_reads_what_is_declared_as_it_was_declared() -> None:
    read = options.Options.read(job(ingest=EVERYTHING).variables)
    assert read == options.Options(
        schema=EVERYTHING["schema"],
        null_values=["-", "N/A"],
        date_format="%Y%m%d",
        decimal=",",
        encoding="cp932",
        delimiter="\t",
        header=False,
        schema_drift="allow",
        rejected_share=0.25,
    )


def test_a_job_that_declares_nothing_is_told_nothing() -> None:
    assert job().variables == {}
    assert options.Options.read({}) == options.Options()


def test_both_sides_read_the_same_table_of_encodings_types_and_defaults() -> None:
    assert (ROOT / "settings" / "declared.py").readlink() == Path("..", "batch", "declared.py")


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"schema": {"a": "INT"}}, "must be VARCHAR, BOOLEAN"),
        ({"schema": {"a": "DECIMAL(39,1)"}}, "must be VARCHAR, BOOLEAN"),
        ({"schema": {"a": "DATE", "A": "DATE"}}, "differ in case only"),
        ({"dateFormat": "%d.%m.%y"}, "must be of %Y"),
        ({"delimiter": '"'}, "must be one character"),
        ({"encoding": "utf-7"}, "utf-8"),
        ({"rejectedShare": 1.5}, "must be at most 1"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_is_not_possible_is_refused_with_its_key(
    declared: dict[str, Any], reason: str
) -> None:
    with pytest.raises(settings.SettingsError, match=reason) as refused:
        job(ingest=declared)
    assert f"jobs.a.ingest.{next(iter(declared))}" in str(refused.value)


def test_an_image_of_ones_own_has_to_say_that_it_reads_it() -> None:
    own = {"image": "ghcr.io/team/own:1", "ingest": {"header": True}}
    with pytest.raises(settings.SettingsError, match=r"set jobs\.a\.readsIngest: true"):
        job(**own)
    assert job(**own, readsIngest=True).variables == {"INGEST": '{"header": true}'}


def test_the_variable_is_not_to_be_set_twice() -> None:
    with pytest.raises(settings.SettingsError, match="INGEST is how the container is told"):
        job(environment={"INGEST": "{}"}, ingest={"header": True})
    assert job(environment={"INGEST": "mine"}).variables == {"INGEST": "mine"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"colour": 1}', "colour, which is none of"),
        ('{"decimal": ";"}', "a decimal that is not possible"),
    ],
)
def test_a_document_that_nobody_checked_is_refused_by_the_container(text: str, reason: str) -> None:
    with pytest.raises(MisconfiguredError, match=reason):
        options.Options.read({"INGEST": text})
