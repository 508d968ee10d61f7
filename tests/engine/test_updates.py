"""Updates on the real engine that are refused, fail halfway, are killed, or meet running tasks."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

STACK = """\
config:
  aws:region: ap-northeast-1
  fargate-batch:protect: false
  fargate-batch:jobs: {ingest: {cpu: 512, memory: 1024}, slow: {entryPoint: [python, -c]}}
  fargate-batch:uploads: {target: {job: ingest, prefix: target/}}
"""
# What somebody else has made already is in the way of a new job's state machine.
TAKEN = "fargate-batch-dev-job-second"


@pytest.fixture(scope="module")
def deployed(engine: Engine) -> Engine:
    (engine.root / "Pulumi.dev.yaml").write_text(STACK, encoding="utf-8")
    engine.create("dev")
    return engine


def add(engine: Engine, job: str) -> None:
    """Declare a job and its upload, and change the container's code."""
    engine.edit("jobs: {", f"jobs: {{{job}: {{}}, ")
    engine.edit("uploads: {", f"uploads: {{{job}: {{job: {job}, prefix: {job}/}}, ")
    module = engine.root / "batch" / "__init__.py"
    module.write_text(module.read_text(encoding="utf-8") + f"# {job}\n", encoding="utf-8")


def images(engine: Engine) -> list[Any]:
    ecr = engine.api("ecr")
    [repository] = ecr.describe_repositories()["repositories"]
    return ecr.list_images(repositoryName=repository["repositoryName"])["imageIds"]


def test_a_refused_configuration_is_told_once_and_changes_nothing(deployed: Engine) -> None:
    there = deployed.left()
    deployed.edit("cpu: 512", "cpu: 500")
    try:
        for refused in (deployed.preview(), deployed.up()):
            assert refused.status != 0
            assert refused.text.count("jobs.ingest.cpu") == 1, refused.text
            assert not [e for e in refused.errors if "Traceback" in e or "unhandled" in e]
    finally:
        deployed.edit("cpu: 500", "cpu: 512")
    assert deployed.left() == there


def test_one_that_failed_after_the_push_is_repeated(deployed: Engine) -> None:
    states = deployed.api("stepfunctions")
    arn = deployed.outputs()["jobs"]["ingest"]["stateMachineArn"]
    other = states.describe_state_machine(stateMachineArn=arn)
    taken = states.create_state_machine(
        name=TAKEN, definition=other["definition"], roleArn=other["roleArn"]
    )["stateMachineArn"]
    add(deployed, "second")
    failed = deployed.up()
    assert failed.status != 0
    assert any("already exists" in error for error in failed.errors), failed.text
    assert len(images(deployed)) == 2
    assert deployed.result("target/meanwhile.csv").startswith("ingest/")
    states.delete_state_machine(stateMachineArn=taken)

    deployed.up().must()
    assert len(images(deployed)) == 2
    assert deployed.result("second/after.csv").startswith("second/")
    assert set(deployed.up().must().counts) == {"same"}


def test_one_that_was_killed_after_the_push_is_repeated(deployed: Engine) -> None:
    add(deployed, "third")
    pushed = len(images(deployed))
    deployed.interrupt(
        lambda: len(images(deployed)) > pushed, "up", "--yes", "--skip-preview", "-s", "dev"
    )
    assert deployed.result("target/killed.csv").startswith("ingest/")
    locked = deployed.up()
    assert "pulumi cancel" in locked.text

    deployed.must("cancel", "--yes", "-s", "dev")
    deployed.refresh("dev", "--clear-pending-creates").must()
    deployed.up().must()
    assert deployed.result("third/after.csv").startswith("third/")
    assert set(deployed.up().must().counts) == {"same"}


def test_a_command_line_that_would_lose_the_queues_policies_is_refused(deployed: Engine) -> None:
    deployed.edit(">=3.261.0", ">=99.0.0", "Pulumi.yaml")
    refused = deployed.preview()
    deployed.edit(">=99.0.0", ">=3.261.0", "Pulumi.yaml")
    assert refused.status != 0
    assert ">=99.0.0" in refused.text


def test_a_job_is_removed_once_its_running_tasks_have_ended(
    deployed: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "go on"
    waits = (
        f"import os, time\nwhile not os.path.exists({str(file)!r}): time.sleep(0.1)\nprint('end')"
    )
    before = deployed.outputs()
    states, ecs = deployed.api("stepfunctions"), deployed.api("ecs")
    states.start_execution(
        stateMachineArn=before["jobs"]["slow"]["stateMachineArn"],
        input=json.dumps({"commands": [waits]}),
    )
    cluster = before["clusterArn"]
    while not (running := ecs.list_tasks(cluster=cluster)["taskArns"]):
        time.sleep(0.1)

    deployed.edit(", slow: {entryPoint: [python, -c]}", "")
    gone = before["jobs"]["slow"]["stateMachineArn"]
    with ThreadPoolExecutor() as pool:
        removal = pool.submit(deployed.up)
        while states.describe_state_machine(stateMachineArn=gone)["status"] != "DELETING":
            assert not removal.done(), removal.result().text
            time.sleep(0.1)
        time.sleep(2)
        assert not removal.done()
        file.touch()
        removal.result().must()

    assert "slow" not in deployed.outputs()["jobs"]
    [task] = ecs.describe_tasks(cluster=cluster, tasks=running)["tasks"]
    assert [one["exitCode"] for one in task["containers"]] == [0]
    with pytest.raises(states.exceptions.StateMachineDoesNotExist):
        states.describe_state_machine(stateMachineArn=gone)
