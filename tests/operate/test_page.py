"""The page in a real browser: what an operator does with it at night."""

import os
import re
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.chromium import CHROMIUM, Tab, tab
from tests.local.probe import eventually
from tests.operate.conftest import CommandLine, Deployed
from tests.operate.served import Client, served
from tests.operate.test_letters import executions, letters, without
from tests.recorder import ROOT

HOSTILE = "target/<img src=x onerror=document.title='taken'>\u202e日本語 é.csv"
UNNAMED = (
    "[...document.querySelectorAll('input:not([type=hidden]), select')]"
    ".filter(one => !one.labels.length && !one.ariaLabel)"
)
NARROW, WIDE = (400, 800), (1280, 800)
PICTURE = ROOT / "docs" / "page.png"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here"),
]


@pytest.fixture
def page(deployed: Deployed, tmp_path: Path) -> Generator[Tab]:
    """The page, open, with everything that it may change."""
    with served(deployed.stack(), write=True) as server, tab(tmp_path) as opened:
        opened.size(*WIDE)
        opened.open(server.url)
        yield opened
        assert _complaints(opened) == []
        assert _hosts(opened) == {f"127.0.0.1:{server.port}"}
    for url in deployed.client("sqs").list_queues()["QueueUrls"]:
        deployed.client("sqs").purge_queue(QueueUrl=url)


def _complaints(page: Tab) -> list[str]:
    """What the browser found wrong: errors of scripts, what the policy refused."""
    page.run("1")
    entries = [one["params"]["entry"] for one in page.said if one["method"] == "Log.entryAdded"]
    thrown = [one["params"] for one in page.said if one["method"] == "Runtime.exceptionThrown"]
    return [*(f"{one['text']} {one.get('url')}" for one in entries), *map(str, thrown)]


def _hosts(page: Tab) -> set[str]:
    sent = [one for one in page.said if one["method"] == "Network.requestWillBeSent"]
    urls = [one["params"]["request"]["url"] for one in sent]
    assert len(urls) > 3
    return {match[1] for url in urls if (match := re.match(r"\w+://([^/]*)", url))}


def _focus_with_tab(page: Tab, wanted: str) -> None:
    """Reach an element as who has no mouse does."""
    for _ in range(60):
        if page.run(f"document.activeElement.matches({wanted!r})"):
            return
        page.press("Tab")
    pytest.fail(f"{wanted} is not reached with the keyboard")


def test_an_upload_is_seen_to_come_opened_read_and_its_letter_sent(
    page: Tab, deployed: Deployed, fargate_batch: CommandLine
) -> None:
    page.until("document.body.innerText.includes('Nothing has run yet')")
    page.run("window.same = 1")

    deployed.put("target/orders.csv")
    page.until("document.querySelector('td .succeeded')")
    row = page.run("document.querySelector('tbody tr').innerText")
    assert "upload target/orders.csv" in row

    _focus_with_tab(page, "tbody a[id^=run-]")
    # Still the page that was loaded: it has asked for its parts alone.
    assert page.run("window.same") == 1
    page.press("Enter")
    page.until("location.pathname.startsWith('/runs/')")
    page.until("document.body.innerText.includes('target/orders.csv')")
    text = page.until("document.querySelector('.timeline .log') && document.body.innerText")
    assert "began, arguments 1" in text
    for what in ("upload", "rule", "execution", "task", "image"):
        assert page.run(f"!!document.querySelector('.timeline .{what}')"), what
    assert page.run("document.querySelector('#input pre').textContent").startswith("{")

    deployed.broken.touch()
    try:
        deployed.put("target/broken.csv")
        page.run("document.querySelector('nav a').click()")
        page.until("document.querySelector('h1').innerText == '1 thing is wrong'")
    finally:
        deployed.broken.unlink()
    page.until("document.body.innerText.includes('exit code 4')")

    with without(deployed, "upload-target", "states:StartExecution"):
        deployed.put("target/letter.csv")
        letters(fargate_batch, "upload-target")
    link = "document.querySelector('#letters-upload-target')"
    assert "1 of upload-target" in page.until(f"{link} && document.body.innerText")
    assert "more days" in page.text()
    if os.environ.get("PICTURE") == "write":
        page.size(1100, 660)
        PICTURE.write_bytes(page.picture())
    before = executions(deployed)
    page.run(f"{link}.click()")
    page.until("document.body.innerText.includes('target/letter.csv')")
    page.run("document.querySelector('button[value=send]').click()")
    page.until("document.querySelector('h1').innerText == 'Send these letters?'")
    assert "would start an execution" in page.text()
    assert executions(deployed) == before
    page.run("document.querySelector('button[value=send]').click()")
    page.until("document.querySelector('h1').innerText == 'Done'")
    assert len(eventually(lambda: set(executions(deployed)) - set(before))) == 1
    assert letters(fargate_batch, "upload-target", 0) == []
    page.run("document.querySelector('nav a').click()")
    page.until("document.querySelector('h1').innerText == '1 thing is wrong'")
    page.until("document.querySelector('main').innerText.includes('letter upload-target')")
    assert page.run("document.title") == "dev · fargate-batch"


def test_every_page_fits_a_phone_and_shows_hostile_keys_as_text(
    page: Tab, deployed: Deployed
) -> None:
    deployed.put(HOSTILE)
    page.size(*NARROW)
    page.open(page.run("location.origin") + "/")
    row = "[...document.querySelectorAll('tbody tr')].find(one => one.innerText.includes('日本語'))"
    page.until(f"{row} && {row}.querySelector('.succeeded')")
    assert "<img src=x onerror=document.title='taken'>\\u202e日本語 é.csv" in page.text()
    run = page.run(f"{row}.querySelector('a').pathname")
    for path in ("/", "/runs", run, "/letters", "/schedules", "/cost"):
        page.open(page.run("location.origin") + path)
        assert page.run("document.documentElement.scrollWidth") <= NARROW[0], path
        assert page.run("document.querySelectorAll('main img, main script').length") == 0
        assert page.run("document.title") != "taken"
        # Each control has a name for who does not see it.
        assert page.run(f"{UNNAMED}.length") == 0, path


def test_filters_are_in_the_address_and_stay_while_rows_come(page: Tab, deployed: Deployed) -> None:
    page.open(page.run("location.origin") + "/runs?status=failed&upload=nothing.csv")
    page.until("document.body.innerText.includes('No such run')")
    page.run("document.querySelector('[name=upload]').value = 'of-the-filter'")
    page.run("document.querySelector('[name=status]').value = ''")
    deployed.put("target/of-the-filter.csv")
    page.run("document.querySelector('.filters button').click()")
    page.until("location.search.includes('upload=of-the-filter')")
    page.run("document.querySelector('[name=since]').value = 'half typed'")
    page.until("document.querySelector('td .succeeded')")
    assert page.run("document.querySelectorAll('tbody tr').length") == 1
    assert page.run("document.querySelector('[name=since]').value") == "half typed"


def test_a_page_whose_server_is_gone_says_so(deployed: Deployed, tmp_path: Path) -> None:
    with tab(tmp_path) as page:
        with served(deployed.stack()) as server:
            page.open(server.url)
            page.until("document.querySelector('h1')")
            assert page.run("document.querySelector('#stale').hidden")
            # Without --write there is nothing to press.
            page.open(page.run("location.origin") + "/letters")
            assert page.run("document.querySelectorAll('form[method=post]').length") == 0
            page.open(page.run("location.origin") + "/")
        page.until("!document.querySelector('#stale').hidden")


def test_the_first_byte_comes_soon_and_a_page_is_small(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    run = fargate_batch.run(deployed.start().rpartition(":")[2])
    with served(deployed.stack()) as server:
        client = Client(server).enter()
        sizes = {path: len(client.get(path).text) for path in ("/", f"/runs/{run['id']}")}
        named = re.findall(r'"(/static/[^"]+)"', client.get("/").text)
        files = [client.get(path, accept_encoding="gzip") for path in named]
    assert max(sizes.values()) < 100_000
    assert sorted(path.rpartition("/")[2] for path in named) == [
        *("htmx.min.js", "icon.svg", "page.css", "page.js")
    ]
    assert sum(int(one.headers["content-length"]) for one in files) < 25_000
    # Their names say what they contain, so a browser asks once.
    assert {one.headers["cache-control"] for one in files} == {
        "private, max-age=31536000, immutable"
    }
