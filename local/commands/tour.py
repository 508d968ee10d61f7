"""The tour: each way a batch starts, taken for real, and told as AWS's APIs show it.

Every step uploads or fires something, follows what comes of it, and fails if a part of it is not
seen in time.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq

from local.commands import stack
from local.commands.errors import CommandError
from local.commands.hints import key_for
from local.commands.screen import Screen
from local.commands.tasks import Log, exit_code, stream_of, tasks, why
from local.engine.project import Project
from local.services import sns
from local.services.events import events
from operate.logs import readable

SECONDS = 20.0
"""How long a step may take to show what it should."""
POLL_SECONDS = 0.05
OUTSIDE = "hoge/"
SHOWN_ROWS = 5
SHOWN_LINES = 12
SHOWN_CHARACTERS = 160


Found = TypeVar("Found")


class NotSeenError(Exception):
    """What should have happened and did not."""


@dataclass
class Tour:
    """A running stack, the file to upload, and what has been seen so far."""

    stack: stack.Stack
    port: int
    project: Project
    file: Path
    screen: Screen
    deliveries: list[events.Delivery] = field(default_factory=list[events.Delivery])
    tasks: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.s3 = self.stack.client("s3")
        self.states = self.stack.client("stepfunctions")
        self.ecs = self.stack.client("ecs")
        self.logs = self.stack.client("logs")

    def configured(self, key: str) -> dict[str, Any]:
        """A mapping of the stack's configuration, empty if it is not there."""
        return json.loads(self.project.config.get(f"{self.project.name}:{key}") or "{}")

    @property
    def cluster(self) -> str:
        """The ARN of the stack's cluster."""
        return self.stack.outputs["clusterArn"]

    def upload(self, key: str) -> None:
        """Put the tour's file into the upload bucket."""
        bucket = self.stack.outputs["uploadBucket"]
        with self.file.open("rb") as body:
            self.s3.put_object(Bucket=bucket, Key=key, Body=body)
        self.screen.event("uploaded", f"{self.file.name} to s3://{bucket}/{key}")

    def delivered(self, key: str) -> list[events.Delivery]:
        """What was delivered of an upload."""
        return [delivery for delivery in list(self.deliveries) if _key(delivery.event) == key]


@dataclass(frozen=True)
class Step:
    """A part of the tour: its title, whether the stack has it, and what it does."""

    title: str
    applies: Callable[[Tour], bool]
    take: Callable[[Tour], None]


def take(tour: Tour) -> list[str]:
    """Take every step that the stack has; returns the titles of those not seen."""
    missing: list[str] = []
    with events.observe(tour.deliveries.append):
        for step in STEPS:
            if not step.applies(tour):
                continue
            tour.screen.heading(step.title)
            try:
                step.take(tour)
            except (NotSeenError, CommandError) as error:
                tour.screen.verdict(str(error), good=False)
                missing.append(step.title)
    return missing


def _upload(tour: Tour, *, direct: bool) -> tuple[str, dict[str, Any]] | None:
    """The first upload to the stack's bucket that starts a job: straight as a task, or not."""
    for name, upload in tour.configured("uploads").items():
        is_direct = upload.get("via") == "task"
        if is_direct == direct and "job" in upload and "bucket" not in upload:
            return name, upload
    return None


def _scheduled(tour: Tour) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pipelines that a schedule starts."""
    pipelines = tour.configured("pipelines").items()
    return ((name, pipeline) for name, pipeline in pipelines if "schedule" in pipeline)


def through_a_state_machine(tour: Tour) -> None:
    """Two uploads, of which one starts an execution that runs a task to its end."""
    name, upload = _upload(tour, direct=False) or ("", {})
    key, outside = key_for(upload, tour.file), f"{OUTSIDE}{tour.file.name}"
    machine = tour.stack.outputs["jobs"][upload["job"]]["stateMachineArn"]
    with _following(tour, upload["job"]) as follower:
        tour.upload(outside)
        tour.upload(key)
        rule = _rule_that_matched(tour, name, key)
        tour.screen.event("rule", f"{rule} matched")
        arn = _wait(
            lambda: next(
                (arn for arn, given in _executions(tour, machine) if _key(given) == key), None
            ),
            "no execution started",
        )
        tour.screen.event("execution", arn.rpartition(":")[2] + " started")
        ended = _wait(lambda: follower.look() or _ended(tour, arn), "the execution did not end")
    _succeeded(tour, ended)
    _show_result(tour, key)

    strays = [given for _, given in _executions(tour, machine) if _key(given) == outside]
    if strays or tour.delivered(outside):
        raise NotSeenError(f"the upload of {outside} started something")
    tour.screen.verdict(f"The upload of {outside} started nothing.", good=True)


def straight_to_a_task(tour: Tour) -> None:
    """An upload that EventBridge hands to ECS itself."""
    name, upload = _upload(tour, direct=True) or ("", {})
    key = key_for(upload, tour.file)
    with _following(tour, upload["job"]) as follower:
        tour.upload(key)
        rule = _rule_that_matched(tour, name, key)
        tour.screen.event("rule", f"{rule} matched")
        _stopped_well(tour, follower)
    _show_result(tour, key)


def pipeline(tour: Tour) -> None:
    """A schedule fired by hand: a state machine that runs other state machines in series."""
    name, configured = next(_scheduled(tour))
    outputs = tour.stack.outputs["pipelines"][name]
    before = {arn for arn, _ in _executions(tour, outputs["stateMachineArn"])}
    job = _first_job(configured["steps"])
    with _following(tour, job) as follower:
        stack.fire(tour.port, outputs["scheduleArn"])
        tour.screen.event("fired", f"{name}: {configured['schedule']}")
        arn = _wait(
            lambda: next(
                (
                    arn
                    for arn, _ in _executions(tour, outputs["stateMachineArn"])
                    if arn not in before
                ),
                None,
            ),
            "the pipeline did not start",
        )
        tour.screen.event("execution", arn.rpartition(":")[2] + " started")
        ended = _wait(lambda: follower.look() or _ended(tour, arn), "the pipeline did not end")
    _succeeded(tour, ended)


def scheduled_task(tour: Tour) -> None:
    """A schedule fired by hand, whose target is ECS itself."""
    name, configured = next(iter(tour.configured("schedules").items()))
    with _following(tour, configured["job"]) as follower:
        stack.fire(tour.port, tour.stack.outputs["schedules"][name])
        tour.screen.event("fired", f"{name}: {configured['schedule']}")
        _stopped_well(tour, follower)


def failure(tour: Tour) -> None:
    """An execution that fails, and the message of it that AWS would send."""
    messages: list[tuple[str, str]] = []

    def publish(topic_arn: str, subject: str, text: str) -> None:
        if topic_arn == tour.stack.outputs["alertsTopicArn"]:
            messages.append((subject, text))

    machine = next(iter(tour.stack.outputs["jobs"].values()))["stateMachineArn"]
    with sns.observe(publish):
        started = tour.states.start_execution(stateMachineArn=machine, input='{"comands": []}')
        arn: str = started["executionArn"]
        tour.screen.event("started", arn.rpartition(":")[2] + ' with {"comands": []}')
        ended = _wait(lambda: _ended(tour, arn), "the execution did not end")
        tour.screen.event("ended", f"{ended['status'].lower()}, {ended.get('error')}")
        subject, text = _wait(
            lambda: next((one for one in messages if arn in one[1]), None), "no message came"
        )
    tour.screen.event("subject", subject)
    for line in filter(None, text.splitlines()):
        tour.screen.event("message", _shown(line))
    tour.screen.verdict("All who are named in alerts would be told so, once.", good=True)


def event_log(tour: Tour) -> None:
    """The log of every task the tour has seen, from its first state to STOPPED."""
    group = tour.stack.outputs["taskEventLogGroup"]

    def logged() -> dict[str, list[str]] | None:
        statuses: dict[str, list[str]] = {task: [] for task in tour.tasks}
        for line in _lines(tour, group):
            if line.get("taskId") in statuses:
                statuses[line["taskId"]].append(line["lastStatus"])
        return statuses if all("STOPPED" in seen for seen in statuses.values()) else None

    for task, statuses in _wait(logged, f"{group} does not tell of every task's end").items():
        tour.screen.event("logged", f"{task}: {' → '.join(statuses)}")
    tour.screen.verdict(f"Every change of {len(tour.tasks)} tasks is in {group}.", good=True)


STEPS = (
    Step(
        "An upload runs a batch, through a state machine",
        lambda tour: _upload(tour, direct=False) is not None,
        through_a_state_machine,
    ),
    Step(
        "An upload runs a batch, straight in ECS",
        lambda tour: _upload(tour, direct=True) is not None,
        straight_to_a_task,
    ),
    Step(
        "A schedule runs several batches in series",
        lambda tour: any(_scheduled(tour)),
        pipeline,
    ),
    Step(
        "A schedule runs a batch, straight in ECS",
        lambda tour: bool(tour.configured("schedules")),
        scheduled_task,
    ),
    Step(
        "A failure is told",
        lambda tour: "alertsTopicArn" in tour.stack.outputs,
        failure,
    ),
    Step(
        "Every task's life is logged",
        lambda tour: "taskEventLogGroup" in tour.stack.outputs,
        event_log,
    ),
)


def _wait(look: Callable[[], Found | None], otherwise: str) -> Found:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + SECONDS
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise NotSeenError(f"{otherwise} within {SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
    return found


def _key(event: dict[str, Any]) -> str | None:
    """The object key in an event of S3."""
    match event:
        case {"detail": {"object": {"key": str(key)}}}:
            return key
        case _:
            return None


def _rule_that_matched(tour: Tour, upload: str, key: str) -> str:
    rule_arn = tour.stack.outputs["uploads"][upload]["ruleArn"]

    def matched() -> str | None:
        for delivery in tour.delivered(key):
            if delivery.rule_arn == rule_arn and delivery.outcome == "failed":
                raise NotSeenError(f"{delivery.rule_name} could not deliver: {delivery.error}")
            if delivery.rule_arn == rule_arn:
                return delivery.rule_name
        return None

    return _wait(matched, f"no rule matched {key}")


def _executions(tour: Tour, machine: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The ARN and the input of a state machine's newest executions."""
    newest = tour.states.list_executions(stateMachineArn=machine, maxResults=20)["executions"]
    for execution in newest:
        described = tour.states.describe_execution(executionArn=execution["executionArn"])
        yield execution["executionArn"], json.loads(described["input"])


def _ended(tour: Tour, execution: str) -> dict[str, Any] | None:
    described = tour.states.describe_execution(executionArn=execution)
    return None if described["status"] == "RUNNING" else described


def _succeeded(tour: Tour, described: dict[str, Any]) -> None:
    if described["status"] != "SUCCEEDED":
        raise NotSeenError(f"the execution ended as {described['status']}: {why(described)}")
    seconds = (described["stopDate"] - described["startDate"]).total_seconds()
    tour.screen.verdict(f"The execution succeeded in {seconds:.1f} s.", good=True)


@contextmanager
def _following(tour: Tour, job: str) -> Generator["_Follower"]:
    """Tell of the states and log lines of tasks that start within the block, at each call."""
    known = {task["taskArn"] for task in tasks(tour.ecs, tour.cluster)}
    follower = _Follower(tour, job, known)
    try:
        yield follower
    finally:
        follower.look()
        tour.tasks.extend(follower.seen)


class _Follower:
    """Tells what is new of a job's tasks, each time it looks."""

    def __init__(self, tour: Tour, job: str, known: set[str]) -> None:
        self._tour = tour
        self._job = job
        self._known = known
        self._told: list[tuple[str, str]] = []
        self._logs: dict[str, Log] = {}
        self._lines = 0
        self.stopped: dict[str, dict[str, Any]] = {}

    @property
    def seen(self) -> list[str]:
        """The ids of the tasks that started since."""
        return [_id(arn) for arn in self._logs]

    def look(self) -> None:
        """Tell of states and log lines that are new."""
        group = self._tour.stack.outputs["jobs"][self._job]["logGroup"]
        found = [
            task
            for task in tasks(self._tour.ecs, self._tour.cluster)
            if task["taskArn"] not in self._known
        ]
        for task in sorted(found, key=lambda task: task["createdAt"]):
            arn = task["taskArn"]
            if arn not in self._logs:
                self._logs[arn] = Log(self._tour.logs, group, stream_of(self._job, arn))
            self._tell_states(task)
            for line in self._logs[arn].more():
                self._tell_line(line)
            if task["lastStatus"] == "STOPPED":
                self.stopped[arn] = task

    def _tell_states(self, task: dict[str, Any]) -> None:
        """The states, of which only the rule on ECS events hears every one."""
        arn = task["taskArn"]
        changes = [
            delivery.event["detail"]
            for delivery in list(self._tour.deliveries)
            if delivery.outcome == "matched" and delivery.event["detail"].get("taskArn") == arn
        ]
        for change in [*changes, task]:
            status = change["lastStatus"]
            if (arn, status) not in self._told:
                self._told.append((arn, status))
                code = exit_code(change) if status == "STOPPED" else None
                text = f"{_id(arn)[:8]} {status}" + ("" if code is None else f", exit code {code}")
                self._tour.screen.event("task", text)

    def _tell_line(self, line: str) -> None:
        self._lines += 1
        if self._lines <= SHOWN_LINES:
            self._tour.screen.event("log", _shown(readable(line)))


def _shown(text: str) -> str:
    # What is piped is read by programs, or searched: all of it is there.
    whole = len(text) <= SHOWN_CHARACTERS or not sys.stdout.isatty()
    return text if whole else f"{text[:SHOWN_CHARACTERS]} …"


def _id(task_arn: str) -> str:
    return task_arn.rpartition("/")[2]


def _stopped_well(tour: Tour, follower: _Follower) -> None:
    """Follow one task to its end, which is to be exit code 0."""

    def stopped() -> dict[str, Any] | None:
        follower.look()
        return next(iter(follower.stopped.values()), None)

    task = _wait(stopped, "no task started and stopped")
    code = exit_code(task)
    if code != 0:
        ended = (
            f"exit code {code}" if code is not None else task.get("stoppedReason", "no exit code")
        )
        raise NotSeenError(f"the task failed: {ended}")
    began, ended_at = task["createdAt"], task["stoppedAt"]
    tour.screen.verdict(f"The task ran in {(ended_at - began).total_seconds():.1f} s.", good=True)


def _first_job(steps: list[Any]) -> str:
    """The job of a pipeline's first step; steps side by side are a list in the list."""
    first = steps[0]
    return _first_job(first) if isinstance(first, list) else first["job"]


def _lines(tour: Tour, group: str) -> Iterator[dict[str, Any]]:
    """The JSON lines of a log group."""
    for page in tour.logs.get_paginator("filter_log_events").paginate(logGroupName=group):
        for event in page["events"]:
            try:
                line: object = json.loads(event["message"])
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line


def _show_result(tour: Tour, key: str) -> None:
    """The report and the Parquet file that a job made of an upload."""
    bucket = tour.stack.outputs["resultsBucket"]

    def report() -> dict[str, Any] | None:
        pages = tour.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for page in pages:
            for entry in page.get("Contents", []):
                if entry["Key"].endswith(".report.json"):
                    body = tour.s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                    document = json.loads(body)
                    if document["source"]["key"] == key:
                        return document
        return None

    found = _wait(report, f"no report of {key} is in s3://{bucket}")
    columns, rejected = found["columns"], found["rejected"]
    parquet = found["result"]["key"]
    tour.screen.event("result", f"s3://{bucket}/{parquet}")
    tour.screen.event(
        "result", f"{found['rows']} rows, {len(columns)} columns, {rejected['count']} rejected"
    )
    for row in rejected["rows"][:SHOWN_LINES]:
        tour.screen.event("rejected", f"line {row['line']}: {row['reason']}")
    if rejected["count"] > SHOWN_LINES:
        tour.screen.event("rejected", f"{rejected['count'] - SHOWN_LINES:,} more")
    names, rows = _read(tour, bucket, parquet)
    if len(names) != len(columns):
        raise NotSeenError(f"the file has {len(names)} columns, its report {len(columns)}")
    kinds = [f"{column['name']} {column['type']}" for column in columns]
    tour.screen.table(kinds, rows)
    if len(rows) < found["rows"]:
        tour.screen.line(f"  (the first {len(rows)} of {found['rows']:,} rows)")


def _read(tour: Tour, bucket: str, key: str) -> tuple[list[str], list[list[str]]]:
    """The columns of a Parquet file in S3, and its first rows as text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.parquet"
        path.write_bytes(tour.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        with pq.ParquetFile(path) as file:
            first = next(file.iter_batches(batch_size=SHOWN_ROWS), None)
            rows = [] if first is None else [[*row.values()] for row in first.to_pylist()]
            return (
                file.schema_arrow.names,
                [["" if value is None else str(value) for value in row] for row in rows],
            )
