"""The real Pulumi command line, our plugins on its PATH, and the laptop's cloud behind them."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.cloud import Cloud
from local.engine.provider import ENDPOINT, IMAGES, PACKAGES
from local.services.ecs.docker import EngineImage
from local.services.ecs.images import Image, Images, UnknownImage
from tests.local.inventory import inventory
from tests.local.programs import copy_program

ROOT = Path(__file__).parents[2]
REGION = "ap-northeast-1"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SECONDS = 900
PULUMI = shutil.which("pulumi") or "pulumi"
Step = tuple[str, str, str]
"""What is done, the type without its package's module, the name."""


class Pushed(Images):
    """The images that a plugin, a process of its own, tells of in a file."""

    def __init__(self, told: Path) -> None:
        super().__init__()
        self._told = told

    def find(self, uri: str) -> Image | EngineImage:
        try:
            return super().find(uri)
        except UnknownImage:
            for line in self._told.read_text(encoding="utf-8").splitlines():
                known, folder = json.loads(line)
                self.add(known, Path(folder))
            return super().find(uri)


@dataclass
class Outcome:
    """What the engine says of one run."""

    status: int
    text: str
    steps: list[Step] = field(default_factory=list[Step])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    errors: list[str] = field(default_factory=list[str])
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    """The inputs of each resource, by its URN."""
    violations: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Each rule of a policy pack that was broken, and the name of what broke it."""
    seconds: float = 0

    def must(self) -> "Outcome":
        """Itself, if nothing went wrong."""
        assert (self.errors, self.status) == ([], 0), "\n".join(self.errors) or self.text[-3000:]
        return self

    def of(self, operation: str) -> set[tuple[str, str]]:
        """The type and the name of all that this was done with."""
        return {(kind, name) for done, kind, name in self.steps if done == operation}


@dataclass
class Engine:
    """A project folder, the stacks in it, and a cloud."""

    cloud: Cloud
    root: Path
    env: dict[str, str]
    _empty: dict[str, int]

    def run(self, *arguments: str, root: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PULUMI, "--non-interactive", *arguments],
            cwd=root or self.root,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def must(self, *arguments: str, root: Path | None = None) -> str:
        done = self.run(*arguments, root=root)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def preview(self, stack: str = "dev", *arguments: str, root: Path | None = None) -> Outcome:
        return self._outcome("preview", stack, arguments, root)

    def up(self, stack: str = "dev", *arguments: str, root: Path | None = None) -> Outcome:
        return self._outcome("up", stack, ("--yes", "--skip-preview", *arguments), root)

    def refresh(self, stack: str = "dev", *arguments: str) -> Outcome:
        return self._outcome("refresh", stack, ("--yes", "--skip-preview", *arguments), None)

    def destroy(self, stack: str = "dev", *arguments: str, root: Path | None = None) -> Outcome:
        return self._outcome("destroy", stack, ("--yes", *arguments), root)

    def _outcome(
        self, command: str, stack: str, arguments: Sequence[str], root: Path | None
    ) -> Outcome:
        streamed = {**self.env, "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"}
        done = subprocess.run(
            [PULUMI, "--non-interactive", command, "--json", "--stack", stack, *arguments],
            cwd=root or self.root,
            env=streamed,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        outcome = Outcome(done.returncode, done.stdout + done.stderr)
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                _read(outcome, json.loads(line))
        return outcome

    def create(self, stack: str, *arguments: str) -> Outcome:
        """Deploy a stack for the first time."""
        self.must("stack", "init", stack)
        return self.up(stack, *arguments).must()

    def api(self, service: str) -> Any:  # noqa: ANN401 -- each service has a type of its own
        """A boto3 client for the cloud."""
        return self.cloud.client(service)

    def outputs(self, stack: str = "dev", root: Path | None = None) -> dict[str, Any]:
        return json.loads(self.must("stack", "output", "--json", "--stack", stack, root=root))

    def edit(self, old: str, new: str, file: str = "Pulumi.dev.yaml") -> None:
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def result(self, key: str, stack: str = "dev") -> str:
        """Upload a small table, and wait for the key of what its batch made of it."""
        outputs, s3 = self.outputs(stack), self.api("s3")
        s3.put_object(Bucket=outputs["uploadBucket"], Key=key, Body=b"a,b\n1,2\n")
        deadline = time.monotonic() + 300
        while True:
            found = s3.list_objects_v2(Bucket=outputs["resultsBucket"]).get("Contents", [])
            if made := [one["Key"] for one in found if f"/{key}-" in one["Key"]]:
                return made[0]
            assert time.monotonic() < deadline, f"nothing came of {key}"
            time.sleep(0.2)

    def left(self) -> dict[str, int]:
        """How much more of everything there is than in an empty cloud."""
        there = {name: len(found) for name, found in inventory(self.cloud).items()}
        return {
            name: number - self._empty[name]
            for name, number in there.items()
            if number != self._empty[name]
        }

    def interrupt(self, when: Callable[[], bool], *arguments: str) -> None:
        """Kill the command line as soon as something is true of the cloud."""
        process = subprocess.Popen(
            [PULUMI, "--non-interactive", *arguments],
            cwd=self.root,
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with process:
            while process.poll() is None and not when():
                pass
            assert process.poll() is None, "it ended before it was killed"
            # Unlike its others, Pulumi's state in files is cut short by a kill while it is written.
            process.send_signal(signal.SIGSTOP)
            while not self._is_state_whole():
                process.send_signal(signal.SIGCONT)
                time.sleep(0.01)
                process.send_signal(signal.SIGSTOP)
            # Its plugins have process groups of their own, and would stay.
            plugins = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for plugin in plugins:
                with contextlib.suppress(psutil.NoSuchProcess):
                    plugin.kill()

    def _is_state_whole(self) -> bool:
        state = Path(self.env["PULUMI_BACKEND_URL"].removeprefix("file://"))
        try:
            for stack in state.glob(".pulumi/stacks/**/*.json"):
                json.loads(stack.read_bytes())
        except ValueError:
            return False
        return True


def _read(outcome: Outcome, event: dict[str, Any]) -> None:
    match event:
        case {"resourcePreEvent": {"metadata": metadata}}:
            kind = re.sub(r"/[^:]*", "", metadata["type"])
            name = metadata["urn"].rpartition("::")[2]
            outcome.steps.append((metadata["op"], kind, name))
            if metadata.get("new"):
                outcome.inputs[metadata["urn"]] = metadata["new"]["inputs"]
        case {"diagnosticEvent": {"severity": "error", "message": message}}:
            outcome.errors.append(message.strip())
        case {"policyEvent": {"policyName": name, "message": message, **rest}}:
            outcome.errors.append(f"{name}: {message}")
            outcome.violations.append((name, str(rest.get("resourceUrn")).rpartition("::")[2]))
        case {"summaryEvent": {"resourceChanges": counts, "durationSeconds": seconds}}:
            outcome.counts = counts
            outcome.seconds = seconds
        case _:
            pass


def write_plugins(folder: Path) -> None:
    """The plugins' programs, as the engine looks for them on PATH."""
    folder.mkdir()
    commands = {
        f"pulumi-resource-{package}": f"-m local.engine.provider {package}" for package in PACKAGES
    }
    commands["pulumi-language-python"] = str(Path(__file__).with_name("language.py"))
    for name, command in commands.items():
        path = f"{ROOT}:{ROOT / 'package'}"
        script = f'#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} {command} "$@"\n'
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Generator[Engine]:
    """An empty cloud, and a copy of the project with no stack yet."""
    with running(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@contextlib.contextmanager
def running(folder: Path) -> Generator[Engine]:
    """An empty cloud, and in `folder` a copy of the project with no stack yet."""
    copy_program(folder / "project")
    write_plugins(folder / "bin")
    (folder / "state").mkdir()
    images = folder / "images"
    images.touch()
    with Cloud(0, REGION, images=Pushed(images), wait_scale=0.05, max_tasks=16) as cloud:
        env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "not a secret",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # Docker's provider is configured with no Region.
            "AWS_REGION": REGION,
            ENDPOINT: cloud.endpoint,
            IMAGES: str(images),
        }
        empty = {name: len(found) for name, found in inventory(cloud).items()}
        yield Engine(cloud, folder / "project", env, empty)
