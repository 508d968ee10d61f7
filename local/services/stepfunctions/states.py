"""Step Functions: StartExecution to the end of the execution, each walked by a thread of its own.

Executions are walked here, because the results, causes, history and aborts of MiniStack's differ
from AWS's; state machines, their versions and the listing of executions stay its.
"""

import asyncio
import json
import re
import threading
import uuid
from collections.abc import Mapping
from contextvars import copy_context
from datetime import datetime
from typing import Any, cast

from local.clock import Aborted, Cancellation, Clock
from local.ministack import internals
from local.ministack.internals import Response
from local.ministack.seam import Refused, Request, serve
from local.runtime import Runtime
from local.services.iam import iam
from local.services.stepfunctions import redrive
from local.services.stepfunctions.asl import (
    MAX_PAYLOAD,
    Branch,
    Json,
    StateError,
    Walk,
    in_json_path,
    now,
    payload_details,
)
from local.services.stepfunctions.history import History
from local.services.stepfunctions.integrations import Integrations

_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")


def install(cloud: Runtime) -> None:
    """Walk executions as AWS does, until the cloud closes."""
    executions = _Executions(cloud.region, cloud.wait_scale)
    _open.append(executions)
    cloud.on_close(_open.clear)
    cloud.on_close(executions.close)

    async def checked(request: Request) -> Response:
        _check(request.members, cloud.region)
        return await request.pass_on()

    operations = {
        "CreateStateMachine": checked,
        "UpdateStateMachine": checked,
        "DeleteStateMachine": executions.handle_delete,
        "StartExecution": executions.handle_start,
        "StopExecution": executions.handle_stop,
        "RedriveExecution": executions.handle_redrive,
        "DescribeExecution": executions.handle_describe,
    }
    cloud.on_close(serve("states", operations))


def start_execution(request: dict[str, Any]) -> None:
    """StartExecution, in the current request scope.

    Raises:
        Refused: with the code and message StartExecution answers.
    """
    for executions in _open:
        executions.start(request)


def _check(request: Mapping[str, Any], region: str) -> None:
    if (found := _in_json_path(request.get("definition"))) is not None:
        raise Refused("InvalidDefinition", f"This cloud runs JSONata, and {found} is of JSONPath.")
    # A machine that logs is refused at once if its role may not set the log up:
    # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy
    arn = str(request.get("stateMachineArn") or "")
    known: dict[str, Any] = internals.state_machines().get(arn) or {}
    role = str(request.get("roleArn") or known.get("roleArn") or "")
    level = (request.get("loggingConfiguration") or {}).get("level", "OFF")
    if level == "OFF" or not role:
        return
    arn = arn or f"arn:aws:states:{region}:{role.split(':')[4]}:stateMachine:{request.get('name')}"
    try:
        iam.assume(role, "states.amazonaws.com", source_arn=arn)
        iam.for_log_delivery(role)
    except iam.AccessDenied:
        raise Refused(
            "AccessDeniedException",
            "The state machine IAM Role is not authorized to access the Log Destination",
        ) from None


def _in_json_path(definition: object) -> str | None:
    try:
        parsed: object = json.loads(str(definition))
    except ValueError:
        return None
    return in_json_path(cast("dict[str, Any]", parsed)) if isinstance(parsed, dict) else None


class Execution:
    """One execution: its record in MiniStack's store, and the thread that walks it."""

    def __init__(self, record: dict[str, Any], machine: dict[str, Any]) -> None:
        self.record = record
        self.ended = Cancellation()
        self.cancelled = Cancellation()
        self.history = History(record, machine)
        self.machine = machine
        self.at: tuple[str, Json, dict[str, Json]] | None = None
        """The state that it was in last, its input, and the variables then."""
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
        _tell_status(self.record)

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
        _tell_status(self.record)
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


_open: list["_Executions"] = []
_DELETING = "DELETING"


class _Executions:
    """The executions of the open cloud."""

    def __init__(self, region: str, wait_scale: float) -> None:
        self._region = region
        self._wait_scale = wait_scale
        self._clock = Clock()
        self._integrations = Integrations(self.start)
        self._running: dict[str, Execution] = {}
        self._redrivable: dict[str, Execution] = {}
        self._starting = threading.Lock()

    def close(self) -> None:
        """Wake every execution that waits; no event is sent any more."""
        for execution in list(self._running.values()):
            execution.cancelled.cancel()
        self._clock.close()

    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    async def handle_start(self, request: Request) -> Mapping[str, Any]:
        """StartExecution, as the API answers it."""
        record = self.start(request.members).record
        return {
            "executionArn": record["executionArn"],
            "startDate": _epoch_millis(record["startDate"]) / 1000,
        }

    def start(self, request: dict[str, Any]) -> Execution:
        """Start an execution in the current request scope.

        An execution of that name and input that still runs is the answer to its second start.

        Raises:
            Refused: with the code and message StartExecution answers.
        """
        named = str(request.get("stateMachineArn", ""))
        arn = internals.state_machine_arn(named)
        if arn is None:
            raise Refused("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{named}'")
        machine: dict[str, Any] = internals.state_machines()[arn]
        name = str(request.get("name") or uuid.uuid4())
        if not _NAME.fullmatch(name):
            raise Refused("InvalidName", f"Invalid Name: '{name}'")
        text = request.get("input", "{}")
        try:
            data = json.loads(text)
        except (TypeError, ValueError) as error:
            raise Refused(
                "InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'"
            ) from None
        if len(text.encode(errors="surrogatepass")) > MAX_PAYLOAD:
            raise Refused(
                "ValidationException",
                "1 validation error detected: Value at 'input' failed to satisfy constraint: "
                f"Member must have length less than or equal to {MAX_PAYLOAD}",
            )
        execution_arn = arn.replace(":stateMachine:", ":execution:", 1) + f":{name}"
        with self._starting:
            if machine.get("status") == _DELETING:
                raise Refused("StateMachineDeleting", f"State Machine Deleting: '{arn}'")
            store = internals.executions()
            if (old := store.get(execution_arn)) is not None:
                same = old["status"] == "RUNNING" and old["input"] == text
                if same and execution_arn in self._running:
                    return self._running[execution_arn]
                raise Refused(
                    "ExecutionAlreadyExists", f"Execution Already Exists: '{execution_arn}'"
                )
            record = _record(execution_arn, arn, name, text, machine)
            store[execution_arn] = record
            execution = Execution(record, machine)
            self._running[execution_arn] = execution
        details = {**payload_details("input", text), "roleArn": machine["roleArn"]}
        execution.history.add("ExecutionStarted", details, 0)
        _tell_status(record)
        self._go(execution, data)
        return execution

    def _go(self, execution: Execution, data: Json) -> None:
        context, machine = copy_context(), execution.machine
        definition = machine["definition"]
        threading.Thread(
            target=lambda: context.run(self._walk, execution, machine, definition, data),
            name="execution",
            daemon=True,
        ).start()

    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_RedriveExecution.html
    async def handle_redrive(self, request: Request) -> Mapping[str, Any]:
        """RedriveExecution, as the API answers it."""
        arn = str(request.members.get("executionArn"))
        record = internals.executions().get(arn)
        if record is None:
            raise Refused("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        redrive.check(record)
        if (ending := self._running.get(arn)) is not None:
            # Its thread is still at the end that its record has already.
            await asyncio.to_thread(ending.walked.wait)
        with self._starting:
            redrive.check(record)
            execution = self._running[arn] = self._redrivable.pop(arn)
        execution.again()
        self._go(execution, json.loads(record["input"]))
        return {"redriveDate": _epoch_millis(record["redriveDate"]) / 1000}

    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_DeleteStateMachine.html
    async def handle_delete(self, request: Request) -> Mapping[str, Any] | Response:
        """DeleteStateMachine: at once, or when each execution has left the state that it is in."""
        arn = str(request.members.get("stateMachineArn"))
        with self._starting:
            if any(one.record["stateMachineArn"] == arn for one in self._running.values()):
                internals.state_machines()[arn]["status"] = _DELETING
                return {}
        return await request.pass_on()

    def _finish_deletion(self, arn: str) -> None:
        with self._starting:
            machine: dict[str, Any] = internals.state_machines().get(arn) or {}
            others = any(one.record["stateMachineArn"] == arn for one in self._running.values())
            if machine.get("status") == _DELETING and not others:
                internals.delete_state_machine({"stateMachineArn": arn})

    async def handle_describe(self, request: Request) -> Response:
        """DescribeExecution: MiniStack's answer, and whether it can be redriven."""
        record = internals.executions().get(str(request.members.get("executionArn")))
        return await (request.pass_on() if record is None else redrive.described(request, record))

    async def handle_stop(self, request: Request) -> Mapping[str, Any]:
        """StopExecution, as the API answers it."""
        arn = str(request.members.get("executionArn"))
        record = internals.executions().get(arn)
        if record is None:
            raise Refused("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        execution = self._running.get(arn)
        if execution is not None:
            execution.abort(request.members.get("error"), request.members.get("cause"))
        return {"stopDate": _epoch_millis(record["stopDate"]) / 1000}

    def _walk(
        self, execution: Execution, machine: dict[str, Any], definition: str, data: Json
    ) -> None:
        record = execution.record
        alarm = None
        try:
            parsed: dict[str, Any] = json.loads(definition)
            if seconds := parsed.get("TimeoutSeconds"):
                alarm = self._clock.after(seconds, execution.time_out)
            walk = Walk(
                history=execution.history,
                integrate=self._integrations,
                clock=self._clock,
                role_arn=machine["roleArn"],
                execution_arn=record["executionArn"],
                region=self._region,
                wait_scale=self._wait_scale,
            )
            context = {
                "Execution": {
                    "Id": record["executionArn"],
                    "Input": data,
                    "Name": record["name"],
                    "RoleArn": machine["roleArn"],
                    "StartTime": now(),
                    "RedriveCount": record.get("redriveCount", 0),
                },
                "StateMachine": {"Id": machine["stateMachineArn"], "Name": machine["name"]},
            }
            branch = Branch(walk, context, Cancellation(execution.cancelled))
            start_at: str = parsed["StartAt"]
            if execution.at is not None:
                start_at, data, branch.variables = execution.at
                branch.previous = len(record["events"])

            def entered(state: str, given: Json) -> None:
                _end_if_deleted(machine, record)
                execution.at = (state, given, dict(branch.variables))

            output = branch.run(parsed["States"], start_at, data, entered)
            execution.end("SUCCEEDED", output=json.dumps(output, ensure_ascii=False))
        except Aborted:
            pass
        except StateError as error:
            execution.end("FAILED", error=error.error, cause=error.cause)
        except Exception as error:  # noqa: BLE001 - AWS too ends an execution it cannot go on with
            execution.end(
                "FAILED", error="States.Runtime", cause=f"{type(error).__name__}: {error}"
            )
        finally:
            if alarm is not None:
                alarm.cancel()
            with self._starting:
                if record["status"] in redrive.REDRIVABLE:
                    self._redrivable[record["executionArn"]] = execution
                self._running.pop(record["executionArn"], None)
            execution.walked.set()
            self._finish_deletion(machine["stateMachineArn"])


def _end_if_deleted(machine: dict[str, Any], record: dict[str, Any]) -> None:
    """End an execution that goes to its next state, if its machine is deleted; no event says so."""
    if machine.get("status") == _DELETING:
        record |= {"status": "ABORTED", "stopDate": now()}
        raise Aborted


def _record(
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


def _tell_status(execution: dict[str, Any]) -> None:
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
        "startDate": _epoch_millis(execution["startDate"]),
        "stopDate": _epoch_millis(execution["stopDate"]) if execution["stopDate"] else None,
        "input": execution["input"],
        "inputDetails": {"included": True},
        "output": output,
        "outputDetails": None if output is None else {"included": True},
        "error": execution.get("error"),
        "cause": execution.get("cause"),
        **redrive.fields(execution),
        "redriveDate": (
            _epoch_millis(execution["redriveDate"]) if execution.get("redriveDate") else None
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


def _epoch_millis(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


_MAX_IN_EVENT = 248 * 1024
