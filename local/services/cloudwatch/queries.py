"""CloudWatch Logs Insights: saved queries, which are kept and not run.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutQueryDefinition.html
"""

import json
import time
import uuid
from typing import Any

from local.ministack import patch
from local.runtime import Runtime

_MODULE = "ministack.services.cloudwatch_logs"
_JSON = {"Content-Type": "application/x-amz-json-1.1"}
_Answer = tuple[int, dict[str, str], bytes]


def install(cloud: Runtime) -> None:  # noqa: ARG001 - as every part
    """Answer the requests about saved queries until the cloud closes; none is saved yet."""
    saved: dict[str, dict[str, Any]] = {}

    async def handle(
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, list[str]],
    ) -> _Answer:
        match headers.get("x-amz-target", "").rpartition(".")[2]:
            case "PutQueryDefinition":
                return _put(saved, json.loads(body))
            case "DeleteQueryDefinition":
                return _delete(saved, json.loads(body))
            case "DescribeQueryDefinitions":
                return _describe(saved, json.loads(body))
            case _:
                return await others(method, path, headers, body, query_params)

    others = patch.replace(
        _MODULE, "handle_request", handle, ("method", "path", "headers", "body", "query_params")
    )


def _put(saved: dict[str, dict[str, Any]], request: dict[str, Any]) -> _Answer:
    identity = request.get("queryDefinitionId") or str(uuid.uuid4())
    if "queryDefinitionId" in request and identity not in saved:
        return _not_found(identity)
    saved[identity] = {
        "queryLanguage": request.get("queryLanguage", "CWLI"),
        "queryDefinitionId": identity,
        "name": request["name"],
        "queryString": request["queryString"],
        "lastModified": int(time.time() * 1000),
        "logGroupNames": request.get("logGroupNames", []),
    }
    return _ok({"queryDefinitionId": identity})


def _delete(saved: dict[str, dict[str, Any]], request: dict[str, Any]) -> _Answer:
    identity = request["queryDefinitionId"]
    return _not_found(identity) if saved.pop(identity, None) is None else _ok({"success": True})


def _describe(saved: dict[str, dict[str, Any]], request: dict[str, Any]) -> _Answer:
    prefix = request.get("queryDefinitionNamePrefix", "")
    found = [one for one in saved.values() if one["name"].startswith(prefix)]
    return _ok({"queryDefinitions": sorted(found, key=lambda one: one["name"])})


def _ok(answer: dict[str, Any]) -> _Answer:
    return 200, dict(_JSON), json.dumps(answer).encode()


def _not_found(identity: str) -> _Answer:
    error = {
        "__type": "ResourceNotFoundException",
        "message": f"The query definition {identity} does not exist",
    }
    return 400, dict(_JSON), json.dumps(error).encode()
