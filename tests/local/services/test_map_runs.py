"""Distributed Map states in the laptop's cloud: map runs, their children, and redrives.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

import json
from typing import Any

import pytest

from local.cloud import Cloud
from local.shapes import Json
from tests.local.machines import STATES, Machines, make_role
from tests.local.probe import REGION

BUCKET = "datasets"
PASS = {"Pass": {"Type": "Pass", "End": True}}


@pytest.fixture
def machines(cloud: Cloud) -> Machines:
    make_role(cloud)
    cloud.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    return Machines(cloud)


def each(states: dict[str, Any], **fields: Json) -> dict[str, Any]:
    """A distributed Map state whose children begin at the first of these states."""
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": next(iter(states)),
        "States": states,
    }
    return {
        "Each": {"Type": "Map", "Label": "each", "ItemProcessor": processor, "End": True} | fields
    }


def reader(key: str, **config: Json) -> dict[str, Json]:
    """An ItemReader of one object."""
    return {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": config,
        "Arguments": {"Bucket": BUCKET, "Key": key},
    }


def put(machines: Machines, key: str, body: str) -> None:
    machines.cloud.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body.encode())


def map_run(machines: Machines, execution: str) -> dict[str, Any]:
    """DescribeMapRun of the one map run of an execution."""
    states = machines.cloud.client("stepfunctions")
    [listed] = states.list_map_runs(executionArn=execution)["mapRuns"]
    described = states.describe_map_run(mapRunArn=listed["mapRunArn"])
    assert described["executionArn"] == execution
    assert listed["stateMachineArn"].endswith("/each")
    return described


def children(machines: Machines, execution: str) -> list[dict[str, Any]]:
    """The child executions of that map run as ListExecutions has them, the oldest first."""
    listed = machines.cloud.client("stepfunctions").list_executions(
        mapRunArn=map_run(machines, execution)["mapRunArn"]
    )["executions"]
    return sorted(listed, key=lambda child: (child["startDate"], child["executionArn"]))


def test_each_item_runs_as_an_execution_of_its_own_that_only_its_map_run_lists(
    machines: Machines,
) -> None:
    put(machines, "keys.jsonl", '{"key": "a"}\n\n{"key": "b"}\n')
    machine = machines.create("m", each(PASS, ItemReader=reader("keys.jsonl", InputType="JSONL")))
    ended = machines.run(machine)
    assert json.loads(ended["output"]) == [{"key": "a"}, {"key": "b"}]
    execution = ended["executionArn"]
    assert [one["executionArn"] for one in machines.executions(machine)] == [execution]
    run = map_run(machines, execution)
    counts = {"succeeded": 2, "total": 2, "resultsWritten": 2}
    for name in ("executionCounts", "itemCounts"):
        assert {key: value for key, value in run[name].items() if value} == counts
    assert (run["status"], run["maxConcurrency"], run["redriveCount"]) == ("SUCCEEDED", 0, 0)
    found = children(machines, execution)
    assert [(one["itemCount"], one["stateMachineArn"]) for one in found] == [
        (1, f"{STATES}:stateMachine:m/each"),
        (1, f"{STATES}:stateMachine:m/each"),
    ]
    child = machines.ended(found[0]["executionArn"])
    assert child["mapRunArn"] == run["mapRunArn"]
    assert child["executionArn"].startswith(f"{STATES}:execution:m/each:")
    kinds = [event["type"] for event in machines.history(child["executionArn"])]
    assert kinds == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]


def test_the_history_has_the_map_run_s_events_in_aws_s_order(machines: Machines) -> None:
    execution = machines.run(machines.create("m", each(PASS)), [1, 2])["executionArn"]
    events = machines.history(execution)
    assert [event["type"] for event in events] == [
        *("ExecutionStarted", "MapStateEntered", "MapStateStarted", "MapRunStarted"),
        *("MapRunSucceeded", "MapStateSucceeded", "MapStateExited", "ExecutionSucceeded"),
    ]
    assert events[2]["mapStateStartedEventDetails"] == {"length": 2}
    run = map_run(machines, execution)
    assert events[3]["mapRunStartedEventDetails"] == {"mapRunArn": run["mapRunArn"]}


def test_a_map_run_lists_objects_of_a_bucket_and_selects_of_each(machines: Machines) -> None:
    for key in ("in/b", "in/a", "other"):
        put(machines, key, "12")
    listing = {
        "Resource": "arn:aws:states:::s3:listObjectsV2",
        "Arguments": {"Bucket": "{% $states.input.bucket %}", "Prefix": "in/"},
    }
    selector = {"item": "{% $states.context.Map.Item %}", "input": "{% $states.input %}"}
    found = machines.outcome(
        each(PASS, ItemReader=listing, ItemSelector=selector), {"bucket": BUCKET}
    )
    modified = [item["item"]["Value"].pop("LastModified") for item in found]
    assert all(isinstance(one, int) for one in modified)
    assert found == [
        {
            "item": {
                "Index": index,
                "Value": {
                    "Etag": '"c20ad4d76fe97759aa27a0c99bff6710"',
                    "Key": key,
                    "Size": 2,
                    "StorageClass": "STANDARD",
                },
                "Source": f"S3://{BUCKET}",
            },
            "input": {"bucket": BUCKET},
        }
        for index, key in enumerate(("in/a", "in/b"))
    ]
