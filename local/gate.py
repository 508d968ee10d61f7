"""Every request, before anything else looks at it: from whom does a browser say it comes?

What passes was sent by a program of this machine, by a page of this cloud's own, or by a page that
may use what it asks for. All else is answered with 403 and one line.
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Shares = Callable[[Message, str], bool]

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_ADDRESSES = {"127.0.0.1", "[::1]"}
# What this cloud serves is never a page that may do anything, nor a part of another site's page.
_ON_EVERY_ANSWER = (
    (b"content-security-policy", b"sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)
_CORS = b"access-control-"


class Refused(Exception):  # noqa: N818 - says what happened
    """Why a request goes no further, in one line."""


def is_name(name: str) -> bool:
    """Whether a text can be a host's name, in lower case: no address, no port."""
    return len(name) <= 253 and _NAME.fullmatch(name) is not None and not _is_number(name)


def _is_number(name: str) -> bool:
    # What ends with a number is read as an IPv4 address: https://url.spec.whatwg.org/#host-parsing
    return re.fullmatch(r"[0-9]+|0x[0-9a-f]*", name.rpartition(".")[2]) is not None


class Gate:
    """The gate in front of an ASGI application that listens on one port of loopback.

    Args:
        app: what is behind it.
        port: the port that `Host` must name.
        names: names of this machine, whose subdomains are meant too.
        shares: whether a page of another origin may send this request; nothing else of the request
            is looked at when it says yes.
    """

    def __init__(self, app: App, port: int, names: Sequence[str], shares: Shares) -> None:
        self._app = app
        self._port = port
        self._names = names
        self._shares = shares

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            shared = self._look(scope)
        except Refused as refused:
            await _refuse(scope, receive, send, str(refused))
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [
                    (name, value)
                    for name, value in message.get("headers", [])
                    if shared or not name.lower().startswith(_CORS)
                ]
                given = {name.lower() for name, _ in own}
                ours = [pair for pair in _ON_EVERY_ANSWER if pair[0] not in given]
                message = {**message, "headers": [*own, *ours]}
            await send(message)

        await self._app(scope, receive, send_on)

    def _look(self, scope: Message) -> bool:
        """Whether another origin's page sent it and may; raises `Refused`."""
        raw: bytes = scope.get("raw_path") or b""
        if not raw.startswith(b"/"):
            raise Refused("the request's target is not a path")
        host = self._host(scope)
        origins = _values(scope, b"origin")
        site = _values(scope, b"sec-fetch-site")
        if len(origins) > 1 or len(site) > 1:
            raise Refused("Origin and Sec-Fetch-Site may be sent once")
        origin = origins[0] if origins else None
        own = origin is None or origin.lower() == f"http://{host}"
        if own and (not site or site[0] in {"none", "same-origin"}):
            return False
        if scope["type"] == "http" and origin is not None and self._shares(scope, origin):
            return True
        page = origin or f"a page of another site (Sec-Fetch-Site: {site[0]})"
        raise Refused(f"{page} may not use this cloud")

    def _host(self, scope: Message) -> str:
        sent = _values(scope, b"host")
        if len(sent) != 1:
            raise Refused("a request names one Host")
        host = sent[0].lower()
        # The port of http that is not written.
        name, _, port = host.rpartition(":") if re.search(r":[0-9]*$", host) else (host, "", "80")
        if port != str(self._port):
            raise Refused(f"Host {host} is not this cloud: its port is {self._port}")
        if name in _ADDRESSES:
            return host
        if is_name(name) and any(name == one or name.endswith(f".{one}") for one in self._names):
            return host
        raise Refused(f"Host {host} is not this cloud: name others with --host-name")


def _values(scope: Message, name: bytes) -> list[str]:
    return [
        value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == name
    ]


async def _refuse(scope: Message, receive: Receive, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    # What another site wrote comes back as text that stays on its line.
    body = re.sub(r"[^ -~]", "?", why)[:500].encode() + b"\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        # What is left of the request is not read.
        (b"connection", b"close"),
        *_ON_EVERY_ANSWER,
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
