"""The task event logger's handler: real-shaped events in, whole lines out."""

import copy
import json
import math
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components._queries import QUERIES
from lambdas.task_events import handler as task_events
from lambdas.task_events.handler import LINE_LIMIT, handler

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "tests" / "events"
TASK = "8d3f1c0b5a7e4c62b9f00e1d2c3b4a59"
TASK_ARN = f"arn:aws:ecs:ap-northeast-1:111122223333:task/batch-dev/{TASK}"
STARTED = "2026-03-02T01:10:31Z"
EXECUTION = "4e2c7a90-1b35-4f08-9d6e-a7c1f2b38e10"


def load(name: str) -> dict[str, Any]:
    return json.loads((EVENTS / f"task-{name}.json").read_text())


def changed(name: str, **detail: object) -> dict[str, Any]:
    event = load(name)
    event["detail"].update(detail)
    return event


def ran(name: str, exit_code: int | None) -> dict[str, Any]:
    event = load(name)
    event["detail"]["containers"][0]["exitCode"] = exit_code
    return event


class Log:
    """Hands events to the handler and reads back the one line that each must make."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def text(self, event: object) -> str:
        handler(event, None)
        printed = self.capsys.readouterr()
        assert printed.err == ""
        assert printed.out.endswith("\n")
        (line,) = printed.out.splitlines()
        assert line.isascii()
        assert len(line) <= LINE_LIMIT
        return line

    def line(self, event: object) -> dict[str, Any]:
        return json.loads(self.text(event), parse_constant=pytest.fail)

    def fields(self, event: object) -> dict[str, Any]:
        line = self.line(event)
        del line["event"]
        return line


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr(task_events, "KEEP_EVENT", True)
    monkeypatch.setattr(task_events, "FAMILY_PREFIX", "")
    return Log(capsys)


SUCCEEDED = {
    "level": "INFO",
    "message": f"Task {TASK} (ingest) succeeded after 42.75 s.",
    "time": "2026-03-02T01:11:38Z",
    "taskId": TASK,
    "taskArn": TASK_ARN,
    "cluster": "batch-dev",
    "family": "ingest",
    "revision": 7,
    "job": "ingest",
    "lastStatus": "STOPPED",
    "desiredStatus": "STOPPED",
    "version": 5,
    "outcome": "succeeded",
    "exitCode": 0,
    "stopCode": "EssentialContainerExited",
    "stoppedReason": "Essential container in task exited",
    "containers": [{"name": "ingest", "exitCode": 0, "reason": None, "lastStatus": "STOPPED"}],
    "startedBy": EXECUTION,
    "trigger": {"kind": "execution", "name": EXECUTION},
    "object": {"bucket": "uploads-dev-0a1b2c", "key": "target/sales 2026.csv"},
    "createdAt": "2026-03-02T01:09:58.120Z",
    "stoppedAt": "2026-03-02T01:11:38.300Z",
    "waitedSeconds": 22.5,
    "pulledSeconds": 8.25,
    "ranSeconds": 42.75,
    "cpu": 512,
    "memory": 1024,
    "architecture": "arm64",
    "capacityProvider": "FARGATE",
}


def test_a_task_that_succeeded_is_one_line_with_the_whole_event_masked(log: Log) -> None:
    event = load("succeeded")
    kept = copy.deepcopy(event)
    kept["detail"]["overrides"]["containerOverrides"][0]["environment"] = [
        {"name": "BUCKET", "value": "***"},
        {"name": "OBJECT_KEY", "value": "***"},
    ]
    assert log.line(event) == SUCCEEDED | {"event": kept}
    assert event == load("succeeded")


def test_the_fields_come_before_the_event(log: Log) -> None:
    assert list(log.line(load("succeeded"))) == [*SUCCEEDED, "event"]


def test_every_change_of_one_task_is_a_line_with_its_version(log: Log) -> None:
    names = ("provisioning", "pending", "running", "deprovisioning", "succeeded")
    started: dict[str, Any] = {
        "desiredStatus": "RUNNING",
        "outcome": None,
        "exitCode": None,
        "stopCode": None,
        "stoppedReason": None,
        "stoppedAt": None,
        "ranSeconds": None,
    }
    waiting = started | {"waitedSeconds": None, "pulledSeconds": None}

    def at(status: str, version: int, time: str, container: str) -> dict[str, Any]:
        return {
            "message": f"Task {TASK} (ingest) is {status}.",
            "time": time,
            "lastStatus": status,
            "version": version,
            "containers": [
                {"name": "ingest", "exitCode": None, "reason": None, "lastStatus": container}
            ],
        }

    deprovisioning = at("DEPROVISIONING", 4, "2026-03-02T01:11:14Z", "STOPPED")
    deprovisioning["containers"] = SUCCEEDED["containers"]
    deprovisioning["stoppedAt"] = None
    assert [log.fields(load(name)) for name in names] == [
        SUCCEEDED | waiting | at("PROVISIONING", 1, "2026-03-02T01:10:00Z", "PENDING"),
        SUCCEEDED | waiting | at("PENDING", 2, "2026-03-02T01:10:08Z", "PENDING"),
        SUCCEEDED | started | at("RUNNING", 3, "2026-03-02T01:10:31Z", "RUNNING"),
        SUCCEEDED | {"outcome": None} | deprovisioning,
        SUCCEEDED,
    ]


def test_duplicated_and_out_of_order_events_make_the_same_lines(log: Log) -> None:
    names = ("succeeded", "provisioning", "running", "provisioning", "succeeded")
    texts = [log.text(load(name)) for name in names]
    assert [json.loads(text)["version"] for text in texts] == [5, 1, 3, 1, 5]
    assert texts[0] == texts[4]
    assert texts[1] == texts[3]


def test_a_task_that_failed_is_an_error_that_says_what_its_exit_code_means(log: Log) -> None:
    assert log.fields(load("failed")) == SUCCEEDED | {
        "level": "ERROR",
        "message": f"Task {TASK} (ingest) failed: exit code 65 (bad data): "
        "Essential container in task exited",
        "outcome": "failed",
        "exitCode": 65,
        "containers": [{"name": "ingest", "exitCode": 65, "reason": None, "lastStatus": "STOPPED"}],
        "startedBy": "events-rule/batch-dev-complete-uplo",
        "trigger": {"kind": "rule", "name": "batch-dev-complete-uplo"},
        "object": {"bucket": "uploads-dev-0a1b2c", "key": "test/aaa/complete.txt"},
    }


def test_a_task_that_never_started_is_an_error_that_says_why(log: Log) -> None:
    reason = (
        "CannotPullContainerError: pull image manifest has been retried 5 time(s): "
        "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/batch:1: not found"
    )
    own = "CannotPullContainerError: image not found"
    assert log.fields(load("never-started")) == SUCCEEDED | {
        "level": "ERROR",
        "message": f"Task {TASK} (ingest) never started: {reason}; {own}",
        "time": "2026-03-02T01:10:52Z",
        "version": 3,
        "outcome": "never-started",
        "exitCode": None,
        "stopCode": "TaskFailedToStart",
        "stoppedReason": reason,
        "containers": [
            {"name": "ingest", "exitCode": None, "reason": own, "lastStatus": "STOPPED"}
        ],
        "startedBy": "chronos-schedule/hello-every-minute-",
        "trigger": {"kind": "schedule", "name": "hello-every-minute-"},
        "object": None,
        "stoppedAt": "2026-03-02T01:10:52.000Z",
        "pulledSeconds": 20.38,
        "ranSeconds": None,
    }


def test_a_task_that_spot_took_back_is_interrupted(log: Log) -> None:
    assert log.fields(load("interrupted")) == SUCCEEDED | {
        "message": f"Task {TASK} (ingest) was interrupted (SpotInterruption): "
        "Your Spot Task was interrupted.",
        "outcome": "interrupted",
        "exitCode": 143,
        "stopCode": "SpotInterruption",
        "stoppedReason": "Your Spot Task was interrupted.",
        "containers": [
            {"name": "ingest", "exitCode": 143, "reason": None, "lastStatus": "STOPPED"}
        ],
        "startedBy": "AWS Step Functions",
        "trigger": {"kind": "execution", "name": None},
        "capacityProvider": "FARGATE_SPOT",
    }


def test_a_task_that_somebody_stopped_is_told_by_the_jobs_container(log: Log) -> None:
    assert log.fields(load("stopped")) == SUCCEEDED | {
        "message": f"Task {TASK} (ingest) was stopped (UserInitiated): Task stopped by user",
        "outcome": "stopped",
        "exitCode": 137,
        "stopCode": "UserInitiated",
        "stoppedReason": "Task stopped by user",
        "containers": [
            {
                "name": "aws-guardduty-agent-9k2h7x",
                "exitCode": 0,
                "reason": None,
                "lastStatus": "STOPPED",
            },
            {"name": "ingest", "exitCode": 137, "reason": None, "lastStatus": "STOPPED"},
        ],
        "startedBy": None,
        "trigger": {"kind": "other", "name": None},
    }


@pytest.mark.parametrize(
    ("stop_code", "exit_code", "started_at", "ending"),
    [
        ("EssentialContainerExited", 0, STARTED, ("INFO", "succeeded")),
        ("EssentialContainerExited", 1, STARTED, ("ERROR", "failed")),
        ("EssentialContainerExited", None, STARTED, ("ERROR", "failed")),
        (None, 0, STARTED, ("INFO", "succeeded")),
        ("SomethingNew", 2, STARTED, ("ERROR", "failed")),
        ("TaskFailedToStart", None, None, ("ERROR", "never-started")),
        ("TaskFailedToStart", None, STARTED, ("ERROR", "never-started")),
        ("EssentialContainerExited", None, None, ("ERROR", "never-started")),
        ("SpotInterruption", None, None, ("ERROR", "never-started")),
        ("SpotInterruption", 0, STARTED, ("INFO", "interrupted")),
        ("TerminationNotice", 143, STARTED, ("INFO", "interrupted")),
        ("InfrastructureHealth", None, STARTED, ("INFO", "interrupted")),
        ("UserInitiated", None, None, ("INFO", "stopped")),
        ("ServiceSchedulerInitiated", 137, STARTED, ("INFO", "stopped")),
    ],
)
def test_the_outcome_follows_from_stop_code_exit_code_and_start(
    log: Log,
    stop_code: str | None,
    exit_code: int | None,
    started_at: str | None,
    ending: tuple[str, str],
) -> None:
    event = ran("succeeded", exit_code)
    event["detail"].update(stopCode=stop_code, startedAt=started_at)
    line = log.line(event)
    assert (line["level"], line["outcome"]) == ending


@pytest.mark.parametrize(
    ("exit_code", "happened"),
    [
        (0, "succeeded after 42.75 s."),
        (1, "failed: exit code 1: Essential container in task exited"),
        (66, "failed: exit code 66 (object gone): Essential container in task exited"),
        (
            137,
            "failed: exit code 137 (killed, or out of memory): Essential container in task exited",
        ),
        (None, "failed without an exit code: Essential container in task exited"),
    ],
)
def test_the_message_says_how_it_ended(log: Log, exit_code: int | None, happened: str) -> None:
    assert log.line(ran("succeeded", exit_code))["message"] == f"Task {TASK} (ingest) {happened}"


def test_a_message_without_a_reason_or_a_duration_is_still_a_sentence(log: Log) -> None:
    failed = changed("failed", stoppedReason=None)
    assert log.line(failed)["message"] == f"Task {TASK} (ingest) failed: exit code 65 (bad data)."
    succeeded = changed("succeeded", executionStoppedAt=None, stoppedAt=None)
    assert log.line(succeeded)["message"] == f"Task {TASK} (ingest) succeeded."


@pytest.mark.parametrize(
    ("started_by", "trigger"),
    [
        ("nightly_8a3c", {"kind": "execution", "name": "nightly_8a3c"}),
        ("AWS Step Functions", {"kind": "execution", "name": None}),
        ("events-rule/a/b", {"kind": "rule", "name": "a/b"}),
        ("chronos-schedule/hello", {"kind": "schedule", "name": "hello"}),
        ("ecs-svc/1234567890123456789", {"kind": "other", "name": "ecs-svc/1234567890123456789"}),
        ("", {"kind": "other", "name": None}),
        (7, {"kind": "other", "name": None}),
    ],
)
def test_the_trigger_comes_from_started_by(log: Log, started_by: object, trigger: object) -> None:
    assert log.line(changed("running", startedBy=started_by))["trigger"] == trigger


def test_the_group_tells_the_execution_that_started_by_does_not(log: Log) -> None:
    by_machine = {"startedBy": "AWS Step Functions", "group": f"execution:{EXECUTION}"}
    assert log.line(changed("running", **by_machine))["trigger"] == {
        "kind": "execution",
        "name": EXECUTION,
    }


def test_the_group_tells_the_schedule_that_started_by_cuts(log: Log) -> None:
    by_schedule = {"startedBy": "chronos-schedule/nightly-re", "group": "schedule:nightly-report"}
    assert log.line(changed("running", **by_schedule))["trigger"] == {
        "kind": "schedule",
        "name": "nightly-report",
    }


@pytest.mark.parametrize("group", ["family:ingest", "my-execution:1", "", None, 7])
def test_any_other_group_leaves_it_to_started_by(log: Log, group: object) -> None:
    event = changed("running", startedBy="events-rule/uploads", group=group)
    assert log.line(event)["trigger"] == {"kind": "rule", "name": "uploads"}


MACHINE = "arn:aws:states:ap-northeast-1:111122223333:execution:batch-dev-job-ingest"
UPLOAD = {"source": "aws.s3", "detail": {"bucket": {"name": "b"}, "object": {"key": "in/日 本\n"}}}
PARENT = "arn:aws:states:ap-northeast-1:111122223333:execution:batch-dev-pipeline-nightly:5c1"
SCHEDULE = "arn:aws:scheduler:ap-northeast-1:111122223333:schedule/batch-dev/nightly"


def execution(status: str, given: object = None, **detail: object) -> dict[str, Any]:
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "time": "2026-03-02T01:11:38Z",
        "detail": {
            "executionArn": f"{MACHINE}:{EXECUTION}",
            "status": status,
            "startDate": 1772413798120,
            "stopDate": None if status == "RUNNING" else 1772413898300,
            "input": json.dumps(given),
            "output": '{"secret": 1}',
            **detail,
        },
    }


def test_an_execution_is_a_line_without_what_passes_through_it(log: Log) -> None:
    line = log.line(execution("FAILED", UPLOAD, error="Batch.BadData", cause="Job ingest: no."))
    assert line == {
        "level": "ERROR",
        "message": f"Execution {EXECUTION} (batch-dev-job-ingest) failed: Batch.BadData: "
        "Job ingest: no.",
        "time": "2026-03-02T01:11:38Z",
        "execution": EXECUTION,
        "executionArn": f"{MACHINE}:{EXECUTION}",
        "machine": "batch-dev-job-ingest",
        "status": "FAILED",
        "error": "Batch.BadData",
        "cause": "Job ingest: no.",
        "trigger": {"kind": "upload", "name": None},
        "object": {"bucket": "b", "key": "in/日 本\n"},
        "startedAt": "2026-03-02T01:09:58.120+00:00",
        "stoppedAt": "2026-03-02T01:11:38.300+00:00",
    }


@pytest.mark.parametrize(
    ("given", "trigger"),
    [
        (UPLOAD, {"kind": "upload", "name": None}),
        (
            {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": PARENT, "commands": []},
            {"kind": "execution", "name": PARENT},
        ),
        (
            {"schedule": SCHEDULE, "scheduledTime": "2026-03-02T01:00:00Z"},
            {"kind": "schedule", "name": "nightly"},
        ),
        ({"commands": ["a"]}, {"kind": "other", "name": None}),
        ([], {"kind": "other", "name": None}),
    ],
)
def test_the_trigger_of_an_execution_comes_from_its_input(
    log: Log, given: object, trigger: object
) -> None:
    line = log.line(execution("RUNNING", given))
    assert (line["level"], line["trigger"], line["stoppedAt"]) == ("INFO", trigger, None)


@pytest.mark.parametrize(
    ("millis", "time"),
    [
        (0, "1970-01-01T00:00:00.000+00:00"),
        (1772413798120.5, "2026-03-02T01:09:58.120+00:00"),
        (99_999_999_999_000, "5138-11-16T09:46:39.000+00:00"),
        (1e14, None),
        (-1, None),
        ("0", None),
    ],
)
def test_the_times_of_an_execution_are_milliseconds(
    log: Log, millis: object, time: str | None
) -> None:
    assert log.line(execution("RUNNING", startDate=millis))["startedAt"] == time


def test_an_execution_whose_input_is_too_large_for_its_event_is_logged(log: Log) -> None:
    line = log.line(execution("SUCCEEDED", input=None))
    assert (line["level"], line["trigger"]["kind"], line["object"]) == ("INFO", "other", None)


def test_the_words_of_a_refused_input_are_kept(log: Log) -> None:
    words = 'Expected {"commands": [...], "environment": {...}}'
    assert log.line(execution("FAILED", error="Input.Invalid", cause=words))["cause"] == words
    assert log.line(execution("FAILED", error="Other", cause=words))["cause"] == "***"


def test_a_cause_is_cut_and_its_environment_masked(log: Log) -> None:
    child = json.dumps({"Input": json.dumps({"environment": {"PASSWORD": "hidden"}})})
    line = log.line(execution("FAILED", error="States.TaskFailed", cause=child))
    assert "hidden" not in json.dumps(line)
    assert "PASSWORD" in line["cause"]
    line = log.line(execution("FAILED", error="States.Runtime", cause="x" * 2000))
    assert line["cause"] == "x" * 2000
    line = log.line(execution("FAILED", error="States.Runtime", cause="x" * 5000))
    assert line["cause"] == "x" * 2000 + "... (3,000 more characters)"


def test_a_task_that_outlived_its_timeout_is_an_error(log: Log) -> None:
    line = log.line(changed("stopped", stoppedReason="Timed out after 3600 seconds"))
    assert (line["level"], line["outcome"], line["message"]) == (
        "ERROR",
        "timed-out",
        f"Task {TASK} (ingest) was stopped: Timed out after 3600 seconds",
    )


def test_only_a_stop_by_request_can_be_a_timeout(log: Log) -> None:
    event = changed("failed", stoppedReason="Timed out after 3600 seconds")
    assert log.line(event)["outcome"] == "failed"


@pytest.mark.parametrize(
    ("keep", "keeps"), [(None, True), ("true", True), ("false", False), ("False", False)]
)
def test_what_the_stack_says_is_read_when_the_function_starts(
    monkeypatch: pytest.MonkeyPatch, keep: str | None, *, keeps: bool
) -> None:
    prefix = "fargate-batch-dev-job-" if keep else ""
    for name, value in (("KEEP_EVENT", keep), ("FAMILY_PREFIX", prefix)):
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    started = runpy.run_path(str(ROOT / "lambdas" / "task_events" / "handler.py"))
    assert (started["KEEP_EVENT"], started["FAMILY_PREFIX"]) == (keeps, prefix)


@pytest.mark.parametrize(
    ("arn", "family", "revision"),
    [
        ("arn:aws:ecs:ap-northeast-1:111122223333:task-definition/a-b_c:12", "a-b_c", 12),
        ("arn:aws:ecs:ap-northeast-1:111122223333:task-definition/a:latest", "a", None),
        ("arn:aws:ecs:ap-northeast-1:111122223333:task-definition/a:" + "9" * 5000, "a", None),
        ("arn:aws:ecs:ap-northeast-1:111122223333:task-definition/a:" + "9" * 18, "a", 10**18 - 1),
        ("arn:aws:ecs:ap-northeast-1:111122223333:task-definition/a:" + "9" * 19, "a", None),
        ("arn:aws:ecs:ap-northeast-1:111122223333:task-definition/a", "a", None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_family_and_revision_come_from_the_task_definition(
    log: Log, arn: str | None, family: str | None, revision: int | None
) -> None:
    line = log.line(changed("running", taskDefinitionArn=arn))
    assert (line["family"], line["revision"]) == (family, revision)


@pytest.mark.parametrize(
    ("created", "pulled", "waited"),
    [
        ("2026-03-02T01:00:00Z", "2026-03-02T01:00:01.2345Z", 1.234),
        ("2026-03-02T10:00:00+09:00", "2026-03-02T01:00:02Z", 2.0),
        ("2026-03-02T01:00:02Z", "2026-03-02T01:00:02Z", 0.0),
        ("2026-03-02T01:00:02Z", "2026-03-02T01:00:00Z", None),
        ("2026-03-02T01:00:00", "2026-03-02T01:00:02Z", None),
        ("yesterday", "2026-03-02T01:00:02Z", None),
        (1772413200.0, "2026-03-02T01:00:02Z", None),
        (None, None, None),
    ],
)
def test_seconds_need_two_instants_in_order(
    log: Log, created: object, pulled: object, waited: float | None
) -> None:
    assert (
        log.line(changed("running", createdAt=created, pullStartedAt=pulled))["waitedSeconds"]
        == waited
    )


@pytest.mark.parametrize(
    "attributes",
    [None, [], {}, ["arm64"], [{"name": "other", "value": "arm64"}], [{"value": "arm64"}]],
)
def test_the_architecture_is_that_of_its_attribute(log: Log, attributes: object) -> None:
    assert log.line(changed("running", attributes=attributes))["architecture"] is None


def test_ran_seconds_fall_back_to_the_stop_of_the_task(log: Log) -> None:
    assert log.line(changed("succeeded", executionStoppedAt=None))["ranSeconds"] == 67.1


def test_the_event_is_left_out_where_the_stack_turns_it_off(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_events, "KEEP_EVENT", False)
    assert log.line(load("succeeded")) == SUCCEEDED


def test_an_event_without_containers_is_told_by_its_family(log: Log) -> None:
    event = load("succeeded")
    del event["detail"]["containers"]
    assert log.fields(event) == SUCCEEDED | {
        "level": "ERROR",
        "message": f"Task {TASK} (ingest) failed without an exit code: "
        "Essential container in task exited",
        "outcome": "failed",
        "exitCode": None,
        "containers": [],
    }


def test_an_unknown_status_is_a_warning_with_every_field(log: Log) -> None:
    assert log.fields(changed("succeeded", lastStatus="HIBERNATING")) == SUCCEEDED | {
        "level": "WARN",
        "message": f"Task {TASK} (ingest) is HIBERNATING, an unknown status.",
        "lastStatus": "HIBERNATING",
        "outcome": None,
    }


# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
@pytest.mark.parametrize(
    "status",
    [
        "PROVISIONING",
        "PENDING",
        "ACTIVATING",
        "RUNNING",
        "DEACTIVATING",
        "STOPPING",
        "DEPROVISIONING",
        "DELETED",
    ],
)
def test_a_status_of_ecs_is_known(log: Log, status: str) -> None:
    line = log.line(changed("running", lastStatus=status))
    assert (line["level"], line["message"]) == ("INFO", f"Task {TASK} (ingest) is {status}.")


@pytest.mark.parametrize(
    ("field", "value", "logged"),
    [
        ("version", 2**63 - 1, 2**63 - 1),
        ("version", 1 - 2**63, 1 - 2**63),
        ("version", -(2**63), None),
        ("cpu", "0", 0),
        ("cpu", "999999999", 999_999_999),
        ("cpu", "1000000000", None),
        ("memory", "-1", None),
        ("memory", "٣", None),
        ("memory", 512, None),
    ],
)
def test_a_number_is_one_that_any_reader_holds(
    log: Log, field: str, value: object, logged: int | None
) -> None:
    assert log.line(changed("running", **{field: value}))[field] == logged


def test_values_of_a_wrong_type_become_null(log: Log) -> None:
    event = {
        "time": 5,
        "detail": {
            "taskArn": "x",
            "lastStatus": "STOPPED",
            "desiredStatus": [],
            "clusterArn": {},
            "taskDefinitionArn": 3,
            "containers": [None, "ingest", {"name": 1, "exitCode": True, "reason": []}],
            "version": 2**63,
            "stopCode": {},
            "stoppedReason": ["out of memory"],
        },
    }
    assert log.line(event) == {
        "level": "ERROR",
        "message": "Task x (of an unknown job) never started.",
        "time": None,
        "taskId": "x",
        "taskArn": "x",
        "cluster": None,
        "family": None,
        "revision": None,
        "job": None,
        "lastStatus": "STOPPED",
        "desiredStatus": None,
        "version": None,
        "outcome": "never-started",
        "exitCode": None,
        "stopCode": None,
        "stoppedReason": None,
        "containers": [{"name": None, "exitCode": None, "reason": None, "lastStatus": None}],
        "startedBy": None,
        "trigger": {"kind": "other", "name": None},
        "object": None,
        "createdAt": None,
        "stoppedAt": None,
        "waitedSeconds": None,
        "pulledSeconds": None,
        "ranSeconds": None,
        "cpu": None,
        "memory": None,
        "architecture": None,
        "capacityProvider": None,
        "event": event,
    }


def test_a_container_that_guardduty_added_is_never_the_jobs(log: Log) -> None:
    event = load("stopped")
    event["detail"]["taskDefinitionArn"] = event["detail"]["taskDefinitionArn"] + "-3f2a:1"
    line = log.line(event)
    assert (line["job"], line["exitCode"]) == ("ingest", 137)


def test_a_reason_that_task_and_container_share_is_said_once(log: Log) -> None:
    event = changed("failed", stoppedReason="OutOfMemoryError")
    event["detail"]["containers"][0] |= {"exitCode": 137, "reason": "OutOfMemoryError"}
    assert log.line(event)["message"] == (
        f"Task {TASK} (ingest) failed: exit code 137 (killed, or out of memory): OutOfMemoryError"
    )


def test_the_jobs_container_is_the_one_named_like_the_family(log: Log) -> None:
    event = load("failed")
    helper = event["detail"]["containers"][0] | {"name": "envoy", "exitCode": 0}
    event["detail"]["containers"].insert(0, helper)
    line = log.line(event)
    assert (line["job"], line["exitCode"], line["outcome"]) == ("ingest", 65, "failed")


def test_the_jobs_container_is_the_one_named_like_the_family_after_the_stacks_prefix(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_events, "FAMILY_PREFIX", "fargate-batch-dev-job-")
    event = load("failed")
    detail = event["detail"]
    arn, _, revision = detail["taskDefinitionArn"].rpartition(":")
    folder = arn.rpartition("/")[0]
    detail["taskDefinitionArn"] = f"{folder}/fargate-batch-dev-job-ingest:{revision}"
    router = detail["containers"][0] | {"name": "router", "exitCode": 137}
    detail["containers"].insert(0, router)
    line = log.line(event)
    assert (line["job"], line["exitCode"], line["outcome"]) == ("ingest", 65, "failed")


def test_the_object_of_a_task_is_found_in_the_overrides_of_any_of_its_containers(log: Log) -> None:
    event = load("failed")
    pairs = [{"name": "BUCKET", "value": "b"}, {"name": "OBJECT_KEY", "value": "k"}]
    event["detail"]["overrides"] = {
        "containerOverrides": [
            {"name": "router"},
            {"name": "ingest", "environment": pairs},
        ]
    }
    assert log.line(event)["object"] == {"bucket": "b", "key": "k"}


@pytest.mark.parametrize(
    "event",
    [
        None,
        True,
        5,
        "text",
        [],
        {},
        {"detail": None},
        {"detail": []},
        {"detail": {}},
        {"detail": {"taskArn": "x"}},
        {"detail": {"taskArn": "x", "lastStatus": 5}},
        {"source": "aws.s3", "detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}},
    ],
)
def test_what_is_no_task_state_change_is_logged_raw(log: Log, event: object) -> None:
    assert log.line(event) == {
        "level": "WARN",
        "message": "Not a task state change that this program understands; logged as it came.",
        "event": event,
    }


def test_environment_values_are_masked_wherever_an_environment_is(log: Log) -> None:
    event = {
        "overrides": {
            "environment": [
                {"name": "A", "value": "s3cret"},
                {"Name": "B", "Value": "s3cret", "extra": {"x": "s3cret"}},
                {"name": ["s3cret"], "value": None},
                "s3cret",
                ["s3cret"],
            ]
        },
        "Overrides": [{"Environment": {"A": "s3cret", "B": ["s3cret"]}}],
        "environment": "s3cret",
        "deeper": {"environment": None},
        "environmentFiles": [{"value": "arn:aws:s3:::b/e.env", "type": "s3"}],
        "command": ["--key", "stays"],
    }
    assert log.line(event)["event"] == {
        "overrides": {
            "environment": [
                {"name": "A", "value": "***"},
                {"Name": "B", "Value": "***", "extra": "***"},
                {"name": "***", "value": "***"},
                "***",
                "***",
            ]
        },
        "Overrides": [{"Environment": {"A": "***", "B": "***"}}],
        "environment": "***",
        "deeper": {"environment": None},
        "environmentFiles": [{"value": "arn:aws:s3:::b/e.env", "type": "s3"}],
        "command": ["--key", "stays"],
    }


def test_an_environment_inside_a_json_text_is_masked_too(log: Log) -> None:
    value = {"commands": ["stays"], "environment": {"PASSWORD": "s3cret"}}
    inner = json.dumps(value)
    masked = json.dumps(value | {"environment": {"PASSWORD": "***"}})
    event = {
        "input": inner,
        "cause": json.dumps({"input": inner}),
        "cut": inner[:-4],
        "deep": "[" * 100_000 + inner,
        "reason": 'no "environment" given',
    }
    assert log.line(event)["event"] == {
        "input": masked,
        "cause": json.dumps({"input": masked}),
        "cut": "***",
        "deep": "***",
        "reason": 'no "environment" given',
    }


def test_newlines_and_other_line_breaks_stay_inside_the_line(log: Log) -> None:
    reason = "one\ntwo\r\nthree\u2028four\u0085five 日本 😀"
    line = log.line(changed("failed", stoppedReason=reason))
    assert line["stoppedReason"] == reason
    assert line["event"]["detail"]["stoppedReason"] == reason


def test_what_strict_json_cannot_say_is_said_in_text(log: Log) -> None:
    event: dict[object, object] = {
        "nan": math.nan,
        "infinities": [math.inf, -math.inf],
        "number": 1.5,
        "lone": "a\ud800b\udc00",
        "pair": "\ud83d\ude00",
        "\udfff": 1,
        7: "seven",
        "bytes": b"x",
    }
    assert log.line(event)["event"] == {
        "nan": "nan",
        "infinities": ["inf", "-inf"],
        "number": 1.5,
        "lone": "a\ufffdb\ufffd",
        "pair": "😀",
        "\ufffd": 1,
        "7": "seven",
        "bytes": "(bytes)",
    }


def test_what_looks_like_half_a_character_is_told_from_one(log: Log) -> None:
    given = {
        "a": "C:\\ud800 \\\\udfff",
        "b": "\\\ud800",
        "c": "\ud800\ud800\udc00",
        "d": "\ud7ff\ue000",
    }
    assert log.line(given)["event"] == given | {"b": "\\\ufffd", "c": "\ufffd\U00010000"}


def test_half_a_character_anywhere_in_a_line_is_replaced(log: Log) -> None:
    key = {"detail": {"bucket": {"name": "b"}, "object": {"key": "k\udc00"}}}
    line = log.line(execution("FAILED", key, error="E\ud800", cause="c\udfff"))
    assert line["object"] == {"bucket": "b", "key": "k\ufffd"}
    assert (line["error"], line["cause"]) == ("E\ufffd", "c\ufffd")
    assert line["message"].endswith("E\ufffd: c\ufffd")
    inner = json.dumps({"environment": {"A\ud800": 1}, "b": "\udc00"})
    masked = log.line({"input": inner})["event"]["input"]
    assert json.loads(masked) == {"environment": {"A\ufffd": "***"}, "b": "\ufffd"}


def test_an_event_nested_without_end_is_cut_at_a_depth(log: Log) -> None:
    event: dict[str, object] = {}
    event["detail"] = event
    value = log.line(event)["event"]
    for _ in range(31):
        value = value["detail"]
    assert value == {"detail": "... (nested too deeply)"}
    lists: list[Any] = []
    for _ in range(50_000):
        lists = [lists]
    handler(lists, None)
    assert "nested too deeply" in log.capsys.readouterr().out
    while lists:  # freeing them level by level spares the interpreter's stack
        lists = lists[0]


def test_a_number_that_python_cannot_write_is_a_warning(log: Log) -> None:
    assert log.line({"detail": {"version": 10**5000}}) == {
        "level": "WARN",
        "message": "An event could not be logged (ValueError).",
        "event": None,
    }


def test_a_line_may_be_as_long_as_what_forwards_it_takes(log: Log) -> None:
    # 256 KiB, 26 bytes of which are CloudWatch Logs' own
    assert LINE_LIMIT == 262_118
    texts = ["x" * 60_000] * 4
    rest = LINE_LIMIT - len(log.text([*texts, ""]))
    assert log.line([*texts, "x" * rest])["event"] == [*texts, "x" * rest]
    assert log.line([*texts, "x" * (rest + 1)])["cut"] is True


def test_a_256_kb_reason_is_cut_and_counted(log: Log) -> None:
    reason = "x" * 256 * 1024
    cut = "x" * 2000 + "... (260,144 more characters)"
    start = f"Task {TASK} (ingest) failed: exit code 65 (bad data): "
    line = log.line(changed("failed", stoppedReason=reason))
    event = line.pop("event")
    assert line == SUCCEEDED | {
        "level": "ERROR",
        "message": start
        + "x" * (2000 - len(start))
        + f"... ({len(start) + 260_144:,} more characters)",
        "outcome": "failed",
        "exitCode": 65,
        "stoppedReason": cut,
        "containers": [{"name": "ingest", "exitCode": 65, "reason": None, "lastStatus": "STOPPED"}],
        "startedBy": "events-rule/batch-dev-complete-uplo",
        "trigger": {"kind": "rule", "name": "batch-dev-complete-uplo"},
        "object": {"bucket": "uploads-dev-0a1b2c", "key": "test/aaa/complete.txt"},
        "cut": True,
    }
    expected = changed("failed", stoppedReason=cut)
    expected["detail"]["overrides"]["containerOverrides"][0]["environment"] = [
        {"name": "BUCKET", "value": "***"},
        {"name": "OBJECT_KEY", "value": "***"},
    ]
    assert event == expected


def test_a_variable_without_a_name_costs_no_line(log: Log) -> None:
    event = load("failed")
    pairs = event["detail"]["overrides"]["containerOverrides"][0]["environment"]
    pairs[:0] = [{"name": ["BUCKET"], "value": "s3cret"}, "BUCKET", {"value": "s3cret"}]
    line = log.line(event)
    assert line["object"] == {"bucket": "uploads-dev-0a1b2c", "key": "test/aaa/complete.txt"}
    assert "s3cret" not in json.dumps(line)


def test_long_lists_and_objects_are_cut_and_counted(log: Log) -> None:
    event = {"list": list(range(100_000)), "object": {str(n): n for n in range(100_000)}}
    line = log.line(event)
    assert line == {
        "level": "WARN",
        "message": "Not a task state change that this program understands; logged as it came.",
        "event": {
            "list": [*range(100), "... (99,900 more)"],
            "object": {str(n): n for n in range(100)} | {"...": "99,900 more"},
        },
        "cut": True,
    }


def test_an_event_too_wide_to_cut_readably_keeps_its_fields(log: Log) -> None:
    event = load("failed")
    wide = {str(n): {str(m): ["😀" * 90] * 20 for m in range(20)} for n in range(20)}
    line = log.line(event | {"wide": wide})
    assert re.fullmatch(r"\.\.\. \(left out of a line of [\d,]{9} bytes\)", line.pop("event"))
    assert line == log.fields(event) | {"cut": True}


def test_an_event_too_wide_for_long_texts_keeps_short_ones(log: Log) -> None:
    event = load("failed")
    line = log.line(event | {"wide": [["x" * 3000] * 2 for _ in range(101)]})
    short = "x" * 100 + "... (2,900 more characters)"
    assert line.pop("event")["wide"] == [*([[short, short]] * 20), "... (81 more)"]
    assert line == log.fields(event) | {"cut": True}


@pytest.mark.parametrize("keep", [True, False])
def test_fields_that_are_all_too_long_still_make_a_line(
    log: Log, monkeypatch: pytest.MonkeyPatch, *, keep: bool
) -> None:
    monkeypatch.setattr(task_events, "KEEP_EVENT", keep)
    long = "😀" * 60_000
    container = {"name": long, "reason": long, "lastStatus": long, "exitCode": 1}
    event = {
        "time": long,
        "detail": dict.fromkeys(load("succeeded")["detail"], long)
        | {"lastStatus": "STOPPED", "containers": [container] * 50},
    }
    line = log.line(event)
    assert line["cut"] is True
    assert ("event" in line) == keep
    assert line["containers"][20:] == ["... (30 more)"]
    assert line["stoppedReason"] == "😀" * 100 + "... (59,900 more characters)"


def test_lambda_sees_one_line_an_event_whatever_its_locale() -> None:
    """The folder is what Lambda unpacks: the handler runs alone, from there, as a module."""
    names = sorted(path.stem for path in EVENTS.glob("task-*.json"))
    events = [json.loads((EVENTS / f"{name}.json").read_text()) for name in names]
    events.append(changed("failed", stoppedReason="日本\n語 \ud800"))
    code = (
        "import json, sys, handler\nfor line in sys.stdin: handler.handler(json.loads(line), None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="".join(json.dumps(event) + "\n" for event in events),
        capture_output=True,
        encoding="ascii",
        check=True,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "lambdas" / "task_events"),
            "PYTHONIOENCODING": "ascii",
            "KEEP_EVENT": "false",
        },
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert [line["outcome"] for line in lines] == [
        None,
        "failed",
        "interrupted",
        "never-started",
        None,
        None,
        None,
        "stopped",
        "succeeded",
        "failed",
    ]
    assert lines[-1]["stoppedReason"] == "日本\n語 \ufffd"
    assert not any("event" in line for line in lines)


def test_the_handler_needs_nothing_but_the_standard_library() -> None:
    source = (ROOT / "lambdas" / "task_events" / "handler.py").read_text()
    modules = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    assert {"json", "os"} < modules
    assert modules <= sys.stdlib_module_names


SECRET = "hunter2-correct-horse"

texts = st.text(max_size=20)
keys = texts | st.sampled_from(
    [
        "detail",
        "taskArn",
        "lastStatus",
        "stopCode",
        "containers",
        "exitCode",
        "name",
        "startedBy",
        "createdAt",
        "pullStartedAt",
        "taskDefinitionArn",
        "version",
        "overrides",
        "containerOverrides",
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from(["STOPPED", "RUNNING", "2026-03-02T01:00:00Z", "2026-03-02T01:00:00"])
    | st.text(st.characters(categories=["Cs", "Cc", "Zl", "Zp"]), max_size=5)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=25,
)
environments = st.one_of(
    st.just([{"name": "A", "value": SECRET}]),
    st.just([{"Name": "A", "Value": {"deep": [SECRET]}}, SECRET]),
    st.just({"A": SECRET, "B": [SECRET]}),
    st.just(SECRET),
)
environment_holders = st.builds(
    lambda key, value, others: {**others, key: value},
    st.sampled_from(["environment", "Environment"]),
    environments,
    st.dictionaries(keys, anything, max_size=3),
)
hidden = st.recursive(
    environment_holders,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(keys, inner, min_size=1, max_size=3)
        | inner.map(json.dumps)
        | inner.map(lambda value: json.dumps(value, ensure_ascii=False)[:-1])
    ),
    max_leaves=5,
)
task_details = st.fixed_dictionaries(
    {"taskArn": st.just(TASK_ARN), "lastStatus": st.sampled_from(["STOPPED", "RUNNING", "NEW"])},
    optional={
        "overrides": hidden,
        "stoppedReason": anything,
        "stopCode": anything,
        "containers": anything | st.lists(st.dictionaries(keys, scalars), max_size=3),
        "startedBy": anything,
        "taskDefinitionArn": texts,
        "startedAt": scalars,
        "stoppedAt": scalars,
        "createdAt": scalars,
        "pullStartedAt": scalars,
        "version": scalars,
    },
)


execution_details = st.fixed_dictionaries(
    {"executionArn": texts, "status": texts},
    optional={
        "input": anything | hidden.map(json.dumps),
        "cause": anything | hidden.map(json.dumps),
        "error": anything,
        "startDate": scalars,
        "stopDate": scalars,
    },
)


@pytest.mark.slow
@settings(deadline=None)  # a busy machine is no failure
@given(
    event=anything | hidden | st.fixed_dictionaries({"detail": task_details | execution_details})
)
def test_any_json_makes_one_strict_line_that_gives_no_environment_away(event: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr(sys.stdout, "write", printed.append)
        handler(event, None)
    line, end = "".join(printed)[:-1], "".join(printed)[-1:]
    assert end == "\n"
    assert line.splitlines() == [line]
    assert line.isascii()
    document = json.loads(line, parse_constant=pytest.fail)
    assert document["level"] in ("ERROR", "WARN", "INFO")
    assert not document["message"].startswith("An event could not be logged")
    assert SECRET not in line


def fields_of(value: object, prefix: str = "") -> set[str]:
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        return {prefix}
    return {prefix}.union(*(fields_of(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in items))


@pytest.mark.parametrize("name", ["failed-today", "task-waits", "never-started"])
def test_every_field_of_a_saved_query_is_one_that_the_handler_writes(log: Log, name: str) -> None:
    written = fields_of(log.fields(load("never-started")))
    query = re.sub(r'"[^"]*"', "", QUERIES[name])
    aliases = set(re.findall(r"\bas (\w+)", query))
    functions = set(re.findall(r"(\w+)\(", query))
    commands = {"fields", "filter", "stats", "sort", "dedup", "limit"}
    words = {"as", "by", "and", "in", "desc", "@timestamp"}
    used = set(re.findall(r"@?[A-Za-z][\w.]*", query)) - aliases - functions - commands - words
    assert functions <= {"max", "count", "avg", "pct"}
    assert used <= written
    assert used >= {"job", "taskId"}


def test_there_is_a_saved_query_for_each_question() -> None:
    assert list(QUERIES) == ["failed-today", "task-waits", "never-started"]


@pytest.mark.parametrize(
    ("code", "outcome", "level", "message"),
    [
        (3, "succeeded", "INFO", "succeeded after"),
        (4, "warned", "WARN", "ended with a warning: exit code 4."),
        (5, "failed", "ERROR", "failed: exit code 5"),
    ],
)
def test_a_job_says_what_its_exit_codes_mean(
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    outcome: str,
    level: str,
    message: str,
) -> None:
    event = ran("succeeded", code)
    family = event["detail"]["taskDefinitionArn"].rpartition("/")[2].partition(":")[0]
    name = event["detail"]["containers"][0]["name"]
    monkeypatch.setattr(task_events, "FAMILY_PREFIX", family.removesuffix(name))
    declared = {name: {"success": [3], "warning": [4]}}
    monkeypatch.setattr(task_events, "JOBS_EXIT_CODES", declared)
    line = log.line(event)
    assert (line["outcome"], line["level"]) == (outcome, level)
    assert message in line["message"]
    event["detail"]["stopCode"] = "UserInitiated"
    assert log.line(event)["outcome"] == "stopped"


def test_a_task_that_was_started_again_is_of_the_same_rule(log: Log) -> None:
    event = changed("never-started", startedBy="events-rule/target-1a2b3c4/2", group="family:x")
    assert log.line(event)["trigger"] == {"kind": "rule", "name": "target-1a2b3c4"}


def test_an_execution_that_ended_with_a_warning_is_told_so(log: Log) -> None:
    def ended(output: str | None) -> dict[str, Any]:
        detail = {"executionArn": "a:m:e", "status": "SUCCEEDED", "output": output}
        return log.line({"source": "aws.states", "detail": detail})

    line = ended(json.dumps({"job": "a", "exitCode": 4, "warning": "exit code 4"}))
    assert line["level"] == "WARN"
    assert line["message"] == "Execution e (m) succeeded with a warning: exit code 4"
    for output in (None, "{", '{"job": "a"}', '{"warning": "x"}', '{"job": "a", "warning": 4}'):
        assert ended(output)["level"] == "INFO"


def test_what_jobs_declare_is_read_from_beside_the_function(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_bytes((ROOT / "lambdas/task_events/handler.py").read_bytes())
    (tmp_path / "exit_codes.json").write_text('{"a": {"success": [3], "warning": []}}')
    say = [sys.executable, "-c", "import handler; print(handler.JOBS_EXIT_CODES)"]
    said = subprocess.run(say, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "{'a': {'success': [3], 'warning': []}}"
