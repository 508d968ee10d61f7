"""Step Functions in the laptop's cloud, against what AWS was recorded to do."""

import hashlib
import json
import re
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.clock import Cancellation
from local.cloud import Cloud
from local.services.stepfunctions import expressions, redrive
from local.services.stepfunctions.asl import matches
from local.shapes import Json, to_api, to_states
from tests.local.machines import CHILD, ROLE, STATES, Machines, Waiting, make_role, run_task
from tests.local.probe import LOG_GROUP, REGION, Stack, eventually
from tests.local.threads import taking_turns


@pytest.fixture
def machines(cloud: Cloud) -> Machines:
    make_role(cloud)
    return Machines(cloud)


@pytest.fixture
def quick() -> Generator[Machines]:
    """A cloud in which a second of waiting takes a millisecond."""
    with Cloud(0, REGION, wait_scale=0.001) as cloud:
        make_role(cloud)
        yield Machines(cloud)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def test_a_task_that_succeeds_is_the_result_in_pascal_case(
    machines: Machines, stack: Stack
) -> None:
    task = machines.outcome({"Run": run_task(stack, stack.define(), ["exit", "0"])})
    assert task["Containers"][0]["ExitCode"] == 0
    assert task["StopCode"] == "EssentialContainerExited"
    assert task["StartedBy"] == "AWS Step Functions"
    assert task["Overrides"]["ContainerOverrides"] == [{"Name": "probe", "Command": ["exit", "0"]}]
    assert task["StoppedAt"] > task["CreatedAt"] > 1_600_000_000_000
    assert [name for name in task if name[0].islower()] == []


def test_a_container_that_fails_fails_the_state_with_the_task_as_the_cause(
    machines: Machines, stack: Stack
) -> None:
    status, error, cause = machines.outcome({"Run": run_task(stack, stack.define(), ["exit", "3"])})
    assert (status, error) == ("FAILED", "States.TaskFailed")
    task = json.loads(cause)
    assert task["Containers"][0]["ExitCode"] == 3
    assert task["StoppedReason"] == "Essential container in task exited"


def test_a_container_that_is_not_essential_fails_the_state_as_well(
    machines: Machines, stack: Stack
) -> None:
    definition = stack.define(
        containers=[
            {"name": "probe"},
            {"name": "side", "essential": False, "command": ["exit", "9"]},
        ]
    )
    run = run_task(stack, definition, ["exit", "0"])
    status, error, cause = machines.outcome({"Run": run})
    assert (status, error) == ("FAILED", "States.TaskFailed")
    task = json.loads(cause)
    exit_codes = {one["Name"]: one["ExitCode"] for one in task["Containers"]}
    assert exit_codes["probe"] == 0
    assert exit_codes["side"] != 0
    assert task["StopCode"] == "EssentialContainerExited"


def test_a_task_whose_image_is_missing_never_starts_and_fails_the_state(
    machines: Machines, stack: Stack
) -> None:
    definition = stack.define(containers=[{"image": "nowhere.example/none:1"}])
    _, error, cause = machines.outcome({"Run": run_task(stack, definition, ["exit", "0"])})
    assert error == "States.TaskFailed"
    assert json.loads(cause)["StopCode"] == "TaskFailedToStart"


def test_a_run_task_that_ecs_refuses_is_an_error_of_ecs(machines: Machines, stack: Stack) -> None:
    _, error, cause = machines.outcome({"Run": run_task(stack, "nothing:1", ["exit", "0"])})
    assert error == "ECS.ClientException"
    assert "(Service: AmazonECS; Status Code: 400; Error Code: ClientException" in cause


def test_the_history_of_a_task_has_every_step_behind_the_one_before(
    machines: Machines, stack: Stack
) -> None:
    machine = machines.create("m", {"Run": run_task(stack, stack.define(), ["exit", "0"])})
    events = machines.history(machines.run(machine)["executionArn"])
    assert [(one["id"], one["previousEventId"], one["type"]) for one in events] == [
        (1, 0, "ExecutionStarted"),
        (2, 0, "TaskStateEntered"),
        (3, 2, "TaskScheduled"),
        (4, 3, "TaskStarted"),
        (5, 4, "TaskSubmitted"),
        (6, 5, "TaskSucceeded"),
        (7, 6, "TaskStateExited"),
        (8, 7, "ExecutionSucceeded"),
    ]
    scheduled = events[2]["taskScheduledEventDetails"]
    parameters = json.loads(scheduled.pop("parameters"))
    assert scheduled == {"resourceType": "ecs", "resource": "runTask.sync", "region": REGION}
    assert parameters["StartedBy"] == "AWS Step Functions"
    assert json.loads(events[5]["taskSucceededEventDetails"]["output"])["LastStatus"] == "STOPPED"


def test_a_time_out_stops_the_task_and_is_not_a_failed_task(
    machines: Machines, stack: Stack
) -> None:
    caught = [
        {"ErrorEquals": ["States.TaskFailed"], "Next": "Wrong"},
        {"ErrorEquals": ["States.Timeout"], "Output": "{% $states.errorOutput %}", "Next": "Right"},
    ]
    state = run_task(stack, stack.define(), ["wait"], Catch=caught)
    state["TimeoutSeconds"] = "{% $states.input.seconds %}"
    outcome = machines.outcome(
        {"Run": state, "Wrong": {"Type": "Fail"}, "Right": {"Type": "Succeed"}}, {"seconds": 1}
    )
    assert outcome == {"Error": "States.Timeout", "Cause": ""}
    ecs = machines.cloud.client("ecs")
    arns = eventually(
        lambda: ecs.list_tasks(cluster="batch", desiredStatus="STOPPED")["taskArns"] or None
    )
    assert stack.stopped(arns[0])["stopCode"] == "UserInitiated"


def test_stopping_an_execution_stops_its_child_and_the_task_in_it(
    machines: Machines, stack: Stack
) -> None:
    inner = machines.create("inner", {"Run": run_task(stack, stack.define(), ["wait"])})
    outer = machines.create(
        "outer",
        {
            "Call": {"Type": "Task", "Resource": CHILD, "Arguments": {"StateMachineArn": inner}}
            | {"End": True}
        },
    )
    execution = machines.start(outer)
    ecs = machines.cloud.client("ecs")
    task = eventually(lambda: ecs.list_tasks(cluster="batch")["taskArns"] or None)[0]
    logs = machines.cloud.client("logs")
    # A container that has no handler for SIGTERM yet is only killed after its stopTimeout.
    eventually(lambda: logs.filter_log_events(logGroupName=LOG_GROUP)["events"] or None)
    machines.cloud.client("stepfunctions").stop_execution(
        executionArn=execution, error="Enough", cause="by hand"
    )
    ended = machines.cloud.client("stepfunctions").describe_execution(executionArn=execution)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Enough", "by hand")
    assert stack.stopped(task)["stopCode"] == "UserInitiated"
    assert [one["status"] for one in machines.executions(inner)] == ["ABORTED"]
    assert kinds(machines.history(execution))[-1] == "ExecutionAborted"


def test_a_failed_child_is_a_failed_task_with_its_description_as_the_cause(
    machines: Machines,
) -> None:
    child = machines.create("child", {"End": {"Type": "Fail", "Error": "Bad", "Cause": "data"}})
    call: dict[str, Any] = {"Type": "Task", "Resource": CHILD, "End": True}
    call["Arguments"] = {"StateMachineArn": child, "Name": "one", "Input": {"n": 1}}
    _, error, cause = machines.outcome({"Call": call})
    described = json.loads(cause)
    dates = {described.pop("StartDate"), described.pop("StopDate")}
    assert error == "States.TaskFailed"
    assert all(isinstance(date, int) for date in dates)
    assert described == {
        "Cause": "data",
        "Error": "Bad",
        "ExecutionArn": f"{STATES}:execution:child:one",
        "Input": '{"n":1}',
        "InputDetails": {"Included": True},
        "Name": "one",
        "RedriveCount": 0,
        "StateMachineArn": child,
        "Status": "FAILED",
    }
    assert machines.outcome({"Call": call})[1] == "StepFunctions.ExecutionAlreadyExistsException"


def test_a_child_that_succeeds_gives_its_output_as_json(machines: Machines) -> None:
    child = machines.create("child", {"End": {"Type": "Succeed", "Output": {"n": [1]}}})
    call = {"Type": "Task", "Resource": CHILD, "Arguments": {"StateMachineArn": child}, "End": True}
    assert machines.outcome({"Call": call})["Output"] == {"n": [1]}
    once = call | {"Resource": CHILD.removesuffix(":2")}
    assert machines.outcome({"Call": once})["Output"] == '{"n": [1]}'


def test_retries_come_as_often_as_written_and_then_the_error(quick: Machines) -> None:
    child = quick.create("child", {"End": {"Type": "Fail", "Error": "Bad"}})
    call = {"Type": "Task", "Resource": CHILD, "Arguments": {"StateMachineArn": child}, "End": True}
    retry: dict[str, Any] = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1}
    for written, attempts in (({}, 4), ({"MaxAttempts": 0}, 1), ({"MaxAttempts": 2}, 3)):
        before = len(quick.executions(child))
        quick.outcome({"Call": call | {"Retry": [retry | written]}})
        assert len(quick.executions(child)) - before == attempts
    before = len(quick.executions(child))
    quick.outcome({"Call": call | {"Retry": [retry | {"ErrorEquals": ["States.Timeout"]}]}})
    assert len(quick.executions(child)) - before == 1


@pytest.mark.parametrize(
    ("written", "waits"),
    [
        ({"MaxAttempts": 2}, [100, 400]),
        ({"MaxAttempts": 3, "MaxDelaySeconds": 150}, [100, 150, 150]),
        ({"MaxAttempts": 1, "BackoffRate": 1, "IntervalSeconds": 7}, [7]),
    ],
)
def test_a_retry_waits_longer_each_time_up_to_what_the_definition_caps(
    quick: Machines, monkeypatch: pytest.MonkeyPatch, written: dict[str, Any], waits: list[float]
) -> None:
    seconds: list[float] = []
    name = "local.services.stepfunctions.asl._Visit._sleep"
    monkeypatch.setattr(name, lambda _, waited: seconds.append(waited))
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 100, "BackoffRate": 4}
    call = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sfn:describeExecution",
        "Arguments": {"ExecutionArn": f"{STATES}:execution:none:none"},
        "End": True,
    }
    outcome = quick.outcome({"Call": call | {"Retry": [retry | written]}})
    assert outcome[1] == "Sfn.ExecutionDoesNotExistException"
    assert seconds == waits


def test_a_timestamp_is_waited_for_up_to_its_second(
    quick: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds: list[float] = []
    name = "local.services.stepfunctions.asl._Visit._sleep"
    monkeypatch.setattr(name, lambda _, waited: seconds.append(waited))
    wait = {"Type": "Wait", "Timestamp": "2999-12-31T23:59:59.999Z", "End": True}
    before = datetime.now(UTC)
    quick.outcome({"Wait": wait})
    [waited] = [timedelta(seconds=one) for one in seconds]
    assert before + waited <= datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert datetime.now(UTC) + waited >= datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_what_ends_an_execution_for_good_is_in_no_all() -> None:
    assert matches(["States.ALL"], "Anything")
    assert matches(["States.ALL"], "States.Timeout")
    assert matches(["States.TaskFailed"], "ECS.ClientException")
    assert not matches(["States.TaskFailed"], "States.Timeout")
    assert not matches(["States.ALL"], "States.Runtime")
    assert not matches(["States.ALL"], "States.DataLimitExceeded")
    assert matches(["States.DataLimitExceeded"], "States.DataLimitExceeded")


def test_a_result_over_256_kib_is_too_much(machines: Machines) -> None:
    states = {
        "Make": {"Type": "Pass", "Output": "{% $pad('', $states.input.n, 'x') %}", "End": True}
    }
    assert len(machines.outcome(states, {"n": 262_142})) == 262_142
    assert machines.outcome(states, {"n": 262_143})[1] == "States.DataLimitExceeded"


def test_an_expression_that_fails_is_a_query_evaluation_error_one_can_catch(
    machines: Machines,
) -> None:
    states = {"Make": {"Type": "Pass", "Output": "{% $states.input.none %}", "End": True}}
    assert machines.outcome(states)[1] == "States.QueryEvaluationError"
    call = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sfn:listStateMachines",
        "Output": "{% 1 + 'a' %}",
        "Catch": [
            {
                "ErrorEquals": ["States.QueryEvaluationError"],
                "Assign": {"was": "{% $states.errorOutput.Error %}"},
                "Output": "{% 'caught' %}",
                "Next": "Tell",
            }
        ],
        "End": True,
    }
    tell = {"Type": "Succeed", "Output": ["{% $states.input %}", "{% $was %}"]}
    assert machines.outcome({"Call": call, "Tell": tell}) == [
        "caught",
        "States.QueryEvaluationError",
    ]


def test_a_choice_assigns_and_a_fail_says_what_expressions_make(machines: Machines) -> None:
    states = {
        "Choose": {
            "Type": "Choice",
            "Choices": [
                {
                    "Condition": "{% $states.input.n > 1 %}",
                    "Assign": {"doubled": "{% $states.input.n * 2 %}"},
                    "Next": "Refuse",
                }
            ],
            "Default": "Good",
        },
        "Refuse": {
            "Type": "Fail",
            "Error": "{% 'N' & $string($doubled) %}",
            "Cause": "{% $string($states.input) %}",
        },
        "Good": {"Type": "Succeed"},
    }
    assert machines.outcome(states, {"n": 4}) == ("FAILED", "N8", '{"n":4}')
    assert machines.outcome(states, {"n": 1}) == {"n": 1}


def test_an_expression_in_many_threads_at_once_sees_its_own_input_and_variables() -> None:
    mapped = "$map($states.input.a, function($n) { $n * $by })"
    expression = f"{{% $sum({mapped}) & $states.input.b %}}"

    def told(by: int) -> Json:
        data = {"a": list(range(20)), "b": f"-{by}"}
        return [expressions.evaluate(expression, data, {}, {"by": by}) for _ in range(3)]

    with taking_turns(), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(told, range(60)))
    assert found == [[f"{190 * by}-{by}"] * 3 for by in range(60)]


def test_output_and_assign_of_one_state_see_the_variables_before_it(machines: Machines) -> None:
    states = {
        "One": {"Type": "Pass", "Assign": {"a": 1, "b": 2}, "Next": "Swap"},
        "Swap": {
            "Type": "Pass",
            "Assign": {"a": "{% $b %}", "b": "{% $a %}"},
            "Output": ["{% $a %}", "{% $b %}"],
            "Next": "Tell",
        },
        "Tell": {"Type": "Succeed", "Output": ["{% $states.input %}", "{% $a %}", "{% $b %}"]},
    }
    assert machines.outcome(states) == [[1, 2], 2, 1]


def test_what_only_json_path_has_is_refused_by_name(machines: Machines) -> None:
    refused = machines.cloud.client("stepfunctions").exceptions.InvalidDefinition
    inner = {"StartAt": "In", "States": {"In": {"Type": "Pass", "ResultPath": "$.r", "End": True}}}
    for state, found in (
        ({"Type": "Succeed", "OutputPath": "$.a"}, "One.OutputPath"),
        ({"Type": "Choice", "Choices": [{"Variable": "$.a", "Next": "One"}]}, "One.Variable"),
        ({"Type": "Parallel", "Branches": [inner], "End": True}, "In.ResultPath"),
        ({"Type": "Map", "ItemProcessor": inner, "End": True}, "In.ResultPath"),
    ):
        with pytest.raises(refused, match=f"runs JSONata, and {found} is of JSONPath"):
            machines.create("m", {"One": state})


END = {"Type": "Pass", "End": True}
LOOP = {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}


@pytest.mark.parametrize(
    ("definition", "found"),
    [
        ("{", "INVALID_JSON_DESCRIPTION: "),
        ("[]", "SCHEMA_VALIDATION_FAILED: These fields are required: [StartAt, States] at /'"),
        ({"A": []}, "'Type' should have one of these values: "),
        ({"A": {"Type": "Pass"}}, "One of these fields is required: [Next, End] at /States/A'"),
        ({"A": {**END, "Catch": {}}}, "The value is of the wrong type at /States/A/Catch'"),
        (
            {"A": {"Type": "Parallel", "Branches": [{}], "End": True}},
            "These fields are required: [StartAt, States] at /States/A/Branches[0]'",
        ),
        (LOOP, "'MISSING_END_STATE: Workflow has no terminal state'"),
        (
            {"A": {"Type": "Pass", "Next": "C"}, "B": END},
            (
                "'MISSING_TRANSITION_TARGET: Missing 'Next' target: C at /States/A/Next, "
                'MISSING_TRANSITION_TARGET: State "B" is not reachable. at /States/B\''
            ),
        ),
        (
            {
                "A": {**END, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"}]},
                "B": {"Type": "Choice", "Choices": [{"Next": "D"}], "Default": "A"},
            },
            "'MISSING_TRANSITION_TARGET: Missing 'Next' target: D at /States/B/Choices[0]/Next'",
        ),
        (
            {
                "A": {
                    "Type": "Map",
                    "ItemProcessor": {"StartAt": "I", "States": {"O": END}},
                    "End": True,
                }
            },
            (
                "Missing 'Next' target: I at /States/A/ItemProcessor/StartAt, "
                'MISSING_TRANSITION_TARGET: State "O" is not reachable. at '
                "/States/A/ItemProcessor/States/O'"
            ),
        ),
    ],
    ids=str,
)
def test_a_definition_that_does_not_hold_together_is_refused(
    machines: Machines, definition: str | dict[str, Any], found: str
) -> None:
    text = (
        definition
        if isinstance(definition, str)
        else json.dumps({"StartAt": "A", "States": definition})
    )
    states = machines.cloud.client("stepfunctions")
    with pytest.raises(states.exceptions.InvalidDefinition, match=re.escape(found)):
        states.create_state_machine(name="m", roleArn=ROLE, definition=text)


def test_functions_of_step_functions_are_there_and_null_is_a_value(machines: Machines) -> None:
    texts = (
        "{% $partition([1..5], 2) %}",
        "{% $range(0, 5, 2) %}",
        "{% $hash('a', 'SHA-256') %}",
        "{% $parse('{\"a\":[null]}') %}",
        "{% $random(3) = $random(3) and $length($uuid()) = 36 %}",
        "{% $states.input.none %}",
        "{% null %}",
        "{% $exists($none) %}",
    )
    states = {
        "One": {"Type": "Pass", "Assign": {"none": None}, "Next": "Two"},
        "Two": {"Type": "Succeed", "Output": list(texts)},
    }
    assert machines.outcome(states, {"none": None}) == [
        [[1, 2], [3, 4], [5]],
        [0, 2, 4],
        hashlib.sha256(b"a").hexdigest(),
        {"a": [None]},
        True,
        None,
        None,
        True,
    ]
    for text in ("$toMillis('2030-01-01 00:00:00')", "$replace('a', /b*/, 'c')", "$range(1, 2, 0)"):
        states = {"One": {"Type": "Succeed", "Output": f"{{% {text} %}}"}}
        assert machines.outcome(states)[1] == "States.QueryEvaluationError"


def test_the_branch_that_fails_stops_the_others(machines: Machines, stack: Stack) -> None:
    def branch(name: str, state: dict[str, Any]) -> dict[str, Any]:
        return {"StartAt": name, "States": {name: state}}

    states = {
        "Both": {
            "Type": "Parallel",
            "Branches": [
                branch("Long", {"Type": "Wait", "Seconds": 3600, "End": True}),
                branch("Task", run_task(stack, stack.define(), ["wait"])),
                branch("Bad", {"Type": "Fail", "Error": "Bad"}),
            ],
            "Catch": [
                {"ErrorEquals": ["Bad"], "Output": "{% $states.errorOutput %}", "Next": "Over"}
            ],
            "End": True,
        },
        "Over": {"Type": "Succeed"},
    }
    assert machines.outcome(states) == {"Error": "Bad", "Cause": ""}
    ecs = machines.cloud.client("ecs")
    eventually(lambda: None if ecs.list_tasks(cluster="batch")["taskArns"] else True)


def test_branches_keep_their_variables_to_themselves_and_their_order(machines: Machines) -> None:
    each = {
        "StartAt": "Set",
        "States": {
            "Set": {"Type": "Pass", "Assign": {"v": "{% $states.input %}"}, "Next": "Get"},
            "Get": {"Type": "Pass", "Output": "{% $v * 10 %}", "End": True},
        },
    }
    states = {
        "First": {"Type": "Pass", "Assign": {"v": 7}, "Next": "Each"},
        "Each": {
            "Type": "Map",
            "Items": "{% [1..5] %}",
            "MaxConcurrency": 2,
            "ItemProcessor": each,
            "Output": ["{% $states.result %}", "{% $v %}"],
            "End": True,
        },
    }
    assert machines.outcome(states) == [[10, 20, 30, 40, 50], 7]


def test_a_machine_s_own_time_out_ends_the_execution_as_timed_out(machines: Machines) -> None:
    machine = machines.create(
        "m", {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}, TimeoutSeconds=1
    )
    ended = machines.run(machine)
    assert ended["status"] == "TIMED_OUT"
    assert kinds(machines.history(ended["executionArn"])) == [
        "ExecutionStarted",
        "WaitStateEntered",
        "ExecutionTimedOut",
    ]


def test_the_same_name_and_input_while_it_runs_is_the_same_execution(machines: Machines) -> None:
    machine = machines.create("m", {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}})
    states = machines.cloud.client("stepfunctions")
    first = states.start_execution(stateMachineArn=machine, name="one", input="{}")
    again = states.start_execution(stateMachineArn=machine, name="one", input="{}")
    assert first["executionArn"] == again["executionArn"]
    assert first["startDate"] == again["startDate"]
    with pytest.raises(states.exceptions.ExecutionAlreadyExists):
        states.start_execution(stateMachineArn=machine, name="one", input="[]")
    with pytest.raises(states.exceptions.InvalidName):
        states.start_execution(stateMachineArn=machine, name="no spaces")
    with pytest.raises(states.exceptions.InvalidExecutionInput):
        states.start_execution(stateMachineArn=machine, input="{")
    states.stop_execution(executionArn=first["executionArn"])


def test_sdk_integrations_speak_pascal_case_with_times_as_text(
    machines: Machines, stack: Stack
) -> None:
    arn = stack.run(stack.define(), "wait")["taskArn"]

    def call(resource: str, arguments: dict[str, Any]) -> Json:
        resource = f"arn:aws:states:::aws-sdk:{resource}"
        state = {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True}
        return machines.outcome({"Call": state})

    assert call("ecs:listTasks", {"Cluster": "batch"}) == {"TaskArns": [arn]}
    described = call("ecs:describeTasks", {"Cluster": "batch", "Tasks": [arn]})
    assert described["Tasks"][0]["TaskArn"] == arn
    assert described["Tasks"][0]["CreatedAt"].endswith("Z")
    stopped = call("ecs:stopTask", {"Cluster": "batch", "Task": arn, "Reason": "Enough"})
    assert stopped["Task"]["StoppedReason"] == "Enough"
    assert call("ecs:stopTask", {"Cluster": "none", "Task": arn})[1] == (
        "Ecs.ClusterNotFoundException"
    )
    machine = machines.create("listed", {"End": {"Type": "Succeed"}})
    machines.run(machine)
    listed = call("sfn:listExecutions", {"StateMachineArn": machine, "StatusFilter": "SUCCEEDED"})
    assert listed["Executions"][0]["StartDate"].endswith("Z")


def test_a_role_without_rights_is_refused_in_the_words_of_aws(
    machines: Machines, stack: Stack
) -> None:
    iam = machines.cloud.client("iam")
    iam.delete_role_policy(RoleName=ROLE.rpartition("/")[2], PolicyName="all")
    _, error, cause = machines.outcome({"Run": run_task(stack, stack.define(), ["exit", "0"])})
    assert error == "ECS.AccessDeniedException"
    assert "is not authorized to perform: ecs:RunTask on resource:" in cause


@pytest.mark.slow
def test_two_hundred_executions_at_once_all_end(machines: Machines) -> None:
    machine = machines.create(
        "m",
        {
            "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Tell"},
            "Tell": {"Type": "Succeed", "Output": "{% $states.input.n %}"},
        },
    )
    executions = [machines.start(machine, {"n": number}) for number in range(200)]
    assert [json.loads(machines.ended(one)["output"]) for one in executions] == list(range(200))


def test_executions_are_logged_to_the_machine_s_group(machines: Machines) -> None:
    logs = machines.cloud.client("logs")
    logs.create_log_group(logGroupName="/aws/vendedlogs/states/m")
    group = f"arn:aws:logs:{REGION}:111122223333:log-group:/aws/vendedlogs/states/m:*"
    states = machines.cloud.client("stepfunctions")
    definition = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}
    machine = states.create_state_machine(
        name="m",
        roleArn=ROLE,
        definition=json.dumps(definition),
        loggingConfiguration={
            "level": "ALL",
            "includeExecutionData": False,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}],
        },
    )["stateMachineArn"]
    ended = machines.run(machine, {"secret": 1})
    lines = [
        json.loads(event["message"])
        for event in logs.filter_log_events(logGroupName="/aws/vendedlogs/states/m")["events"]
    ]
    assert [line["type"] for line in lines] == [
        "ExecutionStarted",
        "SucceedStateEntered",
        "SucceedStateExited",
        "ExecutionSucceeded",
    ]
    assert {line["execution_arn"] for line in lines} == {ended["executionArn"]}
    assert lines[1]["details"] == {"name": "End"}


def test_only_names_of_members_are_respelled_never_keys_or_values_of_users() -> None:
    request = {
        "TaskDefinition": "X",
        "Overrides": {
            "ContainerOverrides": [{"Environment": [{"Name": "Name", "Value": "Tasks"}]}]
        },
    }
    assert to_api("ecs", "RunTask", request) == {
        "taskDefinition": "X",
        "overrides": {
            "containerOverrides": [{"environment": [{"name": "Name", "value": "Tasks"}]}]
        },
    }
    definition = {"containerDefinitions": [{"dockerLabels": {"aKey": "aValue"}}]}
    assert to_states("ecs", "TaskDefinition", definition) == {
        "ContainerDefinitions": [{"DockerLabels": {"aKey": "aValue"}}]
    }


def test_a_cancellation_reaches_all_narrower_ones_even_later_ones() -> None:
    wide = Cancellation()
    narrow = Cancellation(wide)
    told: list[str] = []
    narrow.call(lambda: told.append("before"))
    wide.cancel()
    Cancellation(wide).call(lambda: told.append("after"))
    assert (bool(narrow), told) == (True, ["before", "after"])


def test_an_execution_that_did_not_succeed_goes_on_from_its_state(machines: Machines) -> None:
    states = machines.cloud.client("stepfunctions")
    told = {
        "kept": "{% $kept %}",
        "times": "{% $states.context.Execution.[StartTime, RedriveTime] %}",
    }
    wait = "{% $states.context.Execution.RedriveCount = 0 ? 3600 : 0 %}"
    machine = machines.create(
        "redriven",
        {
            "First": {"Type": "Pass", "Assign": {"kept": "{% $states.input.n %}"}, "Next": "Wait"},
            "Wait": {"Type": "Wait", "Seconds": wait, "Next": "Last"},
            "Last": {"Type": "Pass", "Output": told, "End": True},
        },
    )
    execution = machines.start(machine, {"n": 7})
    eventually(lambda: "WaitStateEntered" in kinds(machines.history(execution)) or None)
    states.stop_execution(executionArn=execution, error="Operator")
    stopped = machines.ended(execution)
    assert (stopped["status"], stopped["redriveStatus"]) == ("ABORTED", "REDRIVABLE")
    states.redrive_execution(executionArn=execution)
    ended = machines.ended(execution)
    output = json.loads(ended["output"])
    assert (ended["status"], output["kept"]) == ("SUCCEEDED", 7)
    assert [datetime.fromisoformat(time) for time in output["times"]] == [
        ended["startDate"],
        ended["redriveDate"],
    ]
    assert (ended["redriveCount"], ended["redriveStatus"]) == (1, "NOT_REDRIVABLE")
    entered = [
        event["stateEnteredEventDetails"]["name"]
        for event in machines.history(execution)
        if event["type"].endswith("StateEntered")
    ]
    assert entered == ["First", "Wait", "Wait", "Last"]
    with pytest.raises(states.exceptions.ExecutionNotRedrivable):
        states.redrive_execution(executionArn=execution)


def test_a_deleted_machine_is_gone_once_its_executions_left_the_states_they_were_in(
    machines: Machines,
) -> None:
    states, waiting = machines.cloud.client("stepfunctions"), Waiting(machines)
    inner = machines.create("inner", {"Last": {"Type": "Succeed"}})
    call = {"Type": "Task", "Resource": CHILD, "Arguments": {"StateMachineArn": inner}}
    machine = machines.create("deleted", waiting.before("Call") | {"Call": {**call, "End": True}})
    execution = machines.start(machine)
    _, token = waiting.asked()
    states.delete_state_machine(stateMachineArn=machine)
    assert states.describe_state_machine(stateMachineArn=machine)["status"] == "DELETING"
    assert states.describe_execution(executionArn=execution)["status"] == "RUNNING"
    with pytest.raises(states.exceptions.StateMachineDeleting):
        machines.start(machine)
    states.send_task_success(taskToken=token, output="1")
    assert machines.is_gone(machine)
    assert machines.executions(inner) == []
    assert machines.run(machines.create("deleted", {"Again": {"Type": "Succeed"}}))


def test_an_execution_is_redriven_within_14_days_and_with_room_in_its_history(
    machines: Machines,
) -> None:
    """As AWS words it.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
    """
    now = datetime.now(UTC)
    record: dict[str, Any] = {
        "status": "FAILED",
        "stateMachineArn": machines.create("m", {"End": {"Type": "Succeed"}}),
        "stopDate": (now - timedelta(days=13.9)).isoformat(),
        "events": [{}] * 24_998,
    }
    for change, reason in (
        ({}, None),
        ({"status": "RUNNING"}, "Execution is RUNNING and cannot be redriven"),
        ({"status": "SUCCEEDED"}, "Execution is SUCCEEDED and cannot be redriven"),
        ({"events": [{}] * 24_999}, "Execution history event limit exceeded"),
        (
            {"stopDate": (now - timedelta(days=14.1)).isoformat()},
            "Execution redrivable period exceeded",
        ),
    ):
        with machines.cloud.scope():
            assert redrive.refusal(record | change) == reason
