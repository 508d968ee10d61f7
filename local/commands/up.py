"""`up`: the program's resources in a new cloud, served until a signal."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import control
from local.cloud import ACCOUNT, Cloud, CloudError
from local.commands.errors import CommandError
from local.commands.happenings import Happenings
from local.commands.hints import SAMPLE, command_line, upload
from local.commands.lifetime import Lifetime
from local.commands.screen import Screen, screen
from local.commands.stack import Stack
from local.engine import developer, stand_ins
from local.engine.deployment import Evaluation
from local.engine.project import Project, ProjectError, load
from local.engine.served import ServedDeployment
from local.engine.stand_ins import StandIns
from local.engine.state import EvaluationError
from local.faults import FAULTS, FaultError, Faults, parse
from local.services.ecs import docker as engine
from local.services.ecs.docker import EngineError
from local.services.ecs.images import Images
from operate import stack as stack_of
from operate.errors import OperateError


@dataclass(frozen=True)
class Running:
    """A stack that was created, and the cloud that serves it."""

    cloud: Cloud
    evaluation: Evaluation
    seconds: float
    project: Project
    stand_ins: tuple[str, ...] = ()

    @property
    def contract(self) -> dict[str, Any]:
        """What `up --json` prints and the other commands ask for."""
        return {
            "endpoint": self.cloud.endpoint,
            "region": self.cloud.region,
            "outputs": self.evaluation.outputs,
        }


def run(options: argparse.Namespace, lifetime: Lifetime) -> int:
    """Create, tell, and wait for the signal."""
    if options.fault == "help":
        screen().table(("fault", "what goes wrong"), list(FAULTS.items()))
        return 0
    try:
        faults = Faults(parse(options.fault), options.seed) if options.fault else None
    except FaultError as error:
        raise CommandError(f"--fault: {error}") from None
    running = create(
        options.root,
        options.stack,
        options.port,
        lifetime,
        faults,
        options.host_names,
        docker=options.docker,
    )
    if options.json:
        sys.stdout.write(f"{json.dumps(running.contract, ensure_ascii=False)}\n")
        sys.stdout.flush()
    else:
        # What is told to be ready is watched already.
        with _told(running, options.stack):
            show(screen(), running, options.stack)
            how_to_use(screen(), running)
            return lifetime.forever()
    return lifetime.forever()


def _told(running: Running, name: str) -> AbstractContextManager[None]:
    """Has what happens told, if the program left an index of its stack."""
    cloud, outputs = running.cloud, running.evaluation.outputs
    aws = Stack(cloud.endpoint, cloud.region, outputs).aws
    try:
        found = stack_of.find(aws, running.project.name, name)
    except OperateError:
        return contextlib.nullcontext()
    return Happenings(found, screen()).told()


def create(
    root: Path,
    stack: str,
    port: int,
    lifetime: Lifetime,
    faults: Faults | None = None,
    host_names: Sequence[str] = (),
    *,
    docker: bool = False,
) -> Running:
    """Open a cloud on `port` and make the stack's resources in it.

    `docker` has what no process can stand for run by this machine's container engine.

    Raises:
        CommandError: a file, the port or the program is at fault; says what to do.
    """
    began = time.monotonic()
    try:
        project = load(root.resolve(), stack)
        own = developer.load(project.root)
        images = Images(own.commands, project.root, engine.find() if docker else None)
        account = stand_ins.account(project) or ACCOUNT
        cloud = Cloud(
            port,
            project.region,
            images=images,
            faults=faults,
            account=account,
            host_names=host_names,
        )
        lifetime.opened(cloud)
        others = StandIns(cloud)
        made_up = others.make(project, own.secrets)

        def prepare(edited: Project) -> Sequence[str]:
            now = developer.load(edited.root)
            images.stand_for(now.commands, edited.root)
            return others.make(edited, now.secrets)

        # What the program prints is not this command's answer.
        with contextlib.redirect_stdout(sys.stderr):
            served = ServedDeployment(project, cloud, cloud.images.add, prepare)
            evaluation = served.create()
    except (ProjectError, CloudError, EngineError) as error:
        raise CommandError(str(error)) from error
    except EvaluationError as error:
        raise CommandError(str(error), status=1) from error
    running = Running(cloud, evaluation, time.monotonic() - began, project, made_up)
    # Its outputs are those of the last update, of which there may be more.
    control.serve(running.contract | {"outputs": served.outputs}, served)
    return running


def show(on: Screen, running: Running, stack: str) -> None:
    """Say what was created, and what of it is only recorded."""
    count = len(running.evaluation.resources)
    on.heading(f"The {stack} stack: {count} resources in {running.seconds:.1f} s")
    if running.stand_ins:
        on.line("Stand-ins for what the stack expects to exist:")
        for line in running.stand_ins:
            on.line(f"  - {line}")
    if running.evaluation.not_honoured:
        on.line("Declared, but not honoured on this machine:")
        for line in running.evaluation.not_honoured:
            on.line(f"  - {line}")
    for line in _containers(running):
        on.line(line)


def _containers(running: Running) -> list[str]:
    """Which images run in containers, or that some could."""
    images = running.cloud.images
    if images.docker is None:
        hint = "With --docker, images that no process can stand for run in containers."
        return [hint] if images.lacking and engine.is_here() else []
    if not images.lacking:
        return []
    names = (f"  - {name}" for name in sorted(images.lacking))
    limit = images.docker.limit
    return [f"Run in containers, by {images.docker}:", *names, *([limit] if limit else [])]


def how_to_use(on: Screen, running: Running) -> None:
    """Say where everything is, how to upload, how to stop."""
    on.heading("Outputs")
    on.table(("output", "value"), rows(running.evaluation.outputs))
    on.line(f"Listening on {running.cloud.endpoint} ({running.cloud.region}).")
    for line in upload_lines(running):
        on.line(line)
    on.line("See what runs, in a browser:")
    on.line(f"  {command_line('web', port=running.cloud.port)}")
    on.line("Stop with Ctrl-C.")


def upload_lines(running: Running) -> list[str]:
    """How to upload with the AWS command line."""
    bucket = running.evaluation.outputs.get("uploadBucket")
    if not isinstance(bucket, str):
        return []
    command = upload(running.cloud.endpoint, running.cloud.region, SAMPLE, bucket, running.project)
    return ["Upload with the AWS command line:", f"  {command}"]


def rows(outputs: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Each value of the outputs, by its path: `jobs.ingest.logGroup`."""
    found: list[tuple[str, str]] = []
    for key in sorted(outputs):
        value = outputs[key]
        if isinstance(value, dict):
            found += rows(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            found.append((f"{prefix}{key}", ", ".join(str(item) for item in value)))
        else:
            found.append((f"{prefix}{key}", str(value)))
    return found
