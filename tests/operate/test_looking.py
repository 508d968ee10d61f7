"""`schedules` and `cost`: what comes, and what it came to."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from operate import schedules
from tests.local.probe import eventually
from tests.operate.conftest import CommandLine, Deployed
from tests.recorder import every, the_stack


def enable(deployed: Deployed, arn: str, state: str) -> None:
    _, group, name = arn.split("/")
    scheduler = deployed.client("scheduler")
    found = scheduler.get_schedule(GroupName=group, Name=name)
    names = ("ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "Target")
    scheduler.update_schedule(
        GroupName=group,
        Name=name,
        State=state,
        **{one: found[one] for one in names if one in found},
    )


def test_schedules_tell_their_next_times_their_last_run_and_a_missing_one(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    arn = deployed.outputs["pipelines"]["nightly"]["scheduleArn"]
    both = {one["name"]: one for one in fargate_batch("schedules", "--json").json}
    assert {name: (one["kind"], one["enabled"], one["next"]) for name, one in both.items()} == {
        "nightly": ("pipeline", False, []),
        "hello": ("schedule", False, []),
    }
    enable(deployed, arn, "ENABLED")
    try:

        def told() -> dict[str, Any]:
            every = fargate_batch("schedules", "--json").json
            return next(one for one in every if one["name"] == "nightly")

        nightly = told()
        times = [datetime.fromisoformat(one) for one in nightly["next"]]
        assert len(times) == 5
        assert {one.astimezone(ZoneInfo("Asia/Tokyo")).strftime("%H:%M") for one in times} == {
            "10:00"
        }
        assert all(b - a == timedelta(days=1) for a, b in itertools.pairwise(times))
        assert (nightly["late"], nightly["last"]) == (None, None)
        heading, *facts = fargate_batch("schedules", "show", "nightly").out.splitlines()
        assert heading == "pipeline nightly  enabled"
        assert facts[0] == "  expression     cron(0 10 * * ? *) Asia/Tokyo"
        # One of the times may have passed since.
        shown = [datetime.fromisoformat(one.split()[1]) for one in facts[1:]]
        assert shown in (times, [datetime.fromisoformat(one) for one in told()["next"]])
        assert all(one.endswith(" 10:00 Asia/Tokyo)") for one in facts[1:])

        # Two days from now nothing will have run.
        later = datetime.now(UTC) + timedelta(days=2)
        [late] = [one for one in schedules.every(deployed.stack(), later) if one.name == "nightly"]
        assert late.late is not None
        assert late.late.astimezone(ZoneInfo("Asia/Tokyo")).hour == 10
    finally:
        enable(deployed, arn, "DISABLED")
    kept = schedules.LastRuns(deployed.stack())
    assert kept.runs(datetime.now(UTC)) == {}
    assert fargate_batch("fire", "nightly").status == 0
    last = eventually(
        lambda: next(
            one["last"]
            for one in fargate_batch("schedules", "--json").json
            if one["name"] == "nightly"
        )
    )
    assert (last["kind"], last["name"]) == ("pipeline", "nightly")
    # What is read on has it, too.
    found = kept.runs(datetime.now(UTC))
    assert {key: run.id for key, run in found.items()} == {("pipeline", "nightly"): last["id"]}
    row = next(one for one in fargate_batch("schedules").rows if one["schedule"] == "nightly")
    assert (row["state"], row["zone"]) == ("disabled", "Asia/Tokyo")


def test_cost_adds_up_what_the_runs_cost(deployed: Deployed, fargate_batch: CommandLine) -> None:
    for _ in range(2):
        deployed.ended(deployed.start())

    def known() -> list[dict[str, Any]] | None:
        found = fargate_batch.runs()
        return found if all(one["costUsd"] for one in found if one["kind"] == "job") else None

    runs = eventually(known)
    expected = sum(one["costUsd"] or 0 for one in runs)
    told = fargate_batch("cost", "--json").json
    assert abs(told["usd"] - expected) < 1e-5
    assert [one["job"] for one in told["by"]] == ["ingest"]
    by_day = fargate_batch("cost", "--by", "day").rows
    days = [one["day"] for one in by_day]
    assert days == sorted(set(days), reverse=True)
    assert set(days) <= {(run[end] or "")[:10] for run in runs for end in ("began", "ended")}
    assert days
    assert fargate_batch("cost", "--json", "--month", "2020-01").json["usd"] == 0
    assert fargate_batch("cost", "--month", "2020-13").status == 2


def test_the_idle_cost_counts_the_alarms_that_the_program_makes(
    fargate_batch: CommandLine,
) -> None:
    recording = the_stack("dev")
    alarms = every(recording.resources, type="aws:cloudwatch/metricAlarm:MetricAlarm")
    metrics = [
        sum("metric" in query for query in one.inputs.get("metricQueries") or [{"metric": 1}])
        for one in alarms
    ]
    told = fargate_batch("cost", "--json").json["idleUsdAMonth"]
    assert told["alarms"] == round(sum(metrics) * 0.1, 2)
    assert set(told) == {"key", "dashboard", "alarms", "watcher"}
    assert "Idle, the stack costs about" in fargate_batch("cost").err
