"""A job with sidecars, from its YAML to how its executions end."""

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pytest

from local.cloud import Cloud
from tests.local import stacks
from tests.local.probe import IMAGE, ended, eventually, write_image

pytestmark = pytest.mark.slow

AGENT = "public.ecr.aws/agent/agent:1"
CONFIG: dict[str, Any] = {
    "protect": False,
    "image": IMAGE,
    "jobs": {
        "load": {
            "retries": 0,
            "sidecars": {
                # It has no handler of SIGTERM, and is killed as the job's container ends.
                "router": {"image": IMAGE, "entryPoint": ["sleep"], "commands": ["3600"]},
                "agent": {"image": AGENT},
            },
            "dependsOn": {"router": "START", "agent": "START"},
        },
        "served": {
            "retries": 0,
            "sidecars": {
                "proxy": {
                    "image": IMAGE,
                    "commands": ["wait"],
                    "healthCheck": {"command": ["true"]},
                }
            },
            "dependsOn": {"proxy": "HEALTHY"},
        },
    },
}


@dataclass(frozen=True)
class Deployed:
    cloud: Cloud
    outputs: Any
    limits: tuple[str, ...]

    def run(self, job: str, *commands: str) -> dict[str, Any]:
        """The execution, once it has ended."""
        arn = self.cloud.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["jobs"][job]["stateMachineArn"],
            input=json.dumps({"commands": commands, "environment": {"ONLY": "own"}}),
        )["executionArn"]
        return ended(self.cloud, arn)

    def task(self, execution: dict[str, Any]) -> dict[str, Any]:
        """The task of an execution."""
        ecs, cluster = self.cloud.client("ecs"), self.outputs["clusterArn"]
        arns = ecs.list_tasks(cluster=cluster, desiredStatus="STOPPED")["taskArns"]
        [found] = [
            task
            for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]
            if task["group"] == f"execution:{execution['name']}"
        ]
        return found


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Deployed]:
    context = tmp_path_factory.mktemp("image") / "probe"
    write_image(context)
    with stacks.deployed(CONFIG, context, wait_scale=0.01) as (cloud, made):
        yield Deployed(cloud, made.outputs, made.not_honoured)


def _codes(task: dict[str, Any]) -> dict[str, int | None]:
    return {one["name"]: one.get("exitCode") for one in task["containers"]}


def test_an_execution_succeeds_with_the_jobs_container_though_a_sidecar_was_killed(
    deployed: Deployed,
) -> None:
    execution = deployed.run("load", "exit", "0")
    codes = _codes(deployed.task(execution))
    assert (codes["load"], codes["router"]) == (0, 143)
    assert execution["status"] == "SUCCEEDED"
    output = json.loads(execution["output"])
    assert (output["exitCode"], output["attempts"]) == (0, 1)
    task = output["taskArn"].rpartition("/")[2]
    assert output["logStream"] == f"load/load/{task}"


def test_an_execution_fails_with_the_jobs_container_and_not_its_sidecars(
    deployed: Deployed,
) -> None:
    execution = deployed.run("served", "exit", "65")
    assert (execution["status"], execution["error"]) == ("FAILED", "Batch.BadData")
    codes = _codes(deployed.task(execution))
    assert codes["served"] == 65
    # SIGTERM may come before it has installed its handler.
    assert codes["proxy"] in {0, 143}


def test_commands_and_variables_of_an_execution_are_the_jobs_containers_alone(
    deployed: Deployed,
) -> None:
    execution = deployed.run("served", "show")
    task = deployed.task(execution)
    [override] = task["overrides"]["containerOverrides"]
    assert override["name"] == "served"
    streams = {
        one["logStreamName"]
        for one in deployed.cloud.client("logs").describe_log_streams(
            logGroupName="/fargate-batch/dev/served"
        )["logStreams"]
    }
    own = task["taskArn"].rpartition("/")[2]
    assert {f"served/served/{own}", f"served/proxy/{own}"} <= streams


def test_the_log_of_task_events_tells_of_the_jobs_container(deployed: Deployed) -> None:
    execution = deployed.run("load", "exit", "65")
    task = deployed.task(execution)["taskArn"].rpartition("/")[2]

    def stopped() -> dict[str, Any] | None:
        events = deployed.cloud.client("logs").filter_log_events(
            logGroupName=deployed.outputs["taskEventLogGroup"], filterPattern=f'"{task}"'
        )["events"]
        lines = [json.loads(event["message"]) for event in events]
        return next((line for line in lines if line.get("lastStatus") == "STOPPED"), None)

    line = eventually(stopped)
    assert (line["job"], line["exitCode"], line["outcome"]) == ("load", 65, "failed")


def test_a_sidecar_that_is_not_on_this_machine_is_listed(deployed: Deployed) -> None:
    told = [line for line in deployed.limits if AGENT in line]
    assert told == [
        f"The sidecars of {AGENT} are left out unless local.yaml maps it to a command (load)"
    ]
