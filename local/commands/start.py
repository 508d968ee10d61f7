"""`start`: one execution of a job, by hand, to its end; its log here, its exit code ours."""

import argparse
import json
import sys
import time
from typing import Any

from local.commands import stack
from local.commands.lifetime import Lifetime
from local.commands.tasks import Log, exit_code, stream_of, task_arns, why

POLL_SECONDS = 0.2


def run(options: argparse.Namespace, _lifetime: Lifetime) -> int:
    """Start the job's state machine with the arguments as the task's command, and wait."""
    running = stack.find(options.port)
    job = running.job(options.name)
    states, logs = running.client("stepfunctions"), running.client("logs")
    execution = states.start_execution(
        stateMachineArn=job["stateMachineArn"],
        input=json.dumps({"commands": options.arguments} if options.arguments else {}),
    )["executionArn"]
    sys.stderr.write(f"{execution}\n")

    followed: dict[str, Log] = {}
    while True:
        described = states.describe_execution(executionArn=execution)
        for arn in task_arns(states, execution):
            if arn not in followed:
                followed[arn] = Log(logs, job["logGroup"], stream_of(options.name, arn))
        for log in followed.values():
            for line in log.more():
                sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if described["status"] != "RUNNING":
            break
        time.sleep(POLL_SECONDS)

    if described["status"] != "SUCCEEDED":
        sys.stderr.write(f"{described['status']}: {why(described)}\n")
    return _status(running, described["status"], list(followed))


def _status(running: stack.Stack, status: str, task_arns: list[str]) -> int:
    """The exit code of the last attempt's container; 1 if there is none and it failed."""
    fallback = 0 if status == "SUCCEEDED" else 1
    cluster = running.outputs.get("clusterArn")
    if not task_arns or not cluster:
        return fallback
    ecs: Any = running.client("ecs")
    described = ecs.describe_tasks(cluster=cluster, tasks=task_arns[-1:])["tasks"]
    code = exit_code(described[0]) if described else None
    return fallback if code is None or (code == 0 and fallback) else code
