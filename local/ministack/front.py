"""What the gate let through, to MiniStack: each request read in one way, from who may ask.

What MiniStack answers beside AWS's services, and where it looks for what a request means, is
replaced: `requests` says it.
"""

import functools
import io
import logging
import re
import uuid
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import unquote, unquote_to_bytes

from local.gate import App, Message, Receive, Send
from local.ministack import forms, internals, objects
from local.ministack.models import SERVICES
from local.ministack.requests import (
    BadRequest,
    NotAvailable,
    Query,
    Reading,
    Sender,
    decompressed,
    most_bytes,
    query_of,
    read,
    sender_of,
    too_long,
)

_PIECE_BYTES = 1 << 20
_log = logging.getLogger(__name__)
UNDETERMINED = "Undetermined"
"""The action of a request that MiniStack cannot tell the action of: nobody but the account may."""

_Answer = tuple[int, dict[str, str], bytes]


class Identify(Protocol):
    """What is wrong with a key and its token: AWS's code and message, or None."""

    def __call__(self, key: str, token: str) -> tuple[str, str] | None:
        """Look the key up."""
        ...


@dataclass
class _Request:
    """A request as it arrived, and how it was read."""

    sender: Sender
    method: str
    raw_path: bytes
    raw_headers: list[tuple[bytes, bytes]]
    headers: dict[str, str]
    query: Query
    path: str
    bucket: str
    key: str
    reading: Reading | None = None
    answer: objects.Body | None = None

    @property
    def uploads(self) -> bool:
        """Whether its body is an object's."""
        of_s3 = self.sender.service == "s3"
        return of_s3 and objects.is_upload(self.method, self.key, self.query)

    @property
    def posts(self) -> bool:
        """Whether its body is a form with an object, and the credentials to put that."""
        return (
            self.method == "POST"
            and bool(self.bucket)
            and not self.key
            and not self.query
            and self.headers.get("content-type", "").lower().startswith("multipart/form-data")
        )


_current: ContextVar[_Request] = ContextVar("request")


class Front:
    """MiniStack's application behind one reading of each request.

    Args:
        app: MiniStack's application.
        port: where it listens.
        names: the names that buckets can be subdomains of.
        identify: who a key is.
        control: answers this program's own paths, which begin with `control_prefix`.
    """

    def __init__(
        self,
        app: App,
        port: int,
        names: tuple[str, ...],
        identify: Identify,
        control: App,
        control_prefix: str,
    ) -> None:
        self._app = app
        self._port = port
        self._names = names
        self._identify = identify
        self._control = control
        self._control_prefix = control_prefix

    def shares(self, scope: Message, origin: str) -> bool:
        """Whether a page of another origin may send this: objects of a bucket, as its CORS says.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html
        """
        try:
            request = self._arrived(scope)
        except BadRequest:
            return False
        preflight = request.method == "OPTIONS"
        asked = "access-control-request-method"
        method = request.headers.get(asked, "") if preflight else request.method
        if (
            scope["path"].startswith(self._control_prefix)
            or request.sender.service != "s3"
            or not request.bucket
            or not (request.key or request.posts or method in {"GET", "HEAD"})
            # From another bucket, which its own configuration would have to allow.
            or "x-amz-copy-source" in {*request.headers, *map(str.lower, request.query)}
        ):
            return False
        headers = {**request.headers, "origin": origin}
        if preflight:
            return internals.cors_preflight(request.bucket, request.key, headers)[0] == 200
        return bool(internals.cors_headers(request.bucket, method, headers))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request; what MiniStack fails at is answered as AWS does its own failures."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            # No service that is here speaks it.
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["path"].startswith(self._control_prefix):
            await self._control(scope, receive, send)
            return
        began: list[bool] = []

        async def send_on(message: Message) -> None:
            began.append(True)
            await send(message)

        service, headers = "s3", dict[str, str]()
        try:
            request = self._arrived(scope)
            service, headers = request.sender.service, request.headers
            answer = self._before(request)
            if answer is None:
                await self._pass_on(scope, request, receive, send_on)
        except BadRequest as error:
            answer = _failure(service, headers, error)
        except forms.Refused as refused:
            answer = _before_its_end(refused.response)
        except Exception:  # noqa: BLE001 - whatever it is, its sender gets an answer
            _log.exception("%s %s", scope["method"], scope["path"])
            problem = BadRequest("InternalFailure", "The request failed in this cloud.", 500)
            answer = _failure(service, headers, problem)
        if answer is not None and not began:
            await _send(send, *answer)

    def _arrived(self, scope: Message) -> _Request:
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), _text(raw_value)
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        raw_path: bytes = scope["raw_path"]
        try:
            path = unquote_to_bytes(raw_path).decode()
        except ValueError:
            raise BadRequest("InvalidURI", "Couldn't parse the specified URI.") from None
        query = query_of(scope["query_string"])
        sender = sender_of(headers, query)
        bucket, key = "", ""
        if sender.service == "s3":
            bucket = self._bucket_of_host(headers["host"])
            # Any service but S3 has one path for what it does.
            path = f"/{bucket}{path}" if bucket else path
            bucket, _, key = path.lstrip("/").partition("/")
        return _Request(
            sender,
            scope["method"],
            raw_path,
            scope["headers"],
            headers,
            query,
            path,
            bucket,
            key,
        )

    def _bucket_of_host(self, host: str) -> str:
        """The bucket that a host's name begins with: `BUCKET.localhost`, `BUCKET.s3.localhost`."""
        name = host.lower().rpartition(":")[0] or host.lower()
        base = max((one for one in self._names if name.endswith(f".{one}")), key=len, default="")
        labels = name.removesuffix(f".{base}").split(".") if base else []
        if "s3" in labels:
            labels = labels[: labels.index("s3")]
        return ".".join(labels)

    def _before(self, request: _Request) -> _Answer | None:
        """The answer to a request whose body is not read; None for the others."""
        sender = request.sender
        if request.method == "OPTIONS":
            return internals.cors_preflight(request.bucket, request.key, request.headers)
        if sender.service not in SERVICES:
            raise NotAvailable(sender.service)
        if sender.key:
            problem = self._identify(sender.key, sender.token)
            if problem is not None:
                raise BadRequest(*problem, 403)
        elif not request.posts:
            raise BadRequest("AccessDenied", "Access Denied", 403)
        length = request.headers.get("content-length", "0")
        if sender.service != "s3" and int(length) > most_bytes(sender.service):
            raise too_long(sender.service)
        return None

    async def _pass_on(
        self, scope: Message, request: _Request, receive: Receive, send: Send
    ) -> None:
        given: list[bool] = []

        async def receive_whole() -> Message:
            if given:
                return await receive()
            given.append(True)
            await _go_on(scope)
            if request.uploads or request.posts:
                return await receive()
            return await _whole(receive, request.sender.service)

        async def send_in_pieces(message: Message) -> None:
            if "headers" in message:
                # A request says some of them, as `response-content-type`.
                own = [(name, value.strip(b" \t")) for name, value in message["headers"]]
                if any(re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value) for _, value in own):
                    raise BadRequest("InvalidArgument", "Header value cannot be represented.")
                message = {**message, "headers": own}
            for piece in _pieces(message, request.answer):
                await send(piece)

        _current.set(request)
        passed = dict(scope)
        if request.sender.service == "s3":
            host = f"127.0.0.1:{self._port}".encode()
            passed["path"] = request.path
            passed["headers"] = [
                (name, host if name.lower() == b"host" else value)
                for name, value in scope["headers"]
            ]
        try:
            await self._app(passed, receive_whole, send_in_pieces)
        finally:
            # What waits for the connection's next request knows this one as long as it does.
            request.reading = request.answer = None


async def _go_on(scope: Message) -> None:
    go_on = scope.get("state", {}).get("go_on")
    if go_on is not None:
        await go_on()


async def _whole(receive: Receive, service: str) -> Message:
    """The body as one message, which MiniStack does not have to put together, and so keeps once."""
    body = io.BytesIO()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return message
        body.write(message.get("body", b""))
        if service != "s3" and body.tell() > most_bytes(service):
            raise too_long(service)
        if not message.get("more_body"):
            return {"type": "http.request", "body": body.getvalue(), "more_body": False}


def _pieces(message: Message, answer: objects.Body | None) -> Iterator[Message]:
    """A long body in pieces, each of which is written before the next is copied."""
    if answer is not None and message["type"] == "http.response.body":
        for piece in answer.pieces():
            yield {**message, "body": piece, "more_body": True}
    body: bytes = message.get("body", b"")
    if len(body) <= _PIECE_BYTES:
        yield message
        return
    whole = memoryview(body)
    for start in range(0, len(body), _PIECE_BYTES):
        piece = bytes(whole[start : start + _PIECE_BYTES])
        more = start + _PIECE_BYTES < len(body) or message.get("more_body", False)
        yield {**message, "body": piece, "more_body": more}


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _failure(service: str, headers: dict[str, str], error: BadRequest) -> _Answer:
    """An error in the service's own protocol."""
    status, found, body = internals.access_denied(
        service,
        "",
        "",
        str(uuid.uuid4()),
        error_code=error.code,
        message=error.message,
        headers=headers,
    )
    if error.code not in internals.authentication_failures():
        status = error.status
    return _before_its_end((status, found, body))


def _before_its_end(answer: _Answer) -> _Answer:
    """The answer to a request of which the rest is not read."""
    status, found, body = answer
    return status, {**found, "Connection": "close"}, body


async def _send(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    whole = {"Content-Length": len(body), **headers}
    pairs = [(name.lower().encode(), str(value).encode()) for name, value in whole.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def _dispatch(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Query,
    request_id: str,
) -> Any:  # noqa: ANN401 - a status, headers and a body
    request = _current.get()
    service = request.sender.service
    plain = decompressed(service, headers, body)
    reading = read(service, method, path, headers, plain, query_params)
    if reading.operation == "DeleteObjects":
        _one_key_an_object(reading.body)
    request.reading = reading
    status, found, answer = await internals.dispatch_request.original(
        reading.method,
        reading.path,
        reading.headers,
        reading.body,
        reading.query,
        request_id,
    )
    if isinstance(answer, objects.Body):
        request.answer, answer = answer, b""
    return status, found, answer


async def _body(
    folder: Path, receive: Receive, method: str, headers: dict[str, str]
) -> bytes | objects.Body:
    request = _current.get()
    if request.uploads:
        return await objects.received(receive, headers, folder)
    if request.posts:
        return await forms.received(receive, headers, request.bucket, folder)
    return await internals.read_body.original(receive, method, headers)


def _one_key_an_object(body: bytes) -> None:
    # Of two keys one would be authorised and the other deleted.
    malformed = "The XML you provided was not well-formed or did not validate."
    try:
        root = internals.parse_xml(body)
    except Exception:  # noqa: BLE001 - a parser's own, or that of what it forbids
        raise BadRequest("MalformedXML", malformed) from None
    for one in root.iter():
        tags = [child.tag.rpartition("}")[2] for child in one]
        if tags.count("Key") > 1 or tags.count("VersionId") > 1:
            raise BadRequest("MalformedXML", malformed)


def _begins_with_version(body: bytes) -> bool:
    """Whether the first object that is to be deleted is a version of one."""
    for one in internals.parse_xml(body).iter():
        fields = {child.tag.rpartition("}")[2]: child.text for child in one}
        if one.tag.rpartition("}")[2] == "Object" and fields.get("Key"):
            return bool(fields.get("VersionId"))
    return False


def _service(
    method: str, path: str, headers: Mapping[str, str], query_params: Query
) -> str:  # the parameters are MiniStack's
    del method, path, headers, query_params
    return _current.get().sender.service


async def _nothing(*_arguments: object, **_named: object) -> None:
    """MiniStack's own paths, and those of services that are not here, are not served."""


def _action(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, query_params: Query
) -> str:
    request = _current.get()
    namespaces = internals.iam_prefixes()
    reading = request.reading
    if reading is not None and reading.operation and service not in {"lambda", "s3", "scheduler"}:
        return f"{namespaces[service]}:{reading.operation}"
    if service == "s3":
        path = f"/{request.bucket}/{'key' if request.key else ''}"
    found = internals.action_of_request.original(service, method, path, headers, body, query_params)
    if reading is not None and reading.operation == "DeleteObjects" and _begins_with_version(body):
        # MiniStack does so for all but the first:
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
        found = "s3:DeleteObjectVersion"
    named = reading.operation if reading is not None and service != "s3" else None
    return cast("str | None", found) or f"{namespaces[service]}:{named or UNDETERMINED}"


def _presigned(method: str, path: str, headers: dict[str, str], query_params: Query) -> Any:  # noqa: ANN401 - None, or a status, headers and a body
    # The path and host that were signed, where the bucket is a part of the host.
    request = _current.get(None)
    if request is not None:
        path, headers = unquote(request.raw_path.decode()), request.headers
        query_params = request.query
    return internals.verify_presigned.original(method, path, headers, query_params)


def install(folder: Path) -> None:
    """Put the reading above in place of MiniStack's, until `pinned.restore`.

    Args:
        folder: where objects are kept.
    """
    internals.detect_service.replace(_service)
    internals.before_body.replace(_nothing)
    internals.after_body.replace(_nothing)
    internals.data_plane.replace(_nothing)
    internals.read_body.replace(functools.partial(_body, folder))
    objects.install()
    forms.install()
    internals.dispatch_request.replace(_dispatch)
    internals.action_of_request.replace(_action)
    internals.verify_presigned.replace(_presigned)


def as_signed() -> tuple[str, list[tuple[bytes, bytes]]]:
    """The path and headers of the request as they arrived, which is what its signature covers."""
    request = _current.get()
    return request.raw_path.decode("latin-1"), request.raw_headers
