"""A pipeline: the order of its steps, what they are given, what their ends become, its grants."""

import json
from typing import Any

import pytest

from components import ScheduledPipeline, ScheduledPipelineArgs, StepArgs
from tests.components.expressions import CONTEXT, check_structure, choose, evaluate
from tests.components.parts import (
    GROUP,
    LOG_DELIVERY,
    SCHEDULE,
    allows,
    names,
    outputs,
    queue_policy,
    trusts,
)
from tests.recorder import ACCOUNT, REGION, Recording, deploy, one

PREFIX = f"arn:aws:states:{REGION}:{ACCOUNT}"
OWN = f"{PREFIX}:stateMachine:fargate-batch-dev-pipeline-nightly"
EXECUTION = f"{PREFIX}:execution:load:1"
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:nightly-dead-letters-1a2b3c4"
ME = CONTEXT["Execution"]["Id"]


def step(job: str, **more: Any) -> Any:  # noqa: ANN401 any key of the Args
    return {"job": job, "state_machine_arn": f"{PREFIX}:stateMachine:{job}", **more}


EXTRACT = step("extract", commands=["from1", "{% 1 %}"], environment={"ENV": "{% $x %}"})
LOAD, NOTIFY = step("load"), step("notify", on_failure="continue")


def pipeline(
    steps: list[list[StepArgs]],
    *,
    preview: bool = False,
    **more: Any,  # noqa: ANN401 any key of the Args
) -> Recording:
    args: ScheduledPipelineArgs = {"schedule": SCHEDULE, "steps": steps}
    merged: Any = {**args, **more}
    return deploy(lambda: ScheduledPipeline("nightly", merged), preview=preview)


def definition(steps: list[list[StepArgs]], **more: Any) -> dict[str, Any]:  # noqa: ANN401 any key of the Args
    return one(pipeline(steps, **more).resources, type="StateMachine").document("definition")


def test_steps_run_one_after_the_other() -> None:
    states = definition([[EXTRACT], [LOAD], [NOTIFY]], overlap="allow")["States"]
    then, told = choose(states["Begin"], input={})
    order = ["Begin", then, choose(states[then], **told)[0]]
    while "Next" in states[order[-1]]:
        order.append(states[order[-1]]["Next"])
    assert order == ["Begin", "FromStep", "Step1", "Step2", "Step3", "Done"]
    jobs = [states[name]["Arguments"]["StateMachineArn"] for name in order[2:-1]]
    assert jobs == [f"{PREFIX}:stateMachine:{job}" for job in ("extract", "load", "notify")]
    resources = {states[name]["Resource"] for name in order[2:-1]}
    assert resources == {"arn:aws:states:::states:startExecution.sync:2"}


def test_a_step_is_given_exactly_what_the_stack_says() -> None:
    tags = {"cost": "{% $states.context %}"}
    states = definition([[EXTRACT], [LOAD]], tags=tags)["States"]
    started_by = {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": ME, "tags": tags}
    assert evaluate(states["Step1"]["Arguments"]["Input"], upload={}) == {
        "commands": ["from1", "{% 1 %}"],
        "environment": {"ENV": "{% $x %}"},
        **started_by,
    }
    assert evaluate(states["Step2"]["Arguments"]["Input"], upload={}) == {
        "environment": {},
        **started_by,
    }


UPLOAD = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {
        "bucket": {"name": "uploads"},
        "object": {"key": "取込/注文.csv", "size": 9, "etag": "0a", "sequencer": "00"},
    },
}


def test_each_step_is_told_of_the_upload_that_started_the_run() -> None:
    own = step("own", environment={"BUCKET": "elsewhere", "MODE": "  full"})
    states = definition([[LOAD], [NOTIFY, own]])["States"]
    _, begun = choose(states["Begin"], input=UPLOAD)
    told = {
        "BUCKET": "uploads",
        "OBJECT_KEY": "取込/注文.csv",
        "OBJECT_VERSION": "",
        "OBJECT_SIZE": "9",
        "OBJECT_ETAG": "0a",
        "OBJECT_SEQUENCER": "00",
    }
    assert begun == {"results": [], "upload": told, "fromStep": 1, "kept": []}
    given = evaluate(states["Step1"]["Arguments"]["Input"], **begun)
    assert given["environment"] == told
    branches = [branch["States"] for branch in states["Step2"]["Branches"]]
    [notified, started] = [
        evaluate(branch[f"Step2Member{number}"]["Arguments"]["Input"], **begun)["environment"]
        for number, branch in enumerate(branches, start=1)
    ]
    assert notified == told
    assert started == {**told, "BUCKET": "elsewhere", "MODE": "  full"}


@pytest.mark.parametrize("given", [None, [UPLOAD], {}, {"source": "aws.s3"}, "text"])
def test_a_run_that_no_upload_started_tells_of_none(given: object) -> None:
    begin = definition([[LOAD]])["States"]["Begin"]
    _, begun = choose(begin, input=given)
    assert begun == {"results": [], "upload": {}, "fromStep": 1, "kept": []}


def test_a_run_of_an_upload_that_is_excluded_ends_well_at_once() -> None:
    found = definition([[LOAD]], exclusions={"in": ["*.csv"]}, overlap="allow")
    begin = found["States"]["Begin"]
    assert choose(begin, input={"upload": "in", **UPLOAD})[0] == "Excluded"
    assert choose(begin, input={"upload": "other", **UPLOAD})[0] == "Step1"
    assert choose(begin, input=UPLOAD)[0] == "Step1"
    check_structure(found)


def test_a_pipeline_without_a_schedule_has_none_and_no_queue_for_it() -> None:
    recording = pipeline([[LOAD]], schedule=None)
    assert names(recording, "ScheduledPipeline") == {
        ("LogGroup", "nightly"),
        ("Role", "nightly-pipeline"),
        ("RolePolicy", "nightly-pipeline"),
        ("StateMachine", "nightly"),
    }
    assert outputs(recording, "ScheduledPipeline") == {
        "state_machine_arn": OWN,
        "schedule_arn": "",
    }


SUCCEEDED = {"ExecutionArn": EXECUTION, "Output": {"exitCode": 0}, "Status": "SUCCEEDED"}
LOADED = {"job": "load", "status": "SUCCEEDED", "execution": EXECUTION, "output": {"exitCode": 0}}


def test_results_are_gathered_in_order() -> None:
    states = definition([[LOAD], [LOAD, NOTIFY], [LOAD]])["States"]
    first = evaluate(states["Step1"]["Assign"], result=SUCCEEDED, results=[])
    assert first == {"results": [LOADED]}
    second = evaluate(states["Step2"]["Assign"], result=[LOADED, {"job": "notify"}], **first)
    assert second == {"results": [LOADED, [LOADED, {"job": "notify"}]]}
    third = evaluate(states["Step3"]["Assign"], result=SUCCEEDED, **second)
    assert evaluate(states["Done"]["Output"], **third) == {
        "steps": [LOADED, [LOADED, {"job": "notify"}], LOADED]
    }


DONE = {"job": "load", "status": "SUCCEEDED", "execution": EXECUTION, "output": {}}
GONE_ON = {"job": "notify", "status": "FAILED", "error": "e", "cause": "c", "execution": "x"}


@pytest.mark.parametrize(
    ("given", "begins", "results", "kept"),
    [
        ({"fromStep": 1}, 1, [], []),
        ({"fromStep": 1, "results": [None]}, 1, [], []),
        ({"fromStep": 2}, 2, [{"job": "load", "status": "SKIPPED"}], []),
        ({"fromStep": 2, "results": [DONE]}, 2, [DONE], []),
        ({"fromStep": 2, "results": [DONE, [DONE, None]]}, 2, [DONE], [DONE, None]),
        ({"fromStep": 2, "results": [None, [GONE_ON, DONE]]}, 2, [None], [GONE_ON, DONE]),
        ({"fromStep": 3, "results": [DONE]}, 3, [DONE, None], []),
        ({"fromStep": 3, "results": [DONE, [DONE, GONE_ON]]}, 3, [DONE, [DONE, GONE_ON]], []),
        ({"results": [DONE]}, 1, [], []),
    ],
    ids=str,
)
@pytest.mark.parametrize("overlap", ["skip", "allow"])
def test_a_run_begins_with_a_later_step_and_keeps_the_results_of_those_before(
    given: dict[str, Any], begins: int, results: list[Any], kept: list[Any], overlap: str
) -> None:
    skipped: list[Any] = [
        {"job": "load", "status": "SKIPPED"},
        [{"job": "load", "status": "SKIPPED"}, {"job": "notify", "status": "SKIPPED"}],
    ]
    states = definition([[LOAD], [LOAD, NOTIFY], [LOAD]], overlap=overlap)["States"]
    then, told = choose(states["Begin"], input={"other": 1, **given})
    assert then == ("ListRunning" if overlap == "skip" else "FromStep")
    assert told == {
        "fromStep": begins,
        "results": [one or skipped[number] for number, one in enumerate(results)],
        "kept": kept,
        "upload": {},
    }
    assert choose(states["FromStep"], **told)[0] == f"Step{begins}"


@pytest.mark.parametrize(
    "given",
    [
        *({"fromStep": step} for step in (0, -1, 4, 1.5, "2", None, True, [2])),
        {"fromStep": 2, "results": "SUCCEEDED"},
        {"fromStep": 2, "results": [DONE, [DONE], DONE]},
    ],
    ids=str,
)
def test_a_step_that_there_is_not_is_refused(given: dict[str, Any]) -> None:
    states = definition([[LOAD], [LOAD, NOTIFY], [LOAD]])["States"]
    assert choose(states["Begin"], input=given)[0] == "RefuseInput"
    assert '"fromStep": 1 to 3' in states["RefuseInput"]["Cause"]


def test_of_a_step_that_failed_only_what_did_not_succeed_is_run_again() -> None:
    states = definition([[LOAD], [LOAD, NOTIFY]])["States"]
    load, notify = states["Step2"]["Branches"]

    def first(branch: dict[str, Any], **told: Any) -> str:  # noqa: ANN401 JSON
        return choose(branch["States"][branch["StartAt"]], **told)[0]

    again: dict[str, Any] = {"fromStep": 2, "kept": [DONE, GONE_ON]}
    assert first(load, **again) == "Step2Member1Kept"
    assert evaluate(load["States"]["Step2Member1Kept"]["Output"], **again) == DONE
    assert first(notify, **again) == "Step2Member2"
    for told in (
        {"fromStep": 1, "kept": [DONE, GONE_ON]},
        {"fromStep": 2, "kept": []},
        {"fromStep": 2, "kept": [None, DONE]},
        {"fromStep": 2, "kept": [DONE | {"job": "another"}]},
    ):
        assert first(load, **told) == "Step2Member1"


def test_each_step_ends_with_its_result() -> None:
    states = definition([[LOAD], [NOTIFY], [LOAD, NOTIFY]])["States"]
    assert evaluate(states["Step1"]["Output"], result=SUCCEEDED) == LOADED
    load = states["Step3"]["Branches"][0]["States"]["Step3Member1"]
    assert evaluate(load["Output"], result=SUCCEEDED) == LOADED
    error = {"Error": "States.Timeout"}
    told = evaluate(states["Step2"]["Catch"][0]["Output"], error=error)
    assert (told["job"], told["status"]) == ("notify", "FAILED")


CHILD = {"ExecutionArn": EXECUTION, "Status": "FAILED", "Error": "Batch.BadData", "Cause": "bad"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            {"Error": "States.TaskFailed", "Cause": json.dumps(CHILD)},
            {"error": "Batch.BadData", "cause": "bad", "execution": EXECUTION},
        ),
        (
            {
                "Error": "States.TaskFailed",
                "Cause": json.dumps({"ExecutionArn": EXECUTION, "Status": "TIMED_OUT"}),
            },
            {
                "error": "States.TIMED_OUT",
                "cause": json.dumps({"ExecutionArn": EXECUTION, "Status": "TIMED_OUT"}),
                "execution": EXECUTION,
            },
        ),
        (
            {"Error": "States.TaskFailed", "Cause": '{"ExecutionArn": "arn:cu'},
            {
                "error": "States.TaskFailed",
                "cause": '{"ExecutionArn": "arn:cu',
                "execution": "unknown",
            },
        ),
        (
            {"Error": "StepFunctions.AccessDeniedException", "Cause": "no"},
            {
                "error": "StepFunctions.AccessDeniedException",
                "cause": "no",
                "execution": "unknown",
            },
        ),
        (
            {"Error": "States.Timeout"},
            {"error": "States.Timeout", "cause": "", "execution": "unknown"},
        ),
    ],
    ids=["failed", "timed out", "cut", "not allowed", "no cause"],
)
def test_a_failed_step_is_told_as_its_execution_ended(
    error: dict[str, str], told: dict[str, str]
) -> None:
    states = definition([[LOAD], [NOTIFY], [LOAD, NOTIFY]])["States"]
    why = (
        f"Step 1 (job load) failed with {told['error']}, so the steps after it were not run. "
        f"Its execution: {told['execution']}. Its cause: {told['cause']}"
    )

    stops = states["Step1"]["Catch"][0]
    assert stops["Next"] == "StepFailed"
    failure = evaluate(stops["Assign"], error=error)
    assert failure == {"failure": {"error": "Pipeline.StepFailed", "cause": why}}
    assert evaluate(states["StepFailed"]["Error"], **failure) == "Pipeline.StepFailed"
    assert evaluate(states["StepFailed"]["Cause"], **failure) == why

    goes_on = states["Step2"]["Catch"][0]
    assert goes_on["Next"] == "Step3"
    notified = {"job": "notify", "status": "FAILED", **told}
    assert evaluate(goes_on["Assign"], error=error, results=[LOADED]) == {
        "results": [LOADED, notified]
    }

    stopping, going_on = states["Step3"]["Branches"]
    catches = stopping["States"]["Step3Member1"]["Catch"][0]
    end = stopping["States"][catches["Next"]]
    caught = evaluate(catches["Assign"], error=error)
    assert end["Type"] == "Fail"
    assert evaluate(end["Error"], **caught) == "Pipeline.StepFailed"
    assert evaluate(end["Cause"], **caught) == why.replace("Step 1", "Step 3")
    told_of = evaluate(states["Step3"]["Catch"][0]["Assign"], error={"Error": "E", "Cause": "C"})
    assert told_of == {"failure": {"error": "E", "cause": "C"}}
    caught = evaluate(going_on["States"]["Step3Member2"]["Catch"][0]["Output"], error=error)
    assert caught == notified


def test_those_beside_a_step_that_finishes_end_before_the_pipeline_fails() -> None:
    finishing, going_on = step("finishing", on_failure="finish"), step("b", on_failure="continue")
    states = definition([[finishing, going_on, finishing], [LOAD]])["States"]
    [first, second, third] = states["Step1"]["Branches"]
    for branch, member in ((first, 1), (second, 2), (third, 3)):
        catches = branch["States"][f"Step1Member{member}"]["Catch"][0]
        assert branch["States"][catches["Next"]] == {"Type": "Pass", "End": True}
    failed = evaluate(
        first["States"]["Step1Member1"]["Catch"][0]["Output"],
        error={"Error": "States.TaskFailed", "Cause": json.dumps(CHILD)},
    )
    assert states["Step1"]["Next"] == "Step1Ended"
    ended = states["Step1Ended"]
    assert choose(ended, input=[LOADED, failed, LOADED])[0] == "Step2"
    why = (
        "Step 1 (job finishing) failed with Batch.BadData, so the steps after it were not run. "
        f"Its execution: {EXECUTION}. Its cause: bad"
    )
    for results in ([failed, LOADED, LOADED], [LOADED, failed, failed]):
        assert choose(ended, input=results) == (
            "StepFailed",
            {"failure": {"error": "Pipeline.StepFailed", "cause": why}},
        )


WARNED = {**LOADED, "output": {"exitCode": 4, "warning": "exit code 4"}}


def test_a_pipeline_stops_at_a_warning_where_it_is_to() -> None:
    heeding = step("load", on_warning="stop")
    states = definition([[heeding], [LOAD], [heeding, LOAD]])["States"]
    assert states["Step2"]["Next"] == "Step3"
    why = (
        "Step {} (job load) ended with a warning, exit code 4, so the steps after it were not run. "
        f"Its execution: {EXECUTION}"
    )
    assert states["Step1"]["Next"] == "Step1Ended"
    told = {"failure": {"error": "Pipeline.StepWarned", "cause": why.format(1)}}
    assert choose(states["Step1Ended"], input=WARNED) == ("StepFailed", told)
    for result in (LOADED, {**LOADED, "output": "warning"}):
        assert choose(states["Step1Ended"], input=result)[0] == "Step2"

    member = states["Step3"]["Branches"][0]["States"]
    is_warned = member[member["Step3Member1"]["Next"]]
    then, told = choose(is_warned, input=WARNED)
    assert member[then]["Type"] == "Fail"
    assert evaluate(member[then]["Error"], **told) == "Pipeline.StepWarned"
    assert evaluate(member[then]["Cause"], **told) == why.format(3)
    assert member[choose(is_warned, input=LOADED)[0]] == {"Type": "Pass", "End": True}


def run(name: str, second: int) -> dict[str, str]:
    return {
        "ExecutionArn": f"{PREFIX}:execution:nightly:{name}",
        "StartDate": f"2030-01-01T00:00:0{second}.000Z",
    }


@pytest.mark.parametrize(
    ("running", "earlier"),
    [
        ([], []),
        ([{"ExecutionArn": ME, "StartDate": "2030-01-01T00:00:05.000Z"}], []),
        ([run("a", 4)], [run("a", 4)["ExecutionArn"]]),
        ([run("a", 6)], []),
        # Of two that started at once, one must go on.
        ([run("a", 5)], [run("a", 5)["ExecutionArn"]] if run("a", 5)["ExecutionArn"] < ME else []),
        ([run("z", 5)], [run("z", 5)["ExecutionArn"]] if run("z", 5)["ExecutionArn"] < ME else []),
        ([run("b", 2), run("a", 3)], [run("b", 2)["ExecutionArn"], run("a", 3)["ExecutionArn"]]),
    ],
    ids=lambda value: json.dumps(value)[-60:],
)
def test_a_run_is_skipped_while_an_earlier_one_runs(
    running: list[dict[str, str]], earlier: list[str]
) -> None:
    states = definition([[LOAD], [LOAD]])["States"]
    then, told = choose(states["Begin"], input={})
    assert then == "ListRunning"
    found = evaluate(states["ListRunning"]["Assign"], result={"Executions": running})
    assert found == {"earlier": earlier}
    for first, where in ((told["fromStep"], "Step1"), (2, "FromStep")):
        reached = choose(states["IsRunning"], **found, fromStep=first)[0]
        assert reached == ("Skip" if earlier else where)
    if earlier:
        assert evaluate(states["Skip"]["Output"], **found) == {
            "skipped": True,
            "running": earlier[-1],
        }


def test_it_asks_for_runs_of_itself_only() -> None:
    arguments = definition([[LOAD]])["States"]["ListRunning"]["Arguments"]
    assert evaluate(arguments) == {
        "StateMachineArn": CONTEXT["StateMachine"]["Id"],
        "StatusFilter": "RUNNING",
    }


@pytest.mark.parametrize("overlap", ["skip", "allow"])
@pytest.mark.parametrize(
    "steps",
    [
        [[LOAD]],
        [[NOTIFY]],
        [[EXTRACT], [LOAD, NOTIFY], [LOAD]],
        [[LOAD] * 40] * 3,
        [[{**NOTIFY, "on_warning": "stop"}]],
        [
            [{**LOAD, "on_failure": failure, "on_warning": warning}]
            for failure in ("stop", "continue")
            for warning in ("stop", "continue")
        ],
        [
            [{**LOAD, "on_failure": failure, "on_warning": warning}, LOAD]
            for failure in ("stop", "continue", "finish")
            for warning in ("stop", "continue")
        ],
        [[{**LOAD, "on_failure": "finish"}] * 2],
    ],
    ids=str,
)
def test_every_definition_holds_together(steps: list[list[StepArgs]], overlap: str) -> None:
    check_structure(definition(steps, overlap=overlap))


@pytest.mark.parametrize("overlap", ["skip", "allow"])
def test_it_may_start_and_watch_its_jobs_only(overlap: str) -> None:
    recording = pipeline([[EXTRACT], [LOAD, EXTRACT]], overlap=overlap)
    rule = "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
    lists = {"Effect": "Allow", "Action": "states:ListExecutions", "Resource": OWN}
    policy = one(recording.resources, type="RolePolicy", name="nightly-pipeline")
    assert policy.document("policy") == allows(
        {
            "Effect": "Allow",
            "Action": "states:StartExecution",
            "Resource": [f"{PREFIX}:stateMachine:extract", f"{PREFIX}:stateMachine:load"],
        },
        {
            "Effect": "Allow",
            "Action": ["states:DescribeExecution", "states:StopExecution"],
            "Resource": [f"{PREFIX}:execution:extract:*", f"{PREFIX}:execution:load:*"],
        },
        {
            "Effect": "Allow",
            "Action": ["events:PutTargets", "events:PutRule", "events:DescribeRule"],
            "Resource": f"arn:aws:events:{REGION}:{ACCOUNT}:{rule}",
        },
        *([lists] if overlap == "skip" else []),
        LOG_DELIVERY,
    )
    role = one(recording.resources, type="Role", name="nightly-pipeline")
    assert role.document("assumeRolePolicy") == trusts(
        "states.amazonaws.com", ArnLike={"aws:SourceArn": f"{OWN}*"}
    )


def test_its_schedule_starts_it_as_told() -> None:
    when: Any = {
        **SCHEDULE,
        "timezone": "Asia/Tokyo",
        "enabled": False,
        "flexible_minutes": 15,
        "start": "2030-01-01T00:00:00Z",
        "end": "2031-01-01T00:00:00Z",
        "retries": 3,
        "maximum_age_seconds": 600,
    }
    recording = pipeline([[LOAD]], schedule=when)
    assert one(recording.resources, type="Schedule").inputs == {
        "groupName": "stack",
        "scheduleExpression": "cron(0 10 * * ? *)",
        "scheduleExpressionTimezone": "Asia/Tokyo",
        "state": "DISABLED",
        "flexibleTimeWindow": {"mode": "FLEXIBLE", "maximumWindowInMinutes": 15},
        "startDate": "2030-01-01T00:00:00Z",
        "endDate": "2031-01-01T00:00:00Z",
        "target": {
            "arn": OWN,
            "input": (
                '{"schedule": "<aws.scheduler.schedule-arn>",'
                ' "scheduledTime": "<aws.scheduler.scheduled-time>"}'
            ),
            "roleArn": f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/nightly-schedule-1a2b3c4",
            "deadLetterConfig": {"arn": QUEUE_ARN},
            "retryPolicy": {"maximumEventAgeInSeconds": 600, "maximumRetryAttempts": 3},
        },
    }


def test_a_schedule_fires_at_its_time_in_utc_unless_told_otherwise() -> None:
    made = one(pipeline([[LOAD]]).resources, type="Schedule").inputs
    assert made["scheduleExpressionTimezone"] == "UTC"
    assert made["state"] == "ENABLED"
    assert made["flexibleTimeWindow"] == {"mode": "OFF"}
    assert made["target"]["retryPolicy"] == {
        "maximumEventAgeInSeconds": 3600,
        "maximumRetryAttempts": 185,
    }
    assert not {"startDate", "endDate"} & set(made)


def test_the_schedule_may_start_the_pipeline_and_write_dead_letters() -> None:
    recording = pipeline([[LOAD]])
    role = one(recording.resources, type="Role", name="nightly-schedule")
    assert role.document("assumeRolePolicy") == trusts(
        "scheduler.amazonaws.com", ArnEquals={"aws:SourceArn": GROUP}
    )
    policy = one(recording.resources, type="RolePolicy", name="nightly-schedule")
    assert policy.document("policy") == allows(
        {"Effect": "Allow", "Action": "states:StartExecution", "Resource": OWN},
    )
    queue = one(recording.resources, type="Queue")
    assert queue.document("policy") == queue_policy(
        role=f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/nightly-schedule-1a2b3c4"
    )
    assert policy.urn in one(recording.resources, type="Schedule").depends_on


@pytest.mark.parametrize("preview", [False, True])
def test_its_children_are_its_own(*, preview: bool) -> None:
    assert names(pipeline([[LOAD]], preview=preview), "ScheduledPipeline") == {
        ("LogGroup", "nightly"),
        ("Queue", "nightly-dead-letters"),
        ("Role", "nightly-pipeline"),
        ("Role", "nightly-schedule"),
        ("RolePolicy", "nightly-pipeline"),
        ("RolePolicy", "nightly-schedule"),
        ("Schedule", "nightly"),
        ("StateMachine", "nightly"),
    }


def test_a_pipeline_may_be_named_like_another_ones_schedule() -> None:
    def build() -> None:
        args: ScheduledPipelineArgs = {"schedule": SCHEDULE, "steps": [[LOAD]]}
        for name in ("nightly", "nightly-schedule", "nightly-pipeline", "nightly-dead-letters"):
            ScheduledPipeline(name, args)

    assert len({r.urn for r in deploy(build).resources}) == 4 * 9


def test_it_puts_out_its_state_machine_and_its_schedule() -> None:
    assert outputs(pipeline([[LOAD]]), "ScheduledPipeline") == {
        "state_machine_arn": OWN,
        "schedule_arn": f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/stack/nightly-1a2b3c4",
        "dead_letter_queue_name": "nightly-dead-letters-1a2b3c4",
    }
