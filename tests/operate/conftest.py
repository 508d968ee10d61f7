"""A deployed stack in a cloud of the module's own, and the command line against it."""

import dataclasses
import functools
import json
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Cloud
from local.engine.project import load
from local.engine.resources import create_stack
from operate import cli, stack
from operate.aws import Aws
from tests.local.probe import REGION, ended, eventually
from tests.recorder import ROOT

IMAGE = "registry.example.com/tell:1"
# Without imports that take long: what it does is told by its environment.
PROGRAM = """
import os, sys, time
print('{"event": "began", "arguments": ' + str(len(sys.argv) - 1) + '}', flush=True)
time.sleep(float(os.environ.get("SLEEP", "0")))
while os.path.exists(%r):
    time.sleep(0.02)
print(*sys.argv[1:], os.environ.get("OBJECT_KEY", ""), flush=True)
sys.exit(4 if os.path.exists(%r) else int(os.environ.get("CODE", "0")))
"""


@dataclasses.dataclass
class Answer:
    """What a command wrote, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 -- JSON
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows of a table that was not written to a terminal."""
        titles, *rows = [line.split("\t") for line in self.out.splitlines()]
        return [dict(zip(titles, row, strict=True)) for row in rows]


@dataclasses.dataclass
class Deployed:
    """The dev stack with an image that ends at once."""

    cloud: Cloud
    outputs: dict[str, Any]
    broken: Path
    """While this file is there, every task fails with exit code 4."""
    held: Path
    """While this file is there, no task ends by itself."""

    @functools.cached_property
    def own(self) -> Aws:
        """AWS as the account's owner has it."""
        return self.aws()

    def client(self, service: str) -> Any:  # noqa: ANN401 -- boto3
        return self.cloud.client(service)

    @property
    def machine(self) -> str:
        return self.outputs["jobs"]["ingest"]["stateMachineArn"]

    def aws(self, key: str = ACCESS_KEY_ID, secret: str = SECRET_ACCESS_KEY) -> Aws:
        return Aws(boto3.Session(key, secret, region_name=REGION), self.cloud.endpoint)

    def stack(self) -> stack.Stack:
        return stack.find(self.aws(), "fargate-batch", "dev")

    def put(self, key: str) -> None:
        self.client("s3").put_object(Bucket=self.outputs["uploadBucket"], Key=key, Body=b"x")

    def start(self, **given: Any) -> str:  # noqa: ANN401 -- JSON
        """Start the job by hand; the execution's ARN."""
        return self.client("stepfunctions").start_execution(
            stateMachineArn=self.machine, input=json.dumps(given)
        )["executionArn"]

    def ended(self, execution: str) -> dict[str, Any]:
        return ended(self.cloud, execution)


def changed(deployed: Deployed, aws: Aws | None = None, **index: Any) -> stack.Stack:  # noqa: ANN401 -- JSON
    """The stack, as if its index said something else."""
    known = deployed.stack()
    return stack.Stack(aws or known.aws, known.project, known.name, {**known.index, **index})


def with_tasks(
    deployed: Deployed, role: str, image: str, secrets: Mapping[str, str]
) -> dict[str, Any]:
    """The jobs of an index: one whose tasks a role starts, with this image and these secrets."""
    definition = deployed.client("ecs").register_task_definition(
        family="told",
        executionRoleArn=role,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[
            {
                "name": "told",
                "image": image,
                "secrets": [{"name": name, "valueFrom": arn} for name, arn in secrets.items()],
            }
        ],
    )["taskDefinition"]["taskDefinitionArn"]
    return {
        "told": {
            "stateMachineArn": deployed.machine,
            "taskDefinitionArn": definition,
            "logGroup": "told",
        }
    }


class CommandLine:
    """`fargate-batch` in this process, with clients that are made once: that takes long."""

    def __init__(self, deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
        self.deployed = deployed
        self._capsys = capsys

    def __call__(self, *arguments: str, aws: Aws | None = None) -> Answer:
        self._capsys.readouterr()
        status = cli.main(
            [*arguments],
            lambda options: stack.find(aws or self.deployed.own, options.project, options.stack),
        )
        written = self._capsys.readouterr()
        return Answer(status, written.out, written.err)

    def runs(self, *arguments: str) -> list[dict[str, Any]]:
        """What `runs --json` answers."""
        return self("runs", "--json", *arguments).json

    def run(self, identity: str, status: str | None = None) -> dict[str, Any]:
        """The run of this id, once the log has it, with this status if one is given."""

        def look() -> dict[str, Any] | None:
            return next(
                (
                    one
                    for one in self.runs()
                    if one["id"] == identity and status in {None, one["status"]}
                ),
                None,
            )

        return eventually(look)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Deployed]:
    yield from deployments(tmp_path_factory)


def deployments(tmp_path_factory: pytest.TempPathFactory, **config: object) -> Generator[Deployed]:
    """The dev stack, `config` in place of its keys."""
    context = tmp_path_factory.mktemp("tell")
    broken, held = context.parent / "broken", context.parent / "held"
    program = PROGRAM % (str(held), str(broken))
    entry_point = json.dumps(["python", "-S", "-E", "-c", program])
    (context / "Dockerfile").write_text(f"ENTRYPOINT {entry_point}\n")
    yield from _deployed(context, broken, held, config)


def _deployed(
    context: Path, broken: Path, held: Path, config: Mapping[str, object]
) -> Generator[Deployed]:
    project = load(ROOT, "dev")
    changed = {f"{project.name}:{key}": json.dumps(it) for key, it in config.items()}
    changed = project.config | changed | {f"{project.name}:image": IMAGE}
    # An hour would be 36 seconds, in which a slow machine has not looked at what runs.
    jobs = json.loads(changed[f"{project.name}:jobs"])
    limited = {name: {**job, "timeout": "14d"} for name, job in jobs.items()}
    changed[f"{project.name}:jobs"] = json.dumps(limited)
    with Cloud(0, REGION, wait_scale=0.01) as cloud:
        cloud.images.add(IMAGE, context)
        project = dataclasses.replace(project, config=changed)
        outputs = create_stack(project, cloud, cloud.images.add).outputs
        deployed = Deployed(cloud, outputs, broken, held)
        yield deployed
        eventually(lambda: _logged(deployed))


def _logged(deployed: Deployed) -> bool | None:
    """Whether the log has the end of every task: a function at work as its cloud closes leaks."""
    ecs = deployed.client("ecs")
    cluster = deployed.outputs["clusterArn"]
    if ecs.list_tasks(cluster=cluster)["taskArns"]:
        return None
    stopped = ecs.list_tasks(cluster=cluster, desiredStatus="STOPPED")["taskArns"]
    pages = deployed.client("logs").get_paginator("filter_log_events")
    text = "".join(
        event["message"]
        for page in pages.paginate(logGroupName=deployed.outputs["taskEventLogGroup"])
        for event in page["events"]
        if '"lastStatus":"STOPPED"' in event["message"]
    )
    return all(task in text for task in stopped) or None


@pytest.fixture
def fargate_batch(
    deployed: Deployed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """The command line, as a shell with these variables has it."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_ENDPOINT_URL": deployed.cloud.endpoint,
        "AWS_REGION": REGION,
        "FARGATE_BATCH_STACK": "dev",
    }.items():
        monkeypatch.setenv(name, value)
    return CommandLine(deployed, capsys)
