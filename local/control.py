"""The control path of a running cloud, beside AWS's: `POST /_fargate-batch/…` on the same port.

`/_fargate-batch/outputs` answers what `up --json` prints; `/_fargate-batch/fire?name=…` fires a
schedule, by its name or ARN; `/_fargate-batch/apply?stack=…` begins an update, of which
`/_fargate-batch/applied` tells the result. AWS itself has none of them: there, outputs and updates
are Pulumi's, and a schedule is only fired by its clock. `GET /_fargate-batch/v4/…` is what
containers ask about their tasks, each at a URI that nobody else is told.
"""

import hmac
import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from local.gate import Message, Receive, Send
from local.services.ecs import metadata
from local.services.scheduler import schedules

PREFIX = "/_fargate-batch/"
OUTPUTS = f"{PREFIX}outputs"
FIRE = f"{PREFIX}fire"
APPLY = f"{PREFIX}apply"
APPLIED = f"{PREFIX}applied"


class Served(Protocol):
    """The stack that is served, as the control path knows it."""

    def begin(self, stack: str) -> tuple[int, Mapping[str, Any]]:
        """Begin an update, or say why not."""
        ...

    def result(self) -> tuple[int, Mapping[str, Any]]:
        """What came of the update that was begun last: 202 while it is under way."""
        ...


_serving: list[tuple[Mapping[str, Any], Served]] = []


def serve(contract: Mapping[str, Any], served: Served) -> None:
    """Answer with `contract` when asked for the outputs, and hand updates to `served`."""
    _serving[:] = [(contract, served)]


def authorization(token: str) -> str:
    """The Authorization header of a request to the control path."""
    return f"Bearer {token}"


class Control:
    """The control path as an ASGI application: for whoever knows the token, and for containers."""

    def __init__(self, token: str, containers: metadata.Endpoint) -> None:
        self._containers = containers
        self._expected = authorization(token).encode()

    async def __call__(self, scope: Message, _receive: Receive, send: Send) -> None:
        """Answer a request; no body is read."""
        status, answer = self._answer(scope)
        body = json.dumps(answer).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Message) -> tuple[int, Any]:
        if scope["path"].startswith(metadata.PREFIX):
            return self._containers.answer(scope["method"], scope["path"])
        sent = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        if len(sent) != 1 or not hmac.compare_digest(sent[0], self._expected):
            return 403, {"message": "only a command of this user may ask here"}
        if scope["method"] != "POST":
            return 405, {"message": "ask with POST"}
        query = dict(parse_qsl(scope["query_string"].decode("ascii", "replace")))
        return answer(scope["path"], query)


def answer(path: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
    """The status and the JSON body of a request to the control path."""
    if path not in {OUTPUTS, APPLY, APPLIED}:
        return schedules.handle_control(path, query)
    if not _serving:
        return 404, {"message": "the stack is not created yet: ask again in a moment"}
    contract, served = _serving[-1]
    if path == APPLY:
        return served.begin(query.get("stack", ""))
    return served.result() if path == APPLIED else (200, contract)
