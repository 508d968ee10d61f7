"""What a distributed Map state goes through: a dataset in S3 to items, items to children's inputs.

https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from local.services.stepfunctions.asl import Json, StateError
from local.services.stepfunctions.history import text_of

LIST_OBJECTS = "arn:aws:states:::s3:listObjectsV2"
GET_OBJECT = "arn:aws:states:::s3:getObject"
_DELIMITERS = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}


def read(s3: Any, reader: dict[str, Json]) -> tuple[str, list[Json]]:  # noqa: ANN401 - a client
    """The items that an `ItemReader`, its expressions evaluated, gives, and where they are from.

    Raises:
        StateError: `States.ItemReaderFailed`, with causes as they were recorded of AWS.
    """
    arguments, config = reader.get("Arguments") or {}, reader.get("ReaderConfig") or {}
    source = f"S3://{arguments.get('Bucket')}"
    try:
        if reader["Resource"] == LIST_OBJECTS:
            items = _listed(s3, arguments)
        else:
            source += f"/{arguments.get('Key')}"
            body: bytes = s3.get_object(**arguments)["Body"].read()
            items = _parsed(body.decode("utf-8-sig"), config)
        return source, list(islice(items, _most(config)))
    except (BotoCoreError, ClientError, LookupError, TypeError, ValueError) as error:
        raise StateError("States.ItemReaderFailed", str(error)) from None


def _most(config: dict[str, Json]) -> int | None:
    most = config.get("MaxItems", 0)
    if not isinstance(most, int | float) or most < 0:
        raise ValueError("field MaxItems must be positive")
    return int(most) or None


def _listed(s3: Any, arguments: dict[str, Json]) -> Iterator[Json]:  # noqa: ANN401 - as above
    for page in s3.get_paginator("list_objects_v2").paginate(**arguments):
        for found in page.get("Contents", []):
            yield {
                "Etag": found["ETag"],
                "Key": found["Key"],
                "LastModified": round(found["LastModified"].timestamp()),
                "Size": found["Size"],
                "StorageClass": found["StorageClass"],
            }


def _parsed(text: str, config: dict[str, Json]) -> Iterable[Json]:
    match config.get("InputType"):
        case "JSONL":
            return (json.loads(line) for line in text.split("\n") if line.strip())
        case "CSV":
            return _rows(text, config)
        case _:
            document = json.loads(text)
            for part in str(config.get("ItemsPointer") or "").split("/")[1:]:
                name = part.replace("~1", "/").replace("~0", "~")
                document = document[int(name)] if isinstance(document, list) else document[name]
            if not isinstance(document, list):
                raise ValueError("Attempting to map over non-iterable node.")  # noqa: TRY004
            return cast("list[Json]", document)


def _rows(text: str, config: dict[str, Json]) -> Iterator[Json]:
    """Rows by their headers: a field too few is an empty text, one too many is left out."""
    delimiter = _DELIMITERS[config.get("CSVDelimiter", "COMMA")]
    rows = (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row)
    given = config.get("CSVHeaderLocation") == "GIVEN"
    headers: list[str] = config["CSVHeaders"] if given else next(rows, [])
    if len(set(headers)) < len(headers):
        raise ValueError("CSV headers cannot contain duplicates.")
    for row in rows:
        yield dict(zip(headers, row + [""] * (len(headers) - len(row)), strict=False))


def batches(items: Iterable[Json], batcher: dict[str, Json]) -> Iterator[tuple[Json, int]]:
    """The input of each batch, and how many items it has.

    https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itembatcher.html
    """
    most = batcher.get("MaxItemsPerBatch") or None
    most_bytes = batcher.get("MaxInputBytesPerBatch") or None
    around = {"BatchInput": batcher["BatchInput"]} if "BatchInput" in batcher else {}
    empty = len(text_of({**around, "Items": []}).encode())
    batch: list[Json] = []
    size = empty
    for item in items:
        more = len(text_of(item).encode()) + 1
        full = len(batch) == most or (most_bytes is not None and size + more - 1 > most_bytes)
        if batch and full:
            yield {**around, "Items": batch}, len(batch)
            batch, size = [], empty
        batch.append(item)
        size += more
    if batch:
        yield {**around, "Items": batch}, len(batch)
