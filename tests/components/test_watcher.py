"""The watcher: what it is given, what it may, and who watches it."""

import functools
import json
from base64 import b64decode
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pulumi import StateMigrationArgs

from components import Watcher, WatcherArgs
from components._dead_letters import fold_queue_policies
from settings import SettingsError, validated
from tests.components.parts import CLUSTER
from tests.recorder import (
    ACCOUNT,
    REGION,
    Json,
    Recording,
    deploy,
    deploy_stack,
    every,
    one,
    the_stack,
)

WHEN = {"schedule": "cron(0 10 * * ? *)", "timezone": "Asia/Tokyo"}
STACK: dict[str, Json] = {
    "jobs": {"ingest": {"timeout": "2h"}},
    "uploads": {"target": {"job": "ingest", "prefix": "target/"}},
    "pipelines": {
        "nightly": {**WHEN, "grace": "1h", "steps": [{"job": "ingest"}]},
        "off": {**WHEN, "enabled": False, "steps": [{"job": "ingest"}]},
    },
    "schedules": {"hourly": {"schedule": "rate(1 hour)", "job": "ingest", "flexibleMinutes": 5}},
}


@functools.cache
def recorded() -> Recording:
    return deploy_stack("dev", **STACK)


def told(recording: Recording | None = None) -> dict[str, Json]:
    code = one((recording or recorded()).resources, type="Function", name="watcher").inputs["code"]
    return json.loads(code["watch/stack.json"])


def test_it_is_told_of_every_queue_state_machine_job_and_schedule_that_fires() -> None:
    found = told()
    assert found["queues"] == {
        "alerts": "alerts-dead-letters-1a2b3c4",
        "pipeline-nightly": "nightly-dead-letters-1a2b3c4",
        "pipeline-off": "off-dead-letters-1a2b3c4",
        "schedule-hourly": "hourly-dead-letters-1a2b3c4",
        "task-events": "task-events-dead-letters-1a2b3c4",
        "task-reaper": "task-reaper-dead-letters-1a2b3c4",
        "upload-target": "target-dead-letters-1a2b3c4",
    }
    assert found["queueUrl"] == f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/"
    machines = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:fargate-batch-dev-"
    assert found["machines"] == {
        "ingest": {"arn": f"{machines}job-ingest", "timeout": 7200},
        "pipeline-nightly": {"arn": f"{machines}pipeline-nightly"},
        "pipeline-off": {"arn": f"{machines}pipeline-off"},
    }
    assert found["tasks"] == {"ingest": {"family": "fargate-batch-dev-job-ingest", "seconds": 7200}}
    assert found["schedules"] == {
        "nightly": {
            "arn": recorded().exports["pipelines"]["nightly"]["scheduleArn"],
            "expression": "cron(0 10 * * ? *)",
            "timezone": "Asia/Tokyo",
            "graceSeconds": 3600,
            "machine": f"{machines}pipeline-nightly",
        },
        "hourly": {
            "arn": recorded().exports["schedules"]["hourly"],
            "expression": "rate(1 hour)",
            "timezone": "UTC",
            "graceSeconds": 900,
            "flexibleMinutes": 5,
        },
    }
    assert "chat" not in found
    chatty = told(deploy_stack("dev", alerts={"chat": True}))
    assert chatty["chat"] == f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts-chat-1a2b3c4"


def test_it_takes_the_zones_of_its_schedules_along(tmp_path: Path) -> None:
    zones = told()["zones"]
    assert zones.keys() == {"Asia/Tokyo", "UTC"}
    file = tmp_path / "zone"
    file.write_bytes(b64decode(zones["Asia/Tokyo"]))
    with file.open("rb") as opened:
        assert ZoneInfo.from_file(opened, "Asia/Tokyo").utcoffset is not None
    assert b64decode(zones["Asia/Tokyo"])[:4] == b"TZif"


def test_a_stack_without_a_group_of_schedules_has_no_pauses() -> None:
    args: WatcherArgs = {
        "topic_arn": "topic",
        "key_arn": "key",
        "cluster_arn": CLUSTER,
        "task_event_log_group_name": "events",
        "dead_letter_queue_names": {},
        "machine_arns": {},
        "timeouts": {},
        "schedules": {},
    }
    recording = deploy(lambda: Watcher("watcher", args))
    assert "pauses" not in told(recording)
    policy = one(recording.resources, type="RolePolicy").inputs["policy"]
    assert "ssm:" not in policy
    assert "scheduler:" not in policy


def test_its_code_is_the_folder_without_bytecode() -> None:
    code = one(recorded().resources, type="Function", name="watcher").inputs["code"]
    files = {name.removeprefix("watch/") for name in code}
    assert files == {path.name for path in Path("lambdas/watch").glob("*.py")} | {"stack.json"}


def test_it_looks_every_five_minutes_and_its_silence_and_errors_are_told() -> None:
    rule = one(recorded().resources, type="EventRule", name="watcher").inputs
    assert rule["scheduleExpression"] == "rate(5 minutes)"
    silent = one(recorded().resources, type="MetricAlarm", name="watcher-silent").inputs
    assert silent["treatMissingData"] == "breaching"
    assert silent["comparisonOperator"] == "LessThanThreshold"
    assert (silent["metricName"], silent["threshold"]) == ("Invocations", 1)
    errors = one(recorded().resources, type="MetricAlarm", name="watcher-errors").inputs
    assert (errors["metricName"], errors["treatMissingData"]) == ("Errors", "notBreaching")
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts-1a2b3c4"
    assert silent["alarmActions"] == errors["alarmActions"] == [topic]


def test_the_chat_gets_alarms_and_failures_too() -> None:
    recording = deploy_stack("dev", alerts={"chat": True})
    topics = [f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts{end}-1a2b3c4" for end in ("", "-chat")]
    for alarm in every(recording.resources, type="MetricAlarm"):
        assert alarm.inputs["alarmActions"] == topics, alarm.name
    definition = one(recording.resources, type="StateMachine", name="alerts").document("definition")
    assert definition["States"]["Publish"]["Next"] == "PublishToChat"
    assert definition["States"]["PublishToChat"]["Arguments"]["TopicArn"] == topics[1]
    assert "PublishToChat" not in json.dumps(
        one(the_stack("dev").resources, type="StateMachine", name="alerts").document("definition")
    )


def test_a_queues_policy_of_before_becomes_part_of_its_queue() -> None:
    url = "https://sqs/1/a"
    old = [
        {"urn": "component", "type": "fargate-batch:index:UploadTrigger"},
        {"urn": "queue", "type": "aws:sqs/queue:Queue", "id": url},
        {"urn": "policy", "type": "aws:sqs/queuePolicy:QueuePolicy", "id": url},
        {"urn": "other", "type": "aws:sqs/queuePolicy:QueuePolicy", "id": "https://sqs/1/b"},
    ]
    result = fold_queue_policies(StateMigrationArgs("component", old))
    assert result is not None
    assert result.successors == {"policy": "queue"}
    assert [one["urn"] for one in result.new_state] == ["component", "queue", "other"]
    assert fold_queue_policies(StateMigrationArgs("component", result.new_state)) is None


def test_the_folded_state_names_nothing_outside_it_which_may_have_another_urn_by_now() -> None:
    both = ["queue", "elsewhere"]
    target = {"urn": "target", "type": "aws:cloudwatch/eventTarget:EventTarget"}
    old = [
        {"urn": "queue", "type": "aws:sqs/queue:Queue", "id": "url"},
        {"urn": "policy", "type": "aws:sqs/queuePolicy:QueuePolicy", "id": "url"},
        {**target, "dependencies": both, "propertyDependencies": {"arn": both, "rule": None}},
    ]
    result = fold_queue_policies(StateMigrationArgs("component", old))
    assert result is not None
    assert result.new_state[-1] == {
        **target,
        "dependencies": ["queue"],
        "propertyDependencies": {"arn": ["queue"], "rule": []},
    }


UNCONFIRMED = (
    "a Slack webhook cannot confirm the subscription, so it would never get a message; use chat:"
    " true, or the channel's e-mail address"
)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *(
            (f"https://{url}", UNCONFIRMED)
            for url in (
                *("hooks.slack.com/services/T/B/x", "hooks.slack-gov.com/x", "HOOKS.Slack.com"),
                *("a:b@hooks.slack.com/x", "hooks.slack.com:443/x", "hooks.slack.com.?x"),
            )
        ),
        *(
            (f"https://{host}/x", "must be https:// and a host of letters, digits, - and .")
            for host in ("hooks%2Eslack.com", "hooks\uff0eslack\uff0ecom", "hooks\u3002slack.com")
        ),
    ],
)
def test_a_slack_webhook_is_refused_because_it_cannot_confirm(url: str, reason: str) -> None:
    with pytest.raises(SettingsError) as refused:
        validated({"region": REGION, "jobs": {"a": {}}, "alerts": {"httpsEndpoints": [url]}})
    given = json.dumps(url, ensure_ascii=False)
    assert str(refused.value) == f"fargate-batch:alerts.httpsEndpoints[0]: {reason} (is: {given})"


@pytest.mark.parametrize(
    ("protect", "alerts", "warned"),
    [
        (True, {}, True),
        (True, {"chat": True}, False),
        (True, {"emails": ["a@example.com"]}, False),
        (False, {}, False),
    ],
)
def test_a_protected_stack_that_tells_nobody_is_warned_about(
    protect: bool,  # noqa: FBT001 - a case
    alerts: dict[str, Json],
    warned: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warnings = list[str]()
    monkeypatch.setattr("pulumi.log.warn", lambda text, *_: warnings.append(text))
    deploy_stack("dev", protect=protect, alerts=alerts)
    assert [w for w in warnings if "nobody gets a message" in w] == warnings
    assert bool(warnings) == warned
