"""`python -m benchmarks [NAME ...]`: measure this machine; each figure with its aim beside it."""

import argparse
import contextlib
import importlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

MODULES = {
    "evaluation": "what evaluating the program takes, for one job and for a hundred",
    "hundred": "a stack of 100 jobs: its resources, roles, alarms and costs, and evaluating it",
    "preview": "previews on the real Pulumi engine, where that is built",
    "uploads": "uploads to the running stack, one by one and 200 at once",
    "lifetime": "from an upload to the last line about its task",
    "permits": "a job that runs one at a time: how long its permit is idle between two runs",
    "ingest": "a CSV of 1 GB through the container's program, beside DuckDB alone",
    "handler": "the logger of task events, beside json.dumps",
    "burst": "10,000 uploads within a minute, simulated against AWS's limits",
    "soak": "2,000 uploads while everything fails now and then: what became of each",
    "privileges": "how many IAM statements the stack has, and how many proved necessary",
    "costs": "what 1,000 uploads cost on AWS",
}


@dataclass(frozen=True)
class Aim:
    """What the first number of a value should be."""

    limit: float
    unit: str = ""
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'at least' if self.at_least else 'under'} {self.limit:g} {self.unit}".strip()

    def met(self, value: str) -> bool:
        """Whether the value keeps to it."""
        number = re.search(r"-?\d[\d,]*(\.\d+)?", value)
        assert number is not None, f"no number in {value!r}"
        measured = float(number[0].replace(",", ""))
        return measured >= self.limit if self.at_least else measured < self.limit


AIMS = {
    ("evaluation", "the dev stack, whole process"): Aim(2.2, "s"),
    ("evaluation", "the dev stack, peak memory"): Aim(120, "MiB"),
    ("evaluation", "a job more, from 10 to 100"): Aim(25, "ms"),
    ("evaluation", "growth of that"): Aim(1.25),
    ("hundred", "resources"): Aim(1981),
    ("hundred", "roles"): Aim(271),
    ("hundred", "alarms"): Aim(121),
    ("hundred", "evaluated / as many topics"): Aim(1.3),
    ("preview", "the dev stack / bare"): Aim(1.3),
    ("preview", "the hundred stack / bare"): Aim(1.3),
    ("uploads", "an upload to its execution's end, but for the container"): Aim(0.5, "s"),
    ("uploads", "200 uploads at once: succeeded"): Aim(200, at_least=True),
    ("uploads", "uploads / just the processes"): Aim(2),
    ("lifetime", "an upload to the last line about its task"): Aim(1.5, "s"),
    ("permits", "a permit is idle between two runs"): Aim(1, "s"),
    ("ingest", "ratio to that"): Aim(1.0, at_least=True),
    ("ingest", "container: peak memory"): Aim(256, "MiB"),
    ("ingest", "container: start to the first request to S3, beyond bare Python"): Aim(250, "ms"),
    ("soak", "lost"): Aim(1),
    ("soak", "duplicated effects"): Aim(1),
    ("privileges", "of them without a proof"): Aim(2),
    ("handler", "handler: cold import"): Aim(30, "ms"),
    ("handler", "handler / json.dumps"): Aim(3),
    ("burst", "last launch / earliest possible"): Aim(1.05),
    ("burst", "orchestration"): Aim(2, "USD"),
}


@dataclass(frozen=True)
class Figure:
    """A row of the table."""

    label: str
    value: str
    aim: Aim | None

    @property
    def verdict(self) -> str:
        """Whether the aim is met, if there is one."""
        if self.aim is None:
            return ""
        return "met" if self.aim.met(self.value) else "missed"


def measure(name: str) -> list[Figure]:
    """Run one module.

    Raises:
        LookupError: it has no figure for an aim.
    """
    rows: list[tuple[str, str]] = importlib.import_module(f"benchmarks.{name}").run()
    labels = {label for label, _ in rows}
    if missing := [label for module, label in AIMS if module == name and label not in labels]:
        raise LookupError(f"{name} measures nothing called: {', '.join(missing)}")
    return [Figure(label, value, AIMS.get((name, label))) for label, value in rows]


def show(name: str, figures: list[Figure], console: Console) -> None:
    """Print a table on a terminal, lines of tab-separated columns elsewhere."""
    if not console.is_terminal:
        for figure in figures:
            aim = str(figure.aim or "")
            row = f"{name}\t{figure.label}\t{figure.value}\t{aim}\t{figure.verdict}".rstrip()
            print(row, file=console.file, flush=True)
        return
    table = Table("figure", "value", "aim", "", title=MODULES[name], title_justify="left")
    for figure in figures:
        colour = {"met": "green", "missed": "red"}.get(figure.verdict, "")
        table.add_row(
            figure.label, figure.value, str(figure.aim or ""), figure.verdict, style=colour
        )
    console.print(table)


@contextlib.contextmanager
def log_apart() -> Generator[TextIO]:
    """Let all that this process and its children write go to a file; gives what was stdout.

    The file is named on stderr, and removed if there is nothing in it. What is still ending when
    this ends writes there, too: only for an error stderr is as it was.
    """
    stdout, stderr = (os.dup(stream) for stream in (1, 2))
    number, name = tempfile.mkstemp(prefix="fargate-batch-benchmarks-", suffix=".log")
    try:
        for stream in (1, 2):
            os.dup2(number, stream)
        with os.fdopen(os.dup(stdout), "w", encoding="utf-8") as out:
            yield out
        _flush()
    except BaseException:
        _flush()
        os.dup2(stderr, 2)
        raise
    finally:
        if os.fstat(number).st_size:
            told = f"What was said meanwhile, of faults on purpose too: {name}\n"
            os.write(stderr, told.encode())
        else:
            Path(name).unlink()
        for descriptor in (stdout, stderr, number):
            os.close(descriptor)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _possible() -> list[str]:
    return [name for name in MODULES if name != "preview" or shutil.which("pulumi")]


def main(arguments: list[str]) -> int:
    """Measure what `arguments` name, else everything; 0 even where an aim is missed."""
    listed = "\n".join(f"  {name:12}{what}" for name, what in MODULES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this machine.",
        epilog=f"NAME is one of\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all of them")
    names: list[str] = parser.parse_args(arguments).names
    if unknown := [name for name in names if name not in MODULES]:
        parser.error(f"there is no {', '.join(unknown)}; there are: {', '.join(MODULES)}")
    with log_apart() as out:
        console = Console(file=out)
        for name in names or _possible():
            show(name, measure(name), console)
    return 0


if __name__ == "__main__":
    # As an exception, so that what a benchmark started is ended.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
