"""Uploads to the real stack while everything fails now and then: what became of each of them."""

import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from local.cloud import Cloud
from local.engine.project import load
from local.engine.resources import create_stack
from local.faults import Faults

ROOT = Path(__file__).parents[1]
UPLOADS = 2000
SEED = 20
# What nothing new was heard of for so long is lost, however slow this machine is.
SECONDS = 120.0
WAIT_SCALE = 0.01
POLL_SECONDS = 0.5
IMAGE = "docker.io/library/soak:1"
MIX = {
    "throttle": 0.1,
    "no-start": 0.05,
    "spot": 0.05,
    "kill": 0.03,
    "drop": 0.1,
    "duplicate": 0.1,
    "delay": 0.05,
    "function": 0.05,
    "refuse": 0.05,
}
CONFIG: Mapping[str, Any] = {
    "image": IMAGE,
    "protect": False,
    "jobs": {"soak": {"spot": True}},
    "uploads": {
        "through": {"job": "soak", "prefix": "through/"},
        "straight": {"job": "soak", "prefix": "straight/", "via": "task"},
    },
}

# A container that reads its object and writes one result for the version it read, as `batch` does,
# but with the standard library alone: 2,000 imports of boto3 would be what is measured.
PROGRAM = """
import datetime, hashlib, hmac, http.client, os, sys, urllib.parse

def request(method, bucket, key, body=b""):
    endpoint = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
    path = "/" + bucket + "/" + urllib.parse.quote(key)
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{os.environ['AWS_REGION']}/s3/aws4_request"
    digest = hashlib.sha256(body).hexdigest()
    signed = {
        "host": endpoint.netloc,
        "x-amz-content-sha256": digest,
        "x-amz-date": stamp,
        "x-amz-security-token": os.environ["AWS_SESSION_TOKEN"],
    }
    names = ";".join(signed)
    lines = "".join(f"{name}:{value}\\n" for name, value in signed.items())
    canonical = f"{method}\\n{path}\\n\\n{lines}\\n{names}\\n{digest}"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    secret = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\\n{stamp}\\n{scope}\\n{hashed}"):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, "
        f"SignedHeaders={names}, Signature={secret.hex()}"
    )
    connection = http.client.HTTPConnection(endpoint.netloc)
    connection.request(method, path, body, {**signed, "authorization": authorization})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()

bucket, key = os.environ["BUCKET"], os.environ["OBJECT_KEY"]
status, headers, body = request("GET", bucket, key)
if status != 200:
    print(status, body)
    sys.exit(75 if status >= 500 else 66 if status == 404 else 78)
version = headers["x-amz-version-id"]
result = os.environ["RESULTS_PREFIX"] + key + "-" + version
results = os.environ["RESULTS_BUCKET"]
status, _, _ = request("HEAD", results, result)
if status == 200:
    print("already done")
    sys.exit(0)
status, _, answer = request("PUT", results, result, body.upper())
if status != 200:
    print(status, answer)
    sys.exit(75 if status >= 500 else 78)
"""


@dataclass(frozen=True)
class Result:
    """A result: the version of the object it is of, and what it says."""

    version: str
    etag: str


@dataclass
class Soak:
    """What became of the uploads."""

    sent: dict[str, str]
    occurred: Counter[str]
    seconds: float = 0.0
    results: dict[str, list[Result]] = field(default_factory=dict[str, list[Result]])
    dead: dict[str, str] = field(default_factory=dict[str, str])
    failed: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def succeeded(self) -> set[str]:
        """The keys that have a result."""
        return self.results.keys() & self.sent.keys()

    @property
    def dead_lettered(self) -> set[str]:
        """The keys without a result whose event is in a dead-letter queue."""
        return self.dead.keys() - self.succeeded

    @property
    def failed_with_reason(self) -> set[str]:
        """The keys of the rest whose execution or task failed and says why."""
        reasons = {key for key, reason in self.failed.items() if reason}
        return reasons - self.succeeded - self.dead_lettered

    @property
    def lost(self) -> set[str]:
        """The keys that nothing is known of."""
        return self.sent.keys() - self.succeeded - self.dead_lettered - self.failed_with_reason

    @property
    def duplicated(self) -> int:
        """How many objects have another result than one of the version that was sent."""
        return sum(
            {result.version for result in written} != {self.sent.get(key)} or len(set(written)) > 1
            for key, written in self.results.items()
        )

    @property
    def written_again(self) -> int:
        """How often a result was replaced by the same one: two runs at once saw none yet."""
        return sum(len(written) - 1 for written in self.results.values())


def run(uploads: int = UPLOADS) -> list[tuple[str, str]]:
    """Measure and return rows of label and value."""
    soak = soaked(uploads)
    accounted = len(soak.sent) - len(soak.lost)
    occurred = ", ".join(f"{count} {fault}" for fault, count in sorted(soak.occurred.items()))
    return [
        ("sent", f"{len(soak.sent)} in {soak.seconds:.0f} s"),
        ("succeeded", str(len(soak.succeeded))),
        ("dead-lettered", str(len(soak.dead_lettered))),
        ("failed, with the reason", str(len(soak.failed_with_reason))),
        ("lost", str(len(soak.lost))),
        ("duplicated effects", str(soak.duplicated)),
        ("the same result written again", str(soak.written_again)),
        ("accounted for", f"{accounted} of {len(soak.sent)}"),
        ("faults", occurred),
    ]


def soaked(uploads: int, mix: Mapping[str, float] = MIX, seed: int = SEED) -> Soak:
    """Upload so many objects, every fourth straight to a task, and follow each to its end."""
    project = load(ROOT, "dev")
    config = {key: value for key, value in project.config.items() if key.startswith("aws:")}
    config |= {f"fargate-batch:{key}": json.dumps(value) for key, value in CONFIG.items()}
    config["fargate-batch:image"] = IMAGE
    faults = Faults(mix, seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        Cloud(0, project.region, wait_scale=WAIT_SCALE, faults=faults) as cloud,
    ):
        cloud.images.add(IMAGE, _program(Path(folder)))
        made = create_stack(replace(project, config=config), cloud, cloud.images.add)
        began = time.monotonic()
        follower = _Follower(cloud, made.outputs)
        with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
            sent = dict(pool.map(follower.upload, range(uploads)))
        soak = Soak(sent, Counter())
        lost, heard = len(sent), time.monotonic()
        while time.monotonic() < heard + SECONDS:
            quiet = follower.is_quiet()
            follower.look(soak)
            if quiet and not soak.lost:
                break
            if len(soak.lost) != lost:
                lost, heard = len(soak.lost), time.monotonic()
            time.sleep(POLL_SECONDS)
        soak.seconds = time.monotonic() - began
        soak.occurred = Counter(one.fault for one in faults.occurred)
        return soak


def _program(folder: Path) -> Path:
    context = folder / "soak"
    context.mkdir()
    (context / "__init__.py").write_text("")
    (context / "__main__.py").write_text(PROGRAM)
    (context / "Dockerfile").write_text(
        "FROM python:3.13-slim\nWORKDIR /app\n"
        'COPY . /app/soak\nENTRYPOINT ["python", "-S", "-m", "soak"]\n'
    )
    return context


class _Follower:
    """Uploads, and asks AWS's APIs what became of it."""

    def __init__(self, cloud: Cloud, outputs: Mapping[str, Any]) -> None:
        self._outputs = outputs
        self._s3, self._sqs, self._states, self._ecs = (
            cloud.client(name) for name in ("s3", "sqs", "stepfunctions", "ecs")
        )
        self._machine = outputs["jobs"]["soak"]["stateMachineArn"]
        self._known: set[str] = set()

    def upload(self, number: int) -> tuple[str, str]:
        """Upload one object; its key and version."""
        key = f"{'through' if number % 4 else 'straight'}/{number:05}"
        answer = self._s3.put_object(
            Bucket=self._outputs["uploadBucket"], Key=key, Body=f"row {number}".encode()
        )
        return key, answer["VersionId"]

    def is_quiet(self) -> bool:
        """Whether nothing runs."""
        running = self._states.list_executions(
            stateMachineArn=self._machine, statusFilter="RUNNING", maxResults=1
        )["executions"]
        tasks = self._ecs.list_tasks(
            cluster=self._outputs["clusterArn"], desiredStatus="RUNNING", maxResults=1
        )["taskArns"]
        return not running and not tasks

    def look(self, soak: Soak) -> None:
        """Bring up to date what is known."""
        soak.results = self._results()
        self._read_queues(soak.dead)
        self._read_executions(soak.failed)
        self._read_tasks(soak.failed)

    def _results(self) -> dict[str, list[Result]]:
        """What was written for each uploaded object, one entry for each writing."""
        found: dict[str, list[Result]] = {}
        pages = self._s3.get_paginator("list_object_versions").paginate(
            Bucket=self._outputs["resultsBucket"]
        )
        for page in pages:
            for written in page.get("Versions", []):
                key, _, version = written["Key"].removeprefix("soak/").partition("-")
                found.setdefault(key, []).append(Result(version, written["ETag"]))
        return found

    def _read_queues(self, dead: dict[str, str]) -> None:
        for upload in self._outputs["uploads"].values():
            url = upload["deadLetterQueueUrl"]
            while messages := self._sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            ).get("Messages"):
                for message in messages:
                    key = json.loads(message["Body"])["detail"]["object"]["key"]
                    dead[key] = message["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]
                    self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def _read_executions(self, failed: dict[str, str]) -> None:
        pages = self._states.get_paginator("list_executions").paginate(
            stateMachineArn=self._machine, statusFilter="FAILED"
        )
        for page in pages:
            for execution in page["executions"]:
                arn = execution["executionArn"]
                if arn not in self._known:
                    self._known.add(arn)
                    found = self._states.describe_execution(executionArn=arn)
                    key = json.loads(found["input"])["detail"]["object"]["key"]
                    failed[key] = f"{found['error']}: {found['cause']}"

    def _read_tasks(self, failed: dict[str, str]) -> None:
        """Read why tasks failed that the rule started: no execution tells of them."""
        cluster = self._outputs["clusterArn"]
        pages = self._ecs.get_paginator("list_tasks").paginate(
            cluster=cluster, desiredStatus="STOPPED"
        )
        new = [arn for page in pages for arn in page["taskArns"] if arn not in self._known]
        for first in range(0, len(new), 100):
            answer = self._ecs.describe_tasks(cluster=cluster, tasks=new[first : first + 100])
            for task in answer["tasks"]:
                if task["lastStatus"] != "STOPPED":
                    continue
                self._known.add(task["taskArn"])
                [container] = task["containers"]
                [override] = task["overrides"]["containerOverrides"]
                [key] = [
                    pair["value"]
                    for pair in override["environment"]
                    if pair["name"] == "OBJECT_KEY"
                ]
                if container.get("exitCode") != 0 and key.startswith("straight/"):
                    failed[key] = task["stoppedReason"]
