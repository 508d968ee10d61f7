"""Map runs: the child executions of a distributed Map state, as many at a time as it may have.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

import contextlib
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from local.clock import Aborted, Cancellation
from local.ministack import internals
from local.ministack.seam import Refused, Request
from local.services.iam import iam
from local.services.stepfunctions import items, redrive, results
from local.services.stepfunctions.asl import MAX_PAYLOAD, Distribution, Json, StateError
from local.services.stepfunctions.execution import Execution, epoch_millis
from local.services.stepfunctions.history import now, text_of

# AWS starts 10,000; here each is a thread.
AT_ONCE = 500
_COUNTED = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "TIMED_OUT": "timedOut",
    "ABORTED": "aborted",
    "PENDING_REDRIVE": "pendingRedrive",
}


class Executions(Protocol):
    """What a map run asks of the executions of its cloud."""

    closed: bool

    def start_child(
        self, parent: Execution, definition: str, data: Json, fields: dict[str, Any]
    ) -> Execution:
        """Start a child; `fields` are of its record: its state machine, map run, items."""
        ...

    def redrive(self, execution: Execution) -> None:
        """Let an execution that has ended go on."""
        ...


@dataclass(eq=False)
class _Child:
    """A child execution, or what one is to be started with."""

    data: Json
    items: int
    execution: Execution | None = None
    ended_as: str | None = None

    @property
    def status(self) -> str:
        return "PENDING" if self.execution is None else self.execution.record["status"]

    def await_redrive(self) -> None:
        """Wait for the redrive of an execution that has ended."""
        if self.execution is not None:
            self.ended_as, self.execution.record["status"] = self.status, "PENDING_REDRIVE"

    def give_up(self) -> None:
        """Be again what it was before it waited for a redrive that does not come."""
        if self.execution is not None and self.ended_as is not None:
            self.execution.record["status"] = self.ended_as


class MapRun:
    """One map run, which the thread of its parent execution takes through its items."""

    def __init__(
        self,
        asked: Distribution,
        parent: Execution,
        executions: Executions,
        s3: Callable[[], Any],
    ) -> None:
        self._asked = asked
        self._definition = text_of(asked.processor)
        self._parent = parent
        self._executions = executions
        self._s3 = s3
        machine = self._machine_arn = str(parent.machine["stateMachineArn"])
        self._role = str(parent.machine["roleArn"])
        # The same for each run of the state, as AWS makes one up where it is left out.
        label = asked.label or str(uuid.uuid5(uuid.NAMESPACE_OID, f"{machine}/{asked.name}"))
        self._child_machine = f"{machine}/{label}"
        self.arn = f"{machine.replace(':stateMachine:', ':mapRun:', 1)}/{label}:{uuid.uuid4()}"
        self.redrive_count = 0
        self._limits = {
            name: as_type(asked.fields[field]) if field in asked.fields else None
            for name, (field, as_type) in _LIMITS.items()
        }
        self._children: list[_Child] | None = None
        self._pending: deque[_Child] = deque()
        self._running: set[_Child] = set()
        self._failed_items = self._total_items = 0
        self._changed = threading.Condition()
        self._writer: dict[str, Json] = asked.fields.get("ResultWriter") or {}
        # As MiniStack's ListMapRuns and ListExecutions have it.
        self.record: dict[str, Any] = {
            "mapRunArn": self.arn,
            "executionArn": parent.record["executionArn"],
            "status": "RUNNING",
            "startDate": now(),
            "_stateMachineArn": self._child_machine,
        }
        internals.map_runs()[self.arn] = self.record

    def redrive(self) -> None:
        """Let it go on, with the children that did not succeed and those that were not started."""
        self.redrive_count += 1
        self.record.pop("stopDate", None)
        self.record |= {"status": "RUNNING", "redriveDate": now()}
        self._failed_items = 0
        self._running = {child for child in self._running if child.status == "RUNNING"}
        for child in self._children or []:
            if child.execution is None or child.status not in redrive.REDRIVABLE:
                continue
            if redrive.refusal(child.execution.record) is None:
                child.await_redrive()
                self._pending.append(child)
            elif child.status != "ABORTED":
                self._failed_items += child.items

    def run(self, cancelled: Cancellation) -> Json:
        """Start the children and wait for them; the state's result.

        Raises:
            StateError: the run failed.
            Aborted: it was cancelled, and its children with it.
        """
        status = "FAILED"
        try:
            result = self._run(cancelled)
            status = "SUCCEEDED"
        except Aborted:
            status = "ABORTED"
            raise
        finally:
            self.record |= {"status": status, "stopDate": now()}
        return result

    def _run(self, cancelled: Cancellation) -> Json:
        writer = None
        if "Resource" in self._writer:
            writer = results.Writer(self._s3(), self._writer, self.arn)
        if self._children is None:
            if writer is not None:
                writer.test()
            self._children = list(self._read())
            self._pending.extend(self._children)
            self._total_items = sum(child.items for child in self._children)
        try:
            self._go_through(cancelled)
        finally:
            for child in self._pending:
                child.give_up()
            self._pending = deque(one for one in self._pending if one.execution is None)
            ended = [child.execution.record for child in self._children if child.execution]
            if writer is not None and not self._executions.closed:
                exported = writer.write(ended, [child.data for child in self._pending])
            else:
                exported = None
        config = self._writer.get("WriterConfig") or {}
        return exported or results.of(ended, config.get("Transformation", "COMPACT"))

    def _read(self) -> Iterator[_Child]:
        """The children to start, from the state's input or its reader."""
        fields = self._asked.fields
        source, found = "STATE_DATA", fields.get("Items", [])
        if "ItemReader" in fields:
            source, found = items.read(self._s3(), fields["ItemReader"])
        selected = (
            self._asked.select({"Index": index, "Value": value, "Source": source})
            for index, value in enumerate(found)
        )
        batcher = fields.get("ItemBatcher")
        for data, count in (
            items.batches(selected, batcher) if batcher else ((one, 1) for one in selected)
        ):
            if len(text_of(data).encode(errors="surrogatepass")) > MAX_PAYLOAD:
                cause = f"The input of a child workflow execution exceeds {MAX_PAYLOAD} bytes."
                raise StateError("States.DataLimitExceeded", cause)
            yield _Child(data, count)

    # The children

    def _go_through(self, cancelled: Cancellation) -> None:
        cancelled.call(self._wake)
        try:
            while (child := self._next(cancelled)) is not None:
                self._start(child)
        except BaseException:
            if not self._executions.closed:
                self._stop()
            raise

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _next(self, cancelled: Cancellation) -> _Child | None:
        """The next child to start, once there is room for it; None when all have ended."""
        with self._changed:
            while True:
                cancelled.check()
                self._look()
                most = self._limits["maxConcurrency"] or AT_ONCE
                if self._pending and len(self._running) < min(most, AT_ONCE):
                    return self._pending.popleft()
                if not self._running:
                    return None
                self._changed.wait()

    def _look(self) -> None:
        """Count those that have ended, and fail the run if too many failed.

        https://docs.aws.amazon.com/step-functions/latest/dg/maprun-fail-threshold.html
        """
        for child in [one for one in self._running if one.status != "RUNNING"]:
            assert child.execution is not None  # noqa: S101 - it was started
            self._running.discard(child)
            with _permitted():
                iam.for_describe_execution(self._role, self._granted(child.execution))
            if child.status in {"FAILED", "TIMED_OUT"}:
                self._failed_items += child.items
        if self._exceeded():
            cause = "The specified tolerated failure threshold was exceeded"
            raise StateError("States.ExceedToleratedFailureThreshold", cause)

    def _exceeded(self) -> bool:
        count = self._limits["toleratedFailureCount"]
        percentage = self._limits["toleratedFailurePercentage"]
        if count is None and percentage is None:
            return self._failed_items > 0
        return (count is not None and self._failed_items > count) or (
            percentage is not None and self._failed_items * 100 > percentage * self._total_items
        )

    def _granted(self, execution: Execution) -> str:
        """What a policy for it names, which is without the label.

        https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
        """
        executions = self._machine_arn.replace(":stateMachine:", ":execution:", 1)
        return f"{executions}:{execution.record['name']}"

    def _start(self, child: _Child) -> None:
        try:
            with _permitted():
                if child.execution is None:
                    iam.for_start_execution(self._role, self._machine_arn)
                else:
                    # https://docs.aws.amazon.com/step-functions/latest/dg/redrive-map-run.html#maprun-iam-permission
                    arn = child.execution.record["executionArn"]
                    iam.for_redrive_execution(self._role, arn)
        except StateError:
            self._pending.appendleft(child)
            raise
        if child.execution is None:
            fields = {
                "stateMachineArn": self._child_machine,
                "mapRunArn": self.arn,
                "itemCount": child.items,
            }
            child.execution = self._executions.start_child(
                self._parent, self._definition, child.data, fields
            )
        else:
            self._executions.redrive(child.execution)
        self._running.add(child)
        child.execution.ended.call(self._wake)

    def _stop(self) -> None:
        """Stop the children that run, as far as the role may."""
        stopped: dict[_Child, Execution] = {}
        for child in self._running:
            if child.execution is not None:
                with contextlib.suppress(iam.AccessDenied):
                    iam.for_stop_execution(self._role, self._granted(child.execution))
                    child.execution.abort(None, None)
                    stopped[child] = child.execution
        for execution in stopped.values():
            execution.walked.wait()
        self._running -= stopped.keys()

    def forget(self) -> None:
        """Take it and its children from MiniStack's store."""
        internals.map_runs().pop(self.arn, None)
        for child in self._children or []:
            if child.execution is not None:
                internals.executions().pop(child.execution.record["executionArn"], None)

    # What the API says of it

    def describe(self) -> dict[str, Any]:
        """DescribeMapRun."""
        described = {
            name: epoch_millis(self.record[name]) / 1000
            for name in ("startDate", "stopDate", "redriveDate")
            if name in self.record
        }
        return {
            **{name: self.record[name] for name in ("mapRunArn", "executionArn", "status")},
            **{name: self._limits[name] or 0 for name in _LIMITS},
            "executionCounts": self._counts(lambda _: 1),
            "itemCounts": self._counts(lambda child: child.items),
            "redriveCount": self.redrive_count,
            **described,
        }

    def _counts(self, weight: Callable[[_Child], int]) -> dict[str, int]:
        counts = Counter(dict.fromkeys(_COUNTED.values(), 0))
        lost = written = 0
        for child in list(self._children or []):
            counts[_COUNTED[child.status]] += weight(child)
            if child.execution is not None and child.status in {*redrive.REDRIVABLE, "SUCCEEDED"}:
                written += weight(child)
                if child.status != "SUCCEEDED" and redrive.refusal(child.execution.record):
                    lost += weight(child)
        ended = self.record["status"] != "RUNNING"
        return {
            **counts,
            "total": counts.total(),
            "resultsWritten": written if ended else 0,
            "failuresNotRedrivable": lost,
        }

    def update(self, limits: Mapping[str, Any]) -> None:
        """UpdateMapRun: what it says holds from now on."""
        with self._changed:
            self._limits.update({name: limits[name] for name in _LIMITS if name in limits})
            self._changed.notify_all()


_LIMITS: dict[str, tuple[str, type[int] | type[float]]] = {
    "maxConcurrency": ("MaxConcurrency", int),
    "toleratedFailureCount": ("ToleratedFailureCount", int),
    "toleratedFailurePercentage": ("ToleratedFailurePercentage", float),
}


@contextlib.contextmanager
def _permitted() -> Generator[None]:
    try:
        yield
    except iam.AccessDenied as denied:
        raise StateError("States.Permissions", str(denied)) from None


class MapRuns:
    """The map runs of the open cloud, by their ARN."""

    def __init__(self) -> None:
        self._runs: dict[str, MapRun] = {}

    def add(self, run: MapRun) -> MapRun:
        """Have the API know a run."""
        self._runs[run.arn] = run
        return run

    def forget(self, machine_arn: str) -> None:
        """Forget the runs of a state machine that is deleted, and their children."""
        prefix = f"{machine_arn.replace(':stateMachine:', ':mapRun:', 1)}/"
        for arn in [one for one in self._runs if one.startswith(prefix)]:
            self._runs.pop(arn).forget()

    def _named(self, request: Request) -> MapRun:
        arn = str(request.members.get("mapRunArn"))
        if arn not in self._runs:
            raise Refused("ResourceNotFound", f"Resource not found: '{arn}'")
        return self._runs[arn]

    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeMapRun.html
    async def handle_describe(self, request: Request) -> Mapping[str, Any]:
        """DescribeMapRun, as the API answers it."""
        return self._named(request).describe()

    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_UpdateMapRun.html
    async def handle_update(self, request: Request) -> Mapping[str, Any]:
        """UpdateMapRun, as the API answers it."""
        run = self._named(request)
        given = {name: request.members[name] for name in _LIMITS if name in request.members}
        if not given:
            raise Refused("ValidationException", f"One of {', '.join(_LIMITS)} is required")
        if run.record["status"] != "RUNNING":
            raise Refused("ValidationException", f"Map Run has completed: '{run.arn}'")
        for name, value in given.items():
            if value < 0 or (name == "toleratedFailurePercentage" and value > 100):
                raise Refused("ValidationException", f"Invalid value for '{name}': {value}")
        run.update(given)
        return {}
