"""A job with `maxConcurrency` in the laptop's cloud: never too many, in order, none left behind."""

import json
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from local.cloud import Cloud
from tests.local import stacks
from tests.local.probe import REGION, ended, eventually

pytestmark = pytest.mark.slow

MACHINES = f"arn:aws:states:{REGION}:111122223333:stateMachine:fargate-batch-dev-"
SLEEPER = "import os, time\ntime.sleep(float(os.environ.get('SECONDS', '0.3')))\n"
LIMIT = 2
JOBS = ("narrow", "lossy", "doubled")
CONFIG: dict[str, Any] = {
    "image": stacks.IMAGE,
    "protect": False,
    # Of a time limit little is left at this cloud's scale.
    "jobs": {name: {"maxConcurrency": LIMIT, "retries": 0, "timeout": "14d"} for name in JOBS}
    | {"wide": {}},
    "uploads": {"narrow": {"job": "narrow", "prefix": "narrow/"}},
}


@dataclass
class Job:
    """One job of the stack."""

    cloud: Cloud
    name: str
    cluster: str
    bucket: str

    @property
    def machine(self) -> str:
        return f"{MACHINES}job-{self.name}"

    def start(self, seconds: float = 0.3) -> str:
        request = {"environment": {"SECONDS": str(seconds)}}
        answer = self.cloud.client("stepfunctions").start_execution(
            stateMachineArn=self.machine, input=json.dumps(request)
        )
        return answer["executionArn"]

    def upload(self, key: str) -> str:
        """The execution that an upload starts."""
        before = {run["executionArn"] for run in self.executions()}
        self.cloud.client("s3").put_object(Bucket=self.bucket, Key=key, Body=b"x")
        found = eventually(
            lambda: {run["executionArn"] for run in self.executions()} - before or None
        )
        [execution] = found
        return execution

    def executions(self) -> list[dict[str, Any]]:
        client = self.cloud.client("stepfunctions")
        return list(client.list_executions(stateMachineArn=self.machine)["executions"])

    def hand_on(self, data: dict[str, Any] | None = None) -> str:
        answer = self.cloud.client("stepfunctions").start_execution(
            stateMachineArn=f"{MACHINES}limit-{self.name}", input=json.dumps(data or {})
        )
        return answer["executionArn"]

    def ended(self, execution: str) -> str:
        return ended(self.cloud, execution)["status"]

    def entered(self, execution: str) -> list[str]:
        history = self.cloud.client("stepfunctions").get_execution_history(
            executionArn=execution, maxResults=1000
        )
        return [
            event["stateEnteredEventDetails"]["name"]
            for event in history["events"]
            if "stateEnteredEventDetails" in event
        ]

    def waits(self, execution: str) -> bool:
        """Whether it has asked for a place in the queue and not been let through."""
        entered = self.entered(execution)
        return (
            bool(entered)
            and entered[-1].startswith("Queue")
            and any(
                item["execution"]["S"] == execution for item in self.items() if "execution" in item
            )
        )

    def runs(self, execution: str) -> bool:
        return any(
            task["lastStatus"] == "RUNNING" and execution.endswith(task["group"].partition(":")[2])
            for task in self.tasks()
        )

    def tasks(self) -> list[dict[str, Any]]:
        ecs = self.cloud.client("ecs")
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in ecs.list_tasks(cluster=self.cluster, desiredStatus=status)["taskArns"]
        ]
        tasks = ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"] if arns else []
        return [dict(task) for task in tasks if f"-{self.name}:" in task["taskDefinitionArn"]]

    def items(self) -> list[dict[str, Any]]:
        client = self.cloud.client("dynamodb")
        [table] = [
            name for name in client.list_tables()["TableNames"] if name.startswith(f"{self.name}-")
        ]
        return list(client.scan(TableName=table, ConsistentRead=True)["Items"])

    def slots(self) -> tuple[set[str], int, int]:
        """Who holds one, how many are said to wait, and how many do."""
        items = self.items()
        slots = next(iter(item for item in items if item["kind"]["S"] == "slots"))
        holders = set(slots.get("holders", {"SS": []})["SS"])
        return holders, int(slots.get("waiting", {"N": "0"})["N"]), len(items) - 1

    def settled(self) -> None:
        """Wait until every slot is free and nobody waits."""
        eventually(lambda: self.slots() == (set(), 0, 0) or None)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Job]]:
    context = tmp_path_factory.mktemp("image") / "sleeper"
    context.mkdir()
    (context / "__init__.py").write_text("")
    (context / "__main__.py").write_text(SLEEPER)
    (context / "Dockerfile").write_text(
        "FROM python:3.13-slim\nWORKDIR /app\n"
        'COPY . /app/sleeper\nENTRYPOINT ["python", "-m", "sleeper"]\n'
    )
    with stacks.deployed(CONFIG, context, wait_scale=0.05, max_tasks=12) as (cloud, evaluation):
        outputs = evaluation.outputs
        cluster, bucket = outputs["clusterArn"], outputs["uploadBucket"]
        yield {name: Job(cloud, name, cluster, bucket) for name in outputs["jobs"]}


def most_at_once(tasks: list[dict[str, Any]]) -> int:
    """The most that ran at a time: from being asked for to being told to stop, or stopping."""
    changes: list[tuple[datetime, int]] = []
    for task in tasks:
        end = task.get("stoppingAt") or task.get("executionStoppedAt") or task["stoppedAt"]
        changes += [(task["createdAt"], 1), (end, -1)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most


def test_twelve_runs_however_started_take_two_slots_in_the_order_they_came(
    jobs: dict[str, Job],
) -> None:
    job = jobs["narrow"]
    runs: list[str] = []
    for number in range(12):
        seconds = 3600 if number < 2 * LIMIT else 0.3
        upload = number in {6, 9}
        runs.append(job.upload(f"narrow/{number}.csv") if upload else job.start(seconds))
        arrived = job.runs if number < LIMIT else job.waits
        eventually(lambda: arrived(runs[-1]) or None)  # noqa: B023 called at once
    *served, given_up = runs
    stop = job.cloud.client("stepfunctions").stop_execution
    stop(executionArn=given_up)
    for pair in (runs[:LIMIT], runs[LIMIT : 2 * LIMIT]):
        eventually(lambda: all(job.runs(run) for run in pair) or None)  # noqa: B023
        for run in pair:
            stop(executionArn=run)

    assert [job.ended(run) for run in served] == ["ABORTED"] * 4 + ["SUCCEEDED"] * 7
    assert job.ended(given_up) == "ABORTED"
    job.settled()
    tasks = job.tasks()
    started = [task["group"].removeprefix("execution:") for task in sorted(tasks, key=_created)]
    came = [run.split(":")[-1] for run in served]
    assert sorted(started) == sorted(came)
    # Who is let in starts its task when it gets to it: of those that were let in before it, no more
    # than the other holders can be slower.
    for place, run in enumerate(started):
        slower = [other for other in started[place:] if came.index(other) < came.index(run)]
        assert len(slower) < LIMIT
    assert most_at_once(tasks) == LIMIT


def _created(task: dict[str, Any]) -> datetime:
    return task["createdAt"]


def test_a_slot_whose_end_nobody_told_is_found_by_looking(jobs: dict[str, Job]) -> None:
    job = jobs["lossy"]
    events = job.cloud.client("events")
    # Neither an end nor the time leads to a look but this test's own.
    [rule] = events.list_rules(NamePrefix="lossy-")["Rules"]
    assert rule.keys() > {"EventPattern", "ScheduleExpression"}
    events.disable_rule(Name=rule["Name"])
    held = [job.start() for _ in range(LIMIT)]
    assert [job.ended(execution) for execution in held] == ["SUCCEEDED"] * LIMIT
    waiting = job.start()
    eventually(lambda: job.waits(waiting) or None)
    assert job.slots() == (set(held), 1, 1)

    assert job.ended(job.hand_on()) == "SUCCEEDED"

    assert job.ended(waiting) == "SUCCEEDED"
    assert job.slots() == ({waiting}, 0, 0)


def test_ends_told_many_times_at_once_let_nobody_in_too_early(jobs: dict[str, Job]) -> None:
    job = jobs["doubled"]
    runs = [job.start(0.2) for _ in range(8)]

    def tell_again() -> None:
        ended = [run for run in job.executions() if run["status"] != "RUNNING"]
        told = [job.hand_on({"detail": {"executionArn": run["executionArn"]}}) for run in ended]
        # A slow machine would have ever more to do.
        for execution in [*told, job.hand_on()]:
            job.ended(execution)

    deadline = time.monotonic() + 200
    with ThreadPoolExecutor(3) as pool:
        while any(run["status"] == "RUNNING" for run in job.executions()):
            assert time.monotonic() < deadline
            list(pool.map(lambda _: tell_again(), range(3)))
            assert len(job.slots()[0]) <= LIMIT

    assert [job.ended(run) for run in runs] == ["SUCCEEDED"] * 8
    job.settled()
    assert most_at_once(job.tasks()) == LIMIT


def test_a_job_without_a_limit_has_no_gate_and_no_table(jobs: dict[str, Job]) -> None:
    job = jobs["wide"]
    run = job.start()
    assert job.ended(run) == "SUCCEEDED"
    assert job.entered(run) == ["ReadInput", "RunTask"]
    tables = job.cloud.client("dynamodb").list_tables()["TableNames"]
    others = {name.partition("-")[0] for name in tables} - {"cluster", "watcher"}
    assert sorted(others) == sorted(JOBS)
