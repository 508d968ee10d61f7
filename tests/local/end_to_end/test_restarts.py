"""A task that a rule or a schedule started in vain is started again by the real program."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Cloud
from local.faults import Faults
from local.services.scheduler import schedules
from tests.local import stacks
from tests.local.machines import Machines
from tests.local.probe import REGION, eventually, write_image

pytestmark = pytest.mark.slow

CONFIG: Mapping[str, Any] = {
    "image": stacks.IMAGE,
    "protect": False,
    "jobs": {"probe": {}},
    "uploads": {"direct": {"job": "probe", "prefix": "in/", "via": "task"}},
    "schedules": {
        "hello": {
            "job": "probe",
            "schedule": "rate(1 day)",
            "enabled": False,
            "commands": ["say", "hello"],
            "environment": {"MODE": "  full"},
        }
    },
}
MACHINES = f"arn:aws:states:{REGION}:111122223333:stateMachine:fargate-batch-dev-"


@contextmanager
def deployed(path: Path, faults: Faults) -> Generator[tuple[Machines, Mapping[str, Any]]]:
    write_image(path / "probe")
    with stacks.deployed(CONFIG, path / "probe", wait_scale=0.001, faults=faults) as (cloud, made):
        yield Machines(cloud), made.outputs


def tasks(cloud: Cloud, cluster: str, *statuses: str) -> list[dict[str, Any]]:
    ecs = cloud.client("ecs")
    arns = [
        arn
        for status in statuses or ("STOPPED",)
        for arn in ecs.list_tasks(cluster=cluster, desiredStatus=status)["taskArns"]
    ]
    found = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
    return sorted(found, key=lambda task: task["createdAt"])


def messages(machines: Machines) -> list[str]:
    found: list[str] = []
    for execution in machines.executions(f"{MACHINES}alerts-alerts"):
        machines.ended(execution["executionArn"])
        found += [
            json.loads(event["taskScheduledEventDetails"]["parameters"])["Message"]
            for event in machines.history(execution["executionArn"])
            if "taskScheduledEventDetails" in event
        ]
    return found


def test_a_task_that_never_starts_is_started_a_bounded_number_of_times_and_told_once(
    tmp_path: Path,
) -> None:
    with deployed(tmp_path, Faults({"no-start": 1})) as (machines, outputs):
        schedules.fire(outputs["schedules"]["hello"])
        [message] = eventually(lambda: messages(machines) or None)
        assert message.startswith("Job probe never started, 6 times")
        assert "Started by: schedule hello" in message
        tried = tasks(machines.cloud, outputs["clusterArn"])
        by = tried[0]["startedBy"]
        assert [one["startedBy"] for one in tried] == [by, *(f"{by}/{n}" for n in range(1, 6))]
        assert {one["group"] for one in tried} == {"schedule:hello"}


def test_what_did_not_start_is_started_again_as_it_was_and_each_once(tmp_path: Path) -> None:
    keys = [f"in/取込 {number}\n\"'.csv" for number in range(6)]
    with deployed(tmp_path, Faults({"no-start": 0.5}, seed=3)) as (machines, outputs):
        for key in keys:
            machines.cloud.client("s3").put_object(
                Bucket=outputs["uploadBucket"], Key=key, Body=b"x"
            )

        def done() -> list[dict[str, Any]] | None:
            ends = tasks(machines.cloud, outputs["clusterArn"])
            ran = [one for one in ends if one["stopCode"] != "TaskFailedToStart"]
            return ran if len(ran) == len(keys) else None

        ran = eventually(done)
        given = [
            {
                variable["name"]: variable["value"]
                for variable in one["overrides"]["containerOverrides"][0]["environment"]
            }
            for one in ran
        ]
        assert sorted(one["OBJECT_KEY"] for one in given) == sorted(keys)
        tried = tasks(machines.cloud, outputs["clusterArn"])
        again = [one["startedBy"] for one in tried if one["startedBy"].count("/") == 2]
        assert len(again) == len(tried) - len(keys) >= 3
        definitions = {
            (one["taskDefinitionArn"], one["capacityProviderName"], one["platformVersion"])
            for one in tried
        }
        assert len(definitions) == 1

        # A duplicate of an event starts nothing.
        restarts = machines.executions(f"{MACHINES}reaper-task-reaper")
        [first, *_] = [
            described
            for one in restarts
            if "TaskFailedToStart" in (described := machines.ended(one["executionArn"]))["input"]
        ]
        machines.run(f"{MACHINES}reaper-task-reaper", json.loads(first["input"]))
        there = tasks(machines.cloud, outputs["clusterArn"], "RUNNING", "STOPPED")
        assert len(there) == len(tried)
