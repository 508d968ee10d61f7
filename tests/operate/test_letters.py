"""`letters`: what could not be started is listed, sent again once, or dropped."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from local.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from local.services.iam import iam
from local.services.scheduler import schedules
from tests.local.probe import REGION, eventually
from tests.operate.conftest import CommandLine, Deployed
from tests.recorder import ROOT

KEY = 'target/a "b"\n<key>.csv'


@contextmanager
def without(deployed: Deployed, trigger: str, action: str) -> Generator[None]:
    """What a trigger starts is refused within the block."""
    kind, _, name = trigger.partition("-")
    if kind == "upload":
        rule = deployed.outputs["uploads"][name]["ruleArn"].rpartition("/")[2]
        [target] = deployed.client("events").list_targets_by_rule(Rule=rule)["Targets"]
    else:
        target = schedule(deployed, trigger)["Target"]
    [grant] = [one for one in iam.statements([target["RoleArn"]]) if action in one.text]
    with iam.without(grant):
        yield


def schedule(deployed: Deployed, trigger: str) -> dict[str, Any]:
    kind, _, name = trigger.partition("-")
    output = deployed.outputs["pipelines" if kind == "pipeline" else "schedules"][name]
    arn = output if isinstance(output, str) else output["scheduleArn"]
    _, group, physical = arn.split("/")
    return deployed.client("scheduler").get_schedule(GroupName=group, Name=physical)


def letters(fargate_batch: CommandLine, trigger: str, count: int = 1) -> list[dict[str, Any]]:
    """The letters of a trigger, once there are so many."""

    def look() -> list[dict[str, Any]] | None:
        found = fargate_batch("letters", "list", "--json", "--trigger", trigger).json
        return found if len(found) == count else None

    return eventually(look)


def executions(deployed: Deployed, kind: str = "jobs", name: str = "ingest") -> list[str]:
    listed = deployed.client("stepfunctions").list_executions(
        stateMachineArn=deployed.outputs[kind][name]["stateMachineArn"]
    )
    return [one["name"] for one in listed["executions"]]


def tasks(deployed: Deployed) -> set[str]:
    ecs = deployed.client("ecs")
    cluster = deployed.outputs["clusterArn"]
    return {
        arn
        for status in ("RUNNING", "STOPPED")
        for arn in ecs.list_tasks(cluster=cluster, desiredStatus=status)["taskArns"]
    }


@pytest.fixture(autouse=True)
def empty(deployed: Deployed) -> Generator[None]:
    """No test leaves a letter to the next."""
    yield
    for url in deployed.client("sqs").list_queues()["QueueUrls"]:
        deployed.client("sqs").purge_queue(QueueUrl=url)


@pytest.fixture
def letter(deployed: Deployed, fargate_batch: CommandLine) -> dict[str, Any]:
    """One letter of an upload that starts a state machine."""
    with without(deployed, "upload-target", "states:StartExecution"):
        deployed.put(KEY)
        [found] = letters(fargate_batch, "upload-target")
    return found


def test_a_letter_says_what_it_is_about_and_why(
    deployed: Deployed, fargate_batch: CommandLine, letter: dict[str, Any]
) -> None:
    upload = deployed.outputs["uploads"]["target"]
    assert (letter["error"], letter["source"]) == ("NO_PERMISSIONS", upload["ruleArn"])
    assert letter["about"] == f"s3://{deployed.outputs['uploadBucket']}/{KEY}"
    assert letter["attempts"] == 0
    [row] = fargate_batch("letters", "list").rows
    assert (row["letter"], row["days left"]) == (letter["id"], "14.0")
    shown = fargate_batch("letters", "show", letter["id"][:8])
    assert "start an execution of fargate-batch-dev-job-ingest" in shown.out
    assert r"\n<key>.csv" in shown.out
    # Whoever reads next finds it at once: it was hidden for the reading alone.
    [found] = deployed.client("sqs").receive_message(
        QueueUrl=upload["deadLetterQueueUrl"], VisibilityTimeout=0
    )["Messages"]
    assert found["MessageId"] == letter["id"]


def test_a_dry_run_does_nothing(
    deployed: Deployed, fargate_batch: CommandLine, letter: dict[str, Any]
) -> None:
    before = executions(deployed)
    for action in ("send", "drop"):
        answer = fargate_batch("letters", action, "--all", "--dry-run")
        assert answer.status == 0
        assert letter["id"] in answer.out
    assert executions(deployed) == before
    [still] = letters(fargate_batch, "upload-target")
    assert still["id"] == letter["id"]
    assert fargate_batch("letters", "drop", "--all").status == 0
    assert executions(deployed) == before
    assert fargate_batch("letters", "list", "--json").json == []


def test_an_event_for_a_state_machine_is_sent_as_its_input(
    deployed: Deployed, fargate_batch: CommandLine, letter: dict[str, Any]
) -> None:
    answer = fargate_batch("letters", "send", letter["id"], "--json")
    assert answer.status == 0
    execution = deployed.ended(answer.json["started"])
    assert json.loads(execution["input"]) == json.loads(letter["body"])
    assert execution["status"] == "SUCCEEDED"
    assert letters(fargate_batch, "upload-target", 0) == []
    run = fargate_batch.run(execution["name"], "succeeded")
    assert run["startedBy"] == {"kind": "letter", "name": "upload-target"}
    assert run["object"]["key"] == KEY


def test_an_event_for_a_task_is_sent_as_its_bucket_and_key(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    with without(deployed, "upload-complete", "iam:PassRole"):
        deployed.put("test/aaa/complete.txt")
        [letter] = letters(fargate_batch, "upload-complete")
    answer = fargate_batch("letters", "send", letter["id"], "--json")
    task = answer.json["started"].rpartition("/")[2]
    run = fargate_batch.run(task, "succeeded")
    assert run["object"]["key"] == "test/aaa/complete.txt"
    assert fargate_batch("logs", task, "--raw").out.splitlines()[1] == "test/aaa/complete.txt"


@pytest.mark.parametrize("trigger", ["pipeline-nightly", "schedule-hello"])
def test_a_schedule_is_sent_with_the_time_that_it_was_due(
    deployed: Deployed, fargate_batch: CommandLine, trigger: str
) -> None:
    action = "states:StartExecution" if trigger == "pipeline-nightly" else "iam:PassRole"
    arn = schedule(deployed, trigger)["Arn"]
    with without(deployed, trigger, action):
        schedules.fire(arn)
        [letter] = letters(fargate_batch, trigger)
    answer = fargate_batch("letters", "send", letter["id"], "--json")
    assert answer.status == 0
    if trigger == "schedule-hello":
        assert fargate_batch.run(answer.json["started"].rpartition("/")[2], "succeeded")
    else:
        given = json.loads(deployed.ended(answer.json["started"])["input"])
        assert given == {"schedule": arn, "scheduledTime": letter["about"]}


@pytest.mark.slow
def test_a_letter_whose_start_is_known_starts_nothing_twice(
    deployed: Deployed, fargate_batch: CommandLine, letter: dict[str, Any]
) -> None:
    before = executions(deployed)
    first = fargate_batch("letters", "send", letter["id"], "--json").json
    # As if the process had ended before it deleted the letter.
    deployed.client("sqs").send_message(
        QueueUrl=deployed.outputs["uploads"]["target"]["deadLetterQueueUrl"],
        MessageBody=letter["body"],
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value}
            for name, value in {
                "RULE_ARN": letter["source"],
                "TARGET_ARN": deployed.machine,
                "ERROR_CODE": letter["error"],
            }.items()
        },
    )
    deployed.ended(first["started"])
    [again] = letters(fargate_batch, "upload-target")
    second = fargate_batch("letters", "send", again["id"], "--json").json
    assert (second["started"], first["before"], second["before"]) == (first["started"], False, True)
    assert len(executions(deployed)) == len(before) + 1
    assert letters(fargate_batch, "upload-target", 0) == []


KILLED = """
    import os, signal, sys
    from operate import cli, letters
    letters.drop = lambda stack, letter: os.kill(os.getpid(), signal.SIGKILL)
    cli.main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("trigger", ["upload-target", "upload-complete"])
def test_a_process_killed_between_start_and_delete_doubles_nothing(
    deployed: Deployed, fargate_batch: CommandLine, trigger: str
) -> None:
    action = {"upload-target": "states:StartExecution", "upload-complete": "iam:PassRole"}[trigger]
    with without(deployed, trigger, action):
        deployed.put({"upload-target": KEY, "upload-complete": "test/aaa/complete.txt"}[trigger])
        [letter] = letters(fargate_batch, trigger)
    before, ran = set(executions(deployed)), tasks(deployed)
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_REGION": REGION,
    }
    killed = subprocess.run(
        [
            *(sys.executable, "-c", textwrap.dedent(KILLED)),
            *("letters", "send", letter["id"], "--stack", "dev"),
            *("--endpoint-url", deployed.cloud.endpoint),
        ],
        check=False,
        capture_output=True,
        cwd=ROOT,
        env=environment,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    # Nobody gave it back: it is hidden until its time is over.
    url = deployed.outputs["uploads"][trigger.partition("-")[2]]["deadLetterQueueUrl"]
    reveal(deployed, url)
    answer = fargate_batch("letters", "send", letter["id"], "--json")
    assert answer.status == 0
    assert letters(fargate_batch, trigger, 0) == []
    new, started = set(executions(deployed)) - before, tasks(deployed) - ran
    assert len(new) == (1 if trigger == "upload-target" else 0)
    eventually(lambda: len(tasks(deployed) - ran) == 1 or None)
    assert len(started) <= 1


def reveal(deployed: Deployed, url: str) -> None:
    """Let the time pass for which the messages of a queue are hidden."""
    from local.ministack import internals

    with deployed.cloud.scope():
        for message in internals.queues().get(url)["messages"]:
            message["visible_at"] = 0


def test_letters_are_filtered_by_key_error_and_time(
    fargate_batch: CommandLine, letter: dict[str, Any]
) -> None:
    def found(*filters: str) -> list[str]:
        return [one["id"] for one in fargate_batch("letters", "list", "--json", *filters).json]

    assert found("--key", "<key>") == found("--error", "NO_PERMISSIONS") == [letter["id"]]
    assert found("--since", "1h", "--until", "0s") == [letter["id"]]
    assert (
        found("--key", "other") == found("--error", "NO_RESOURCE") == found("--until", "1h") == []
    )
    none = fargate_batch("letters", "drop", "--all", "--key", "other")
    assert (none.status, none.err) == (0, "Nothing to do: no such dead letter.\n0 dropped.\n")
    dropped = fargate_batch("letters", "drop", "--all", "--key", "<key>")
    assert (dropped.status, dropped.err) == (0, "1 dropped.\n")


def test_a_letter_whose_rule_is_gone_stays_and_says_so(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    deployed.client("sqs").send_message(
        QueueUrl=deployed.outputs["uploads"]["target"]["deadLetterQueueUrl"],
        MessageBody="{}",
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value}
            for name, value in {
                "RULE_ARN": f"arn:aws:events:{REGION}:111122223333:rule/gone",
                "TARGET_ARN": deployed.machine,
            }.items()
        },
    )
    [letter] = letters(fargate_batch, "upload-target")
    answer = fargate_batch("letters", "send", letter["id"])
    assert answer.status == 1
    assert "the rule gone starts" in answer.out
    assert answer.err == "0 sent, 1 not.\n"
    [still] = letters(fargate_batch, "upload-target")
    assert still["id"] == letter["id"]


def test_no_letters_is_said_and_none_named_is_refused(fargate_batch: CommandLine) -> None:
    answer = fargate_batch("letters", "list")
    assert (answer.status, answer.out, answer.err) == (0, "", "No dead letter.\n")
    answer = fargate_batch("letters", "send")
    assert (answer.status, answer.err) == (
        2,
        "which letters? give beginnings of their ids, or --all\n",
    )
    answer = fargate_batch("letters", "list", "--trigger", "upload-targt")
    assert answer.err == "no such trigger: upload-targt (did you mean upload-target?)\n"


def test_a_beginning_of_an_id_that_is_several_letters_or_none_drops_nothing(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    queue = deployed.outputs["uploads"]["target"]["deadLetterQueueUrl"]
    for _ in range(17):
        deployed.client("sqs").send_message(QueueUrl=queue, MessageBody="{}")

    def ids() -> list[str]:
        return [one["id"] for one in fargate_batch("letters", "list", "--json").json]

    known = ids()
    [(digit, count), *_] = Counter(one[0] for one in known).most_common()
    several = fargate_batch("letters", "drop", digit)
    assert (several.status, several.out) == (2, "")
    assert several.err.startswith(f"{digit} is {count} letters: ")
    one_is_not = fargate_batch("letters", "drop", known[0], "zz")
    assert (one_is_not.status, one_is_not.out) == (2, "")
    assert one_is_not.err == "no such dead letter: zz (`letters list` lists them)\n"
    assert sorted(ids()) == sorted(known)
