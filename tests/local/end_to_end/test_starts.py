"""The real program in the laptop's cloud: what starts are told, and how pipelines go on."""

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pytest

from local.engine.deployment import Evaluation
from local.services.scheduler import schedules
from tests.local import stacks
from tests.local.machines import Machines
from tests.local.probe import REGION, eventually, write_image

OFF: dict[str, Any] = {"schedule": "cron(30 2 * * ? *)", "enabled": False}
TOLD = ["say", "<scheduledTime>", "<date:%Y-%m-%dT%H:%M%z>", "<executionName>", "<<key>"]
CONFIG: dict[str, Any] = {
    "image": stacks.IMAGE,
    "protect": False,
    "jobs": {
        "probe": {"retries": 0},
        "other": {"retries": 0},
        "own": {"retries": 1, "exitCodes": {"success": ["3-5"], "warning": [8], "retry": [9]}},
    },
    "uploads": {"in": {"pipeline": "of-object", "prefix": " "}},
    "pipelines": {
        "dated": {
            **OFF,
            "timezone": "Europe/Berlin",
            "steps": [{"job": "probe", "commands": TOLD}],
        },
        "of-object": {
            "overlap": "allow",
            "steps": [{"job": "probe", "commands": ["say", "<key>", "s3://<bucket>/<key>"]}],
        },
        "heeding": {
            **OFF,
            "steps": [
                {"job": "own", "commands": ["exit", "8"]},
                {"job": "own", "commands": ["exit", "8"], "onWarning": "stop"},
                {"job": "own"},
            ],
        },
        "finishing": {
            **OFF,
            "steps": [
                [
                    {"job": "own", "commands": ["exit", "65"], "onFailure": "finish"},
                    {"job": "own", "commands": ["exit", "4"]},
                ]
            ],
        },
        "broken": {
            **OFF,
            "steps": [
                {"job": "probe", "commands": ["exit", "0"]},
                [
                    {"job": "other", "commands": ["exit", "0"]},
                    {"job": "probe", "commands": ["say", "<scheduledTime>"]},
                ],
                {"job": "other", "commands": ["say", "<scheduledTime>"]},
            ],
        },
    },
    "schedules": {
        "well": {**OFF, "job": "own", "commands": ["exit", "4"]},
        "warns": {**OFF, "job": "own", "commands": ["exit", "8"]},
        "hello": {**OFF, "job": "other", "commands": ["say", "<scheduledTime>", "<executionName>"]},
    },
}


@dataclass
class Starts(Machines):
    """The stack, and what its containers wrote."""

    evaluation: Evaluation

    def machine(self, pipeline: str) -> str:
        return self.evaluation.outputs["pipelines"][pipeline]["stateMachineArn"]

    def said(self, output: dict[str, Any]) -> list[str]:
        """What the task of a job's output wrote."""
        answer = self.cloud.client("logs").get_log_events(
            logGroupName=output["logGroup"], logStreamName=output["logStream"], startFromHead=True
        )
        return [event["message"] for event in answer["events"]]

    def outputs(self, execution: str) -> dict[str, Any]:
        """The output of each of its states that has ended, by name."""
        return {
            event["stateExitedEventDetails"]["name"]: json.loads(
                event["stateExitedEventDetails"]["output"]
            )
            for event in self.history(execution)
            if "stateExitedEventDetails" in event
        }


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> Generator[Starts]:
    context = tmp_path_factory.mktemp("image") / "probe"
    write_image(context)
    with stacks.deployed(CONFIG, context) as made:
        yield Starts(*made)


@pytest.mark.slow
def test_a_step_is_told_the_time_of_its_run_in_the_zone_of_its_schedule(starts: Starts) -> None:
    # A minute before and after the clocks of Berlin go forward.
    for time, date in (
        ("2031-03-30T00:59:00Z", "2031-03-30T01:59+0100"),
        ("2031-03-30T01:00:00Z", "2031-03-30T03:00+0200"),
    ):
        ended = starts.run(starts.machine("dated"), {"scheduledTime": time})
        [step] = json.loads(ended["output"])["steps"]
        assert starts.said(step["output"]) == [time, date, ended["name"], "<key>"]


def test_a_step_is_told_the_object_of_the_upload_that_started_its_pipeline(starts: Starts) -> None:
    key, bucket = '  a"b%2F\n漢😀', starts.evaluation.outputs["uploadBucket"]
    starts.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    machine = starts.machine("of-object")
    [execution] = eventually(lambda: starts.executions(machine) or None)
    ended = starts.ended(execution["executionArn"])
    [step] = json.loads(ended["output"])["steps"]
    assert "\n".join(starts.said(step["output"])) == f"{key}\ns3://{bucket}/{key}"

    # The same again, by hand.
    again = starts.run(machine, {**json.loads(ended["input"]), "fromStep": 1})
    [step] = json.loads(again["output"])["steps"]
    assert "\n".join(starts.said(step["output"])) == f"{key}\ns3://{bucket}/{key}"
    refused = starts.run(machine)
    assert refused["error"] == "Input.Invalid"


def test_a_scheduled_task_is_told_the_time_and_the_name_of_its_start(starts: Starts) -> None:
    schedules.fire(starts.evaluation.outputs["schedules"]["hello"])
    job = starts.evaluation.outputs["jobs"]["other"]
    logs = starts.cloud.client("logs")

    def look() -> list[str] | None:
        events = logs.filter_log_events(logGroupName=job["logGroup"])["events"]
        return [event["message"] for event in events] if len(events) == 2 else None

    time, execution = eventually(look)
    assert len(time) == len("2031-01-01T00:00:00Z")
    assert "<" not in time + execution


def test_a_run_goes_on_with_the_step_that_failed_and_keeps_what_was_done(starts: Starts) -> None:
    machine = starts.machine("broken")
    before = starts.run(machine, {"scheduledTime": "not a time"})
    assert before["error"] == "Input.Invalid"

    whole = starts.run(machine, {"scheduledTime": "2031-01-01T00:00:00Z"})
    outputs = starts.outputs(whole["executionArn"])
    done = json.loads(whole["output"])["steps"]
    assert [outputs["Step1"], outputs["Step2"], outputs["Step3"]] == done
    assert [outputs["Step2Member1"], outputs["Step2Member2"]] == done[1]

    # As if the second member of the second step had failed.
    request = {
        "scheduledTime": "2031-02-01T00:00:00Z",
        "fromStep": 2,
        "results": [done[0], [done[1][0], None]],
    }
    again = json.loads(starts.run(machine, request)["output"])["steps"]
    assert again[0] == done[0]
    assert again[1][0] == done[1][0]
    assert again[1][1]["execution"] != done[1][1]["execution"]
    assert starts.said(again[1][1]["output"]) == ["2031-02-01T00:00:00Z"]
    assert starts.said(again[2]["output"]) == ["2031-02-01T00:00:00Z"]

    last = json.loads(starts.run(machine, {"fromStep": 3})["output"])["steps"]
    assert last[:2] == [
        {"job": "probe", "status": "SKIPPED"},
        [{"job": "other", "status": "SKIPPED"}, {"job": "probe", "status": "SKIPPED"}],
    ]
    assert last[2]["status"] == "SUCCEEDED"


def told(starts: Starts, text: str) -> list[str]:
    """What the messages are that have this text, once all failures so far are worked off."""
    machine = f"arn:aws:states:{REGION}:111122223333:stateMachine:fargate-batch-dev-alerts-alerts"
    found: list[str] = []
    for execution in starts.executions(machine):
        starts.ended(execution["executionArn"])
        found += [
            json.loads(event["taskScheduledEventDetails"]["parameters"])["Message"]
            for event in starts.history(execution["executionArn"])
            if "taskScheduledEventDetails" in event
        ]
    return [message for message in found if text in message]


@pytest.mark.slow
def test_an_exit_code_is_what_the_job_says_that_it_is(starts: Starts) -> None:
    machine = starts.evaluation.outputs["jobs"]["own"]["stateMachineArn"]

    def ended(code: int) -> dict[str, Any]:
        return starts.run(machine, {"commands": ["exit", str(code)]})

    well = ended(4)
    assert well["status"] == "SUCCEEDED"
    assert "warning" not in json.loads(well["output"])
    warned = ended(8)
    assert json.loads(warned["output"])["warning"] == "exit code 8"
    failed = ended(9)
    assert failed["error"] == "Batch.Failed"
    assert "exit code 9, after 1 retry" in failed["cause"]

    def message() -> list[str] | None:
        return told(starts, warned["executionArn"]) or None

    [text] = eventually(message)
    assert text.startswith("Job own ended with a warning: exit code 8")
    assert not told(starts, well["executionArn"])


def test_a_task_without_a_state_machine_is_told_by_the_same_codes(starts: Starts) -> None:
    for name in ("well", "warns"):
        schedules.fire(starts.evaluation.outputs["schedules"][name])
    [message] = eventually(lambda: told(starts, "Started by: schedule warns") or None)
    assert message.startswith("Job own ended with a warning: exit code 8")
    group = starts.evaluation.outputs["taskEventLogGroup"]
    logs = starts.cloud.client("logs")

    def outcomes() -> set[tuple[str, str]] | None:
        events = logs.filter_log_events(logGroupName=group)["events"]
        texts = [event["message"] for event in events]
        lines = [json.loads(text) for text in texts if text.startswith("{")]
        ends = {
            (line["trigger"]["name"], line["outcome"])
            for line in lines
            if line.get("outcome") and line["trigger"]["name"] in {"well", "warns"}
        }
        return ends if len(ends) == 2 else None

    assert eventually(outcomes) == {("well", "succeeded"), ("warns", "warned")}
    assert not told(starts, "Started by: schedule well")


def test_a_pipeline_stops_at_a_warning_that_it_heeds(starts: Starts) -> None:
    ended = starts.run(starts.machine("heeding"))
    assert ended["error"] == "Pipeline.StepWarned"
    assert ended["cause"].startswith("Step 2 (job own) ended with a warning, exit code 8, so")


def test_those_beside_a_failed_one_that_finishes_end(starts: Starts) -> None:
    ended = starts.run(starts.machine("finishing"))
    assert ended["error"] == "Pipeline.StepFailed"
    assert ended["cause"].startswith("Step 1 (job own) failed with Batch.BadData")
    [failed, done] = starts.outputs(ended["executionArn"])["Step1"]
    assert (failed["status"], done["status"]) == ("FAILED", "SUCCEEDED")
