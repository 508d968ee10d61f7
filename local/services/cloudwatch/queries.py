"""CloudWatch Logs Insights: saved queries, which are kept and not run.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutQueryDefinition.html
"""

import time
import uuid
from typing import Any

from local.ministack.seam import Operation, Refused, Request, serve
from local.runtime import Runtime

_Saved = dict[str, dict[str, Any]]


def install(cloud: Runtime) -> None:
    """Answer the requests about saved queries until the cloud closes; none is saved yet."""
    saved: _Saved = {}

    async def put(request: Request) -> dict[str, Any]:
        return _put(saved, request.members)

    async def delete(request: Request) -> dict[str, Any]:
        identity = request.members["queryDefinitionId"]
        if saved.pop(identity, None) is None:
            raise _not_found(identity)
        return {"success": True}

    async def describe(request: Request) -> dict[str, Any]:
        prefix = request.members.get("queryDefinitionNamePrefix", "")
        found = [one for one in saved.values() if one["name"].startswith(prefix)]
        return {"queryDefinitions": sorted(found, key=lambda one: one["name"])}

    operations: dict[str, Operation] = {
        "PutQueryDefinition": put,
        "DeleteQueryDefinition": delete,
        "DescribeQueryDefinitions": describe,
    }
    cloud.on_close(serve("logs", operations))


def _put(saved: _Saved, request: dict[str, Any]) -> dict[str, Any]:
    identity = request.get("queryDefinitionId") or str(uuid.uuid4())
    if "queryDefinitionId" in request and identity not in saved:
        raise _not_found(identity)
    saved[identity] = {
        "queryLanguage": request.get("queryLanguage", "CWLI"),
        "queryDefinitionId": identity,
        "name": request["name"],
        "queryString": request["queryString"],
        "lastModified": int(time.time() * 1000),
        "logGroupNames": request.get("logGroupNames", []),
    }
    return {"queryDefinitionId": identity}


def _not_found(identity: str) -> Refused:
    return Refused("ResourceNotFoundException", f"The query definition {identity} does not exist")
