"""One run from its trigger to its last log line: what happened when, why, and what to do."""

import contextlib
import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from . import logs, objects, runs
from .aws import code_of
from .errors import OperateError
from .events import Line, tasks_of
from .outcomes import ADVICE, OTHERWISE
from .runs import Run, moment
from .stack import Stack

# https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
_ENTERED = "StateEntered"
_TIMES = {
    "PROVISIONING": "createdAt",
    "RUNNING": "startedAt",
    "DEPROVISIONING": "stoppingAt",
    "STOPPED": "stoppedAt",
}
_WAITS = {"Queue", "QueueAgain"}


@dataclass(frozen=True)
class Moment:
    """Something that happened."""

    at: datetime
    what: str
    text: str


@dataclass(frozen=True)
class Facts:
    """Where a task ran, and with what."""

    task: str
    image: str | None
    digest: str | None
    subnet: str | None
    zone: str | None
    cpu: int | None
    memory: int | None
    provider: str | None


@dataclass(frozen=True)
class Timeline:
    """A run, told."""

    run: Run
    moments: tuple[Moment, ...]
    input: str | None
    output: str | None
    tasks: tuple[Facts, ...]
    advice: str | None
    log: str | None
    """`group GROUP, stream STREAM` of its last task that has a log."""
    last_line: str | None


def of(stack: Stack, run: Run) -> Timeline:
    """Everything that is known of a run."""
    run, lines = runs.whole(stack, run)
    described: dict[str, Any] = {}
    moments: list[Moment] = []
    if run.kind != "task":
        states = stack.aws.client("stepfunctions")
        with _gone():
            described = states.describe_execution(executionArn=run.arn)
            moments += _of_history(states, run.arn)
    moments += _of_trigger(stack, run, described)
    moments += [told for line in lines for told in _of_task(line)]
    group, stream, last_line = _last_line(stack, run)
    if last_line is not None:
        moments.append(last_line)
    unique = {(one.at, one.what, one.text): one for one in moments}
    advice = None
    if run.failed:
        advice = ADVICE.get(run.error or "", OTHERWISE)
    return Timeline(
        run=run,
        moments=tuple(sorted(unique.values(), key=lambda one: one.at)),
        input=described.get("input"),
        output=described.get("output"),
        tasks=tuple(_facts(line) for line in tasks_of(lines).values()),
        advice=advice,
        log=f"group {group}, stream {stream}" if stream else None,
        last_line=last_line.text if last_line else None,
    )


@contextlib.contextmanager
def _gone() -> Generator[None]:
    """Step Functions forgets an execution 90 days after its end; the log may keep it longer."""
    try:
        yield
    except ClientError as error:
        if code_of(error) != "ExecutionDoesNotExist":
            raise


def _of_trigger(stack: Stack, run: Run, described: Mapping[str, Any]) -> Iterator[Moment]:
    given: Any = json.loads(described.get("input") or "null")
    match given:
        case {"source": "aws.s3", "time": str(at), "detail": {"reason": str(reason)}} if run.object:
            told = moment(at)
            if told is not None:
                yield Moment(told, "upload", f"s3://{'/'.join(run.object)} ({reason})")
                rules = _rules(stack, run, given["detail"])
                if rules:
                    yield Moment(told, "rule", f"{' or '.join(rules)} matched")
        case {"schedule": _, "scheduledTime": str(at)}:
            told = moment(at)
            if told is not None:
                yield Moment(told, "schedule", f"{run.started} was due")
        case _:
            yield Moment(run.began, "started", f"by {run.started}")


def _rules(stack: Stack, run: Run, detail: Mapping[str, Any]) -> list[str]:
    """The rules that take an upload, which neither the event nor the execution names."""
    match detail:
        case {"bucket": {"name": str(bucket)}, "object": {"key": str(key), "size": int(size)}}:
            # A filter that is not known here is no reason to tell nothing else of the run.
            with contextlib.suppress(OperateError):
                return objects.rules_for(stack, f"{run.kind}-{run.name}", bucket, key, size)
        case _:
            pass
    return []


def _of_history(states: Any, arn: str) -> Iterator[Moment]:  # noqa: ANN401 -- boto3
    """Starts, waits, attempts, retries and the end."""
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
    for page in pages:
        for event in page["events"]:
            told = _of_event(event)
            if told is not None:
                yield Moment(event["timestamp"].astimezone(UTC), *told)


def _of_event(event: Mapping[str, Any]) -> tuple[str, str] | None:  # noqa: PLR0911 -- one a kind
    kind: str = event["type"]
    if kind == "ExecutionStarted":
        return "execution", "started"
    if kind == "ExecutionRedriven":
        return "execution", "redriven"
    if kind.startswith("Execution"):
        details = event.get(f"e{kind[1:]}EventDetails") or {}
        return "execution", _why(kind.removeprefix("Execution").lower(), details)
    if kind == "TaskSubmitted":
        details = event["taskSubmittedEventDetails"]
        return _submitted(details)
    if kind in {"TaskFailed", "TaskTimedOut", "TaskSubmitFailed", "TaskStartFailed"}:
        details = event.get(f"t{kind[1:]}EventDetails") or {}
        return "state", _why(_words(kind.removeprefix("Task")), details)
    if kind.endswith(_ENTERED):
        name: str = event["stateEnteredEventDetails"]["name"]
        if kind == "WaitStateEntered":
            return "wait", f"{name}: before the next attempt"
        if name in _WAITS:
            return "wait", f"{name}: for a permit"
    return None


def _submitted(details: Mapping[str, Any]) -> tuple[str, str] | None:
    try:
        output: Any = json.loads(details.get("output") or "null")
    except ValueError:
        return None
    match output:
        case {"Tasks": [{"TaskArn": str(arn)}, *_]}:
            return "task", f"{arn.rpartition('/')[2]} submitted"
        case {"ExecutionArn": str(arn)}:
            return "step", f"{arn.rpartition(':')[2]} started"
        case _:
            return None


def _words(camel: str) -> str:
    return "".join(f" {one.lower()}" if one.isupper() else one for one in camel).strip()


def _why(what: str, details: Mapping[str, Any]) -> str:
    error, cause = details.get("error"), details.get("cause") or ""
    if cause.startswith("{"):
        # A task, or an execution, as JSON text; the run's reason says it in words.
        cause = ""
    return ": ".join(text for text in (what, error, cause) if text)


def _of_task(line: Line) -> Iterator[Moment]:
    if "taskId" not in line:
        return
    detail: Mapping[str, Any] = (line.get("event") or {}).get("detail") or {}
    # The event's own time has no fractions of a second.
    at = moment(detail.get(_TIMES.get(line["lastStatus"], "updatedAt"))) or moment(line.get("time"))
    task = line["taskId"]
    if at is None:
        return
    if line["lastStatus"] == "STOPPED":
        yield Moment(at, "task", line["message"])
    else:
        yield Moment(at, "task", f"{task} {line['lastStatus']}")
    pulled = line.get("pulledSeconds")
    pull = moment(detail.get("pullStoppedAt"))
    if pull is not None and pulled is not None and line["lastStatus"] == "STOPPED":
        yield Moment(pull, "image", f"pulled in {pulled:g} s")


def _facts(line: Line) -> Facts:
    detail: Mapping[str, Any] = (line.get("event") or {}).get("detail") or {}
    containers: list[Mapping[str, Any]] = detail.get("containers") or []
    own = next((one for one in containers if one.get("name") == line.get("job")), {})
    subnets = [
        one.get("value")
        for attachment in detail.get("attachments") or []
        for one in attachment.get("details") or []
        if one.get("name") == "subnetId"
    ]
    return Facts(
        task=line["taskId"],
        image=own.get("image"),
        digest=own.get("imageDigest"),
        subnet=next(iter(subnets), None),
        zone=detail.get("availabilityZone"),
        cpu=line.get("cpu"),
        memory=line.get("memory"),
        provider=line.get("capacityProvider"),
    )


def _last_line(stack: Stack, run: Run) -> tuple[str, str | None, Moment | None]:
    """The log group, the stream of the last task that wrote, and its last line."""
    job = stack.jobs.get(run.name)
    if run.kind == "pipeline" or job is None:
        return "", None, None
    for attempt in reversed(run.attempts):
        for entry in logs.last_of_task(stack, job, attempt.id, 1):
            told = Moment(entry.at, "log", logs.readable(entry.text))
            return job.log_group, logs.stream_of(job.name, attempt.id), told
    return job.log_group, None, None
