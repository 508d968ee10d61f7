"""The seam: a request of an AWS service is answered by an operation of ours, or passed on.

Whatever sends it, over HTTP or from within MiniStack, goes through one table of handlers.
"""

import functools
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from local import shapes
from local.ministack import internals
from local.ministack.internals import Response

_Handler = Callable[..., Awaitable[Response]]


class Refused(Exception):  # noqa: N818 - the answer that a request gets
    """An error of AWS's API: its code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Request:
    """A request as the API's model has it, and the way to MiniStack's answer."""

    members: dict[str, Any]
    pass_on: Callable[[], Awaitable[Response]]


Operation = Callable[[Request], Awaitable[Response | Mapping[str, Any]]]
"""Answers with the members of the API's output, or with what `pass_on` gave; raises `Refused`."""


def serve(service: str, operations: Mapping[str, Operation]) -> Callable[[], None]:
    """Ask `operations`, by their name in the API, before MiniStack's handler; returns the undo."""
    handlers = internals.service_handlers()
    passed_on: _Handler = handlers.get(service, _not_here)
    name_of = _by_path(service, tuple(operations))

    async def handle(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Response:
        target = headers.get("x-amz-target", "").rpartition(".")[2]
        found = (target, {}) if target else name_of(method, path)
        operation = operations.get(found[0])

        async def pass_on() -> Response:
            return await passed_on(method, path, headers, body, query)

        if operation is None:
            return await pass_on()
        try:
            members: object = json.loads(body or b"{}")
        except ValueError:
            return await pass_on()
        if not isinstance(members, dict):
            return await pass_on()
        first = {name: value[0] for name, value in query.items() if isinstance(value, list)}
        content = "application/x-amz-json-1.0" if target else "application/json"
        try:
            answer = await operation(Request({**members, **first, **found[1]}, pass_on))
        except Refused as refused:
            error = {"__type": refused.code, "message": refused.message}
            return 400, {"Content-Type": content, "x-amzn-errortype": refused.code}, _json(error)
        if isinstance(answer, tuple):
            return answer
        return 200, {"Content-Type": content}, _json(answer)

    def undo() -> None:
        handlers[service] = passed_on
        if passed_on is _not_here:
            del handlers[service]

    handlers[service] = handle
    return undo


async def _not_here(*_request: object) -> Response:
    """The rest of a service that MiniStack has not."""
    refused = {"__type": "NotImplemented", "message": "This is not available in this cloud."}
    return 501, {"Content-Type": "application/x-amz-json-1.1"}, _json(refused)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _by_path(
    service: str, operations: tuple[str, ...]
) -> Callable[[str, str], tuple[str, dict[str, str]]]:
    """The operation that a method and a path mean, with the members in the path."""

    @functools.cache
    def routes() -> list[tuple[str, str, re.Pattern[str]]]:
        model = shapes.service_model(shapes.model_of(service))
        if model.metadata["protocol"] != "rest-json":
            return []
        found: list[tuple[str, str, re.Pattern[str]]] = []
        for name in operations:
            http: dict[str, str] = model.operation_model(name).http
            path = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(http["requestUri"]))
            found.append((name, http["method"], re.compile(path)))
        return found

    def name_of(method: str, path: str) -> tuple[str, dict[str, str]]:
        for name, its_method, pattern in routes():
            if method == its_method and (match := pattern.fullmatch(path)):
                return name, {key: unquote(value) for key, value in match.groupdict().items()}
        return "", {}

    return name_of
