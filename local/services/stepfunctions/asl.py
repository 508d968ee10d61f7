"""The Amazon States Language: walks a definition's states from input to output, error or abort.

Definitions are written in JSONata; what a task state calls is in `integrations`.
https://states-language.net/ and https://docs.aws.amazon.com/step-functions/latest/dg/
"""

import copy
import random
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from local.clock import Aborted, Cancellation, Clock
from local.services.stepfunctions import expressions, tokens
from local.services.stepfunctions.history import (
    Details,
    History,
    TaskEvents,
    now,
    payload_details,
    text_of,
)

Json = Any
State = dict[str, Any]

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MAX_PAYLOAD = 262_144
MAX_ERROR = 256
MAX_CAUSE = 32_768
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
_NOT_IN_ALL = {"States.DataLimitExceeded", "States.Runtime"}
STARTED_BY = "AWS Step Functions"
CALLBACK = ".waitForTaskToken"
_TIMED_OUT = {"States.Timeout", "States.HeartbeatTimeout"}
_NUMBERS = {"MaxConcurrency", "ToleratedFailureCount", "ToleratedFailurePercentage"}
_OF_MAP_RUN = _NUMBERS | {"ItemReader", "ItemBatcher", "ResultWriter"}


class StateError(Exception):
    """An error of a state: the name that Retry and Catch match, and its cause."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error[:MAX_ERROR]
        self.cause = cause[:MAX_CAUSE]


@dataclass
class Call:
    """What a task state asks of an integration."""

    resource: str
    arguments: Json
    role_arn: str
    execution_arn: str
    cancelled: Cancellation
    started: Callable[[], None]
    submitted: Callable[[Json], None]
    token: str | None = None


Integration = Callable[[Call], Json]


class MapRun(Protocol):
    """What a distributed Map state starts: child executions, one for each item or batch."""

    arn: str
    redrive_count: int

    def redrive(self) -> None:
        """Let it go on, with what did not succeed and what was not started."""
        ...

    def run(self, cancelled: Cancellation) -> Json:
        """Start the children and wait for them; the state's result.

        Raises:
            StateError: the run failed.
            Aborted: it was cancelled, and its children with it.
        """
        ...


@dataclass
class Distribution:
    """What a distributed Map state asks for, its expressions evaluated.

    `fields` are those of the state that are expressions here or there: `Items`, `ItemReader`,
    `ItemBatcher`, `ResultWriter`, `MaxConcurrency`, `ToleratedFailureCount`, …
    """

    name: str
    label: str | None
    processor: State
    fields: dict[str, Json]
    select: Callable[[dict[str, Json]], Json]


Distribute = Callable[[Distribution], MapRun]


@dataclass
class Place:
    """Where a line of states is: what a redrive goes on from.

    `data` is the input of `state`, or the output of the line if that is done. `inner` are the lines
    in the state, `map_run` is what the state has started.
    """

    state: str | None = None
    data: Json = None
    variables: dict[str, Json] = field(default_factory=dict[str, Json])
    done: bool = False
    inner: list["Place"] = field(default_factory=list["Place"])
    map_run: MapRun | None = None

    def enter(self, state: str, data: Json, variables: Mapping[str, Json]) -> None:
        """Be in a state from its beginning."""
        self.state, self.data, self.variables = state, data, dict(variables)
        self.forget()

    def leave(self, output: Json) -> None:
        """Be done."""
        self.data, self.done = output, True
        self.forget()

    def forget(self) -> None:
        """Have the state begin anew."""
        self.inner, self.map_run = [], None


@dataclass
class Walk:
    """What all states of one execution share."""

    history: History
    integrate: Integration
    distribute: Distribute
    clock: Clock
    role_arn: str
    execution_arn: str
    region: str
    wait_scale: float


@dataclass
class Branch:
    """One line of states: the whole execution, a branch of a Parallel, an iteration of a Map."""

    walk: Walk
    context: dict[str, Json]
    cancelled: Cancellation
    place: Place
    variables: dict[str, Json] = field(default_factory=dict[str, Json])
    previous: int = 0

    def add(self, kind: str, details: Details | None = None) -> None:
        """Add an event to the history, behind this branch's latest."""
        if self.cancelled:
            raise Aborted
        self.previous = self.walk.history.add(kind, details, self.previous)

    def narrower(self, context: Mapping[str, Json], place: Place) -> "Branch":
        """A branch within this one; what it assigns stays in it."""
        return replace(
            self,
            context={**self.context, **context},
            variables=dict(self.variables),
            cancelled=Cancellation(self.cancelled),
            place=place,
        )

    def run(
        self,
        states: Mapping[str, State],
        start_at: str,
        data: Json,
        entering: Callable[[], None] = lambda: None,
    ) -> Json:
        """Walk to the end, from `start_at` or the place that it is at; the last state's output.

        `entering` is called before each state.

        Raises:
            StateError: a state failed and nothing caught it.
            Aborted: the branch was cancelled.
        """
        place = self.place
        if place.state is None:
            place.enter(start_at, data, self.variables)
        name: str | None = place.state
        while name is not None and not place.done:
            if self.cancelled:
                raise Aborted
            entering()
            state = states.get(name)
            if state is None:
                raise StateError("States.Runtime", f"The state {name!r} is not in the definition.")
            self.variables = dict(place.variables)
            output, name = _Visit(self, name, state, place.data).run()
            if name is None:
                place.leave(output)
            else:
                place.enter(name, output, self.variables)
        return place.data


@contextmanager
def _queries() -> Generator[None]:
    try:
        yield
    except expressions.QueryError as error:
        raise StateError("States.QueryEvaluationError", str(error)) from None


class _Visit:
    """One visit of one state."""

    def __init__(self, branch: Branch, name: str, state: State, data: Json) -> None:
        self.branch = branch
        self.walk = branch.walk
        self.name = name
        self.state = state
        self.input = data
        self.kind: str = state.get("Type", "")
        self.retries: dict[int, int] = {}
        self.context: dict[str, Json] = {
            **branch.context,
            "State": {"Name": name, "EnteredTime": now(), "RetryCount": 0},
        }

    def run(self) -> tuple[Json, str | None]:
        self.branch.add(
            f"{self.kind}StateEntered",
            {"name": self.name, **payload_details("input", text_of(self.input))},
        )
        kinds: dict[str, Callable[[], tuple[Json, str | None]]] = {
            "Pass": self._pass,
            "Task": lambda: self._trying(self._task),
            "Choice": self._choice,
            "Wait": self._wait,
            "Succeed": self._succeed,
            "Fail": self._fail,
            "Parallel": lambda: self._trying(self._parallel),
            "Map": lambda: self._trying(self._map),
        }
        if self.kind not in kinds:
            raise StateError("States.Runtime", f"There is no type of state {self.kind!r}.")
        assigned_before = dict(self.branch.variables)
        output, following = kinds[self.kind]()
        text = self._measured(output)
        details = {"name": self.name, **payload_details("output", text)}
        assigned = {
            name: text_of(value)
            for name, value in self.branch.variables.items()
            if name not in assigned_before or assigned_before[name] is not value
        }
        if assigned:
            details["assignedVariables"] = assigned
            details["assignedVariablesDetails"] = {"truncated": False}
        self.branch.add(f"{self.kind}StateExited", details)
        return output, following

    def _measured(self, value: Json) -> str:
        text = text_of(value)
        if len(text.encode(errors="surrogatepass")) > MAX_PAYLOAD:
            raise StateError(
                "States.DataLimitExceeded",
                f"The state/task '{self.name}' returned a result with a size exceeding the maximum "
                "number of bytes service limit.",
            )
        return text

    @property
    def _next(self) -> str | None:
        return None if self.state.get("End") else self.state.get("Next")

    # Expressions

    def _evaluate(
        self,
        template: Json,
        result: Json = None,
        error: Json = None,
        context: Mapping[str, Json] | None = None,
    ) -> Json:
        with _queries():
            return expressions.evaluate(
                template, self.input, context or self.context, self.branch.variables, result, error
            )

    def _field(self, name: str, json_type: str, default: Json = None) -> Json:
        if name not in self.state:
            return default
        value = self._evaluate(self.state[name])
        with _queries():
            return expressions.field(name, json_type, value)

    def _out(self, at: State, default: Json, result: Json = None, error: Json = None) -> Json:
        """A state's Output, with its Assign: both see the variables as they were before."""
        output = self._evaluate(at["Output"], result, error) if "Output" in at else default
        assign: dict[str, Json] = at.get("Assign") or {}
        assigned = {
            name: self._evaluate(template, result, error) for name, template in assign.items()
        }
        self.branch.variables.update(assigned)
        return output

    def _arguments(self) -> Json:
        return self._evaluate(self.state["Arguments"]) if "Arguments" in self.state else self.input

    # States without Retry

    def _pass(self) -> tuple[Json, str | None]:
        return self._out(self.state, self.input), self._next

    def _succeed(self) -> tuple[Json, str | None]:
        return self._out(self.state, self.input), None

    def _fail(self) -> tuple[Json, str | None]:
        error = self._field("Error", "string", "States.Fail")
        raise StateError(error, self._field("Cause", "string", ""))

    def _choice(self) -> tuple[Json, str | None]:
        for choice in cast("list[State]", self.state.get("Choices", [])):
            if self._condition(choice):
                return self._out(choice, self.input), choice["Next"]
        if default := self.state.get("Default"):
            return self._out(self.state, self.input), default
        raise StateError("States.NoChoiceMatched", "No choice matched, and there is no Default.")

    def _condition(self, choice: State) -> bool:
        value = self._evaluate(choice.get("Condition"))
        if not isinstance(value, bool):
            raise StateError(
                "States.QueryEvaluationError",
                "The JSONata expression specified for the field 'Condition' returned an unexpected "
                f"result type. Expected 'boolean', but was: {text_of(value)}",
            )
        return value

    def _wait(self) -> tuple[Json, str | None]:
        self._sleep(self._wait_seconds())
        return self._out(self.state, self.input), self._next

    def _wait_seconds(self) -> float:
        if "Seconds" in self.state:
            seconds = self._field("Seconds", "number")
            if not float(seconds).is_integer():
                cause = f"The Seconds field cannot be parsed as an integer: {seconds}"
                raise StateError("States.QueryEvaluationError", cause)
            if seconds < 0:
                cause = f"Seconds cannot be negative but was: {seconds}"
                raise StateError("States.QueryEvaluationError", cause)
            return float(seconds)
        until = self._field("Timestamp", "string", "")
        try:
            # https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html: up to seconds.
            moment = datetime.fromisoformat(until).replace(microsecond=0)
            left = (moment - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            raise StateError("States.Runtime", f"{until!r} is no timestamp.") from None
        return max(left, 0.0)

    def _sleep(self, seconds: float) -> None:
        if self.branch.cancelled.wait(seconds * self.walk.wait_scale):
            raise Aborted

    # Retry and Catch

    def _trying(self, attempt: Callable[[], Json]) -> tuple[Json, str | None]:
        while True:
            self.context["State"]["RetryCount"] = sum(self.retries.values())
            try:
                result = attempt()
                self._measured(result)
                return self._out(self.state, result, result), self._next
            except StateError as error:
                if self.branch.cancelled:
                    raise Aborted from None
                if error.error in _NOT_IN_ALL:
                    # https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
                    self.branch.place.forget()
                delay = self._retry_delay(error)
                if delay is None:
                    return self._catch(error)
                self._sleep(delay)
                self.branch.place.forget()

    def _retry_delay(self, error: StateError) -> float | None:
        """Seconds until the next attempt, None if there is to be none.

        https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
        """
        for index, retrier in enumerate(cast("list[State]", self.state.get("Retry", []))):
            if not matches(retrier["ErrorEquals"], error.error):
                continue
            count = self.retries.get(index, 0)
            if count >= retrier.get("MaxAttempts", 3):
                return None
            self.retries[index] = count + 1
            delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** count
            delay = min(delay, retrier.get("MaxDelaySeconds", delay))
            if retrier.get("JitterStrategy") == "FULL":
                delay = random.uniform(0, delay)  # noqa: S311 - spreads load, hides nothing
            return float(delay)
        return None

    def _catch(self, error: StateError) -> tuple[Json, str | None]:
        for catcher in cast("list[State]", self.state.get("Catch", [])):
            if matches(catcher["ErrorEquals"], error.error):
                document = {"Error": error.error, "Cause": error.cause}
                return self._out(catcher, document, error=document), catcher["Next"]
        raise error

    # Task

    def _task(self) -> Json:
        resource: str = self.state["Resource"]
        token = None
        if resource.endswith(CALLBACK):
            token = tokens.make(self.context["StateMachine"]["Id"].partition("/")[0])
            self.context["Task"] = {"Token": token}
        arguments = self._arguments()
        if resource.startswith("arn:aws:states:::ecs:runTask") and isinstance(arguments, dict):
            arguments = {"StartedBy": STARTED_BY, **cast("dict[str, Json]", arguments)}
        timeout = self._timeout()
        event = TaskEvents(self.branch.add, self.walk.region, resource)
        event.scheduled(arguments, timeout)
        cancelled = Cancellation(self.branch.cancelled)
        alarm = None if timeout is None else self.walk.clock.after(timeout, cancelled.cancel)
        call = Call(
            resource=resource,
            arguments=arguments,
            role_arn=self.walk.role_arn,
            execution_arn=self.walk.execution_arn,
            cancelled=cancelled,
            started=event.started,
            submitted=event.submitted,
            token=token,
        )
        try:
            result = self.walk.integrate(call)
            cancelled.check()
            self._measured(result)
        except Aborted:
            if self.branch.cancelled:
                raise
            event.timed_out()
            raise StateError("States.Timeout") from None
        except StateError as error:
            event.failed(error.error, error.cause)
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
            cancelled.close()
        event.succeeded(result)
        return result

    def _timeout(self) -> float | None:
        seconds = self._field("TimeoutSeconds", "number")
        return None if seconds is None else float(seconds)

    # Parallel and Map

    def _parallel(self) -> Json:
        arguments = copy.deepcopy(self._arguments())
        self.branch.add("ParallelStateStarted")
        branches: list[State] = self.state["Branches"]
        results = self._side_by_side(
            [
                lambda inner, branch=branch: inner.run(
                    branch["States"], branch["StartAt"], copy.deepcopy(arguments)
                )
                for branch in branches
            ],
            [{} for _ in branches],
            len(branches),
        )
        self.branch.add("ParallelStateSucceeded")
        return results

    def _map(self) -> Json:
        processor: State = self.state.get("ItemProcessor") or self.state.get("Iterator") or {}
        if (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED":
            return self._distributed(processor)
        items = self._items()
        self.branch.add("MapStateStarted", {"length": len(items)})

        def iterate(index: int, item: Json) -> Callable[[Branch], Json]:
            def run(inner: Branch) -> Json:
                if inner.place.done:
                    return inner.place.data
                details = {"name": self.name, "index": index}
                inner.add("MapIterationStarted", details)
                try:
                    data = self._selected(item, inner.context)
                    output = inner.run(processor["States"], processor["StartAt"], data)
                except StateError:
                    inner.add("MapIterationFailed", details)
                    raise
                inner.add("MapIterationSucceeded", details)
                return output

            return run

        results = self._side_by_side(
            [iterate(index, item) for index, item in enumerate(items)],
            [
                {"Map": {"Item": {"Index": index, "Value": item}}}
                for index, item in enumerate(items)
            ],
            int(self._field("MaxConcurrency", "number", 0)) or len(items),
        )
        self.branch.add("MapStateSucceeded")
        return results

    def _items(self) -> list[Json]:
        items = self._field("Items", "array", self.input)
        if not isinstance(items, list):
            raise StateError("States.Runtime", "What a Map goes through must be an array.")
        return cast("list[Json]", items)

    def _selected(self, item: Json, context: Mapping[str, Json]) -> Json:
        selector = self.state.get("ItemSelector")
        if selector is None:
            return item
        return self._evaluate(selector, context={**self.context, **context})

    def _distributed(self, processor: State) -> Json:
        """Start a map run, or let the one go on that a redrive found, and wait for its end.

        Its events are in the order that they were recorded in of AWS.
        """
        place = self.branch.place
        if place.map_run is None:
            fields: dict[str, Json] = {
                name: self._evaluate(self.state[name]) for name in _OF_MAP_RUN & self.state.keys()
            }
            for name in _NUMBERS & fields.keys():
                with _queries():
                    expressions.field(name, "number", fields[name])
            if "ItemReader" not in fields:
                fields["Items"] = self._items()
            run = self.walk.distribute(
                Distribution(self.name, self.state.get("Label"), processor, fields, self._item)
            )
            self.branch.add("MapStateStarted", {"length": len(fields.get("Items", []))})
            self.branch.add("MapRunStarted", {"mapRunArn": run.arn})
            place.map_run = run
        else:
            run = place.map_run
            run.redrive()
            details = {"mapRunArn": run.arn, "redriveCount": run.redrive_count}
            self.branch.add("MapRunRedriven", details)
        try:
            result = run.run(self.branch.cancelled)
        except StateError as error:
            self.branch.add("MapRunFailed", {"error": error.error, "cause": error.cause})
            self.branch.add("MapStateFailed")
            raise
        self.branch.add("MapRunSucceeded")
        self.branch.add("MapStateSucceeded")
        return result

    def _item(self, item: dict[str, Json]) -> Json:
        return self._selected(item["Value"], {"Map": {"Item": item}})

    def _side_by_side(
        self,
        runs: list[Callable[[Branch], Json]],
        contexts: list[dict[str, Json]],
        at_once: int,
    ) -> list[Json]:
        """Run them; the first that fails stops the others, and its error is the state's."""
        place = self.branch.place
        if len(place.inner) != len(runs):
            place.inner = [Place() for _ in runs]
        inner = list(map(self.branch.narrower, contexts, place.inner))
        first: list[StateError] = []
        lock = threading.Lock()

        def go(index: int) -> Json:
            try:
                return runs[index](inner[index])
            except StateError as error:
                with lock:
                    first.append(error)
                for other in inner:
                    other.cancelled.cancel()
                return None
            except Aborted:
                return None

        if not runs:
            return []
        with ThreadPoolExecutor(min(at_once, len(runs)), thread_name_prefix="branch") as pool:
            waiting = [pool.submit(copy_context().run, go, index) for index in range(len(runs))]
            results = [future.result() for future in waiting]
        for branch in inner:
            branch.cancelled.close()
        self.branch.previous = max([self.branch.previous, *(branch.previous for branch in inner)])
        if self.branch.cancelled:
            raise Aborted
        if first:
            self.branch.add(f"{self.kind}StateFailed")
            raise first[0]
        return results


def matches(names: list[str], error: str) -> bool:
    """Whether ErrorEquals takes in an error.

    `States.ALL` leaves out what ends an execution for good, `States.TaskFailed` also time-outs.
    """
    if error == "States.Runtime":
        return False
    if error in names:
        return True
    if error in _NOT_IN_ALL:
        return False
    if "States.ALL" in names:
        return True
    if error == "States.HeartbeatTimeout" and "States.Timeout" in names:
        return True
    return "States.TaskFailed" in names and error not in _TIMED_OUT
