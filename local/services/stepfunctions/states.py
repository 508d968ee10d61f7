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
from http import HTTPStatus
from typing import Any

from local.clock import Aborted, Cancellation, Clock
from local.ministack import internals
from local.ministack.internals import Response
from local.ministack.seam import Refused, Request, serve
from local.runtime import Runtime
from local.services.iam import iam
from local.services.stepfunctions import definitions, redrive
from local.services.stepfunctions.asl import MAX_PAYLOAD, Branch, Json, StateError, Walk
from local.services.stepfunctions.execution import (
    Execution,
    epoch_millis,
    new_record,
    tell_status,
)
from local.services.stepfunctions.history import now, payload_details, text_of
from local.services.stepfunctions.integrations import Integrations
from local.services.stepfunctions.map_runs import MapRun, MapRuns

_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")


def install(cloud: Runtime) -> None:
    """Walk executions as AWS does, until the cloud closes."""
    executions = _Executions(cloud)
    _open.append(executions)
    cloud.on_close(_open.clear)
    cloud.on_close(executions.close)

    async def checked(request: Request) -> Response:
        _check(request.members, cloud.region)
        answer = await request.pass_on()
        _keep_tracing(request.members, answer)
        return answer

    operations = {
        "CreateStateMachine": checked,
        "UpdateStateMachine": checked,
        "DeleteStateMachine": executions.handle_delete,
        "StartExecution": executions.handle_start,
        "StopExecution": executions.handle_stop,
        "RedriveExecution": executions.handle_redrive,
        "DescribeExecution": executions.handle_describe,
        "ListExecutions": redrive.handle_list,
        "DescribeMapRun": executions.map_runs.handle_describe,
        "UpdateMapRun": executions.map_runs.handle_update,
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
    if (problem := definitions.problem(request.get("definition"))) is not None:
        raise Refused("InvalidDefinition", problem)
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


_open: list["_Executions"] = []
_DELETING = "DELETING"


class _Executions:
    """The executions of the open cloud."""

    def __init__(self, cloud: Runtime) -> None:
        self._cloud = cloud
        self.map_runs = MapRuns()
        self.closed = False
        self._clock = Clock()
        self._integrations = Integrations(self.start)
        self._running: dict[str, Execution] = {}
        self._redrivable: dict[str, Execution] = {}
        self._starting = threading.Lock()

    def close(self) -> None:
        """Wake every execution that waits; no event is sent any more."""
        self.closed = True
        for execution in list(self._running.values()):
            execution.cancelled.cancel()
        self._clock.close()

    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    async def handle_start(self, request: Request) -> Mapping[str, Any]:
        """StartExecution, as the API answers it."""
        record = self.start(request.members).record
        return {
            "executionArn": record["executionArn"],
            "startDate": epoch_millis(record["startDate"]) / 1000,
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
            record = new_record(execution_arn, arn, name, text, machine)
            execution = Execution(record, machine, machine["definition"])
            store[execution_arn] = self._add(execution)
        self._begin(execution, data)
        return execution

    def start_child(
        self, parent: Execution, definition: str, data: Json, fields: dict[str, Any]
    ) -> Execution:
        """Start a child execution of a map run; `fields` are of its record."""
        name, text = str(uuid.uuid4()), text_of(data)
        machine_arn = str(fields["stateMachineArn"])
        arn = machine_arn.replace(":stateMachine:", ":execution:", 1) + f":{name}"
        record = new_record(arn, machine_arn, name, text, parent.machine) | fields
        execution = Execution(record, parent.machine, definition)
        with self._starting:
            internals.executions()[arn] = self._add(execution)
        self._begin(execution, data)
        return execution

    def _add(self, execution: Execution) -> dict[str, Any]:
        self._running[execution.record["executionArn"]] = execution
        return execution.record

    def _begin(self, execution: Execution, data: Json) -> None:
        record, role_arn = execution.record, execution.machine["roleArn"]
        details = {**payload_details("input", record["input"]), "roleArn": role_arn}
        execution.history.add("ExecutionStarted", details, 0)
        tell_status(record)
        self._go(execution, data)

    def _go(self, execution: Execution, data: Json) -> None:
        context = copy_context()
        threading.Thread(
            target=lambda: context.run(self._walk, execution, data),
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
        token = request.members.get("clientToken")
        if token is not None and record.get("redriveToken") == token:
            return {"redriveDate": epoch_millis(record["redriveDate"]) / 1000}
        redrive.check(record)
        if (ending := self._running.get(arn)) is not None:
            # Its thread is still at the end that its record has already.
            await asyncio.to_thread(ending.walked.wait)
        with self._starting:
            redrive.check(record)
            execution = self._redrivable.pop(arn)
            self._add(execution)
        record["redriveToken"] = token
        self._again(execution)
        return {"redriveDate": epoch_millis(record["redriveDate"]) / 1000}

    def redrive(self, execution: Execution) -> None:
        """Let a child execution that did not succeed go on."""
        execution.walked.wait()
        with self._starting:
            self._redrivable.pop(execution.record["executionArn"])
            self._add(execution)
        self._again(execution)

    def _again(self, execution: Execution) -> None:
        execution.again()
        self._go(execution, json.loads(execution.record["input"]))

    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_DeleteStateMachine.html
    async def handle_delete(self, request: Request) -> Mapping[str, Any] | Response:
        """DeleteStateMachine: at once, or when each execution has left the state that it is in."""
        arn = str(request.members.get("stateMachineArn"))
        with self._starting:
            if self._runs(arn):
                internals.state_machines()[arn]["status"] = _DELETING
                return {}
        answer = await request.pass_on()
        self.map_runs.forget(arn)
        return answer

    def _finish_deletion(self, arn: str) -> None:
        with self._starting:
            machine: dict[str, Any] = internals.state_machines().get(arn) or {}
            if machine.get("status") == _DELETING and not self._runs(arn):
                internals.delete_state_machine({"stateMachineArn": arn})
                self.map_runs.forget(arn)

    def _runs(self, machine_arn: str) -> bool:
        """Whether an execution of a state machine does."""
        return any(one.record["stateMachineArn"] == machine_arn for one in self._running.values())

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
        return {"stopDate": epoch_millis(record["stopDate"]) / 1000}

    def _s3(self, execution: Execution) -> Any:  # noqa: ANN401 - a client of boto3's
        """A client that may do what the role of an execution's state machine may."""
        machine = execution.machine
        principal, arn = "states.amazonaws.com", str(machine["stateMachineArn"])
        name = execution.record["name"]
        try:
            session = iam.start_session(machine["roleArn"], principal, name[:64], source_arn=arn)
        except iam.AccessDenied as denied:
            raise StateError("States.Permissions", str(denied)) from None
        return self._cloud.client("s3", session)

    def _walk(self, execution: Execution, data: Json) -> None:
        record, machine = execution.record, execution.machine
        alarm = None
        try:
            parsed: dict[str, Any] = json.loads(execution.definition)
            if seconds := parsed.get("TimeoutSeconds"):
                alarm = self._clock.after(seconds, execution.time_out)
            walk = Walk(
                history=execution.history,
                integrate=self._integrations,
                distribute=lambda asked: self.map_runs.add(
                    MapRun(asked, execution, self, lambda: self._s3(execution))
                ),
                clock=self._clock,
                role_arn=machine["roleArn"],
                execution_arn=record["executionArn"],
                region=self._cloud.region,
                wait_scale=self._cloud.wait_scale,
            )
            machine_arn = str(record["stateMachineArn"])
            context = {
                "Execution": {
                    "Id": record["executionArn"],
                    "Input": data,
                    "Name": record["name"],
                    "RoleArn": machine["roleArn"],
                    "StartTime": record["startDate"],
                    "RedriveCount": record.get("redriveCount", 0),
                    **({"RedriveTime": record["redriveDate"]} if "redriveDate" in record else {}),
                },
                "StateMachine": {"Id": machine_arn, "Name": machine_arn.rpartition(":")[2]},
            }
            branch = Branch(walk, context, Cancellation(execution.cancelled), execution.place)
            if record.get("redriveCount"):
                branch.previous = len(record["events"])

            def entering() -> None:
                _end_if_deleted(machine, record)

            output = branch.run(parsed["States"], parsed["StartAt"], data, entering)
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
            # It is not yet where its machine was deleted meanwhile.
            execution.ended.cancel()
            self._finish_deletion(machine["stateMachineArn"])


def _keep_tracing(request: Mapping[str, Any], answer: Response) -> None:
    """Have a state machine described with whether it is traced, as each is on AWS."""
    status, _, body = answer
    if status == HTTPStatus.OK:
        arn = str(request.get("stateMachineArn") or json.loads(body)["stateMachineArn"])
        machine: dict[str, Any] = internals.state_machines()[arn]
        kept = machine.get("tracingConfiguration", {"enabled": False})
        machine["tracingConfiguration"] = request.get("tracingConfiguration", kept)


def _end_if_deleted(machine: dict[str, Any], record: dict[str, Any]) -> None:
    """End an execution that goes to its next state, if its machine is deleted; no event says so."""
    if machine.get("status") == _DELETING:
        record |= {"status": "ABORTED", "stopDate": now()}
        raise Aborted
