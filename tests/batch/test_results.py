"""Result keys, refused loops, masked secrets: no S3 needed."""

# ruff: noqa: E501 -- a refusal is one line, here as there

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.echo import describe
from batch.exits import MisconfiguredError
from batch.ingest import Request
from batch.results import refuse_loops, result_keys

KEYS = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda k: len(k.encode()) <= 1024)


@given(key=KEYS, prefix=st.sampled_from(["", "ingest/", "x" * 900 + "/"]))
def test_any_key_gives_keys_that_s3_takes(key: str, prefix: str) -> None:
    keys = result_keys(prefix, "uploads", key, "v1")
    assert keys == result_keys(prefix, "uploads", key, "v1")
    for made, suffix in ((keys.parquet, ".parquet"), (keys.report, ".report.json")):
        assert len(made.encode()) <= 1024
        assert made.startswith(prefix)
        assert re.search(r"-[0-9a-f]{32}" + re.escape(suffix) + "$", made)
        assert made.isprintable()
        assert not {".", ".."} & set(made.split("/"))


@given(one=KEYS, other=KEYS)
def test_different_keys_have_different_results(one: str, other: str) -> None:
    same = result_keys("", "b", one, "v") == result_keys("", "b", other, "v")
    assert same == (one == other)


def test_longest_keys_that_differ_at_their_end_have_different_results() -> None:
    ends = [result_keys("p/", "b", "あ" * 341 + end, "v").parquet for end in "xy"]
    assert len(set(ends)) == 2
    assert [len(key.encode()) for key in ends] <= [1024, 1024]


def test_version_and_bucket_are_part_of_the_result_and_the_key_stays_readable() -> None:
    first = result_keys("p/", "b", "target/2024/売上 a+b.csv", "v1").parquet
    assert re.fullmatch(r"p/target/2024/売上 a\+b\.csv-[0-9a-f]{32}\.parquet", first)
    others = [
        result_keys("p/", "b", "target/2024/売上 a+b.csv", "v2").parquet,
        result_keys("p/", "c", "target/2024/売上 a+b.csv", "v1").parquet,
    ]
    assert len({first, *others}) == 3


def test_a_prefix_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(MisconfiguredError) as refused:
        result_keys("x" * 1001, "b", "k", "v")
    assert str(refused.value) == (
        "RESULTS_PREFIX is 1001 bytes long, which leaves no room for a name in the 1024 bytes of a"
        " key: shorten it"
    )


HERE = "the results bucket is the upload bucket b and "


@pytest.mark.parametrize(
    ("key", "prefix", "reason"),
    [
        (
            "in/a",
            "",
            "RESULTS_PREFIX is empty, so the result would start this job again: set RESULTS_PREFIX to a folder that no upload trigger watches, or use another bucket",
        ),
        (
            "out/a",
            "out/",
            "out/a lies under RESULTS_PREFIX out/, so it is a result and not an upload: keep the trigger's filter away from it, or use another bucket",
        ),
        (
            "in/a",
            "in/out/",
            "RESULTS_PREFIX in/out/ lies where in/a was uploaded, so the result would start this job again: use another bucket, or a top folder of its own for the uploads and for RESULTS_PREFIX",
        ),
    ],
)
def test_a_result_that_would_start_the_job_again_is_refused_with_the_way_out(
    key: str, prefix: str, reason: str
) -> None:
    with pytest.raises(MisconfiguredError) as refused:
        refuse_loops(bucket="b", key=key, results_bucket="b", prefix=prefix)
    assert str(refused.value) == HERE + reason


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("target/a.csv", ""),
        ("target/a.csv", "target/"),
        ("target/a.csv", "target/results/"),
        ("a.csv", "results/"),
        ("results/a.csv-0.report.json", "results/"),
    ],
)
def test_a_result_that_would_start_the_job_again_is_refused(key: str, prefix: str) -> None:
    with pytest.raises(MisconfiguredError, match="the results bucket is the upload bucket"):
        refuse_loops(bucket="b", key=key, results_bucket="b", prefix=prefix)


def test_a_folder_of_its_own_or_another_bucket_is_fine() -> None:
    refuse_loops(bucket="b", key="target/a.csv", results_bucket="b", prefix="results/")
    refuse_loops(bucket="b", key="a.csv", results_bucket="c", prefix="")


ENVIRONMENT = {"BUCKET": "b", "RESULTS_BUCKET": "r", "JOB": "ingest"}


def test_the_key_is_the_argument_before_the_variable() -> None:
    both = ENVIRONMENT | {"OBJECT_KEY": "variable"}
    assert Request.read(["argument"], both) == Request("b", "argument", "r", "ingest/")
    assert Request.read([], both).key == "variable"
    assert Request.read([], both | {"RESULTS_PREFIX": ""}).prefix == ""


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        (
            ["k"],
            {"BUCKET": "b"},
            "RESULTS_BUCKET is not set: name the bucket that takes the Parquet file",
        ),
        (
            [],
            ENVIRONMENT,
            "BUCKET is set but there is no key: pass it as the argument or as OBJECT_KEY",
        ),
        (
            ["k", "l"],
            ENVIRONMENT,
            "2 arguments with BUCKET set: expected one, the object's key",
        ),
        (["\udcff"], ENVIRONMENT, r"the key is not valid UTF-8: '\udcff'"),
        (
            ["k"],
            ENVIRONMENT | {"RESULTS_PREFIX": "é\udcff"},
            r"the RESULTS_PREFIX is not valid UTF-8: '\xe9\udcff'",
        ),
        (["k"], ENVIRONMENT | {"BUCKET": "\udcff"}, r"the BUCKET is not valid UTF-8: '\udcff'"),
    ],
)
def test_a_request_that_cannot_work_is_refused(
    arguments: list[str], environment: dict[str, str], reason: str
) -> None:
    with pytest.raises(MisconfiguredError) as refused:
        Request.read(arguments, environment)
    assert str(refused.value) == reason


def test_the_environment_is_shown_without_credentials_and_surroundings() -> None:
    environment = {
        "ENV": "Original env value.",
        "OBJECT_KEY": "a/b c.csv",
        "JOB": "ingest",
        "AWS_SECRET_ACCESS_KEY": "s3cr3t",
        "AWS_SESSION_TOKEN": "s3cr3t",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/s3cr3t",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "s3cr3t",
        "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/s3cr3t",
        "DB_PASSWORD": "s3cr3t",
        "db_passwd": "s3cr3t",
        "API_KEY": "s3cr3t",
        "STRIPEKEY": "s3cr3t",
        "GITHUB_TOKEN": "s3cr3t",
        "CLIENT_SECRET": "s3cr3t",
        "MYSQL_PWD": "s3cr3t",
        "EMPTY_TOKEN": "",
        "DATABASE_URL": "postgres://user:s3cr3t@db:5432/x?sslmode=on",
        "NOTE": "id AKIAIOSFODNN7EXAMPLE here",
        "LINK": "https://b.s3.amazonaws.com/k?X-Amz-Signature=s3cr3t&x=1",
        "HEADER": "Bearer s3cr3t",
        "AUTHOR": "me",
        "PATH": "/bin",
        "HOSTNAME": "ip-10-0-0-1",
        "PYTHON_VERSION": "3.13",
    }
    shown = describe([], environment)
    assert shown == {
        "args": [],
        "environment": {
            "API_KEY": "***",
            "AUTHOR": "me",
            "CLIENT_SECRET": "***",
            "DATABASE_URL": "postgres://***@db:5432/x?sslmode=on",
            "DB_PASSWORD": "***",
            "EMPTY_TOKEN": "",
            "ENV": "Original env value.",
            "GITHUB_TOKEN": "***",
            "HEADER": "Bearer ***",
            "JOB": "ingest",
            "LINK": "https://b.s3.amazonaws.com/k?***&x=1",
            "MYSQL_PWD": "***",
            "NOTE": "id *** here",
            "OBJECT_KEY": "a/b c.csv",
            "STRIPEKEY": "***",
            "db_passwd": "***",
        },
    }


def test_secrets_among_the_arguments_are_masked_and_keys_are_not() -> None:
    arguments = [
        "--password",
        "s3cr3t",
        "--api-key=s3cr3t",
        "token:s3cr3t",
        "a b+%2F\"'\\$\n日本😀",
    ]
    assert describe(arguments, {})["args"] == [
        "--password",
        "***",
        "--api-key=***",
        "token:***",
        "a b+%2F\"'\\$\n日本😀",
    ]
