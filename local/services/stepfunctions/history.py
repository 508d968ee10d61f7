"""The record of an execution: its events as GetExecutionHistory gives them, and as log lines.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

import json
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local.ministack import internals

Details = dict[str, Any]
Json = Any

# https://docs.aws.amazon.com/step-functions/latest/dg/cloudwatch-log-level.html
_ERRORS = ("Failed", "TimedOut", "Aborted")
_FATAL = ("ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted")
_PAYLOADS = ("input", "output", "inputDetails", "outputDetails", "parameters")


def now() -> str:
    """This moment, as records and the context object have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text_of(value: object) -> str:
    """A JSON text as Step Functions writes it: compact, not escaping what is not ASCII."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def payload_details(name: str, text: str) -> Details:
    """A text with the note beside it that it was not cut."""
    return {name: text, f"{name}Details": {"truncated": False}}


class History:
    """The events of one execution, in a list that is also the record's own."""

    def __init__(self, record: dict[str, Any], machine: dict[str, Any]) -> None:
        self._record = record
        self._events: list[Details] = record["events"]
        self._arn: str = record["executionArn"]
        self._lock = threading.Lock()
        self._ended = False
        logging: Details = machine.get("loggingConfiguration") or {}
        destinations: list[Details] = logging.get("destinations") or []
        self._level: str = logging.get("level", "OFF")
        self._with_data = bool(logging.get("includeExecutionData"))
        group = next((d["cloudWatchLogsLogGroup"]["logGroupArn"] for d in destinations), "")
        self._group = group.removesuffix(":*").rpartition(":log-group:")[2]
        stamp = datetime.now(UTC).strftime("%Y-%m-%d-%H-%M")
        self._stream = f"states/{machine['name']}/{stamp}/{uuid.uuid4().hex[:8]}"

    def add(self, kind: str, details: Details | None, previous: int, *, last: bool = False) -> int:
        """Add one event after the event with the id `previous`, and return its id.

        The name of the details' member follows from the kind, as in the API. After the last event
        nothing is added.
        """
        with self._lock:
            if self._ended:
                return previous
            self._ended = last
            event: Details = {
                "timestamp": now(),
                "type": kind,
                "id": len(self._events) + 1,
                "previousEventId": previous,
            }
            if details is not None:
                event[_member(kind)] = details
            self._events.append(event)
        if self._group and self._logs(kind):
            self._log(event, details or {})
        return int(event["id"])

    def go_on(self) -> None:
        """Take events again after the last one."""
        with self._lock:
            self._ended = False

    def end(self, kind: str, details: Details) -> None:
        """Add the last event."""
        self.add(kind, details, len(self._events), last=True)

    def _logs(self, kind: str) -> bool:
        match self._level:
            case "ALL":
                return True
            case "ERROR":
                return kind.endswith(_ERRORS)
            case "FATAL":
                return kind in _FATAL
            case _:
                return False

    def _log(self, event: Details, details: Details) -> None:
        if not self._with_data:
            details = {name: value for name, value in details.items() if name not in _PAYLOADS}
        now = round(time.time() * 1000)
        line = {
            "id": str(event["id"]),
            "type": event["type"],
            "details": details,
            "redrive_count": str(self._record.get("redriveCount", 0)),
            "previous_event_id": str(event["previousEventId"]),
            "event_timestamp": str(now),
            "execution_arn": self._arn,
        }
        names = {"logGroupName": self._group, "logStreamName": self._stream}
        internals.create_log_stream(names)
        message = json.dumps(line, ensure_ascii=False)
        internals.put_log_events({**names, "logEvents": [{"timestamp": now, "message": message}]})


def _member(kind: str) -> str:
    if kind.endswith("StateEntered"):
        return "stateEnteredEventDetails"
    if kind.endswith("StateExited"):
        return "stateExitedEventDetails"
    return kind[0].lower() + kind[1:] + "EventDetails"


class TaskEvents:
    """The events of one attempt at a task, in the shape its integration gives them."""

    def __init__(
        self, add: Callable[[str, Details | None], None], region: str, resource: str
    ) -> None:
        self._add_to_history = add
        self._region = region
        self._function = ":function:" in resource
        self._kind = "LambdaFunction" if self._function else "Task"
        self._resource = resource
        parts = resource.split(":")
        # arn:aws:states:::ecs:runTask.sync, arn:aws:states:::aws-sdk:ecs:listTasks
        self._what: Details = (
            {} if self._function else {"resourceType": ":".join(parts[5:-1]), "resource": parts[-1]}
        )
        if not self._function and len(parts) > 6 and parts[-2] == "startExecution.sync":
            self._what = {"resourceType": ":".join(parts[5:-2]), "resource": ":".join(parts[-2:])}

    def _add(self, step: str, details: Details) -> None:
        self._add_to_history(f"{self._kind}{step}", {**self._what, **details})

    def scheduled(self, arguments: Json, timeout: float | None) -> None:
        """The attempt was made ready: what it sends, and how long it may take."""
        limit = {} if timeout is None else {"timeoutInSeconds": round(timeout)}
        if self._function:
            sent = payload_details("input", text_of(arguments))
            self._add("Scheduled", {"resource": self._resource, **sent, **limit})
        else:
            self._add(
                "Scheduled", {"region": self._region, "parameters": text_of(arguments), **limit}
            )

    def started(self) -> None:
        """It was sent."""
        if self._function:
            self._add_to_history("LambdaFunctionStarted", None)
        else:
            self._add("Started", {})

    def submitted(self, answer: Json) -> None:
        """What it started goes on; what that call answered."""
        self._add("Submitted", payload_details("output", text_of(answer)))

    def succeeded(self, result: Json) -> None:
        """It has its result."""
        self._add("Succeeded", payload_details("output", text_of(result)))

    def failed(self, error: str, cause: str) -> None:
        """It failed."""
        self._add("Failed", {"error": error, "cause": cause})

    def timed_out(self) -> None:
        """It took longer than it may."""
        self._add("TimedOut", {"error": "States.Timeout"})
