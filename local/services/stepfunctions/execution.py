"""One execution: its record in MiniStack's store, its end, and the events that say so."""

import json
import threading
from datetime import datetime
from typing import Any

from local.clock import Cancellation
from local.ministack import internals
from local.services.stepfunctions import redrive
from local.services.stepfunctions.asl import Place
from local.services.stepfunctions.history import History, now, payload_details


class Execution:
    """One execution: its record in MiniStack's store, and the thread that walks it."""

    def __init__(self, record: dict[str, Any], machine: dict[str, Any], definition: str) -> None:
        self.record = record
        self.definition = definition
        self.ended = Cancellation()
        self.cancelled = Cancellation()
        self.history = History(record, machine)
        self.machine = machine
        self.place = Place()
        self.walked = threading.Event()
        self._ending = threading.Lock()

    def again(self) -> None:
        """Let it run once more from where it ended."""
        for name in ("error", "cause"):
            self.record.pop(name, None)
        count = self.record.get("redriveCount", 0) + 1
        self.record |= {"status": "RUNNING", "stopDate": None, "output": None}
        self.record |= {"redriveCount": count, "redriveDate": now()}
        self.ended, self.cancelled = Cancellation(), Cancellation()
        self.walked.clear()
        self.history.go_on()
        details = {"redriveCount": count}
        self.history.add("ExecutionRedriven", details, len(self.record["events"]))
        tell_status(self.record)

    def end(self, status: str, **result: str | None) -> None:
        """Give it its last status, event and bus event; nothing if it has ended already.

        `result` is what DescribeExecution shows: `output`, or `error` and `cause`.
        """
        kind = f"Execution{_EVENT_OF[status]}"
        with self._ending:
            if self.record["status"] != "RUNNING":
                return
            shown = {name: value for name, value in result.items() if value is not None}
            details = payload_details("output", shown["output"]) if "output" in shown else shown
            self.history.end(kind, details)
            self.record.update(shown)
            self.record["stopDate"] = now()
            self.record["status"] = status
        self.cancelled.cancel()
        tell_status(self.record)
        self.ended.cancel()

    def abort(self, error: str | None, cause: str | None) -> None:
        """End it with the status ABORTED and stop what it waits for."""
        self.end("ABORTED", error=error, cause=cause)

    def time_out(self) -> None:
        """End it with the status TIMED_OUT and stop what it waits for."""
        self.end("TIMED_OUT")


_EVENT_OF = {
    "SUCCEEDED": "Succeeded",
    "FAILED": "Failed",
    "TIMED_OUT": "TimedOut",
    "ABORTED": "Aborted",
}


def new_record(
    arn: str, machine_arn: str, name: str, text: str, machine: dict[str, Any]
) -> dict[str, Any]:
    """An execution as MiniStack's store holds it."""
    return {
        "executionArn": arn,
        "stateMachineArn": machine_arn,
        "name": name,
        "status": "RUNNING",
        "startDate": now(),
        "stopDate": None,
        "input": text,
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": {"included": True},
        "testCase": "",
        "mockAttempts": {},
        "encryptionConfiguration": machine.get("encryptionConfiguration"),
        "events": [],
    }


def tell_status(execution: dict[str, Any]) -> None:
    """Put the event "Step Functions Execution Status Change" on the bus.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    if execution.get("sync"):
        return
    status, output = execution["status"], execution.get("output")
    detail: dict[str, Any] = {
        "executionArn": execution["executionArn"],
        "stateMachineArn": execution["stateMachineArn"],
        "name": execution["name"],
        "status": status,
        "startDate": epoch_millis(execution["startDate"]),
        "stopDate": epoch_millis(execution["stopDate"]) if execution["stopDate"] else None,
        "input": execution["input"],
        "inputDetails": {"included": True},
        "output": output,
        "outputDetails": None if output is None else {"included": True},
        "error": execution.get("error"),
        "cause": execution.get("cause"),
        **redrive.fields(execution),
        "redriveDate": (
            epoch_millis(execution["redriveDate"]) if execution.get("redriveDate") else None
        ),
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
    }
    for payload in ("input", "output"):
        if detail[payload] is not None and len(detail[payload].encode()) > _MAX_IN_EVENT:
            detail[payload], detail[f"{payload}Details"] = None, {"included": False}
    entry = {
        "Source": "aws.states",
        "DetailType": "Step Functions Execution Status Change",
        "Detail": json.dumps(detail, ensure_ascii=False),
        "Resources": [execution["executionArn"]],
    }
    internals.put_events({"Entries": [entry]}, allow_aws_source=True)


def epoch_millis(moment: str) -> int:
    """A time of a record, as events have it."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


_MAX_IN_EVENT = 248 * 1024
