"""Who may ask the page for something, and what for."""

import re
from collections.abc import Generator

import pytest

from tests.operate.conftest import CommandLine, Deployed
from tests.operate.served import Client, served

PATHS = ("/", "/runs", "/runs/x", "/letters", "/schedules", "/cost", "/static/x/htmx.min.js")


@pytest.fixture(scope="module")
def client(deployed: Deployed) -> Generator[Client]:
    with served(deployed.stack()) as server:
        yield Client(server).enter()


@pytest.fixture(scope="module")
def writing(deployed: Deployed) -> Generator[Client]:
    with served(deployed.stack(), write=True) as server:
        yield Client(server).enter()


def test_the_token_becomes_a_cookie_that_no_script_and_no_other_site_has(
    deployed: Deployed,
) -> None:
    with served(deployed.stack()) as server:
        client = Client(server)
        answer = client.get(f"{client.target}&job=ingest")
        assert (answer.status, answer.headers["location"]) == (303, "/?job=ingest")
        cookie, *attributes = answer.headers["set-cookie"].split("; ")
        assert {"HttpOnly", "SameSite=strict", "Path=/"} == set(attributes)
        assert str(server.port) in cookie
        # The token itself is in the address alone.
        assert server.url.partition("=")[2] not in cookie
        assert client.enter().get("/").status == 200


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_answered_without_the_token(client: Client, path: str) -> None:
    known, client.cookie = client.cookie, ""
    try:
        assert client.get(path).status == 401
        assert client.get(path, Cookie=f"{known.partition('=')[0]}=guessed").status == 401
        assert client.get(f"{path}?token=guessed").status == 401
        assert client.get(f"{path}?token=%ff%00%C3%A9").status == 401
    finally:
        client.cookie = known


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:PORT"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:PORT"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_name_and_a_page_of_another_site_are_refused(
    client: Client, writing: Client, headers: dict[str, str]
) -> None:
    for one in (client, writing):
        sent = {name: text.replace("PORT", str(one.port)) for name, text in headers.items()}
        for path in (*PATHS, one.target):
            answer = one.get(path, **sent)
            # A request without a Host is none of HTTP/1.1.
            assert answer.status in ({400, 403} if sent.get("Host") == "" else {403})
            assert "set-cookie" not in answer.headers
        assert one.post("/letters", [("id", "x"), ("action", "drop")], **sent).status in {400, 403}


def test_localhost_is_this_machine_too(client: Client) -> None:
    assert client.get("/cost", Host=f"localhost:{client.port}").status == 200


def test_a_page_without_write_changes_nothing(client: Client) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = client.send(method, "/letters", "id=x&action=drop", Origin=client.own)
        assert (answer.status, answer.text) == (403, "read-only: start it with --write\n")


def test_a_change_says_its_origin_and_has_the_cookie(writing: Client) -> None:
    form = [("id", "x"), ("action", "drop"), ("sure", "yes")]
    assert writing.post("/letters", form, Origin="").status == 403
    assert writing.post("/letters", form, Cookie="").status == 401
    assert writing.post(writing.target, form, Cookie="").status == 401
    answer = writing.post("/letters", form)
    assert (answer.status, "1 of them is gone" in answer.text) == (200, True)
    assert writing.post("/letters", [("id", "x" * 1_000_001)]).status == 413
    assert writing.post("/letters", [("action", "mend"), ("id", "x")]).status == 404
    assert writing.post("/runs", form).status == 405


@pytest.mark.parametrize("path", [*PATHS, "/nothing", "/?token=guessed"])
def test_every_answer_keeps_other_sites_out(client: Client, path: str) -> None:
    found = client.get(path).headers
    policy = found["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert found["x-content-type-options"] == "nosniff"
    assert found["cross-origin-resource-policy"] == "same-origin"
    assert found["cache-control"] == "no-store"
    assert "server" not in found


def test_no_path_leads_out_of_the_static_files(client: Client) -> None:
    found = re.search(r'"(/static/\w+)/page.css"', client.get("/").text)
    assert found
    for path in ("/../../app.py", "/%2e%2e/%2e%2e/app.py", "//etc/passwd", "/"):
        assert client.get(found[1] + path).status == 404


def test_a_path_of_two_slashes_is_not_another_host(client: Client) -> None:
    token = client.target.partition("?")[2]
    assert client.get(f"//evil.example/?{token}").headers["location"] == "/evil.example/"


def test_a_port_that_is_taken_is_said(client: Client, fargate_batch: CommandLine) -> None:
    answer = fargate_batch("web", "--listen", str(client.port))
    assert answer.status == 2
    assert f"port {client.port} is not free" in answer.err
    assert fargate_batch("web", "--listen", "65536").status == 2
