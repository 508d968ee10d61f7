"""The page, served by a thread for as long as a test takes."""

import asyncio
import gzip
import http.client
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPResponse
from urllib.parse import urlencode

from operate.stack import Stack
from operate.web.server import Server


@contextmanager
def served(stack: Stack, *, write: bool = False) -> Generator[Server]:
    """The page of a stack."""
    server = Server(stack, 0, write=write)
    stop = threading.Event()

    async def until() -> None:
        await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=server.serve, args=(until,))
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join()


class Client:
    """What a program sends to the page; `cookie` is what the token was exchanged for."""

    def __init__(self, server: Server) -> None:
        self.port = server.port
        self.own = f"http://127.0.0.1:{self.port}"
        self.target = server.url.removeprefix(self.own)
        self.cookie = ""

    def enter(self) -> "Client":
        """Use the token."""
        self.cookie = self.get(self.target).headers["set-cookie"].partition(";")[0]
        return self

    def get(self, path: str, **headers: str) -> "Answer":
        return self.send("GET", path, **headers)

    def post(self, path: str, form: list[tuple[str, str]], **headers: str) -> "Answer":
        return self.send("POST", path, urlencode(form), **{"Origin": self.own} | headers)

    def send(self, method: str, path: str, body: str | None = None, **headers: str) -> "Answer":
        """Send a request; a header without a value is left out."""
        known = {"Host": f"127.0.0.1:{self.port}", "Cookie": self.cookie} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in known.items():
                if value:
                    connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(None if body is None else body.encode())
            return Answer(connection.getresponse())
        finally:
            connection.close()


class Answer:
    """What came back."""

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        body = response.read()
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.text = body.decode()
