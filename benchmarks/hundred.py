"""A stack of 100 jobs: its resources, roles and alarms, what it costs idle, and its preview."""

import dataclasses
import tempfile
import time
from collections import Counter
from pathlib import Path

from local.engine.monitor import evaluate_dry
from local.engine.project import Project, load

ROOT = Path(__file__).parents[1]
ROUNDS = 2

# US dollars a month in us-east-1: https://aws.amazon.com/cloudwatch/pricing/ and
# https://aws.amazon.com/kms/pricing/
DOLLARS = {
    "aws:cloudwatch/metricAlarm:MetricAlarm": 0.10,
    "aws:cloudwatch/dashboard:Dashboard": 3.00,
    "aws:kms/key:Key": 1.00,
}

_BARE = """
import pulumi
import pulumi_aws as aws
for number in range(int(pulumi.Config("bare").require("count"))):
    aws.sns.Topic(f"topic-{number}")
"""


def project() -> Project:
    """The stack of `Pulumi.hundred.yaml`, of this program."""
    return dataclasses.replace(load(Path(__file__).parent / "stack", "hundred"), root=ROOT)


def counted() -> Counter[str]:
    """How many resources of each type it has."""
    return Counter(resource.type for resource in evaluate_dry(project()).resources)


def run() -> list[tuple[str, str]]:
    """Measure and return rows of label and value."""
    types = counted()
    count = types.total()
    ours = min(_seconds(project()) for _ in range(ROUNDS))
    bare = min(_bare(count) for _ in range(ROUNDS))
    idle = sum(DOLLARS[type_] * types[type_] for type_ in DOLLARS)
    return [
        ("resources", str(count)),
        ("roles", str(types["aws:iam/role:Role"])),
        ("alarms", str(types["aws:cloudwatch/metricAlarm:MetricAlarm"])),
        ("standing costs", f"{idle:.2f} USD a month"),
        ("evaluated", f"{ours:.2f} s"),
        ("as many topics", f"{bare:.2f} s"),
        ("evaluated / as many topics", f"{ours / bare:.2f}"),
    ]


def _seconds(evaluated: Project) -> float:
    began = time.perf_counter()
    evaluate_dry(evaluated)
    return time.perf_counter() - began


def _bare(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "__main__.py").write_text(_BARE)
        config = {"aws:region": "ap-northeast-1", "bare:count": str(count)}
        return _seconds(Project(Path(folder), "bare", "dev", "ap-northeast-1", config, {}))
