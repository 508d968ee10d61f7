"""A job with `maxConcurrency: 1` and a queue before it: how long its one permit is idle."""

import itertools
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks._stack import ROOT, wait_for
from local.cloud import Cloud
from local.engine.project import load
from local.engine.resources import create_stack
from local.services.ecs.images import Images

RUNS = 12
SECONDS = 120
IMAGE = "docker.io/library/nothing:1"
CONFIG: dict[str, Any] = {"image": IMAGE, "jobs": {"one": {"maxConcurrency": 1}}}


def run() -> list[tuple[str, str]]:
    """Measure and return rows of label and value."""
    images = Images()
    project = load(ROOT, "dev")
    config = {f"fargate-batch:{key}": json.dumps(value) for key, value in CONFIG.items()}
    project = replace(project, config={"aws:region": project.region, **config})
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text('FROM busybox\nCMD ["true"]\n', encoding="utf-8")
        images.add(IMAGE, Path(folder))
        with Cloud(0, project.region, images=images) as cloud:
            outputs = create_stack(project, cloud, images.add).outputs
            idle = _idle(cloud, outputs["jobs"]["one"]["stateMachineArn"], outputs["clusterArn"])
    return [
        (
            "a permit is idle between two runs",
            f"{statistics.median(idle):.2f} s (from {min(idle):.2f} to {max(idle):.2f})",
        )
    ]


def _idle(cloud: Cloud, machine: str, cluster: str) -> list[float]:
    """Seconds from the stop of each task to the creation of the next."""
    machines, ecs = cloud.client("stepfunctions"), cloud.client("ecs")
    for number in range(RUNS):
        machines.start_execution(stateMachineArn=machine, name=str(number), input="{}")

    def stopped() -> list[dict[str, Any]]:
        arns = ecs.list_tasks(cluster=cluster, desiredStatus="STOPPED")["taskArns"]
        tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        tasks = [task for task in tasks if task["lastStatus"] == "STOPPED"]
        return tasks if len(tasks) == RUNS else []

    tasks = wait_for(f"{RUNS} runs one after the other", SECONDS, 0.2, stopped)
    in_order = sorted(tasks, key=lambda task: task["createdAt"])
    return [
        (after["createdAt"] - before["stoppedAt"]).total_seconds()
        for before, after in itertools.pairwise(in_order)
    ]
