"""A Chromium without a window, told what to do through a pipe.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tests.processes import stop

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--no-proxy-server",
)
SECONDS = 120


class Tab:
    """A page that is open. `said` has what the browser told of it: requests, errors, refusals."""

    def __init__(self, answers: BinaryIO, questions: BinaryIO) -> None:
        self._in, self._out = answers, questions
        self._ids = itertools.count(1)
        self._rest = b""
        self._session: str | None = None
        self.said: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: object) -> Any:  # noqa: ANN401 -- JSON
        """Call a method of the protocol."""
        identity = next(self._ids)
        message = {"id": identity, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            answer = self._next()
            if answer.get("id") == identity:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.said.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._in.fileno(), 1 << 16)
            assert piece, "the browser is gone"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, url: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self.ask("Page.navigate", url=url)
        self.until("document.readyState == 'complete' && location.href != 'about:blank'")

    def run(self, script: str) -> Any:  # noqa: ANN401 -- JSON
        """The value of an expression in the page, or of the promise that it is."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str) -> Any:  # noqa: ANN401 -- JSON
        """The value of an expression, once that is true."""
        end = time.monotonic() + SECONDS
        # While another page comes, there may be nothing to look at.
        look = f"(() => {{ try {{ return Boolean({script}) }} catch {{ return false }} }})()"
        while not self.run(look):
            assert time.monotonic() < end, f"{script} is not so: {self.text()}"
            time.sleep(0.05)
        return self.run(script)

    def text(self) -> str:
        """What the page shows."""
        return self.run("document.body.innerText")

    def press(self, key: str) -> None:
        """Press and release a key: Tab, Enter."""
        code = {"Tab": 9, "Enter": 13, " ": 32}[key]
        text = {"Enter": "\r", " ": " "}.get(key)
        known = {"key": key, "windowsVirtualKeyCode": code} | ({"text": text} if text else {})
        self.ask("Input.dispatchKeyEvent", type="keyDown", **known)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **known)

    def size(self, width: int, height: int) -> None:
        """Be a window of so many pixels."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def picture(self) -> bytes:
        """A PNG of the window."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])


# The browser reads from 3 and writes to 4.
_EXECUTE = """
import fcntl, os, sys
reading, writing = (fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3])
os.dup2(reading, 3)
os.dup2(writing, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def tab(profile: Path) -> Generator[Tab]:
    """A browser with one page, until the end of the block."""
    assert CHROMIUM is not None
    reading, theirs_out = os.pipe()
    theirs_in, writing = os.pipe()
    with os.fdopen(reading, "rb") as answers, os.fdopen(writing, "wb") as questions:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _EXECUTE, str(theirs_in), str(theirs_out), CHROMIUM),
                *(*FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out),
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Tab(answers, questions)
        finally:
            stop(process)
