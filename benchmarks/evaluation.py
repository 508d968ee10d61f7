"""Evaluate the program without a cloud: the dev stack as a process, and stacks of many jobs."""

import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from local.engine.monitor import evaluate_dry
from local.engine.project import Project, load

ROOT = Path(__file__).parents[1]
PROCESSES = 5
ROUNDS = 3
JOBS = (1, 10, 100)

_WHOLE = """
import resource, sys
from pathlib import Path
from local.engine.monitor import evaluate_dry
from local.engine.project import load
evaluation = evaluate_dry(load(Path(sys.argv[1]), "dev"))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(evaluation.resources), peak / 2**20 if sys.platform == "darwin" else peak / 2**10)
"""

_BARE = """
import pulumi
import pulumi_aws as aws
for number in range(int(pulumi.Config("bare").require("count"))):
    aws.iam.RolePolicy(f"policy-{number}", role="role", policy="{}")
"""


def run() -> list[tuple[str, str]]:
    """Measure and return rows of label and value."""
    rows = [*_whole_process()]
    project = load(ROOT, "dev")
    _evaluate(project)  # imports what both programs use
    took = {count: _best(_with_jobs(project, count)) for count in JOBS}
    for count, (seconds, resources) in took.items():
        jobs = "job" if count == 1 else "jobs"
        rows.append((f"{count} {jobs}, an upload each", f"{seconds:.2f} s, {resources} resources"))
    few, some, many = (took[count][0] for count in JOBS)
    first, second = (some - few) / (JOBS[1] - JOBS[0]), (many - some) / (JOBS[2] - JOBS[1])
    bare = _bare(took[JOBS[2]][1])
    return [
        *rows,
        ("a job more, from 1 to 10", f"{first * 1e3:.1f} ms"),
        ("a job more, from 10 to 100", f"{second * 1e3:.1f} ms"),
        ("growth of that", f"{second / first:.2f}"),
        ("as many bare resources of the SDK", f"{bare:.2f} s"),
        ("100 jobs / as many bare resources", f"{many / bare:.2f}"),
    ]


def _whole_process() -> list[tuple[str, str]]:
    seconds: list[float] = []
    said = ""
    for _ in range(PROCESSES):
        began = time.perf_counter()
        said = subprocess.run(
            [sys.executable, "-c", _WHOLE, str(ROOT)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        seconds.append(time.perf_counter() - began)
    resources, peak = said.split()
    return [
        (
            "the dev stack, whole process",
            f"{statistics.median(seconds):.2f} s (best {min(seconds):.2f}), {resources} resources",
        ),
        ("the dev stack, peak memory", f"{float(peak):.0f} MiB"),
    ]


def _with_jobs(project: Project, count: int) -> Project:
    jobs = {f"job-{n}": {"cpu": 512, "memory": 1024, "timeout": "1h"} for n in range(count)}
    uploads = {f"upload-{n}": {"job": f"job-{n}", "prefix": f"in-{n}/"} for n in range(count)}
    several = {"jobs": jobs, "uploads": uploads, "pipelines": {}, "schedules": {}}
    config = {f"{project.name}:{key}": json.dumps(value) for key, value in several.items()}
    return dataclasses.replace(project, config=project.config | config)


def _bare(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "__main__.py").write_text(_BARE)
        config = {"aws:region": "ap-northeast-1", "bare:count": str(count)}
        return _best(Project(Path(folder), "bare", "dev", "ap-northeast-1", config, {}))[0]


def _best(project: Project) -> tuple[float, int]:
    return min(_evaluate(project) for _ in range(ROUNDS))


def _evaluate(project: Project) -> tuple[float, int]:
    """The seconds it took, and how many resources there are."""
    began = time.perf_counter()
    evaluation = evaluate_dry(project)
    return time.perf_counter() - began, len(evaluation.resources)
