"""S3's objects: what an upload sends is written to files as it arrives, and sent from there.

MiniStack keeps an object's body where it gets it, measures it and takes slices of it. What reads
a body otherwise is replaced here, so that no object is in memory.
"""

import base64
import hashlib
import hmac
import os
import re
import tempfile
import weakref
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from local.gate import Message, Receive
from local.ministack import internals
from local.ministack.internals import Record, Response
from local.ministack.requests import BadRequest, Query

_PIECE_BYTES = 1 << 20
_IN_MEMORY_BYTES = 1 << 18
_LINE_BYTES = 16_384
# What a PUT of a key has as its body is no object's with one of these.
_NO_OBJECT = {"acl", "annotation", "legal-hold", "retention", "tagging"}
_INCOMPLETE = "You did not provide the number of bytes specified by the Content-Length HTTP header."


class _File:
    """A file that is removed with the last body that is in it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._remove = weakref.finalize(self, Path(path).unlink, missing_ok=True)


@dataclass(frozen=True)
class _Stretch:
    """Bytes of a file."""

    file: _File
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, part: slice) -> "_Stretch":
        return _Stretch(self.file, self.start + part.start, self.start + part.stop)

    def pieces(self) -> Iterator[bytes]:
        with open(self.file.path, "rb", buffering=0) as file:  # noqa: PTH123 - has no buffer so
            file.seek(self.start)
            for at in range(self.start, self.stop, _PIECE_BYTES):
                yield file.read(min(_PIECE_BYTES, self.stop - at))


class Body:
    """The bytes of an object, mostly in files; a slice or a copy of it is in the same ones."""

    def __init__(self, stretches: "Iterable[_Stretch | bytes | Body]") -> None:
        self._stretches = tuple(stretches)

    def __len__(self) -> int:
        return sum(map(len, self._stretches))

    def __getitem__(self, part: slice) -> "Body":
        start, stop, _ = part.indices(len(self))
        found: list[_Stretch | bytes | Body] = []
        for stretch in self._stretches:
            first, last = max(start, 0), min(stop, len(stretch))
            if first < last:
                found.append(stretch[first:last])
            start, stop = start - len(stretch), stop - len(stretch)
        return Body(found)

    def __iter__(self) -> Iterator[int]:
        for piece in self.pieces():
            yield from piece

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces())

    def __deepcopy__(self, memo: object) -> "Body":
        return self

    def pieces(self) -> Iterator[bytes]:
        """The bytes, a part after the other."""
        for stretch in self._stretches:
            if isinstance(stretch, bytes):
                yield stretch
            else:
                yield from stretch.pieces()


class Spool:
    """Takes bytes: a file's as soon as they are many. Raises `BadRequest` for a full disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held = bytearray()
        self._file: _File | None = None
        self._length = 0

    def write(self, data: bytes | bytearray) -> None:
        """Take what comes next."""
        self._held += data
        self._length += len(data)
        if len(self._held) > _IN_MEMORY_BYTES:
            self._flush()

    def _flush(self) -> None:
        try:
            if self._file is None:
                descriptor, path = tempfile.mkstemp(dir=self._folder)
                os.close(descriptor)
                self._file = _File(path)
            with Path(self._file.path).open("ab") as file:
                file.write(self._held)
        except OSError as error:
            problem = f"{self._folder}: {error.strerror}"
            raise BadRequest("InternalError", problem, 500) from None
        self._held.clear()

    def body(self) -> bytes | Body:
        """All that was written."""
        if self._file is None:
            return bytes(self._held)
        self._flush()
        return Body((_Stretch(self._file, 0, self._length),))

    def __len__(self) -> int:
        return self._length


class _SignedChunk(NamedTuple):
    """What a chunk was signed with, and what its data hashes to."""

    signature: str
    sha256: str


class _Chunks:
    """Undoes aws-chunked as it arrives: chunks with their sizes, then trailing headers.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
    """

    def __init__(self, take: Callable[[bytearray], None]) -> None:
        self._take = take
        self._left = bytearray()
        self._of_chunk = 0
        self._in_chunk = False
        self._in_trailer = False
        self._digest = hashlib.sha256()
        self.signed: list[_SignedChunk] = []

    def write(self, data: bytes) -> None:
        self._left += data
        while self._in_chunk or not self._in_trailer:
            if self._in_chunk and not self._within_chunk():
                return
            line, found, rest = self._left.partition(b"\r\n")
            if not found:
                if len(self._left) > _LINE_BYTES:
                    raise _incomplete()
                return
            self._begin(line)
            self._left = rest
        if len(self._left) > _LINE_BYTES:
            raise _incomplete()

    def _within_chunk(self) -> bool:
        part = self._left[: self._of_chunk]
        self._take(part)
        if self.signed:
            self._digest.update(part)
        self._of_chunk -= len(part)
        del self._left[: len(part)]
        if self._of_chunk or len(self._left) < 2:
            return False
        if not self._left.startswith(b"\r\n"):
            raise _incomplete()
        del self._left[:2]
        self._in_chunk = False
        self._finish()
        return True

    def _finish(self) -> None:
        if self.signed:
            self.signed[-1] = self.signed[-1]._replace(sha256=self._digest.hexdigest())

    def _begin(self, line: bytearray) -> None:
        head, _, signature = line.partition(b";chunk-signature=")
        size = head.partition(b";")[0].strip()
        if signature:
            self._digest = hashlib.sha256()
            self.signed.append(_SignedChunk(signature.decode("ascii", "replace").strip(), ""))
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
            raise _incomplete()
        self._of_chunk = int(size, 16)
        self._in_chunk = self._of_chunk > 0
        self._in_trailer = not self._in_chunk
        if self._in_trailer:
            self._finish()

    def end(self) -> dict[str, str]:
        """The headers that came last."""
        last = bytes(self._left)
        if not self._in_trailer or not (last == b"\r\n" or last.endswith(b"\r\n\r\n")):
            raise _incomplete()
        found: dict[str, str] = {}
        for line in last.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if line and not (colon and name.strip()):
                raise _incomplete()
            if line:
                found.setdefault(name.strip().lower(), value.strip())
        return found


def _incomplete() -> BadRequest:
    return BadRequest("IncompleteBody", _INCOMPLETE)


def is_upload(method: str, key: str, query: Query) -> bool:
    """Whether the body of a request of S3's is that of an object, or of a part of one."""
    return method == "PUT" and bool(key) and not _NO_OBJECT & query.keys()


async def arriving(receive: Receive) -> AsyncIterator[bytes]:
    """A body as it arrives."""
    more = True
    while more:
        message: Message = await receive()
        if message["type"] != "http.request":
            raise internals.disconnected()
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def received(receive: Receive, headers: dict[str, str], folder: Path) -> bytes | Body:
    """The body of an upload; the headers that it brought along are added to the others."""
    encodings = [one.strip() for one in headers.get("content-encoding", "").split(",")]
    in_chunks = (
        headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
        or "aws-chunked" in encodings
        or "x-amz-decoded-content-length" in headers
    )
    spool, arrived = Spool(folder), 0
    chunks = _Chunks(spool.write)
    async for data in arriving(receive):
        arrived += len(data)
        (chunks if in_chunks else spool).write(data)
    trailer = chunks.end() if in_chunks else {}
    if headers.get("x-amz-content-sha256", "").startswith("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"):
        internals.pin_body(chunks.signed)
    announced = [one.strip().lower() for one in headers.get("x-amz-trailer", "").split(",")]
    decoded = headers.get("x-amz-decoded-content-length", str(len(spool)))
    if (
        headers.get("content-length", str(arrived)).strip() != str(arrived)
        or decoded.strip() != str(len(spool))
        or (in_chunks and {*announced} - {"", *trailer})
    ):
        raise _incomplete()
    for name, value in trailer.items():
        headers.setdefault(name, value)
    headers.pop("content-encoding", None)
    if kept := ", ".join(one for one in encodings if one and one != "aws-chunked"):
        headers["content-encoding"] = kept
    return spool.body()


def _pieces(body: bytes | Body) -> Iterator[bytes]:
    return body.pieces() if isinstance(body, Body) else iter((body,))


def _digest(algorithm: str, body: bytes | Body) -> bytes:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    for piece in _pieces(body):
        digest.update(piece)
    return digest.digest()


def _md5(data: bytes | Body) -> str:
    return _digest("md5", data).hex()


def _checksum(algorithm: str, body: bytes | Body) -> str | None:
    name = algorithm.upper().replace("_", "")
    if name in {"SHA1", "SHA256"}:
        return base64.b64encode(_digest(name, body)).decode()
    if name == "CRC32":
        found = 0
        for piece in _pieces(body):
            found = zlib.crc32(piece, found)
        return base64.b64encode(found.to_bytes(4, "big")).decode()
    return internals.object_checksum.original(algorithm, body)


def _check_md5(headers: Mapping[str, str], body: bytes | Body) -> Response | None:
    check = internals.check_md5.original
    if isinstance(body, bytes):
        return check(headers, body)
    if headers.get("content-md5", "") in {"", base64.b64encode(_digest("md5", body)).decode()}:
        return None
    # The one or the other is not what the header says, which is wrong.
    return check(headers, b"") or check(headers, b"\0")


def _chunks_match(body: list[_SignedChunk], seed: str, signature: Any, key: bytes) -> bool:  # noqa: ANN401 - MiniStack's HeaderSignature
    # Each is signed with the signature before it:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
    scope = f"{signature.date_stamp}/{signature.region}/{signature.service}/aws4_request"
    first = "AWS4-HMAC-SHA256-PAYLOAD", signature.amz_date, scope
    previous = seed
    for chunk in body:
        text = "\n".join((*first, previous, hashlib.sha256(b"").hexdigest(), chunk.sha256))
        previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(previous.encode(), chunk.signature.encode()):
            return False
    return bool(body)


def _whole(bucket_name: str, key: str, version_id: str | None = None) -> bytes | None:
    found: bytes | Body | None = internals.object_data.original(bucket_name, key, version_id)
    return bytes(found) if found is not None else None


def _named(body: bytes, upload: Record) -> list[tuple[int, Record]]:
    """The parts that a request to complete an upload names, with their numbers."""
    try:
        listed = [
            {one.tag.rpartition("}")[2]: (one.text or "").strip() for one in part}
            for part in internals.parse_xml(body).iter()
            if part.tag.rpartition("}")[2] == "Part"
        ]
        numbers = [int(fields["PartNumber"]) for fields in listed]
    except Exception:  # noqa: BLE001 - a parser's own, or that of what it forbids
        listed, numbers = [], []
    if not listed:
        malformed = "The XML you provided was not well-formed or did not validate."
        raise BadRequest("MalformedXML", malformed)
    if numbers != sorted({*numbers}):
        raise BadRequest("InvalidPartOrder", "The list of parts was not in ascending order.")
    for number, fields in zip(numbers, listed, strict=True):
        part = upload["parts"].get(number, {})
        checksums = {f"Checksum{name}": one for name, one in part.get("checksums", {}).items()}
        said = {name: value for name, value in fields.items() if name.startswith("Checksum")}
        etag = fields.get("ETag", part.get("etag", "")).strip('"')
        if not part or etag != part["etag"].strip('"') or said.items() - checksums.items():
            missing = "One or more of the specified parts could not be found."
            raise BadRequest("InvalidPart", f"{missing} The part number is {number}.")
    return [(number, upload["parts"][number]) for number in numbers]


def _complete(
    bucket_name: str,
    key: str,
    body: bytes,
    query_params: Query,
    headers: dict[str, str] | None = None,
) -> Response:
    """As MiniStack does it, but that the parts are not put together in memory.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    try:
        return _completed(bucket_name, key, body, query_params, headers or {})
    except BadRequest as error:
        return internals.s3_error(error.code, error.message, error.status)


def _completed(
    bucket_name: str, key: str, body: bytes, query_params: Query, given: dict[str, str]
) -> Response:
    upload_id = query_params["uploadId"][0]
    upload = internals.multipart_uploads().get(upload_id)
    bucket = internals.buckets().get(bucket_name)
    if bucket is None or upload is None or (upload["bucket"], upload["key"]) != (bucket_name, key):
        # That of an upload which is complete already, or of one that is not there.
        return internals.complete_upload.original(bucket_name, key, body, query_params, given)
    prior: Record | None = bucket["objects"].get(key)
    refused = internals.check_part_key(given, upload) or internals.check_write(given, prior)
    if refused is not None:
        return refused
    named = _named(body, upload)
    parts = [part for _, part in named]
    size = sum(part["size"] for part in parts)
    algorithm: str | None = upload.get("checksum_algorithm")
    checksum = internals.joined_checksum(
        algorithm, [(part.get("checksums") or {}).get(algorithm) for part in parts]
    )
    if given.get("x-amz-mp-object-size", str(size)) != str(size):
        raise BadRequest("InvalidRequest", f"The parts have {size} bytes together.")
    if algorithm and given.get(f"x-amz-checksum-{algorithm.lower()}", checksum) != checksum:
        raise BadRequest("BadDigest", f"The {algorithm} did not match the calculated checksum.")
    etags = b"".join(bytes.fromhex(part["etag"].strip('"')) for part in parts)
    etag = f'"{_md5(etags)}-{len(parts)}"'
    whole = Body(part["body"] for part in parts)
    record: Record = {
        "body": whole,
        "content_type": upload["content_type"],
        "content_encoding": upload.get("content_encoding"),
        "etag": etag,
        "last_modified": internals.timestamp(),
        "size": size,
        "metadata": upload["metadata"],
        "preserved_headers": upload.get("preserved_headers", {}),
        "storage_class": upload.get("storage_class") or "STANDARD",
        "parts": [{"PartNumber": number, "Size": part["size"]} for number, part in named],
        "checksums": {algorithm: checksum} if checksum else {},
        "checksum_type": "COMPOSITE" if checksum else None,
    }
    bucket["objects"][key] = record
    internals.multipart_uploads().pop(upload_id)
    internals.replicate(bucket_name, key, record, whole)
    version = internals.record_version(bucket_name, key, prior, record, whole)
    internals.send_event(
        *(bucket_name, key, "s3:ObjectCreated:CompleteMultipartUpload", size, etag),
        version_id=version,
    )
    told = {
        "Location": f"http://{given.get('host', '')}/{bucket_name}/{key}",
        "Bucket": bucket_name,
        "Key": key,
        "ETag": etag,
        **({f"Checksum{algorithm}": checksum, "ChecksumType": "COMPOSITE"} if checksum else {}),
    }
    inside = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in told.items())
    result = "CompleteMultipartUploadResult"
    answer = f'<{result} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</{result}>'
    found: dict[str, str] = {
        "Content-Type": "application/xml",
        **internals.encryption_headers(record),
        **({"x-amz-version-id": version} if version else {}),
    }
    response = 200, found, f'<?xml version="1.0" encoding="UTF-8"?>\n{answer}'.encode()
    internals.completed_uploads()[upload_id] = {"key": key, "response": response}
    return response


def install() -> None:
    """Put the above in place of MiniStack's, until `pinned.restore`."""
    internals.md5.replace(_md5)
    internals.object_checksum.replace(_checksum)
    internals.check_md5.replace(_check_md5)
    internals.object_data.replace(_whole)
    internals.chunk_signatures.replace(_chunks_match)
    internals.complete_upload.replace(_complete)
