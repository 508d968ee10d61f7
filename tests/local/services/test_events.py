"""EventBridge in the laptop's cloud: what a rule's targets get, and what becomes of the rest."""

import hashlib
import json
import threading
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.cloud import Cloud
from local.ministack import internals
from local.services.events import targets
from local.services.events.events import Delivery, at_path, observe, transformed
from local.services.events.targets import DeliveryError, run_task_request
from local.shapes import Json
from tests.local.machines import ROLE, Machines, make_role
from tests.local.probe import REGION, Stack, eventually, make_queue

ACCOUNT = f"{REGION}:111122223333"
RULE = {"Name": "uploads", "Arn": f"arn:aws:events:{ACCOUNT}:rule/uploads"}
NASTY = 'a "b" \\ $x {y} <key> 日本 %2F+\n.csv'


@pytest.fixture
def quick() -> Generator[Cloud]:
    """A cloud in which a second of waiting takes a millisecond."""
    with Cloud(0, REGION, wait_scale=0.001) as cloud:
        make_role(cloud)
        yield cloud


def take(cloud: Cloud, url: str) -> dict[str, Any]:
    """The next message of a queue."""
    sqs = cloud.client("sqs")
    message = eventually(
        lambda: next(
            iter(
                sqs.receive_message(
                    QueueUrl=url, MessageAttributeNames=["All"], MaxNumberOfMessages=1
                ).get("Messages", [])
            ),
            None,
        )
    )
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return message


def attributes(message: dict[str, Any]) -> dict[str, str]:
    return {name: one["StringValue"] for name, one in message["MessageAttributes"].items()}


def add_rule(cloud: Cloud, name: str, target: dict[str, Any], source: str = "test") -> str:
    events = cloud.client("events")
    arn = events.put_rule(Name=name, EventPattern=json.dumps({"source": [source]}))["RuleArn"]
    answer = events.put_targets(Rule=name, Targets=[{"Id": "target"} | target])
    assert answer["FailedEntryCount"] == 0
    return arn


def put(cloud: Cloud, detail: Json, source: str = "test") -> str:
    entry = {"Source": source, "DetailType": "Test", "Detail": json.dumps(detail)}
    return cloud.client("events").put_events(Entries=[entry])["Entries"][0]["EventId"]


def test_an_upload_reaches_the_machine_as_the_event_s3_sends(cloud: Cloud) -> None:
    make_role(cloud)
    machines = Machines(cloud)
    machine = machines.create("m", {"End": {"Type": "Succeed"}})
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="uploads", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket="uploads", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    add_rule(cloud, "uploads", {"Arn": machine, "RoleArn": ROLE}, "aws.s3")
    version = s3.put_object(Bucket="uploads", Key=NASTY, Body=b"a,b\n")["VersionId"]
    execution = eventually(lambda: next(iter(machines.executions(machine)), None))
    ended = machines.ended(execution["executionArn"])
    event = json.loads(ended["input"])
    detail = event["detail"]
    envelope = "account detail detail-type id region resources source time version"
    assert sorted(event) == envelope.split()
    assert event["detail-type"] == "Object Created"
    assert event["resources"] == ["arn:aws:s3:::uploads"]
    assert execution["name"].split("_")[0] == event["id"]
    assert len(detail.pop("request-id")) == 16
    assert int(detail["object"].pop("sequencer"), 16) > 0
    assert detail == {
        "version": "0",
        "bucket": {"name": "uploads"},
        "object": {
            "key": NASTY,
            "size": 4,
            "etag": hashlib.md5(b"a,b\n", usedforsecurity=False).hexdigest(),
            "version-id": version,
        },
        "requester": "111122223333",
        "source-ip-address": "127.0.0.1",
        "reason": "PutObject",
    }


def test_an_event_that_comes_twice_starts_one_execution_and_each_rule_its_own(
    cloud: Cloud,
) -> None:
    make_role(cloud)
    machines = Machines(cloud)
    machine = machines.create("m", {"End": {"Type": "Succeed"}})
    for name in ("one", "two"):
        add_rule(cloud, name, {"Arn": machine, "RoleArn": ROLE})
    event = {"EventId": "5c1f7f86-0000-4000-8000-000000000001", "Source": "test", "Detail": "{}"}
    delivered: list[Delivery] = []
    with observe(delivered.append), cloud.scope():
        for _ in range(2):
            internals.dispatch_event(dict(event))
        eventually(
            lambda: True if [one.outcome for one in delivered].count("delivered") == 4 else None
        )
    names = {one["name"] for one in machines.executions(machine)}
    assert len(names) == 2
    assert {name.split("_")[0] for name in names} == {event["EventId"]}


def test_a_rule_runs_a_task_with_the_transformed_input_as_its_overrides(
    cloud: Cloud, stack: Stack
) -> None:
    make_role(cloud)
    definition = stack.define()
    template = (
        '{"containerOverrides":[{"name":"probe","command":["exit",<code>],'
        '"environment":[{"name":"OBJECT_KEY","value":<key>}]}]}'
    )
    target = {
        "Arn": f"arn:aws:ecs:{ACCOUNT}:cluster/batch",
        "RoleArn": ROLE,
        "EcsParameters": {
            "TaskDefinitionArn": definition,
            "TaskCount": 1,
            "LaunchType": "FARGATE",
            "PlatformVersion": "1.4.0",
            "NetworkConfiguration": {
                "awsvpcConfiguration": {
                    "Subnets": [stack.subnet],
                    "SecurityGroups": [stack.group],
                    "AssignPublicIp": "ENABLED",
                }
            },
            "Tags": [{"Key": "Team", "Value": "Data"}],
        },
        "InputTransformer": {
            "InputPathsMap": {"key": "$.detail.key", "code": "$.detail.code"},
            "InputTemplate": template,
        },
    }
    name = "a-rule-with-a-name-longer-than-what-ecs-shows"
    add_rule(cloud, name, target)
    put(cloud, {"key": NASTY, "code": "7"})
    ecs = cloud.client("ecs")
    arn = eventually(
        lambda: next(
            iter(
                ecs.list_tasks(cluster="batch", desiredStatus="STOPPED")["taskArns"]
                + ecs.list_tasks(cluster="batch")["taskArns"]
            ),
            None,
        )
    )
    task = stack.stopped(arn)
    assert task["startedBy"] == f"events-rule/{name}"[:36]
    assert task["containers"][0]["exitCode"] == 7
    assert task["overrides"]["containerOverrides"] == [
        {
            "name": "probe",
            "command": ["exit", "7"],
            "environment": [{"name": "OBJECT_KEY", "value": NASTY}],
        }
    ]


def test_the_parameters_of_an_ecs_target_become_the_request_of_run_task() -> None:
    target = {
        "Arn": "cluster",
        "EcsParameters": {
            "TaskDefinitionArn": "job:1",
            "TaskCount": 2,
            "CapacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
            "PropagateTags": "TASK_DEFINITION",
            "EnableECSManagedTags": True,
            "EnableExecuteCommand": False,
            "Group": "g",
            "Tags": [{"Key": "A", "Value": "B"}],
        },
    }
    assert run_task_request(target, '{"detail": {}}', "events-rule/x") == {
        "cluster": "cluster",
        "taskDefinition": "job:1",
        "count": 2,
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
        "propagateTags": "TASK_DEFINITION",
        "enableECSManagedTags": True,
        "enableExecuteCommand": False,
        "group": "g",
        "tags": [{"key": "A", "value": "B"}],
        "startedBy": "events-rule/x",
    }
    with pytest.raises(DeliveryError, match="must be a JSON object"):
        run_task_request(target, "[]", "events-rule/x")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('{"k": <key>}', '{"k": "a\\"b"}'),
        ('{"k": "<key>"}', '{"k": "a"b"}'),
        ('{"l": <list>, "o": <object>}', '{"l": ["A","B"], "o": {"x":1}}'),
        ('"list <list>, object <object>"', '"list [A,B], object {x:1}"'),
        ('{"n": <number>, "s": "<number>"}', '{"n": 4, "s": "4"}'),
        ('{"m": <missing>, "s": "-<missing>-"}', '{"m": "", "s": "--"}'),
        ('"<aws.events.rule-name>"', '"uploads"'),
        ('{"e": <aws.events.event.json>}', '{"e": {"id":"1","detail":{"n":4}}}'),
        ('{"e": <aws.events.event>}', '{"e": {"id":"1"}}'),
    ],
)
def test_an_input_transformer_makes_the_text_aws_makes(template: str, expected: str) -> None:
    paths = {
        "key": "$.detail.key",
        "list": "$.detail.list",
        "object": "$.detail.object",
        "number": "$.detail.n",
        "missing": "$.detail.none",
    }
    detail: dict[str, Any] = {"n": 4}
    if "aws.events" not in template:
        detail |= {"key": 'a"b', "list": ["A", "B"], "object": {"x": 1}}
    event = {"id": "1", "detail": detail}
    transformer = {"InputPathsMap": paths, "InputTemplate": template}
    assert transformed(transformer, RULE, event, {"id": "1"}) == expected


def test_a_path_goes_through_lists_and_quoted_names() -> None:
    event = {"resources": ["first"], "detail": {"a-b": {"c d": 1}}}
    assert at_path(event, "$.resources[0]") == "first"
    assert at_path(event, "$.detail.a-b['c d']") == 1
    assert at_path(event, "$.resources[3]") is None
    assert at_path(event, "$") == event


def test_input_that_is_no_json_is_a_dead_letter_at_once(cloud: Cloud) -> None:
    make_role(cloud)
    machines = Machines(cloud)
    machine = machines.create("m", {"End": {"Type": "Succeed"}})
    url, dead = make_queue(cloud, "dead")
    transformer = {"InputPathsMap": {"k": "$.detail.k"}, "InputTemplate": '{"k": "<k>"}'}
    rule = add_rule(
        cloud,
        "spliced",
        {"Arn": machine, "RoleArn": ROLE, "InputTransformer": transformer}
        | {"DeadLetterConfig": {"Arn": dead}},
    )
    event_id = put(cloud, {"k": 'a"b'})
    letter = take(cloud, url)
    found = attributes(letter)
    assert json.loads(letter["Body"])["id"] == event_id
    assert found.pop("ERROR_MESSAGE") != ""
    assert found == {
        "RULE_ARN": rule,
        "TARGET_ARN": machine,
        "ERROR_CODE": "INVALID_JSON",
        "RETRY_ATTEMPTS": "0",
    }
    assert machines.executions(machine) == []


def test_a_missing_target_or_right_is_a_dead_letter_at_once(cloud: Cloud) -> None:
    role = make_role(cloud)
    machine = Machines(cloud).create("m", {"End": {"Type": "Succeed"}})
    url, dead = make_queue(cloud, "dead")
    letters = {"DeadLetterConfig": {"Arn": dead}}
    gone = f"arn:aws:states:{ACCOUNT}:stateMachine:gone"
    add_rule(cloud, "gone", {"Arn": gone, "RoleArn": role} | letters, "gone")
    put(cloud, {}, "gone")
    assert attributes(take(cloud, url))["ERROR_CODE"] == "NO_RESOURCE"
    cloud.client("iam").delete_role_policy(RoleName="services", PolicyName="all")
    add_rule(cloud, "denied", {"Arn": machine, "RoleArn": role} | letters, "denied")
    put(cloud, {}, "denied")
    found = attributes(take(cloud, url))
    assert (found["ERROR_CODE"], found["RETRY_ATTEMPTS"]) == ("NO_PERMISSIONS", "0")
    assert "states:StartExecution" in found["ERROR_MESSAGE"]


def test_a_queue_that_does_not_let_the_rule_gets_no_dead_letter(cloud: Cloud) -> None:
    role = make_role(cloud)
    url = cloud.client("sqs").create_queue(QueueName="shut")["QueueUrl"]
    target = {"Arn": f"arn:aws:states:{ACCOUNT}:stateMachine:gone", "RoleArn": role}
    letters = {"DeadLetterConfig": {"Arn": f"arn:aws:sqs:{ACCOUNT}:shut"}}
    add_rule(cloud, "gone", target | letters)
    told: list[Delivery] = []
    with observe(told.append):
        put(cloud, {})
        eventually(lambda: True if len(told) == 2 else None)
    assert [(one.rule_name, one.outcome, one.error) for one in told] == [
        ("gone", "matched", None),
        ("gone", "failed", "NO_RESOURCE"),
    ]
    assert "Messages" not in cloud.client("sqs").receive_message(QueueUrl=url)


def test_what_may_pass_is_tried_as_often_as_the_rule_says(
    quick: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DeliveryError("THROTTLING", "Rate exceeded", retry=True)

    monkeypatch.setattr(targets, "deliver", refuse)
    url, dead = make_queue(quick, "dead")
    target = {"Arn": dead, "DeadLetterConfig": {"Arn": dead}}
    add_rule(quick, "few", target | {"RetryPolicy": {"MaximumRetryAttempts": 3}})
    put(quick, {})
    found = attributes(take(quick, url))
    assert found["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
    assert found["RETRY_ATTEMPTS"] == "3"
    add_rule(quick, "short", target | {"RetryPolicy": {"MaximumEventAgeInSeconds": 60}}, "short")
    put(quick, {}, "short")
    assert attributes(take(quick, url))["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"


def test_events_reach_a_target_in_their_order_and_the_sender_does_not_wait(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, arn = make_queue(cloud, "all")
    add_rule(cloud, "all", {"Arn": arn, "InputPath": "$.detail.n"})
    sent, deliver = threading.Event(), targets.deliver

    def late(*given: Any) -> None:  # noqa: ANN401 -- as they come
        assert sent.wait(120)
        deliver(*given)

    monkeypatch.setattr(targets, "deliver", late)
    for number in range(30):
        put(cloud, {"n": number})
    sent.set()
    assert [take(cloud, url)["Body"] for _ in range(30)] == [str(number) for number in range(30)]


def test_every_status_of_an_execution_is_one_event_in_aws_s_shape(cloud: Cloud) -> None:
    make_role(cloud)
    machines = Machines(cloud)
    url, arn = make_queue(cloud, "status")
    add_rule(cloud, "status", {"Arn": arn, "InputPath": "$.detail"}, "aws.states")
    wait = {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}
    good = machines.create("good", {"End": {"Type": "Succeed"}})
    bad = machines.create("bad", {"End": {"Type": "Fail", "Error": "E", "Cause": "C"}})
    late = machines.create("late", wait, TimeoutSeconds=1)
    long = machines.create("long", wait)
    expected = {good: "SUCCEEDED", bad: "FAILED", late: "TIMED_OUT", long: "ABORTED"}
    for machine, status in expected.items():
        execution = machines.start(machine)
        if machine == long:
            cloud.client("stepfunctions").stop_execution(executionArn=execution)
        first, last = (json.loads(take(cloud, url)["Body"]) for _ in range(2))
        assert (first["status"], last["status"]) == ("RUNNING", status)
        assert (first["stopDate"], last["executionArn"]) == (None, execution)
        assert last["stopDate"] >= last["startDate"]
        assert last["error"] == ("E" if machine == bad else None)
        assert last["output"] == ("{}" if machine == good else None)


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minutes)",
        "rate(0 minutes)",
        "rate(5 minute)",
        "cron(71 * * * ? *)",
        "cron(0 10 * * * *)",
        "at(2099-01-01T00:00:00)",
        "every day",
    ],
)
def test_a_rule_with_a_wrong_schedule_is_refused(cloud: Cloud, expression: str) -> None:
    events = cloud.client("events")
    with pytest.raises(events.exceptions.ClientError, match="ScheduleExpression is not valid"):
        events.put_rule(Name="r", ScheduleExpression=expression)
    events.put_rule(Name="r", ScheduleExpression="rate(1 minute)")


def test_what_an_archive_has_reaches_the_rule_again_in_a_replay(cloud: Cloud) -> None:
    events, (url, queue) = cloud.client("events"), make_queue(cloud, "replayed")
    rule = add_rule(cloud, "replayed", {"Arn": queue})
    bus = rule.replace("rule/replayed", "event-bus/default")
    pattern = json.dumps({"source": ["test"]})
    archive = events.create_archive(ArchiveName="all", EventSourceArn=bus, EventPattern=pattern)
    began = datetime.now(UTC)
    put(cloud, {"number": 1})
    put(cloud, {"number": 2}, source="other")
    live = json.loads(take(cloud, url)["Body"])
    events.start_replay(
        ReplayName="again",
        EventSourceArn=archive["ArchiveArn"],
        EventStartTime=began - timedelta(minutes=1),
        EventEndTime=began + timedelta(minutes=1),
        Destination={"Arn": bus, "FilterArns": [rule]},
    )
    again = json.loads(take(cloud, url)["Body"])
    assert again.pop("replay-name") == "again"
    assert {**again, "id": live["id"]} == live
    assert live["detail"] == {"number": 1}


def test_a_rule_with_a_wrong_pattern_is_refused(cloud: Cloud) -> None:
    events = cloud.client("events")
    for pattern in ("{", '{"source": "aws.s3"}', '{"source": [{"prefixed": "x"}]}'):
        with pytest.raises(events.exceptions.InvalidEventPatternException):
            events.put_rule(Name="r", EventPattern=pattern)
