"""From an uploaded object to what it starts: patterns against real events, grants, dead letters."""

import json
from typing import Any

import pytest

from components import UploadFilterArgs, UploadTrigger, UploadTriggerArgs
from components.upload_trigger import event_pattern
from local.ministack import internals
from local.services.events.events import transformed
from tests.components.parts import (
    CLUSTER,
    MACHINE,
    PLACEMENT,
    RUN_AS_PLACED,
    RUN_TASK,
    TASK,
    allows,
    component,
    names,
    outputs,
    queue_policy,
    trusts,
)
from tests.recorder import ACCOUNT, REGION, Recording, deploy, one

RULE = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/target-1a2b3c4"
QUEUE = "target-dead-letters-1a2b3c4"
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}"


def trigger(*, via_task: bool = False, preview: bool = False, **more: Any) -> Recording:  # noqa: ANN401 any key of the Args
    what = {"task": TASK, "placement": PLACEMENT} if via_task else {"state_machine_arn": MACHINE}
    args: Any = {"bucket_name": "uploads", "filter": {"prefix": "target/"}, **what, **more}
    return deploy(lambda: UploadTrigger("target", args), preview=preview)


def starts(filter_: UploadFilterArgs, key: str, size: int, *, bucket: str = "uploads") -> bool:
    """Whether EventBridge, given the event S3 sends for this object, starts the target."""
    detail = {
        "version": "0",
        "bucket": {"name": bucket},
        "object": {"key": key, "size": size, "etag": "0" * 32, "sequencer": "00"},
        "request-id": "C3D13FE58DE4C810",
        "requester": ACCOUNT,
        "source-ip-address": "192.0.2.1",
        "reason": "PutObject",
    }
    event = {
        "Source": "aws.s3",
        "DetailType": "Object Created",
        "Account": ACCOUNT,
        "Region": REGION,
        "Resources": [f"arn:aws:s3:::{bucket}"],
        "Detail": json.dumps(detail),
    }
    pattern = json.dumps(event_pattern("uploads", filter_))
    assert internals.pattern_error(pattern) is None
    return internals.matches_pattern(pattern, event)


@pytest.mark.parametrize(
    ("filter_", "key", "size", "expected"),
    [
        ({"prefix": "target/"}, "target/test.csv", 9, True),
        ({"prefix": "target/"}, "target/a/b/test.csv", 9, True),
        ({"prefix": "target/"}, "hoge/test.csv", 9, False),
        ({"prefix": "target/"}, "x/target/test.csv", 9, False),
        ({"prefix": "target/"}, "Target/test.csv", 9, False),
        ({"prefix": "target/"}, "target/", 0, False),
        ({"prefix": "target/"}, "target/a/", 0, False),
        ({"prefix": "取込/"}, "取込/注文 (1).csv", 9, True),
        ({"prefix": "取込/"}, "取/注文.csv", 9, False),
        ({"prefix": "a*/"}, "a*/x", 9, True),
        ({"prefix": "a*/"}, "ab/x", 9, False),
        ({"suffix": ".csv"}, "x/y.csv", 9, True),
        ({"suffix": ".csv"}, "x/y.csv", 0, True),
        ({"suffix": ".csv"}, "x/y.csv.gz", 9, False),
        ({"prefix": "target/", "suffix": ".csv"}, "target/x.csv", 0, True),
        ({"prefix": "target/", "suffix": ".csv"}, "target/.csv", 9, True),
        ({"prefix": "target/", "suffix": ".csv"}, "target/x.json", 9, False),
        ({"prefix": "target/", "suffix": ".csv"}, "hoge/x.csv", 9, False),
        ({"prefix": "a*b/", "suffix": ".csv"}, "a*b/x.csv", 9, True),
        ({"prefix": "a*b/", "suffix": ".csv"}, "aXb/x.csv", 9, False),
        ({"prefix": "a\\b/", "suffix": "\\.csv"}, "a\\b/x\\.csv", 9, True),
        ({"prefix": "a\\b/", "suffix": "\\.csv"}, "ab/x.csv", 9, False),
        ({"prefix": "取込/", "suffix": "了.txt"}, "取込/完了.txt", 9, True),
        ({"prefix": 'a"', "suffix": '"b'}, 'a" "b', 9, True),
        ({"key": "test/aaa/complete.txt"}, "test/aaa/complete.txt", 0, True),
        ({"key": "test/aaa/complete.txt"}, "test/aaa/complete.txt.bak", 9, False),
        ({"key": "a*"}, "a*", 9, True),
        ({"key": "a*"}, "ab", 9, False),
        ({"wildcard": "in/*/data.*"}, "in/2030/data.csv", 9, True),
        ({"wildcard": "in/*/data.*"}, "in/data.csv", 9, False),
        ({"wildcard": "in/*"}, "in/a/", 0, False),
        ({"wildcard": "in/\\*"}, "in/*", 9, True),
        ({"wildcard": "in/\\*"}, "in/a", 9, False),
        ({"wildcard": "*"}, "anything", 1, True),
        ({"prefix": "t/", "min_size": 10}, "t/x", 9, False),
        ({"prefix": "t/", "min_size": 10}, "t/x", 10, True),
        ({"prefix": "t/", "max_size": 10}, "t/x", 10, True),
        ({"prefix": "t/", "max_size": 10}, "t/x", 11, False),
        ({"prefix": "t/", "max_size": 10}, "t/", 0, False),
        ({"prefix": "t/", "max_size": 1}, "t/x", 1, True),
        ({"prefix": "t/", "min_size": 5, "max_size": 5}, "t/x", 5, True),
        ({"prefix": "t/", "min_size": 5, "max_size": 5}, "t/x", 6, False),
        ({"suffix": ".csv", "max_size": 0}, "t/x.csv", 0, True),
        ({"suffix": ".csv", "max_size": 0}, "t/x.csv", 1, False),
        ({"min_size": 5_000_000_000}, "x", 5_000_000_000, True),
        ({}, "x", 1, True),
        ({}, "x", 5_000_000_001, True),
        ({"prefix": "t/", "min_size": 1}, "t/x", 5 * 1024**4, True),
        ({}, "x/", 0, False),
        ({"prefix": ["a/", "b/"]}, "b/x", 9, True),
        ({"prefix": ["a/", "b/"]}, "c/x", 9, False),
        ({"prefix": ["a/", "b/"]}, "b/", 0, False),
        ({"suffix": [".csv", ".tsv"]}, "x.tsv", 0, True),
        ({"prefix": ["a/", "b/"], "suffix": [".csv", ".tsv"]}, "b/x.csv", 9, True),
        ({"prefix": ["a/", "b/"], "suffix": [".csv", ".tsv"]}, "b/x.gz", 9, False),
        ({"key": ["a", "b"]}, "b", 0, True),
        ({"key": ["a", "b"]}, "c", 9, False),
        ({"wildcard": ["a/*.csv", "b/*"]}, "a/x.csv", 9, True),
        ({"wildcard": ["a/*.csv", "b/*"]}, "a/x.tsv", 9, False),
        ({"wildcard": ["a/*.csv", "b/*"]}, "b/", 0, False),
        ({"wildcard": "*", "exclude": ["tmp/*", "*.tmp"]}, "in/x.csv", 9, True),
        ({"wildcard": "*", "exclude": ["tmp/*", "*.tmp"]}, "tmp/x.csv", 9, False),
        ({"wildcard": "*", "exclude": ["tmp/*", "*.tmp"]}, "in/x.tmp", 9, False),
        ({"wildcard": "*", "exclude": ["tmp/*"]}, "in/", 0, False),
        # The state machine looks at these.
        ({"prefix": "in/", "exclude": ["*.tmp"]}, "in/x.tmp", 9, True),
    ],
)
def test_an_upload_starts_what_its_filter_says(
    filter_: UploadFilterArgs,
    key: str,
    size: int,
    expected: bool,  # noqa: FBT001 a column of the table
) -> None:
    assert starts(filter_, key, size) is expected


def test_an_upload_to_another_bucket_starts_nothing() -> None:
    assert starts({"prefix": "target/"}, "target/x", 9)
    assert not starts({"prefix": "target/"}, "target/x", 9, bucket="uploads-2")


def test_the_rule_matches_objects_created_in_the_bucket() -> None:
    rule = one(trigger().resources, type="EventRule", name="target")
    assert rule.document("eventPattern") == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": ["uploads"]},
            "object": {"key": [{"prefix": "target/"}], "size": [{"anything-but": [0]}]},
        },
    }


def test_a_state_machine_gets_the_event_as_it_is() -> None:
    recording = trigger()
    target = one(recording.resources, type="EventTarget", name="target")
    assert target.inputs == {
        "rule": "target-1a2b3c4",
        "arn": MACHINE,
        "roleArn": f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/target-1a2b3c4",
        "deadLetterConfig": {"arn": QUEUE_ARN},
        "retryPolicy": {"maximumEventAgeInSeconds": 86_400, "maximumRetryAttempts": 185},
    }
    policy = one(recording.resources, type="RolePolicy", name="target")
    assert policy.document("policy") == allows(
        {"Effect": "Allow", "Action": "states:StartExecution", "Resource": MACHINE}
    )


def test_a_state_machine_is_told_by_whom_where_it_looks_at_what_is_excluded() -> None:
    recording = trigger(filter={"prefix": ["target/"], "exclude": ["*.tmp"]})
    given = one(recording.resources, type="EventTarget").inputs["inputTransformer"]
    transformer = {"InputPathsMap": given["inputPaths"], "InputTemplate": given["inputTemplate"]}
    event = {
        "version": "0",
        "id": "1",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": "2030-01-01T00:00:00Z",
        "region": REGION,
        "resources": ["arn:aws:s3:::uploads"],
        "detail": {"bucket": {"name": "uploads"}, "object": {"key": '取"}], <id>\\', "size": 9}},
    }
    filled = transformed(transformer, {"Arn": RULE, "Name": "target"}, event, {})
    assert json.loads(filled) == {"upload": "target", **event}

    whole = trigger(filter={"wildcard": ["*"], "exclude": ["*.tmp"]})
    assert "inputTransformer" not in one(whole.resources, type="EventTarget").inputs


def test_a_task_gets_bucket_and_key_as_environment() -> None:
    recording = trigger(via_task=True)
    target = one(recording.resources, type="EventTarget", name="target")
    template = target.inputs["inputTransformer"].pop("inputTemplate")
    assert target.inputs == {
        "rule": "target-1a2b3c4",
        "arn": CLUSTER,
        "roleArn": f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/target-1a2b3c4",
        "deadLetterConfig": {"arn": QUEUE_ARN},
        "retryPolicy": {"maximumEventAgeInSeconds": 86_400, "maximumRetryAttempts": 185},
        "ecsTarget": {
            **RUN_AS_PLACED,
            "taskCount": 1,
            "tags": {"batch-trigger": "upload-target"},
        },
        "inputTransformer": {
            "inputPaths": {
                "bucket": "$.detail.bucket.name",
                "object_key": "$.detail.object.key",
                "object_version": "$.detail.object.version-id",
                "object_size": "$.detail.object.size",
                "object_etag": "$.detail.object.etag",
                "object_sequencer": "$.detail.object.sequencer",
            }
        },
    }
    # What EventBridge makes of it for a key that would break out of a quoted variable.
    key = '"}], "command": ["sh"] \\ 取込'
    told = {"key": key, "size": 9, "etag": "0a-2", "sequencer": "00"}
    event = {"detail": {"bucket": {"name": "uploads"}, "object": told}}
    transformer = {
        "InputPathsMap": target.inputs["inputTransformer"]["inputPaths"],
        "InputTemplate": template,
    }
    filled = transformed(transformer, {"Arn": RULE, "Name": "target"}, event, {})
    assert json.loads(filled) == {
        "containerOverrides": [
            {
                "name": "ingest",
                "environment": [
                    {"name": "BUCKET", "value": "uploads"},
                    {"name": "OBJECT_KEY", "value": key},
                    {"name": "OBJECT_VERSION", "value": ""},
                    {"name": "OBJECT_SIZE", "value": "9"},
                    {"name": "OBJECT_ETAG", "value": "0a-2"},
                    {"name": "OBJECT_SEQUENCER", "value": "00"},
                ],
            }
        ]
    }
    policy = one(recording.resources, type="RolePolicy", name="target")
    assert policy.document("policy") == allows(*RUN_TASK)


def test_a_task_runs_where_its_placement_says() -> None:
    placement = {
        **PLACEMENT,
        "spot": True,
        "assign_public_ip": False,
        "platform_version": "LATEST",
    }
    target = one(trigger(via_task=True, placement=placement).resources, type="EventTarget")
    ecs = target.inputs["ecsTarget"]
    assert ecs["capacityProviderStrategies"] == [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    assert ecs["platformVersion"] == "LATEST"
    assert ecs["networkConfiguration"]["assignPublicIp"] is False


def test_only_this_rule_may_act_with_the_role_and_write_dead_letters() -> None:
    recording = trigger()
    role = one(recording.resources, type="Role", name="target")
    assert role.document("assumeRolePolicy") == trusts(
        "events.amazonaws.com", ArnEquals={"aws:SourceArn": RULE}
    )
    queue = one(recording.resources, type="Queue", name="target-dead-letters")
    assert queue.document("policy") == queue_policy(RULE)


def test_dead_letters_are_encrypted_and_stay_two_weeks() -> None:
    queue = one(trigger().resources, type="Queue", name="target-dead-letters")
    assert queue.inputs.pop("policy")
    assert queue.inputs == {"messageRetentionSeconds": 1_209_600, "sqsManagedSseEnabled": True}


@pytest.mark.parametrize("via_task", [False, True])
def test_the_target_is_there_only_after_all_that_it_needs(*, via_task: bool) -> None:
    recording = trigger(via_task=via_task)
    target = one(recording.resources, type="EventTarget")
    for kind in ("RolePolicy", "Role", "Queue", "EventRule"):
        assert one(recording.resources, type=kind).urn in target.depends_on


@pytest.mark.parametrize("preview", [False, True])
def test_its_children_are_its_own(*, preview: bool) -> None:
    assert names(trigger(preview=preview), "UploadTrigger") == {
        ("EventRule", "target"),
        ("EventTarget", "target"),
        ("Queue", "target-dead-letters"),
        ("Role", "target"),
        ("RolePolicy", "target"),
    }


def test_it_puts_out_its_rule_and_its_dead_letter_queue() -> None:
    recording = trigger()
    assert component(recording, "UploadTrigger").name == "target"
    assert outputs(recording, "UploadTrigger") == {
        "rule_arn": RULE,
        "rule_name": "target-1a2b3c4",
        "dead_letter_queue_url": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{QUEUE}",
        "dead_letter_queue_name": QUEUE,
    }


def test_without_anything_to_start_it_is_refused() -> None:
    args: UploadTriggerArgs = {"bucket_name": "uploads", "filter": {}, "task": TASK}
    with pytest.raises(ValueError, match="target: give state_machine_arn, or task and placement"):
        deploy(lambda: UploadTrigger("target", args))
