"""Runs that did not happen, were skipped again and again, or go on for too long: told once."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from lambdas.watch.runs import (
    Memory,
    Run,
    Running,
    Schedule,
    missed,
    run_of,
    schedule_of,
    scheduled_task,
    too_long,
)
from lambdas.watch.tell import Message
from lambdas.watch.usual import SHORTEST_CONCERN

DAILY = Schedule("nightly", "pipeline", "cron(0 10 * * ? *)", "Asia/Tokyo")
MINUTE = Schedule("hello", "schedule", "rate(1 minute)")
LOOK = timedelta(minutes=5)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-06-{text}+00:00")


def on_time(*due: datetime) -> list[Run]:
    return [Run(time + timedelta(seconds=20), time) for time in due]


def watched(
    schedule: Schedule, runs: Sequence[Run], start: datetime, end: datetime
) -> tuple[list[tuple[datetime, Message]], Memory]:
    """What is told from `start` to `end` by a look every five minutes, each with the new runs."""
    memory: Memory = {}
    told: list[tuple[datetime, Message]] = []
    now, before = start, start
    while now <= end:
        seen = [run for run in runs if before - timedelta(minutes=2) <= run.started <= now]
        messages, memory = missed(schedule, seen, memory, now)
        told += [(now, message) for message in messages]
        now, before = now + LOOK, now
    return told, memory


def titles(told: Sequence[tuple[datetime, Message]]) -> list[str]:
    return [message.title for _, message in told]


def test_a_run_that_did_not_happen_is_told_once_in_the_zones_own_time() -> None:
    told, _ = watched(DAILY, [], at("01T00:00"), at("01T20:00"))
    [(when, message)] = told
    assert when == at("01T01:20")
    assert message == Message(
        "schedule/nightly",
        "failure",
        "Pipeline nightly did not run",
        ["- due 2026-06-01 10:00 Asia/Tokyo", "Nothing was started within 15 min."],
        [
            "Check its dead-letter queue, and whether somebody disabled it.",
            "If it cannot wait, start it by hand.",
        ],
    )


def test_runs_that_happen_are_not_told() -> None:
    runs = on_time(*(at(f"{day:02}T01:00") for day in range(1, 8)))
    assert watched(DAILY, runs, at("01T00:00"), at("07T23:00"))[0] == []


def test_what_was_due_before_the_schedule_was_known_is_not_missed() -> None:
    assert watched(DAILY, [], at("01T01:05"), at("01T23:00"))[0] == []


def test_a_changed_schedule_is_known_from_then_on() -> None:
    _, memory = missed(DAILY, [], {}, at("01T00:00"))
    later = Schedule("nightly", "pipeline", "cron(0 11 * * ? *)", "Asia/Tokyo")
    told, memory = missed(later, [], memory, at("01T02:30"))
    assert told == []
    assert missed(later, [], memory, at("01T12:00"))[0] == []


def test_each_missed_day_is_told_and_the_recovery_once() -> None:
    runs = on_time(at("01T01:00"), at("04T01:00"), at("05T01:00"))
    told, _ = watched(DAILY, runs, at("01T00:00"), at("05T20:00"))
    assert titles(told) == [
        "Pipeline nightly did not run",
        "Pipeline nightly did not run, 2 times",
        "Pipeline nightly runs again",
    ]
    assert [message.state for _, message in told] == ["failure", "retry", "recovery"]
    assert told[2][1].lines == ["It missed 2 runs."]
    assert told[2][0] == at("04T01:20")


def test_what_was_missed_before_a_run_of_the_same_look_is_told_without_a_recovery() -> None:
    _, memory = missed(DAILY, [], {}, at("01T00:00"))
    told, memory = missed(DAILY, on_time(at("02T01:00")), memory, at("02T02:00"))
    assert [message.title for message in told] == ["Pipeline nightly did not run"]
    assert not {"missed", "count", "told"} & memory.keys()


def test_a_frequent_schedule_that_stops_is_told_once_and_counted_when_it_runs_again() -> None:
    start = at("01T00:00")
    ran = [Run(start + timedelta(minutes=n, seconds=9)) for n in [*range(30), *range(60, 90)]]
    told, memory = watched(MINUTE, ran, start, at("01T01:40"))
    assert titles(told) == ["Schedule hello did not run, 4 times", "Schedule hello runs again"]
    assert told[-1][1].lines[0] == "It missed 30 runs."
    assert "told" not in memory


def test_a_flexible_window_and_the_grace_are_waited_for() -> None:
    schedule = Schedule(
        "nightly", "pipeline", "cron(0 10 * * ? *)",
        flexible=timedelta(hours=1), grace=timedelta(minutes=30),
    )  # fmt: skip
    due = at("01T10:00")
    late = [Run(due + timedelta(minutes=89), due)]
    assert watched(schedule, late, at("01T09:00"), at("01T20:00"))[0] == []
    [(when, message)] = watched(schedule, [], at("01T09:00"), at("01T20:00"))[0]
    assert when == at("01T11:35")
    assert message.lines[-1] == "Nothing was started within 90 min."


def test_a_task_that_does_not_say_when_it_was_due_counts_for_the_time_it_follows() -> None:
    schedule = Schedule("hello", "schedule", "cron(0/30 * * * ? *)")
    runs = [Run(at("01T00:30:40")), Run(at("01T01:00:10"))]
    told, _ = watched(schedule, runs, at("01T00:10"), at("01T02:00"))
    [(_, message)] = told
    assert message.lines[0] == "- due 2026-06-01 01:30 UTC"


def test_a_run_by_hand_is_no_scheduled_run_of_a_pipeline() -> None:
    assert run_of({"input": "{}", "startDate": at("01T10:00")}) is None
    assert run_of({"input": "", "startDate": at("01T10:00")}) is None


@pytest.mark.parametrize(
    ("expression", "runs", "until", "count"),
    [
        ("at(2026-06-01T05:00:00)", [], "03T00:00", 1),
        ("at(2026-06-01T05:00:00)", [at("01T05:00")], "03T00:00", 0),
        ("at(2026-05-01T05:00:00)", [], "03T00:00", 0),
        ("rate(7 days)", [], "08T00:20", 1),
        ("rate(7 days)", [], "08T00:10", 0),
    ],
)
def test_one_time_and_rare_schedules_are_watched_too(
    expression: str, runs: list[datetime], until: str, count: int
) -> None:
    schedule = Schedule("once", "pipeline", expression)
    told, _ = watched(schedule, on_time(*runs), at("01T00:00"), at(until))
    assert len(told) == count


def test_nothing_is_due_before_a_schedules_start_or_after_its_end() -> None:
    schedule = schedule_of(
        "nightly",
        {
            "machine": "arn", "expression": "cron(0 10 * * ? *)", "graceSeconds": 900,
            "start": "2026-06-03T00:00:00Z", "end": "2026-06-04T00:00:00Z",
        },
    )  # fmt: skip
    [(when, _)] = watched(schedule, [], at("01T00:00"), at("08T00:00"))[0]
    assert when == at("03T10:20")
    rate = schedule_of(
        "hourly",
        {
            "expression": "rate(1 hour)", "graceSeconds": 60,
            "start": "2026-06-03T00:00:00Z", "end": "2026-06-03T01:30:00Z",
        },
    )  # fmt: skip
    assert rate.kind == "schedule"
    told, memory = watched(rate, [], at("01T00:00"), at("05T00:00"))
    assert [when for when, _ in told] == [at("03T00:05")]
    assert memory["count"] == 2


def test_three_runs_skipped_in_a_row_are_told_once_and_that_it_is_well_again() -> None:
    hours = [at(f"01T{hour:02}:00") for hour in range(8)]
    skipped = {1, 2, 4, 5, 6}
    runs = [Run(due, due, number in skipped) for number, due in enumerate(hours)]
    schedule = Schedule("hourly", "pipeline", "cron(0 * * * ? *)")
    told, _ = watched(schedule, runs, at("01T00:00"), at("01T08:00"))
    assert titles(told) == [
        "Pipeline hourly was skipped 3 times in a row",
        "Pipeline hourly is no longer skipped",
    ]
    assert [when.hour for when, _ in told] == [6, 7]


def test_a_skipped_run_of_a_pipeline_says_so_itself() -> None:
    execution = {
        "input": '{"scheduledTime": "2026-06-01T10:00:00Z"}',
        "output": '{"skipped": true, "running": "arn"}',
        "startDate": at("01T10:00") + timedelta(milliseconds=5),
        "status": "SUCCEEDED",
    }
    assert run_of(execution) == Run(at("01T10:00"), at("01T10:00"), skipped=True)
    assert run_of({**execution, "output": None}) == Run(at("01T10:00"), at("01T10:00"))
    going_on = {**execution, "output": None, "status": "RUNNING"}
    assert run_of(going_on) == Run(at("01T10:00"), at("01T10:00"), running=True)


def test_a_run_that_has_just_begun_may_be_skipped_yet() -> None:
    schedule = Schedule("hourly", "pipeline", "cron(0 * * * ? *)")
    known = {"definition": "cron(0 * * * ? *) UTC ", "from": "2026-06-01T09:30:00+00:00"}
    run = Run(at("01T10:00"), at("01T10:00"), running=True)
    _, memory = missed(schedule, [run], known | {"skips": 2}, at("01T10:00:59"))
    assert memory["skips"] == 2
    assert "run" not in memory
    _, memory = missed(schedule, [run], known | {"skips": 2}, at("01T10:01"))
    assert "skips" not in memory
    skipped = Run(at("01T10:00"), at("01T10:00"), skipped=True)
    [message], _ = missed(schedule, [skipped], known | {"skips": 2}, at("01T10:01"))
    assert message.title == "Pipeline hourly was skipped 3 times in a row"


def test_what_is_remembered_of_a_schedule_stays_small() -> None:
    start = at("01T00:00")
    ran = [Run(start + timedelta(minutes=n)) for n in range(24 * 60)]
    _, memory = watched(MINUTE, ran, start, at("02T00:00"))
    assert len(str(memory)) < 2000
    _, memory = watched(MINUTE, [], start, at("02T00:00"))
    assert len(str(memory)) < 2000


def line_of(kind: str, name: str | None) -> str:
    trigger = {"kind": kind, "name": name}
    return json.dumps({"trigger": trigger, "taskId": "t", "time": "2026-06-01T10:00:00Z"})


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (line_of("schedule", "hello"), ("hello", "t", at("01T10:00"))),
        (line_of("rule", "hello"), None),
        (line_of("schedule", None), None),
        (
            line_of("schedule", "hello")[:-1] + ', "createdAt": "2026-05-31T10:00:00.123Z"}',
            ("hello", "t", at("01T10:00") - timedelta(days=1)),
        ),
        ('{"trigger": null, "taskId": "t", "time": "x"}', None),
        ("START chronos-schedule/", None),
    ],
)
def test_a_line_of_the_log_tells_which_schedule_started_which_task(
    line: str, found: tuple[str, str, datetime] | None
) -> None:
    assert scheduled_task(line) == found


def long(
    running: Sequence[Running],
    memory: Memory,
    now: datetime,
    timeout: timedelta | None = None,
    usual: Sequence[timedelta] = (),
) -> tuple[list[Message], Memory]:
    return too_long("long/ingest", "ingest", running, memory, now, timeout=timeout, usual=usual)


def test_a_run_over_its_timeout_is_told_once_and_its_end_once() -> None:
    running, limit = [Running("arn:1", at("01T10:00"))], timedelta(hours=1)
    assert long(running, {}, at("01T11:00"), timeout=limit) == ([], {})
    told, memory = long(running, {}, at("01T11:05"), timeout=limit)
    [message] = told
    assert message.title == "1 run of ingest has not ended in time"
    assert message.lines == [
        "More than its timeout, 1 h.",
        "- arn:1, since 2026-06-01T10:00:00+00:00",
    ]
    assert long(running, memory, at("01T12:05"), timeout=limit) == ([], memory)
    told, memory = long([], memory, at("01T12:10"), timeout=limit)
    assert [message.title for message in told] == ["All overdue runs of ingest have ended"]
    assert memory == {}


def test_what_an_earlier_version_remembered_of_long_runs_is_as_if_it_were_lost() -> None:
    running, limit = [Running("arn:1", at("01T10:00"))], timedelta(hours=1)
    before = {"told": {"arn:1": "2026-06-01T10:00:00+00:00"}}
    assert long([], before, at("01T12:00"), timeout=limit) == ([], {})
    [message] = long(running, before, at("01T12:00"), timeout=limit)[0]
    assert message.state == "failure"


def test_three_times_its_usual_is_too_long_even_within_the_timeout() -> None:
    usual = [timedelta(minutes=minutes) for minutes in (9, 10, 10, 10, 300)]
    running = [Running("arn:1", at("01T10:00"))]
    timeout = timedelta(hours=4)
    assert long(running, {}, at("01T10:30"), timeout, usual) == ([], {})
    [message] = long(running, {}, at("01T10:31"), timeout, usual)[0]
    assert message.lines[0] == "More than 30 min; it usually takes 10 min."


def test_too_few_runs_are_not_usual_and_short_ones_no_concern() -> None:
    running = [Running("arn:1", at("01T10:00"))]
    few = [timedelta(seconds=1)] * 4
    assert long(running, {}, at("01T20:00"), usual=few) == ([], {})
    short = [timedelta(seconds=1)] * 5
    assert long(running, {}, at("01T10:00") + SHORTEST_CONCERN, usual=short) == ([], {})
    assert long(running, {}, at("01T10:11"), usual=short)[0] != []


def test_many_long_runs_are_one_message_and_a_later_one_another() -> None:
    limit = timedelta(hours=1)
    running = [Running(f"arn:{number}", at("01T10:00")) for number in range(50)]
    told, memory = long(running, {}, at("01T12:00"), timeout=limit)
    [message] = told
    assert message.title == "50 runs of ingest have not ended in time"
    assert message.lines[-1] == "and 30 more"
    one_more = [*running[25:], Running("arn:new", at("01T11:30"))]
    [message] = long(one_more, memory, at("01T13:00"), timeout=limit)[0]
    assert message.state == "retry"
    assert message.lines[1:] == ["- arn:new, since 2026-06-01T11:30:00+00:00"]
