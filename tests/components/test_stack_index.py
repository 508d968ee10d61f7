"""The stack's index: every output and queue under one path, in parts that fit a parameter."""

from typing import Any

import pytest

from components import StackIndex
from tests.recorder import ACCOUNT, REGION, Recording, deploy, deploy_stack, every, the_stack

MACHINES = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:fargate-batch-dev-"


def index(recording: Recording) -> dict[str, Any]:
    """The whole, as the parameters together have it."""
    whole: dict[str, Any] = {}
    for parameter in every(recording.resources, type="aws:ssm/parameter:Parameter"):
        for key, value in parameter.document("value").items():
            if isinstance(value, dict):
                assert not value.keys() & whole.get(key, {}).keys()
                whole.setdefault(key, {}).update(value)
            else:
                assert key not in whole
                whole[key] = value
    return whole


def test_the_index_has_every_output_and_the_queue_of_every_trigger() -> None:
    recording = the_stack("dev")
    found = index(recording)
    assert found.pop("deadLetters") == {
        name: f"{queue}-dead-letters-1a2b3c4"
        for name, queue in {
            "alerts": "alerts",
            "pipeline-nightly": "nightly",
            "schedule-hello": "hello",
            "task-events": "task-events",
            "task-reaper": "task-reaper",
            "upload-complete": "complete",
            "upload-target": "target",
        }.items()
    }
    assert found.pop("protect") is False
    assert found.pop("disabled") == {"pipeline-nightly": True, "schedule-hello": True}
    assert found.pop("taskEventFunction") == "task-events-1a2b3c4"
    # Of what starts a state machine alone.
    assert found.pop("filters") == {
        "target": {
            "starts": "job-ingest",
            "bucket": recording.exports["uploadBucket"],
            "key": [{"prefix": "target/"}],
            "size": [{"anything-but": [0]}],
        }
    }
    assert found == {name: value for name, value in recording.exports.items() if value != {}}


def test_the_index_says_what_uploads_take_and_exclude_and_how_many_run_at_once() -> None:
    recording = deploy_stack(
        "dev",
        backfills=True,
        resultsBucket={"prefix": "out/"},
        jobs={"ingest": {"maxConcurrency": 2}, "other": {}},
        buckets={"more": {}},
        pipelines={"two": {"overlap": "allow", "steps": [{"job": "other"}]}},
        uploads={
            "some": {"job": "ingest", "prefix": "in/", "exclude": ["in/tmp/*", "*.tmp"]},
            "all": {"pipeline": "two", "bucket": "more", "wildcard": "*", "exclude": "x/*"},
        },
    )
    found = index(recording)
    assert found["maxConcurrency"] == {"ingest": 2}
    assert found["filters"] == {
        "some": {
            "starts": "job-ingest",
            "bucket": recording.exports["uploadBucket"],
            "key": [{"prefix": "in/"}],
            "size": [{"anything-but": [0]}],
            "exclude": ["in/tmp/*", "*.tmp"],
        },
        # What the pattern excludes itself is not said again.
        "all": {
            "starts": "pipeline-two",
            "bucket": recording.exports["buckets"]["more"],
            "key": [{"anything-but": {"wildcard": ["x/*"]}}],
            "size": [{"anything-but": [0]}],
        },
    }
    assert found["backfills"] == {
        "stateMachineArn": f"{MACHINES}backfill-backfills",
        "resultsPrefix": "out/",
    }


def test_the_parameters_are_below_the_stack_and_take_the_tier_they_need() -> None:
    recording = deploy(
        lambda: StackIndex(
            "index", {"outputs": {"a": 1, "jobs": {str(n): "x" * 900 for n in range(9)}}}
        )
    )
    parameters = every(recording.resources, type="aws:ssm/parameter:Parameter")
    assert {one.inputs["name"]: one.document("value") for one in parameters} == {
        "/fargate-batch/dev/index/0": {"a": 1, "protect": True},
        "/fargate-batch/dev/index/1": {"jobs": {str(n): "x" * 900 for n in range(8)}},
        "/fargate-batch/dev/index/2": {"jobs": {"8": "x" * 900}},
    }
    assert {(one.inputs["type"], one.inputs["tier"]) for one in parameters} == {
        ("String", "Intelligent-Tiering")
    }


@pytest.mark.parametrize(("path", "parts"), [("/", 6), (f"/{'r' * 470}/", 7)])
def test_no_part_is_larger_than_a_parameter_of_the_longest_names(path: str, parts: int) -> None:
    names = [f"n{'-x' * 18}-{n:02}" for n in range(11)]
    recording = deploy_stack(
        "dev",
        jobs={name: {} for name in names},
        uploads={name: {"job": name, "prefix": f"{name}/"} for name in names},
        pipelines={name: {"schedule": "rate(1 day)", "steps": [{"job": name}]} for name in names},
        schedules={f"s{name[1:]}": {"job": name, "schedule": "rate(1 day)"} for name in names},
        rolePath=path,
    )
    parameters = every(recording.resources, type="aws:ssm/parameter:Parameter")
    sizes = [len(one.inputs["value"].encode()) for one in parameters]
    assert max(sizes) < 8 * 1024
    assert len(sizes) == parts
