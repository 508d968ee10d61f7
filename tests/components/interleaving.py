"""Executions of the gate's two state machines, one call at a time in an order drawn by a seed.

The calls reach MiniStack's DynamoDB, without a server. What Step Functions does with a task token
is here, and what goes wrong on the way: lost answers, lost and doubled events, stops, crashes.
"""

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from local.ministack import internals
from local.services.stepfunctions import expressions
from local.services.stepfunctions.asl import matches

Json = Any
Call = tuple[str, Json]
Answer = tuple[str | None, Json]
"""An error's name and its cause, or None and the result."""

MACHINE = "arn:aws:states:ap-northeast-1:123456789012:stateMachine:job"
CALLBACK = ".waitForTaskToken"
WAIT = "wait"


def _value(field_: Json, scope: dict[str, Json], **given: Json) -> Json:
    return expressions.evaluate(
        field_,
        given.get("input"),
        scope,
        scope["variables"],
        given.get("result"),
        given.get("error"),
    )


def walk(
    states: dict[str, Json], start: str, data: Json, scope: dict[str, Json]
) -> Generator[Call, Answer, Json]:
    """Walk a definition's states: yields each call, waits among them, and is sent its answer."""
    name: str | None = start
    while name is not None:
        state = states[name]
        match state["Type"]:
            case "Choice":
                for choice in state["Choices"]:
                    if _value(choice["Condition"], scope, input=data) is True:
                        scope["variables"] |= _value(choice.get("Assign", {}), scope, input=data)
                        name = choice["Next"]
                        break
                else:
                    name = state["Default"]
            case "Succeed" | "Fail":
                return data
            case "Map":
                inner, results = state["ItemProcessor"], list[Json]()
                for item in _value(state["Items"], scope, input=data):
                    within = {**scope, "Map": {"Item": {"Value": item}}}
                    results.append(
                        (yield from walk(inner["States"], inner["StartAt"], item, within))
                    )
                scope["variables"] |= _value(state["Assign"], scope, input=data, result=results)
                data, name = results, state.get("Next")
            case "Task":
                error, result = yield from _try(state, data, scope)
                after = state
                if error is not None:
                    after = next(
                        one for one in state.get("Catch", []) if matches(one["ErrorEquals"], error)
                    )
                document = None if error is None else {"Error": error, "Cause": result or ""}
                given = {"input": data, "result": result, "error": document}
                assigned = _value(after.get("Assign", {}), scope, **given)
                data = _value(after["Output"], scope, **given) if "Output" in after else result
                scope["variables"] |= assigned
                name = after.get("Next")
            case "Wait":
                until = state.get("Seconds", state.get("Timestamp"))
                yield WAIT, _value(until, scope, input=data)
                name = state["Next"]
            case _:
                name = state.get("Next")
    return data


def _try(state: Json, data: Json, scope: dict[str, Json]) -> Generator[Call, Answer, Answer]:
    tries: dict[int, int] = {}
    while True:
        scope["Task"] = {"Token": f"{scope['Execution']['Id']}#{scope['tokens']}"}
        scope["tokens"] += 1
        error, result = yield state["Resource"], _value(state["Arguments"], scope, input=data)
        if error is None:
            return None, result
        index, retrier = next(
            (
                (index, retrier)
                for index, retrier in enumerate(state.get("Retry", []))
                if matches(retrier["ErrorEquals"], error)
            ),
            (0, {"MaxAttempts": 0}),
        )
        tries[index] = tries.get(index, 0) + 1
        if tries[index] > retrier["MaxAttempts"]:
            return error, result
        yield WAIT, retrier["IntervalSeconds"]


@dataclass
class Run:
    """One execution of either machine."""

    name: str
    steps: Generator[Call, Answer, Json]
    call: Call | None = None
    token: str | None = None
    has_task: bool = False
    queued: bool = False
    status: str = "RUNNING"


@dataclass
class World:
    """All executions of one job and of what passes its permits on."""

    job: dict[str, Json]
    hands_on: dict[str, Json]
    limit: int
    random: Random
    faults: bool
    jobs: dict[str, Run] = field(default_factory=dict[str, Run])
    handing: list[Run] = field(default_factory=list[Run])
    untold: list[Run] = field(default_factory=list[Run])
    entered: list[str] = field(default_factory=list[str])
    waited: list[str] = field(default_factory=list[str])
    """The executions of the job that slept, once for each time."""
    most: int = 0

    def arrive(self) -> None:
        """Start an execution of the job."""
        name = f"{len(self.jobs):03}"
        id_ = f"{MACHINE.replace('stateMachine', 'execution')}:{name}"
        execution = {"Id": id_, "Name": name, "StartTime": f"2030-01-01T00:00:00.{name}Z"}
        run = self._start(self.job, {}, execution, id_)
        self.jobs[id_] = run
        self._next(run, None)

    def hand_on(self, data: Json) -> None:
        """Start what passes permits on."""
        run = self._start(self.hands_on, data, {"Id": f"hands-{len(self.handing)}"}, "hands")
        self.handing.append(run)
        self._next(run, None)

    def _start(self, machine: Json, data: Json, execution: Json, name: str) -> Run:
        scope = {"Execution": execution, "variables": {}, "tokens": 0}
        return Run(name, walk(machine["States"], machine["StartAt"], data, scope))

    def _next(self, run: Run, answer: Answer | None) -> None:
        try:
            run.call = next(run.steps) if answer is None else run.steps.send(answer)
        except StopIteration:
            run.call = None
            self._end(run, "SUCCEEDED")

    def _end(self, run: Run, status: str) -> None:
        run.status, run.call, run.token, run.has_task = status, None, None, False
        if run.name in self.jobs:
            self.untold.append(run)

    @property
    def running(self) -> list[Run]:
        """The executions whose task runs."""
        return [run for run in self.jobs.values() if run.has_task]

    def choices(self) -> list[Callable[[], None]]:
        """What may happen next."""
        runs = [*self.jobs.values(), *self.handing]
        calls = [run for run in runs if run.call is not None]
        return [
            *(lambda run=run: self.serve(run) for run in calls),
            *(lambda run=run: self.finish(run) for run in self.running),
            *(lambda run=run: self.tell(run) for run in self.untold),
        ]

    def finish(self, run: Run) -> None:
        """The task of an execution ends well."""
        run.has_task = False
        self._next(run, (None, {"Containers": [], "TaskArn": "a/b/c"}))

    def tell(self, run: Run) -> None:
        """EventBridge tells of an end: once, sometimes again, sometimes never."""
        chance = self.random.random() if self.faults else 1.0
        if chance > 0.15:
            self.untold.remove(run)
        if chance > 0.25 or chance < 0.15:
            self.hand_on({"detail": {"executionArn": run.name, "status": run.status}})

    def stop(self, run: Run) -> None:
        """Someone stops an execution, wherever it is; of the other machine, it crashes."""
        self._end(run, "ABORTED")

    def serve(self, run: Run) -> None:
        """Answer the call of one execution; its answer may be lost, or the call itself."""
        assert run.call is not None
        resource, arguments = run.call
        chance = self.random.random() if self.faults else 1.0
        if resource == WAIT:
            self.waited += [run.name] if run.name in self.jobs else []
            self._next(run, (None, None))
            return
        operation = resource.removesuffix(CALLBACK).rpartition(":")[2]
        if operation == "runTask.sync":
            run.call, run.has_task = None, True
            self.entered.append(run.name)
            self.most = max(self.most, len(self.running))
            return
        if chance < 0.05:
            self._next(run, ("DynamoDb.InternalServerErrorException", None))
            return
        if operation == "transactWriteItems" and 0.1 <= chance < 0.2:
            self._next(run, ("DynamoDb.TransactionCanceledException", CONFLICT))
            return
        answer = self._answer(resource, operation, arguments)
        if answer[0] is None and chance < 0.1:
            answer = ("DynamoDb.InternalServerErrorException", None)
        if answer[0] is None and resource.endswith(CALLBACK):
            run.call, run.queued = None, True
            found = json.dumps(arguments)
            run.token = found[found.rindex(f"{run.name}#") :].partition('"')[0]
            return
        if answer[0] is None and resource.endswith("dynamodb:updateItem") and run.name in self.jobs:
            queue = [item for item in items() if item["kind"]["S"] == "queue"]
            assert run.queued or not queue or chance < 1, "it overtook who waits"
        self._next(run, answer)

    def _answer(self, resource: str, operation: str, arguments: Json) -> Answer:
        if operation == "sendTaskSuccess":
            for run in self.jobs.values():
                if run.token == arguments["TaskToken"]:
                    run.token = None
                    self._next(run, (None, {}))
                    return None, {}
            return "Sfn.TaskTimedOutException", None
        if operation == "describeExecution":
            run = self.jobs[arguments["ExecutionArn"]]
            return None, {"Status": run.status, "ExecutionArn": run.name}
        prefix = "DynamoDb" if "aws-sdk" in resource else "DynamoDB"
        return dynamodb(prefix, operation, arguments)


_OPERATIONS = internals.dynamodb_operations
TABLE = "slots"
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
CONFLICT = (
    "Transaction cancelled, please refer cancellation reasons for specific reasons"
    " [TransactionConflict, None]"
)


def dynamodb(prefix: str, operation: str, arguments: Json) -> Answer:
    """What MiniStack answers, as the integration `prefix` puts it."""
    status, _, body = _OPERATIONS[operation](arguments)
    result = json.loads(body or b"{}")
    if status < 400:
        return None, result
    error: str = result["__type"].rpartition("#")[2]
    assert error in {"ConditionalCheckFailedException", "TransactionCanceledException"}, result
    return f"{prefix}.{error}", result.get("message")


def items() -> list[dict[str, Json]]:
    """Everything in the table."""
    _, _, body = _OPERATIONS["scan"]({"TableName": TABLE, "ConsistentRead": True})
    return json.loads(body)["Items"]


def new_table(*names: str) -> None:
    """An empty table as the component makes it, with these keys."""
    internals.dynamodb_reset()
    keys = list(zip(names, ("HASH", "RANGE"), strict=False))
    status, _, body = _OPERATIONS["createTable"](
        {
            "TableName": TABLE,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in keys],
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": "S"} for name, _ in keys
            ],
        }
    )
    assert status == 200, body
