"""What S3 and the network answer, and which exit code each becomes."""

import io
import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError, NoCredentialsError

from batch import store
from batch.exits import (
    GoneError,
    MisconfiguredError,
    RefusalError,
    StoppedError,
    TryAgainError,
)
from batch.ingest import Ingest, Request
from tests.batch.conftest import Buckets


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, GoneError),
        ("NoSuchVersion", 404, GoneError),
        ("404", 404, GoneError),
        ("NotFound", 404, GoneError),
        ("412", 412, GoneError),
        ("PreconditionFailed", 412, GoneError),
        ("SlowDown", 503, TryAgainError),
        ("InternalError", 500, TryAgainError),
        ("ExpiredToken", 400, TryAgainError),
        ("RequestTimeout", 400, TryAgainError),
        ("RequestTimeTooSkewed", 403, TryAgainError),
        ("OperationAborted", 409, TryAgainError),
        ("SlowDown", 400, TryAgainError),
        ("Throttling", 400, TryAgainError),
        ("ThrottlingException", 400, TryAgainError),
        ("RequestLimitExceeded", 400, TryAgainError),
        ("TooManyRequests", 400, TryAgainError),
        ("Unknown", 408, TryAgainError),
        ("TooManyRequests", 429, TryAgainError),
        ("AccessDenied", 403, MisconfiguredError),
        ("403", 403, MisconfiguredError),
        ("InvalidObjectState", 403, MisconfiguredError),
        ("NoSuchBucket", 404, MisconfiguredError),
        ("PermanentRedirect", 301, MisconfiguredError),
    ],
)
def test_each_answer_has_its_exit_code(code: str, status: int, kind: type[RefusalError]) -> None:
    error = ClientError(
        {
            "Error": {"Code": code, "Message": "two\nlines"},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "r",
                "HostId": "h",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "GetObject",
    )
    said = f"^GetObject s3://b/k: {code}: two lines"
    with pytest.raises(kind, match=said), store.refusals("GetObject", "s3://b/k"):
        raise error


def answer(code: str, status: int) -> ClientError:
    metadata = {"HTTPStatusCode": status, "RequestId": "r", "HostId": "h"}
    metadata |= {"HTTPHeaders": {}, "RetryAttempts": 0}
    error = {"Code": code, "Message": "why"}
    return ClientError({"Error": error, "ResponseMetadata": metadata}, "GetObject")  # pyright: ignore[reportArgumentType] - as S3 has it


@pytest.mark.parametrize(
    ("code", "status", "hint"),
    [
        ("NoSuchKey", 404, " (the object or the version being read is gone)"),
        ("InvalidObjectState", 403, " (the object is archived: restore it first)"),
        (
            "AccessDenied",
            403,
            (
                " (the task role needs this permission, and s3:ListBucket to tell a missing object"
                " from a forbidden one)"
            ),
        ),
        ("SlowDown", 503, ""),
        ("NoSuchBucket", 404, ""),
    ],
)
def test_a_refusal_says_what_s3_said_and_what_to_do(code: str, status: int, hint: str) -> None:
    with pytest.raises(RefusalError) as refused, store.refusals("GetObject", "s3://b/k"):
        raise answer(code, status)
    assert str(refused.value) == f"GetObject s3://b/k: {code}: why{hint}"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(499, MisconfiguredError), (500, TryAgainError), (407, MisconfiguredError)],
)
def test_an_answer_without_a_known_code_goes_by_its_status(
    status: int, kind: type[RefusalError]
) -> None:
    with pytest.raises(kind), store.refusals("GetObject", "s3://b/k"):
        raise answer("Other", status)


def test_a_client_waits_for_so_long_and_tries_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "ap-northeast-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")
    s3 = store.client()
    config = s3.meta.config
    assert (config.connect_timeout, config.read_timeout) == (5, 30)  # pyright: ignore[reportAttributeAccessIssue] - a Config has them
    assert config.retries == {"mode": "standard", "total_max_attempts": 4}  # pyright: ignore[reportAttributeAccessIssue] - as above
    s3.close()


class Refusing:
    """An S3 that takes no object and lets go of no upload."""

    def __init__(self, code: str) -> None:
        self.asked: list[dict[str, object]] = []
        self._code = code

    def put_object(self, **_: object) -> None:
        raise answer(self._code, 404)

    def abort_multipart_upload(self, **parameters: object) -> None:
        self.asked.append(parameters)
        raise answer(self._code, 404)


def test_an_upload_that_vanished_is_tried_again_later() -> None:
    upload = store.Upload(Refusing("NoSuchKey"), "b", threading.Event())  # pyright: ignore[reportArgumentType] - as much of one as it needs
    with pytest.raises(TryAgainError, match=r"^PutObject s3://b/k: NoSuchKey: why"):
        upload.put("k", b"x", "x/y")


def test_an_upload_that_cannot_be_aborted_is_left_to_the_bucket() -> None:
    s3 = Refusing("AccessDenied")
    upload = store.Upload(s3, "b", threading.Event())  # pyright: ignore[reportArgumentType] - as above
    upload.abort()
    assert s3.asked == []
    upload._open = ("k", "u")  # pyright: ignore[reportPrivateUsage]
    upload.abort()
    upload.abort()
    assert s3.asked == [{"Bucket": "b", "Key": "k", "UploadId": "u"}]


def test_credentials_that_do_not_come_are_tried_again_and_none_at_all_is_a_mistake() -> None:
    with pytest.raises(TryAgainError), store.refusals("GetObject", "x"):
        raise CredentialRetrievalError(provider="container-role", error_msg="timed out")
    with pytest.raises(MisconfiguredError), store.refusals("GetObject", "x"):
        raise NoCredentialsError


class Breaking(BaseHTTPRequestHandler):
    """An S3 whose connections break after some bytes of one object."""

    body = bytes(range(256)) * 4096
    breaks_after = 300_000
    etag: ClassVar[str] = '"e1"'
    requests: ClassVar[list[dict[str, str]]] = []
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        self.requests.append(dict(self.headers) | {"path": self.path})
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        if self.headers.get("If-Match", self.etag) != self.etag:
            self.send_response(412)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.body) - start))
        self.send_header("ETag", self.etag)
        self.send_header("x-amz-version-id", "v1")
        self.end_headers()
        self.wfile.write(self.body[start : start + self.breaks_after])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Generator[type[Breaking]]:
    class Handler(Breaking):
        requests: ClassVar[list[dict[str, str]]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "ap-northeast-1",
        }.items():
            monkeypatch.setenv(name, value)
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield Handler
        finally:
            server.shutdown()
            serving.join()


def read(stopped: threading.Event) -> bytes:
    s3 = store.client()
    try:
        with store.ObjectStream(s3, "b", "k", stopped) as stream:
            return io.BufferedReader(stream, 1 << 16).read()
    finally:
        s3.close()


def test_a_broken_download_goes_on_where_it_broke_in_the_same_version(
    breaking: type[Breaking],
) -> None:
    assert read(threading.Event()) == Breaking.body
    first, *others = breaking.requests
    assert "Range" not in first
    assert 1 <= len(others) <= 5
    for request in others:
        assert "versionId=v1" in request["path"]
        assert request["If-Match"] == '"e1"'
        assert int(request["Range"][6:-1]) > 0


def test_a_download_that_keeps_breaking_is_tried_again_later(breaking: type[Breaking]) -> None:
    breaking.breaks_after = 1000
    with pytest.raises(TryAgainError, match="GetObject s3://b/k"):
        read(threading.Event())
    assert len(breaking.requests) == 6


def test_an_object_overwritten_while_it_is_read_is_gone(
    breaking: type[Breaking], monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = store.client()
    stream = store.ObjectStream(s3, "b", "k", threading.Event())
    monkeypatch.setattr(breaking, "etag", '"e2"')
    with pytest.raises(GoneError):
        io.BufferedReader(stream, 1 << 16).read()
    stream.close()
    s3.close()


def test_a_stopped_download_ends(breaking: type[Breaking]) -> None:
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(StoppedError):
        read(stopped)
    assert len(breaking.requests) == 1


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(store, "_PART", 5 << 20)
    return 5 << 20


def test_a_large_result_arrives_whole(buckets: Buckets, small_parts: int, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"0123456789abcdef" * (small_parts // 16) * 2 + b"end")
    s3 = store.client()
    store.Upload(s3, buckets.results, threading.Event()).put_file("k", path, "x/y")
    s3.close()
    assert buckets.read("k") == path.read_bytes()


def test_an_upload_that_is_stopped_or_fails_leaves_no_parts(
    buckets: Buckets, small_parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * (small_parts * 2))
    s3 = store.client()
    stopped = threading.Event()
    upload = store.Upload(s3, buckets.results, stopped)
    send = s3.upload_part

    def stop_after_the_first(**parameters: object) -> object:
        stopped.set()
        return send(**parameters)  # pyright: ignore[reportArgumentType] - handed on as given

    monkeypatch.setattr(s3, "upload_part", stop_after_the_first)
    with pytest.raises(StoppedError):
        upload.put_file("k", path, "x/y")
    assert buckets.written() == []
    assert buckets.s3.list_multipart_uploads(Bucket=buckets.results).get("Uploads", []) == []
    upload.abort()
    s3.close()


def test_a_run_in_process_writes_and_logs_the_report(
    buckets: Buckets, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    buckets.put("j.jsonl", b'{"a":1}\n[2]\n')
    request = Request.read(["j.jsonl"], buckets.variables)
    Ingest(request).run()
    Ingest(request).run()
    lines = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == [
        "started",
        "report",
        "result",
        "started",
        "already done",
    ]
    assert lines[1]["rejected"] == {
        "count": 1,
        "reasons": {"a JSON value, but not an object": 1},
        "rows": [{"line": 2, "reason": "a JSON value, but not an object"}],
    }


def test_an_ingest_stopped_before_it_starts_writes_nothing(buckets: Buckets) -> None:
    buckets.put("a.csv", b"a,b\n1,2\n")
    ingest = Ingest(Request.read(["a.csv"], buckets.variables))
    ingest.stop()
    with pytest.raises(StoppedError):
        ingest.run()
    ingest.clean()
    assert buckets.written() == []
