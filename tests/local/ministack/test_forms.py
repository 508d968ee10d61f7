"""Forms that post an object: in files, as their policy says, and read only from who may post."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

import local.cloud
from local.cloud import Cloud
from local.ministack import forms
from local.ministack.objects import Body
from local.ministack.requests import BadRequest
from local.services.iam import iam
from tests.local.gate.raw import Answer, send
from tests.local.probe import REGION

EDGE = "--edge"
HEADERS = {"content-type": "multipart/form-data; boundary=edge"}
SENT = hashlib.shake_256(b"rows").digest(3 << 20)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.cloud, "_PARTS", (iam,))
        with Cloud(0, REGION) as opened:
            where = {"LocationConstraint": REGION}
            opened.client("s3").create_bucket(Bucket="forms", CreateBucketConfiguration=where)
            yield opened


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'{EDGE}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


FILE = b"a\r\n--edg\r\n\r\n--ed\r\nb\r\n"
FORM = b"".join(
    [
        part("key", b"k"),
        part("blank lines", b"1\r\n\r\n\r\n2"),
        part("file", FILE, '; filename="f.csv"\r\nContent-Type: text/csv'),
        part("too late", b"x"),
        f"{EDGE}--\r\n".encode(),
    ]
)


def read(folder: Path, sent: bytes, size: int = 1 << 16, most: int | None = None) -> Any:  # noqa: ANN401 -- names and values
    reader = forms._Reader(HEADERS, folder, lambda _: most)  # pyright: ignore[reportPrivateUsage]
    for at in range(0, len(sent), size):
        reader.write(sent[at : at + size])
    return [(name, filename, bytes(value)) for name, filename, _, value in reader.end()]


def refusal(folder: Path, sent: bytes, most: int | None) -> str:
    # The traceback of what is raised has the file, so it is not kept.
    try:
        read(folder, sent, most=most)
    except BadRequest as refused:
        return refused.code
    return ""


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("size", [*range(1, 24), len(FORM)])
def test_a_form_is_taken_apart_however_it_arrives(tmp_path: Path, size: int) -> None:
    assert read(tmp_path, FORM, size) == [
        ("key", None, b"k"),
        ("blank lines", None, b"1\r\n\r\n\r\n2"),
        ("file", "f.csv", FILE),
    ]


@pytest.mark.usefixtures("cloud")
def test_a_form_without_a_file_has_its_fields(tmp_path: Path) -> None:
    sent = part("key", b"k") + f"{EDGE}--\r\n".encode()
    assert read(tmp_path, sent, 5) == [("key", None, b"k")]


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (part("key", b"k" * 20_480) + part("file", b""), "MaxPostPreDataLengthExceeded"),
        (b"\r\n\r\n" * 6_000, "MaxPostPreDataLengthExceeded"),
        (part("file", SENT), "MalformedPOSTRequest"),
        (part("file", SENT) + EDGE.encode(), "EntityTooLarge"),
    ],
)
def test_a_form_that_is_broken_or_too_long_leaves_nothing(
    tmp_path: Path, sent: bytes, code: str
) -> None:
    most = len(SENT) - 1 if code == "EntityTooLarge" else None
    assert refusal(tmp_path, sent, most) == code
    assert list(tmp_path.iterdir()) == []


def test_a_form_that_names_no_boundary_is_broken(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="not well-formed"):
        forms._Reader({"content-type": "multipart/form-data"}, tmp_path, lambda _: None)  # pyright: ignore[reportPrivateUsage]


def presigned(cloud: Cloud, key: str = "k", **more: Any) -> dict[str, str]:  # noqa: ANN401 -- boto3's
    make: Any = boto3.Session("test", "test", region_name=REGION).client
    s3 = make("s3", endpoint_url=cloud.endpoint, config=Config(signature_version="s3v4"))
    fields: dict[str, str] = s3.generate_presigned_post("forms", key, **more)["fields"]
    return fields


def post(
    cloud: Cloud, fields: dict[str, str], file: bytes, *, length: int = 0, after: bytes = b""
) -> Answer:
    """Send a form; with a length, as the beginning of one so long."""
    body = b"".join(part(name, value.encode()) for name, value in fields.items())
    body += part("file", file, '; filename="f.csv"')
    if not length:
        body += after + f"{EDGE}--\r\n".encode()
    lines = {"Host": f"127.0.0.1:{cloud.port}", "Content-Type": HEADERS["content-type"]}
    lines |= {"Content-Length": str(length or len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return send(cloud.port, f"POST /forms HTTP/1.1\r\n{head}\r\n".encode() + body)


def test_what_is_posted_is_the_object_and_in_a_file(cloud: Cloud) -> None:
    s3, folder = cloud.client("s3"), cloud.instance.folder / "scratch" / "objects"
    before = set(folder.iterdir())
    assert post(cloud, presigned(cloud), SENT).status == 204
    [file] = set(folder.iterdir()) - before
    assert file.stat().st_size == len(SENT)
    found = s3.get_object(Bucket="forms", Key="k")
    assert found["Body"].read() == SENT
    assert found["ETag"] == f'"{hashlib.md5(SENT).hexdigest()}"'  # noqa: S324
    s3.delete_object(Bucket="forms", Key="k")
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("success_action_status", "200", 200),
        ("success_action_status", "201", 201),
        ("success_action_redirect", "http://app.example/done?a=b", 303),
    ],
)
def test_a_form_is_answered_as_it_asks(cloud: Cloud, field: str, value: str, status: int) -> None:
    asked = {field: value}
    fields = presigned(cloud, "of ${filename}", Fields=dict(asked), Conditions=[dict(asked)])
    found = post(cloud, fields, b"rows")
    assert found.status == status
    assert (b"<Key>of f.csv</Key>" in found.body) == (status == 201)
    target = "http://app.example/done?a=b&bucket=forms&key=of%20f.csv&etag="
    assert found.headers["location"].startswith(target) == (status == 303)
    there = cloud.client("s3").get_object(Bucket="forms", Key="of f.csv")
    assert there["Body"].read() == b"rows"


@pytest.mark.parametrize(
    ("size", "status", "code"),
    [
        (9, 400, b"EntityTooSmall"),
        (10, 204, b""),
        (1 << 20, 204, b""),
        ((1 << 20) + 1, 400, b"EntityTooLarge"),
    ],
)
def test_a_file_has_as_many_bytes_as_its_policy_says(
    cloud: Cloud, size: int, status: int, code: bytes
) -> None:
    fields = presigned(cloud, Conditions=[["content-length-range", 10, 1 << 20]])
    found = post(cloud, fields, bytes(size))
    assert (found.status, code in found.body) == (status, True)


def expired(fields: dict[str, str]) -> dict[str, str]:
    policy = json.loads(base64.b64decode(fields["policy"]))
    policy["expiration"] = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**fields, "policy": base64.b64encode(json.dumps(policy).encode()).decode()}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda _: {"key": "k"}, b"AccessDenied"),
        (lambda fields: {**fields, "x-amz-signature": "0" * 64}, b"SignatureDoesNotMatch"),
        (expired, b"SignatureDoesNotMatch"),
        (lambda fields: {**fields, "key": "other"}, b"AccessDenied"),
        (lambda fields: {**fields, "acl": "private"}, b"AccessDenied"),
        (lambda fields: fields | {"x-amz-credential": "ASIAGONE/x"}, b"InvalidArgument"),
        (lambda fields: {name: fields[name] for name in fields if name != "key"}, b"InvalidArg"),
        (lambda fields: fields, b"EntityTooLarge"),
    ],
    ids=["none", "signature", "policy", "key", "field", "credential", "no key", "length"],
)
def test_the_file_of_a_form_is_read_only_from_who_may_post_it(
    cloud: Cloud, change: Callable[[dict[str, str]], dict[str, str]], code: bytes
) -> None:
    fields = presigned(cloud, Conditions=[["content-length-range", 0, 100]])
    found = post(cloud, change(fields), bytes(1000), length=1 << 31)
    assert (found.status in {400, 403}, code in found.body) == (True, True)
    assert found.headers["connection"] == "close"


def test_what_is_behind_the_file_counts_for_nothing(cloud: Cloud) -> None:
    fields = presigned(cloud)
    key = fields.pop("key")
    found = post(cloud, fields, b"rows", after=part("key", key.encode()))
    assert (found.status, b"a field named 'key'" in found.body) == (400, True)


def test_a_bucket_that_is_not_there_is_said_to_be_gone(cloud: Cloud, tmp_path: Path) -> None:
    parts: list[forms.Part] = [
        ("key", None, {}, b"k"),
        ("signature", None, {}, b"s"),
        ("file", "f", {}, Body(())),
    ]
    assert cloud.port
    with pytest.raises(BadRequest) as refused:
        forms._allowed("gone", parts)  # pyright: ignore[reportPrivateUsage]
    assert refused.value.code == "NoSuchBucket"
    assert list(tmp_path.iterdir()) == []
