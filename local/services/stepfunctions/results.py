"""What a distributed Map state exports: its children's results, to files in S3 and a manifest.

https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from local import shapes
from local.services.stepfunctions import redrive
from local.services.stepfunctions.asl import Json, StateError
from local.services.stepfunctions.history import text_of

Record = Mapping[str, Any]
_FAILED = {"FAILED", "TIMED_OUT", "ABORTED"}
_SHOWN = ("executionArn", "error", "cause", "input", "name", "output", "startDate")


def described(record: Record) -> dict[str, Json]:
    """A child execution with its metadata."""
    document = {
        name: record[name]
        for name in (*_SHOWN, "stateMachineArn", "status", "stopDate")
        if record.get(name) is not None
    } | {name: value for name, value in redrive.fields(record).items() if value is not None}
    found: dict[str, Json] = shapes.to_states(
        "stepfunctions", "DescribeExecutionOutput", document, "iso"
    )
    included = {"Included": True}
    return dict(sorted((found | {"InputDetails": included, "OutputDetails": included}).items()))


def of(records: Sequence[Record], transformation: str) -> list[Json]:
    """The results of children that have ended, as `WriterConfig` has them transformed.

    One that failed is always there with its metadata.
    """
    results: list[Json] = []
    for record in records:
        if record["status"] != "SUCCEEDED" or transformation == "NONE":
            results.append(described(record))
            continue
        output = json.loads(record["output"])
        if transformation == "FLATTEN" and isinstance(output, list):
            results += cast("list[Json]", output)
        else:
            results.append(output)
    return results


class Writer:
    """Where the results of one map run are written to."""

    def __init__(self, s3: Any, writer: Mapping[str, Json], map_run_arn: str) -> None:  # noqa: ANN401
        self._s3 = s3
        self._bucket: str = writer["Arguments"]["Bucket"]
        prefix = str(writer["Arguments"].get("Prefix") or "").strip("/")
        self._folder = "/".join(filter(None, (prefix, map_run_arn.rpartition(":")[2])))
        self._config: Mapping[str, Json] = writer.get("WriterConfig") or {}
        self._map_run_arn = map_run_arn

    def test(self) -> None:
        """See that the bucket can be written to, before anything runs."""
        try:
            self._put("manifest.json", b"{}")
        except (BotoCoreError, ClientError) as error:
            cause = f"Failed to write a test manifest into the specified output bucket. {error}"
            raise StateError("States.ResultWriterFailed", cause) from None

    def write(self, records: Sequence[Record], pending: Sequence[Json]) -> Json:
        """Write what became of each child, and of the inputs of those that were not started.

        Returns:
            the state's result.

        Raises:
            StateError: `States.ResultWriterFailed`.
        """
        transformation = self._config.get("Transformation", "NONE")
        results = {
            "FAILED": of([one for one in records if one["status"] in _FAILED], "NONE"),
            "PENDING": [
                {"Input": text_of(data), "InputDetails": {"Included": True}, "Status": "PENDING"}
                for data in pending
            ],
            "SUCCEEDED": of(
                [one for one in records if one["status"] == "SUCCEEDED"], transformation
            ),
        }
        try:
            files = {status: self._file(status, found) for status, found in results.items()}
            manifest = {
                "DestinationBucket": self._bucket,
                "MapRunArn": self._map_run_arn,
                "ResultFiles": files,
            }
            key = self._put("manifest.json", text_of(manifest).encode())
        except (BotoCoreError, ClientError) as error:
            raise StateError("States.ResultWriterFailed", str(error)) from None
        details = {"Bucket": self._bucket, "Key": key}
        return {"MapRunArn": self._map_run_arn, "ResultWriterDetails": details}

    def _file(self, status: str, results: list[Json]) -> list[Json]:
        if not results:
            return []
        lines = self._config.get("OutputType") == "JSONL"
        text = "\n".join(map(text_of, results)) if lines else text_of(results)
        body = text.encode(errors="surrogatepass")
        key = self._put(f"{status}_0.{'jsonl' if lines else 'json'}", body)
        return [{"Key": key, "Size": len(body)}]

    def _put(self, name: str, body: bytes) -> str:
        key = f"{self._folder}/{name}"
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)
        return key
