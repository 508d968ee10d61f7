"""The control path of a running cloud, beside AWS's: `/_fargate-batch/…` on the same port.

`GET /_fargate-batch/outputs` answers what `up --json` prints. `POST /_fargate-batch/fire`, with
`{"scheduleArn": …}`, fires a schedule now. AWS itself has neither: there, the outputs are Pulumi's
to tell, and a schedule is only fired by its clock.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from local import patch

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
        body = await _body(receive)
        status, answer = await _answer(scope["method"], path, body, contract)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        text = json.dumps(answer, ensure_ascii=False).encode()
        await send({"type": "http.response.body", "body": text})

    original = patch.replace("ministack.app", "app", app, ("scope", "receive", "send"))


async def _body(receive: _Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _answer(
    method: str, path: str, body: bytes, contract: Mapping[str, Any]
) -> tuple[int, Mapping[str, Any]]:
    match method, path:
        case "GET", "/_fargate-batch/outputs":
            return 200, contract
        case "POST", "/_fargate-batch/fire":
            return await asyncio.to_thread(_fire, body)
        case _:
            return 404, {"message": f"There is no {method} {path}"}


def _fire(body: bytes) -> tuple[int, Mapping[str, Any]]:
    from local import schedules  # noqa: PLC0415 -- it imports MiniStack, after its settings

    try:
        arn = json.loads(body)["scheduleArn"]
    except (ValueError, KeyError, TypeError):
        return 400, {"message": 'Expected {"scheduleArn": …}'}
    try:
        schedules.fire(arn)
    except LookupError as error:
        return 404, {"message": str(error)}
    return 200, {"scheduleArn": arn}
