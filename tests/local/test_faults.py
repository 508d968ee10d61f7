"""Each fault does to AWS's answers what its name says, and does so again with the same seed."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.clock import Clock
from local.cloud import Cloud
from local.faults import DELAY_SECONDS, FAULTS, FaultError, Faults, of_event, parse
from local.services.ecs.images import Images
from tests.local.machines import Machines, make_role, run_task
from tests.local.probe import REGION, Stack, eventually, make_stack
from tests.local.programs import ROOT

QUEUE = f"arn:aws:sqs:{REGION}:111122223333:"
Open = Callable[..., Stack]


@pytest.fixture
def opened(images: Images) -> Generator[Open]:
    with ExitStack() as stack:

        def make(**probabilities: float) -> Stack:
            faults = Faults({name.replace("_", "-"): p for name, p in probabilities.items()}, 7)
            cloud = Cloud(0, REGION, images=images, wait_scale=0.01, faults=faults)
            return make_stack(stack.enter_context(cloud))

        yield make


@given(st.lists(st.sampled_from(sorted(FAULTS)), unique=True, min_size=1), st.floats(0, 1))
def test_names_and_probabilities_are_read_as_they_are_written(
    names: list[str], probability: float
) -> None:
    text = ", ".join(f"{name}:{probability!r}" for name in names)
    assert parse(text) == dict.fromkeys(names, probability)
    assert parse(names[0]) == {names[0]: 0.1}


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("fire:1", "there is no fault 'fire'; there are: throttle, no-start, "),
        ("kill,", "there is no fault ''; there are: "),
        ("kill:often", "kill: the probability 'often' is not a number from 0 to 1"),
        ("kill:1.5", "kill: the probability '1.5' is not a number from 0 to 1"),
        ("kill:nan", "kill: the probability 'nan' is not a number from 0 to 1"),
        ("kill,drop,kill", "the fault kill is there twice"),
    ],
)
def test_what_is_no_fault_is_refused_in_a_line(text: str, refusal: str) -> None:
    with pytest.raises(FaultError) as refused:
        parse(text)
    assert str(refused.value).startswith(refusal)
    assert "\n" not in str(refused.value)


def test_the_seed_and_the_subject_decide_not_the_threads() -> None:
    subjects = [f"s3://uploads/{number}" for number in range(300)]

    def asked(seed: int, order: list[str]) -> list[Any]:
        faults = Faults({"kill": 0.3}, seed)
        parts = [order[first::3] for first in range(3)]

        def ask(part: list[str]) -> None:
            for subject in part:
                for _ in range(2):
                    faults.occurs("kill", subject)

        threads = [threading.Thread(target=ask, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return list(faults.occurred)

    first = asked(1, subjects)
    assert first == asked(1, subjects[::-1])
    assert first != asked(2, subjects)
    assert 120 < len(first) < 240


def test_an_event_is_known_by_what_it_is_about_in_every_run() -> None:
    detail = {"bucket": {"name": "b"}, "object": {"key": "k", "version-id": "v1"}}
    upload = {"source": "aws.s3", "id": "1", "time": "now", "detail": detail}
    assert of_event(upload) == "s3://b/k"
    execution = {"stateMachineArn": "arn:m", "status": "FAILED", "input": json.dumps(upload)}
    assert of_event({"source": "aws.states", "detail": execution}) == "m s3://b/k FAILED"


def test_run_task_is_throttled_and_its_execution_is_told_so(opened: Open) -> None:
    stack = opened(throttle=1)
    definition = stack.define()
    ecs = stack.cloud.client("ecs")
    with pytest.raises(ecs.exceptions.ClientError, match="ThrottlingException"):
        ecs.run_task(**stack.request(definition))
    make_role(stack.cloud)
    outcome = Machines(stack.cloud).outcome({"Run": run_task(stack, definition, ["exit", "0"])})
    assert outcome[:2] == ("FAILED", "ECS.AmazonECSException")
    assert "Error Code: ThrottlingException" in outcome[2]


def test_a_task_does_not_start(opened: Open) -> None:
    stack = opened(no_start=1)
    task = stack.stopped(stack.run(stack.define(), "exit", "0")["taskArn"])
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("Timeout waiting for network interface provisioning")
    assert "exitCode" not in task["containers"][0]


def test_a_container_is_killed(opened: Open) -> None:
    stack = opened(kill=1)
    task = stack.stopped(stack.run(stack.define(), "wait")["taskArn"])
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["containers"][0]["exitCode"] == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("provider", "stop_code"),
    [("FARGATE_SPOT", "SpotInterruption"), ("FARGATE", "EssentialContainerExited")],
)
def test_only_a_spot_task_is_interrupted(opened: Open, provider: str, stop_code: str) -> None:
    stack = opened(spot=1)
    request = stack.request(stack.define(), "exit", "0")
    del request["launchType"]
    request["capacityProviderStrategy"] = [{"capacityProvider": provider, "weight": 1}]
    [task] = stack.cloud.client("ecs").run_task(**request)["tasks"]
    assert stack.stopped(task["taskArn"])["stopCode"] == stop_code


def deliver(stack: Stack, retries: int = 3) -> Callable[[], list[dict[str, Any]]]:
    """Put one event on the bus; a function that takes what came of it out of two queues."""
    cloud = stack.cloud
    sqs, events = cloud.client("sqs"), cloud.client("events")
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    urls = [
        sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
        for name in ("target", "dead")
    ]
    events.put_rule(Name="all", EventPattern='{"source": ["test"]}')
    target: dict[str, Any] = {
        "Id": "target",
        "Arn": f"{QUEUE}target",
        "DeadLetterConfig": {"Arn": f"{QUEUE}dead"},
        "RetryPolicy": {"MaximumRetryAttempts": retries},
    }
    events.put_targets(Rule="all", Targets=[target])
    events.put_events(Entries=[{"Source": "test", "DetailType": "t", "Detail": '{"n": 1}'}])

    def take() -> list[dict[str, Any]]:
        return [
            message
            for url in urls
            for message in sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            ).get("Messages", [])
        ]

    return take


def test_an_event_whose_deliveries_fail_is_a_dead_letter_at_last(opened: Open) -> None:
    take = deliver(opened(drop=1))
    [letter] = eventually(lambda: take() or None)
    found = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert found["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
    assert (found["RETRY_ATTEMPTS"], found["ERROR_CODE"]) == ("3", "INTERNAL_ERROR")


def test_an_event_whose_deliveries_fail_now_and_then_arrives(opened: Open) -> None:
    stack = opened(drop=0.7)
    take = deliver(stack, retries=185)
    [message] = eventually(lambda: take() or None)
    assert "MessageAttributes" not in message
    assert [one.fault for one in stack.cloud.faults.occurred] == ["drop"] * len(
        stack.cloud.faults.occurred
    )
    assert json.loads(message["Body"])["detail"] == {"n": 1}


def test_a_duplicated_event_is_the_same_event(opened: Open) -> None:
    take = deliver(opened(duplicate=1))
    found: list[dict[str, Any]] = []
    eventually(lambda: found.extend(take()) or (True if len(found) == 2 else None))
    assert found[0]["Body"] == found[1]["Body"]


def test_a_delayed_event_comes_later(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[tuple[float, Callable[[], object]]] = []

    def keep(_clock: Clock, seconds: float, call: Callable[[], object]) -> None:
        late.append((seconds, call))

    monkeypatch.setattr(Clock, "after", keep)
    stack = opened(delay=1)
    take = deliver(stack)
    [(seconds, call)] = eventually(lambda: late or None)
    assert seconds == pytest.approx(DELAY_SECONDS * stack.cloud.wait_scale)
    assert take() == []
    call()
    assert len(eventually(lambda: take() or None)) == 1


@pytest.mark.slow
def test_the_command_line_lists_the_faults_and_refuses_others() -> None:
    def up(fault: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "local", "up", "--port", "0", "--fault", fault]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    listed = up("help")
    assert listed.returncode == 0
    assert all(name in listed.stdout for name in FAULTS)
    refused = up("kill:2")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "--fault: kill: the probability '2' is not a number from 0 to 1\n"
