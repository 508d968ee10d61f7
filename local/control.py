"""The control path of a running cloud, beside AWS's: `/_fargate-batch/…` on the same port.

`GET /_fargate-batch/outputs` answers what `up --json` prints. `POST /_fargate-batch/fire?name=…`
fires a schedule, by its name or ARN. AWS itself has neither: there, the outputs are Pulumi's to
tell, and a schedule is only fired by its clock.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from local import patch, schedules

PREFIX = "/_fargate-batch/"
OUTPUTS = f"{PREFIX}outputs"
FIRE = f"{PREFIX}fire"

_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]


def serve(contract: Mapping[str, Any]) -> None:
    """Answer on the control path of the open cloud, until it closes."""

    async def app(scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(PREFIX):
            await original(scope, receive, send)
            return
        status, answer = await _answer(scope, contract)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        text = json.dumps(answer, ensure_ascii=False).encode()
        await send({"type": "http.response.body", "body": text})

    original = patch.replace("ministack.app", "app", app, ("scope", "receive", "send"))


async def _answer(
    scope: Mapping[str, Any], contract: Mapping[str, Any]
) -> tuple[int, Mapping[str, Any]]:
    match scope["method"], scope["path"]:
        case "GET", "/_fargate-batch/outputs":
            return 200, contract
        case "POST", "/_fargate-batch/fire":
            query = dict(parse_qsl(scope["query_string"].decode()))
            return await asyncio.to_thread(schedules.handle_control, FIRE, query)
        case method, path:
            return 404, {"message": f"there is no {method} {path}"}
