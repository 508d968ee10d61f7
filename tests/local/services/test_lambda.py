"""Lambda in the laptop's cloud: real handlers in real processes, in order, with their failures."""

import base64
import gc
import io
import json
import logging
import os
import queue
import tempfile
import threading
import time
import warnings
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.cloud import Cloud
from tests.local.machines import ROLE, Machines, make_role
from tests.local.probe import REGION, eventually, make_queue
from tests.local.services.test_events import add_rule, attributes, put, take

HANDLER = """
import json, os, subprocess, time
class BadData(ValueError):
    pass
def handler(event, context):
    detail = event.get("detail", event)
    if "fail" in detail:
        print("failing")
        raise BadData(detail["fail"])
    if "environment" in detail:
        return dict(os.environ)
    if "busy" in detail:
        child = subprocess.Popen(["sleep", "600"])
        with open(detail["busy"], "a") as file:
            file.write(f"{os.getpid()} {child.pid} ")
        time.sleep(600)
    print(json.dumps(detail))
    return detail
"""


@pytest.fixture
def quick() -> Generator[Cloud]:
    """A cloud in which a second of waiting takes a millisecond."""
    with Cloud(0, REGION, wait_scale=0.001) as cloud:
        make_role(cloud)
        yield cloud


def make_function(cloud: Cloud, **fields: object) -> str:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", HANDLER)
    functions = cloud.client("lambda")
    arn = functions.create_function(
        FunctionName="f",
        Runtime="python3.13",
        Architectures=["arm64"],
        Handler="index.handler",
        Role=ROLE,
        Code={"ZipFile": archive.getvalue()},
        **fields,
    )["FunctionArn"]
    functions.add_permission(
        FunctionName="f",
        StatementId="events",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
    )
    eventually(
        lambda: (
            True
            if functions.get_function(FunctionName="f")["Configuration"]["State"] == "Active"
            else None
        )
    )
    return arn


def lines(cloud: Cloud, group: str) -> list[str]:
    logs = cloud.client("logs")
    try:
        events = logs.filter_log_events(logGroupName=group)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in events]


def test_a_functions_folder_is_in_that_of_the_cloud(
    quick: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_function(quick)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer = quick.client("lambda").invoke(FunctionName="f", Payload=b'{"a": 1}')
    assert json.loads(answer["Payload"].read()) == {"a": 1}
    assert list((quick.instance.folder / "scratch" / "functions").iterdir())
    assert not list(tmp_path.iterdir())


def test_events_reach_a_function_in_order_and_its_log_in_its_own_group(quick: Cloud) -> None:
    quick.client("logs").create_log_group(logGroupName="/stack/f")
    arn = make_function(quick, LoggingConfig={"LogFormat": "Text", "LogGroup": "/stack/f"})
    add_rule(quick, "r", {"Arn": arn})
    for number in range(20):
        put(quick, {"n": number})

    def said() -> list[int] | None:
        found = [json.loads(line)["n"] for line in lines(quick, "/stack/f") if line[0] == "{"]
        return found if len(found) == 20 else None

    assert eventually(said) == list(range(20))
    first = [line.split(" ")[0].split("\t")[0] for line in lines(quick, "/stack/f")[:4]]
    assert first == ["START", '{"n":', "END", "REPORT"]


def test_what_a_function_wrote_is_in_the_log_however_late_it_is_read(
    quick: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_function(quick)
    put = queue.Queue.put

    def late(self: queue.Queue[str], item: str) -> None:
        if threading.current_thread().name == "stderr-f":
            time.sleep(0.3)
        put(self, item)

    monkeypatch.setattr(queue.Queue, "put", late)
    for number in range(2):
        answer = quick.client("lambda").invoke(
            FunctionName="f", Payload=json.dumps({"detail": {"n": number}}), LogType="Tail"
        )
        assert f'{{"n": {number}}}' in base64.b64decode(answer["LogResult"]).decode().splitlines()


def test_an_error_is_named_by_the_exception_s_class(quick: Cloud) -> None:
    arn = make_function(quick)
    answer = quick.client("lambda").invoke(FunctionName="f", Payload=b'{"fail": "no: rows"}')
    body = json.load(answer["Payload"])
    assert answer["FunctionError"] == "Unhandled"
    assert (body["errorType"], body["errorMessage"]) == ("BadData", "no: rows")
    assert "in handler" in "".join(body["stackTrace"])
    call = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}
    call |= {"Arguments": {"FunctionName": arn, "Payload": {"fail": "x"}}}
    _, error, cause = Machines(quick).outcome({"Call": call})
    assert error == "BadData"
    assert json.loads(cause)["errorMessage"] == "x"
    direct = {"Type": "Task", "Resource": arn, "Arguments": {"n": 1}, "End": True}
    assert Machines(quick).outcome({"Call": direct}) == {"n": 1}


def test_a_failed_event_is_tried_again_and_then_goes_to_both_queues(quick: Cloud) -> None:
    dead_url, dead = make_queue(quick, "dead")
    failed_url, failed = make_queue(quick, "failed")
    arn = make_function(quick, DeadLetterConfig={"TargetArn": dead})
    quick.client("lambda").put_function_event_invoke_config(
        FunctionName="f",
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": failed}},
    )
    add_rule(quick, "r", {"Arn": arn})
    put(quick, {"fail": "always"})
    record = json.loads(take(quick, failed_url)["Body"])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["requestPayload"]["detail"] == {"fail": "always"}
    assert record["responsePayload"]["errorType"] == "BadData"
    letter = take(quick, dead_url)
    assert json.loads(letter["Body"])["detail"] == {"fail": "always"}
    assert attributes(letter)["ErrorMessage"] == "always"
    assert lines(quick, "/aws/lambda/f").count("failing") == 2


def test_a_function_sees_its_own_environment_and_its_role_s_credentials(
    quick: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THIS_MACHINE", "hunter2")
    monkeypatch.setenv("LEVEL", "INFO")
    make_function(quick, Environment={"Variables": {"LEVEL": "INFO"}})
    answer = quick.client("lambda").invoke(FunctionName="f", Payload=b'{"environment": 1}')
    seen: dict[str, Any] = json.load(answer["Payload"])
    assert "SECRET_OF_THIS_MACHINE" not in seen
    assert seen["LEVEL"] == "INFO"
    assert seen["AWS_REGION"] == REGION
    assert seen["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert seen["AWS_SECRET_ACCESS_KEY"] != os.environ.get("AWS_SECRET_ACCESS_KEY")


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_busy_function_ends_with_the_cloud_and_leaves_nothing_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = set(threading.enumerate())
    started = tmp_path / "pids"
    with Cloud(0, REGION) as cloud:
        make_role(cloud)
        arn = make_function(cloud, Timeout=900)
        add_rule(cloud, "r", {"Arn": arn})
        for _ in range(3):
            put(cloud, {"busy": str(started)})
        machines = Machines(cloud)
        call = {"Type": "Task", "Resource": arn, "Arguments": {"busy": str(started)}, "End": True}
        machines.start(machines.create("m", {"Call": call}))

        def busy() -> list[int] | None:
            pids = started.read_text().split() if started.exists() else []
            return [int(pid) for pid in pids] if len(pids) == 4 else None

        pids = eventually(busy)
    eventually(lambda: all(map(ended, pids)) or None)
    assert len(started.read_text().split()) == 4
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(warning.message) for warning in unclosed] == []
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not [name for name in left if name.startswith(("function", "stderr-", "Thread-"))]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
