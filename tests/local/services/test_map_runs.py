"""Distributed Map states in the laptop's cloud: map runs, their children, and redrives.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

import json
from typing import Any
from unittest.mock import ANY

import pytest
from botocore.awsrequest import AWSResponse
from botocore.model import OperationModel
from botocore.validate import ParamValidator

from local.cloud import Cloud
from local.ministack import internals
from local.services.stepfunctions.tokens import machine_of
from local.shapes import Json
from tests.local.machines import STATES, Machines, Waiting, make_role
from tests.local.probe import REGION, eventually

BUCKET = "datasets"
PASS = {"Pass": {"Type": "Pass", "End": True}}


@pytest.fixture
def machines(cloud: Cloud) -> Machines:
    make_role(cloud)
    cloud.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    cloud.client("stepfunctions").meta.events.register("after-call.sfn", as_modelled)
    return Machines(cloud)


def as_modelled(http_response: AWSResponse, model: OperationModel, **_: object) -> None:
    """Hold what the cloud answers to botocore's model of it."""
    if http_response.status_code == 200 and model.output_shape is not None:
        report = ParamValidator().validate(json.loads(http_response.content), model.output_shape)
        assert report.generate_report() == "", model.name


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


def counts(run: dict[str, Any], name: str = "executionCounts") -> dict[str, int]:
    """The counts of a map run that are not nought."""
    return {key: value for key, value in run[name].items() if value and key != "resultsWritten"}


def until(machines: Machines, execution: str, **wanted: int) -> None:
    """Wait for the map run of an execution to have these counts."""
    eventually(lambda: counts(map_run(machines, execution)) == wanted or None)


def test_a_map_run_s_limits_are_changed_while_it_runs(machines: Machines) -> None:
    states, waiting = machines.cloud.client("stepfunctions"), Waiting(machines)
    machine = machines.create("m", each(waiting.states, MaxConcurrency=1))
    execution = machines.start(machine, [1, 2, 3, 4])
    arn = eventually(lambda: states.list_map_runs(executionArn=execution)["mapRuns"] or None)[0][
        "mapRunArn"
    ]
    until(machines, execution, running=1, pending=3, total=4)
    states.update_map_run(mapRunArn=arn, maxConcurrency=3, toleratedFailureCount=1)
    until(machines, execution, running=3, pending=1, total=4)
    failed = waiting.fail()
    until(machines, execution, running=3, failed=1, total=4)
    assert sorted([waiting.succeed() for _ in range(3)] + [failed]) == [1, 2, 3, 4]
    ended = machines.ended(execution)
    output = json.loads(ended["output"])
    assert [one for one in output if isinstance(one, int)] == [
        item * 2 for item in (1, 2, 3, 4) if item != failed
    ]
    refused = output[failed - 1]
    assert (refused["Status"], refused["Error"], refused["Input"]) == ("FAILED", "Bad", str(failed))
    run = states.describe_map_run(mapRunArn=arn)
    assert (run["status"], run["maxConcurrency"], run["toleratedFailureCount"]) == (
        "SUCCEEDED",
        3,
        1,
    )
    with pytest.raises(states.exceptions.ValidationException, match="completed"):
        states.update_map_run(mapRunArn=arn, maxConcurrency=1)


def test_a_map_run_that_does_not_exist_or_is_told_nothing_is_refused(machines: Machines) -> None:
    states = machines.cloud.client("stepfunctions")
    arn = f"{STATES}:mapRun:m/each:none"
    for call in (
        lambda: states.describe_map_run(mapRunArn=arn),
        lambda: states.update_map_run(mapRunArn=arn, maxConcurrency=1),
        lambda: states.list_executions(mapRunArn=arn),
    ):
        with pytest.raises(states.exceptions.ResourceNotFound):
            call()
    machine = machines.create("m", each({"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}))
    execution = machines.start(machine, [1])
    eventually(lambda: states.list_map_runs(executionArn=execution)["mapRuns"] or None)
    run = map_run(machines, execution)["mapRunArn"]
    for wrong in ({}, {"toleratedFailurePercentage": 101}):
        with pytest.raises(states.exceptions.ValidationException):
            states.update_map_run(mapRunArn=run, **wrong)


def test_stopping_stops_the_children_and_a_redrive_goes_on_with_them_and_the_rest(
    machines: Machines,
) -> None:
    states, waiting = machines.cloud.client("stepfunctions"), Waiting(machines)
    machine = machines.create("m", each(waiting.states, MaxConcurrency=2))
    execution = machines.start(machine, [1, 2, 3, 4])
    done = waiting.succeed()
    until(machines, execution, succeeded=1, running=2, pending=1, total=4)
    stopped = {waiting.asked()[0] for _ in range(2)}
    before = {child["executionArn"] for child in children(machines, execution)}
    states.stop_execution(executionArn=execution)
    eventually(lambda: map_run(machines, execution)["status"] == "ABORTED" or None)
    until(machines, execution, succeeded=1, aborted=2, pending=1, total=4)
    [aborted, _] = [one for one in children(machines, execution) if one["status"] == "ABORTED"]
    described = states.describe_execution(executionArn=aborted["executionArn"])
    assert described["redriveStatus"] == "REDRIVABLE_BY_MAP_RUN"
    with pytest.raises(states.exceptions.ExecutionNotRedrivable):
        states.redrive_execution(executionArn=aborted["executionArn"])

    first = states.redrive_execution(executionArn=execution, clientToken="once")
    assert states.redrive_execution(executionArn=execution, clientToken="once") == first | {
        "ResponseMetadata": ANY
    }
    until(machines, execution, succeeded=1, running=2, pendingRedrive=1, total=4)
    filtered = {"mapRunArn": map_run(machines, execution)["mapRunArn"]}
    found = states.list_executions(**filtered, statusFilter="PENDING_REDRIVE")["executions"]
    assert [one["executionArn"] in before for one in found] == [True]
    again = {waiting.asked()[0] for _ in range(2)}
    states.stop_execution(executionArn=execution)
    eventually(lambda: map_run(machines, execution)["status"] == "ABORTED" or None)
    until(machines, execution, succeeded=1, aborted=3, total=4)

    states.redrive_execution(executionArn=execution)
    assert {waiting.succeed() for _ in range(3)} == {1, 2, 3, 4} - {done} == stopped | again
    ended = machines.ended(execution)
    assert (ended["status"], json.loads(ended["output"])) == ("SUCCEEDED", [2, 4, 6, 8])
    assert ended["redriveCount"] == 2
    run = map_run(machines, execution)
    assert (run["status"], run["redriveCount"]) == ("SUCCEEDED", 2)
    found = children(machines, execution)
    assert len({child["executionArn"] for child in found} - before) == 1
    assert sorted(child["redriveCount"] for child in found) == [0, 1, 1, 2]
    listed = states.list_executions(**filtered, redriveFilter="REDRIVEN")
    assert len(listed["executions"]) == 3
    events = machines.history(execution)
    redriven = [one for one in events if one["type"] == "MapRunRedriven"]
    assert redriven[1]["mapRunRedrivenEventDetails"] == {
        "mapRunArn": run["mapRunArn"],
        "redriveCount": 2,
    }


def test_more_failures_than_tolerated_fail_the_run_and_a_redrive_runs_just_those(
    machines: Machines,
) -> None:
    states, waiting = machines.cloud.client("stepfunctions"), Waiting(machines)
    writer = {
        "Resource": "arn:aws:states:::s3:putObject",
        "Arguments": {"Bucket": BUCKET, "Prefix": "out/"},
    }
    machine = machines.create(
        "m",
        each(
            waiting.states,
            Items="{% [1..4] %}",
            MaxConcurrency=1,
            ToleratedFailurePercentage="{% 25 %}",
            ResultWriter=writer,
        ),
    )
    execution = machines.start(machine)
    assert [waiting.fail(), waiting.succeed(), waiting.fail()] == [1, 2, 3]
    ended = machines.ended(execution)
    assert (ended["status"], ended["error"], ended["cause"]) == (
        "FAILED",
        "States.ExceedToleratedFailureThreshold",
        "The specified tolerated failure threshold was exceeded",
    )
    run = map_run(machines, execution)
    assert counts(run) == {"failed": 2, "succeeded": 1, "pending": 1, "total": 4}
    folder = f"out/{run['mapRunArn'].rpartition(':')[2]}"
    written = {kind: document(machines, f"{folder}/{kind}_0.json") for kind in KINDS}
    assert [one["Input"] for one in written["FAILED"]] == ["1", "3"]
    assert written["PENDING"] == [
        {"Input": "4", "InputDetails": {"Included": True}, "Status": "PENDING"}
    ]
    [succeeded] = written["SUCCEEDED"]
    dates = {succeeded.pop("StartDate"), succeeded.pop("StopDate")}
    assert all(date.endswith("Z") for date in dates)
    name = succeeded["Name"]
    assert succeeded == {
        "ExecutionArn": f"{STATES}:execution:m/each:{name}",
        "Input": "2",
        "InputDetails": {"Included": True},
        "Name": name,
        "Output": "4",
        "OutputDetails": {"Included": True},
        "RedriveCount": 0,
        "RedriveStatus": "NOT_REDRIVABLE",
        "RedriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
        "StateMachineArn": f"{STATES}:stateMachine:m/each",
        "Status": "SUCCEEDED",
    }
    manifest = document(machines, f"{folder}/manifest.json")
    assert [len(manifest["ResultFiles"][kind]) for kind in KINDS] == [1, 1, 1]

    states.redrive_execution(executionArn=execution)
    assert [waiting.succeed() for _ in range(3)] == [4, 1, 3]
    ended = machines.ended(execution)
    key = f"{folder}/manifest.json"
    assert json.loads(ended["output"]) == {
        "MapRunArn": run["mapRunArn"],
        "ResultWriterDetails": {"Bucket": BUCKET, "Key": key},
    }
    files = document(machines, key)["ResultFiles"]
    assert [len(files[kind]) for kind in KINDS] == [0, 0, 1]
    assert len(document(machines, files["SUCCEEDED"][0]["Key"])) == 4


def test_a_child_that_cannot_be_redriven_any_more_counts_as_failed(machines: Machines) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/redrive-map-run.html"""
    states, waiting = machines.cloud.client("stepfunctions"), Waiting(machines)
    fields = {"MaxConcurrency": 1, "ToleratedFailureCount": 1}
    execution = machines.start(machines.create("m", each(waiting.states, **fields)), [1, 2, 3])
    assert [waiting.fail(), waiting.fail()] == [1, 2]
    assert machines.ended(execution)["status"] == "FAILED"
    [first] = [one for one in children(machines, execution) if given(machines, one) == 1]
    with machines.cloud.scope():
        internals.executions()[first["executionArn"]]["stopDate"] = "2020-01-01T00:00:00Z"
    states.redrive_execution(executionArn=execution)
    assert [waiting.succeed(), waiting.fail()] == [3, 2]
    assert machines.ended(execution)["status"] == "FAILED"
    states.redrive_execution(executionArn=execution)
    assert waiting.succeed() == 2
    lost, *others = json.loads(machines.ended(execution)["output"])
    assert (lost["Input"], lost["RedriveStatus"], others) == ("1", "NOT_REDRIVABLE", [4, 6])
    assert counts(map_run(machines, execution)) == {
        "failed": 1,
        "failuresNotRedrivable": 1,
        "succeeded": 2,
        "total": 3,
    }


def given(machines: Machines, child: dict[str, Any]) -> Json:
    """What a child was started with."""
    states = machines.cloud.client("stepfunctions")
    return json.loads(states.describe_execution(executionArn=child["executionArn"])["input"])


def test_an_item_that_no_execution_can_be_given_ends_the_execution(machines: Machines) -> None:
    put(machines, "big.json", json.dumps(["x" * 262_143]))
    state = each(PASS, ItemReader=reader("big.json", InputType="JSON"))
    ended = machines.run(machines.create("m", state))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.DataLimitExceeded")


def test_only_children_of_a_map_run_are_filtered_by_their_redrives(machines: Machines) -> None:
    machine = machines.create("m", each(PASS))
    states = machines.cloud.client("stepfunctions")
    with pytest.raises(states.exceptions.ValidationException):
        states.list_executions(stateMachineArn=machine, redriveFilter="REDRIVEN")


KINDS = ("FAILED", "PENDING", "SUCCEEDED")


def document(machines: Machines, key: str) -> Json:
    """A JSON document in the bucket."""
    found = machines.cloud.client("s3").get_object(Bucket=BUCKET, Key=key)
    return json.loads(found["Body"].read())


def test_a_dataset_that_is_not_there_fails_the_run_and_a_redrive_reads_anew(
    machines: Machines,
) -> None:
    machine = machines.create("m", each(PASS, ItemReader=reader("late.json", InputType="JSON")))
    ended = machines.run(machine)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.ItemReaderFailed")
    assert "NoSuchKey" in ended["cause"]
    events = machines.history(ended["executionArn"])[3:]
    assert [event["type"] for event in events] == [
        *("MapRunStarted", "MapRunFailed", "MapStateFailed", "ExecutionFailed")
    ]
    assert events[1]["mapRunFailedEventDetails"] == {
        "error": "States.ItemReaderFailed",
        "cause": ended["cause"],
    }
    put(machines, "late.json", "[1]")
    machines.cloud.client("stepfunctions").redrive_execution(executionArn=ended["executionArn"])
    assert machines.ended(ended["executionArn"])["output"] == "[1]"
    assert map_run(machines, ended["executionArn"])["redriveCount"] == 1


def test_results_that_cannot_be_written_fail_the_run_before_any_child_starts(
    machines: Machines,
) -> None:
    arguments = {"Bucket": "nowhere-at-all"}
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Arguments": arguments}
    ended = machines.run(machines.create("m", each(PASS, ResultWriter=writer)), [1])
    assert ended["error"] == "States.ResultWriterFailed"
    assert ended["cause"].startswith("Failed to write a test manifest into the specified output")
    assert counts(map_run(machines, ended["executionArn"])) == {}
    assert children(machines, ended["executionArn"]) == []


def test_a_map_state_is_retried_with_a_new_map_run_and_then_caught(machines: Machines) -> None:
    states = each(
        {"Bad": {"Type": "Fail", "Error": "Bad"}},
        Retry=[
            {
                "ErrorEquals": ["States.ExceedToleratedFailureThreshold"],
                "IntervalSeconds": 0,
                "MaxAttempts": 1,
            }
        ],
        Catch=[{"ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput.Error %}"}],
    )
    states["Each"]["Catch"][0]["Next"] = "Caught"
    ended = machines.run(machines.create("m", states | {"Caught": {"Type": "Succeed"}}), [1])
    assert ended["output"] == '"States.ExceedToleratedFailureThreshold"'
    runs = machines.cloud.client("stepfunctions").list_map_runs(executionArn=ended["executionArn"])
    assert len({run["mapRunArn"] for run in runs["mapRuns"]}) == 2


def test_batches_are_items_of_one_child_and_count_as_such(machines: Machines) -> None:
    batcher = {"MaxItemsPerBatch": "{% 2 %}", "BatchInput": {"of": "{% $count($states.input) %}"}}
    ended = machines.run(machines.create("m", each(PASS, ItemBatcher=batcher)), [1, 2, 3])
    assert json.loads(ended["output"]) == [
        {"BatchInput": {"of": 3}, "Items": [1, 2]},
        {"BatchInput": {"of": 3}, "Items": [3]},
    ]
    run = map_run(machines, ended["executionArn"])
    assert counts(run) == {"succeeded": 2, "total": 2}
    assert counts(run, "itemCounts") == {"succeeded": 3, "total": 3}
    assert [one["itemCount"] for one in children(machines, ended["executionArn"])] in (
        [2, 1],
        [1, 2],
    )


def test_a_child_knows_its_own_execution_and_no_variables_of_its_parent(machines: Machines) -> None:
    told = {
        "execution": "{% $states.context.Execution.Id %}",
        "machine": "{% $states.context.StateMachine %}",
        "assigned": "{% $exists($outer) %}",
    }
    states = each({"Tell": {"Type": "Succeed", "Output": told}}, Items=[1])
    outer = {"Outer": {"Type": "Pass", "Assign": {"outer": 1}, "Next": "Each"}}
    ended = machines.run(machines.create("m", outer | states))
    [child] = children(machines, ended["executionArn"])
    machine = {"Id": f"{STATES}:stateMachine:m/each", "Name": "m/each"}
    assert json.loads(ended["output"]) == [
        {"execution": child["executionArn"], "machine": machine, "assigned": False}
    ]


def test_a_redrive_runs_again_just_the_branches_and_iterations_that_failed(
    machines: Machines,
) -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html"""
    waiting = Waiting(machines)

    def line(data: Json) -> dict[str, Any]:
        first = {"First": {"Type": "Pass", "Output": data, "Next": "Ask"}}
        return {"StartAt": "First", "States": first | waiting.states}

    inline = {
        "Type": "Map",
        "Items": [1, 2],
        "ItemProcessor": line("{% $states.input %}"),
        "End": True,
    }
    both = [line(3), {"StartAt": "Inline", "States": {"Inline": inline}}]
    machine = machines.create("m", {"Both": {"Type": "Parallel", "Branches": both, "End": True}})
    execution = machines.start(machine)
    tokens = dict(waiting.asked() for _ in range(3))
    states = machines.cloud.client("stepfunctions")
    states.send_task_success(taskToken=tokens[1], output='"one"')
    eventually(
        lambda: (
            "MapIterationSucceeded" in [one["type"] for one in machines.history(execution)] or None
        )
    )
    states.send_task_failure(taskToken=tokens[3], error="Bad", cause="")
    assert machines.ended(execution)["error"] == "Bad"
    states.redrive_execution(executionArn=execution)
    assert sorted([waiting.succeed(), waiting.succeed()]) == [2, 3]
    ended = machines.ended(execution)
    assert json.loads(ended["output"]) == [6, ["one", 4]]
    entered = [
        event["stateEnteredEventDetails"]["name"]
        for event in machines.history(execution)
        if event["type"] == "PassStateEntered"
    ]
    assert entered == ["First"] * 3
    iterations = [
        event["mapIterationStartedEventDetails"]["index"]
        for event in machines.history(execution)
        if event["type"] == "MapIterationStarted"
    ]
    assert sorted(iterations) == [0, 1, 1]


def test_the_children_of_a_deleted_machine_end_with_the_state_that_they_are_in(
    machines: Machines,
) -> None:
    states, waiting = machines.cloud.client("stepfunctions"), Waiting(machines)
    last = {"Last": {"Type": "Succeed"}}
    machine = machines.create("m", each(waiting.before("Last") | last))
    execution = machines.start(machine, [1])
    _, token = waiting.asked()
    assert machine_of(token) == machine
    run = map_run(machines, execution)["mapRunArn"]
    states.delete_state_machine(stateMachineArn=machine)
    assert states.describe_state_machine(stateMachineArn=machine)["status"] == "DELETING"
    states.send_task_success(taskToken=token, output="1")
    assert machines.is_gone(machine)
    with pytest.raises(states.exceptions.ResourceNotFound):
        states.describe_map_run(mapRunArn=run)
    assert machines.executions(f"{machine}/each") == []
