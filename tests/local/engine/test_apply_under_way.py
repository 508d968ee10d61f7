"""`apply` while executions wait, retry and go from step to step, and while uploads arrive."""

import json
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local import control
from local.cloud import ACCOUNT, Cloud
from local.engine.monitor import forget_program
from local.engine.project import load
from local.engine.served import ServedDeployment
from tests.local.held import HeldTasks, start_just_before_update
from tests.local.probe import ended, eventually
from tests.local.programs import REGION, copy_program

pytestmark = pytest.mark.slow

# Waits for, or asks to be tried again until there is, a file of the name of its first argument.
JOB = """
import os, sys, time
what, _, name = (sys.argv[1:] or [""])[0].partition(":")
there = lambda: os.path.exists(os.path.join("{folder}", name))
if what == "retry" and not there():
    sys.exit(75)
while what == "wait" and not there():
    time.sleep(0.05)
"""
STACK = """\
config:
  aws:region: ap-northeast-1
  fargate-batch:protect: false
  fargate-batch:jobs:
    ingest: {cpu: 512, memory: 1024, retries: 20, timeout: 14d}
    single: {cpu: 512, memory: 1024, maxConcurrency: 1, timeout: 14d}
  fargate-batch:uploads:
    target: {job: ingest, prefix: target/}
    direct: {job: ingest, prefix: direct/, via: task}
  fargate-batch:pipelines:
    both:
      schedule: rate(1 day)
      enabled: false
      steps: [{job: ingest, commands: ["wait:step"]}, {job: single}]
"""


@dataclass
class Laptop:
    root: Path
    cloud: Cloud
    served: ServedDeployment

    def api(self, service: str) -> Any:  # noqa: ANN401 -- boto3
        return self.cloud.client(service)

    def apply(self) -> Any:  # noqa: ANN401 -- JSON
        status, answer = control.answer(control.APPLY, {"stack": "dev"})
        while status == 202:
            time.sleep(0.05)
            status, answer = control.answer(control.APPLIED, {})
        assert status == 200, answer
        return answer

    def edit(self, old: str, new: str) -> None:
        path = self.root / "Pulumi.dev.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def let(self, name: str) -> None:
        """What waits for the file goes on."""
        (self.root / name).touch()

    def start(self, machine_arn: str, command: str | None) -> str:
        asked = {} if command is None else {"commands": [command]}
        states = self.api("stepfunctions")
        started = states.start_execution(stateMachineArn=machine_arn, input=json.dumps(asked))
        return started["executionArn"]

    def ended(self, execution: str) -> str:
        """The status of an execution once it has ended."""
        described = ended(self.cloud, execution)
        return described["status"] + described.get("cause", "")

    def queues(self, execution: str) -> bool:
        """Whether an execution has no permit, and waits for one."""
        events = self.api("stepfunctions").get_execution_history(
            executionArn=execution, maxResults=1000
        )["events"]
        entered = [
            event["stateEnteredEventDetails"]["name"]
            for event in events
            if "stateEnteredEventDetails" in event
        ]
        return bool(entered) and entered[-1].startswith("Queue")

    def stopped(self) -> int:
        """How many tasks have ended."""
        cluster = self.served.outputs["clusterArn"]
        pages = self.api("ecs").get_paginator("list_tasks")
        found = pages.paginate(cluster=cluster, desiredStatus="STOPPED")
        return sum(len(page["taskArns"]) for page in found)

    def dead_letters(self) -> dict[str, int]:
        """How many letters are in each queue that has any."""
        sqs = self.api("sqs")
        counted = {
            url.rpartition("/")[2]: int(
                sqs.get_queue_attributes(
                    QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
                )["Attributes"]["ApproximateNumberOfMessages"]
            )
            for url in sqs.list_queues()["QueueUrls"]
        }
        return {name: count for name, count in counted.items() if count}


@pytest.fixture
def laptop(tmp_path: Path) -> Generator[Laptop]:
    root = tmp_path / "project"
    copy_program(root)
    for path in (root / "batch").iterdir():
        path.unlink()
    (root / "batch" / "Dockerfile").write_text(
        'FROM python:3.13-slim\nWORKDIR /app\nCOPY . batch/\nENTRYPOINT ["python", "-m", "batch"]\n'
    )
    (root / "batch" / "__init__.py").touch()
    (root / "batch" / "__main__.py").write_text(JOB.replace("{folder}", str(root)))
    (root / "Pulumi.dev.yaml").write_text(STACK)
    with Cloud(0, REGION, wait_scale=0.02, max_tasks=16) as cloud:
        served = ServedDeployment(load(root, "dev"), cloud, cloud.images.add)
        served.create()
        control.serve({}, served)
        yield Laptop(root, cloud, served)
    # Else the next test's program would be made of this one's modules, and build its image.
    forget_program(root)


class Uploads:
    """Objects that are put without a pause, from construction until `stop`."""

    def __init__(self, laptop: Laptop, prefix: str) -> None:
        self.keys: list[str] = []
        self._laptop = laptop
        self._prefix = prefix
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._put)
        self._thread.start()

    def _put(self) -> None:
        while not self._over.wait(0.15):
            key = f"{self._prefix}{len(self.keys)}"
            bucket = self._laptop.served.outputs["uploadBucket"]
            self._laptop.api("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
            self.keys.append(key)

    def some_more(self) -> None:
        """Wait until there are."""
        most = len(self.keys) + 3
        eventually(lambda: len(self.keys) >= most or None)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def finished(laptop: Laptop, machine_arn: str) -> list[str]:
    """The statuses of all executions of a state machine, once all have ended."""
    pages = laptop.api("stepfunctions").get_paginator("list_executions")
    found = [
        one["executionArn"]
        for page in pages.paginate(stateMachineArn=machine_arn)
        for one in page["executions"]
    ]
    return [laptop.ended(execution) for execution in found]


def test_executions_under_way_and_starts_meanwhile_all_succeed(laptop: Laptop) -> None:
    outputs = json.loads(json.dumps(laptop.served.outputs))
    ingest, single = (outputs["jobs"][name]["stateMachineArn"] for name in ("ingest", "single"))
    under_way = [
        laptop.start(ingest, "wait:go"),
        laptop.start(ingest, "retry:go"),
        laptop.start(outputs["pipelines"]["both"]["stateMachineArn"], None),
        *[laptop.start(single, "wait:go") for _ in range(3)],
    ]
    uploads, direct = Uploads(laptop, "target/"), Uploads(laptop, "direct/")
    uploads.some_more()
    direct.some_more()
    laptop.edit("ingest: {cpu: 512, memory: 1024", "ingest: {cpu: 1024, memory: 2048")
    laptop.edit("single: {cpu: 512, memory: 1024", "single: {cpu: 1024, memory: 2048")
    answer = laptop.apply()
    assert answer["counts"]["replaced"] == 2, answer["done"]
    started = [laptop.start(ingest, None) for _ in range(3)]
    for one in (uploads, direct):
        one.some_more()
        one.stop()
    laptop.let("go")
    laptop.let("step")
    assert {laptop.ended(one) for one in [*under_way, *started]} == {"SUCCEEDED"}
    assert set(finished(laptop, ingest)) == {"SUCCEEDED"}
    assert laptop.dead_letters() == {}


@pytest.mark.parametrize("after", ["", ", maxConcurrency: 5", ", maxConcurrency: 2"])
def test_who_waits_for_a_permit_goes_on_when_there_are_others_or_none_any_more(
    laptop: Laptop, after: str
) -> None:
    if after.endswith("2"):
        laptop.edit("maxConcurrency: 1", "maxConcurrency: 3")
        laptop.apply()
    machine = laptop.served.outputs["jobs"]["single"]["stateMachineArn"]
    waiting = [laptop.start(machine, "wait:go") for _ in range(6)]
    without = 3 if after.endswith("2") else 5
    eventually(lambda: sum(laptop.queues(one) for one in waiting) == without or None)
    laptop.edit(", maxConcurrency: 3" if after.endswith("2") else ", maxConcurrency: 1", after)
    laptop.apply()
    waiting += [laptop.start(machine, None) for _ in range(2)]
    laptop.let("go")
    assert [laptop.ended(one) for one in waiting] == ["SUCCEEDED"] * 8
    laptop.edit("single: {", "single: {retries: 1, ")
    laptop.apply()
    machines = laptop.api("stepfunctions").list_state_machines()["stateMachines"]
    assert any("-limit-single" in one["name"] for one in machines) == bool(after)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_a_job_gets_or_loses_secrets_and_with_them_a_role_and_its_executions_go_on(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch, *, shared: bool
) -> None:
    laptop.api("ssm").put_parameter(Name="/token", Value="t", Type="SecureString")
    arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/token"
    before, after = "ingest: {cpu: 512", f'ingest: {{secrets: {{TOKEN: "{arn}"}}, cpu: 512'
    if not shared:
        laptop.edit(before, after)
        laptop.apply()
        before, after = after, before
    held = HeldTasks(monkeypatch)
    machine = laptop.served.outputs["jobs"]["ingest"]["stateMachineArn"]
    just_before = start_just_before_update(monkeypatch, machine, "ingest-job")
    waiting, retrying = laptop.start(machine, None), laptop.start(machine, "retry:go")
    laptop.edit(before, after)
    assert "updated aws:sfn/stateMachine:StateMachine ingest" in laptop.apply()["done"]
    held.go.set()
    # Of them two of the one that retries.
    eventually(lambda: laptop.stopped() >= 4 or None)
    laptop.let("go")
    assert [laptop.ended(one) for one in (waiting, retrying, just_before)] == ["SUCCEEDED"] * 3


def test_a_job_is_renamed_without_an_upload_that_is_not_delivered(laptop: Laptop) -> None:
    old = laptop.served.outputs["jobs"]["ingest"]["stateMachineArn"]
    uploads, direct = Uploads(laptop, "target/"), Uploads(laptop, "direct/")
    uploads.some_more()
    direct.some_more()
    laptop.edit("ingest", "intake")
    laptop.apply()
    for one in (uploads, direct):
        one.some_more()
        one.stop()
    new = laptop.served.outputs["jobs"]["intake"]["stateMachineArn"]
    assert old != new
    assert set(finished(laptop, new)) == {"SUCCEEDED"}
    assert laptop.dead_letters() == {}
