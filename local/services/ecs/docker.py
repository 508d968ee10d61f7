"""Images and containers of a container engine, by its command line: `docker`, or `podman`.

What no process of this machine can stand for runs there. A container shares this machine's network,
by which it reaches the cloud on loopback: https://docs.docker.com/engine/network/drivers/host/
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from local.services.ecs.build import ImageError
from local.services.ecs.processes import CannotStart, Endings

_ANSWER_SECONDS = 60
_ASK_SECONDS = 0.05
_KILLED = 128 + signal.SIGKILL
# Whatever of the environment this command line may read is not for a container's values.
# https://docs.docker.com/reference/cli/docker/#environment-variables
_READ = re.compile(
    r"(DOCKER_(API_VERSION|CERT_PATH|CONFIG|CONTENT_TRUST.*|CONTEXT|DEFAULT_PLATFORM|HOST|TLS.*"
    r"|CUSTOM_HEADERS)|CONTAINERS?_.*|BUILDAH_.*|BUILDX_.*|XDG_.*|LD_.*|HTTPS?_PROXY|NO_PROXY"
    r"|REGISTRY_AUTH_FILE|TMPDIR|HOME|PATH)",
    re.IGNORECASE,
)


class EngineError(Exception):
    """There is no container engine to use; the message is one line that says what to do."""


@dataclass(frozen=True)
class Docker:
    """A container engine that answers: its command line, its version, and where it was found.

    `environment` is that of the user, in which it answered; `limit` is what does not hold by
    itself, a line.
    """

    program: str
    environment: Mapping[str, str] = field(repr=False)
    version: str = ""
    limit: str | None = None

    def __str__(self) -> str:
        return f"{Path(self.program).name} {self.version}"

    def build(self, context: Path, dockerfile: str) -> str:
        """Build an image of a folder; its name. What is built is shown to who started this.

        Raises `ImageError`.
        """
        file = context / dockerfile
        name = re.sub(r"[^a-z0-9]+", "-", context.name.lower()).strip("-")
        tag = f"fargate-batch/{name}-{hashlib.sha256(bytes(file)).hexdigest()[:8]}"
        command = [self.program, "build", "--tag", tag, "--file", str(file), str(context)]
        ran = subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=2, check=False
        )
        if ran.returncode:
            raise ImageError(f"{file}: {self} could not build it, for the reason that it has shown")
        return tag

    def fetch(self, image: str) -> None:
        """Have the image of a name, from its registry if need be; raises `ImageError`."""
        with contextlib.suppress(CannotStart):
            self.ask("image", "inspect", image)
            return
        pulled = self._run("pull", "--quiet", image, seconds=None)
        if pulled.returncode:
            raise ImageError(_reason(pulled.stderr))

    def _run(
        self,
        *words: str,
        environment: Mapping[str, str] | None = None,
        seconds: float | None = _ANSWER_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *words],
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )

    def start(self, *words: str, output: int) -> "subprocess.Popen[bytes]":
        """Its command line, in a session of its own, with both streams going to `output`."""
        return subprocess.Popen(
            [self.program, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )

    def ask(self, *words: str, environment: Mapping[str, str] | None = None) -> str:
        """What it answers; raises `CannotStart` where it refuses, or takes too long."""
        try:
            ran = self._run(*words, environment=environment)
        except subprocess.TimeoutExpired:
            raise CannotStart(f"it did not answer within {_ANSWER_SECONDS} seconds") from None
        if ran.returncode:
            raise CannotStart(_reason(ran.stderr))
        return ran.stdout.strip()

    def removal(self, container: str) -> list[str]:
        """The whole command, with what it needs of the environment, that removes a container."""
        kept = [f"{name}={value}" for name, value in self.environment.items() if _READ.match(name)]
        # Docker kills at once; Podman asks first, and waits:
        # https://docs.podman.io/en/latest/markdown/podman-rm.1.html
        at_once = ["--time", "0"] if Path(self.program).name == "podman" else []
        remove = ["rm", "--force", *at_once, "--volumes", container]
        return ["/usr/bin/env", "-i", *kept, self.program, *remove]


def find() -> Docker:
    """The container engine of this machine: Docker, else Podman; raises `EngineError`."""
    problems: list[str] = []
    for name in ("docker", "podman"):
        if (program := shutil.which(name)) is None:
            continue
        docker = Docker(program, _environment())
        try:
            version = docker.ask("version", "--format", "{{.Server.Version}}")
            desktop = docker.ask("info") if name == "docker" else ""
        except CannotStart as error:
            problems.append(f"{name}: {error}")
            continue
        limit = "Containers reach this cloud only with host networking enabled in Docker Desktop"
        return replace(
            docker, version=version, limit=limit if "Docker Desktop" in desktop else None
        )
    if problems:
        raise EngineError(
            f"No container engine answers ({'; '.join(problems)}): start it, or leave --docker out."
        )
    raise EngineError(
        "There is neither docker nor podman in the PATH: install one, or leave --docker out."
    )


def is_here() -> bool:
    """Whether there is a command line of an engine; the engine itself may be stopped."""
    return any(map(shutil.which, ("docker", "podman")))


def _environment() -> dict[str, str]:
    """The user's, before a cloud changes this process's; what is of AWS is for no container."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _reason(complaint: str) -> str:
    """The last line of what the engine said, without who said it."""
    last = (complaint.strip().splitlines() or ["no reason given"])[-1]
    last = re.sub(r"^(Error response from daemon|Error): ", "", last)
    return last[at:] if (at := last.find('exec: "')) > 0 else last


@dataclass(frozen=True)
class EngineImage:
    """An image that the engine has, or pulls."""

    docker: Docker
    reference: str


class InEngine:
    """A container of the engine, as its container definition says it."""

    def __init__(
        self,
        image: EngineImage,
        name: str,
        definition: Mapping[str, Any],
        command: Sequence[str],
        environment: Mapping[str, str],
        mounts: Mapping[str, Path],
        memory: str | None,
        endings: Endings,
    ) -> None:
        self.reason: str | None = None
        self._docker = image.docker
        self._environment = environment
        self._endings = endings
        stop = definition.get("stopTimeout") or 30
        entry_point: list[str] = definition.get("entryPoint") or []
        parameters = cast("Mapping[str, Any]", definition.get("linuxParameters") or {})
        limit = definition.get("memory") or memory
        points = cast("Sequence[Mapping[str, Any]]", definition.get("mountPoints") or [])
        read_only = {it["containerPath"]: ",readonly" for it in points if it.get("readOnly")}
        self._stop = str(stop)
        self._options = [
            *("--name", name, "--label", "fargate-batch", "--network", "host"),
            *("--stop-timeout", self._stop),
            *(("--memory", f"{limit}m", "--memory-swap", f"{limit}m") if limit else ()),
            *(("--user", definition["user"]) if definition.get("user") else ()),
            *(("--read-only",) if definition.get("readonlyRootFilesystem") else ()),
            *(("--init",) if parameters.get("initProcessEnabled") else ()),
            *(
                f"--ulimit={one['name']}={one['softLimit']}:{one['hardLimit']}"
                for one in cast("Sequence[Mapping[str, Any]]", definition.get("ulimits") or [])
            ),
            *(
                f"--mount=type=bind,source={folder},target={path}{read_only.get(path, '')}"
                for path, folder in mounts.items()
            ),
            *(("--entrypoint", entry_point[0]) if entry_point else ()),
        ]
        self._words = [image.reference, *entry_point[1:], *command]

    def start(self) -> "subprocess.Popen[bytes]":
        """Its program; it has started, or `CannotStart` says why not."""
        # A value on a command line is anybody's to read.
        plain = {n: v for n, v in self._environment.items() if _READ.fullmatch(n)}
        hidden = {n: v for n, v in self._environment.items() if n not in plain}
        variables = [*hidden, *(f"{name}={value}" for name, value in plain.items())]
        options = [*self._options, *(f"--env={variable}" for variable in variables)]
        self._id = self._docker.ask("create", *options, *self._words, environment=hidden)
        self._id = self._id.splitlines()[-1]
        self._removal = self._docker.removal(self._id)
        self._endings.leave(self._removal)
        client = self._docker.start("start", "--attach", self._id, output=subprocess.PIPE)
        while True:
            # First: a container may start and end between the two.
            gone = client.poll() is not None
            if self._state()["Status"] not in {"created", "initialized", "configured"}:
                return client
            if gone:
                said, _ = client.communicate()
                self._remove()
                raise CannotStart(_reason(said.decode("utf-8", "replace")))
            time.sleep(_ASK_SECONDS)

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(
            self._docker.ask("inspect", "--format", "{{json .State}}", self._id)
        )
        return state

    def _remove(self) -> None:
        subprocess.run(self._removal, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        self._endings.done(self._removal)

    def check(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Another program in the container."""
        return self._docker.start("exec", self._id, *command, output=subprocess.DEVNULL)

    def terminate(self) -> None:
        """Send the signal its image asks for, SIGTERM by default; SIGKILL after `stopTimeout`."""
        words = ("stop", "-t", self._stop, self._id)
        threading.Thread(target=self._try, args=words, name="container-stop", daemon=True).start()

    def kill(self) -> None:
        """Send SIGKILL to all of the container."""
        self._try("kill", self._id)

    def _try(self, *words: str) -> None:
        """Ask for what may be done already."""
        with contextlib.suppress(CannotStart):
            self._docker.ask(*words)

    def close(self, status: int) -> int:
        """Remove the container."""
        try:
            state = self._state()
        except (CannotStart, ValueError):
            return 128 - status if status < 0 else status
        if state.get("OOMKilled"):
            self.reason = "OutOfMemoryError: Container killed due to memory usage"
        self._remove()
        # Its command line may end before it does: somebody killed it, or the engine was restarted.
        return _KILLED if state["Status"] in {"running", "paused"} else int(state["ExitCode"])
