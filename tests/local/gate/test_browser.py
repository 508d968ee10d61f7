"""A real browser, with a page of another site open in it, against the laptop's cloud."""

import json
import shutil
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local.cloud import Cloud
from local.gate import Message, Receive, Send
from local.ministack.front import Front
from tests.local.probe import REGION
from tests.processes import stop

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SECONDS = 120
ALLOWED, BUCKET = "app.example", "uploads"
KEYS = ["plain.csv", "a b+c.csv", "of%2Fthree/日本 é.csv", 'it\'s (1) & "2"#?.csv']

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here"),
]


class _Site(BaseHTTPRequestHandler):
    """A page at `/`, whatever its host's name, that says how it went with a POST."""

    page = ""
    reports: "Queue[Any]" = Queue()

    def do_GET(self) -> None:
        body = self.page.encode() if self.path == "/" else b""
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/report":
            self.reports.put(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        """Print nothing."""


@pytest.fixture(scope="module")
def site() -> Generator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def cloud(site: int) -> Iterator[Cloud]:
    with Cloud(0, REGION) as opened:
        s3 = opened.client("s3")
        for bucket in (BUCKET, "private"):
            s3.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
            s3.put_object(Bucket=bucket, Key="there", Body=b"there")
        rule: Any = {
            "AllowedOrigins": [f"http://{ALLOWED}:{site}"],
            "AllowedMethods": ["GET", "HEAD", "POST", "PUT"],
            "AllowedHeaders": ["*"],
        }
        s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule]})
        yield opened


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What gets behind the gate while the test runs."""
    found: list[str] = []
    original = Front.__call__

    async def call(self: Front, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            found.append(f"{scope.get('method', scope['type'])} {scope['path']}")
        await original(self, scope, receive, send)

    monkeypatch.setattr(Front, "__call__", call)
    return found


@contextmanager
def _browser(url: str, profile: Path) -> Generator[None]:
    assert CHROMIUM is not None
    process = subprocess.Popen(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--no-proxy-server", f"--user-data-dir={profile}"),
            # Every name there is leads here, as one does whose owner rebinds it.
            "--host-resolver-rules=MAP * 127.0.0.1",
            url,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        stop(process)


def visit(host: str, site: int, script: str, profile: Path) -> Any:  # noqa: ANN401 - what the page says
    """Open a page of `host` that runs a script, and return what it reports."""
    _Site.page = f"""<!doctype html><meta charset=utf-8><body><script type=module>
        const say = what => fetch("/report", {{method: "POST", body: JSON.stringify(what)}})
        try {{ say(await (async () => {{ {script} }})()) }} catch (error) {{ say(String(error)) }}
    </script>"""
    while not _Site.reports.empty():
        _Site.reports.get()
    with _browser(f"http://{host}:{site}/", profile):
        try:
            return _Site.reports.get(timeout=SECONDS)
        except Empty:
            pytest.fail("the page reported nothing")


ATTACKS = Path(__file__).with_name("attacks.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost", ALLOWED])
def test_a_page_of_another_site_is_answered_nothing(
    cloud: Cloud, site: int, passed: list[str], tmp_path: Path, host: str
) -> None:
    names = ["127.0.0.1", "localhost", f"{BUCKET}.localhost", "evil.example"]
    bases = [f"http://{name}:{cloud.port}" for name in names]
    script = ATTACKS.replace("REGION", REGION).replace("BASES", json.dumps(bases))
    if host == ALLOWED:
        # All but the bucket that it may use.
        script = script.replace('"/BUCKET/there", ', "")
        script = script.replace(f', "http://{BUCKET}.localhost:{cloud.port}"', "")
    found = visit(host, site, script.replace("BUCKET", BUCKET), tmp_path)
    assert isinstance(found, dict), found
    assert len(found["tried"]) > 200
    assert found["read"] == []
    assert passed == []
    print(f"{len(found['tried'])} requests of a page of {host}: {len(passed)} answered")  # noqa: T201 - for who measures


UPLOADS = """
    const found = []
    for (const {key, put, get, post} of UPLOADS) {
        const answer = await fetch(put, {method: "PUT", body: "put " + key})
        const back = await (await fetch(get)).text()
        const form = new FormData()
        for (const [name, value] of Object.entries(post.fields)) form.append(name, value)
        form.append("file", new Blob(["posted " + key]), "name.csv")
        const posted = await fetch(post.url, {method: "POST", body: form})
        found.push([answer.status, back, posted.status])
    }
    const {post} = UPLOADS[0]
    const frame = Object.assign(document.createElement("iframe"), {name: "sent"})
    const form = Object.assign(document.createElement("form"),
        {method: "POST", action: post.url, enctype: "multipart/form-data", target: "sent"})
    for (const [name, value] of Object.entries({...post.fields, file: "by a form"}))
        form.append(Object.assign(document.createElement("textarea"), {name, value}))
    document.body.append(frame, form)
    form.submit()
    // Its answer is none to show, so nothing in this page tells that it came.
    while (await (await fetch(UPLOADS[0].posted)).text() != "by a form")
        await new Promise(done => setTimeout(done, 100))
    return found
"""


def _uploads(cloud: Cloud) -> list[dict[str, Any]]:
    make: Any = boto3.Session("test", "test", region_name=REGION).client
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    s3: Any = make("s3", endpoint_url=cloud.endpoint, config=config)
    return [
        {
            "key": key,
            "put": s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": f"put/{key}"}),
            "get": s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": f"put/{key}"}),
            "post": s3.generate_presigned_post(BUCKET, f"post/{key}"),
            "posted": s3.generate_presigned_url(
                "get_object", {"Bucket": BUCKET, "Key": f"post/{key}"}
            ),
        }
        for key in KEYS
    ]


def test_a_page_of_an_allowed_origin_uploads(cloud: Cloud, site: int, tmp_path: Path) -> None:
    script = UPLOADS.replace("UPLOADS", json.dumps(_uploads(cloud)))
    found = visit(ALLOWED, site, script, tmp_path)
    assert found == [[200, f"put {key}", 204] for key in KEYS]
    s3 = cloud.client("s3")
    bodies = {
        key: s3.get_object(Bucket=BUCKET, Key=f"post/{key}")["Body"].read().decode() for key in KEYS
    }
    assert bodies == {
        **{key: f"posted {key}" for key in KEYS},
        KEYS[0]: "by a form",
    }


def test_the_same_page_of_another_origin_does_not(
    cloud: Cloud, site: int, passed: list[str], tmp_path: Path
) -> None:
    script = UPLOADS.replace("UPLOADS", json.dumps(_uploads(cloud)))
    found = visit("evil.example", site, script, tmp_path)
    assert found == "TypeError: Failed to fetch"
    assert passed == []
