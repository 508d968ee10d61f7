"""Wrong use ends in one line with the way out and status 2, before AWS is asked for anything."""

import argparse
import json
import re
import time
from typing import Any, cast

import pytest

from operate import cli, events, runs
from operate.stack import Stack


def no_stack(_options: argparse.Namespace) -> Stack:
    raise AssertionError("AWS was asked")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("shwo x", "no such choice: shwo (did you mean show?)"),
        ("runs --jbo x", "runs: no such option: --jbo (did you mean --job?)"),
        ("letters list --tigger=x", "no such option: --tigger (did you mean --trigger?)"),
        ("runs --zzz", "no such option: --zzz"),
        ("runs more", "unrecognized arguments: more"),
        ("start", "the following arguments are required: JOB|PIPELINE"),
        ("runs --status fialed", "no such choice: fialed (did you mean failed?)"),
        ("runs --since tomorrow", "tomorrow is neither a duration (90s, 2h, 3d) nor a time"),
        ("runs --since 999999w", "999999w is longer than 50 years"),
        ("runs --since 2030-01-32", "2030-01-32 is neither a duration"),
        ("runs --since 2030-01-02 --until 2030-01-01", "--until 2030-01-01T00:00Z is before"),
        ("retry --failed --since 1h --until 2h", "is before --since"),
        ("runs --last 0", "0 is no number from 1 to 10000"),
        ("show EMPTY", "argument RUN: it is empty"),
        ("stop a EMPTY --reason x", "argument RUN: it is empty"),
        ("backfills stop EMPTY --reason x", "argument ID: it is empty"),
        ("letters drop EMPTY", "argument LETTER: it is empty"),
        ("letters send EMPTY --trigger x", "argument LETTER: it is empty"),
    ],
)
def test_wrong_use_is_said_in_one_line(
    command: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["" if one == "EMPTY" else one for one in command.split()]
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        assert cli.main(given, no_stack) == 2
    time.tzset()
    written = capsys.readouterr()
    assert written.out == ""
    assert told in written.err
    assert written.err.count("\n") == 1


def test_an_option_that_is_not_shown_is_not_hinted_at(capsys: pytest.CaptureFixture[str]) -> None:
    parser = cli.Parser(prog="x")
    parser.add_argument("--root", help=argparse.SUPPRESS)
    with pytest.raises(SystemExit):
        parser.parse_args(["--rot", "y"])
    assert capsys.readouterr().err == "x: no such option: --rot\n"


def test_an_endpoint_is_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--stack", "x", "--region", "eu-west-1", "--endpoint-url", "ftp:x"]
    assert cli.main(["runs", *options]) == 2
    assert capsys.readouterr().err == "ftp:x is no address: http://127.0.0.1:4566\n"


def test_what_cannot_be_written_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    def full(_options: argparse.Namespace) -> Stack:
        raise OSError(28, "No space left on device")

    assert cli.main(["runs", "--stack", "x"], full) == 1
    assert capsys.readouterr().err == "cannot write: No space left on device\n"


def test_a_stack_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FARGATE_BATCH_STACK", raising=False)
    assert cli.main(["runs"]) == 2
    assert "which stack? give --stack" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        ("a/b.csv", '($.x = "a/b.csv")'),
        ('a"b\\c', '($.x = "a\\"b\\\\c")'),
        ("a\x1b[2Jb", '($.x = "a*")'),
        ("\n", '($.x = "*")'),
        ("ä" * 101, f'($.x = "{"ä" * 100}*")'),
    ],
)
def test_a_pattern_has_no_control_character_and_an_end(value: str, pattern: str) -> None:
    assert events.equals("x", value) == pattern
    longest = events.either(*[events.equals("trigger.name", '"' * 999, beginning=True)] * 4)
    assert len(f"{{ {longest} }}") <= 1024
    assert json.loads(re.findall(r'= (".*")', events.equals("x", value))[0])


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        ("show @latest", 2, "nothing has run yet\n"),
        ("letters send --all", 0, "Nothing to do: no such dead letter.\n0 sent.\n"),
        ("letters drop --all --dry-run", 0, "Nothing to do: no such dead letter.\n"),
    ],
)
def test_where_there_is_nothing_that_is_said(
    command: str,
    status: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(runs, "recent", lambda *_, **__: [])
    stack = Stack(cast("Any", None), "project", "stack", {})
    assert cli.main([*command.split(), "--stack", "stack"], lambda _: stack) == status
    assert capsys.readouterr().err == told
