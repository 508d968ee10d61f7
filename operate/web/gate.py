"""Every request, before the page sees it: for this server, from its own page, with its token?

Other programs of this machine, and pages of other sites in the same browser, reach the port too.
"""

import secrets
from urllib.parse import urlencode

from starlette.datastructures import URL, Headers, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
# https://developer.mozilla.org/en-US/docs/Web/HTTP/Guides/CSP
_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "connect")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_ON_EVERY_ANSWER = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # With no-referrer a form would say `Origin: null`.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Gate:
    """The gate in front of an ASGI application that listens on one port of loopback.

    Args:
        app: what is behind it.
        port: the port that `Host` must name.
        write: whether anything may be changed.
    """

    def __init__(self, app: ASGIApp, port: int, *, write: bool) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        self._write = write
        self.token = secrets.token_urlsafe(32)
        # A browser sends a cookie to every port of a host.
        self._cookie = f"fargate-batch-{port}"
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = list(message.get("headers", []))
                named = {name for name, _ in found}
                found += [
                    (name.encode(), text.encode())
                    for name, text in _ON_EVERY_ANSWER.items()
                    # What may be kept says so itself.
                    if name != "cache-control" or name.encode() not in named
                ]
                message = {**message, "headers": found}
            await send(message)

        await (self._answer(scope) or self._app)(scope, receive, send_on)

    def _answer(self, scope: Scope) -> Response | None:
        """What a request is answered that goes no further; None of one that does."""
        headers = Headers(scope=scope)
        why = self._foreign(headers)
        if scope["method"] in {"GET", "HEAD"}:
            query = QueryParams(scope["query_string"])
            if "token" in query and why is None:
                return self._enter(scope, query)
        elif not self._write:
            why = why or "read-only: start it with --write"
        elif "origin" not in headers:
            why = why or "a change says its Origin"
        if why is not None:
            return PlainTextResponse(f"{why}\n", 403)
        sent = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        if not secrets.compare_digest(sent.encode(), self._session.encode()):
            return _unknown("open the address that the command printed, with its token")
        return None

    def _foreign(self, headers: Headers) -> str | None:
        """Why a request is not of this page's own; None if it is."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return "this server has another name"
        # https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
        origins, sites = headers.getlist("origin"), headers.getlist("sec-fetch-site")
        own = {f"http://{hosts[0]}"}
        if not (set(origins) <= own and set(sites) <= {"none", "same-origin"}):
            return "a page of another site may not use this one"
        return None

    def _enter(self, scope: Scope, query: QueryParams) -> Response:
        """The token for a cookie, and an address without it."""
        if not secrets.compare_digest(query["token"].encode(), self.token.encode()):
            return _unknown("the token is of another start: open the address printed last")
        rest = [(name, value) for name, value in query.multi_items() if name != "token"]
        # A path of two slashes would be another host's.
        path = "/" + URL(scope=scope).path.lstrip("/")
        answer = RedirectResponse(f"{path}?{urlencode(rest)}" if rest else path, 303)
        answer.set_cookie(self._cookie, self._session, httponly=True, samesite="strict")
        return answer


def _unknown(why: str) -> Response:
    return PlainTextResponse(f"{why}\n", 401)
