"""Forms that upload an object: its fields first, and its file to a file as it arrives.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from local.gate import Receive
from local.ministack import internals
from local.ministack.internals import Response
from local.ministack.objects import Body, Spool, arriving
from local.ministack.requests import BadRequest

Part = tuple[str, str | None, dict[str, str], bytes | Body]
"""A name, that of a file, headers and what it is."""

_BOUNDARY = re.compile(r'boundary=("?)([^";\s]+)\1', re.IGNORECASE)
# All that comes before the file.
_MOST_BEFORE_BYTES = 20_480
_AS_THEY_ARE = {"policy", "signature", "x-amz-signature"}
_SIGNING_V4 = {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"}
_SIGNING = _SIGNING_V4 | {"awsaccesskeyid", "signature"}


class Form(bytes):
    """A form's body, of which nothing but its parts is kept."""

    parts: list[Part]


class Refused(Exception):  # noqa: N818 - says what happened
    """What a form is answered with before its file is read."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class _Reader:
    """Takes a form apart as it arrives.

    Args:
        headers: of the request.
        folder: where files are kept.
        most: the most bytes that the file may have, by the fields before it; raises `Refused`.
    """

    def __init__(
        self, headers: Mapping[str, str], folder: Path, most: Callable[[list[Part]], int | None]
    ) -> None:
        self._type = headers.get("content-type", "")
        if (found := _BOUNDARY.search(self._type)) is None:
            raise _malformed()
        self._edge = b"\r\n--" + found[2].encode()
        self._most_of = most
        self._most: int | None = None
        self._held = bytearray()
        self._looked = 0
        self._file = Spool(folder)
        self._parts: list[Part] = []
        self._over = False

    def write(self, data: bytes) -> None:
        if self._over:
            # What is behind the file counts for nothing.
            return
        self._held += data
        if self._parts or self._begins():
            self._within_file()

    def _begins(self) -> bool:
        """Whether the file has begun, of which the head is taken off then."""
        while (end := self._held.find(b"\r\n\r\n", self._looked)) >= 0:
            self._looked = end + 2
            if end > _MOST_BEFORE_BYTES:
                break
            parts = self._parse(self._held[: end + 4] + self._edge + b"--")
            if parts and parts[-1][0] == "file":
                self._most = self._most_of(parts)
                self._parts = parts
                del self._held[: end + 4]
                return True
        if len(self._held) > _MOST_BEFORE_BYTES:
            raise BadRequest(
                "MaxPostPreDataLengthExceeded",
                "Your POST request fields preceeding the upload file was too large.",
            )
        self._looked = max(self._looked, len(self._held) - 3)
        return False

    def _within_file(self) -> None:
        end = self._held.find(self._edge)
        self._over = end >= 0
        # An edge may be cut off where this piece ends.
        taken = end if self._over else max(0, len(self._held) - len(self._edge) + 1)
        if self._most is not None and len(self._file) + taken > self._most:
            raise BadRequest(
                "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size."
            )
        self._file.write(self._held[:taken])
        del self._held[:taken]

    def _parse(self, text: bytes | bytearray) -> list[Part]:
        return internals.parse_form.original(self._type, bytes(text))

    def end(self) -> list[Part]:
        """The parts up to the file, which is the last of them, if there is one."""
        if not self._parts:
            return self._parse(self._held)
        if not self._over:
            raise _malformed()
        name, filename, about, _ = self._parts[-1]
        return [*self._parts[:-1], (name, filename, about, self._file.body())]


def _malformed() -> BadRequest:
    return BadRequest(
        "MalformedPOSTRequest",
        "The body of your POST request is not well-formed multipart/form-data.",
    )


async def received(receive: Receive, headers: Mapping[str, str], bucket: str, folder: Path) -> Form:
    """The body of a form that posts an object to a bucket.

    Raises:
        BadRequest: it is broken, has too many fields, or its file is longer than it may be.
        Refused: it may not be posted.
    """
    reader, arrived = _Reader(headers, folder, lambda parts: _allowed(bucket, parts)), 0
    async for data in arriving(receive):
        arrived += len(data)
        reader.write(data)
    if headers.get("content-length", str(arrived)).strip() != str(arrived):
        raise _malformed()
    form = Form()
    form.parts = reader.end()
    return form


def _allowed(bucket: str, parts: list[Part]) -> int | None:
    """The most bytes that the file of a form with these fields may have, None if any.

    MiniStack checks the same again once it has the file, with the number of its bytes.
    """
    given = {name.lower(): _text(cast("bytes", value)) for name, _, _, value in parts[:-1]}
    filename = parts[-1][1] or ""
    fields = {
        name: value if name in _AS_THEY_ARE else value.replace("${filename}", filename)
        for name, value in given.items()
    }
    if not _SIGNING & fields.keys():
        raise BadRequest("AccessDenied", "Access Denied", 403)
    if not fields.get("key"):
        raise BadRequest("InvalidArgument", "Bucket POST must contain a field named 'key'.")
    owner = internals.bucket_owner(bucket)
    if owner is None:
        raise BadRequest("NoSuchBucket", "The specified bucket does not exist", 404)
    least, most = _range(fields.get("policy", ""))
    with internals.request_scope(owner, internals.region()):
        refused = internals.check_signed_form(
            fields,
            bucket,
            internals.bucket_region(bucket),
            least,
            bool(_SIGNING_V4 & fields.keys()),
        )
    if refused is not None:
        raise Refused(refused)
    return most


def _range(policy: str) -> tuple[int, int | None]:
    """What the conditions of a policy say of the number of bytes, as far as they are right."""
    try:
        conditions: list[Any] = json.loads(base64.b64decode(policy))["conditions"]
        ranges = [
            (int(condition[1]), int(condition[2]))
            for condition in conditions
            if isinstance(condition, list) and condition[0] == "content-length-range"
        ]
    except (ValueError, TypeError, LookupError, RecursionError):
        return 0, None
    except OverflowError:
        raise BadRequest("InvalidPolicyDocument", "A number of bytes is infinite.") from None
    least = max((least for least, _ in ranges), default=0)
    return least, min((most for _, most in ranges), default=None)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _parts(content_type: str, body: bytes) -> list[Part]:
    if isinstance(body, Form):
        return body.parts
    return internals.parse_form.original(content_type, body)


def _unsigned(policy_b64: str, size: int) -> Response:  # the parameters are MiniStack's
    del policy_b64, size
    return internals.s3_error("AccessDenied", "Access Denied", 403)


def install() -> None:
    """Put the above in place of MiniStack's, until `pinned.restore`."""
    internals.parse_form.replace(_parts)
    internals.check_form.replace(_unsigned)
