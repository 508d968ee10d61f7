"""`backfill` and `backfills`: a job for many objects, changed, stopped and continued."""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest

from operate import cli, policies, runs
from operate.backfills import Order, estimate
from operate.objects import Object
from operate.runs import Attempt, Run, Started
from operate.stack import Stack
from tests.chromium import CHROMIUM, Tab
from tests.local.probe import eventually, make_queue
from tests.operate.conftest import CommandLine, Deployed, changed, deployments
from tests.operate.served import Client, served
from tests.operate.test_json import SAID
from tests.operate.test_page import NARROW, UNNAMED, page
from tests.operate.test_policies import Document, User, actions, user

__all__ = ["page", "user"]

UPLOADS = {
    "target": {"job": "ingest", "prefix": "target/", "exclude": "*.tmp"},
    "complete": {"job": "straight", "prefix": "straight/", "via": "task"},
}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Deployed]:
    yield from deployments(
        tmp_path_factory,
        backfills=True,
        jobs={"ingest": {}, "straight": {}},
        uploads=UPLOADS,
        resultsBucket={"prefix": "out/"},
    )


def objects(deployed: Deployed, folder: str, *names: str) -> list[str]:
    """Objects that are there already, as if from before there was a trigger."""
    keys = [f"target/{folder}/{name}" for name in names]
    events = deployed.client("events")
    rule = deployed.outputs["uploads"]["target"]["ruleArn"].rpartition("/")[2]
    events.disable_rule(Name=rule)
    with told_of(deployed, f"target/{folder}/") as told:
        for key in keys:
            deployed.put(key)
        # Events come after the answers, and may not find the rule enabled again.
        eventually(lambda: told() >= len(keys) or None)
    events.enable_rule(Name=rule)
    return keys


@contextmanager
def told_of(deployed: Deployed, prefix: str) -> Generator[Callable[[], int]]:
    """How many events of uploads below a prefix have come, for as long as this is open."""
    events, sqs = deployed.client("events"), deployed.client("sqs")
    name = prefix.replace("/", "-")
    url, arn = make_queue(deployed.cloud, name)
    pattern = {"source": ["aws.s3"], "detail": {"object": {"key": [{"prefix": prefix}]}}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def count() -> int:
        asked = ["ApproximateNumberOfMessages"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"]
        return int(found["ApproximateNumberOfMessages"])

    try:
        yield count
    finally:
        events.remove_targets(Rule=name, Ids=["queue"])
        events.delete_rule(Name=name)
        sqs.delete_queue(QueueUrl=url)


def test_a_backfill_runs_the_job_for_each_object_below_a_prefix(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    keys = objects(deployed, "all", "a.csv", 'b "ü" %2F.csv', "c.tmp")[:2]
    answer = fargate_batch("backfill", "ingest", "--prefix", "target/all/", "--json")
    assert answer.status == 0, answer.err
    one = answer.json
    assert list(one) == SAID["backfill"] == SAID["backfills"]
    assert (one["status"], one["objects"], one["succeeded"]) == ("succeeded", 2, 2)
    assert one["selection"] == "--prefix target/all/ --only missing"

    def known() -> list[dict[str, Any]] | None:
        found = fargate_batch.runs("--backfill", one["id"])
        return found if len(found) == 2 and all(run["exitCode"] == 0 for run in found) else None

    runs = eventually(known)
    assert {run["object"]["key"] for run in runs} == set(keys)
    assert {json.dumps(run["startedBy"]) for run in runs} == {
        json.dumps({"kind": "backfill", "name": one["id"][:12]})
    }
    # As after an upload: the key is the argument, and the variables are those of its event.
    logged = fargate_batch("logs", runs[0]["id"], "--raw").out.splitlines()
    assert logged[1] == f"{runs[0]['object']['key']} {runs[0]['object']['key']}"


def test_a_dry_run_says_how_many_how_long_and_what_it_costs(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    objects(deployed, "dry", "a.csv", "b.csv")
    every = ("backfill", "ingest", "--prefix", "target/dry/", "--dry-run")
    deployed.ended(deployed.start())
    eventually(lambda: fargate_batch.runs("--status", "succeeded") or None)
    told = fargate_batch(*every, "--json", "--max-concurrency", "1", "--max-failures", "0").json
    seconds, dollars = told.pop("seconds"), told.pop("usd")
    assert told == {
        "job": "ingest",
        "selection": "--prefix target/dry/ --only missing",
        "objects": 2,
        "bytes": 2,
        "maxConcurrency": 1,
        "toleratedFailures": 0,
    }
    assert seconds > 0
    # Two tasks of a minute at the least, and ten state transitions; more where tasks take longer.
    least = 2 * (0.000597 + 5 * 0.000025)
    assert least * 0.99 < dollars < least * 1.01 * max(1, seconds / 2 / 60)
    line = fargate_batch(*every).out
    assert line.startswith("would run ingest for 2 objects (2 B), 10 at once: about ")
    assert line.endswith("no more are begun once more than 10 have failed\n")
    assert fargate_batch("runs", "--upload", "target/dry/").out == ""


def run_of(waited: float, ran: float | None, took: float) -> Run:
    """A run that waited for a permit, and whose task then ran; of None nothing is logged."""
    began = datetime(2030, 1, 1, tzinfo=UTC)
    ended = began + timedelta(seconds=took)
    task = None
    if ran is not None:
        times = began + timedelta(seconds=waited), began + timedelta(seconds=waited + ran)
        task = Attempt("t", "ingest", "succeeded", 0, None, *times, ran, 0.5)
    return Run(
        *("r", "arn", "job", "ingest", "succeeded"),
        *(None, None, Started("other"), None, began, ended),
        attempts=(task,) if task else (),
    )


@pytest.mark.parametrize(
    ("permits", "at_once", "expected"),
    [(None, 10, 40.0), (20, 10, 40.0), (2, 10, 200.0), (2, 1, 400.0), (None, 40, 10.0)],
)
def test_an_estimate_knows_how_many_of_a_job_run_at_once(
    monkeypatch: pytest.MonkeyPatch, permits: int | None, at_once: int, expected: float
) -> None:
    # Each takes ten seconds from its task on, however long it waited.
    usual = [run_of(90, 9, 100), run_of(40, 9, 50), run_of(0, None, 10)]
    monkeypatch.setattr(runs, "recent", Mock(return_value=usual))
    index = {"maxConcurrency": {} if permits is None else {"ingest": permits}}
    one = Object("uploads", "key", 1, "etag", datetime.now(UTC))
    told = estimate(
        Stack(cast("Any", None), "project", "stack", index),
        Order("ingest", [one] * 40, "", at_once),
    )
    assert (told.seconds, told.permits) == (expected, permits)


def test_a_dry_run_says_that_fewer_run_at_once_than_are_begun(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    objects(deployed, "permits", "a.csv")
    every = ["backfill", "ingest", "--prefix", "target/permits/", "--dry-run"]
    limited = changed(deployed, maxConcurrency={"ingest": 2})
    assert cli.main(every, lambda _: limited) == 0
    assert ", 10 at once, 2 of them with a task (maxConcurrency of the job): " in (
        capsys.readouterr().out
    )
    assert cli.main([*every, "--max-concurrency", "2"], lambda _: limited) == 0
    assert ", 2 at once: " in capsys.readouterr().out


def test_only_what_has_no_newer_result_is_run_unless_more_is_asked_for(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    old, new, other = objects(deployed, "only", "old.csv", "new.csv", "other.csv.gz")
    digest = "0" * 32
    s3 = deployed.client("s3")
    for key in (f"{old}-{digest}.parquet", f"{old}-{digest}.report.json", f"{other}-{digest}.x"):
        s3.put_object(Bucket=deployed.outputs["resultsBucket"], Key=f"out/ingest/{key}", Body=b"")
    fill = ("backfill", "ingest", "--prefix", "target/only/", "--no-wait", "--json")
    one = fargate_batch(*fill).json
    run = eventually(lambda: fargate_batch.runs("--backfill", one["id"]) or None)
    assert [found["object"]["key"] for found in run] == [new]
    everything = fargate_batch(*fill, "--only", "all", "--dry-run").json
    assert everything["objects"] == 3
    since = fargate_batch(*fill, "--to", "2020-01-01T00:00Z", "--dry-run").json
    nothing = fargate_batch("backfill", "ingest", "--prefix", "target/none/", "--json")
    assert (nothing.status, nothing.json["objects"]) == (0, 0)
    assert nothing.err.startswith("Nothing to do: no such object without a result (--only all ")
    assert (since["objects"], since["selection"]) == (
        0,
        "--prefix target/only/ --to 2020-01-01T00:00:00+00:00 --only missing",
    )


def test_keys_of_a_file_are_run_and_what_is_no_object_is_refused(
    deployed: Deployed, fargate_batch: CommandLine, tmp_path: Path
) -> None:
    plain, odd, excluded = objects(deployed, "keys", "a.csv", "b\nc.csv", "d.tmp")
    file = tmp_path / "keys"
    file.write_text(f"{plain}\r\n{json.dumps(odd)}\n")
    told = fargate_batch("backfill", "ingest", "--keys", str(file), "--dry-run", "--json").json
    assert told["objects"] == 2
    file.write_text(f"{plain}\n{excluded}\ntarget/keys/gone\nstraight/x\n")
    refused = fargate_batch("backfill", "ingest", "--keys", str(file))
    assert (refused.status, refused.err) == (
        2,
        (
            "3 of 4 keys are of no object whose upload starts ingest: straight/x, "
            "target/keys/d.tmp, target/keys/gone\n"
        ),
    )


@pytest.mark.slow
def test_what_failed_is_run_again_by_a_backfill_of_its_own_once(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    keys = objects(deployed, "failed", "a.csv", "b.csv")
    fill = ("backfill", "ingest", "--prefix", "target/failed/", "--json")
    deployed.broken.touch()
    try:
        answer = fargate_batch(*fill)
    finally:
        deployed.broken.unlink()
    first = answer.json
    assert (answer.status, first["error"], first["reason"]) == (
        1,
        "Backfill.ObjectsFailed",
        "2 of 2 objects failed.",
    )
    assert f"`backfills continue {first['id'][:12]}` goes on" in answer.err
    eventually(
        lambda: (
            len(fargate_batch.runs("--backfill", first["id"], "--status", "failed")) == 2 or None
        )
    )
    failed = fargate_batch(*fill, "--only", "failed", "--dry-run").json
    assert failed["objects"] == 2
    dry = fargate_batch("backfills", "continue", first["id"], "--dry-run")
    assert dry.out.endswith("would run the 2 objects that failed again, in another backfill\n")
    second = fargate_batch("backfills", "continue", first["id"][:12], "--json").json
    assert (second["status"], second["succeeded"]) == ("succeeded", 2)
    assert second["startedBy"] == {"kind": "retry", "name": first["id"][:12]}
    again = fargate_batch("backfills", "continue", first["id"])
    assert (again.status, "was retried already" in again.err) == (1, True)
    done = fargate_batch("backfills", "continue", second["id"])
    assert done.err.endswith(" has nothing left to do\n")
    latest = eventually(
        lambda: (
            found
            if len(found := fargate_batch.runs("--backfill", second["id"], "--status", "succeeded"))
            == 2
            else None
        )
    )
    assert {run["object"]["key"] for run in latest} == set(keys)
    assert fargate_batch(*fill, "--only", "failed", "--dry-run").json["objects"] == 0


@pytest.mark.slow
def test_too_many_failures_end_it_and_a_redrive_goes_on(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    objects(deployed, "many", *(f"{n}.csv" for n in range(6)))
    deployed.broken.touch()
    try:
        answer = fargate_batch(
            *("backfill", "ingest", "--prefix", "target/many/", "--json"),
            *("--max-concurrency", "1", "--max-failures", "1"),
        )
    finally:
        deployed.broken.unlink()
    found = answer.json
    assert (answer.status, found["error"]) == (1, "States.ExceedToleratedFailureThreshold")
    assert (found["failed"], found["pending"]) == (2, 4)
    dry = fargate_batch("backfills", "continue", "@latest", "--dry-run").out
    assert dry.endswith("would redrive it: 6 of 6 objects have not succeeded\n")
    went_on = fargate_batch("backfills", "continue", found["id"], "--json").json
    assert (went_on["id"], went_on["status"], went_on["succeeded"]) == (
        found["id"],
        "succeeded",
        6,
    )


@pytest.mark.slow
def test_one_that_runs_is_made_faster_stopped_and_continued(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    objects(deployed, "held", *(f"{n}.csv" for n in range(5)))
    fill = ("backfill", "ingest", "--prefix", "target/held/", "--max-concurrency", "1")
    deployed.held.touch()
    try:
        waited = fargate_batch(*fill, "--timeout", "0s", "--json")
        assert waited.status == 3
        identity = waited.err.splitlines()[1].partition(" ")[0]

        def running(count: int) -> dict[str, Any] | None:
            found = fargate_batch("backfills", "show", identity, "--json").json
            return found if found["running"] == count else None

        assert eventually(lambda: running(1))["pending"] == 4
        assert fargate_batch("backfills", "rate", identity, "3").out == (
            f"{identity}  3 at once instead of 1\n"
        )
        assert eventually(lambda: running(3))["maxConcurrency"] == 3
        [row] = [one for one in fargate_batch("backfills").rows if one["backfill"] == identity]
        assert (row["status"], row["done"], row["at once"]) == ("running", "0 of 5", "3")
        twice = fargate_batch(*fill)
        assert twice.status == 1
        assert twice.err.splitlines()[1].startswith(f"{identity[:12]} still runs ingest for these")
        refused = fargate_batch("backfills", "continue", identity)
        assert (refused.status, refused.err) == (1, f"{identity[:12]} still runs\n")
        stopped = fargate_batch("backfills", "stop", identity, "--reason", "too early")
        assert (stopped.status, stopped.out) == (0, f"{identity}  stopped\n")
        ended = eventually(
            lambda: (
                found
                if (found := fargate_batch("backfills", "show", identity, "--json").json)["stopped"]
                == 3
                else None
            )
        )
        assert (ended["status"], ended["error"]) == ("stopped", "Operator")
        assert ended["reason"].endswith(": too early")
        # What it ran is stopped, too.
        eventually(
            lambda: (
                len(fargate_batch.runs("--backfill", identity, "--status", "stopped")) == 3 or None
            )
        )
    finally:
        deployed.held.unlink()
    for command in (("rate", identity, "5"), ("stop", identity, "--reason", "x")):
        assert fargate_batch("backfills", *command).status == 1
    answer = fargate_batch("backfills", "continue", identity)
    assert answer.status == 0, answer.err
    assert "succeeded      5" in answer.out

    def again() -> int:
        return sum("-1_" in run["id"] for run in fargate_batch.runs("--backfill", identity))

    eventually(lambda: again() == 3 or None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ingest",), "which objects? give --prefix (--prefix '' is all), --from, --to or --keys "),
        (("ingest", "--prefix", "a", "--keys", "x"), "give --keys or --prefix, not both"),
        (("ingst", "--prefix", "a"), "no such job: ingst (did you mean ingest?)"),
        (("straight", "--prefix", ""), "no upload starts the state machine of straight: only a "),
        (("ingest", "--keys", "/nowhere"), "--keys /nowhere: No such file or directory\n"),
    ],
)
def test_what_cannot_be_run_so_is_refused(
    fargate_batch: CommandLine, arguments: tuple[str, ...], message: str
) -> None:
    refused = fargate_batch("backfill", *arguments)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith(message)


def test_a_backfill_that_is_not_there_is_said_so(fargate_batch: CommandLine) -> None:
    answer = fargate_batch("backfills", "show", "zzz")
    assert (answer.status, answer.err) == (2, "no such backfill: zzz (`backfills` lists them)\n")


@pytest.mark.slow
def test_the_page_shows_how_far_they_are_and_changes_them_once_that_is_sure(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    objects(deployed, "page", "a.csv", "b.csv")
    fill = ("backfill", "ingest", "--prefix", "target/page/", "--max-concurrency", "1", "--json")
    deployed.broken.touch()
    try:
        failed = fargate_batch(*fill).json
    finally:
        deployed.broken.unlink()
    with served(deployed.stack()) as server:
        client = Client(server).enter()
        shown = client.get("/backfills").text
        assert "0 of 2" in shown
        assert f'href="/runs?backfill={failed["id"][:12]}&amp;status=failed">2 failed</a>' in shown
        assert "<form" not in shown
        # What failed is the backfill's matter, and said once.
        now = client.get("/").text
        assert "Backfills that failed" in now
        assert "2 of 2 objects failed" in now
        assert "Failed, and nothing made it good since" not in now
        assert client.post("/backfills", [("backfill", failed["id"])]).status == 403

    with served(deployed.stack(), write=True) as server:
        client = Client(server).enter()

        def post(action: str, identity: str, **more: str) -> str:
            form = [("backfill", identity), ("action", action), *more.items()]
            answer = client.post("/backfills", form)
            return f"{answer.status} {answer.text}"

        assert "which backfill?" in post("continue", "")
        assert "run the 2 objects that failed again" in post("continue", failed["id"])
        assert len(fargate_batch("backfills", "--json").json) >= 1
        deployed.held.touch()
        try:
            assert "Done" in post("continue", failed["id"], sure="yes")
            [again] = [
                one
                for one in fargate_batch("backfills", "--json").json
                if one["startedBy"] == {"kind": "retry", "name": failed["id"][:12]}
            ]
            eventually(
                lambda: (
                    fargate_batch("backfills", "show", again["id"], "--json").json["running"] == 1
                    or None
                )
            )
            assert "2 at once instead of 1" in post("rate", again["id"], at_once="2", sure="yes")
            eventually(
                lambda: (
                    fargate_batch("backfills", "show", again["id"], "--json").json["running"] == 2
                    or None
                )
            )
            assert "Backfills that failed" not in client.get("/").text
            assert post("rate", again["id"], at_once="0").startswith("404 ")
            assert "say why: it is kept" in post("stop", again["id"])
            assert "would be stopped with 2 runs" in post("stop", again["id"], reason="x")
            assert "stopped" in post("stop", again["id"], reason="x", sure="yes")
        finally:
            deployed.held.unlink()
        found = fargate_batch("backfills", "show", again["id"], "--json").json
        assert (found["status"], found["reason"].rpartition(": ")[2]) == ("stopped", "x")
        assert f'id="change-{again["id"]}-stopped"' in client.get("/backfills").text


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here")
def test_a_backfill_is_watched_and_stopped_on_a_phone(
    page: Tab, deployed: Deployed, fargate_batch: CommandLine
) -> None:
    objects(deployed, "phone", "a.csv", "b.csv", "c.csv")
    fill = ("backfill", "ingest", "--prefix", "target/phone/", "--max-concurrency", "1")
    deployed.held.touch()
    try:
        identity = fargate_batch(*fill, "--no-wait", "--json").json["id"]
        page.size(*NARROW)
        page.open(page.run("location.origin") + "/backfills")
        form = f"document.querySelector('#change-{identity}-running')"
        page.until(form)
        assert page.run("document.documentElement.scrollWidth") <= NARROW[0]
        assert page.run(f"{UNNAMED}.length") == 0
        page.run(f"{form}.querySelector('[name=reason]').value = 'too early'")
        fargate_batch("backfills", "rate", identity, "2")
        page.until("document.querySelector('tbody tr').innerText.includes('2 running')")
        # What was typed stays while rows change.
        page.run(f"{form}.querySelector('button[value=stop]').click()")
        page.until("document.querySelector('h1').innerText == 'Sure?'")
        page.run("document.querySelector('button[value=stop]').click()")
        page.until("document.querySelector('h1').innerText == 'Done'")
    finally:
        deployed.held.unlink()
    found = fargate_batch("backfills", "show", identity, "--json").json
    assert (found["status"], found["reason"].rpartition(": ")[2]) == ("stopped", "too early")


FILL = ("backfill", "ingest", "--prefix", "target/policy/", "--only", "all")
READERS = {
    "states:ListExecutions": ("backfills",),
    "states:DescribeExecution": ("backfills",),
    "states:ListMapRuns": ("backfills",),
    "states:DescribeMapRun": ("backfills",),
    "states:GetExecutionHistory": ("backfills", "continue", "STOPPED", "--dry-run"),
    "s3:ListBucket": (*FILL, "--dry-run"),
}
ACTORS = {
    "states:StartExecution": (*FILL, "--no-wait"),
    "s3:PutObject": (*FILL, "--no-wait"),
    "states:UpdateMapRun": ("backfills", "rate", "RUNNING", "2"),
    "states:StopExecution": ("backfills", "stop", "RUNNING", "--reason", "x"),
    "states:RedriveExecution": ("backfills", "continue", "STOPPED", "--no-wait"),
    "s3:GetObject": ("backfills", "continue", "FAILED", "--no-wait"),
}
# The laptop's buckets of this stack have no key of their own.
NOT_HERE = {"kms:Decrypt", "kms:GenerateDataKey"}


def of_backfills(document: Document) -> Document:
    """The statements that a stack without backfills does not have."""
    sids = ("Backfill", "ListObjects", "ListsOfObjects", "KeyOfBucket")
    return {"Statement": [one for one in document["Statement"] if one["Sid"].startswith(sids)]}


@pytest.mark.slow
def test_each_command_works_with_its_policy_and_not_without_a_part_of_it(
    deployed: Deployed, fargate_batch: CommandLine, user: User
) -> None:
    objects(deployed, "policy", "a.csv")
    reading, acting = policies.reading(deployed.stack()), policies.acting(deployed.stack())
    assert actions(of_backfills(reading)) == READERS.keys()
    assert actions(of_backfills(acting)) == READERS.keys() | ACTORS.keys() | NOT_HERE
    assert len(json.dumps(acting, separators=(",", ":"))) < policies.MOST_CHARACTERS
    deployed.broken.touch()
    try:
        names = {"FAILED": fargate_batch(*FILL, "--json").json["id"]}
    finally:
        deployed.broken.unlink()

    def started(*more: str) -> str:
        return fargate_batch(*FILL, *more, "--no-wait", "--json").json["id"]

    def running(identity: str) -> bool | None:
        found = fargate_batch("backfills", "show", identity, "--json").json
        return found["running"] == 1 or None

    def answer(command: tuple[str, ...], document: Document) -> tuple[int, str]:
        given = fargate_batch(*(names.get(one, one) for one in command), aws=user(document))
        return given.status, given.err + given.out

    deployed.held.touch()
    try:
        names |= {
            name: started("--from", since)
            for name, since in {"STOPPED": "2020-01-01", "RUNNING": "2020-01-02"}.items()
        }
        for identity in (names["STOPPED"], names["RUNNING"]):
            eventually(lambda identity=identity: running(identity))
        fargate_batch("backfills", "stop", names["STOPPED"], "--reason", "a test")
        for table, document, name in ((READERS, reading, "reading"), (ACTORS, acting, "acting")):
            for action, command in table.items():
                kept = [
                    {**one, "Action": [it for it in one["Action"] if it != action]}
                    if one in of_backfills(document)["Statement"]
                    else one
                    for one in document["Statement"]
                ]
                left = [one for one in kept if one["Action"]]
                status, text = answer(command, {**document, "Statement": left})
                assert (status, "not allowed" in text) == (4, True), (action, status, text)
                assert f"`fargate-batch policy {name}`" in text, (action, text)
        for table, document in ((READERS, reading), (ACTORS, acting)):
            for command in dict.fromkeys(table.values()):
                status, text = answer(command, document)
                assert status == 0, (command, text)
    finally:
        deployed.held.unlink()
