"""EventBridge Scheduler in the laptop's cloud: what it refuses, when it fires, what it delivers."""

import contextlib
import http.client
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from local import control
from local.cloud import Cloud
from local.services.scheduler import schedules
from local.services.scheduler.expressions import next_due, problem
from local.shapes import Json
from tests.local.machines import ROLE, Machines, make_role
from tests.local.probe import REGION, Stack, eventually, make_queue
from tests.local.services.test_events import attributes, take

ACCOUNT = f"{REGION}:111122223333"
NEVER = "rate(365 days)"


def create(cloud: Cloud, name: str, target: dict[str, Any], **fields: Json) -> str:
    return cloud.client("scheduler").create_schedule(
        **{
            "Name": name,
            "ScheduleExpression": NEVER,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"RoleArn": ROLE} | target,
        }
        | fields
    )["ScheduleArn"]


@pytest.fixture
def machine(cloud: Cloud) -> str:
    make_role(cloud)
    return Machines(cloud).create("m", {"End": {"Type": "Succeed"}})


def execution(cloud: Cloud, machine: str) -> dict[str, Any]:
    """The first execution of a machine, once there is one, with its input."""
    machines = Machines(cloud)
    found = eventually(lambda: next(iter(machines.executions(machine)), None))
    return machines.ended(found["executionArn"])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ScheduleExpression": "rate(1 minutes)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "rate(0 minutes)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "cron(71 10 * * ? *)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "cron(0 10 * * * *)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "at(2020-01-01T00:00:00)"}, "must be in the future"),
        ({"ScheduleExpression": "at(2099-02-30T00:00:00)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpressionTimezone": "Asia/Edo"}, "timezone Asia/Edo is not valid"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "MaximumWindowInMinutes"),
        ({"EndDate": datetime(2020, 1, 1, tzinfo=UTC)}, "cannot be earlier"),
    ],
)
def test_what_aws_refuses_is_refused(
    cloud: Cloud, machine: str, fields: dict[str, Any], says: str
) -> None:
    scheduler = cloud.client("scheduler")
    with pytest.raises(scheduler.exceptions.ValidationException, match=says):
        create(cloud, "s", {"Arn": machine}, **fields)
    assert scheduler.list_schedules()["Schedules"] == []


def test_two_schedules_of_one_name_are_a_conflict(cloud: Cloud, machine: str) -> None:
    create(cloud, "s", {"Arn": machine}, State="DISABLED")
    scheduler = cloud.client("scheduler")
    with pytest.raises(scheduler.exceptions.ConflictException):
        create(cloud, "s", {"Arn": machine}, State="DISABLED")


def test_a_schedule_fires_when_it_is_due_and_not_before_its_start(
    cloud: Cloud, machine: str
) -> None:
    start = datetime.now(UTC) + timedelta(seconds=1)
    # The next time counts where making it takes longer.
    fields: dict[str, Any] = {"ScheduleExpression": "rate(1 minute)", "StartDate": start}
    create(cloud, "s", {"Arn": machine, "Input": '{"n": 1}'}, **fields)
    ran = execution(cloud, machine)
    assert ran["input"] == '{"n": 1}'
    assert ran["startDate"] >= start.replace(microsecond=0)


def test_an_at_schedule_fires_once_by_the_clock_of_its_zone_and_is_gone(
    cloud: Cloud, machine: str
) -> None:
    scheduler = cloud.client("scheduler")
    soon = datetime.now(ZoneInfo("Asia/Tokyo")).replace(microsecond=0)
    for seconds in (2, 20, 90):
        at = soon + timedelta(seconds=seconds)
        # What has passed until it is made is refused.
        with contextlib.suppress(scheduler.exceptions.ValidationException):
            create(
                cloud,
                "s",
                {"Arn": machine},
                ScheduleExpression=f"at({at.replace(tzinfo=None).isoformat()})",
                ScheduleExpressionTimezone="Asia/Tokyo",
                ActionAfterCompletion="DELETE",
            )
            break
    ran = execution(cloud, machine)
    assert ran["startDate"] >= at
    eventually(lambda: None if scheduler.list_schedules()["Schedules"] else True)
    assert len(Machines(cloud).executions(machine)) == 1


def test_a_disabled_schedule_waits_until_it_is_enabled(cloud: Cloud, machine: str) -> None:
    fields: dict[str, Any] = {
        "ScheduleExpression": "rate(1 minute)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": machine, "RoleArn": ROLE},
    }
    scheduler = cloud.client("scheduler")
    scheduler.create_schedule(Name="s", State="DISABLED", **fields)
    assert Machines(cloud).executions(machine) == []
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    scheduler.update_schedule(Name="s", State="ENABLED", StartDate=soon, **fields)
    assert execution(cloud, machine)["input"] == "{}"


def test_fire_starts_one_now_whatever_its_state_with_its_context(
    cloud: Cloud, machine: str
) -> None:
    cloud.client("scheduler").create_schedule_group(Name="stack")
    keys = ("schedule-arn", "scheduled-time", "execution-id", "attempt-number")
    data = json.dumps({key: f"<aws.scheduler.{key}>" for key in keys})
    target = {"Arn": machine, "Input": data}
    arn = create(cloud, "s", target, GroupName="stack", State="DISABLED")
    before = datetime.now(UTC).replace(microsecond=0)
    execution_id = schedules.fire("s")
    after = datetime.now(UTC)
    ran = execution(cloud, machine)
    assert ran["name"] == execution_id
    given = json.loads(ran["input"])
    assert before <= datetime.fromisoformat(given.pop("scheduled-time")) <= after
    assert given == {"schedule-arn": arn, "execution-id": execution_id, "attempt-number": "1"}


def test_fire_is_reachable_from_another_process(cloud: Cloud, machine: str) -> None:
    create(cloud, "s", {"Arn": machine}, State="DISABLED")

    headers = {"Authorization": control.authorization(cloud.instance.token)}

    def post(query: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=120)
        with contextlib.closing(connection):
            connection.request("POST", f"/_fargate-batch/fire?{query}", headers=headers)
            response = connection.getresponse()
            return response.status, json.load(response)

    status, answer = post("name=s&group=default")
    assert status == 200
    assert execution(cloud, machine)["name"] == answer["executionId"]
    assert post("name=t") == (404, {"message": "there is no schedule 't'; there are: s"})
    assert post("")[0] == 404


def test_the_same_name_in_two_groups_needs_the_group(cloud: Cloud, machine: str) -> None:
    cloud.client("scheduler").create_schedule_group(Name="other")
    create(cloud, "s", {"Arn": machine}, State="DISABLED")
    create(cloud, "s", {"Arn": machine}, State="DISABLED", GroupName="other")
    with pytest.raises(schedules.NoSchedule, match="name one: default, other"):
        schedules.fire("s")
    schedules.fire("s", "other")


def test_a_schedule_runs_a_task_with_its_overrides(cloud: Cloud, stack: Stack) -> None:
    make_role(cloud)
    network = {"Subnets": [stack.subnet], "SecurityGroups": [stack.group]}
    target = {
        "Arn": f"arn:aws:ecs:{ACCOUNT}:cluster/batch",
        "Input": '{"containerOverrides": [{"name": "probe", "command": ["exit", "4"]}]}',
        "EcsParameters": {
            "TaskDefinitionArn": stack.define(),
            "TaskCount": 1,
            "LaunchType": "FARGATE",
            "NetworkConfiguration": {"awsvpcConfiguration": network},
        },
    }
    create(cloud, "hello", target, State="DISABLED")
    schedules.fire("hello")
    ecs = cloud.client("ecs")
    arn = eventually(
        lambda: next(
            iter(ecs.list_tasks(cluster="batch", desiredStatus="STOPPED")["taskArns"]), None
        )
    )
    task = stack.stopped(arn)
    assert task["startedBy"] == "chronos-schedule/hello"
    assert task["containers"][0]["exitCode"] == 4


def test_a_universal_target_calls_the_api_it_names(cloud: Cloud, machine: str) -> None:
    data = json.dumps({"StateMachineArn": machine, "Input": '{"n": 2}'})
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:sfn:startExecution", "Input": data}
    create(cloud, "s", target, State="DISABLED")
    schedules.fire("s")
    assert execution(cloud, machine)["input"] == '{"n": 2}'


def test_what_a_schedule_cannot_deliver_goes_to_its_queue_with_its_role(
    cloud: Cloud, machine: str
) -> None:
    url, dead = make_queue(cloud, "dead")
    gone = machine + "-gone"
    target = {"Arn": gone, "Input": '{"n": 1}', "DeadLetterConfig": {"Arn": dead}}
    arn = create(cloud, "s", target, State="DISABLED")
    execution_id = schedules.fire("s")
    letter = take(cloud, url)
    found = attributes(letter)
    assert json.loads(letter["Body"]) == {
        "StateMachineArn": gone,
        "Name": execution_id,
        "Input": '{"n": 1}',
    }
    assert found.pop("SCHEDULED_TIME").endswith("Z")
    assert "gone" in found.pop("ERROR_MESSAGE")
    assert found == {
        "SCHEDULE_ARN": arn,
        "TARGET_ARN": gone,
        "EXECUTION_ID": execution_id,
        "ERROR_CODE": "NO_RESOURCE",
        "RETRY_ATTEMPTS": "0",
        "IS_PAYLOAD_TRUNCATED": "false",
    }


def due(expression: str, zone: str, after: str, anchor: str = "2026-01-01T00:00:00+00:00") -> str:
    moment = next_due(
        expression,
        ZoneInfo(zone),
        datetime.fromisoformat(after).astimezone(UTC),
        datetime.fromisoformat(anchor),
    )
    return moment.isoformat() if moment else "never"


@pytest.mark.parametrize(
    ("fields", "days"),
    [
        ("L * ? *", ["2026-02-28", "2026-03-31"]),
        ("LW * ? *", ["2026-02-27", "2026-03-31"]),
        ("1W * ? *", ["2026-02-02", "2026-03-02"]),
        ("15W * ? *", ["2026-02-16", "2026-03-16"]),
        ("3-3 * ? *", ["2026-02-03", "2026-03-03"]),
        ("? * 2 *", ["2026-02-02", "2026-02-09"]),
        ("? * SAT-SUN *", ["2026-02-01", "2026-02-07"]),
        ("? * 6L *", ["2026-02-27", "2026-03-27"]),
        ("? * FRIL *", ["2026-02-27", "2026-03-27"]),
        ("? * L *", ["2026-02-07", "2026-02-14"]),
        ("? * 2#5 *", ["2026-03-30", "2026-06-29"]),
        ("? * WED#1 *", ["2026-02-04", "2026-03-04"]),
        ("29 FEB ? *", ["2028-02-29", "2032-02-29"]),
        ("1 JAN ? 2027/3", ["2027-01-01", "2030-01-01"]),
        ("1 JAN ? 2098-2199", ["2098-01-01", "2099-01-01"]),
        ("1 1 ? 2020-2021", ["never", "never"]),
    ],
)
def test_every_wildcard_of_a_cron_leads_to_its_days(fields: str, days: list[str]) -> None:
    expression = f"cron(30 9 {fields})"
    assert problem(expression) is None
    first = due(expression, "UTC", "2026-01-31T23:00:00+00:00")
    second = "never" if first == "never" else due(expression, "UTC", first)
    assert [moment.removesuffix("T09:30:00+00:00") for moment in (first, second)] == days


def test_a_cron_is_due_by_the_clock_of_its_zone() -> None:
    after = "2026-03-01T00:00:00+00:00"
    assert due("cron(0 10 * * ? *)", "UTC", after) == "2026-03-01T10:00:00+00:00"
    assert due("cron(0 10 * * ? *)", "Asia/Tokyo", after) == "2026-03-01T01:00:00+00:00"
    assert due("cron(0 9 L * ? *)", "Asia/Tokyo", after) == "2026-03-31T00:00:00+00:00"
    assert due("cron(0 0 ? * MON#1 *)", "UTC", after) == "2026-03-02T00:00:00+00:00"
    assert due("cron(0 0 1 1 ? 2027)", "UTC", "2027-01-01T00:00:00+00:00") == "never"


def test_a_time_the_clock_skips_is_left_out_and_one_it_shows_twice_comes_once() -> None:
    daily = "cron(30 2 * * ? *)"
    new_york = "America/New_York"
    assert due(daily, new_york, "2026-03-07T08:00:00+00:00") == "2026-03-09T06:30:00+00:00"
    at_half_past_one = "cron(30 1 * * ? *)"
    first = due(at_half_past_one, new_york, "2026-11-01T04:00:00+00:00")
    assert first == "2026-11-01T05:30:00+00:00"
    assert due(at_half_past_one, new_york, first) == "2026-11-02T06:30:00+00:00"
    assert due("at(2026-03-08T02:30:00)", new_york, "2026-03-01T00:00:00+00:00") == "never"


def test_a_rate_counts_from_its_anchor() -> None:
    anchor = "2026-01-01T00:00:30+00:00"
    rate = "rate(5 minutes)"
    assert due(rate, "UTC", "2025-12-31T00:00:00+00:00", anchor) == anchor
    assert due(rate, "UTC", anchor, anchor) == "2026-01-01T00:05:30+00:00"
    assert due(rate, "UTC", "2026-01-01T00:09:00+00:00", anchor) == "2026-01-01T00:10:30+00:00"


@pytest.mark.parametrize(
    "expression", ["rate(1 minute)", "rate(12 hours)", "cron(0/5 8-17 ? * MON-FRI *)"]
)
def test_right_expressions_have_no_problem(expression: str) -> None:
    assert problem(expression) is None
    assert problem(expression, at=False) is None
