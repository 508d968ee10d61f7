"""RedriveExecution: an execution that did not succeed goes on from the state that it ended in.

https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html. A Parallel or Map
state goes on with what did not succeed of it. AWS does not say whether a state that is run again
is entered again: here its history has a second event for that.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from local.ministack import internals
from local.ministack.internals import Response
from local.ministack.seam import Refused, Request

REDRIVABLE = {"FAILED", "TIMED_OUT", "ABORTED"}
_WITHIN = timedelta(days=14)
_MOST_EVENTS = 24_999


def refusal(record: Mapping[str, Any]) -> str | None:
    """Why an execution cannot be redriven, in AWS's words; None if it can."""
    if record["status"] not in REDRIVABLE:
        return f"Execution is {record['status']} and cannot be redriven"
    machine = str(record["stateMachineArn"]).partition("/")[0]
    if (internals.state_machines().get(machine) or {}).get("status") == "DELETING":
        return "State machine is in DELETING status"
    if len(record["events"]) >= _MOST_EVENTS:
        return "Execution history event limit exceeded"
    stopped = datetime.fromisoformat(record["stopDate"])
    if datetime.now(UTC) - stopped > _WITHIN:
        return "Execution redrivable period exceeded"
    return None


def fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """What DescribeExecution and the status event have of it; a time as the record has it."""
    reason = refusal(record)
    redrivable = "REDRIVABLE_BY_MAP_RUN" if "mapRunArn" in record else "REDRIVABLE"
    return {
        "redriveCount": record.get("redriveCount", 0),
        "redriveDate": record.get("redriveDate"),
        "redriveStatus": redrivable if reason is None else "NOT_REDRIVABLE",
        "redriveStatusReason": reason,
    }


def check(record: Mapping[str, Any]) -> None:
    """Refuse what cannot be redriven."""
    if (reason := refusal(record)) is not None:
        raise Refused("ExecutionNotRedrivable", reason)
    if "mapRunArn" in record:
        raise Refused("ExecutionNotRedrivable", "Execution is redriven by its Map Run alone")


async def described(request: Request, record: Mapping[str, Any]) -> Response:
    """DescribeExecution with the fields that MiniStack leaves out."""
    status, headers, body = await request.pass_on()
    answer = _answered(json.loads(body) | fields(record))
    return status, headers, json.dumps(answer, ensure_ascii=False).encode()


def _answered(found: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in found.items() if value is not None}
    if "redriveDate" in known:
        known["redriveDate"] = datetime.fromisoformat(known["redriveDate"]).timestamp()
    return known


# https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html
async def handle_list(request: Request) -> Response:
    """ListExecutions with the fields that MiniStack leaves out, and as `redriveFilter` wants it."""
    of_map_run = "mapRunArn" in request.members
    wanted = request.members.get("redriveFilter")
    if wanted and not of_map_run:
        raise Refused("ValidationException", "redriveFilter takes a mapRunArn")
    status, headers, body = await request.pass_on()
    answer: dict[str, Any] = json.loads(body)
    listed: list[dict[str, Any]] = []
    for item in answer.get("executions", []):
        record = internals.executions()[item["executionArn"]]
        count, date = record.get("redriveCount", 0), record.get("redriveDate")
        more = {"redriveCount": count, "redriveDate": date}
        if of_map_run:
            more["itemCount"] = record["itemCount"]
        if wanted in {None, "REDRIVEN" if count else "NOT_REDRIVEN"}:
            listed.append(_answered(item | more))
    if "executions" in answer:
        answer["executions"] = listed
    return status, headers, json.dumps(answer, ensure_ascii=False).encode()
