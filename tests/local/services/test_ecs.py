"""Tasks as processes: from RunTask to STOPPED, over HTTP, with real processes."""

import json
import os
import threading
import time
import uuid
from collections.abc import Generator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psutil
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from local.cloud import Cloud
from local.ministack import internals
from local.services.ecs import ecs
from local.services.ecs.build import with_command
from local.services.ecs.containers import Place, role_credentials
from local.services.ecs.ecs import EcsError
from local.services.ecs.images import Images
from local.services.ecs.processes import LINE_BYTES, Line, Lines, OnThisMachine, Process
from tests.local.probe import (
    LOG_GROUP,
    REGION,
    ROLE,
    Stack,
    eventually,
    make_stack,
    write_image,
)


def exit_of(task: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "stopCode": task["stopCode"],
        "stoppedReason": task["stoppedReason"],
        "exitCodes": [container.get("exitCode") for container in task["containers"]],
    }


def shown(stack: Stack, arn: str) -> tuple[list[bytes], dict[str, bytes]]:
    """The arguments and the environment that the container printed, as bytes."""
    assert exit_of(stack.stopped(arn))["exitCodes"] == [0]
    (line,) = stack.log(arn)
    found = json.loads(line)
    return (
        [bytes.fromhex(word) for word in found["arguments"]],
        {name: bytes.fromhex(value) for name, value in found["environment"].items()},
    )


def refusal(stack: Stack, task_definition: str, *command: str, **fields: object) -> str:
    with pytest.raises(ClientError) as caught:
        stack.run(task_definition, *command, **fields)
    error = caught.value.response.get("Error", {})
    return f"{error.get('Code')}: {error.get('Message')}"


def published(cloud: Cloud) -> list[dict[str, Any]]:
    """Every state-change event on the default bus, as MiniStack keeps them."""
    with cloud.scope():
        return [
            json.loads(event["Detail"])
            for event in internals.events_log()
            if event["DetailType"] == "ECS Task State Change"
        ]


def statuses(events: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [(event["version"], event["lastStatus"], event["desiredStatus"]) for event in events]


def test_a_task_without_overrides_runs_the_command_of_its_image(stack: Stack) -> None:
    task = stack.stopped(stack.run(stack.define())["taskArn"])
    assert exit_of(task) == {
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "exitCodes": [3],
    }


def test_run_task_answers_at_once_with_a_provisioning_task(stack: Stack) -> None:
    arn = stack.define()
    task = stack.run(arn, "exit", "0", startedBy="me", tags=[{"key": "a", "value": "b"}], count=1)
    expected = {
        "lastStatus": "PROVISIONING",
        "desiredStatus": "RUNNING",
        "version": 1,
        "launchType": "FARGATE",
        "platformVersion": "1.4.0",
        "group": "family:probe",
        "startedBy": "me",
        "taskDefinitionArn": arn,
        "cpu": "256",
        "memory": "512",
        "tags": [{"key": "a", "value": "b"}],
    }
    assert {name: task[name] for name in expected} == expected
    assert task["overrides"] == {
        "containerOverrides": [{"name": "probe", "command": ["exit", "0"]}],
        "inferenceAcceleratorOverrides": [],
    }
    assert "startedAt" not in task
    assert "exitCode" not in task["containers"][0]


@pytest.mark.parametrize("code", [0, 1, 65, 75, 255])
def test_the_exit_code_of_the_process_is_the_containers(stack: Stack, code: int) -> None:
    task = stack.stopped(stack.run(stack.define(), "exit", str(code))["taskArn"])
    assert exit_of(task)["exitCodes"] == [code]


@pytest.mark.parametrize(("signal", "code"), [(9, 137), (15, 143), (11, 139)])
def test_a_signal_becomes_128_and_its_number(stack: Stack, signal: int, code: int) -> None:
    task = stack.stopped(stack.run(stack.define(), "kill", str(signal))["taskArn"])
    assert exit_of(task)["exitCodes"] == [code]


NASTY = "target/日本語 🎉 'it''s' \"q\" \\ $HOME `id` %2F + \n\t;&|*?[x]~#!"
KEY_OF_1024_BYTES = NASTY + "x" * (1024 - len(NASTY.encode()))


def test_arguments_and_environment_arrive_byte_for_byte(stack: Stack) -> None:
    request = stack.request(stack.define())
    request["overrides"]["containerOverrides"] = [
        {
            "name": "probe",
            "command": ["show", KEY_OF_1024_BYTES, "", "\r\n"],
            "environment": [{"name": "OBJECT_KEY", "value": KEY_OF_1024_BYTES}],
        }
    ]
    arn = stack.cloud.client("ecs").run_task(**request)["tasks"][0]["taskArn"]
    arguments, environment = shown(stack, arn)
    assert len(KEY_OF_1024_BYTES.encode()) == 1024
    assert arguments == [b"show", KEY_OF_1024_BYTES.encode(), b"", b"\r\n"]
    assert environment["OBJECT_KEY"] == KEY_OF_1024_BYTES.encode()


def test_a_containers_environment_is_its_own(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THIS_MACHINE", "leaked")
    monkeypatch.setenv("AWS_PROFILE", "leaked")
    monkeypatch.setenv("HTTPS_PROXY", "http://leaked:1")
    arn = stack.define(containers=[{"environment": [{"name": "JOB", "value": "probe"}]}])
    _, environment = shown(stack, stack.run(arn, "show")["taskArn"])
    assert sorted(environment) == [
        "AWS_ACCESS_KEY_ID",
        "AWS_CONFIG_FILE",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_ENDPOINT_URL",
        "AWS_EXECUTION_ENV",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SHARED_CREDENTIALS_FILE",
        "ECS_CONTAINER_METADATA_URI_V4",
        "FROM_IMAGE",
        "HOME",
        "JOB",
        "LANG",
        "PATH",
        "PYTHONUNBUFFERED",
        "TMPDIR",
        "TZ",
    ]
    assert b"leaked" not in b"".join(environment.values())
    assert environment["AWS_ENDPOINT_URL"] == stack.cloud.endpoint.encode()
    assert environment["AWS_REGION"] == REGION.encode()
    assert environment["HOME"] != os.environ.get("HOME", "").encode()
    assert not Path(environment["HOME"].decode()).exists(), "the scratch directory was left"


def test_overrides_replace_the_command_and_single_variables(stack: Stack) -> None:
    arn = stack.define(
        containers=[
            {
                "command": ["show", "defined"],
                "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            }
        ]
    )
    defined = shown(stack, stack.run(arn)["taskArn"])
    assert (defined[0], defined[1]["A"], defined[1]["B"]) == ([b"show", b"defined"], b"1", b"2")
    request = stack.request(arn, "show", "over")
    override = request["overrides"]["containerOverrides"][0]
    override["environment"] = [
        {"name": "B", "value": "over"},
        {"name": "TZ", "value": "Asia/Tokyo"},
    ]
    task = stack.cloud.client("ecs").run_task(**request)["tasks"][0]
    arguments, environment = shown(stack, task["taskArn"])
    assert arguments == [b"show", b"over"]
    assert (environment["A"], environment["B"]) == (b"1", b"over")
    assert environment["TZ"] == b"Asia/Tokyo"


def test_an_entry_point_of_the_task_definition_drops_the_images_command(stack: Stack) -> None:
    arn = stack.define(containers=[{"entryPoint": ["python", "-c", "print('other')"]}])
    task = stack.stopped(stack.run(arn)["taskArn"])
    assert exit_of(task)["exitCodes"] == [0]
    assert stack.log(task["taskArn"]) == ["other"]


def test_both_streams_reach_the_log_in_the_order_they_were_written(stack: Stack) -> None:
    before = time.time_ns() // 1_000_000
    arn = stack.run(stack.define(), "both")["taskArn"]
    stack.stopped(arn)
    assert stack.log(arn) == [f"line {number}" for number in range(50)]
    events = stack.cloud.client("logs").filter_log_events(logGroupName=LOG_GROUP)["events"]
    assert all(before <= event["timestamp"] <= time.time_ns() // 1_000_000 for event in events)


def test_a_process_has_exited_only_after_its_last_line_was_written(tmp_path: Path) -> None:
    order: list[str] = []
    ended = threading.Event()

    def write_slowly(lines: list[Line]) -> None:
        if lines and not ended.wait(0.3):
            order.extend(line.message for line in lines)

    def exited(process: Process) -> None:
        order.append(f"exit {process.exit_code}")
        ended.set()

    code = "print('last'); raise SystemExit(9)"
    image = with_command((), tmp_path)
    command = ["python", "-c", code]
    container = OnThisMachine(image, command, {}, tmp_path)
    process = Process(container, Mock(), write_slowly, exited)
    assert process.join(120)
    assert order == ["last", "exit 9"]


def test_lines_are_in_the_log_while_the_task_runs(stack: Stack) -> None:
    assert stack.running(stack.run(stack.define(), "wait")["taskArn"]) == ["waiting"]


def test_bytes_that_are_no_utf_8_are_replaced_and_empty_lines_dropped(stack: Stack) -> None:
    raw = b"a\xffb\n\n\r\nlast".hex()
    arn = stack.run(stack.define(), "bytes", raw)["taskArn"]
    stack.stopped(arn)
    assert stack.log(arn) == ["a\ufffdb", "\r", "last"]


@given(
    text=st.lists(st.text(alphabet="aé漢🎉", min_size=1), max_size=4),
    cuts=st.lists(st.integers(1, 50), max_size=8),
    repeat=st.sampled_from([1, 40_000]),
)
@settings(max_examples=40, deadline=None)
def test_lines_survive_every_way_the_stream_is_cut(
    text: list[str], cuts: list[int], repeat: int
) -> None:
    whole = [line * repeat for line in text]
    stream = "\n".join(whole).encode()
    lines, found, start = Lines(), list[str](), 0
    for cut in cuts:
        found += [line.message for line in lines.feed(stream[start : start + cut])]
        start += cut
    found += [line.message for line in lines.feed(stream[start:])]
    found += [line.message for line in lines.end()]
    assert "".join(found) == "".join(whole)
    assert all(0 < len(line.encode()) <= LINE_BYTES for line in found)
    if all(len(line.encode()) <= LINE_BYTES for line in whole):
        assert found == whole


def test_a_stopped_task_had_time_to_end_by_itself(stack: Stack) -> None:
    arn = stack.run(stack.define(), "wait")["taskArn"]
    stack.running(arn)
    answer = stack.cloud.client("ecs").stop_task(cluster="batch", task=arn, reason="enough")
    assert (answer["task"]["desiredStatus"], answer["task"]["lastStatus"]) == ("STOPPED", "RUNNING")
    assert exit_of(stack.stopped(arn)) == {
        "stopCode": "UserInitiated",
        "stoppedReason": "enough",
        "exitCodes": [0],
    }


def test_a_task_that_ignores_sigterm_is_killed_after_its_stop_timeout(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than anybody waits here.
    for name in ("_STOP_SECONDS", "_MOST_STOP_SECONDS"):
        monkeypatch.setattr(ecs, name, 3600)
    definition = stack.define(containers=[{"stopTimeout": 1}])
    arn = stack.run(definition, "stubborn")["taskArn"]
    stack.running(arn)
    begun = time.monotonic()
    stack.cloud.client("ecs").stop_task(cluster="batch", task=arn)
    task = stack.stopped(arn)
    assert time.monotonic() - begun > 0.9
    assert exit_of(task)["exitCodes"] == [137]
    assert stack.log(arn) == ["waiting", "no"]


def test_what_a_container_started_dies_with_it(stack: Stack) -> None:
    # Of nobody else's tests that run on this machine.
    own = uuid.uuid4().hex
    arn = stack.run(stack.define(), "parent", own)["taskArn"]
    assert exit_of(stack.stopped(arn))["exitCodes"] == [0]
    assert stack.log(arn) == ["parent gone"]
    orphans = [process for process in psutil.process_iter() if own in _command_line(process)]
    assert orphans == []


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def failed_start(stack: Stack, task_definition: str, *command: str) -> str:
    task = stack.stopped(stack.run(task_definition, *command)["taskArn"])
    assert task["stopCode"] == "TaskFailedToStart"
    assert [container.get("exitCode") for container in task["containers"]] == [None]
    assert "startedAt" not in task
    return task["stoppedReason"]


def test_an_unknown_image_cannot_be_pulled(stack: Stack) -> None:
    arn = stack.define(containers=[{"image": "example.com/nothing:1"}])
    assert failed_start(stack, arn) == (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to "
        "resolve ref example.com/nothing:1: example.com/nothing:1: not found"
    )


def test_a_missing_log_group_stops_the_task_before_it_runs(stack: Stack) -> None:
    stack.cloud.client("logs").delete_log_group(logGroupName=LOG_GROUP)
    reason = failed_start(stack, stack.define())
    assert reason.startswith("ResourceInitializationError: failed to validate logger args: ")
    assert "The specified log group does not exist." in reason


def test_a_program_that_is_not_there_cannot_start(stack: Stack) -> None:
    arn = stack.define(containers=[{"entryPoint": ["no-such-program"]}])
    assert failed_start(stack, arn) == "Task failed to start"
    (task,) = stack.cloud.client("ecs").list_tasks(cluster="batch", desiredStatus="STOPPED")[
        "taskArns"
    ]
    (container,) = stack.task(task)["containers"]
    assert container["reason"].startswith("CannotStartContainerError: ")
    assert 'exec: "no-such-program": executable file not found' in container["reason"]


def test_a_nul_in_an_argument_is_refused_readably(stack: Stack) -> None:
    assert failed_start(stack, stack.define(), "show", "a\0b") == "Task failed to start"


def test_secrets_are_resolved_before_the_container_starts(stack: Stack) -> None:
    secret = stack.cloud.client("secretsmanager").create_secret(
        Name="db", SecretString='{"password": "p\\"4ß", "port": 5432}'
    )["ARN"]
    stack.cloud.client("ssm").put_parameter(Name="/probe/token", Value="t0ken", Type="SecureString")
    parameter = f"arn:aws:ssm:{REGION}:111122223333:parameter/probe/token"
    arn = stack.define(
        containers=[
            {
                "secrets": [
                    {"name": "WHOLE", "valueFrom": secret},
                    {"name": "PASSWORD", "valueFrom": f"{secret}:password::"},
                    {"name": "PORT", "valueFrom": f"{secret}:port:AWSCURRENT:"},
                    {"name": "TOKEN", "valueFrom": parameter},
                ]
            }
        ]
    )
    _, environment = shown(stack, stack.run(arn, "show")["taskArn"])
    assert {
        name: environment[name].decode() for name in ("WHOLE", "PASSWORD", "PORT", "TOKEN")
    } == {
        "WHOLE": '{"password": "p\\"4ß", "port": 5432}',
        "PASSWORD": 'p"4ß',
        "PORT": "5432",
        "TOKEN": "t0ken",
    }


@pytest.mark.parametrize(
    ("value_from", "detail"),
    [
        (
            f"arn:aws:secretsmanager:{REGION}:111122223333:secret:none-AbCdEf",
            "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
        ),
        (
            f"arn:aws:ssm:{REGION}:111122223333:parameter/none",
            "invalid parameters: /none",
        ),
    ],
)
def test_a_missing_secret_stops_the_task_before_it_runs(
    stack: Stack, value_from: str, detail: str
) -> None:
    arn = stack.define(containers=[{"secrets": [{"name": "X", "valueFrom": value_from}]}])
    reason = failed_start(stack, arn)
    assert reason.startswith(
        "ResourceInitializationError: unable to pull secrets or registry auth: "
    )
    assert reason.endswith(detail)


def test_a_task_calls_as_its_task_role(stack: Stack) -> None:
    code = "import boto3\nprint(boto3.client('sts').get_caller_identity()['Arn'])"
    arn = stack.define(containers=[{"entryPoint": ["python", "-c", code]}])
    task = stack.run(arn)["taskArn"]
    assert exit_of(stack.stopped(task))["exitCodes"] == [0], stack.log(task)
    session = task.rsplit("/", 1)[-1]
    assert stack.log(task) == [f"arn:aws:sts::111122223333:assumed-role/probe/{session}"]


@pytest.mark.usefixtures("stack")
def test_credentials_of_a_role_are_new_for_each_task(cloud: Cloud) -> None:
    with cloud.scope():
        place = Place("111122223333", REGION, cloud.endpoint, "t" * 32)
        first, second = (role_credentials(ROLE, place) for _ in range(2))
    assert first["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert not set(first.values()) & set(second.values())


def test_a_role_that_ecs_may_not_assume_is_refused(stack: Stack) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "x.amazonaws.com"}, "Action": "sts:*"}
    other = stack.cloud.client("iam").create_role(
        RoleName="other",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    arn = stack.define(taskRoleArn=other)
    assert refusal(stack, arn).startswith(
        "ClientException: ECS was unable to assume the role 'arn:aws:iam::111122223333:role/other'"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [("aws:x", "y"), ("AWS:x", "y"), ("a;b", ""), ("a", "x" * 257), ("a" * 129, "")],
)
def test_a_tag_that_no_task_can_have_is_refused(stack: Stack, key: str, value: str) -> None:
    told = refusal(stack, stack.define(), tags=[{"key": key, "value": value}])
    assert told.startswith(f"InvalidParameterException: The tag {key!r} ")


def test_tags_of_a_task_and_its_definition_are_too_many_together(stack: Stack) -> None:
    tags = [{"key": f"t{number}", "value": "名"} for number in range(51)]
    arn = stack.define(tags=tags[:30])
    assert len(stack.run(arn, tags=tags[29:50], propagateTags="TASK_DEFINITION")["tags"]) == 50
    assert refusal(stack, arn, tags=tags[30:], propagateTags="TASK_DEFINITION") == (
        "InvalidParameterException: A task can have at most 50 tags, those of its task definition "
        "among them."
    )


def test_run_task_refuses_what_ecs_refuses(stack: Stack) -> None:
    arn = stack.define()
    old = stack.define("old")
    stack.cloud.client("ecs").deregister_task_definition(taskDefinition=old)
    network = {"awsvpcConfiguration": {"subnets": ["subnet-none"]}}
    found = [
        refusal(stack, arn, cluster="other"),
        refusal(stack, "none"),
        refusal(stack, old),
        refusal(stack, arn, overrides={"containerOverrides": [{"name": "x"}]}),
        refusal(stack, arn, "x" * 8192),
        refusal(stack, arn, count=11),
        refusal(stack, arn, networkConfiguration={}),
        refusal(stack, arn, networkConfiguration=network),
        refusal(stack, arn, capacityProviderStrategy=[{"capacityProvider": "FARGATE"}]),
        refusal(stack, arn, launchType="EC2"),
        refusal(stack, arn, startedBy="not allowed"),
    ]
    assert found == [
        "ClusterNotFoundException: Cluster not found.",
        "ClientException: TaskDefinition not found.",
        "ClientException: TaskDefinition is inactive",
        (
            "InvalidParameterException: Override for container named x is not a container in the "
            "TaskDefinition."
        ),
        "InvalidParameterException: Container Overrides length must be at most 8192",
        "InvalidParameterException: Tasks count must be between 1 and 10.",
        (
            "InvalidParameterException: Network Configuration must be provided when networkMode "
            "'awsvpc' is specified."
        ),
        (
            "InvalidParameterException: Error retrieving subnet information for [subnet-none]: The "
            "subnet ID 'subnet-none' does not exist (ErrorCode: InvalidSubnetID.NotFound)"
        ),
        (
            "InvalidParameterException: Specifying both a launch type and capacity provider "
            "strategy is not supported. Remove one and try again."
        ),
        "InvalidParameterException: No Container Instances were found in your cluster.",
        (
            "InvalidParameterException: startedBy can have up to 128 letters (uppercase and "
            "lowercase), numbers, hyphens, forward slashes, and underscores."
        ),
    ]
    assert stack.cloud.client("ecs").list_tasks(cluster="batch")["taskArns"] == []


def test_overrides_of_8192_characters_are_allowed(stack: Stack) -> None:
    arn = stack.define()
    frame = len('{"containerOverrides":[{"name":"probe","command":["say",""]}]}')
    task = stack.run(arn, "say", "漢" * (8192 - frame))
    assert exit_of(stack.stopped(task["taskArn"]))["exitCodes"] == [0]
    assert len(stack.log(task["taskArn"])[0]) == 8192 - frame
    assert "at most 8192" in refusal(stack, arn, "say", "漢" * (8193 - frame))


def test_a_client_token_starts_a_task_once(stack: Stack) -> None:
    arn = stack.define()
    first = stack.run(arn, "exit", "0", clientToken="token")
    again = stack.run(arn, "exit", "0", clientToken="token")
    assert first["taskArn"] == again["taskArn"]
    assert refusal(stack, arn, "exit", "1", clientToken="token").startswith("ConflictException: ")
    assert stack.run(arn, "exit", "0", clientToken="other")["taskArn"] != first["taskArn"]


def test_a_family_means_its_latest_active_revision(stack: Stack) -> None:
    stack.define()
    newest = stack.define()
    dropped = stack.define()
    stack.cloud.client("ecs").deregister_task_definition(taskDefinition=dropped)
    assert stack.run("probe", "exit", "0")["taskDefinitionArn"] == newest


def test_tags_of_the_task_definition_are_propagated_on_request(stack: Stack) -> None:
    arn = stack.define(tags=[{"key": "owner", "value": "a"}, {"key": "kept", "value": "b"}])
    own = [{"key": "owner", "value": "run"}]
    plain = stack.run(arn, "exit", "0", tags=own)
    tagged = stack.run(arn, "exit", "0", tags=own, propagateTags="TASK_DEFINITION")
    described = stack.cloud.client("ecs").describe_tasks(
        cluster="batch", tasks=[tagged["taskArn"]], include=["TAGS"]
    )["tasks"][0]
    assert plain["tags"] == own
    assert described["tags"] == [
        {"key": "owner", "value": "run"},
        {"key": "kept", "value": "b"},
    ]


def test_a_capacity_provider_is_named_on_the_task(stack: Stack) -> None:
    request = stack.request(
        stack.define(),
        "exit",
        "0",
        capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
    )
    del request["launchType"]
    task = stack.cloud.client("ecs").run_task(**request)["tasks"][0]
    assert (task["launchType"], task["capacityProviderName"]) == ("FARGATE", "FARGATE_SPOT")


def test_an_essential_container_that_exits_stops_the_others(stack: Stack) -> None:
    arn = stack.define(
        containers=[
            {"name": "probe", "command": ["exit", "7"]},
            {"name": "sidecar", "command": ["wait"]},
        ]
    )
    task = stack.stopped(stack.run(arn)["taskArn"])
    codes = {container["name"]: container["exitCode"] for container in task["containers"]}
    assert codes["probe"] == 7
    # SIGTERM may come before the sidecar has installed its handler.
    assert codes["sidecar"] in {0, 143}


def test_a_task_outlives_a_container_that_is_not_essential(stack: Stack) -> None:
    arn = stack.define(
        containers=[
            {"name": "probe", "command": ["wait"]},
            {"name": "init", "command": ["exit", "1"], "essential": False},
        ]
    )
    task = stack.run(arn)["taskArn"]

    def init_exited() -> dict[str, Any] | None:
        found = stack.task(task)
        return found if "exitCode" in found["containers"][1] else None

    found = eventually(init_exited)
    assert found["containers"][1]["exitCode"] == 1
    assert stack.running(task) == ["waiting"]


def test_a_container_starts_after_what_it_depends_on_has_succeeded(stack: Stack) -> None:
    arn = stack.define(
        containers=[
            {
                "name": "probe",
                "command": ["say", "main"],
                "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}],
            },
            {"name": "init", "command": ["say", "first"], "essential": False},
        ]
    )
    task = stack.stopped(stack.run(arn)["taskArn"])
    assert exit_codes(task) == {"probe": 0, "init": 0}
    assert stack.log(task["taskArn"], "init") == ["first"]
    assert stack.log(task["taskArn"], "probe") == ["main"]


def exit_codes(task: Mapping[str, Any]) -> dict[str, int | None]:
    return {one["name"]: one.get("exitCode") for one in task["containers"]}


@pytest.mark.parametrize(
    ("condition", "more"),
    [("SUCCESS", {}), ("HEALTHY", {"healthCheck": {"command": ["CMD", "/bin/false"]}})],
)
def test_a_task_whose_dependency_fails_never_starts(
    stack: Stack, condition: str, more: dict[str, Any]
) -> None:
    arn = stack.define(
        containers=[
            {
                "name": "probe",
                "command": ["say", "main"],
                "dependsOn": [{"containerName": "init", "condition": condition}],
            },
            {"name": "init", "command": ["exit", "4"], "essential": False, **more},
        ]
    )
    task = stack.stopped(stack.run(arn)["taskArn"])
    assert (task["stopCode"], task["stoppedReason"]) == (
        "TaskFailedToStart",
        "Task failed to start",
    )
    assert exit_codes(task) == {"probe": None, "init": 4}
    reasons = {one["name"]: one.get("reason") for one in task["containers"]}
    assert reasons["init"] == f"dependency of probe: init did not become {condition}"


def test_a_container_starts_once_the_other_is_healthy(stack: Stack, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    command = ["CMD-SHELL", f"test -f {ready}"]
    arn = stack.define(
        containers=[
            {
                "name": "probe",
                "command": ["exit", "0"],
                "dependsOn": [{"containerName": "proxy", "condition": "HEALTHY"}],
            },
            {
                "name": "proxy",
                "command": ["wait"],
                "essential": False,
                "healthCheck": {"command": command, "interval": 60, "timeout": 60},
            },
        ]
    )
    task = stack.run(arn)["taskArn"]
    eventually(lambda: stack.log(task, "proxy") or None)
    assert stack.task(task)["lastStatus"] == "PENDING"
    ready.touch()
    done = stack.stopped(task)
    assert exit_codes(done) == {"probe": 0, "proxy": 0}
    assert {one["name"]: one["healthStatus"] for one in done["containers"]} == {
        "probe": "UNKNOWN",
        "proxy": "HEALTHY",
    }


def test_a_container_that_stays_unhealthy_is_given_up(stack: Stack) -> None:
    check = {"command": ["CMD", "sleep", "60"], "interval": 1, "retries": 1, "timeout": 1}
    arn = stack.define(
        containers=[
            {"name": "probe", "dependsOn": [{"containerName": "proxy", "condition": "HEALTHY"}]},
            {"name": "proxy", "command": ["wait"], "essential": False, "healthCheck": check},
        ]
    )
    task = stack.stopped(stack.run(arn)["taskArn"])
    assert task["stopCode"] == "TaskFailedToStart"
    assert {one["name"]: one["healthStatus"] for one in task["containers"]}["proxy"] == "UNHEALTHY"


def test_a_task_that_is_stopped_while_it_waits_for_a_container_ends(stack: Stack) -> None:
    arn = stack.define(
        containers=[
            {"name": "probe", "dependsOn": [{"containerName": "init", "condition": "COMPLETE"}]},
            {"name": "init", "command": ["wait"], "essential": False},
        ]
    )
    task = stack.run(arn)["taskArn"]
    eventually(lambda: stack.log(task, "init") or None)
    stack.cloud.client("ecs").stop_task(cluster="batch", task=task)
    done = stack.stopped(task)
    assert done["stopCode"] == "UserInitiated"
    assert exit_codes(done) == {"probe": None, "init": 0}


def test_a_sidecar_that_nothing_stands_for_is_left_out(stack: Stack) -> None:
    arn = stack.define(
        containers=[
            {
                "name": "probe",
                "command": ["exit", "0"],
                "dependsOn": [{"containerName": "agent", "condition": "HEALTHY"}],
            },
            {
                "name": "agent",
                "image": "public.ecr.aws/agent:1",
                "essential": False,
                "healthCheck": {"command": ["CMD", "x"]},
            },
        ]
    )
    task = stack.stopped(stack.run(arn)["taskArn"])
    assert (task["stopCode"], exit_codes(task)["probe"]) == ("EssentialContainerExited", 0)


def mounting(stack: Stack, *names: str, **authorization: str) -> str:
    """A task definition whose containers, of these names, have one file system at /mnt/shared."""
    efs = {
        "fileSystemId": "fs-12345678",
        "transitEncryption": "ENABLED",
        "authorizationConfig": authorization,
    }
    point = {"sourceVolume": "shared", "containerPath": "/mnt/shared"}
    return stack.define(
        containers=[{"name": name, "mountPoints": [point]} for name in names],
        volumes=[{"name": "shared", "efsVolumeConfiguration": efs}],
    )


def test_what_one_task_writes_to_a_file_system_another_reads(stack: Stack) -> None:
    definition = mounting(stack, "probe", iam="ENABLED", accessPointId="fsap-1")
    file = "/mnt/shared/a/b.txt"
    written = stack.stopped(stack.run(definition, "write", file, "hello")["taskArn"])
    assert exit_codes(written) == {"probe": 0}
    read = stack.stopped(stack.run(definition, "read", file)["taskArn"])
    assert exit_codes(read) == {"probe": 0}
    assert stack.log(read["taskArn"], "probe") == ["hello"]
    # By another access point it is another folder.
    other = mounting(stack, "probe", iam="ENABLED", accessPointId="fsap-2")
    gone = stack.stopped(stack.run(other, "read", file)["taskArn"])
    assert exit_codes(gone) == {"probe": 1}


def test_a_path_beside_a_file_system_is_not_in_it(stack: Stack) -> None:
    definition = mounting(stack, "probe", iam="DISABLED")
    arn = stack.run(definition, "say", "/mnt/shared", "/mnt/shared2", "s3:///mnt/shared")["taskArn"]
    first, *others = stack.log(stack.stopped(arn)["taskArn"], "probe")
    assert first.endswith("/volumes/fs-12345678/root")
    assert others == ["/mnt/shared2", "s3:///mnt/shared"]


def test_a_task_whose_role_may_not_mount_its_file_system_never_starts(stack: Stack) -> None:
    definition = mounting(stack, "probe", iam="ENABLED", accessPointId="fsap-1")
    statement = {
        "Effect": "Deny",
        "Action": "elasticfilesystem:ClientMount",
        "Resource": "*",
        "Condition": {"StringLike": {"elasticfilesystem:AccessPointArn": "*:access-point/fsap-1"}},
    }
    iam, role = stack.cloud.client("iam"), ROLE.rpartition("/")[2]
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="no-mount", PolicyDocument=policy)
    try:
        reason = failed_start(stack, definition, "exit", "0")
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="no-mount")
    assert "failed to invoke EFS utils commands" in reason
    assert "elasticfilesystem:ClientMount" in reason
    other = mounting(stack, "probe", iam="ENABLED", accessPointId="fsap-2")
    assert exit_codes(stack.stopped(stack.run(other, "exit", "0")["taskArn"])) == {"probe": 0}


def test_every_change_is_an_event_in_the_order_of_its_version(stack: Stack) -> None:
    arn = stack.run(stack.define(), "exit", "0")["taskArn"]
    task = stack.stopped(arn)
    events = eventually(lambda: found if len(found := published(stack.cloud)) == 5 else None)
    assert statuses(events) == [
        (1, "PROVISIONING", "RUNNING"),
        (2, "PENDING", "RUNNING"),
        (3, "RUNNING", "RUNNING"),
        (4, "DEPROVISIONING", "STOPPED"),
        (5, "STOPPED", "STOPPED"),
    ]
    assert events[-1]["containers"][0]["exitCode"] == 0
    assert datetime.fromisoformat(events[-1]["stoppedAt"]) == task["stoppedAt"]
    assert task["version"] == 5
    assert [event["attachments"][0]["status"] for event in events] == [
        "PRECREATED",
        "ATTACHED",
        "ATTACHED",
        "ATTACHED",
        "DELETED",
    ]


def test_the_times_of_a_task_are_in_the_order_of_its_life(stack: Stack) -> None:
    task = stack.stopped(stack.run(stack.define(), "exit", "0")["taskArn"])
    names = (
        "createdAt",
        "pullStartedAt",
        "pullStoppedAt",
        "startedAt",
        "executionStoppedAt",
        "stoppedAt",
    )
    times = [task[name] for name in names]
    assert times == sorted(times)
    assert task["stoppingAt"] <= task["stoppedAt"]


def test_a_stop_is_a_change_of_its_own(stack: Stack) -> None:
    arn = stack.run(stack.define(), "wait")["taskArn"]
    stack.running(arn)
    stack.cloud.client("ecs").stop_task(cluster="batch", task=arn)
    stack.stopped(arn)
    events = eventually(lambda: found if len(found := published(stack.cloud)) == 6 else None)
    assert statuses(events)[2:] == [
        (3, "RUNNING", "RUNNING"),
        (4, "RUNNING", "STOPPED"),
        (5, "DEPROVISIONING", "STOPPED"),
        (6, "STOPPED", "STOPPED"),
    ]


@pytest.fixture
def narrow(images: Images) -> Generator[Stack]:
    with Cloud(0, REGION, images=images, max_tasks=1) as opened:
        yield make_stack(opened)


def test_tasks_beyond_the_limit_wait_in_provisioning(narrow: Stack) -> None:
    arn = narrow.define()
    first = narrow.run(arn, "wait")["taskArn"]
    eventually(lambda: narrow.log(first) or None)
    second = narrow.run(arn, "exit", "0")["taskArn"]
    third = narrow.run(arn, "exit", "0")["taskArn"]
    assert narrow.task(second)["lastStatus"] == "PROVISIONING"
    ecs_client = narrow.cloud.client("ecs")
    ecs_client.stop_task(cluster="batch", task=third, reason="not needed")
    assert exit_of(narrow.stopped(third)) == {
        "stopCode": "UserInitiated",
        "stoppedReason": "not needed",
        "exitCodes": [None],
    }
    ecs_client.stop_task(cluster="batch", task=first)
    assert exit_of(narrow.stopped(second))["exitCodes"] == [0]


def test_waiting_ends_with_the_task_or_when_cancelled(stack: Stack) -> None:
    cancelled = threading.Event()
    with stack.cloud.scope():
        request = stack.request(stack.define(), "exit", "4", startedBy="AWS Step Functions")
        (task,) = ecs.run_task(request)["tasks"]
        ended = ecs.wait_until_stopped(task["taskArn"], cancelled)
        assert ended["containers"][0]["exitCode"] == 4
        assert ended["stoppedAt"] >= ended["createdAt"] > 1_600_000_000
        (other,) = ecs.run_task(stack.request(stack.define(), "wait"))["tasks"]
        threading.Timer(0.1, cancelled.set).start()
        assert ecs.wait_until_stopped(other["taskArn"], cancelled)["lastStatus"] != "STOPPED"
        assert [found["taskArn"] for found in ecs.find_tasks(started_by="AWS Step Functions")] == [
            task["taskArn"]
        ]


def test_an_unknown_task_is_refused_by_every_call(stack: Stack) -> None:
    arn = f"arn:aws:ecs:{REGION}:111122223333:task/batch/{'0' * 32}"
    with stack.cloud.scope():
        with pytest.raises(EcsError, match="not found"):
            ecs.wait_until_stopped(arn)
        with pytest.raises(EcsError, match="not found"):
            ecs.stop_task("batch", arn, "reason")
        with pytest.raises(EcsError, match="Cluster not found"):
            ecs.stop_task("none", arn, "reason")


def test_the_image_of_a_running_cloud_can_be_added_later(stack: Stack, tmp_path: Path) -> None:
    context = tmp_path / "later"
    write_image(context)
    stack.cloud.images.add("later:1", context)
    task = stack.stopped(stack.run(stack.define(containers=[{"image": "later:1"}]))["taskArn"])
    assert exit_of(task)["exitCodes"] == [3]
