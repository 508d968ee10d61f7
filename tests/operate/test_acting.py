"""`start`, `fire`, `stop` and `retry`: by whom and why, once, and as it can be mended."""

import json
import time
from collections.abc import Generator
from typing import Any

import pytest

from operate import starts
from tests.local.probe import eventually
from tests.operate.conftest import CommandLine, Deployed

DONE = {"job": "ingest", "status": "SUCCEEDED", "execution": "arn:x", "output": {}}
FAILING = json.dumps({"commands": ["x"], "environment": {"CODE": "3"}})


def started(answer_err: str) -> str:
    """The id of the run that `start --wait` names first."""
    return answer_err.splitlines()[0].rpartition(":")[2]


def failed(deployed: Deployed, fargate_batch: CommandLine) -> str:
    execution = deployed.start(**json.loads(FAILING))
    deployed.ended(execution)
    identity = execution.rpartition(":")[2]
    fargate_batch.run(identity, "failed")
    return identity


@pytest.mark.slow
def test_start_prints_the_log_and_says_how_it_ended(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    answer = fargate_batch("start", "ingest", "--env", "CODE=0", "--raw", "--", "a", "--b", "日 本")
    assert answer.status == 0, answer.err
    assert answer.out.splitlines()[1] == "a --b 日 本 "
    run = fargate_batch.run(started(answer.err), "succeeded")
    assert run["startedBy"]["kind"] == "by"
    caller = deployed.client("sts").get_caller_identity()["Arn"].rpartition(":")[2]
    assert run["startedBy"]["name"] == caller


@pytest.mark.parametrize(("options", "status"), [((), 1), (("--exit-code",), 9)])
def test_start_of_a_run_that_fails_ends_with_1_or_with_its_exit_code(
    fargate_batch: CommandLine, options: tuple[str, ...], status: int
) -> None:
    answer = fargate_batch("start", "ingest", "--env", "CODE=9", *options)
    assert answer.status == status
    assert "exit code 9" in answer.err


def test_start_without_wait_and_with_a_timeout_leave_it_running(
    fargate_batch: CommandLine,
) -> None:
    answer = fargate_batch("start", "ingest", "--no-wait", "--json", "--env", "SLEEP=3600")
    assert answer.status == 0
    identity = answer.json["started"].rpartition(":")[2]
    fargate_batch.run(identity, "running")
    waited = fargate_batch("start", "ingest", "--timeout", "0s", "--env", "SLEEP=3600")
    assert waited.status == 3
    other = started(waited.err)
    stopped = fargate_batch("stop", identity, other, "--reason", "a test")
    assert stopped.status == 0
    run = fargate_batch.run(identity, "stopped")
    assert run["error"] == "Operator"
    assert run["reason"].endswith(": a test")
    again = fargate_batch("stop", identity, "--reason", "a test")
    assert (again.status, "has ended already" in again.out) == (1, True)


def test_a_dry_run_starts_fires_stops_and_retries_nothing(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    identity = failed(deployed, fargate_batch)
    before = {run["id"] for run in fargate_batch.runs()}
    answer = fargate_batch("start", "ingest", "--dry-run", "--", "a")
    assert answer.out.endswith('with {"commands": ["a"]}\n')
    assert "would run a task" in fargate_batch("fire", "hello", "--dry-run").out
    assert "has ended already" in fargate_batch("stop", identity, "--reason", "x", "--dry-run").out
    assert "would start it again" in fargate_batch("retry", identity, "--dry-run").out
    time.sleep(0.2)
    assert {run["id"] for run in fargate_batch.runs()} == before


def test_a_pipeline_takes_a_date_and_refuses_what_it_cannot_do(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    answer = fargate_batch("start", "nightly", "--no-wait", "--json", "--date", "2030-01-31T10:00Z")
    described = deployed.ended(answer.json["started"])
    assert json.loads(described["input"]) == {"scheduledTime": "2030-01-31T10:00:00Z"}
    for arguments, message in (
        (("nightly", "--", "a"), "nightly is a pipeline: its steps have their own arguments"),
        (("ingest", "--date", "2030-01-31"), "ingest is a job: --date and --from-step are for"),
        (("ingest", "--input", "{"), "--input is no JSON: "),
        (("ingest", "--input", "{}", "--env", "A=b"), "--input is the whole input: "),
        (("ingst",), "no such job or pipeline: ingst (did you mean ingest?)"),
    ):
        refused = fargate_batch("start", *arguments)
        assert (refused.status, refused.out) == (2, "")
        assert refused.err.startswith(message)


@pytest.mark.parametrize("name", ["nightly", "hello"])
def test_fire_does_what_the_schedule_does(
    deployed: Deployed, fargate_batch: CommandLine, name: str
) -> None:
    at = "2030-01-31T10:00:00Z"
    answer = fargate_batch("fire", name, "--at", at, "--json")
    arn: str = answer.json["started"]
    if name == "hello":
        run = fargate_batch.run(arn.rpartition("/")[2], "succeeded")
        assert run["startedBy"] == {"kind": "schedule", "name": "hello"}
    else:
        described = deployed.ended(arn)
        schedule = deployed.outputs["pipelines"]["nightly"]["scheduleArn"]
        assert json.loads(described["input"]) == {"schedule": schedule, "scheduledTime": at}


def test_what_ended_in_a_fail_state_is_started_again_once(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    identity = failed(deployed, fargate_batch)
    first = fargate_batch("retry", identity, "--json").json
    assert (first["how"], first["why"]) == (
        "start",
        "it ended in a Fail state, which a redrive would only enter again",
    )
    again = deployed.ended(first["started"])
    assert json.loads(again["input"]) == json.loads(FAILING)
    # That one failed, too: the next is another.
    second = fargate_batch("retry", identity, "--json").json
    assert second["started"] != first["started"]
    run = fargate_batch.run(second["started"].rpartition(":")[2])
    assert run["startedBy"] == {"kind": "retry", "name": identity[:40]}


def test_a_retry_that_runs_is_not_doubled(deployed: Deployed, fargate_batch: CommandLine) -> None:
    identity = failed(deployed, fargate_batch)
    deployed.held.touch()
    try:
        first = fargate_batch("retry", identity, "--json").json
        second = fargate_batch("retry", identity)
        assert second.status == 1
        assert "was retried already" in second.out
        assert "runs" in second.out
        running = fargate_batch("retry", first["started"].rpartition(":")[2])
        assert "still runs" in running.out
    finally:
        deployed.held.unlink()
    deployed.ended(first["started"])


def test_what_a_person_stopped_is_redriven(deployed: Deployed, fargate_batch: CommandLine) -> None:
    deployed.held.touch()
    try:
        execution = deployed.start()
        identity = execution.rpartition(":")[2]
        fargate_batch.run(identity, "running")
        assert fargate_batch("stop", identity, "--reason", "too early").status == 0
        stopped = fargate_batch.run(identity, "stopped")
    finally:
        deployed.held.unlink()
    answer = fargate_batch("retry", identity, "--json").json
    assert (answer["how"], answer["started"]) == ("redrive", stopped["arn"])
    assert "still runs" in fargate_batch("retry", identity).out or fargate_batch.run(identity)
    assert deployed.ended(execution)["status"] == "SUCCEEDED"
    run = fargate_batch.run(identity, "succeeded")
    assert run["began"] == stopped["began"]
    told = [one["text"] for one in fargate_batch("show", identity, "--json").json["timeline"]]
    assert "redriven" in told


@pytest.mark.slow
def test_a_pipeline_that_was_stopped_is_redriven_from_the_step_that_it_was_in(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    known = {one["id"] for one in fargate_batch.runs("--pipeline", "nightly")}

    def at_work() -> dict[str, Any] | None:
        steps = [one for one in fargate_batch.runs("--pipeline", "nightly") if one["tasks"]]
        return next((one for one in steps if one["id"] not in known), None)

    deployed.held.touch()
    try:
        begun: str = fargate_batch("start", "nightly", "--no-wait", "--json").json["started"]
        identity = begun.rpartition(":")[2]
        eventually(at_work)
        assert fargate_batch("stop", identity, "--reason", "too early").status == 0
        fargate_batch.run(identity, "stopped")
    finally:
        deployed.held.unlink()
    told = fargate_batch("retry", identity, "--json").json
    assert (told["how"], told["started"]) == ("redrive", begun)
    described = deployed.ended(begun)
    assert described["redriveCount"] == 1
    ended = json.loads(described["output"])["steps"]
    assert [one["status"] for one in ended] == ["SUCCEEDED", "SUCCEEDED"]


@pytest.mark.slow
@pytest.mark.parametrize("trigger", ["upload", "schedule"])
def test_a_task_is_started_as_its_trigger_started_it(
    deployed: Deployed, fargate_batch: CommandLine, trigger: str
) -> None:
    def failed_tasks() -> dict[str, dict[str, Any]]:
        runs = fargate_batch.runs("--status", "failed", "--last", "1000")
        return {one["id"]: one for one in runs if one["kind"] == "task"}

    known = failed_tasks()
    deployed.broken.touch()
    try:
        if trigger == "upload":
            deployed.put("test/aaa/complete.txt")
        else:
            assert fargate_batch("fire", "hello").status == 0
        [run] = eventually(
            lambda: [one for key, one in failed_tasks().items() if key not in known] or None
        )
    finally:
        deployed.broken.unlink()
    assert (run["kind"], run["exitCode"]) == ("task", 4)
    again = fargate_batch("retry", run["id"], "--json").json
    assert again["started"], again
    other = fargate_batch.run(again["started"].rpartition("/")[2], "succeeded")
    assert (other["object"], other["startedBy"]) == (run["object"], run["startedBy"])
    # ECS remembers the client token: a second retry is the first.
    assert fargate_batch("retry", run["id"], "--json").json["started"] == again["started"]


@pytest.mark.slow
def test_all_that_failed_is_retried_but_what_succeeded_or_would_fail_again(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    refused = deployed.start(wrong=True)
    deployed.ended(refused)
    identity = failed(deployed, fargate_batch)
    fargate_batch.run(refused.rpartition(":")[2], "failed")
    answer = fargate_batch("retry", "--failed", "--since", "1h")
    told = {line.split("  ")[0]: line for line in answer.out.splitlines()}
    assert answer.status == 0
    assert "start it again" in told[identity]
    assert "not retried" in told[refused.rpartition(":")[2]]
    assert fargate_batch("retry", "--failed").status == 2
    assert fargate_batch("retry").status == 2


@pytest.fixture(scope="module", autouse=True)
def nothing_left(deployed: Deployed) -> Generator[None]:
    """No task runs on after the tests."""
    yield
    ecs, cluster = deployed.client("ecs"), deployed.outputs["clusterArn"]
    for arn in ecs.list_tasks(cluster=cluster)["taskArns"]:
        ecs.stop_task(cluster=cluster, task=arn)


def test_a_pipeline_begins_with_the_step_that_is_named_and_is_retried_from_the_one_that_failed(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    deployed.broken.touch()
    try:
        date = "2030-01-31T10:00:00Z"
        options = ("--from-step", "2", "--date", date, "--no-wait", "--json")
        begun: str = fargate_batch("start", "nightly", *options).json["started"]
        assert deployed.ended(begun)["error"] == "Pipeline.StepFailed"
    finally:
        deployed.broken.unlink()
    identity = begun.rpartition(":")[2]
    fargate_batch.run(identity, "failed")
    told = fargate_batch("retry", identity, "--json").json
    assert told["how"] == "from-step"
    described = deployed.ended(told["started"])
    assert described["status"] == "SUCCEEDED"
    assert json.loads(described["input"]) == {
        "scheduledTime": date,
        "fromStep": 2,
        "results": [None],
    }
    first, second = json.loads(described["output"])["steps"]
    assert (first["status"], second["status"]) == ("SKIPPED", "SUCCEEDED")
    refused = fargate_batch("start", "nightly", "--from-step", "0")
    assert (refused.status, "0 is no number" in refused.err) == (2, True)


def exited(name: str, output: object, kind: str = "Task") -> dict[str, Any]:
    details = {"name": name, "output": json.dumps(output)}
    return {"type": f"{kind}StateExited", "stateExitedEventDetails": details}


@pytest.mark.parametrize(
    ("events", "step", "given", "expected"),
    [
        ([exited("Step1", DONE)], 2, [], [DONE]),
        (
            [exited("Begin", {}), exited("Step1", DONE), exited("Step2", [DONE, DONE])],
            3,
            [],
            [DONE, [DONE, DONE]],
        ),
        # A run that itself began later knows of the first what it was given.
        ([exited("Step2", DONE)], 3, [{"job": "a"}], [{"job": "a"}, DONE]),
        ([], 3, [], [None, None]),
        # Of the members of the failed step those that ended well are kept.
        (
            [exited("Step1Member2", DONE), exited("Step1Member1", {"failure": "x"})],
            1,
            [],
            [[None, DONE]],
        ),
        ([exited("Step1", DONE), exited("Step2Member1Kept", DONE, "Pass")], 2, [], [DONE, [DONE]]),
        ([exited("Step2Member1", {"job": "a", "status": "FAILED"})], 2, [DONE], [DONE]),
        ([exited("Step2Member1", DONE)], 3, [], [None, None]),
    ],
)
def test_the_results_of_the_steps_before_are_handed_on(
    events: list[dict[str, Any]], step: int, given: list[Any], expected: list[Any]
) -> None:
    assert starts.results_before(events, step, given) == expected
