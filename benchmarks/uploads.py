"""Uploads through the running stack: what one waits for, and 200 of them at once."""

import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks._stack import AT_ONCE, ROOT, Running, peak_memory, running, wait_for
from local.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY

ONE_BY_ONE = 9
TOGETHER = 200
BODY = b"name,amount\nred,1\ngreen,2\n"
JOB = "ingest"
ONE_SECONDS = 30
TOGETHER_SECONDS = 600


def run() -> list[tuple[str, str]]:
    """Measure and return rows of label and value."""
    with running() as stack:
        waits = [_wait_of_one(stack, f"target/one-{n}.csv") for n in range(ONE_BY_ONE)]
        bare = _bare(stack)
        with peak_memory(stack.process) as peak:
            seconds, succeeded = _together(stack)
    return [
        ("an upload to its execution's end, but for the container", f"{_middle(waits)} s"),
        (f"{TOGETHER} uploads at once: succeeded", f"{succeeded} of {TOGETHER}"),
        (f"{TOGETHER} uploads at once", f"{seconds:.1f} s, {TOGETHER / seconds:.1f} runs a second"),
        (f"{TOGETHER} uploads at once: peak memory of the cloud", f"{peak[0] / 2**20:.0f} MiB"),
        (f"{TOGETHER} such processes, {AT_ONCE} at a time", f"{bare:.1f} s"),
        ("uploads / just the processes", f"{seconds / bare:.2f}"),
    ]


def _middle(waits: list[float]) -> str:
    return f"{statistics.median(waits):.2f} (from {min(waits):.2f} to {max(waits):.2f})"


def _wait_of_one(stack: Running, key: str) -> float:
    """Seconds from PutObject's answer to the execution's end, without those the container ran."""
    states, ecs = stack.client("stepfunctions"), stack.client("ecs")
    before = {execution["executionArn"] for execution in _ended(states, stack)}
    _put(stack, key)
    answered = time.time()

    def new() -> list[dict[str, Any]]:
        return [it for it in _ended(states, stack) if it["executionArn"] not in before]

    (execution,) = wait_for(f"the execution of {key}", ONE_SECONDS, 0.1, new)
    assert execution["status"] == "SUCCEEDED", execution
    cluster = stack.stack.outputs["clusterArn"]
    arns = ecs.list_tasks(cluster=cluster, desiredStatus="STOPPED")["taskArns"]
    tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]
    (task,) = (it for it in tasks if it.get("group") == f"execution:{execution['name']}")
    ran = (task["executionStoppedAt"] - task["startedAt"]).total_seconds()
    return execution["stopDate"].timestamp() - answered - ran


def _together(stack: Running) -> tuple[float, int]:
    """The seconds from the first PutObject to the last execution's end, and how many succeeded."""
    states = stack.client("stepfunctions")
    before = len(_ended(states, stack))
    began = time.time()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda n: _put(stack, f"target/many-{n}.csv"), range(TOGETHER)))
    wait_for(
        f"{TOGETHER} executions",
        TOGETHER_SECONDS,
        0.5,
        lambda: len(_ended(states, stack)) - before >= TOGETHER,
    )
    ended = [it for it in _ended(states, stack) if it["startDate"].timestamp() >= began - 0.001]
    seconds = max(it["stopDate"].timestamp() for it in ended) - began
    return seconds, sum(it["status"] == "SUCCEEDED" for it in ended)


def _bare(stack: Running) -> float:
    """Seconds to run the container's program as often, on objects alike, and nothing else."""
    outputs = stack.stack.outputs
    keys = [f"bare/{n}.csv" for n in range(TOGETHER)]
    for key in keys:
        _put(stack, key)
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": stack.stack.endpoint,
        "AWS_REGION": stack.stack.region,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "JOB": JOB,
        "BUCKET": outputs["uploadBucket"],
        "RESULTS_BUCKET": outputs["resultsBucket"],
        "RESULTS_PREFIX": "bare/",
    }
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda key: _process(key, environment, ROOT), keys))
    return time.perf_counter() - began


def _process(key: str, environment: dict[str, str], folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "batch", key],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        timeout=ONE_SECONDS,
    )


def _put(stack: Running, key: str) -> None:
    stack.s3.put_object(Bucket=stack.stack.outputs["uploadBucket"], Key=key, Body=BODY)


def _ended(states: Any, stack: Running) -> list[dict[str, Any]]:  # noqa: ANN401 -- a boto3 client
    machine = stack.stack.outputs["jobs"][JOB]["stateMachineArn"]
    pages = states.get_paginator("list_executions").paginate(stateMachineArn=machine)
    return [it for page in pages for it in page["executions"] if it["status"] != "RUNNING"]
