"""The same event twice, an object overwritten: what the real program starts, and its results."""

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from local.cloud import Cloud
from local.faults import Faults
from local.services.delivery import Deliveries
from tests.local import stacks
from tests.local.probe import eventually
from tests.local.programs import ROOT

pytestmark = pytest.mark.slow

CONFIG: Mapping[str, Any] = {
    "image": stacks.IMAGE,
    "protect": False,
    "jobs": {"ingest": {}},
    "uploads": {
        "through": {"job": "ingest", "prefix": "through/"},
        "straight": {"job": "ingest", "prefix": "straight/", "via": "task"},
    },
}


@dataclass(frozen=True)
class Uploads:
    """The stack, and what came of an upload to it."""

    cloud: Cloud
    outputs: Mapping[str, Any]

    def put(self, key: str, body: bytes) -> str:
        """Upload, and return the version."""
        bucket = self.outputs["uploadBucket"]
        answer = self.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return answer["VersionId"]

    def ended(self, key: str, count: int) -> list[dict[str, Any]]:
        """The executions for a key, once there are so many and all have ended."""
        states, machine = self.cloud.client("stepfunctions"), self.outputs["jobs"]["ingest"]

        def look() -> list[dict[str, Any]] | None:
            listed = states.list_executions(stateMachineArn=machine["stateMachineArn"])
            found = [
                states.describe_execution(executionArn=one["executionArn"])
                for one in listed["executions"]
            ]
            own = [one for one in found if key in one["input"]]
            done = len(own) >= count and all(one["status"] != "RUNNING" for one in own)
            return own if done else None

        return eventually(look)

    def stopped(self, key: str, count: int) -> list[dict[str, Any]]:
        """The tasks for a key, once there are so many and all have stopped."""
        ecs, cluster = self.cloud.client("ecs"), self.outputs["clusterArn"]

        def look() -> list[dict[str, Any]] | None:
            # A task that stops between the two calls is in both answers.
            arns = {
                arn
                for status in ("RUNNING", "STOPPED")
                for arn in ecs.list_tasks(cluster=cluster, desiredStatus=status)["taskArns"]
            }
            tasks = ecs.describe_tasks(cluster=cluster, tasks=sorted(arns))["tasks"] if arns else []
            own = [task for task in tasks if key in json.dumps(task["overrides"])]
            done = len(own) >= count and all(task["lastStatus"] == "STOPPED" for task in own)
            return own if done else None

        return eventually(look)

    def results(self, key: str) -> list[tuple[str, int]]:
        """The version and the rows of each report about a key."""
        s3, bucket = self.cloud.client("s3"), self.outputs["resultsBucket"]
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"ingest/{key}").get("Contents", [])
        reports = [one["Key"] for one in listed if one["Key"].endswith(".report.json")]
        assert len(listed) == 2 * len(reports)
        found = [
            json.loads(s3.get_object(Bucket=bucket, Key=report)["Body"].read())
            for report in reports
        ]
        return sorted((one["source"]["version"], one["rows"]) for one in found)


@pytest.fixture(scope="module")
def twice() -> Generator[Uploads]:
    """A stack in which every event is delivered twice."""
    faults = Faults({"duplicate": 1})
    with stacks.deployed(CONFIG, ROOT / "batch", wait_scale=0.02, faults=faults) as (cloud, made):
        yield Uploads(cloud, made.outputs)


def test_an_event_that_comes_twice_starts_one_execution(twice: Uploads) -> None:
    version = twice.put("through/one.csv", b"a\n1\n")
    [execution] = twice.ended("through/one.csv", 1)
    assert execution["status"] == "SUCCEEDED"
    # The second delivery comes right after the first: long before the batch has ended.
    assert len(twice.ended("through/one.csv", 1)) == 1
    assert len(twice.stopped("through/one.csv", 1)) == 1
    assert twice.results("through/one.csv") == [(version, 1)]


def test_a_task_that_an_event_starts_twice_leaves_one_result(twice: Uploads) -> None:
    version = twice.put("straight/one.csv", b"a\n1\n2\n")
    tasks = twice.stopped("straight/one.csv", 2)
    assert [task["containers"][0]["exitCode"] for task in tasks] == [0, 0]
    assert twice.results("straight/one.csv") == [(version, 2)]


def test_each_version_that_a_batch_read_has_a_result_of_its_own(twice: Uploads) -> None:
    first = twice.put("through/two.csv", b"a\n1\n")
    twice.ended("through/two.csv", 1)
    second = twice.put("through/two.csv", b"a\n1\n2\n3\n")
    twice.ended("through/two.csv", 2)
    assert twice.results("through/two.csv") == sorted([(first, 1), (second, 3)])


def test_an_object_overwritten_before_its_batch_reads_it_has_the_newer_result_alone(
    twice: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(twice.cloud.faults.probabilities, "delay", 1.0)
    late: list[Callable[[], None]] = []

    def hold(events: Any, _: float, event: Any, line: object) -> None:  # noqa: ANN401 - any service's
        late.append(lambda: events._queue(event, line))

    monkeypatch.setattr(Deliveries, "_later", hold)
    twice.put("through/late.csv", b"a\n1\n")
    second = twice.put("through/late.csv", b"a\n1\n2\n3\n")
    eventually(lambda: len(late) == 4 or None)
    for deliver in late:
        deliver()
    executions = twice.ended("through/late.csv", 2)
    assert [one["status"] for one in executions] == ["SUCCEEDED"] * 2
    assert twice.results("through/late.csv") == [(second, 3)]
