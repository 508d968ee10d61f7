"""One look of the watcher: what it asks AWS, what it publishes, what it remembers."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo, reset_tzpath

import pytest

from lambdas.watch import handler as program
from lambdas.watch.handler import Watch
from lambdas.watch.letters import letter_of, short

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LAST = NOW - timedelta(minutes=5)
SINCE = LAST - timedelta(minutes=2)
QUEUE = "https://sqs.example/1/p-dev-upload-in-dead-letters"
MACHINE = "arn:aws:states:r:1:stateMachine:p-dev-"
HELLO = "arn:aws:scheduler:r:1:schedule/p-dev/hello"
COUNTS = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
STACK: dict[str, Any] = {
    "project": "p",
    "stack": "dev",
    "runbook": "https://runbook.example/",
    "topic": "topic",
    "table": "memory",
    "cluster": "batch",
    "taskEvents": "/p/dev/task-events",
    "queueUrl": "https://sqs.example/1/",
    "queues": {},
    "machines": {},
    "tasks": {},
    "schedules": {},
}
HOURLY = {"expression": "rate(1 hour)", "timezone": "UTC", "graceSeconds": 60}
PAUSED = {**HOURLY, "arn": HELLO}


class Gone(Exception):  # noqa: N818 - as AWS calls it
    """What a schedule is that was deleted."""


class Busy(Exception):  # noqa: N818 - as AWS calls it
    """What the table answers while another looks."""


class Aws:
    """Answers by operation, each of which is given its parameters; what was asked, in order."""

    exceptions = SimpleNamespace(
        ResourceNotFoundException=Gone, ConditionalCheckFailedException=Busy
    )

    def __init__(self, **answers: Callable[..., Any] | Any) -> None:  # noqa: ANN401 - JSON
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def ask(**parameters: Any) -> Any:  # noqa: ANN401 - JSON
            self.asked.append((operation, parameters))
            answer = self._answers.get(operation)
            return answer(**parameters) if callable(answer) else answer

        return ask

    def get_paginator(self, operation: str) -> SimpleNamespace:
        return SimpleNamespace(paginate=getattr(self, operation))

    def of(self, *operations: str) -> list[tuple[str, dict[str, Any]]]:
        return [one for one in self.asked if one[0] in operations]


def remembered(**memory: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Two pages of a table, of what is remembered of each subject."""
    items = [
        {"subject": {"S": subject.replace("__", "/")}, "memory": {"S": json.dumps(found)}}
        for subject, found in {"look": {"at": LAST.isoformat()}, **memory}.items()
    ]
    return [{"Items": items[:1]}, {"Items": items[1:]}]


def look(
    monkeypatch: pytest.MonkeyPatch,
    aws: Aws,
    **stack: Any,  # noqa: ANN401 - JSON
) -> int | None:
    monkeypatch.setenv("AWS_REGION", "r")
    made: list[tuple[str, str]] = []

    def client(service: str, region_name: str) -> Aws:
        made.append((service, region_name))
        return aws

    monkeypatch.setattr("boto3.client", client)
    published = Watch(STACK | stack).look(NOW)
    assert len(set(made)) == len(made)
    assert {region for _, region in made} == {"r"}
    return published


def kept(aws: Aws) -> dict[str, Any]:
    """What was put into the table, and None for what was taken out of it."""
    found: dict[str, Any] = {}
    for operation, parameters in aws.of("put_item", "delete_item"):
        assert parameters["TableName"] == "memory"
        item = parameters["Item"] if operation == "put_item" else parameters["Key"]
        found[item["subject"]["S"]] = json.loads(item["memory"]["S"]) if "memory" in item else None
    return found


def test_a_look_at_nothing_remembers_when_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws(scan=remembered())
    assert look(monkeypatch, aws) == 0
    assert aws.asked == [
        (
            "update_item",
            {
                "TableName": "memory",
                "Key": {"subject": {"S": "look"}},
                "UpdateExpression": "SET lookingUntil = :until",
                "ConditionExpression": "attribute_not_exists(lookingUntil) OR lookingUntil <= :now",
                "ExpressionAttributeValues": {
                    ":until": {"N": "1780315440"},
                    ":now": {"N": "1780315200"},
                },
            },
        ),
        ("scan", {"TableName": "memory", "ConsistentRead": True}),
        (
            "put_item",
            {
                "TableName": "memory",
                "Item": {
                    "subject": {"S": "look"},
                    "memory": {"S": '{"at":"2026-06-01T12:00:00+00:00"}'},
                },
            },
        ),
    ]


def test_two_do_not_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(**_: object) -> None:
        raise Busy

    aws = Aws(update_item=busy)
    assert look(monkeypatch, aws, queues={"upload-in": "q"}) is None
    assert [operation for operation, _ in aws.asked] == ["update_item"]


def test_a_look_within_the_second_of_the_last_lets_the_next_look_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aws = Aws(scan=remembered(look={"at": "2026-06-01T12:00:00+00:00"}))
    look(monkeypatch, aws)
    assert "look" in kept(aws)


@pytest.mark.parametrize("memory", [{}, {"memory": {"S": "{"}}, {"memory": {"S": "5"}}])
def test_a_memory_that_is_broken_is_none(
    monkeypatch: pytest.MonkeyPatch, memory: dict[str, Any]
) -> None:
    items = [{"subject": {"S": one}, **memory} for one in ("look", "queue/upload-in")]
    aws = Aws(scan=[{"Items": items}], get_queue_attributes=counts(1), receive_message=letters(1))
    assert look(monkeypatch, aws, queues={"upload-in": "q"}) == 1


def letters(*numbers: int) -> dict[str, Any]:
    return {
        "Messages": [
            {
                "MessageId": f"m{number}",
                "Body": "{}",
                "MessageAttributes": {"ERROR_CODE": {"StringValue": "NO_RESOURCE"}, "x": {}},
                "Attributes": {"SentTimestamp": "1780315200000"},
            }
            for number in numbers
        ]
    }


def counts(visible: int, hidden: int = 0, delayed: int = 0) -> dict[str, Any]:
    return {"Attributes": dict(zip(COUNTS, map(str, (visible, hidden, delayed)), strict=True))}


def test_dead_letters_are_read_to_the_last_told_and_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = iter([letters(1, 2), letters(2, 3), letters(4), {}])
    aws = Aws(
        scan=remembered(**{"queue/upload-in": {"told": ["of one that is gone"]}}),
        get_queue_attributes=counts(1, 1, 2),
        receive_message=lambda **_: next(batches),
    )
    queues = {"upload-in": "p-dev-upload-in-dead-letters"}
    assert look(monkeypatch, aws, queues=queues, chat="chat") == 1
    receive = {
        "QueueUrl": QUEUE,
        "MaxNumberOfMessages": 10,
        "VisibilityTimeout": 10,
        "WaitTimeSeconds": 1,
        "MessageAttributeNames": ["All"],
        "MessageSystemAttributeNames": ["SentTimestamp"],
    }
    assert aws.of("get_queue_attributes", "receive_message") == [
        ("get_queue_attributes", {"QueueUrl": QUEUE, "AttributeNames": COUNTS}),
        *[("receive_message", receive)] * 4,
    ]
    (_, mail), (_, chat) = aws.of("publish")
    assert (mail["TopicArn"], mail["Subject"]) == ("topic", "4 dead letters of upload-in (p dev)")
    assert "Error: NO_RESOURCE" in mail["Message"]
    assert mail["Message"].endswith("More: https://runbook.example/#a-message-came")
    assert chat["TopicArn"] == "chat"
    assert json.loads(chat["Message"])["metadata"]["threadId"] == "p/dev/queue/upload-in"
    assert len(kept(aws)["queue/upload-in"]["told"]) == 5
    assert kept(aws)["queue/upload-in"]["gone"] == ["of one that is gone"]


def test_a_letter_is_what_its_message_says(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws(receive_message=letters(1) | {"x": "y"})
    watch = Watch(STACK)
    monkeypatch.setattr(watch, "_client", lambda _: aws)
    attributes = {"ERROR_CODE": "NO_RESOURCE", "x": ""}
    assert watch._receive("q", 10) == [letter_of("m1", "{}", attributes, 1780315200.0)]  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("batches", "asked"),
    [([letters(1)] * 9, 4), ([letters(1), {}, letters(2)], 2), ([{}], 1)],
    ids=["the same again and again", "none come any more", "none come"],
)
def test_reading_ends_where_nothing_new_comes(
    monkeypatch: pytest.MonkeyPatch, batches: list[dict[str, Any]], asked: int
) -> None:
    answers = iter(batches)
    aws = Aws(
        scan=remembered(),
        get_queue_attributes=counts(5),
        receive_message=lambda **_: next(answers),
    )
    look(monkeypatch, aws, queues={"upload-in": "q"})
    assert len(aws.of("receive_message")) == asked


def test_a_flood_hides_no_other_queue_and_is_hidden_itself_while_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, numbers = iter(range(10_000)), iter(range(10_000))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    waiting = {"a": 5000, "b": 20_000, "c": 1, "d": 0}
    aws = Aws(
        scan=remembered(),
        get_queue_attributes=lambda QueueUrl, **_: counts(waiting[QueueUrl[-1]]),  # noqa: N803
        receive_message=lambda **_: letters(next(numbers)),
    )
    look(monkeypatch, aws, queues=dict(zip(waiting, waiting, strict=True)))
    asked = [one for _, one in aws.of("receive_message")]
    read = [one["QueueUrl"][-1] for one in asked]
    assert read == sorted(read, key=["c", "a", "b"].index)
    assert (read.count("c"), read.count("a"), read.count("b")) == (1, 42, 40)
    hidden = {one["QueueUrl"][-1]: one["VisibilityTimeout"] for one in asked}
    assert hidden == {"c": 10, "a": 52, "b": 50}


def test_what_the_chat_does_not_take_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(TopicArn: str, **_: object) -> None:  # noqa: N803 - AWS's name
        if TopicArn == "chat":
            raise PermissionError

    aws = Aws(
        scan=remembered(),
        get_queue_attributes=counts(1),
        receive_message=letters(1),
        publish=publish,
    )
    with pytest.raises(ExceptionGroup):
        look(monkeypatch, aws, queues={"upload-in": "q"}, chat="chat")
    assert len(kept(aws)["queue/upload-in"]["told"]) == 1


def test_a_letter_that_the_count_leaves_out_is_not_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = iter([letters(1), letters(2), {}])
    both = {"told": sorted(short(f"m{number}") for number in (1, 2))}
    aws = Aws(
        scan=remembered(**{"queue/upload-in": both}),
        get_queue_attributes=counts(1),
        receive_message=lambda **_: next(batches),
    )
    assert look(monkeypatch, aws, queues={"upload-in": "q"}) == 0
    assert "queue/upload-in" not in kept(aws)
    assert next(batches) == {}


def test_an_execution_that_goes_on_for_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    started = NOW - timedelta(hours=2)

    def listed(statusFilter: str, **_: object) -> list[dict[str, Any]]:  # noqa: N803 - AWS's name
        one = {"executionArn": "e1", "startDate": started, "stopDate": started}
        return [{"executions": [one] if statusFilter == "RUNNING" else []}, {"executions": []}]

    aws = Aws(scan=remembered(), list_executions=listed)
    machines = {"load": {"arn": f"{MACHINE}job-load", "timeout": 3600}}
    assert look(monkeypatch, aws, machines=machines) == 1
    asked = [
        (
            "list_executions",
            {
                "stateMachineArn": f"{MACHINE}job-load",
                "statusFilter": status,
                "PaginationConfig": {"MaxItems": most, "PageSize": size},
            },
        )
        for status, most, size in (("RUNNING", 20_000, 1000), ("SUCCEEDED", 20, 20))
    ]
    assert aws.of("list_executions") == asked
    assert kept(aws)["long/load"] == {"until": "2026-06-01T10:00:00+00:00", "count": 1}


def test_nothing_is_asked_of_what_succeeded_where_nothing_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aws = Aws(scan=remembered(), list_executions=[{"executions": []}])
    assert look(monkeypatch, aws, machines={"load": {"arn": "a"}}) == 0
    assert [one["statusFilter"] for _, one in aws.of("list_executions")] == ["RUNNING"]
    aws = Aws(
        scan=remembered(long__load={"until": NOW.isoformat(), "count": 1}),
        list_executions=[{"executions": []}],
    )
    assert look(monkeypatch, aws, machines={"load": {"arn": "a"}}) == 1
    assert kept(aws)["long/load"] is None


def test_a_schedule_of_a_pipeline_is_held_against_its_executions_since_the_last_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = [SINCE, SINCE - timedelta(seconds=1), NOW]
    pages = [
        {"executions": [{"executionArn": f"e{n}", "startDate": at}]} for n, at in enumerate(started)
    ]
    aws = Aws(
        scan=remembered(),
        list_executions=pages,
        describe_execution=lambda **_: {"startDate": SINCE, "status": "RUNNING", "input": "{}"},
    )
    nightly = HOURLY | {"machine": f"{MACHINE}pipeline-nightly"}
    assert look(monkeypatch, aws, schedules={"nightly": nightly}) == 0
    assert aws.of("list_executions", "describe_execution", "filter_log_events") == [
        ("list_executions", {"stateMachineArn": f"{MACHINE}pipeline-nightly"}),
        ("describe_execution", {"executionArn": "e0"}),
    ]
    assert kept(aws)["schedule/nightly"] == {
        "definition": "rate(1 hour) UTC ",
        "from": "2026-06-01T12:00:00+00:00",
    }


def test_of_thousands_of_executions_the_last_are_asked_for_and_none_before_is_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = NOW - timedelta(minutes=3)
    times = [NOW] * 250 + [first] * 2000
    executions = [{"executionArn": f"e{n}", "startDate": at} for n, at in enumerate(times)]
    memory = {"definition": "cron(57 11 * * ? *) UTC ", "from": "2026-06-01T11:00:00+00:00"}
    nightly = HOURLY | {"expression": "cron(57 11 * * ? *)", "machine": "nightly"}
    aws = Aws(
        scan=remembered(schedule__nightly=memory),
        list_executions=[{"executions": executions}],
        describe_execution={"startDate": NOW, "status": "SUCCEEDED", "input": "{}"},
    )
    assert look(monkeypatch, aws, schedules={"nightly": nightly}) == 0
    assert len(aws.of("describe_execution")) == 250
    assert kept(aws)["schedule/nightly"]["from"] == "2026-06-01T11:58:00+00:00"


def test_an_execution_says_itself_when_it_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    due = "2026-06-01T11:54:00+00:00"
    by_hand = {"startDate": NOW, "input": "{}"}
    started = LAST + timedelta(milliseconds=5)
    input_ = json.dumps({"scheduledTime": due})
    scheduled = {"startDate": started, "status": "FAILED", "input": input_}
    described = iter([by_hand, scheduled])
    memory = {"definition": "rate(1 hour) UTC ", "from": "2026-06-01T10:54:00+00:00"}
    executions = [{"executionArn": f"e{n}", "startDate": NOW} for n in range(2)]
    aws = Aws(
        scan=remembered(schedule__nightly=memory),
        list_executions=[{"executions": executions}],
        describe_execution=lambda **_: next(described),
    )
    nightly = HOURLY | {"machine": f"{MACHINE}pipeline-nightly"}
    assert look(monkeypatch, aws, schedules={"nightly": nightly}) == 0
    assert kept(aws)["schedule/nightly"] == memory | {
        "from": due,
        "run": "2026-06-01T11:55:00+00:00",
        "runs": {"2026-06-01T11:55:00+00:00": due},
    }


def test_a_schedule_of_a_task_is_held_against_the_log_of_task_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def line(task: str, minute: int) -> dict[str, str]:
        at = f"2026-06-01T11:{minute:02d}:00+00:00"
        trigger = {"kind": "schedule", "name": "hello"}
        return {"message": json.dumps({"trigger": trigger, "taskId": task, "time": at})}

    memory = {"definition": "rate(1 hour) UTC ", "from": "2026-06-01T10:30:00+00:00"}
    aws = Aws(
        scan=remembered(schedule__hello=memory),
        filter_log_events=[
            {"events": [line("t1", 32), line("t1", 31)]},
            {"events": [{"message": "x"}]},
        ],
    )
    assert look(monkeypatch, aws, schedules={"hello": HOURLY}) == 0
    assert aws.of("filter_log_events") == [
        (
            "filter_log_events",
            {
                "logGroupName": "/p/dev/task-events",
                "startTime": int(SINCE.timestamp() * 1000),
                "endTime": int(NOW.timestamp() * 1000),
                "filterPattern": '"chronos-schedule/"',
            },
        )
    ]
    assert kept(aws)["schedule/hello"] == memory | {
        "from": "2026-06-01T11:31:00+00:00",
        "run": "2026-06-01T11:31:00+00:00",
        "runs": {"2026-06-01T11:31:00+00:00": ""},
    }


@pytest.mark.parametrize(
    ("last", "since"),
    [
        (None, NOW),
        (NOW - timedelta(hours=3), NOW - timedelta(hours=3, minutes=2)),
        (NOW - timedelta(days=9), NOW - timedelta(days=2)),
    ],
)
def test_what_is_looked_at_begins_a_little_before_the_last_look_and_two_days_ago_at_most(
    monkeypatch: pytest.MonkeyPatch, last: datetime | None, since: datetime
) -> None:
    pages = remembered(look={"at": last.isoformat()}) if last else []
    aws = Aws(scan=pages, filter_log_events=[])
    look(monkeypatch, aws, schedules={"hello": HOURLY})
    [(_, asked)] = aws.of("filter_log_events")
    assert asked["startTime"] == since.timestamp() * 1000


def pause(until: datetime | None) -> dict[str, str]:
    # Of a schedule that is gone: the stack has been made anew since.
    said = {
        "schedule": f"{HELLO}-gone",
        "by": "a",
        "reason": "b",
        "since": "2026-05-01T00:00:00+00:00",
    }
    return {
        "Name": "/p/dev/paused/schedule-hello",
        "Value": json.dumps(said | {"until": until and until.isoformat()}),
    }


@pytest.mark.parametrize("until", [None, NOW + timedelta(seconds=1)])
def test_a_paused_schedule_is_kept_from_firing_and_nothing_of_it_is_due(
    monkeypatch: pytest.MonkeyPatch, until: datetime | None
) -> None:
    aws = Aws(
        scan=remembered(schedule__hello={"definition": "x"}),
        filter_log_events=[],
        get_parameters_by_path=[{"Parameters": [pause(until)]}],
        get_schedule={"Name": "hello", "State": "ENABLED"},
    )
    assert look(monkeypatch, aws, schedules={"hello": PAUSED}, pauses="/p/dev/paused/") == 0
    assert aws.of("get_parameters_by_path", "get_schedule", "update_schedule") == [
        ("get_parameters_by_path", {"Path": "/p/dev/paused"}),
        ("get_schedule", {"GroupName": "p-dev", "Name": "hello"}),
        ("update_schedule", {"Name": "hello", "State": "DISABLED"}),
    ]
    assert kept(aws)["schedule/hello"] is None
    assert aws.of("delete_parameter") == []


@pytest.mark.parametrize("configured", [True, False])
def test_a_pause_that_is_over_is_lifted_unless_the_schedule_was_disabled_since(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    configured: bool,  # noqa: FBT001 - a case
) -> None:
    aws = Aws(
        scan=remembered(),
        filter_log_events=[],
        get_parameters_by_path=[{"Parameters": [pause(NOW)]}],
        get_schedule={"Name": "hello", "State": "DISABLED"},
    )
    schedules = {"hello": PAUSED} if configured else {}
    look(monkeypatch, aws, schedules=schedules, pauses="/p/dev/paused/")
    resumed = [
        ("get_schedule", {"GroupName": "p-dev", "Name": "hello"}),
        ("update_schedule", {"Name": "hello", "State": "ENABLED"}),
    ]
    assert aws.of("get_schedule", "update_schedule", "delete_parameter") == [
        *(resumed if configured else []),
        ("delete_parameter", {"Name": "/p/dev/paused/schedule-hello"}),
    ]
    assert capsys.readouterr().out == '{"resumed": "schedule-hello"}\n'
    assert ("schedule/hello" in kept(aws)) is configured


@pytest.mark.parametrize("there", [True, False])
def test_a_paused_schedule_that_does_not_fire_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
    there: bool,  # noqa: FBT001 - a case
) -> None:
    def found(**_: object) -> dict[str, str]:
        if there:
            return {"Name": "hello", "State": "DISABLED"}
        raise Gone

    aws = Aws(
        scan=remembered(),
        filter_log_events=[],
        get_parameters_by_path=[{"Parameters": [pause(None)]}],
        get_schedule=found,
    )
    assert look(monkeypatch, aws, schedules={"hello": PAUSED}, pauses="/p/dev/paused/") == 0
    assert aws.of("update_schedule", "delete_parameter") == []


def test_what_is_remembered_already_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = {"definition": "rate(1 hour) UTC ", "from": "2026-06-01T11:30:00+00:00", "runs": {}}
    aws = Aws(scan=remembered(schedule__hello=memory), filter_log_events=[])
    look(monkeypatch, aws, schedules={"hello": HOURLY})
    assert kept(aws) == {"look": {"at": "2026-06-01T12:00:00+00:00"}}


def test_what_cannot_be_looked_at_hides_nothing_else_and_is_raised_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError("denied")

    aws = Aws(
        scan=remembered(),
        get_queue_attributes=refuse,
        list_executions=refuse,
        get_parameters_by_path=refuse,
        filter_log_events=refuse,
        list_tasks=refuse,
    )
    with pytest.raises(ExceptionGroup, match="not everything could be looked at") as raised:
        look(
            monkeypatch,
            aws,
            queues={"a": "a", "b": "b"},
            machines={"load": {"arn": "a"}},
            schedules={"hello": HOURLY},
            pauses="/p/dev/paused/",
            tasks={"load": {"family": "load", "seconds": 60}},
        )
    assert len(raised.value.exceptions) == 6
    late = {"hello": "2026-06-01T11:55:00+00:00"}
    assert kept(aws) == {"look": {"at": "2026-06-01T12:00:00+00:00", "late": late}}


def test_a_schedule_that_could_not_be_looked_at_is_looked_at_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def executions(stateMachineArn: str) -> list[dict[str, Any]]:  # noqa: N803 - AWS's name
        asked.append(stateMachineArn)
        if stateMachineArn == "a":
            raise TimeoutError
        return [{"executions": [{"executionArn": "e", "startDate": NOW - timedelta(minutes=20)}]}]

    schedules = {name: HOURLY | {"machine": name} for name in "ab"}
    memory = {"definition": "rate(1 hour) UTC ", "from": "2026-06-01T10:30:00+00:00"}
    late = {"at": LAST.isoformat(), "late": {"b": "2026-06-01T11:30:00+00:00"}}
    started = datetime.fromisoformat("2026-06-01T11:40:00+00:00")
    aws = Aws(
        scan=remembered(look=late, schedule__a=memory, schedule__b=memory),
        list_executions=executions,
        describe_execution=lambda **_: {
            "startDate": started,
            "status": "SUCCEEDED",
            "input": json.dumps({"scheduledTime": "2026-06-01T11:30:00+00:00"}),
        },
    )
    with pytest.raises(ExceptionGroup):
        look(monkeypatch, aws, schedules=schedules)
    assert asked == ["a", "b"]
    assert aws.of("publish") == []
    assert kept(aws)["schedule/b"]["from"] == "2026-06-01T11:30:00+00:00"
    assert kept(aws)["look"]["late"] == {"a": "2026-06-01T11:55:00+00:00"}


def test_runs_of_while_nobody_looked_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = {"definition": "cron(0 6 * * ? *) UTC ", "from": "2026-05-20T12:00:00+00:00"}
    daily = {"expression": "cron(0 6 * * ? *)", "timezone": "UTC", "graceSeconds": 60}
    for last, missed in (
        (NOW - timedelta(days=9), "2 times"),
        (NOW - timedelta(minutes=5), "12 times"),
    ):
        aws = Aws(
            scan=remembered(look={"at": last.isoformat()}, schedule__hello=memory),
            filter_log_events=[],
        )
        assert look(monkeypatch, aws, schedules={"hello": daily}) == 1
        [(_, sent)] = aws.of("publish")
        assert sent["Subject"] == f"Schedule hello did not run, {missed} (p dev)"
    [_, page] = remembered(schedule__hello=memory)
    aws = Aws(scan=[page], filter_log_events=[])
    assert look(monkeypatch, aws, schedules={"hello": daily}) == 0


def test_what_the_stack_no_longer_has_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = {"definition": "rate(1 hour) UTC ", "from": "2026-05-20T12:00:00+00:00"}
    gone = ("queue__up", "long__load", "task__load", "schedule__hello")
    aws = Aws(scan=remembered(**dict.fromkeys(gone, memory)))
    assert look(monkeypatch, aws) == 0
    assert kept(aws) == {"look": {"at": "2026-06-01T12:00:00+00:00"}} | {
        one.replace("__", "/"): None for one in gone
    }


@pytest.mark.parametrize(("began", "told"), [({"redriveDate": LAST}, 0), ({}, 1)])
def test_a_redriven_execution_began_a_second_time(
    monkeypatch: pytest.MonkeyPatch, began: dict[str, datetime], told: int
) -> None:
    one = {"executionArn": "e1", "startDate": NOW - timedelta(days=9), **began}
    aws = Aws(
        scan=remembered(),
        list_executions=lambda statusFilter, **_: [  # noqa: N803 - AWS's name
            {"executions": [one] if statusFilter == "RUNNING" else []}
        ],
    )
    assert look(monkeypatch, aws, machines={"load": {"arn": "load", "timeout": 3600}}) == told


def test_what_a_redriven_execution_took_is_not_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    running = {"executionArn": "e1", "startDate": NOW - timedelta(hours=1)}
    minute = {"startDate": LAST, "stopDate": LAST + timedelta(minutes=1)}
    days = {"startDate": NOW - timedelta(days=9), "redriveDate": LAST, "stopDate": NOW}
    aws = Aws(
        scan=remembered(),
        list_executions=lambda statusFilter, **_: [  # noqa: N803 - AWS's name
            {"executions": [running] if statusFilter == "RUNNING" else [minute] * 5 + [days] * 15}
        ],
    )
    assert look(monkeypatch, aws, machines={"load": {"arn": "load"}}) == 1


def test_many_tasks_are_described_a_hundred_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    arns = [f"t{number}" for number in range(150)]

    def described(tasks: list[str], **_: object) -> dict[str, Any]:
        limit = timedelta(minutes=6)
        times = {"t0": NOW - limit - timedelta(seconds=1), "t149": NOW - limit}
        return {"tasks": [{"taskArn": one, "startedAt": times.get(one, NOW)} for one in tasks]}

    aws = Aws(
        scan=remembered(),
        list_tasks=[{"taskArns": arns[:100]}, {"taskArns": arns[100:]}],
        describe_tasks=described,
    )
    assert look(monkeypatch, aws, tasks={"load": {"family": "f", "seconds": 60}}) == 1
    assert aws.of("list_tasks", "describe_tasks") == [
        ("list_tasks", {"cluster": "batch", "family": "f", "desiredStatus": "RUNNING"}),
        ("describe_tasks", {"cluster": "batch", "tasks": arns[:100]}),
        ("describe_tasks", {"cluster": "batch", "tasks": arns[100:]}),
    ]
    assert kept(aws)["task/load"] == {"until": "2026-06-01T11:53:59+00:00", "count": 1}


def test_the_function_brings_its_time_zones_along_and_answers_how_much_it_published(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = b64encode((files("tzdata") / "zoneinfo" / "Asia" / "Tokyo").read_bytes()).decode()
    (tmp_path / "stack.json").write_text(json.dumps({"zones": {"Asia/Tokyo": content}}))
    monkeypatch.setattr(program, "__file__", str(tmp_path / "handler.py"))
    looked: list[timedelta | None] = []

    def of_look(_: Watch, now: datetime) -> int:
        ZoneInfo.clear_cache()
        looked.append(now.astimezone(ZoneInfo("Asia/Tokyo")).utcoffset())
        return 3

    monkeypatch.setattr(Watch, "look", of_look)
    try:
        assert program.handler({}, None) == {"published": 3}
    finally:
        reset_tzpath()
        ZoneInfo.clear_cache()
    assert looked == [timedelta(hours=9)]
