"""S3: one version of an object as a stream, and results that appear whole or not at all."""

import io
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    ResponseStreamingError,
)
from botocore.exceptions import (
    ConnectionError as TransportError,
)
from botocore.loaders import Loader
from botocore.session import get_session
from urllib3.exceptions import HTTPError

from batch.exits import GoneError, MisconfiguredError, RefusalError, StoppedError, TryAgainError
from batch.report import Source

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, GetObjectOutputTypeDef

# 10,000 parts at most, so a result of up to 78 GiB, which is more than a text expands to; one part
# at a time is in memory.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_PART = 8 << 20
_RESUMES = 5
_TRANSPORT = (
    TransportError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    HTTPError,
    CredentialRetrievalError,
    MetadataRetrievalError,
)
_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "NotFound", "404", "PreconditionFailed", "412"})
_LATER = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequests",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ExpiredToken",
        "OperationAborted",
    }
)


class _S3Loader(Loader):
    """Loads models by their names, without looking into the folders of all services first."""

    def list_available_services(self, type_name: str) -> list[str]:
        """Return the one service that is asked for."""
        del type_name
        return ["s3"]


def client() -> "S3Client":
    """Return an S3 client of the standard credential and endpoint chain.

    Raises:
        MisconfiguredError: no region, or an endpoint that is none.
    """
    with refusals("S3", ""):
        # boto3 adds nothing to this client but a tenth of a second to import its own transfers.
        session = get_session()
        session.register_component("data_loader", _S3Loader())
        made: object = session.create_client(
            "s3",
            config=Config(
                connect_timeout=5,
                read_timeout=30,
                retries={"mode": "standard", "total_max_attempts": 4},
            ),
        )
        return cast("S3Client", made)


@contextmanager
def refusals(action: str, name: str) -> Generator[None]:
    """Turn what S3 and the network can answer into the exit code for it."""
    where = f"{action} {name}".strip()
    try:
        yield
    except ClientError as error:
        raise _refusal(error, where) from error
    except _TRANSPORT as error:
        raise TryAgainError(f"{where}: {_one_line(error)}") from error
    except (BotoCoreError, ValueError) as error:
        raise MisconfiguredError(f"{where}: {_one_line(error)}") from error


def _refusal(error: ClientError, where: str) -> RefusalError:
    answer = error.response.get("Error", {})
    code, message = answer.get("Code", ""), answer.get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = _one_line(f"{where}: {code}: {message}")
    if code in _GONE:
        return GoneError(f"{text} (the object or the version being read is gone)")
    if code in _LATER or status in {408, 429} or status >= 500:
        return TryAgainError(text)
    if code == "InvalidObjectState":
        return MisconfiguredError(f"{text} (the object is archived: restore it first)")
    if status == 403:
        # Without s3:ListBucket S3 answers 403 for a missing object too.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        return MisconfiguredError(
            f"{text} (the task role needs this permission, and s3:ListBucket to tell a missing"
            " object from a forbidden one)"
        )
    return MisconfiguredError(text)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


class ObjectStream(io.RawIOBase):
    """One version of an object, read as a file; a connection that breaks is resumed in place."""

    def __init__(self, s3: "S3Client", bucket: str, key: str, stopped: threading.Event) -> None:
        super().__init__()
        self._s3 = s3
        self._stopped = stopped
        self._name = f"s3://{bucket}/{key}"
        self._offset = 0
        self._resumes = 0
        # The base class closes an object whose construction failed, as soon as it is collected.
        self._body: StreamingBody | None = None
        with refusals("GetObject", self._name):
            response = s3.get_object(Bucket=bucket, Key=key)
        self._body = response["Body"]
        self.size = response["ContentLength"]
        version = response.get("VersionId")
        # "null" is the one version that an upload overwrites while versioning is suspended.
        self.source = Source(
            bucket, key, response["ETag"].strip('"'), None if version == "null" else version
        )

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - WriteableBuffer is a typing-only name
        """Fill `buffer` from the object; 0 at its end."""
        with refusals("GetObject", self._name):
            while True:
                if self._stopped.is_set():
                    raise StoppedError
                try:
                    data = self._opened().read(len(buffer)) if self._offset < self.size else b""
                except _TRANSPORT:
                    if self._resumes == _RESUMES:
                        raise
                    self._resumes += 1
                    self._resume()
                    continue
                buffer[: len(data)] = data
                self._offset += len(data)
                return len(data)

    def _opened(self) -> "StreamingBody":
        assert self._body is not None  # noqa: S101 - set by __init__, or there is no such object
        return self._body

    def _resume(self) -> None:
        self._opened().close()
        source = self.source
        response: GetObjectOutputTypeDef
        where = {"Bucket": source.bucket, "Key": source.key, "Range": f"bytes={self._offset}-"}
        if source.version is not None:
            where["VersionId"] = source.version
        response = self._s3.get_object(**where, IfMatch=f'"{source.etag}"')  # pyright: ignore[reportArgumentType] - str values only
        self._body = response["Body"]

    def close(self) -> None:
        """Close the connection."""
        if not self.closed and self._body is not None:
            self._body.close()
        super().close()


def exists(s3: "S3Client", bucket: str, key: str) -> bool:
    """Say whether there is such an object."""
    try:
        with refusals("HeadObject", f"s3://{bucket}/{key}"):
            s3.head_object(Bucket=bucket, Key=key)
    except GoneError:
        return False
    return True


class Upload:
    """Puts objects whole: none is visible before all of it is there, none stays half."""

    def __init__(self, s3: "S3Client", bucket: str, stopped: threading.Event) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._stopped = stopped
        self._open: tuple[str, str] | None = None

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Write a small object in one request."""
        self._check()
        with self._writing(key):
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)

    def put_file(self, key: str, path: Path, content_type: str) -> None:
        """Write a file, in parts if it is large."""
        if path.stat().st_size <= _PART:
            self.put(key, path.read_bytes(), content_type)
            return
        self._check()
        with self._writing(key):
            started = self._s3.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType=content_type
            )
            self._open = (key, started["UploadId"])
            try:
                parts = list(self._parts(key, started["UploadId"], path))
                self._check()
                self._s3.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=started["UploadId"],
                    MultipartUpload={"Parts": parts},
                )
            except BaseException:
                self.abort()
                raise
            self._open = None

    def abort(self) -> None:
        """Throw away the parts of an unfinished upload; safe from any thread, and twice."""
        unfinished, self._open = self._open, None
        if unfinished is None:
            return
        key, upload = unfinished
        try:
            self._s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
        except (ClientError, BotoCoreError):
            # The bucket's lifecycle rule removes what could not be removed here.
            return

    def _parts(self, key: str, upload: str, path: Path) -> "Iterator[CompletedPartTypeDef]":
        with path.open("rb") as file:
            number = 0
            while body := file.read(_PART):
                self._check()
                number += 1
                part = self._s3.upload_part(
                    Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=number, Body=body
                )
                yield {"PartNumber": number, "ETag": part["ETag"]}

    def _check(self) -> None:
        if self._stopped.is_set():
            raise StoppedError

    @contextmanager
    def _writing(self, key: str) -> Generator[None]:
        try:
            with refusals("PutObject", f"s3://{self._bucket}/{key}"):
                yield
        except GoneError as error:
            # Nothing that is read is gone: an upload id that vanished is worth another attempt.
            raise TryAgainError(str(error)) from error
