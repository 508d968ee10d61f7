"""The tour of the real stack, as a whole process and step by step against a cloud that fails it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from operate.logs import readable
from tests.local.programs import ROOT


def demo(*arguments: str, seconds: float = 250) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "local", "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "AWS_PROFILE": "absent", "HOME": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_tour_of_the_dev_stack_shows_every_way_a_batch_starts() -> None:
    status, out, err = demo()
    assert (status, err) == (0, ""), out
    headings = [
        "An upload runs a batch, through a state machine",
        "An upload runs a batch, straight in ECS",
        "A schedule runs several batches in series",
        "A schedule runs a batch, straight in ECS",
        "A failure is told",
        "Every task's life is logged",
    ]
    assert [line for line in out.splitlines() if line in headings] == headings
    first = out.partition(headings[0])[2].partition(headings[1])[0]
    states = re.findall(r"^  task +[0-9a-f]{8} ([A-Z]+)", first, re.MULTILINE)
    assert states == ["PROVISIONING", "PENDING", "RUNNING", "DEPROVISIONING", "STOPPED"]
    assert "  result     7 rows, 7 columns, 1 rejected\n" in first
    assert "  rejected   line 7: expected 7 columns, found 5\n" in first
    assert re.search(r"^  1001 +2026-04-01 09:12:00 +鈴木商店 +りんご", first, re.MULTILINE)
    assert "  ok         The upload of hoge/orders.csv started nothing.\n" in first
    told = out.partition("A failure is told\n")[2].partition("Every task's life")[0]
    assert re.search(r"^  subject +\S.*ingest", told, re.MULTILINE), told
    assert re.search(r"^  message +.*Input\.Invalid", told, re.MULTILINE), told
    exits = re.findall(r"^  task +[0-9a-f]{8} STOPPED(.*)$", out, re.MULTILINE)
    assert set(exits) == {", exit code 0"}
    assert "  MISSING" not in out
    assert re.search(
        r"s3 cp local/samples/orders\.csv s3://\S+/target/orders\.csv$", out, re.MULTILINE
    )
    assert out.endswith("  ok         All of it was seen.\n")
    assert "\x1b" not in out


@pytest.mark.slow
def test_the_tour_takes_a_file_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "my own (1).jsonl"
    own.write_text('{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n')
    status, out, _ = demo(str(own))
    assert status == 0, out
    assert "  result     2 rows, 2 columns, 0 rejected\n" in out
    assert "/target/my own (1).jsonl\n" in out
    assert f" s3 cp '{own}' 's3://" in out


@pytest.mark.slow
def test_a_tour_whose_batch_fails_says_what_was_not_seen(tmp_path: Path) -> None:
    pdf = tmp_path / "report.csv"
    pdf.write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n")
    status, out, _ = demo(str(pdf))
    assert status == 1
    assert re.search(
        r"^  MISSING +the execution ended as FAILED: .*exit code 65", out, re.MULTILINE
    )
    assert out.splitlines()[-1] == (
        "  MISSING    Not seen: An upload runs a batch, through a state machine;"
        " An upload runs a batch, straight in ECS."
    )


@pytest.mark.slow
@pytest.mark.parametrize("given", ["absent.csv", "."])
def test_a_tour_without_its_file_does_not_begin(given: str) -> None:
    assert demo(given) == (
        2,
        "",
        f"There is no file {given}: give a CSV, JSON Lines or Excel (.xlsx) file.\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("before", [[], ["--"]])
def test_a_tour_with_an_empty_file_does_not_begin(tmp_path: Path, before: list[str]) -> None:
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert demo(*before, str(empty)) == (
        2,
        "",
        (
            f"{empty} is empty: a rule on a prefix leaves out objects of 0 bytes, which S3's"
            " console makes for folders, so nothing would start.\n"
        ),
    )


def test_a_log_line_of_json_is_shown_as_names_and_values() -> None:
    assert readable("plain text") == "plain text"
    assert readable('"text"') == '"text"'
    line = {"event": "echo", "args": ["a", "日本"], "environment": {"ENV": "x"}, "rows": 7}
    assert readable(json.dumps(line)) == 'echo, args ["a", "日本"], environment(ENV x), rows 7'
