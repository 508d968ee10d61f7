"""RedriveExecution: an execution that did not succeed goes on from the state that it ended in.

https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html. A Parallel or Map
state is entered again whole; AWS runs again what failed of it alone.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from local.ministack.internals import Response
from local.ministack.seam import Refused, Request

REDRIVABLE = {"FAILED", "TIMED_OUT", "ABORTED"}
_WITHIN = timedelta(days=14)


def refusal(record: Mapping[str, Any]) -> str | None:
    """Why an execution cannot be redriven, in AWS's words; None if it can."""
    if record["status"] not in REDRIVABLE:
        return f"Execution is {record['status']} and cannot be redriven"
    stopped = datetime.fromisoformat(record["stopDate"])
    if datetime.now(UTC) - stopped > _WITHIN:
        return "Execution has exceeded its redrivable period"
    return None


def fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """What DescribeExecution and the status event have of it; a time as the record has it."""
    reason = refusal(record)
    return {
        "redriveCount": record.get("redriveCount", 0),
        "redriveDate": record.get("redriveDate"),
        "redriveStatus": "REDRIVABLE" if reason is None else "NOT_REDRIVABLE",
        "redriveStatusReason": reason,
    }


def check(record: Mapping[str, Any]) -> None:
    """Refuse what cannot be redriven."""
    if (reason := refusal(record)) is not None:
        raise Refused("ExecutionNotRedrivable", reason)


async def described(request: Request, record: Mapping[str, Any]) -> Response:
    """DescribeExecution with the fields that MiniStack leaves out."""
    status, headers, body = await request.pass_on()
    known = {name: value for name, value in fields(record).items() if value is not None}
    if "redriveDate" in known:
        known["redriveDate"] = datetime.fromisoformat(known["redriveDate"]).timestamp()
    answer: dict[str, Any] = json.loads(body) | known
    return status, headers, json.dumps(answer, ensure_ascii=False).encode()
