"""One real S3 for the session, a bucket pair for each test."""

import itertools
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import duckdb
import pytest

from tests.batch.s3 import client, environment, serve_s3

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_numbers = itertools.count()


@dataclass(frozen=True)
class Buckets:
    """An upload bucket, a results bucket, and what a task is given to use them."""

    s3: "S3Client"
    uploads: str
    results: str
    variables: dict[str, str]

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.uploads, Key=key, Body=body)

    def written(self) -> list[str]:
        return [
            item.get("Key", "")
            for item in self.s3.list_objects_v2(Bucket=self.results).get("Contents", [])
        ]

    def read(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.results, Key=key)["Body"].read()


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with serve_s3(tmp_path_factory.mktemp("s3")) as served:
        yield served


@pytest.fixture(scope="session")
def s3(endpoint: str) -> "Generator[S3Client]":
    opened = client(endpoint)
    yield opened
    opened.close()


@pytest.fixture
def buckets(endpoint: str, s3: "S3Client", monkeypatch: pytest.MonkeyPatch) -> Buckets:
    number = next(_numbers)
    uploads, results = f"uploads-{number}", f"results-{number}"
    for bucket in (uploads, results):
        s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
        )
    variables = environment(endpoint) | {
        "BUCKET": uploads,
        "RESULTS_BUCKET": results,
        "JOB": "ingest",
        "RESULTS_PREFIX": "ingest/",
    }
    for name, value in variables.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return Buckets(s3, uploads, results, variables)


@pytest.fixture
def parquet_rows(tmp_path: object) -> Callable[[bytes], list[tuple[object, ...]]]:
    def rows(body: bytes) -> list[tuple[object, ...]]:
        path = f"{tmp_path}/read.parquet"
        with open(path, "wb") as file:  # noqa: PTH123 - a string for DuckDB
            file.write(body)
        with duckdb.connect() as connection:
            found = connection.execute("SELECT * FROM read_parquet(?)", [path]).fetchall()
            return cast("list[tuple[object, ...]]", found)

    return rows
