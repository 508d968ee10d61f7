"""The control path of a running cloud, beside AWS's: `POST /_fargate-batch/…` on the same port.

`/_fargate-batch/outputs` answers what `up --json` prints; `/_fargate-batch/fire?name=…` fires a
schedule, by its name or ARN. AWS itself has neither: there, the outputs are Pulumi's to tell, and a
schedule is only fired by its clock.
"""

import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from local.gate import Message, Receive, Send
from local.services.scheduler import schedules

PREFIX = "/_fargate-batch/"
OUTPUTS = f"{PREFIX}outputs"
FIRE = f"{PREFIX}fire"

_contracts: list[Mapping[str, Any]] = []


def serve(contract: Mapping[str, Any]) -> None:
    """Answer with `contract` when asked for the outputs."""
    _contracts[:] = [contract]


def authorization(token: str) -> str:
    """The Authorization header of a request to the control path."""
    return f"Bearer {token}"


class Control:
    """The control path as an ASGI application, for whoever knows the token."""

    def __init__(self, token: str) -> None:
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

    def _answer(self, scope: Message) -> tuple[int, Mapping[str, Any]]:
        sent = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        if len(sent) != 1 or not hmac.compare_digest(sent[0], self._expected):
            return 403, {"message": "only a command of this user may ask here"}
        if scope["method"] != "POST":
            return 405, {"message": "ask with POST"}
        query = dict(parse_qsl(scope["query_string"].decode("ascii", "replace")))
        return answer(scope["path"], query)


def answer(path: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
    """The status and the JSON body of a request to the control path."""
    if path != OUTPUTS:
        return schedules.handle_control(path, query)
    if not _contracts:
        return 404, {"message": "the stack is not created yet: ask again in a moment"}
    return 200, _contracts[-1]
