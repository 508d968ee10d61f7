"""Long and broken bodies: read from who may send them, and kept once."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import local.cloud
from local.cloud import Cloud
from local.services.iam import iam
from tests.local.gate.raw import request, send
from tests.local.probe import REGION

MEGABYTE = 1 << 20
TARGET = "AmazonEC2ContainerServiceV20141113.ListClusters"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.cloud, "_PARTS", (iam,))
        with Cloud(0, REGION) as opened:
            opened.client("s3").create_bucket(
                Bucket="uploads", CreateBucketConfiguration={"LocationConstraint": REGION}
            )
            yield opened


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
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=10) as connection:
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
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=10) as connection:
        sending = threading.Thread(target=_send_all, args=(connection, raw))
        sending.start()
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        connection.close()
        sending.join(10)


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
def test_an_object_is_in_memory_once(cloud: Cloud) -> None:
    size = 96 * MEGABYTE
    process, highest, over = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not over.is_set():
            highest[0] = max(highest[0], process.memory_info().rss)
            time.sleep(0.002)

    head = request(
        "PUT", "/uploads/long", {"Host": f"127.0.0.1:{cloud.port}", **signed("s3")}
    ).replace(b"Connection: close", b"Content-Length: %d" % size)
    before = process.memory_info().rss
    watching = threading.Thread(target=watch)
    watching.start()
    with socket.create_connection(("127.0.0.1", cloud.port), timeout=30) as connection:
        connection.sendall(head)
        piece = bytes(MEGABYTE)
        for _ in range(96):
            connection.sendall(piece)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    over.set()
    watching.join()
    assert highest[0] - before < 1.5 * size
    cloud.client("s3").delete_object(Bucket="uploads", Key="long")
