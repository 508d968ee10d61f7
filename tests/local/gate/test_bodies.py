"""Long and broken bodies: read from who may send them, and kept in files."""

import contextlib
import gzip
import http.client
import io
import json
import socket
import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self, cast

import boto3
import psutil
import pytest
from botocore.config import Config

from local.cloud import Cloud
from tests.local.command import ended, read_line, start
from tests.local.gate.raw import request, send
from tests.local.probe import REGION
from tests.local.programs import write_files

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

MEGABYTE = 1 << 20
TARGET = "AmazonEC2ContainerServiceV20141113.ListClusters"


def signed(service: str, key: str = "test") -> dict[str, str]:
    credential = f"Credential={key}/20260401/{REGION}/{service}/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=00"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Origin": "https://evil.example", **signed("s3")},
        {"Host": "evil.example", **signed("s3")},
        signed("s3", "ASIAOFNOSESSION00000"),
        signed("cloudformation"),
        signed("iam"),
    ],
)
def test_a_body_is_not_asked_for_from_who_may_not_send_it(
    cloud: Cloud, headers: dict[str, str]
) -> None:
    own = {"Host": f"127.0.0.1:{cloud.port}", **headers}
    lines = [f"{name}: {value}" for name, value in own.items()]
    head = "\r\n".join(
        ["PUT /uploads/key HTTP/1.1", *lines, f"Content-Length: {1 << 31}", "Expect: 100-continue"]
    )
    found = send(cloud.port, f"{head}\r\n\r\n".encode())
    assert found.status in {403, 413, 501}
    assert found.headers["connection"] == "close"


def test_a_body_is_asked_for_when_it_is_wanted(cloud: Cloud) -> None:
    own = {"Host": f"127.0.0.1:{cloud.port}", **signed("s3")}
    lines = [f"{name}: {value}" for name, value in own.items()]
    head = ["PUT /uploads/waited HTTP/1.1", *lines, "Content-Length: 4", "Expect: 100-continue"]
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=120) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"rows")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    found = cloud.client("s3").get_object(Bucket="uploads", Key="waited")
    assert found["Body"].read() == b"rows"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_longer_than_the_service_takes_is_a_413(cloud: Cloud, *, chunked: bool) -> None:
    body = bytes(17 * MEGABYTE)
    headers = {"Host": f"127.0.0.1:{cloud.port}", "X-Amz-Target": TARGET, **signed("ecs")}
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
        raw = request("POST", "/", headers) + f"{len(body):x}\r\n".encode() + body
    else:
        raw = request("POST", "/", headers, body)
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=120) as connection:
        sending = threading.Thread(target=_send_all, args=(connection, raw))
        sending.start()
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        connection.close()
        sending.join(120)


def _send_all(connection: socket.socket, raw: bytes) -> None:
    try:
        connection.sendall(raw)
    except OSError:
        return


def test_a_compressed_body_is_bounded(cloud: Cloud) -> None:
    headers = {"Host": f"127.0.0.1:{cloud.port}", "X-Amz-Target": TARGET, **signed("ecs")}
    packed = {**headers, "Content-Encoding": "gzip"}
    assert send(cloud.port, request("POST", "/", packed, gzip.compress(b"{}"))).status == 200
    bomb = gzip.compress(bytes(64 * MEGABYTE))
    assert len(bomb) < MEGABYTE
    assert send(cloud.port, request("POST", "/", packed, bomb)).status == 413
    assert send(cloud.port, request("POST", "/", packed, b"no gzip")).status == 400
    other = {**headers, "Content-Encoding": "br"}
    assert send(cloud.port, request("POST", "/", other, b"{}")).status == 415


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc here")
def test_an_object_is_not_in_memory(cloud: Cloud) -> None:
    size = 96 * MEGABYTE
    head = request(
        "PUT", "/uploads/long", {"Host": f"127.0.0.1:{cloud.port}", **signed("s3")}
    ).replace(b"Connection: close", b"Content-Length: %d" % size)
    with Memory(psutil.Process()) as memory:
        with socket.create_connection(("127.0.0.1", cloud.port), timeout=120) as connection:
            connection.sendall(head)
            piece = bytes(MEGABYTE)
            for _ in range(96):
                connection.sendall(piece)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        found = cloud.client("s3").get_object(Bucket="uploads", Key="long")
        assert sum(len(one) for one in found["Body"].iter_chunks(MEGABYTE)) == size
    assert memory.more < size / 3
    cloud.client("s3").delete_object(Bucket="uploads", Key="long")


def form_of_zeros(fields: Mapping[str, str], size: int) -> Generator[bytes]:
    """A form with a file of so many zero bytes, in pieces of a megabyte."""
    for name, value in fields.items():
        head = f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        yield f"{head}{value}\r\n".encode()
    yield b'--edge\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    for _ in range(size // MEGABYTE):
        yield bytes(MEGABYTE)
    yield b"\r\n--edge--\r\n"


def post(port: int, fields: Mapping[str, str], size: int) -> int:
    """Post a form to the bucket `uploads`; the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    with contextlib.closing(connection):
        headers = {"Content-Type": "multipart/form-data; boundary=edge"}
        connection.request("POST", "/uploads", form_of_zeros(fields, size), headers)
        return connection.getresponse().status


def client(endpoint: str) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            read_timeout=600,
            retries={"total_max_attempts": 1},
            proxies={},
            signature_version="s3v4",
        ),
    )


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc here")
def test_the_file_of_a_form_is_not_in_memory(cloud: Cloud) -> None:
    size = 96 * MEGABYTE
    with contextlib.closing(client(cloud.endpoint)) as s3:
        fields = s3.generate_presigned_post("uploads", "long form")["fields"]
    with Memory(psutil.Process()) as memory:
        assert post(cloud.port, fields, size) == 204
    s3 = cloud.client("s3")
    assert s3.head_object(Bucket="uploads", Key="long form")["ContentLength"] == size
    assert memory.more < size / 3
    s3.delete_object(Bucket="uploads", Key="long form")


class Memory:
    """How much more memory than at first a process had at most."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._before = process.memory_info().rss
        self.more = 0

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self.more = max(self.more, self._process.memory_info().rss - self._before)

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watching.join()


class Zeros(io.RawIOBase):
    """A file of so many zero bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = self._size - self._at
        found = bytes(left if size < 0 else min(size, left))
        self._at += len(found)
        return found


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc here")
def test_two_gigabytes_go_through_a_cloud_that_has_no_room_for_them(tmp_path: Path) -> None:
    size, part = 2048 * MEGABYTE, 512 * MEGABYTE
    write_files(tmp_path, "import pulumi_aws as aws\naws.s3.Bucket('uploads', bucket='uploads')\n")
    with ended(start("up", "--root", str(tmp_path), "--port", "0", "--json")) as process:
        endpoint = json.loads(read_line(process))["endpoint"]
        s3 = client(endpoint)
        form = s3.generate_presigned_post("uploads", "a form")
        with Memory(psutil.Process(process.pid)) as memory:
            s3.put_object(Bucket="uploads", Key="at once", Body=cast("IO[bytes]", Zeros(size)))
            s3.upload_fileobj(cast("IO[bytes]", Zeros(part)), "uploads", "in parts")
            s3.copy_object(Bucket="uploads", Key="copy", CopySource="uploads/in parts")
            assert post(int(endpoint.rpartition(":")[2]), form["fields"], part) == 204
            told = s3.head_object(Bucket="uploads", Key="a form")
            assert told["ContentLength"] == part
            for key, expected in (("at once", size), ("copy", part)):
                found = s3.get_object(Bucket="uploads", Key=key)
                assert sum(len(one) for one in found["Body"].iter_chunks(MEGABYTE)) == expected
        s3.close()
    assert memory.more < 200 * MEGABYTE
