"""`runs`, `show` and `logs`: what ran, why it ended so, and what it wrote."""

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from operate import runs
from tests.local.probe import eventually
from tests.operate.conftest import CommandLine, Deployed

KEY = 'target/a\x1b[2J "b"\n日本.csv'
SHOWN = r'target/a\x1b[2J "b"\n日本.csv'


def test_an_upload_is_a_run_with_its_key_task_and_cost(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    deployed.put(KEY)

    def with_its_task() -> list[dict[str, Any]] | None:
        # The end of an execution may be logged before that of its task.
        runs = fargate_batch.runs("--upload", "日本", "--status", "succeeded")
        return runs if runs and runs[0]["exitCode"] is not None else None

    [run] = eventually(with_its_task)
    assert (run["kind"], run["name"], run["exitCode"]) == ("job", "ingest", 0)
    assert run["startedBy"] == {"kind": "upload", "name": KEY}
    assert run["object"] == {"bucket": deployed.outputs["uploadBucket"], "key": KEY}
    assert [task["status"] for task in run["tasks"]] == ["succeeded"]
    # A minute, Fargate's least, of 0.5 vCPU and 1 GB in Tokyo, with an address.
    assert run["costUsd"] == pytest.approx((0.5 * 0.05056 + 0.00553 + 0.005) / 60, abs=1e-6)
    told = fargate_batch("show", run["id"], "--json").json["timeline"]
    rule = deployed.outputs["uploads"]["target"]["ruleArn"].rpartition("/")[2]
    assert [(one["what"], one["text"]) for one in told[:3]] == [
        ("upload", f"s3://{deployed.outputs['uploadBucket']}/{KEY} (PutObject)"),
        ("rule", f"{rule} matched"),
        ("execution", "started"),
    ]
    assert datetime.fromisoformat(run["began"]) < datetime.fromisoformat(run["ended"])


def test_a_task_straight_from_a_rule_is_a_run_of_the_upload(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    deployed.put("test/aaa/complete.txt")
    [run] = eventually(
        lambda: fargate_batch.runs("--upload", "complete", "--status", "succeeded") or None
    )
    assert (run["kind"], run["name"]) == ("task", "ingest")
    assert run["startedBy"] == {"kind": "upload", "name": "test/aaa/complete.txt"}


def test_a_failure_is_told_with_its_reason_and_what_to_do(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    execution = deployed.start(commands=["x"], environment={"CODE": "65"})
    deployed.ended(execution)
    identity = execution.rpartition(":")[2]
    # The task's end may be logged a little after the execution's.
    run = eventually(
        lambda: one if (one := fargate_batch.run(identity, "failed"))["exitCode"] else None
    )
    assert (run["error"], run["exitCode"]) == ("Batch.BadData", 65)
    told = fargate_batch("show", identity[:10], "--json").json
    whats = [(one["what"], one["text"].partition(" ")[0]) for one in told["timeline"]]
    task = run["tasks"][0]["id"]
    order = [
        ("execution", "started"),
        ("task", task),
        ("log", "x"),
        ("task", "Task"),
        ("execution", "failed:"),
    ]
    at = -1
    for one in order:
        at = whats.index(one, at + 1)
    assert told["advice"].startswith("Correct the data")
    assert told["places"][0]["subnet"] in deployed.outputs["subnetIds"]
    assert json.loads(told["input"]) == {"commands": ["x"], "environment": {"CODE": "65"}}
    shown = fargate_batch("show", identity)
    assert shown.status == 0
    assert "exit code 65" in shown.out
    assert "Correct the data" in shown.out


def test_a_refused_input_is_a_failed_run_without_a_task(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    execution = deployed.start(wrong=True)
    run = fargate_batch.run(execution.rpartition(":")[2], "failed")
    assert (run["error"], run["tasks"], run["costUsd"]) == ("Input.Invalid", [], None)
    assert run["reason"].startswith("Expected an S3 'Object Created' event")


def test_a_pipeline_is_a_run_and_so_is_each_of_its_steps(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    machine = deployed.outputs["pipelines"]["nightly"]["stateMachineArn"]
    states = deployed.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    deployed.ended(execution)
    whole = eventually(
        lambda: (
            found
            if len(found := fargate_batch.runs("--pipeline", "nightly", "--status", "succeeded"))
            == 3
            else None
        )
    )
    assert [run["kind"] for run in whole] == ["job", "job", "pipeline"]
    assert {json.dumps(run["startedBy"]) for run in whole[:2]} == {
        '{"kind": "pipeline", "name": "nightly"}'
    }
    refused = fargate_batch("logs", whole[-1]["id"])
    assert refused.status == 2
    assert "`runs --pipeline nightly` lists its steps" in refused.err


def test_a_running_run_is_followed_to_its_end(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    deployed.held.touch()
    execution = deployed.start(commands=["late"], environment={"CODE": "7"})
    identity = execution.rpartition(":")[2]
    try:
        fargate_batch.run(identity, "running")
        threading.Timer(0.5, deployed.held.unlink).start()
        followed = fargate_batch("logs", identity, "--follow")
    finally:
        deployed.held.unlink(missing_ok=True)
    assert followed.status == 7
    lines = [line.split("  ") for line in followed.out.splitlines()]
    assert [line[2] for line in lines] == ["began, arguments 1", "late "]
    assert len({line[1] for line in lines}) == 1
    assert "exit code 7" in followed.err
    raw = fargate_batch("logs", identity, "--raw")
    assert raw.out.splitlines() == ['{"event": "began", "arguments": 1}', "late "]


def test_the_log_of_a_job_has_all_its_tasks_with_times_of_rfc_3339(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    for text in ("one", "two"):
        deployed.ended(deployed.start(commands=[text]))
    answer = fargate_batch("logs", "ingest")
    lines = [line.split("  ") for line in answer.out.splitlines()]
    assert {"one ", "two "} <= {line[2] for line in lines}
    assert len({line[1] for line in lines}) >= 2
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line[0]) for line in lines)
    none = fargate_batch("logs", "ingest", "--since", "2020-01-01", "--until", "2020-01-02")
    assert (none.status, none.out) == (0, "")
    assert "give --since" in none.err


def test_control_characters_never_reach_the_output(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    deployed.put(KEY)
    run = eventually(lambda: fargate_batch.runs("--upload", "日本") or None)[0]
    fargate_batch.run(run["id"], "succeeded")
    for command in (("runs",), ("show", run["id"]), ("logs", run["id"]), ("logs", "ingest")):
        answer = fargate_batch(*command)
        # A log driver makes two lines of a text with a newline in it.
        assert SHOWN.partition(r"\n")[0] in answer.out, command
        assert command[0] == "logs" or SHOWN in answer.out
        assert "\x1b" not in answer.out


def test_what_is_not_a_terminal_gets_whole_rows(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    fargate_batch.run(deployed.start().rpartition(":")[2])
    answer = fargate_batch("runs")
    assert answer.status == 0
    [first, *_] = answer.rows
    assert list(first) == [
        *("run", "status", "name", "kind", "started by"),
        *("began", "took", "tasks", "usd", "reason"),
    ]
    assert len(first["run"]) >= 32
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["began"])


def test_a_key_or_a_beginning_that_is_several_runs_is_listed(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    deployed.put("target/twice.csv")
    deployed.put("target/twice.csv")
    eventually(lambda: len(fargate_batch.runs("--upload", "twice")) == 2 or None)
    listed = fargate_batch("show", "target/twice.csv")
    assert (listed.status, len(listed.rows)) == (0, 2)
    assert listed.err == "2 runs are called that:\n"
    latest = fargate_batch("show", "@latest", "--json").json
    assert latest["id"] == fargate_batch.runs("--last", "1")[0]["id"]


def test_runs_are_found_again_once_ecs_has_forgotten_their_tasks(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    kept = deployed.start(commands=["kept"])
    fargate_batch.run(kept.rpartition(":")[2], "succeeded")
    before = eventually(
        lambda: fargate_batch.runs() if all(r["ended"] for r in fargate_batch.runs()) else None
    )
    asked: list[str] = []
    stack = deployed.stack()
    ecs = stack.aws.client("ecs")
    ecs.meta.events.register("before-call.ecs.*", lambda model, **_: asked.append(model.name))
    found = runs.recent(stack, last=20)
    assert [run.id for run in found] == [run["id"] for run in before]
    assert all(run.attempts for run in found if run.error != "Input.Invalid" and run.kind == "job")
    # ECS is asked for what runs, and told of nothing that has ended.
    assert set(asked) == {"ListTasks"}


@pytest.mark.slow
def test_the_calls_do_not_grow_with_the_runs(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    for execution in [deployed.start() for _ in range(6)]:
        fargate_batch.run(execution.rpartition(":")[2])
    calls: list[str] = []
    stack = deployed.stack()
    for service in ("logs", "ecs", "stepfunctions", "ssm"):
        stack.aws.client(service).meta.events.register(
            "before-call.*.*", lambda model, **_: calls.append(model.name)
        )
    found = runs.recent(stack, since=datetime.now(UTC) - timedelta(hours=1))
    assert len(found) >= 6
    # The log, ECS's list of what runs, and what it says of those.
    assert len(calls) <= 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs", "--job", "ingst"), "no such job: ingst (did you mean ingest?)\n"),
        (("runs", "--pipeline", "x"), "no such pipeline: x (there are: nightly)\n"),
        (("logs", "ingset"), "no such run or job: ingset (did you mean ingest?)\n"),
        (("show", "0000000000"), "no such run: 0000000000 (`runs` lists them)\n"),
        (("runs", "--stack", "absent"), "no stack absent of fargate-batch in ap-northeast-1: "),
        (("rnus",), "fargate-batch: no such choice: rnus (did you mean runs?)\n"),
        (("runs", "--since", "x"), "fargate-batch runs: argument --since: x is neither a"),
        (("runs", "--last", "0"), "fargate-batch runs: argument --last: 0 is no number"),
        (("runs", "--", "x"), "fargate-batch: "),
    ],
)
def test_wrong_use_is_one_line_with_the_nearest_name(
    fargate_batch: CommandLine, arguments: tuple[str, ...], message: str
) -> None:
    answer = fargate_batch(*arguments)
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith(message)
    assert answer.err.count("\n") == 1


def test_what_is_read_on_is_what_a_reading_of_everything_tells(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    stack = deployed.stack()
    history = runs.History(stack, 500, timedelta(days=7))
    for code in ("0", "3"):
        execution = deployed.start(commands=["x"], environment={"CODE": code})
        fargate_batch.run(execution.rpartition(":")[2])
        history.runs()
        deployed.ended(execution)
        eventually(lambda: history.runs() == runs.recent(stack, last=500) or None)
    # No more is kept than is told.
    [newest] = runs.History(stack, 1, timedelta(days=7)).runs()
    assert newest.arn == execution
