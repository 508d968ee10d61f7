"""What browsers send for other sites, and what a foreign name leads here, is answered with 403."""

import json
from collections.abc import Generator

import pytest

from local.cloud import Cloud
from local.instance import read_token
from tests.local.gate.raw import Answer, request, send
from tests.local.probe import REGION

NAME = "batches.example"


@pytest.fixture(scope="module")
def cloud() -> Generator[Cloud]:
    with Cloud(0, REGION, host_names=[NAME]) as opened:
        yield opened


def signed(service: str, key: str = "test") -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential={key}/20260401/{REGION}/{service}/aws4_request, "
        "SignedHeaders=host, Signature=00"
    )


def list_clusters(**more: str) -> dict[str, str]:
    target = "AmazonEC2ContainerServiceV20141113.ListClusters"
    return {"Authorization": signed("ecs"), "X-Amz-Target": target, **more}


def ask(cloud: Cloud, host: str | None, headers: dict[str, str], method: str = "POST") -> Answer:
    hosts = {} if host is None else {"Host": host.format(port=cloud.port)}
    return send(cloud.port, request(method, "/", {**hosts, **headers}))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:{port}",
        "localhost:{port}",
        "LocalHost:{port}",
        "a.b.localhost:{port}",
        "[::1]:{port}",
        f"{NAME}:{{port}}",
        f"uploads.{NAME.upper()}:{{port}}",
    ],
)
def test_a_name_of_this_machine_is_answered(cloud: Cloud, host: str) -> None:
    found = ask(cloud, host, list_clusters())
    assert found.status == 200
    assert json.loads(found.body) == {"clusterArns": []}


FOREIGN_HOSTS = [
    "evil.example:{port}",
    "evil.example",
    "127.0.0.1",
    "localhost",
    "127.0.0.1:1",
    "localhost:{port}.evil.example",
    "localhost.evil.example:{port}",
    "notlocalhost:{port}",
    f"not{NAME}:{{port}}",
    f"{NAME}.evil.example:{{port}}",
    ".localhost:{port}",
    "localhost.:{port}",
    "a..localhost:{port}",
    "127.0.0.1.localhost.:{port}",
    "127.1:{port}",
    "0x7f.1:{port}",
    "2130706433:{port}",
    "127.0.0.2:{port}",
    "0.0.0.0:{port}",
    "[::]:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "::1:{port}",
    "evil.example@localhost:{port}",
    "localhost:{port}@evil.example",
    "localhost:0{port}",
    "localhost:{port}, evil.example",
    "localhost/:{port}",
    "",
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_another_name_or_port_is_refused_in_one_line(cloud: Cloud, host: str) -> None:
    found = ask(cloud, host, list_clusters())
    assert found.status == 403
    assert found.body.count(b"\n") == 1
    assert b"is not this cloud" in found.body


PATHS = [
    "/",
    "/?Action=CreateStack&AWSAccessKeyId=test",
    "/uploads/key",
    "/_fargate-batch/fire?name=nightly",
    "/_fargate-batch/outputs",
    "/_fargate-batch/v4/of-a-container/task",
    "/_ministack/reset",
    "/_ministack/config",
    "/_ministack/health",
    "/_localstack/health",
    "/health",
    "/2015-03-31/functions",
    "/v2/",
]
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "anything"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "none, cross-site"},
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_no_page_of_another_site_is_answered(cloud: Cloud, path: str, method: str) -> None:
    here = {"Host": f"127.0.0.1:{cloud.port}"}
    for foreign in FOREIGN:
        for more in ({}, list_clusters(), {"Authorization": signed("s3")}):
            headers = {**here, **foreign, **more, "Content-Type": "text/plain"}
            found = send(cloud.port, request(method, path, headers, b"Action=CreateStack"))
            assert found.status == 403, (foreign, more)
            assert not [name for name in found.headers if name.startswith("access-control-")]


HERE = "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}"
H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"
WEBSOCKET = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
)


@pytest.mark.parametrize(
    "lines",
    [
        "GET / HTTP/1.0",
        "GET / HTTP/1.1",
        "GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}",
        "GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1:{port}",
        "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1:{port}",
        "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}",
        f"{HERE}\r\nHost: evil.example",
        "GET / HTTP/1.1\r\nHost: evil.example\r\nHost: 127.0.0.1:{port}",
        f"{HERE}\r\n Origin: x",
        f"{HERE}\r\nOrigin: http://127.0.0.1:{{port}}\r\nOrigin: null",
        f"{HERE}\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site",
        "PRI * HTTP/2.0",
        f"GET / HTTP/1.1\r\nHost: evil.example\r\n{H2C}",
        f"GET / HTTP/1.1\r\nHost: evil.example\r\n{WEBSOCKET}",
        f"{HERE}\r\nOrigin: https://evil.example\r\n{WEBSOCKET}",
    ],
)
def test_what_names_its_host_twice_not_at_all_or_elsewhere_is_refused(
    cloud: Cloud, lines: str
) -> None:
    found = send(cloud.port, f"{lines.format(port=cloud.port)}\r\n\r\n".encode())
    assert found.status in {400, 403}
    assert not found.body or found.body.count(b"\n") == 1


def test_nothing_is_upgraded(cloud: Cloud) -> None:
    head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{cloud.port}\r\n"
    for upgrade in (H2C, WEBSOCKET):
        assert send(cloud.port, f"{head}{upgrade}\r\n\r\n".encode()).status == 403


def test_the_clouds_own_page_may_ask(cloud: Cloud) -> None:
    own = f"http://localhost:{cloud.port}"
    headers = list_clusters(**{"Origin": own, "Sec-Fetch-Site": "same-origin"})
    assert ask(cloud, "localhost:{port}", headers).status == 200
    assert ask(cloud, "127.0.0.1:{port}", headers).status == 403, "another name of it"
    assert ask(cloud, "localhost:{port}", list_clusters(**{"Sec-Fetch-Site": "none"})).status == 200


def test_no_answer_is_a_page_that_may_do_anything(cloud: Cloud) -> None:
    for headers in (list_clusters(), list_clusters(Origin="https://evil.example"), {}):
        found = ask(cloud, "127.0.0.1:{port}", headers)
        assert found.headers["content-security-policy"] == "sandbox"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in found.headers


@pytest.mark.parametrize("path", [path for path in PATHS if path.startswith(("/_m", "/_l", "/h"))])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_ministacks_own_paths_are_not_there(cloud: Cloud, path: str, method: str) -> None:
    here = {"Host": f"127.0.0.1:{cloud.port}"}
    assert send(cloud.port, request(method, path, here)).status == 403
    found = send(cloud.port, request(method, path, {**here, "Authorization": signed("s3")}))
    assert found.status in {400, 404, 405}
    assert b"<Error>" in found.body, "S3's, for a bucket that cannot be"


def control(cloud: Cloud, token: str | None, method: str = "POST") -> Answer:
    headers = {"Host": f"127.0.0.1:{cloud.port}"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return send(cloud.port, request(method, "/_fargate-batch/fire?name=nightly", headers))


def test_the_control_path_is_for_a_post_with_the_token(cloud: Cloud) -> None:
    token = read_token(cloud.port)
    assert token is not None
    assert control(cloud, None).status == 403
    assert control(cloud, "").status == 403
    assert control(cloud, f"{token}x").status == 403
    assert control(cloud, token, "GET").status == 405
    found = control(cloud, token)
    assert found.status == 404
    assert json.loads(found.body)["message"].startswith("there is no schedule 'nightly'")


AWAY = ["cloudformation", "athena", "glue", "cognito-idp", "apigateway", "rds", "execute-api"]


@pytest.mark.parametrize("service", AWAY)
def test_a_service_the_program_does_not_use_is_not_available(cloud: Cloud, service: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": signed(service)}
    host = {"Host": f"127.0.0.1:{cloud.port}"}
    found = send(cloud.port, request("POST", "/", {**host, **form}, b"Action=CreateStack"))
    assert found.status == 501
    assert f"{service} is not available in this cloud".encode() in found.body


def test_no_service_is_told_by_anything_but_the_signature(cloud: Cloud) -> None:
    host = {"Host": f"127.0.0.1:{cloud.port}", "Content-Type": "application/x-www-form-urlencoded"}
    unsigned: list[tuple[dict[str, str], bytes]] = [
        ({}, b"Action=CreateStack&StackName=a"),
        ({"X-Amz-Target": "AWSStepFunctions.ListStateMachines"}, b"{}"),
    ]
    for headers, body in unsigned:
        assert send(cloud.port, request("POST", "/", {**host, **headers}, body)).status == 403
    query = f"/?Action=ListRoles&Version=2010-05-08&X-Amz-Credential=test/20260401/{REGION}/iam/"
    for credentials in (
        f"{query}aws4_request&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0",
        query,
        "/?Action=ListRoles&Version=2010-05-08&AWSAccessKeyId=test&Signature=0",
        "/?Action=ListRoles&Version=2010-05-08&AWSAccessKeyId=test",
    ):
        found = send(cloud.port, request("GET", credentials, host))
        assert b"ListRolesResult" not in found.body
        assert b"<Error>" in found.body or found.status == 200, "a list of buckets at most"
