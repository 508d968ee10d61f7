"""Backfills: a job run for many objects that are there already, by the stack's distributed map.

The list of objects and what became of them are in the results bucket, `_backfills/ID/`.
"""

import json
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import mean, median
from typing import Any

from botocore.exceptions import ClientError

from . import prices, runs, starts
from .aws import code_of
from .errors import FAILED, OperateError
from .objects import Object
from .runs import BACKFILL, Run, Started
from .stack import Stack

AT_ONCE = 10
"""How many objects at once, unless something else is said."""
# Failures that are tolerated, unless something else is said: a tenth, and a few in any case.
_TOLERATED, _FEWEST_TOLERATED = 0.1, 10
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html
LAUNCHES_A_SECOND = 20
# Of the map's execution two, of the job's three, unless it is tried again.
_TRANSITIONS = 5
_USUAL_RUNS = 20
_LOOKED_AT = 8


@dataclass(frozen=True)
class Backfill:
    """One execution of the stack's map."""

    id: str
    arn: str
    job: str
    selection: str
    """The options that chose the objects."""
    status: str
    """As of a run."""
    error: str | None
    reason: str | None
    started: Started
    began: datetime
    ended: datetime | None
    objects: int
    succeeded: int
    failed: int
    stopped: int
    running: int
    max_concurrency: int
    tolerated: int
    map_run: str | None = None
    """None before its objects were read."""

    @property
    def short(self) -> str:
        """As the runs that it starts have it."""
        return self.id[:BACKFILL]

    @property
    def pending(self) -> int:
        """How many have not begun yet, or wait to be begun again."""
        return max(self.objects - self.succeeded - self.failed - self.stopped - self.running, 0)

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return None if self.ended is None else (self.ended - self.began).total_seconds()


@dataclass(frozen=True)
class Estimate:
    """What a backfill will likely take; None where no run of the job is known."""

    seconds: float | None
    dollars: float | None
    permits: int | None
    """The job's `maxConcurrency`: how many of those at once run their task; None: all."""


@dataclass(frozen=True)
class Order:
    """A backfill that is not started yet."""

    job: str
    objects: Sequence[Object]
    selection: str
    max_concurrency: int = AT_ONCE
    max_failures: int | None = None
    """None: a tenth of the objects, and ten in any case."""

    @property
    def tolerated(self) -> int:
        """How many objects may fail before no more are begun."""
        if self.max_failures is not None:
            return self.max_failures
        return max(_FEWEST_TOLERATED, math.ceil(len(self.objects) * _TOLERATED))


def machine_of(stack: Stack) -> str:
    """The state machine of backfills.

    Raises:
        OperateError: the stack has none.
    """
    if stack.backfills is None:
        raise OperateError(
            f"the stack {stack.name} has no backfills: set `{stack.project}:backfills: true` and"
            " deploy it"
        )
    return stack.backfills


def estimate(stack: Stack, order: Order) -> Estimate:
    """By the last runs of the job that succeeded, and how fast Fargate launches tasks."""
    want = runs.Filter(job=order.job, statuses=("succeeded",))
    usual = [run for run in runs.recent(stack, want, last=_USUAL_RUNS) if run.kind == "job"]
    took = [seconds for run in usual if (seconds := _took(run)) is not None]
    cost = [run.cost for run in usual if run.cost is not None]
    count = len(order.objects)
    permits = stack.max_concurrency.get(order.job)
    rounds = math.ceil(count / min(order.max_concurrency, permits or order.max_concurrency))
    seconds = max(rounds * median(took), count / LAUNCHES_A_SECOND) if took else None
    each = _TRANSITIONS * prices.A_TRANSITION
    return Estimate(seconds, count * (mean(cost) + each) if cost else None, permits)


def _took(run: Run) -> float | None:
    """How long a run's tasks took: not how long it waited for a permit before them."""
    began = [one.began for one in run.attempts if one.began is not None]
    return (run.ended - min(began)).total_seconds() if run.ended and began else run.seconds


def start(stack: Stack, order: Order) -> Backfill:
    """Write the list of objects, and start the map over it.

    Raises:
        OperateError: one of the same objects still runs.
    """
    running = _listed(stack, _LOOKED_AT, statusFilter="RUNNING")
    for found in (look(stack, one["executionArn"]) for one in running):
        if (found.job, found.selection) == (order.job, order.selection):
            raise OperateError(
                f"{found.short} still runs {found.job} for these: `backfills show {found.short}"
                " --follow`",
                FAILED,
            )
    name = runs.execution_name("by", stack.aws.caller(), uuid.uuid4().hex)
    details = [one.detail for one in order.objects]
    return _start(stack, name, details, _input(order), machine_of(stack))


def _input(order: Order) -> dict[str, Any]:
    return {
        "job": order.job,
        "maxConcurrency": order.max_concurrency,
        "toleratedFailures": order.tolerated,
        "selection": order.selection,
    }


def _start(
    stack: Stack,
    name: str,
    details: Sequence[Mapping[str, Any]],
    given: Mapping[str, Any],
    machine: str,
) -> Backfill:
    lines = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in details)
    stack.aws.client("s3").put_object(
        Bucket=stack.results_bucket,
        Key=f"{_folder(stack, name)}objects.jsonl",
        Body=lines.encode("utf-8", "surrogatepass"),
    )
    payload = json.dumps({**given, "objects": len(details)}, ensure_ascii=False)
    answer = stack.aws.client("stepfunctions").start_execution(
        stateMachineArn=machine, name=name, input=payload
    )
    return look(stack, answer["executionArn"])


def _folder(stack: Stack, name: str) -> str:
    return f"{stack.lists_of_backfills}{name}/"


def every(stack: Stack, last: int, known: Mapping[str, Backfill] | None = None) -> list[Backfill]:
    """The newest so many, the newest first.

    Args:
        stack: the stack.
        last: how many.
        known: by their ARN, those that were looked at after their end: they are as they were.
    """

    def one(listed: Mapping[str, Any]) -> Backfill:
        before = (known or {}).get(listed["executionArn"])
        if before is not None and before.ended == listed.get("stopDate"):
            return before
        return look(stack, listed["executionArn"])

    with ThreadPoolExecutor(_LOOKED_AT) as pool:
        return list(pool.map(one, _listed(stack, last)))


def find(stack: Stack, wanted: str) -> Backfill:
    """The backfill that `@latest`, an ARN or the beginning of an id names.

    Raises:
        OperateError: there is none, or there are several.
    """
    identity = wanted.rpartition(":")[2]
    listed = _listed(stack, 1) if wanted == "@latest" else _listed(stack)
    found = [
        one["executionArn"]
        for one in listed
        if wanted == "@latest" or one["name"].startswith(identity)
    ]
    if not found:
        raise OperateError(f"no such backfill: {wanted} (`backfills` lists them)")
    if len(found) > 1:
        listed = ", ".join(arn.rpartition(":")[2][:BACKFILL] for arn in found[:10])
        raise OperateError(f"{wanted} is {len(found)} backfills: {listed}")
    return look(stack, found[0])


def _listed(stack: Stack, last: int | None = None, **asked: str) -> list[Mapping[str, Any]]:
    pages = stack.aws.client("stepfunctions").get_paginator("list_executions")
    config = {} if last is None else {"MaxItems": last}
    machine = machine_of(stack)
    found = pages.paginate(stateMachineArn=machine, PaginationConfig=config, **asked)
    return [one for page in found for one in page["executions"]]


def look(stack: Stack, arn: str) -> Backfill:
    """What is known of an execution of the map."""
    states = stack.aws.client("stepfunctions")
    described = states.describe_execution(executionArn=arn)
    given: Any = json.loads(described.get("input") or "{}")
    found = states.list_map_runs(executionArn=arn)["mapRuns"]
    map_run = states.describe_map_run(mapRunArn=found[0]["mapRunArn"]) if found else {}
    counts = map_run.get("itemCounts") or {}
    ended: datetime | None = described.get("stopDate")
    status = runs.EXECUTION_STATUSES.get(described["status"], "failed")
    return Backfill(
        id=described["name"],
        arn=arn,
        job=given.get("job") or "",
        selection=given.get("selection") or "",
        status=status,
        error=described.get("error"),
        reason=described.get("cause"),
        started=runs.started_here(described["name"]) or Started("other"),
        began=described["startDate"].astimezone(UTC),
        ended=None if ended is None or status == "running" else ended.astimezone(UTC),
        objects=counts.get("total") or given.get("objects") or 0,
        succeeded=counts.get("succeeded", 0),
        failed=counts.get("failed", 0) + counts.get("timedOut", 0),
        stopped=counts.get("aborted", 0),
        running=counts.get("running", 0),
        max_concurrency=map_run.get("maxConcurrency") or given.get("maxConcurrency") or 0,
        tolerated=map_run.get("toleratedFailureCount") or given.get("toleratedFailures") or 0,
        map_run=map_run.get("mapRunArn"),
    )


def change_rate(stack: Stack, found: Backfill, at_once: int) -> None:
    """Let one that runs have so many objects at once from now on.

    Raises:
        OperateError: it does not run.
    """
    if found.status != "running" or found.map_run is None:
        raise OperateError(f"{found.short} does not run", FAILED)
    stack.aws.client("stepfunctions").update_map_run(
        mapRunArn=found.map_run, maxConcurrency=at_once
    )


def stop(stack: Stack, found: Backfill, reason: str) -> None:
    """Stop one with all that it runs, with who and why.

    Raises:
        OperateError: it does not run.
    """
    if found.status != "running":
        raise OperateError(f"{found.short} has ended already", FAILED)
    stack.aws.client("stepfunctions").stop_execution(
        executionArn=found.arn,
        error=starts.OPERATOR,
        cause=f"{stack.aws.caller()}: {reason}",
    )


@dataclass(frozen=True)
class Plan:
    """How a backfill is to go on."""

    found: Backfill
    how: str
    """redrive, the same goes on; start, a new one of the objects that failed."""
    details: Sequence[Mapping[str, Any]] = ()

    def __str__(self) -> str:
        if self.how == "redrive":
            left = self.found.objects - self.found.succeeded
            return f"redrive it: {left} of {self.found.objects} objects have not succeeded"
        count = len(self.details)
        which = "the object" if count == 1 else f"the {count} objects"
        return f"run {which} that failed again, in another backfill"


def plan(stack: Stack, found: Backfill) -> Plan:
    """Choose how a backfill goes on.

    Raises:
        OperateError: it runs, has succeeded, or AWS knows too little of it.
    """
    if found.status == "running":
        raise OperateError(f"{found.short} still runs", FAILED)
    if found.status == "succeeded":
        raise OperateError(f"{found.short} has nothing left to do", FAILED)
    states = stack.aws.client("stepfunctions")
    if starts.ended_in_fail(states, found.arn):
        return Plan(found, "start", list(_failed(stack, found)))
    described = states.describe_execution(executionArn=found.arn)
    if described.get("redriveStatus") == "REDRIVABLE":
        return Plan(found, "redrive")
    raise OperateError(
        f"AWS redrives {found.short} no more: `backfill {found.job} --only missing` runs what it"
        " left, with the options that chose its objects",
        FAILED,
    )


def go_on(stack: Stack, chosen: Plan) -> Backfill:
    """Let a backfill go on as planned.

    Raises:
        OperateError: it was continued already, by one that runs or has succeeded.
    """
    found, states = chosen.found, stack.aws.client("stepfunctions")
    if chosen.how == "redrive":
        states.redrive_execution(executionArn=found.arn)
        return look(stack, found.arn)
    machine = machine_of(stack)
    name = starts.free_name(states, found.short, found.arn, machine)
    given = {
        "job": found.job,
        "maxConcurrency": found.max_concurrency,
        "toleratedFailures": found.tolerated,
        "selection": f"what failed of {found.short}",
    }
    return _start(stack, name, chosen.details, given, machine)


def _failed(stack: Stack, found: Backfill) -> Iterator[Mapping[str, Any]]:
    """The objects of the executions that failed, as Step Functions has written them.

    https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
    """
    run = (found.map_run or "").rpartition(":")[2]
    manifest = _read(stack, f"{_folder(stack, found.id)}{run}/manifest.json")
    for file in manifest["ResultFiles"]["FAILED"]:
        for execution in _read(stack, file["Key"]):
            yield json.loads(execution["Input"])["item"]


def _read(stack: Stack, key: str) -> Any:  # noqa: ANN401 -- JSON
    try:
        answer = stack.aws.client("s3").get_object(Bucket=stack.results_bucket, Key=key)
    except ClientError as error:
        if code_of(error) != "NoSuchKey":
            raise
        raise OperateError(f"s3://{stack.results_bucket}/{key} is gone", FAILED) from None
    return json.loads(answer["Body"].read())
