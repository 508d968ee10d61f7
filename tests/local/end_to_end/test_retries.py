"""What the real program does about each way a task can end, with real processes and faults."""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from local.cloud import Cloud
from local.faults import Faults
from tests.local import stacks
from tests.local.probe import ended, eventually, write_image

pytestmark = pytest.mark.slow

CONFIG: Mapping[str, Any] = {
    "image": stacks.IMAGE,
    "protect": False,
    "jobs": {
        "plain": {"retries": 2},
        "patient": {"retries": 2, "retryExitCodes": [7]},
        "spot": {"retries": 4, "spot": True},
        "brief": {"timeout": "1s"},
    },
}


@dataclass(frozen=True)
class Runs:
    """The deployed program, to start its jobs by hand."""

    cloud: Cloud
    outputs: Mapping[str, Any]

    def run(self, job: str, *commands: str) -> dict[str, Any]:
        """The execution of a job with these arguments, once it has ended."""
        arn = self.cloud.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["jobs"][job]["stateMachineArn"],
            input=json.dumps({"commands": commands}),
        )["executionArn"]
        return ended(self.cloud, arn)

    def tasks(self, execution: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The tasks of an execution, in the order they were created."""
        ecs, cluster = self.cloud.client("ecs"), self.outputs["clusterArn"]
        arns = ecs.list_tasks(cluster=cluster, desiredStatus="STOPPED")["taskArns"]
        found = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]
        own = [task for task in found if task["group"] == f"execution:{execution['name']}"]
        return sorted(own, key=lambda task: task["createdAt"])


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Runs]:
    context = tmp_path_factory.mktemp("image") / "probe"
    write_image(context)
    faults = Faults({request.param: 1})
    with stacks.deployed(CONFIG, context, wait_scale=0.01, faults=faults) as (cloud, made):
        yield Runs(cloud, made.outputs)


interrupting = pytest.mark.parametrize("runs", ["spot"], indirect=True)
not_starting = pytest.mark.parametrize("runs", ["no-start"], indirect=True)


@interrupting
@pytest.mark.parametrize(
    ("job", "code", "attempts", "error"),
    [
        ("plain", 1, 1, "Batch.Failed"),
        ("plain", 65, 1, "Batch.BadData"),
        ("plain", 66, 1, "Batch.ObjectGone"),
        ("plain", 75, 3, "Batch.TryAgainLater"),
        ("plain", 78, 1, "Batch.Misconfigured"),
        ("patient", 7, 3, "Batch.Failed"),
        ("patient", 75, 1, "Batch.TryAgainLater"),
    ],
)
def test_an_exit_code_decides_on_retries_and_the_error(
    runs: Runs, job: str, code: int, attempts: int, error: str
) -> None:
    execution = runs.run(job, "exit", str(code))
    assert (execution["status"], execution["error"]) == ("FAILED", error)
    tasks = runs.tasks(execution)
    assert [task["containers"][0]["exitCode"] for task in tasks] == [code] * attempts
    last = tasks[-1]["taskArn"]
    stream = f"{job}/{job}/{last.rpartition('/')[2]}"
    for told in (f"Job {job}: exit code {code}", last, f"/fargate-batch/dev/{job}", stream):
        assert told in execution["cause"]


@interrupting
def test_a_killed_container_is_not_retried(runs: Runs) -> None:
    execution = runs.run("plain", "kill", "9")
    assert (execution["status"], execution["error"]) == ("FAILED", "Batch.Failed")
    assert [task["containers"][0]["exitCode"] for task in runs.tasks(execution)] == [137]


@interrupting
def test_a_task_that_outlives_its_timeout_is_stopped(runs: Runs) -> None:
    execution = runs.run("brief", "wait")
    assert (execution["status"], execution["error"]) == ("FAILED", "Batch.TimedOut")
    # It is stopped once the execution has ended.
    [task] = eventually(lambda: runs.tasks(execution) or None)
    assert task["stopCode"] == "UserInitiated"


@interrupting
def test_a_job_on_spot_that_is_interrupted_twice_ends_on_demand(runs: Runs) -> None:
    execution = runs.run("spot", "exit", "0")
    assert execution["status"] == "SUCCEEDED"
    assert json.loads(execution["output"])["attempts"] == 3
    tasks = runs.tasks(execution)
    assert [(task["capacityProviderName"], task["stopCode"]) for task in tasks] == [
        ("FARGATE_SPOT", "SpotInterruption"),
        ("FARGATE_SPOT", "SpotInterruption"),
        ("FARGATE", "EssentialContainerExited"),
    ]


@not_starting
def test_a_task_that_never_starts_is_tried_again_and_told_as_such(runs: Runs) -> None:
    execution = runs.run("plain", "exit", "0")
    assert (execution["status"], execution["error"]) == ("FAILED", "Batch.NeverStarted")
    assert len(runs.tasks(execution)) == 3
    assert "Timeout waiting for network interface" in execution["cause"]
