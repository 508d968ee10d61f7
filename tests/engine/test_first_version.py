"""A stack of the first version becomes one of this by one update, while uploads arrive."""

import io
import json
import shutil
import subprocess
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import ROOT, SECONDS, Engine
from tests.local.held import HeldTasks, start_just_before_update
from tests.local.programs import copy_program

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

FIRST = "f63dcbbbf993f253fa028ad2f1c018f4649858ec"
# Longer than a test waits for: nothing but the uploads may start anything.
STACK = """\
config:
  aws:region: ap-northeast-1
  fargate-batch:protect: true
  fargate-batch:jobs: {ingest: {cpu: 512, memory: 1024, environment: {ENV: a}}}
  fargate-batch:uploads:
    target: {job: ingest, prefix: target/}
    direct: {job: ingest, prefix: direct/, via: task}
  fargate-batch:pipelines:
    nightly:
      schedule: rate(1 day)
      enabled: false
      steps: [{job: ingest}, {job: ingest}]
  fargate-batch:schedules:
    hello: {job: ingest, schedule: rate(1 day), enabled: false}
"""


def checkout(folder: Path) -> None:
    """The first version's files."""
    git = shutil.which("git") or "git"
    archive = subprocess.run([git, "archive", FIRST], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"{FIRST}, the first version, is not in this clone: fetch the whole history")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")


@pytest.fixture(scope="module")
def first(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The stack `dev` of the first version; `engine.root` has the present program for it."""
    source = tmp_path_factory.mktemp("first")
    checkout(source)
    root = engine.root.parent / "first"
    copy_program(root, source)
    for folder in (root, engine.root):
        (folder / "Pulumi.dev.yaml").write_text(STACK, encoding="utf-8")
    engine.must("stack", "init", "dev", root=root)
    engine.up("dev", root=root).must()
    salted = (root / "Pulumi.dev.yaml").read_bytes()
    (engine.root / "Pulumi.dev.yaml").write_bytes(salted)
    return engine


@contextmanager
def uploads(engine: Engine, bucket: str) -> Generator[list[str]]:
    """Upload a file every two seconds, in turn to each trigger; gives the keys so far."""
    keys: list[str] = []
    over = threading.Event()
    s3 = engine.api("s3")

    def upload() -> None:
        while not over.wait(2):
            key = f"{('target', 'direct')[len(keys) % 2]}/{len(keys)}.csv"
            s3.put_object(Bucket=bucket, Key=key, Body=b"a,b\n1,2\n")
            keys.append(key)

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        yield keys
    finally:
        over.set()
        thread.join()


def started(engine: Engine, cluster: str) -> Counter[str]:
    """How many tasks were started for each key."""
    ecs = engine.api("ecs")
    arns = [
        arn
        for status in ("RUNNING", "STOPPED")
        for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster, desiredStatus=status)
        for arn in page["taskArns"]
    ]
    found: Counter[str] = Counter()
    for arn in arns:
        [task] = ecs.describe_tasks(cluster=cluster, tasks=[arn])["tasks"]
        [override] = task["overrides"]["containerOverrides"]
        variables = {one["name"]: one["value"] for one in override.get("environment", [])}
        if key := variables.get("OBJECT_KEY"):
            found[key] += 1
    return found


def ended(engine: Engine, execution: str) -> dict[str, Any]:
    """An execution, once it has ended."""
    deadline = time.monotonic() + SECONDS
    while True:
        described = engine.api("stepfunctions").describe_execution(executionArn=execution)
        if described["status"] != "RUNNING":
            return described
        assert time.monotonic() < deadline, execution
        time.sleep(0.2)


def whereabouts(engine: Engine, outputs: dict[str, Any], keys: Sequence[str]) -> str:
    """What has become of uploads: a line for each execution, task and dead letter of theirs."""
    runs, tasks, sqs = (engine.api(service) for service in ("stepfunctions", "ecs", "sqs"))
    found: list[tuple[str, str]] = []
    pages = runs.get_paginator("list_executions")
    for machine in (job["stateMachineArn"] for job in outputs["jobs"].values()):
        for page in pages.paginate(stateMachineArn=machine):
            for arn in (one["executionArn"] for one in page["executions"]):
                it = runs.describe_execution(executionArn=arn)
                found.append(
                    (it["input"], " ".join(map(str, (arn, it["status"], it.get("cause")))))
                )
    for arn in tasks.list_tasks(cluster=outputs["clusterArn"])["taskArns"]:
        [task] = tasks.describe_tasks(cluster=outputs["clusterArn"], tasks=[arn])["tasks"]
        what = [task.get(key) for key in ("lastStatus", "taskDefinitionArn", "stoppedReason")]
        found.append((json.dumps(task["overrides"]), f"{arn} {what}"))
    for url in sqs.list_queues()["QueueUrls"]:
        asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
        for letter in sqs.receive_message(**asked).get("Messages", []):
            why = {k: v["StringValue"] for k, v in letter.get("MessageAttributes", {}).items()}
            found.append((letter["Body"], f"{url} {why}"))
    return "\n".join(
        f"{key}: {', '.join(what for text, what in found if key in text) or 'nowhere'}"
        for key in keys
    )


def test_one_update_makes_it_this_version_and_loses_and_doubles_no_upload(
    first: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = first.outputs()
    logs, sqs, s3 = (first.api(service) for service in ("logs", "sqs", "s3"))
    held = HeldTasks(monkeypatch, fails="target/0.csv")
    machine = before["jobs"]["ingest"]["stateMachineArn"]
    just_before = start_just_before_update(monkeypatch, machine, "ingest-job")
    nightly = first.api("stepfunctions").start_execution(
        stateMachineArn=before["pipelines"]["nightly"]["stateMachineArn"]
    )["executionArn"]
    queue = before["uploads"]["target"]["deadLetterQueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"detail": {}}))
    group = before["jobs"]["ingest"]["logGroup"]

    with uploads(first, before["uploadBucket"]) as keys:
        while len(keys) < 4:
            time.sleep(0.1)
        updated = first.up("dev", "--policy-pack", "policy").must()
        sent = len(keys)
        while len(keys) < sent + 4:
            time.sleep(0.1)

    held.go.set()
    after = first.outputs()
    deadline = time.monotonic() + 300
    while True:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=after["resultsBucket"])
        made = {one["Key"] for page in pages for one in page.get("Contents", [])}
        missing = [key for key in keys if not any(f"/{key}-" in one for one in made)]
        if not missing:
            break
        assert time.monotonic() < deadline, whereabouts(first, after, missing)
        time.sleep(0.5)
    assert started(first, after["clusterArn"]) == Counter(["target/0.csv", *keys])
    # By definitions of before, and so with their roles: one all but updated, one at its first step.
    assert [ended(first, one)["status"] for one in (just_before, nightly)] == ["SUCCEEDED"] * 2

    kept = ("uploadBucket", "resultsBucket", "clusterArn", "vpcId", "taskEventLogGroup")
    assert [after[key] for key in kept] == [before[key] for key in kept]
    assert after["jobs"]["ingest"]["logGroup"] == group
    assert after["uploads"]["target"]["deadLetterQueueUrl"] == queue
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "1"
    # The policy of before is the queue's own now: without one nothing could be kept.
    assert "aws:SecureTransport" in attributes["Policy"]
    assert "sqs:SendMessage" in attributes["Policy"]
    [oldest, *_] = logs.filter_log_events(logGroupName=group)["events"]
    assert oldest["timestamp"] < time.time() * 1000 - 1000
    # As the CHANGELOG has it: the image stays where executions of before pull it from.
    assert updated.of("create-replacement") == {("aws:ecs:TaskDefinition", "ingest")}
    # Those of tasks and state machines stay, for what is under way.
    roles = {"direct", "target", "nightly-schedule", "hello-schedule"}
    deleted = updated.of("delete")
    assert {name for kind, name in deleted if kind == "aws:iam:Role"} == roles
    # The execution logs, by one for all; that of the job's tasks is kept, as seen above.
    groups = {name for kind, name in deleted if kind == "aws:cloudwatch:LogGroup"}
    assert groups == {"ingest", "nightly", "alerts", "task-reaper"}
    assert {kind for kind, _ in deleted} == {
        "aws:cloudwatch:LogGroup",
        "aws:cloudwatch:MetricAlarm",
        "aws:iam:Role",
        "aws:iam:RolePolicy",
        "awsx:ecr:Image",
    }
    assert set(first.up().must().counts) == {"same"}
