"""`logs`: what a job's newest task wrote, and with `--follow` what every next one writes."""

import argparse
import sys
import time
from typing import Any

from local.commands import stack
from local.commands.errors import CommandError
from local.commands.lifetime import Lifetime
from local.commands.tasks import Log

POLL_SECONDS = 0.3
FOLLOWED = 20
"""Streams read at a time when following: those of the tasks that wrote last."""


def run(options: argparse.Namespace, _lifetime: Lifetime) -> int:
    """Print the lines as they are."""
    running = stack.find(options.port)
    group = running.job(options.name)["logGroup"]
    client = running.client("logs")
    newest = _streams(client, group, 1)
    if not newest and not options.follow:
        raise CommandError(f"{options.name} has not run yet: {group} is empty.", status=1)

    open_logs = {name: Log(client, group, name) for name in newest}
    while True:
        for log in open_logs.values():
            for line in log.more():
                sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if not options.follow:
            return 0
        time.sleep(POLL_SECONDS)
        for name in reversed(_streams(client, group, FOLLOWED)):
            if name not in open_logs:
                open_logs[name] = Log(client, group, name)


def _streams(client: Any, group: str, limit: int) -> list[str]:  # noqa: ANN401 -- boto3
    """The streams written last, the newest first."""
    answer = client.describe_log_streams(
        logGroupName=group, orderBy="LastEventTime", descending=True, limit=limit
    )
    return [stream["logStreamName"] for stream in answer["logStreams"]]
