"""The real program in the laptop's cloud: what fails is told once, what takes too long ends."""

import json
import re
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import pytest

from local.cloud import Cloud
from local.engine.deployment import Evaluation
from local.services.iam import iam
from local.services.scheduler import schedules
from local.services.stepfunctions import asl, integrations
from tests.local import stacks
from tests.local.probe import PROGRAM, REGION, ended, eventually, subscriber, write_image

PREFIX = "fargate-batch-dev-"
EXECUTION = f"arn:aws:states:{REGION}:111122223333:execution:{PREFIX}"
CONFIG: dict[str, Any] = {
    "image": stacks.IMAGE,
    "protect": False,
    "jobs": {"probe": {"retries": 0}, "slow": {"timeout": "2s", "retries": 0}},
    "uploads": {
        "direct": {"job": "probe", "prefix": "direct/", "via": "task"},
        "through": {"job": "probe", "prefix": "through/"},
    },
    "pipelines": {
        "stops": {
            "schedule": "rate(1 day)",
            "enabled": False,
            "steps": [{"job": "probe", "commands": ["exit", "65"]}],
        },
        "goes-on": {
            "schedule": "rate(1 day)",
            "enabled": False,
            "steps": [
                {"job": "probe", "commands": ["exit", "66"], "onFailure": "continue"},
                {"job": "probe", "commands": ["exit", "0"]},
            ],
        },
    },
    "schedules": {
        "long": {
            "job": "slow",
            "schedule": "rate(1 day)",
            "enabled": False,
            "commands": ["wait"],
        },
        "short": {
            "job": "slow",
            "schedule": "rate(1 day)",
            "enabled": False,
            "commands": ["exit", "0"],
        },
    },
}


@dataclass
class Told:
    """The stack, and a queue that is subscribed to its topic."""

    cloud: Cloud
    evaluation: Evaluation
    queue: str
    got: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    @property
    def outputs(self) -> dict[str, Any]:
        return self.evaluation.outputs

    def about(self, text: str) -> dict[str, str]:
        """The message that has this text."""
        return eventually(lambda: next(iter(self.all_about(text)), None))

    def all_about(self, text: str) -> list[dict[str, str]]:
        sqs = self.cloud.client("sqs")
        answer = sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            envelope = json.loads(message["Body"])
            self.got.append({key: envelope[key] for key in ("Subject", "Message")})
            sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return [one for one in self.got if text in one["Message"]]

    def start(self, machine: str, **request: Any) -> str:  # noqa: ANN401 JSON
        answer = self.cloud.client("stepfunctions").start_execution(
            stateMachineArn=machine, input=json.dumps(request)
        )
        return answer["executionArn"]

    def ended(self, execution: str) -> dict[str, Any]:
        return ended(self.cloud, execution)

    def executions(self, kind_and_name: str) -> list[dict[str, Any]]:
        arn = f"arn:aws:states:{REGION}:111122223333:stateMachine:{PREFIX}{kind_and_name}"
        client = self.cloud.client("stepfunctions")
        return client.list_executions(stateMachineArn=arn)["executions"]

    def quiet(self) -> None:
        """Wait until the alerts have worked off every event so far."""
        eventually(
            lambda: (
                None
                if any(run["status"] == "RUNNING" for run in self.executions("alerts-alerts"))
                else True
            )
        )

    def tasks(self, started_by: str) -> list[dict[str, Any]]:
        ecs, cluster = self.cloud.client("ecs"), self.outputs["clusterArn"]
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in ecs.list_tasks(cluster=cluster, desiredStatus=status)["taskArns"]
        ]
        if not arns:
            return []
        tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]
        return [task for task in tasks if task.get("startedBy", "").startswith(started_by)]

    def dead_letter(self, name: str) -> str | None:
        """The body of a message in the queue, which is taken out of it."""
        sqs = self.cloud.client("sqs")
        [url] = sqs.list_queues(QueueNamePrefix=f"{name}-dead-letters")["QueueUrls"]
        for message in sqs.receive_message(QueueUrl=url).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return message["Body"]
        return None


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Generator[Told]:
    context = tmp_path_factory.mktemp("image") / "probe"
    write_image(context)
    program = context / "__main__.py"
    program.write_text(
        f"import sys\nif sys.argv[1][:8] == 'through/':\n    sys.exit(66)\n{PROGRAM}"
    )
    with stacks.deployed(CONFIG, context) as (cloud, evaluation):
        topic = evaluation.outputs["alertsTopicArn"]
        yield Told(cloud, evaluation, subscriber(cloud, topic, "told"))


def machine(told: Told, job: str) -> str:
    return told.outputs["jobs"][job]["stateMachineArn"]


def pipeline(told: Told, name: str) -> str:
    return told.outputs["pipelines"][name]["stateMachineArn"]


def test_a_failed_execution_is_told_in_words_once(told: Told) -> None:
    execution = told.start(machine(told, "probe"), commands=["exit", "78"])
    assert told.ended(execution)["error"] == "Batch.Misconfigured"
    message = told.about(execution)
    task = re.search(r"task/\S+/([0-9a-f]{32})", message["Message"])
    assert task
    assert message["Subject"] == "Job probe failed: Batch.Misconfigured (fargate-batch dev)"
    text = message["Message"]
    assert text.startswith("Job probe failed: Batch.Misconfigured\n\nWhat: Execution ")
    assert "\n\nWhy: Job probe: exit code 78 (misconfigured). Task " in text
    assert f"stream probe/probe/{task[1]}" in text
    assert "\n\nWhat to do: Correct the job's configuration, deploy, then start it again." in text
    assert text.endswith("\nMore: docs/operations.md#a-message-came")
    told.quiet()
    assert len(told.all_about(execution)) == 1


def test_an_upload_whose_job_fails_is_told_with_its_object(told: Told) -> None:
    bucket = told.outputs["uploadBucket"]
    key = 'through/a "b"\n<c> é.csv'
    told.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    message = told.about(f"\nObject: s3://{bucket}/{key}\n")
    assert message["Subject"] == "Job probe failed: Batch.ObjectGone (fargate-batch dev)"


def test_a_stopped_execution_is_told_with_what_was_said(told: Told) -> None:
    execution = told.start(machine(told, "probe"), commands=["wait"])
    told.cloud.client("stepfunctions").stop_execution(
        executionArn=execution, error="Wrong file ü", cause='He said "stop"\n{% $uuid() %}'
    )
    message = told.about(execution)
    assert message["Subject"] == "Job probe was stopped: Wrong file ? (fargate-batch dev)"
    assert '\n\nWhy: He said "stop"\n{% $uuid() %}\n\n' in message["Message"]


def test_a_failed_step_is_told_by_its_pipeline_alone(told: Told) -> None:
    execution = told.start(pipeline(told, "stops"))
    assert told.ended(execution)["status"] == "FAILED"
    message = told.about(execution)
    assert message["Subject"] == "Pipeline stops failed: Pipeline.StepFailed (fargate-batch dev)"
    assert "Step 1 (job probe) failed with Batch.BadData" in message["Message"]
    told.quiet()
    child = re.search(rf"{EXECUTION}job-probe:[0-9a-f-]+", message["Message"])
    assert child
    assert told.all_about(child[0]) == [message]


def test_a_step_that_a_pipeline_goes_on_after_is_told_at_its_end(told: Told) -> None:
    execution = told.start(pipeline(told, "goes-on"))
    assert told.ended(execution)["status"] == "SUCCEEDED"
    message = told.about(execution)
    assert message["Subject"] == (
        "Pipeline goes-on went on after steps that failed (fargate-batch dev)"
    )
    assert "\n\nWhy: probe: Batch.ObjectGone: Job probe: exit code 66" in message["Message"]
    told.quiet()
    assert len(told.all_about(execution)) == 1
    children = [run["executionArn"] for run in told.executions("job-probe")]
    describe = told.cloud.client("stepfunctions").describe_execution
    own = [arn for arn in children if execution in describe(executionArn=arn)["input"]]
    assert len(own) == 2
    assert [told.all_about(f"What: Execution {arn}") for arn in own] == [[], []]


def test_a_step_started_again_by_hand_is_told_though_it_names_its_pipeline(told: Told) -> None:
    parent = told.start(pipeline(told, "stops"))
    told.ended(parent)
    told.about(parent)
    time.sleep(0.01)  # two starts within a millisecond could not be told apart
    named = {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": parent, "commands": ["exit", "78"]}
    again = told.start(machine(told, "probe"), **named)
    assert "Batch.Misconfigured" in told.about(again)["Subject"]


def test_a_direct_task_that_fails_is_told(told: Told) -> None:
    bucket = told.outputs["uploadBucket"]
    told.cloud.client("s3").put_object(Bucket=bucket, Key="direct/a.csv", Body=b"x")
    message = told.about(f"\nObject: s3://{bucket}/direct/a.csv\n")
    assert message["Subject"] == "Job probe failed: exit code 3 (fargate-batch dev)"
    text = message["Message"]
    assert "\nStarted by: rule direct-" in text
    assert "\n\nWhy: Essential container in task exited; stop code EssentialContainer" in text
    assert "\n\nLog: group /fargate-batch/dev/probe, stream probe/probe/" in text
    told.quiet()
    assert told.all_about("direct/a.csv") == [message]


def test_a_task_that_outlives_its_timeout_is_stopped_and_told(told: Told) -> None:
    with told.cloud.scope():
        schedules.fire(told.outputs["schedules"]["long"])
    message = told.about("Started by: schedule long")
    assert message["Subject"] == "Job slow timed out (fargate-batch dev)"
    assert "\n\nWhy: Timed out after 2 seconds; " in message["Message"]
    [task] = told.tasks("chronos-schedule/long")
    assert (task["stopCode"], task["stoppedReason"]) == (
        "UserInitiated",
        "Timed out after 2 seconds",
    )
    ran = (task["executionStoppedAt"] - task["startedAt"]).total_seconds()
    assert ran >= 1
    lines = told.cloud.client("logs")

    def logged() -> dict[str, Any] | None:
        found = lines.filter_log_events(logGroupName=told.outputs["taskEventLogGroup"])["events"]
        records = [json.loads(one["message"]) for one in found if one["message"].startswith("{")]
        return next((one for one in records if one.get("outcome") == "timed-out"), None)

    assert eventually(logged)["level"] == "ERROR"


def test_a_task_that_ends_in_time_is_left_alone(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    # Its time is not over before it has ended, however slow this machine is.
    sleep = "local.services.stepfunctions.asl._Visit._sleep"
    monkeypatch.setattr(sleep, lambda *_: over.wait(240))
    before = {run["executionArn"] for run in told.executions("reaper-task-reaper")}
    with told.cloud.scope():
        schedules.fire(told.outputs["schedules"]["short"])

    def reaping() -> str | None:
        runs = {run["executionArn"] for run in told.executions("reaper-task-reaper")}
        return next(iter(runs - before), None)

    def stopped() -> dict[str, Any] | None:
        tasks = told.tasks("chronos-schedule/short")
        return tasks[0] if tasks and tasks[0]["lastStatus"] == "STOPPED" else None

    run = eventually(reaping)
    assert eventually(stopped)["stopCode"] == "EssentialContainerExited"
    over.set()
    assert told.ended(run)["status"] == "SUCCEEDED"
    told.quiet()
    assert told.all_about("schedule short") == []


@pytest.mark.slow
def test_a_state_machines_own_task_is_stopped_even_if_step_functions_leaves_it(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrations, "_stop_tasks", lambda *_: None)
    execution = told.start(machine(told, "slow"), commands=["wait"])
    assert told.ended(execution)["error"] == "Batch.TimedOut"
    group = f"execution:{execution.rpartition(':')[2]}"
    [task] = [one for one in told.tasks("AWS Step Functions") if one["group"] == group]
    stopped = eventually(
        lambda: next(
            (
                one
                for one in told.tasks("AWS Step Functions")
                if one["group"] == group and one["lastStatus"] == "STOPPED"
            ),
            None,
        )
    )
    assert stopped["taskArn"] == task["taskArn"]
    assert stopped["stoppedReason"] == "Timed out after 2 seconds"
    assert "Batch.TimedOut" in told.about(execution)["Subject"]


def test_what_cannot_be_published_is_kept_and_told_of_no_more(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asl.random, "uniform", lambda _low, _high: 0.0)
    before = {run["executionArn"] for run in told.executions("alerts-alerts")}
    [role] = [
        role["Arn"]
        for role in told.cloud.client("iam").list_roles()["Roles"]
        if role["RoleName"].startswith("alerts-alerts-")
    ]
    [publish] = [one for one in iam.statements([role]) if "sns:Publish" in one.text]
    with iam.without(publish):
        execution = told.start(machine(told, "probe"), wrong="input")
        told.ended(execution)
        body = eventually(lambda: told.dead_letter("alerts"))
        told.quiet()
    event = json.loads(body)
    assert event["detail"]["executionArn"] == execution
    own = [run for run in told.executions("alerts-alerts") if event["id"] in run["name"]]
    [tried] = [run for run in own if run["executionArn"] not in before]
    found = told.ended(tried["executionArn"])
    assert (found["status"], found["error"]) == ("FAILED", "SNS.AuthorizationErrorException")
    assert "Job probe failed: Input.Invalid" in found["cause"]
    assert told.all_about(execution) == []
    told.cloud.client("stepfunctions").start_execution(
        stateMachineArn=tried["stateMachineArn"], input=body
    )
    assert "Input.Invalid" in told.about(execution)["Subject"]


def test_every_alarm_tells_the_topic_and_links_to_a_section_that_exists(told: Told) -> None:
    cloudwatch = told.cloud.client("cloudwatch")
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix=PREFIX, MaxRecords=100)["MetricAlarms"]
    assert {alarm["AlarmName"] for alarm in alarms} >= {
        f"{PREFIX}events-lost-0",
        f"{PREFIX}watcher-silent",
        f"{PREFIX}schedule-dropped",
        f"{PREFIX}task-events-errors",
    }
    assert {tuple(alarm["AlarmActions"]) for alarm in alarms} == {(told.outputs["alertsTopicArn"],)}
    assert any("Alarms stay silent" in line for line in told.evaluation.not_honoured)


def test_an_alarm_may_publish_to_the_topic(told: Told) -> None:
    name = f"{PREFIX}schedule-dropped"
    told.cloud.client("cloudwatch").set_alarm_state(
        AlarmName=name, StateValue="ALARM", StateReason="tried out"
    )
    message = told.about(name)
    assert "docs/operations.md#alarm-schedules" in message["Message"]
