"""A signed request, to who sent it and which operation it asks for, told in one way only.

MiniStack guesses the service of a request, and its services read the operation and the parameters
from wherever they find them. What can be read in two ways would be authorised as the one and done
as the other, so it is refused here.
"""

import gzip
import io
import json
import re
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from local.ministack.models import SERVICES, model

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

Query = dict[str, list[str]]

_MEGABYTE = 1 << 20
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 50 MB, written in base64.
_BODY_BYTES = {"lambda": 70 * _MEGABYTE}
_OTHER_BODY_BYTES = 16 * _MEGABYTE
_FIELDS = 10_000
_LEVELS = 100
_SCOPE = re.compile(r"([!-.0-~]{1,128})/(\d{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/aws4_request")
_PRESIGNED = {"x-amz-credential", "x-amz-signature", "x-amz-algorithm"}
_SIGNED_V2 = {"awsaccesskeyid", "signature"}
_SIGNING = _PRESIGNED | _SIGNED_V2 | {"x-amz-date", "x-amz-expires", "x-amz-signedheaders"}


class BadRequest(Exception):  # noqa: N818 - says what happened
    """What AWS refuses before it looks at who asks: its status, code and message."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class NotAvailable(BadRequest):
    """The request is for a service that is not here."""

    def __init__(self, service: str) -> None:
        there = ", ".join(sorted(SERVICES))
        super().__init__(
            "NotImplemented", f"{service} is not available in this cloud. It has {there}.", 501
        )


@dataclass(frozen=True)
class Sender:
    """Whose signature a request has, and for which service; `key` is empty where it has none."""

    service: str
    key: str = ""
    token: str = ""


@dataclass(frozen=True)
class Reading:
    """A request as it is passed on: what it says in any other way is left out.

    `operation` is None where the method and path say it, as S3's do.
    """

    service: str
    operation: str | None
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: Query = field(default_factory=Query)


def query_of(raw: bytes) -> Query:
    """The parameters of a query string; raises `BadRequest` for what is not UTF-8."""
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS
        )
    except ValueError:
        raise BadRequest("InvalidURI", "Couldn't parse the specified URI.") from None
    found: Query = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def sender_of(headers: Mapping[str, str], query: Query) -> Sender:
    """Who signed a request, whatever the signature is worth.

    Only S3 takes credentials in the query string, where a form or an image of any page could put
    them. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
    """
    names = Counter(name.lower() for name, values in query.items() for _ in values)
    if any(names[name] > 1 for name in (*_PRESIGNED, *_SIGNED_V2, "x-amz-security-token")):
        raise BadRequest("InvalidArgument", "A parameter of the signature is there twice.")
    authorization = headers.get("authorization", "")
    in_query = names.keys() & (_PRESIGNED | _SIGNED_V2)
    lower = {name.lower(): values[0] for name, values in query.items()}
    if not "".join([authorization, *(lower.get(name, "") for name in _SIGNING)]).isascii():
        raise BadRequest("SignatureDoesNotMatch", "A signature is of ASCII characters.", 403)
    if authorization and in_query:
        raise BadRequest("InvalidArgument", "Only one auth mechanism allowed.")
    if authorization.startswith("AWS4-HMAC-SHA256"):
        fields = [part.strip() for part in authorization[16:].split(",")]
        named = [part[11:] for part in fields if part.startswith("Credential=")]
        key, service = _scope(named)
        return Sender(service, key, headers.get("x-amz-security-token", ""))
    if authorization.startswith("AWS "):
        key, _, _ = authorization[4:].strip().partition(":")
        return Sender("s3", key, headers.get("x-amz-security-token", ""))
    if authorization:
        raise BadRequest("InvalidArgument", "Unsupported Authorization Type.")
    if not in_query:
        return Sender("s3")
    token = lower.get("x-amz-security-token", "")
    if "x-amz-credential" in lower:
        key, service = _scope([lower["x-amz-credential"]])
        if service != "s3":
            raise BadRequest(
                "MissingAuthenticationToken",
                "Sign the request in its Authorization header: "
                "a signature in the query string is for S3 alone here.",
                403,
            )
        return Sender("s3", key, token)
    if not _SIGNED_V2 | {"expires"} <= lower.keys():
        raise BadRequest(
            "AccessDenied",
            "Query-string authentication requires the "
            "Signature, Expires and AWSAccessKeyId parameters",
            403,
        )
    if not re.fullmatch("[0-9]{1,15}", lower["expires"]):
        raise BadRequest("AccessDenied", "Invalid date (should be seconds since epoch)", 403)
    if int(lower["expires"]) < time.time():
        raise BadRequest("AccessDenied", "Request has expired", 403)
    return Sender("s3", lower["awsaccesskeyid"], token)


def _scope(named: list[str]) -> tuple[str, str]:
    found = _SCOPE.fullmatch(named[0]) if len(named) == 1 else None
    if found is None:
        raise BadRequest(
            "IncompleteSignature",
            "Credential must be KEY/DATE/REGION/SERVICE/aws4_request, once.",
            403,
        )
    return found[1], found[4]


def most_bytes(service: str) -> int:
    """How long a request's body may be, as it arrives and decompressed; S3's are not bounded."""
    return _BODY_BYTES.get(service, _OTHER_BODY_BYTES)


def too_long(service: str) -> BadRequest:
    """The answer to a longer body."""
    size = most_bytes(service) // _MEGABYTE
    return BadRequest("RequestEntityTooLarge", f"The request is longer than {size} MB.", 413)


def decompressed(service: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A body as its sender meant it; raises `BadRequest` if it is broken or too long.

    https://smithy.io/2.0/spec/behavior-traits.html#requestcompression-trait
    """
    encodings = [one.strip().lower() for one in headers.get("content-encoding", "").split(",")]
    if service == "s3" or encodings in ([""], ["identity"]):
        return body
    if encodings != ["gzip"]:
        raise BadRequest("SerializationException", "The Content-Encoding is not supported.", 415)
    most = most_bytes(service)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            found = file.read(most + 1)
    except (OSError, EOFError, zlib.error):
        raise BadRequest("SerializationException", "The body is no gzip stream.") from None
    if len(found) > most:
        raise too_long(service)
    return found


def read(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: Query
) -> Reading:
    """The operation a request asks for, and nothing else; raises `BadRequest`."""
    if service == "s3":
        return _s3(Reading(service, None, method, path, headers, body, query))
    plain = {name: value for name, value in headers.items() if name != "content-encoding"}
    given = Reading(service, None, method, path, plain, body, query)
    protocols = model(service).metadata.get("protocols") or [model(service).metadata["protocol"]]
    if "rest-json" in protocols:
        return _rest(given)
    if "x-amz-target" in headers and "json" in protocols:
        return _json(given)
    if {"query", "ec2"} & {*protocols} or service == "sqs":
        return _query(given)
    raise BadRequest("UnknownOperationException", "The request names no operation.")


# The sub-resources that MiniStack tells from the object or bucket itself.
_OF_AN_OBJECT = frozenset(
    {
        *("acl", "annotation", "annotationName", "attributes", "legal-hold", "partNumber"),
        *("restore", "retention", "tagging", "uploadId", "uploads"),
    }
)
_OF_A_BUCKET = frozenset(
    {
        *("accelerate", "acl", "cors", "delete", "encryption", "lifecycle", "list-type"),
        *("location", "logging", "notification", "object-lock", "ownershipControls", "policy"),
        *("publicAccessBlock", "replication", "tagging", "uploads", "versioning", "versions"),
        "website",
    }
)


def _s3(given: Reading) -> Reading:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
    bucket, _, key = given.path.lstrip("/").partition("/")
    if any(len(values) > 1 for values in given.query.values()):
        raise BadRequest("InvalidArgument", "A query parameter is there twice.")
    level = "Key" if key else "Bucket" if bucket else ""
    there = [
        (set(one.http["requestUri"].partition("?")[2].split("&")) - {""}, one)
        for one in _routes("s3", given.method)
        if _level(one) == level
    ]
    told = [({*map(_before_equals, fixed), *_required(one)}, fixed, one) for fixed, one in there]
    asked = {name for names, _, _ in told for name in names} & given.query.keys()
    headers = {name: value for name, value in given.headers.items() if name != "x-amz-target"}
    path = f"/{bucket}/{key}" if key else f"/{bucket}"
    signing = _SIGNED_V2 | {"expires"}
    kept = {
        name: values
        for name, values in given.query.items()
        if name.lower().startswith("x-amz-") or name.lower() in signing
    }
    bare = replace(given, path=path, headers=headers, query=kept)
    if not asked and given.method == "POST" and bucket and not key:
        return bare
    found = [(fixed, one) for names, fixed, one in told if names <= asked]
    found = [(fixed, one) for fixed, one in found if asked <= _members(fixed, one)]
    if not told or (not found and not asked):
        raise BadRequest(
            "MethodNotAllowed", "The specified method is not allowed against this resource.", 405
        )
    if not found:
        names = ", ".join(sorted(asked))
        raise BadRequest("InvalidArgument", f"Conflicting query string parameters: {names}")
    fixed, operation = max(found, key=lambda one: len(_required(one[1])) + len(one[0]))
    if not {*map(_before_equals, fixed), *_required(operation)} <= (
        _OF_AN_OBJECT if key else _OF_A_BUCKET
    ):
        raise BadRequest("NotImplemented", f"{operation.name} is not available in this cloud.", 501)
    members = _members(fixed, operation)
    query = {name: values for name, values in given.query.items() if name in members}
    _check_s3(operation, query, given.body)
    return replace(bare, operation=operation.name, query={**query, **kept})


def _check_s3(operation: "OperationModel", query: Query, body: bytes) -> None:
    members: Mapping[str, Shape] = getattr(operation.input_shape, "members", {})
    for name, member in members.items():
        (value,) = query.get(member.serialization.get("name", name), ["0"])
        if member.type_name == "integer" and not re.fullmatch(r"-?[0-9]{0,9}", value, re.ASCII):
            argument = member.serialization.get("name", name)
            raise BadRequest(
                "InvalidArgument", f"Provided {argument} not an integer or within integer range"
            )
    if operation.name == "PutBucketPolicy":
        try:
            body.decode()
        except UnicodeDecodeError:
            raise BadRequest("MalformedPolicy", "Policies must be valid JSON.") from None


def _level(operation: "OperationModel") -> str:
    """Whether an operation is on an object, on a bucket or neither."""
    members: Mapping[str, Shape] = getattr(operation.input_shape, "members", {})
    # A client takes the bucket out of the URI, as it may be in the host.
    path = operation.http["requestUri"].partition("?")[0].removeprefix("/{Bucket}")
    return (
        "Key"
        if path == "/{Key+}"
        else "Bucket"
        if path in {"", "/"} and "Bucket" in members
        else path.strip("/")
    )


def _before_equals(text: str) -> str:
    return text.partition("=")[0]


def _required(operation: "OperationModel") -> set[str]:
    shape = operation.input_shape
    members: Mapping[str, Shape] = getattr(shape, "members", {})
    return {
        cast("str", members[name].serialization["name"])
        for name in getattr(shape, "required_members", [])
        if members[name].serialization.get("location") == "querystring"
    }


def _members(fixed: set[str], operation: "OperationModel") -> set[str]:
    return {*map(_before_equals, fixed), *_in_query(operation)}


def _bare(given: Reading, content_type: str) -> dict[str, str]:
    left_out = {"x-amz-target", "smithy-protocol", "content-type"}
    kept = {name: value for name, value in given.headers.items() if name not in left_out}
    return {**kept, "content-type": content_type}


def _operation(service: str, name: str) -> "OperationModel | None":
    described = model(service)
    return described.operation_model(name) if name in described.operation_names else None


def _json(given: Reading) -> Reading:
    # https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
    target = given.headers["x-amz-target"]
    prefix, _, name = target.rpartition(".")
    metadata = model(given.service).metadata
    operation = _operation(given.service, name)
    if operation is None or prefix != metadata.get("targetPrefix"):
        raise BadRequest("UnknownOperationException", f"There is no operation {target}.")
    if given.method != "POST" or given.path != "/" or given.query:
        raise BadRequest("UnknownOperationException", f"{name} is a POST to /.")
    body = _members_of(operation, given.body)
    headers = _bare(given, f"application/x-amz-json-{metadata.get('jsonVersion', '1.0')}")
    return replace(given, operation=name, headers={**headers, "x-amz-target": target}, body=body)


def _query(given: Reading) -> Reading:
    # https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
    if given.method == "GET" and not given.body:
        parameters = given.query
    elif given.method == "POST" and not given.query:
        parameters = _form(given.body)
    else:
        raise BadRequest(
            "MalformedQueryString", "Parameters are in the query of a GET or the body of a POST."
        )
    if any(len(values) > 1 for values in parameters.values()):
        raise BadRequest("MalformedQueryString", "A parameter is there twice.")
    queue = urlsplit(parameters.get("QueueUrl", [""])[0]).path if given.service == "sqs" else "/"
    if given.path not in {"/", queue}:
        raise BadRequest("InvalidAddress", "The address is not valid for this endpoint.", 404)
    name = parameters.get("Action", [""])[0]
    operation = _operation(given.service, name)
    if operation is None:
        raise BadRequest("InvalidAction", f"The action {name} is not valid for this web service.")
    kept: dict[str, str] = {}
    for key, (value,) in parameters.items():
        parts, shape = key.split("."), operation.input_shape
        _check_text(_member(shape, parts, given.service), key, value)
        # SQS's names of lists and maps are not described any more, and name no queue.
        if (
            key in {"Action", "Version"}
            or _member(shape, parts[:1], given.service) is not None
            or (given.service == "sqs" and len(parts) > 1)
        ):
            kept[key] = value
    _names_one_thing(given.service, kept)
    form = _bare(given, "application/x-www-form-urlencoded; charset=utf-8")
    if given.method == "GET":
        query = {key: [value] for key, value in kept.items()}
        return replace(given, operation=name, headers=form, query=query)
    return replace(given, operation=name, headers=form, body=urlencode(kept).encode())


def _form(body: bytes) -> Query:
    try:
        return query_of(body)
    except BadRequest:
        raise BadRequest("MalformedQueryString", "The body is no form.") from None


def _rest(given: Reading) -> Reading:
    # https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html
    found = [
        operation
        for operation in _routes(given.service, given.method)
        if _route(operation).fullmatch(given.path)
    ]
    if not found or not re.fullmatch(r"[\w.:$@/-]+", given.path, re.ASCII):
        raise BadRequest("UnknownOperationException", "There is nothing at this path.", 404)
    # `/tags/{ResourceArn}` and the like are the more general of two.
    operation = min(found, key=lambda one: one.http["requestUri"].count("{"))
    allowed = _in_query(operation)
    if any(len(values) > 1 and not allowed.get(name, True) for name, values in given.query.items()):
        raise BadRequest("SerializationException", "A parameter is there twice.")
    query = {name: values for name, values in given.query.items() if name in allowed}
    shape = operation.input_shape
    payload = shape.serialization.get("payload") if shape else None
    body = given.body
    if payload is None:
        body = _members_of(operation, body)
    elif body:
        _document(body, "InvalidRequestContentException")
    headers = _bare(given, "application/json")
    return replace(given, operation=operation.name, headers=headers, query=query, body=body)


def _routes(service: str, method: str) -> "list[OperationModel]":
    described = model(service)
    operations = [described.operation_model(name) for name in described.operation_names]
    return [one for one in operations if one.http["method"] == method]


def _route(operation: "OperationModel") -> "re.Pattern[str]":
    path = operation.http["requestUri"].partition("?")[0].rstrip("/") or "/"
    parts = re.split(r"(\{[^}]+\})", path)
    pattern = "".join(
        # An ARN may have slashes, whose encoding is undone by now.
        (".+" if part in {"{ResourceArn}", "{Resource}"} else "[^/]+")
        if part[:1] == "{"
        else re.escape(part)
        for part in parts
    )
    return re.compile(f"{pattern}/?")


def _in_query(operation: "OperationModel") -> dict[str, bool]:
    """The parameters that an operation has in its query, and whether one may be there twice."""
    members: Mapping[str, Shape] = getattr(operation.input_shape, "members", {})
    found = {
        member.serialization.get("name", name): member.type_name == "list"
        for name, member in members.items()
        if member.serialization.get("location") == "querystring"
    }
    fixed = operation.http["requestUri"].partition("?")[2]
    return found | {name: False for name, _ in parse_qsl(fixed, keep_blank_values=True)}


def _document(body: bytes, code: str = "SerializationException") -> object:
    try:
        return json.loads(body) if body else {}
    except (ValueError, RecursionError):
        raise BadRequest(code, "Could not parse request body into json.") from None


# Of each, a request names one thing: of two, one would be authorised and the other done.
_ALTERNATIVES = {
    "logs": {"logGroupName", "logGroupNames", "logGroupIdentifier", "logGroupIdentifiers"},
    "sns": {"TopicArn", "TargetArn", "PhoneNumber"},
    "states": {"stateMachineArn", "mapRunArn"},
}
_CONFLICTS = {"logs": "InvalidParameterException", "sns": "InvalidParameter"}
# What the next page begins with is a number here.
_TOKENS = {"ecs": "nextToken", "sqs": "NextToken"}


def _names_one_thing(service: str, given: Mapping[str, object]) -> None:
    found = sorted(given.keys() & _ALTERNATIVES.get(service, set()))
    if len(found) > 1:
        code = _CONFLICTS.get(service, "ValidationException")
        raise BadRequest(code, f"Only one of {' and '.join(found)} may be given.")
    token = str(given.get(_TOKENS.get(service, ""), "0"))
    if not re.fullmatch("[0-9]{0,9}", token):
        raise BadRequest("InvalidParameterException", "Invalid token.")
    # What is behind the path is read for a queue's name by the one, and not by the other.
    if service == "sqs" and not re.fullmatch(r"[^?#;]*", str(given.get("QueueUrl", ""))):
        raise BadRequest("InvalidAddress", "The address is not valid for this endpoint.", 404)


def _members_of(operation: "OperationModel", body: bytes) -> bytes:
    """A JSON body without what the operation has no member for, which AWS ignores."""
    document = _document(body)
    shape = operation.input_shape
    _check(shape, document)
    if not isinstance(document, dict):
        return b"{}"
    given = cast("dict[str, object]", document)
    members: Mapping[str, Shape] = getattr(shape, "members", {})
    names = {
        member.serialization.get("name", name)
        for name, member in members.items()
        if not member.serialization.get("location")
    }
    kept = {name: value for name, value in given.items() if name in names and value is not None}
    _names_one_thing(operation.service_model.signing_name, kept)
    return body if kept == given else json.dumps(kept).encode()


_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "String"),
    "character": ((str,), "String"),
    "blob": ((str,), "ByteBuffer"),
    "boolean": ((bool,), "Boolean"),
    "integer": ((int, float), "Integer"),
    "long": ((int, float), "Long"),
    "float": ((int, float, str), "Float"),
    "double": ((int, float, str), "Double"),
    "timestamp": ((int, float, str), "Timestamp"),
}


def _check(shape: "Shape | None", value: object, depth: int = 0) -> None:
    """Refuse a JSON value whose type is not the shape's, as AWS words it."""
    if shape is None or value is None or getattr(shape, "is_document_type", False):
        return
    if depth > _LEVELS:
        raise BadRequest("SerializationException", "The document is too deep.")
    kind = shape.type_name
    if kind not in {"structure", "map", "list"}:
        _check_scalar(kind, value)
        return
    if not isinstance(value, list if kind == "list" else dict):
        raise BadRequest("SerializationException", _unexpected(value))
    for inner, one in _inside(shape, value):
        _check(inner, one, depth + 1)


def _inside(shape: "Shape", value: object) -> "Iterator[tuple[Shape, object]]":
    if isinstance(value, list):
        for one in cast("list[object]", value):
            yield cast("Any", shape).member, one
        return
    entries = cast("dict[str, object]", value)
    if shape.type_name == "map":
        for one in entries.values():
            yield cast("Any", shape).value, one
        return
    members: Mapping[str, Shape] = getattr(shape, "members", {})
    for name, member in members.items():
        if not member.serialization.get("location"):
            yield member, entries.get(member.serialization.get("name", name))


def _check_scalar(kind: str, value: object) -> None:
    taken, name = _TYPES[kind]
    if isinstance(value, dict | list):
        raise BadRequest("SerializationException", _unexpected(cast("object", value)))
    is_boolean = isinstance(value, bool)
    part = isinstance(value, float) and not value.is_integer() and kind in {"integer", "long"}
    if not isinstance(value, taken) or is_boolean != (kind == "boolean") or part:
        word = "BOOLEAN" if is_boolean else "STRING" if isinstance(value, str) else "NUMBER"
        message = f"{word}_VALUE can not be converted to {_a(name)}"
        raise BadRequest("SerializationException", message)


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _unexpected(value: object) -> str:
    if isinstance(value, dict):
        return "Start of structure or map found where not expected."
    if isinstance(value, list):
        return "Start of list found where not expected."
    return "Unexpected token received from parser."


def _member(shape: "Shape | None", parts: list[str], service: str) -> "Shape | None":
    """The shape of a parameter of the Query protocol, such as `Tags.member.1.Key`, or None."""
    while parts and shape is not None:
        kind = shape.type_name
        if kind == "structure":
            members: Mapping[str, Shape] = getattr(shape, "members", {})
            by_name = {_name(name, one, service): one for name, one in members.items()}
            shape, parts = by_name.get(parts[0]), parts[1:]
        elif kind == "list":
            if not parts[0].isdigit():
                parts = parts[1:]
            shape, parts = cast("Any", shape).member, parts[1:]
        else:
            return None
    return shape


def _name(name: str, member: "Shape", service: str) -> str:
    if service == "ec2":
        # https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html#query-key-resolution
        own = member.serialization.get("queryName")
        named = cast("str", member.serialization.get("name", name))
        return cast("str", own) if own else named[:1].upper() + named[1:]
    if member.type_name == "list" and member.serialization.get("flattened"):
        inner = cast("Any", member).member.serialization.get("name")
        return cast("str", inner or member.serialization.get("name", name))
    return cast("str", member.serialization.get("name", name))


def _check_text(shape: "Shape | None", key: str, value: str) -> None:
    if shape is None:
        return
    kind = shape.type_name
    wrong = (kind in {"integer", "long"} and not re.fullmatch(r"[+-]?[0-9]{1,19}", value)) or (
        kind == "boolean" and value.lower() not in {"true", "false"}
    )
    if wrong:
        raise BadRequest(
            "MalformedInput", f"{value!r} is not a valid {kind} for the parameter {key}."
        )
