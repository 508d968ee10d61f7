"""Alerts: which events are told, in which words, who may, what raises an alarm."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from components import FailureAlerts, FailureAlertsArgs
from components.outcomes import ADVICE, WHAT_TO_DO
from tests.components.expressions import CONTEXT, choose, evaluate
from tests.components.parts import CLUSTER, LOG_DELIVERY, allows, queue_policy, trusts
from tests.recorder import ACCOUNT, REGION, Recording, deploy, every, one

ROOT = Path(__file__).parents[2]
PREFIX = "fargate-batch-dev-"
MACHINES = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{PREFIX}"
EXECUTIONS = MACHINES.replace(":stateMachine:", ":execution:")
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts-1a2b3c4"
RULES: Any = [
    f"arn:aws:events:{REGION}:{ACCOUNT}:rule/alerts-{kind}-1a2b3c4"
    for kind in ("executions", "tasks")
]


def alerts(jobs: int = 1, **more: Any) -> Recording:  # noqa: ANN401 any key of the Args
    args: FailureAlertsArgs = {
        "cluster_arn": CLUSTER,
        "machine_arns": {f"job{n}": f"{MACHINES}job-job{n}" for n in range(jobs)},
        "rule_names": {f"upload-u{n}": f"u{n}-1a2b3c4" for n in range(jobs)},
        "dead_letter_queue_names": {f"upload-u{n}": f"u{n}-dead-letters" for n in range(jobs)},
        "schedule_group_name": "schedules-1a2b3c4",
        "task_event_function_name": "task-events-1a2b3c4",
        "task_event_log_group_name": "/fargate-batch/dev/task-events",
    }
    merged: Any = {**args, **more}
    return deploy(lambda: FailureAlerts("alerts", merged))


RECORDED = alerts()
WITH_BACKFILLS = alerts(backfills_machine_arn=f"{MACHINES}backfill-backfills")
STATES: dict[str, Any] = one(RECORDED.resources, type="StateMachine").document("definition")[
    "States"
]


def test_they_log_to_a_group_of_their_own_where_they_are_given_none() -> None:
    name = "/aws/vendedlogs/states/fargate-batch-dev-alerts-alerts"
    group = one(alerts(log_retention_days=7).resources, type="LogGroup").inputs
    assert group == {"name": name, "retentionInDays": 7}


def execution(machine: str = "job-ingest", status: str = "FAILED", **detail: Any) -> dict[str, Any]:  # noqa: ANN401 JSON
    return {
        "source": "aws.states",
        "detail": {
            "executionArn": f"{EXECUTIONS}{machine}:me",
            "stateMachineArn": f"{MACHINES}{machine}",
            "status": status,
            "startDate": 1_900_000_000_000,
            "stopDate": 1_900_000_001_000,
            "input": "{}",
            "output": None,
            "error": None,
            "cause": None,
            **detail,
        },
    }


def task(exit_code: int | None, stop_code: str = "EssentialContainerExited", **detail: Any) -> Any:  # noqa: ANN401 JSON
    container = {"name": "ingest"} | ({} if exit_code is None else {"exitCode": exit_code})
    arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
    return {
        "source": "aws.ecs",
        "detail": {
            "taskArn": f"{arn}:task/batch/0123",
            "taskDefinitionArn": f"{arn}:task-definition/{PREFIX}ingest:3",
            "containers": [{"name": "aws-guardduty-agent-1", "exitCode": 137}, container],
            "stopCode": stop_code,
            "stoppedReason": "It ended",
            "startedBy": "chronos-schedule/hello",
            "createdAt": "2030-01-01T00:00:00Z",
            "overrides": {"containerOverrides": [{"name": "ingest"}]},
            **detail,
        },
    }


def told(event: dict[str, Any], states: dict[str, Any] = STATES) -> tuple[str, str]:
    """The subject and the message of an event that leads to one."""
    state, known = choose(states["Read"], input=event)[:2]
    assert states[state]["Next"] == "Publish"
    said = evaluate(states[state]["Assign"], input=event, **known)
    return said["subject"], said["message"]


def test_its_rules_take_failures_of_all_machines_but_its_own() -> None:
    rules = {
        rule.name: rule.document("eventPattern")
        for rule in every(RECORDED.resources, type="EventRule")
    }
    first, second, third = rules["alerts-executions"]["detail"]["$or"]
    prefixes = [one["prefix"] for one in first["stateMachineArn"]]
    assert prefixes == [f"{MACHINES}{kind}-" for kind in ("job", "pipeline", "limit", "reaper")]
    own = one(RECORDED.resources, type="StateMachine").inputs["name"]
    assert not f"{MACHINES.removesuffix(PREFIX)}{own}".startswith(tuple(prefixes))
    assert first["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    assert second == {
        "stateMachineArn": [{"prefix": f"{MACHINES}pipeline-"}],
        "status": ["SUCCEEDED"],
        "output": [{"wildcard": '*"FAILED"*'}],
    }
    assert third == {
        "stateMachineArn": [{"prefix": f"{MACHINES}job-"}],
        "status": ["SUCCEEDED"],
        "output": [{"wildcard": '*"warning"*'}],
    }
    assert rules["alerts-tasks"] == {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {
            "clusterArn": [CLUSTER],
            "lastStatus": ["STOPPED"],
            "startedBy": [{"prefix": "events-rule/"}, {"prefix": "chronos-schedule/"}],
            "$or": [
                {"stopCode": [{"anything-but": ["EssentialContainerExited"]}]},
                {"stopCode": [{"exists": False}]},
                {"containers": {"exitCode": [{"anything-but": [0]}]}},
                {"containers": {"exitCode": [{"exists": False}]}},
            ],
        },
    }


@pytest.mark.parametrize(
    ("event", "subject"),
    [
        (execution(error="Batch.BadData", cause="x"), "Job ingest failed: Batch.BadData"),
        (execution(status="TIMED_OUT"), "Job ingest timed out"),
        (execution(status="ABORTED"), "Job ingest was stopped"),
        (execution("pipeline-nightly", error="A.B"), "Pipeline nightly failed: A.B"),
        (execution("reaper-task-reaper", error="A.B"), "reaper task-reaper failed: A.B"),
        (task(65), "Job ingest failed: exit code 65 (bad data)"),
        (task(1), "Job ingest failed: exit code 1"),
        (task(None), "Job ingest failed without an exit code"),
        (task(None, "TaskFailedToStart"), "Job ingest never started"),
        (task(143, "SpotInterruption"), "Job ingest was interrupted"),
        (task(0, "SpotInterruption"), "Job ingest was interrupted"),
        (task(137, "UserInitiated"), "Job ingest was stopped"),
        (
            task(143, "UserInitiated", stoppedReason="Timed out after 60 seconds"),
            "Job ingest timed out",
        ),
        (task(137, "UserInitiated", stoppedReason=None), "Job ingest was stopped"),
    ],
)
def test_the_subject_says_what_happened(event: dict[str, Any], subject: str) -> None:
    assert told(event)[0] == f"{subject} (fargate-batch dev)"


@pytest.mark.parametrize(
    ("event", "log"),
    [
        (execution(error="Input.Invalid", cause="Expected an S3 event."), []),
        (execution(error="Batch.NeverStarted", cause="Job ingest: its task never started."), []),
        (execution(error="States.Runtime"), []),
        (
            execution(error="Batch.BadData", cause="Log: group g, stream s."),
            ["Log: group /fargate-batch/dev/ingest"],
        ),
        (execution(status="ABORTED"), ["Log: group /fargate-batch/dev/ingest"]),
        (execution("pipeline-nightly", error="Pipeline.StepFailed", cause="Log: group g"), []),
        (task(None, "TaskFailedToStart"), []),
        (task(None, "UserInitiated"), []),
        (task(1), ["Log: group /fargate-batch/dev/ingest, stream ingest/ingest/0123"]),
        (
            task(None, "SpotInterruption", startedAt="2030-01-01T00:00:01Z"),
            ["Log: group /fargate-batch/dev/ingest, stream ingest/ingest/0123"],
        ),
    ],
)
def test_a_message_names_a_log_only_if_a_task_ran(event: dict[str, Any], log: list[str]) -> None:
    lines = told(event)[1].splitlines()
    assert [line for line in lines if line.startswith("Log: ")] == log


def test_a_message_names_the_log_group_that_the_job_has() -> None:
    named = alerts(log_groups={"ingest": "/fargate-batch/dev/ingest-0a1b2c3"})
    states = one(named.resources, type="StateMachine").document("definition")["States"]
    assert (
        "\nLog: group /fargate-batch/dev/ingest-0a1b2c3\n"
        in (told(execution(status="ABORTED"), states)[1])
    )
    stream = "\nLog: group /fargate-batch/dev/ingest-0a1b2c3, stream ingest/ingest/0123\n"
    assert stream in told(task(1), states)[1]


WITH_CODES: dict[str, Any] = one(
    alerts(exit_codes={"ingest": {"success": [3], "warning": [4, 5]}}).resources,
    type="StateMachine",
).document("definition")["States"]


def test_an_exit_code_that_a_job_calls_success_is_nothing_to_tell() -> None:
    assert choose(WITH_CODES["Read"], input=task(3))[0] == "NothingToReport"
    assert choose(WITH_CODES["Read"], input=task(3, "UserInitiated"))[0] == "ReadTask"
    assert choose(WITH_CODES["Read"], input=task(6))[0] == "ReadTask"
    assert choose(STATES["Read"], input=task(3))[0] == "ReadTask"


def test_a_warning_is_told_of_a_task_and_of_an_execution() -> None:
    subject, message = told(task(4), WITH_CODES)
    assert subject == "Job ingest ended with a warning: exit code 4 (fargate-batch dev)"
    assert f"What to do: {ADVICE['Batch.Warned']}" in message

    output = json.dumps({"job": "ingest", "exitCode": 4, "warning": "exit code 4"})
    subject, message = told(execution(status="SUCCEEDED", output=output))
    assert subject == "Job ingest ended with a warning: exit code 4 (fargate-batch dev)"
    assert "Its exit code means a warning, as jobs.ingest.exitCodes says." in message
    assert f"What to do: {ADVICE['Batch.Warned']}" in message

    for quiet in (
        execution(status="SUCCEEDED", output='{"job": "warning"}'),
        execution("pipeline-p", status="SUCCEEDED", output='{"warning": "1", "steps": []}'),
    ):
        assert choose(STATES["Read"], input=quiet)[0] == "NothingToReport"


def test_a_task_that_is_started_again_is_told_once_it_is_for_the_last_time() -> None:
    again: dict[str, Any] = one(
        alerts(restarted_jobs=["ingest"]).resources, type="StateMachine"
    ).document("definition")["States"]

    def read(states: dict[str, Any], **detail: Any) -> str:  # noqa: ANN401 JSON
        return choose(states["Read"], input=task(None, "TaskFailedToStart", **detail))[0]

    passing = {"stoppedReason": "InsufficientFreeAddressesInSubnet"}
    assert read(again, **passing, startedBy="events-rule/in") == "NothingToReport"
    assert read(again, **passing, startedBy="events-rule/in/4") == "NothingToReport"
    assert read(again, **passing, startedBy="events-rule/in/5") == "ReadTask"
    assert read(again, stoppedReason="not found", startedBy="events-rule/in") == "ReadTask"
    assert read(STATES, **passing, startedBy="events-rule/in") == "ReadTask"
    last = task(None, "TaskFailedToStart", **passing, startedBy="events-rule/in/5")
    subject, message = told(last, again)
    assert subject == "Job ingest never started, 6 times (fargate-batch dev)"
    assert "Started by: rule in, at" in message


def test_a_side_containers_end_is_nothing_to_tell() -> None:
    assert choose(STATES["Read"], input=task(0))[0] == "NothingToReport"


def test_a_subject_is_at_most_100_printable_ascii_characters() -> None:
    subject, message = told(execution(error="Ü\n" + "x" * 250, cause="y"))
    assert subject == "Job ingest failed: ??" + "x" * 79
    assert message.startswith("Job ingest failed: Ü\n" + "x" * 250)


def test_a_long_cause_is_cut() -> None:
    message = told(execution(error="E", cause="c" * 32_768))[1]
    assert f"\nWhy: {'c' * 2000} ... (cut)\n" in message


def test_advice_that_a_cause_ends_with_is_given_once() -> None:
    cause = f"Job ingest: exit code 65 (bad data).{WHAT_TO_DO}{ADVICE['Batch.BadData']}"
    message = told(execution(error="Batch.BadData", cause=cause))[1]
    assert "\nWhy: Job ingest: exit code 65 (bad data).\n" in message
    assert message.count(ADVICE["Batch.BadData"]) == 1
    assert f"\nWhat to do: {ADVICE['Batch.BadData']}\n" in message


def test_a_message_has_no_environment_and_no_input() -> None:
    given = json.dumps({"commands": ["--user"], "environment": {"PASSWORD": "hunter2"}})
    overrides = {"name": "ingest", "environment": [{"name": "PASSWORD", "value": "hunter2"}]}
    events = [
        execution(error="Batch.Failed", cause="exit code 1", input=given),
        task(1, overrides={"containerOverrides": [overrides]}),
    ]
    assert not [event for event in events if "hunter2" in told(event)[1]]


def test_a_pipeline_that_went_on_is_told_with_its_failed_steps_alone() -> None:
    steps = [
        {"job": "a", "status": "SUCCEEDED"},
        [
            {"job": "b", "status": "FAILED", "error": "Batch.BadData", "cause": "bad"},
            {"job": "c", "status": "FAILED", "error": "Batch.Failed", "cause": "worse"},
        ],
    ]
    went_on = execution("pipeline-nightly", "SUCCEEDED", output=json.dumps({"steps": steps}))
    subject, message = told(went_on)
    assert subject == "Pipeline nightly went on after steps that failed (fargate-batch dev)"
    assert "\nWhy: b: Batch.BadData: bad\nc: Batch.Failed: worse\n" in message
    fine = json.dumps({"steps": steps[:1]})
    quiet = execution("pipeline-nightly", "SUCCEEDED", output=fine)
    assert choose(STATES["Read"], input=quiet)[0] == "NothingToReport"


def test_a_step_is_left_to_its_pipeline_unless_that_had_ended_before() -> None:
    key = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"
    step = execution(error="E", input=json.dumps({key: f"{EXECUTIONS}pipeline-nightly:run"}))
    assert choose(STATES["Read"], input=step)[0] == "AskPipeline"
    assert evaluate(STATES["AskPipeline"]["Arguments"], input=step) == {
        "ExecutionArn": f"{EXECUTIONS}pipeline-nightly:run"
    }

    def after(pipeline: dict[str, str]) -> str:
        return choose(STATES["IsReportedByPipeline"], input=step, pipeline=pipeline)[0]

    assert after({"Status": "RUNNING"}) == "NothingToReport"
    assert after({"StopDate": "2030-03-17T17:46:40.001Z"}) == "NothingToReport"
    assert after({"StopDate": "2030-03-17T17:46:39.999Z"}) == "ReadExecution"
    elsewhere = execution(error="E", input=json.dumps({key: "arn:aws:states:r:1:execution:x:y"}))
    assert choose(STATES["Read"], input=elsewhere)[0] == "ReadExecution"
    too_large = execution(error="E", input=None)
    assert choose(STATES["Read"], input=too_large)[0] == "ReadExecution"


def test_an_object_is_left_to_its_backfill_which_says_how_it_goes_on() -> None:
    of_backfill = execution(error="E", name="0c1_backfill_1a2b3c4d5e6f")
    assert choose(STATES["Read"], input=of_backfill)[0] == "NothingToReport"
    warned = execution("job-ingest", "SUCCEEDED", name=of_backfill["detail"]["name"])
    warned["detail"]["output"] = '{"job": "ingest", "warning": "exit code 3"}'
    assert choose(STATES["Read"], input=warned)[0] == "ReadExecution"
    for name in ("0c1_retry_0c1-backfill-1a2b3c4d5e6f", "0c1_by_the_backfill_person"):
        other = execution(error="E", name=name)
        assert choose(STATES["Read"], input=other)[0] == "ReadExecution"
    machine = f"{MACHINES}backfill-backfills"
    rules = WITH_BACKFILLS.resources
    rule = one(rules, type="EventRule", name="alerts-executions").document("eventPattern")
    assert machine in rule["detail"]["$or"][0]["stateMachineArn"]
    whole = execution(
        "backfill-backfills",
        error="Backfill.ObjectsFailed",
        cause="2 of 9 objects failed.",
        name="1a2b3c4d5e6f000000000000_by_me",
    )
    subject, message = told(whole)
    assert subject == "Backfill 1a2b3c4d5e6f failed: Backfill.ObjectsFailed (fargate-batch dev)"
    assert "\nWhy: 2 of 9 objects failed.\n" in message
    assert "fargate-batch backfills continue 1a2b3c4d5e6f000000000000_by_me\n" in message
    for error in ("Backfill.ObjectsFailed", "States.ExceedToleratedFailureThreshold"):
        whole["detail"]["error"] = error
        assert f"\nWhat to do: {ADVICE['Backfill.ObjectsFailed']}\n" in told(whole)[1]


def test_of_the_warnings_of_a_backfill_one_is_told_by_an_execution_of_its_name() -> None:
    states = one(WITH_BACKFILLS.resources, type="StateMachine").document("definition")["States"]
    warned = execution("job-ingest", "SUCCEEDED", name="0c1_backfill_1a2b3c4d5e6f")
    warned["detail"]["output"] = '{"job": "ingest", "warning": "exit code 3"}'
    state, known = choose(states["Read"], input=warned)
    assert (state, known) == ("TellOnce", {"logGroups": {}})
    given = evaluate(states["TellOnce"]["Arguments"], input=warned)
    assert given == {
        "StateMachineArn": CONTEXT["StateMachine"]["Id"],
        "Name": "warning-of-1a2b3c4d5e6f",
        "Input": {**warned, "backfill": "1a2b3c4d5e6f"},
    }
    again, otherwise = states["TellOnce"]["Catch"]
    assert again == {
        "ErrorEquals": ["StepFunctions.ExecutionAlreadyExistsException"],
        "Next": "NothingToReport",
    }
    assert (otherwise["ErrorEquals"], otherwise["Next"]) == (["States.ALL"], "ReadExecution")
    subject, message = told(given["Input"], states)
    assert subject == (
        "Backfill 1a2b3c4d5e6f: Job ingest ended with a warning: exit code 3 (fargate-batch dev)"
    )
    assert (
        ".exitCodes says. No other warning of this backfill is told: fargate-batch runs"
        " --backfill 1a2b3c4d5e6f\n" in message
    )
    # A warning outside of a backfill, and a failure in one, are told as ever.
    warned["detail"]["name"] = "me"
    assert choose(states["Read"], input=warned)[0] == "ReadExecution"
    failed = execution(error="E", name="0c1_backfill_1a2b3c4d5e6f")
    assert choose(states["Read"], input=failed)[0] == "NothingToReport"


def test_it_may_start_itself_where_there_are_backfills() -> None:
    policies = [
        one(recorded.resources, type="RolePolicy", name="alerts-alerts").document("policy")
        for recorded in (RECORDED, WITH_BACKFILLS)
    ]
    without, with_them = (policy["Statement"] for policy in policies)
    assert [statement for statement in with_them if statement not in without] == [
        {
            "Effect": "Allow",
            "Action": "states:StartExecution",
            "Resource": f"{MACHINES}alerts-alerts",
        }
    ]


def test_it_may_publish_keep_and_ask_about_pipelines_only() -> None:
    assert one(RECORDED.resources, type="RolePolicy", name="alerts-alerts").document(
        "policy"
    ) == allows(
        {"Effect": "Allow", "Action": "sns:Publish", "Resource": TOPIC},
        {"Effect": "Allow", "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": KEY},
        {
            "Effect": "Allow",
            "Action": "sqs:SendMessage",
            "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT}:alerts-dead-letters-1a2b3c4",
        },
        {
            "Effect": "Allow",
            "Action": "states:DescribeExecution",
            "Resource": f"{EXECUTIONS}pipeline-*:*",
        },
        LOG_DELIVERY,
    )
    assert one(RECORDED.resources, type="RolePolicy", name="alerts-rules").document(
        "policy"
    ) == allows(
        {
            "Effect": "Allow",
            "Action": "states:StartExecution",
            "Resource": f"{MACHINES}alerts-alerts",
        }
    )
    role = one(RECORDED.resources, type="Role", name="alerts-rules")
    assert role.document("assumeRolePolicy") == trusts(
        "events.amazonaws.com", ArnEquals={"aws:SourceArn": RULES}
    )
    assert one(RECORDED.resources, type="Queue").document("policy") == queue_policy(RULES)


def test_the_topic_is_encrypted_and_takes_messages_of_this_accounts_alarms_alone() -> None:
    assert one(RECORDED.resources, type="Topic").inputs["kmsMasterKeyId"] == KEY
    first, second = one(RECORDED.resources, type="TopicPolicy").document("policy")["Statement"]
    assert first == {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": TOPIC,
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*"},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
    }
    assert (second["Effect"], second["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


def test_every_address_is_subscribed() -> None:
    recorded = alerts(emails=["a@example.com"], https_endpoints=["https://example.com/x"])
    subscribed = every(recorded.resources, type="TopicSubscription")
    assert {
        (s.inputs["protocol"], s.inputs["endpoint"], s.inputs["topic"]) for s in subscribed
    } == {
        ("email", "a@example.com", TOPIC),
        ("https", "https://example.com/x", TOPIC),
    }


def test_rules_the_schedule_group_and_the_function_raise_alarms_that_name_a_section() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    sections = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    found = {
        alarm.inputs["name"].removeprefix(PREFIX): alarm.inputs
        for alarm in every(alerts(runbook="https://x/ops").resources, type="MetricAlarm")
    }
    lost = found["events-lost-0"]["metricQueries"]
    assert lost[0] == {
        "id": "total",
        "expression": "SUM(METRICS())",
        "label": "InvocationsFailedToBeSentToDlq",
        "returnData": True,
    }
    assert [query["metric"]["dimensions"] for query in lost[1:]] == [
        {"RuleName": "u0-1a2b3c4"},
        {"RuleName": "alerts-executions-1a2b3c4"},
        {"RuleName": "alerts-tasks-1a2b3c4"},
    ]
    metrics = {
        name: (one["metricName"], one["dimensions"])
        for name, one in found.items()
        if name != "events-lost-0"
    }
    assert metrics == {
        "schedule-dropped": ("InvocationDroppedCount", {"ScheduleGroup": "schedules-1a2b3c4"}),
        "schedule-lost": (
            "InvocationsFailedToBeSentToDeadLetterCount",
            {"ScheduleGroup": "schedules-1a2b3c4"},
        ),
        "schedule-errors": ("TargetErrorCount", {"ScheduleGroup": "schedules-1a2b3c4"}),
        "schedule-throttled": (
            "TargetErrorThrottledCount",
            {"ScheduleGroup": "schedules-1a2b3c4"},
        ),
        "task-events-errors": ("Errors", {"FunctionName": "task-events-1a2b3c4"}),
        "task-events-throttled": ("Throttles", {"FunctionName": "task-events-1a2b3c4"}),
        "alerts-not-sent": ("ExecutionsFailed", {"StateMachineArn": f"{MACHINES}alerts-alerts"}),
    }
    for alarm in found.values():
        link = re.fullmatch(r".+ See https://x/ops#([a-z-]+)", alarm["alarmDescription"])
        assert link
        assert link[1] in sections
        assert alarm["alarmActions"] == [TOPIC]
        assert alarm["treatMissingData"] == "notBreaching"
    assert "a-message-came" in sections
    assert "a-task-was-never-started" in sections


def test_the_dashboard_has_the_lines_of_each_job_and_queue() -> None:
    text = one(alerts(1).resources, type="Dashboard").inputs["dashboardBody"]
    body = json.loads(text)
    lines = {
        (found["title"], found["stat"], found["period"]): [
            (space, dimension, metric, more[-1]["label"])
            for space, metric, dimension, *more in found["metrics"]
        ]
        for widget in body["widgets"]
        if "metrics" in (found := widget["properties"])
    }
    assert body["start"] == "-PT24H"
    states = ("AWS/States", "StateMachineArn")
    assert lines == {
        ("Started", "Sum", 300): [(*states, "ExecutionsStarted", "job0")],
        ("Failed, timed out, stopped", "Sum", 300): [
            (*states, "ExecutionsFailed", "job0"),
            (*states, "ExecutionsTimedOut", "job0 timed out"),
            (*states, "ExecutionsAborted", "job0 stopped"),
        ],
        ("Duration in ms, 95th percentile", "p95", 300): [(*states, "ExecutionTime", "job0")],
        ("Dead letters waiting", "Maximum", 300): [
            ("AWS/SQS", "QueueName", "ApproximateNumberOfMessagesVisible", name)
            for name in ("upload-u0", "alerts")
        ],
    }


@pytest.mark.parametrize("jobs", [1, 100, 250])
def test_the_dashboard_stays_below_cloudwatchs_limits(jobs: int) -> None:
    text = one(alerts(jobs).resources, type="Dashboard").inputs["dashboardBody"]
    widgets = json.loads(text)["widgets"]
    metrics = [len(one["properties"].get("metrics", [])) for one in widgets]
    # Five measures of a job, one of a queue; one queue is the alerts' own.
    assert sum(metrics) == 6 * jobs + 1
    assert len(widgets) <= 500
    assert max(metrics) <= 500
    assert sum(metrics) <= 2500
    assert len(text) < 200 * 6 * jobs + 5000
