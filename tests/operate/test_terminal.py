"""On a terminal columns go in a fixed order, ids are never cut, colours only where they show."""

import argparse
import io
import json
import os
import re
import sys
import time
from datetime import UTC, datetime, tzinfo
from typing import Any, Self

import pytest

from operate import commands, doctor, guarded
from operate.output import Column, Output, Progress, duration
from operate.stack import Stack
from operate.text import cut, printable, width

COLUMNS = (
    Column("run"),
    Column("status"),
    Column("began", drop=1),
    Column("reason", drop=2, cut=True),
)
ROW = ("0123456789abcdef", "failed", "01-31 10:00:00", "because of 日本語 " + "x" * 80)
MOMENT = datetime(2030, 1, 31, 10, 0, 0, 123_456, UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(columns: int, monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    Output(stdout=terminal).table(COLUMNS, [ROW])
    return terminal.getvalue().splitlines()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", text)


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        (200, ["RUN", "STATUS", "BEGAN", "REASON"]),
        (80, ["RUN", "STATUS", "BEGAN", "REASON"]),
        (45, ["RUN", "STATUS", "BEGAN"]),
        (26, ["RUN", "STATUS"]),
        (10, ["RUN", "STATUS"]),
    ],
)
def test_columns_are_cut_then_dropped_in_a_fixed_order(
    columns: int, titles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heading, row = (plain(line) for line in shown(columns, monkeypatch))
    assert heading.split() == titles
    assert row.startswith("0123456789abcdef  failed")
    assert columns < 30 or width(row) <= columns
    assert ("…" in row) == (columns == 80)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b[31m" in shown(200, monkeypatch)[1]
    assert "\x1b" not in "".join(shown(200, monkeypatch, **environment))


def test_what_is_no_terminal_gets_tabs_and_everything() -> None:
    written = io.StringIO()
    Output(stdout=written).table(COLUMNS, [ROW])
    assert written.getvalue() == "run\tstatus\tbegan\treason\n" + "\t".join(ROW) + "\n"


class NewYear(datetime):
    """Midnight of the last day of 2029 has passed in Tokyo, not yet in UTC."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls(2029, 12, 31, 15, 30, tzinfo=UTC).astimezone(tz)


def test_times_are_rfc_3339_in_utc_off_a_terminal_and_short_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("operate.output.datetime", NewYear)
    off, on = Output(stdout=io.StringIO(), utc=False), Output(stdout=Terminal(), utc=True)
    assert off.time(MOMENT) == "2030-01-31T10:00:00Z"
    assert off.time(MOMENT, precise=True) == "2030-01-31T10:00:00.123Z"
    assert on.time(MOMENT) == "2030-01-31 10:00"
    assert on.time(MOMENT, precise=True) == "01-31 10:00:00.123"
    assert on.time(None) == ""


def test_a_time_of_this_year_is_without_it_by_the_calendar_of_the_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("operate.output.datetime", NewYear)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        on = Output(stdout=Terminal(), utc=False)
        before, after = (datetime(2029, 12, 31, hour, 10, tzinfo=UTC) for hour in (14, 15))
        assert (on.time(before), on.time(after)) == ("2029-12-31 23:10", "01-01 00:10:00")
    time.tzset()


def test_lines_are_safe_and_raw_ones_only_off_a_terminal() -> None:
    terminal = Terminal()
    Output(stdout=terminal).line("a\x1b[2J\u202eb\n")
    assert terminal.getvalue() == "a\\x1b[2J\\u202eb\\n\n"
    assert printable("日本 é") == "日本 é"


def test_of_two_texts_the_longer_is_cut_until_they_are_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    terminal = Terminal()
    columns = (Column("key", cut=True), Column("reason", cut=True), Column("short", cut=True))
    Output(stdout=terminal).table(columns, [("k" * 900, "r" * 300, "s" * 14)])
    row = terminal.getvalue().splitlines()[1]
    assert row == f"{'k' * 15}…  {'r' * 15}…  {'s' * 14}"


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 5, "日本…"), ("日本語", 6, "日本語")],
)
def test_wide_characters_take_two_columns(text: str, columns: int, expected: str) -> None:
    assert cut(text, columns) == expected
    assert width(expected) <= columns


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.04, "0.0s"),
        (59.96, "60.0s"),
        (61, "1m01s"),
        (3600, "1h00m"),
        (90000, "25h00m"),
    ],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def shown_progress(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, seconds: float) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    progress = Progress(seconds)
    progress.show(0, 4, "1 running")
    progress.show(1, 4, "")
    progress.show(3, 4, "a\x1b[2Jb")
    progress.end()
    return stream.getvalue()


def test_progress_is_a_bar_that_is_written_over_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    first, second, third = shown_progress(Terminal(), monkeypatch, 0).split("\r\x1b[K")[1:]
    assert first == f"[{'.' * 30}] 0 of 4, 1 running"
    assert second == f"[{'#' * 7}{'.' * 23}] 1 of 4"
    assert third == f"[{'#' * 22}{'.' * 8}] 3 of 4, a\\x1b[2Jb\n"
    monkeypatch.setenv("COLUMNS", "40")
    lines = shown_progress(Terminal(), monkeypatch, 0).replace("\x1b[K", "").splitlines()
    assert [width(line) for line in lines[1:]] == [39, 39, 39]


@pytest.mark.parametrize(("seconds", "lines"), [(0, 3), (3600, 1)])
def test_progress_is_a_line_now_and_then_elsewhere(
    seconds: float, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ["0 of 4, 1 running", "1 of 4", r"3 of 4, a\x1b[2Jb"][:lines]
    assert shown_progress(io.StringIO(), monkeypatch, seconds).splitlines() == told
    monkeypatch.setenv("TERM", "dumb")
    assert shown_progress(Terminal(), monkeypatch, seconds).splitlines() == told


@pytest.mark.parametrize("size", ["0", "", "x"])
def test_a_terminal_that_does_not_know_its_size_has_80_columns(
    size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", size)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((0, 0)))
    terminal = Terminal()
    Output(stdout=terminal).table(COLUMNS, [ROW])
    heading = plain(terminal.getvalue().splitlines()[0])
    assert heading.split() == ["RUN", "STATUS", "BEGAN", "REASON"]


def test_half_a_character_is_an_escape_of_json_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", pipe)
    guarded.install()
    Output().json({"cause": "\ud800 日本"})
    pipe.seek(0)
    assert json.loads(pipe.buffer.read()) == {"cause": "\ud800 日本"}


def test_the_ways_out_are_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    way = "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com"
    findings = [
        doctor.Finding("roles", "ok", "14 of 1000"),
        doctor.Finding("service-linked role", "failing", "ECS has none", way),
    ]
    monkeypatch.setattr(doctor, "look", lambda _stack: findings)
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    nothing: Any = None
    stack = Stack(nothing, "p", "s", {})
    options = argparse.Namespace(json=False)
    status = commands.doctor(options, lambda _options: stack, Output(stdout=terminal))
    assert status == 1
    assert [plain(line) for line in terminal.getvalue().splitlines()] == [
        "CHECK                STATUS   WHAT",
        "roles                ok       14 of 1000",
        "service-linked role  failing  ECS has none",
        "",
        "service-linked role: ECS has none",
        f"  {way}",
    ]
