"""What `python -m benchmarks` prints: figures, and where the rest is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOISY = """
import logging, subprocess, sys, threading
from benchmarks import __main__ as benchmarks

class module:
    @staticmethod
    def run():
        print("from print")
        logging.error("from logging")
        subprocess.run([sys.executable, "-c", "raise SystemExit('from a child')"])
        threading.Timer(0.3, print, ["when all is over"]).start()
        {last}
        return [("figure", "7")]

benchmarks.MODULES["noisy"] = "says much"
benchmarks.importlib.import_module = lambda name: module
sys.exit(benchmarks.main(["noisy"]))
"""
MEANWHILE = "What was said meanwhile, of faults on purpose too: "
SAID = ["from print", "ERROR:root:from logging", "from a child", "when all is over"]


def measured(tmp_path: Path, last: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", NOISY.format(last=last)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_only_figures_are_printed_and_the_rest_is_in_the_file_it_names(tmp_path: Path) -> None:
    status, out, err = measured(tmp_path, "pass")
    assert (status, out) == (0, "noisy\tfigure\t7\n")
    [log] = tmp_path.iterdir()
    assert err == f"{MEANWHILE}{log}\n"
    assert sorted(log.read_text("utf-8").splitlines()) == sorted(SAID)


def test_a_benchmark_that_fails_says_why_where_it_is_read(tmp_path: Path) -> None:
    status, out, err = measured(tmp_path, "raise RuntimeError('broken')")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == "RuntimeError: broken"


SOAK = """
import sys
from benchmarks import __main__ as benchmarks, soak

soak.run.__defaults__ = (60,)
sys.exit(benchmarks.main(["soak"]))
"""


@pytest.mark.slow
def test_a_soak_in_which_everything_fails_prints_its_figures_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SOAK],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines[:2]] == [["soak", "sent"], ["soak", "succeeded"]]
    assert len(lines) == 9
    # Where there was nothing else to say, no file is named.
    named = "".join(f"{MEANWHILE}{log}\n" for log in tmp_path.glob("*.log"))
    assert done.stderr == named


@pytest.mark.slow
@pytest.mark.parametrize("name", ["handler"])
def test_a_benchmark_with_nothing_to_say_leaves_no_file(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(re.match(rf"{name}\t\S", line) for line in done.stdout.splitlines())
    assert list(tmp_path.glob("fargate-batch-benchmarks-*")) == []
