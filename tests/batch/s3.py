"""A real S3 over HTTP in a process of its own, and the container program as one."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import boto3

from tests.processes import stop

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

ROOT = Path(__file__).parents[2]
UPLOADS = "uploads"
RESULTS = "results"


def environment(endpoint: str) -> dict[str, str]:
    """What the container needs from its surroundings, and nothing of this machine's own AWS."""
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "BUCKET", "RESULTS_", "OBJECT_KEY", "JOB"))
    }
    return plain | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "ap-northeast-1",
        "AWS_DEFAULT_REGION": "ap-northeast-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PYTHONPATH": str(ROOT),
    }


@contextlib.contextmanager
def serve_s3(scratch: Path) -> Generator[str]:
    """Serve S3 on a free loopback port; yields its endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with (scratch / "s3.log").open("wb") as log:
            server = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "hypercorn",
                    "ministack.app:app",
                    "--bind",
                    f"fd://{listening.fileno()}",
                ],
                pass_fds=[listening.fileno()],
                cwd=scratch,
                env=environment(endpoint)
                | {
                    "GATEWAY_PORT": str(listening.getsockname()[1]),
                    "LOG_LEVEL": "ERROR",
                    "COVERAGE_PROCESS_START": "",
                },
                stdout=log,
                stderr=log,
            )
        try:
            _wait(endpoint)
            yield endpoint
        finally:
            stop(server)


def _wait(endpoint: str) -> None:
    deadline = time.monotonic() + 240
    while True:
        try:
            with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=120):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def client(endpoint: str) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="ap-northeast-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@dataclass(frozen=True)
class Finished:
    """A container that ran to its end."""

    code: int
    lines: list[dict[str, object]]
    stderr: str

    @property
    def last(self) -> dict[str, object]:
        return self.lines[-1]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "batch", *arguments]


def run(arguments: list[str], variables: Mapping[str, str]) -> Finished:
    done = subprocess.run(
        command(*arguments), env=dict(variables), capture_output=True, timeout=240, check=False
    )
    return Finished(
        done.returncode,
        [cast("dict[str, object]", json.loads(line)) for line in done.stdout.splitlines()],
        done.stderr.decode(),
    )
