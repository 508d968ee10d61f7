"""A `docker` whose containers are processes of this machine, for machines without an engine.

What it knows is in the folder that `DOCKER_HOST` names, among it every command that it was given.
An image is the CMD of a Dockerfile; no file of an image is there.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOME = Path(os.environ.get("DOCKER_HOST", "").removeprefix("unix://"))
_FLAGS = {"--read-only", "--init"}


def main(words: list[str]) -> int:
    """Do what the command line says; its exit code."""
    with (HOME / "commands.jsonl").open("a") as file:
        file.write(json.dumps(words) + "\n")
    commands: dict[str, Callable[[list[str]], int]] = {
        "version": _version,
        "info": lambda _: _say((HOME / "info").read_text()),
        "build": _build,
        "image": lambda rest: 0 if rest[1] in _images() else _refuse(f"No such image: {rest[1]}"),
        "pull": lambda rest: _refuse(f"pull access denied for {rest[1]}"),
        "create": _create,
        "start": _start,
        "stop": _stop,
        "kill": lambda rest: _signal(rest[0], signal.SIGKILL),
        "exec": lambda rest: subprocess.call(rest[1:], env=_read(rest[0])["environment"]),
        "inspect": lambda rest: _say(json.dumps(_read(rest[2])["State"])),
        "rm": _remove,
    }
    return commands[words[0]](words[1:])


def _say(text: str) -> int:
    sys.stdout.write(f"{text}\n")
    return 0


def _refuse(text: str) -> int:
    sys.stderr.write(f"Error response from daemon: {text}\n")
    return 1


def _version(_rest: list[str]) -> int:
    if not (HOME / "info").exists():
        sys.stderr.write("Cannot connect to the Docker daemon. Is the docker daemon running?\n")
        return 1
    return _say("99.0")


def _images() -> dict[str, list[str]]:
    try:
        return json.loads((HOME / "images.json").read_text())
    except FileNotFoundError:
        return {}


def _build(rest: list[str]) -> int:
    _, tag, _, file, _context = rest
    command = re.findall(r"(?m)^CMD (\[.*\])$", Path(file).read_text())
    if not command:
        return _refuse("nothing to run")
    (HOME / "images.json").write_text(json.dumps({**_images(), tag: json.loads(command[-1])}))
    return 0


def _create(rest: list[str]) -> int:
    options: dict[str, str] = {}
    environment = {"PATH": "/usr/bin:/bin"}
    while rest[0].startswith("--"):
        name, given, value = rest.pop(0).partition("=")
        value = value if given or name in _FLAGS else rest.pop(0)
        if name == "--env":
            variable, said, text = value.partition("=")
            environment[variable] = text if said else os.environ[variable]
        options[name] = value
    image, *words = rest
    command = words or _images()[image]
    if "--entrypoint" in options:
        command = [options["--entrypoint"], *words]
    state = {"Status": "created", "ExitCode": 0, "OOMKilled": False}
    container = {"environment": environment, "command": command, "State": state}
    _write(options["--name"], container)
    return _say(options["--name"])


def _file(name: str) -> Path:
    return HOME / f"container-{name}.json"


def _read(name: str) -> dict[str, Any]:
    return json.loads(_file(name).read_text())


def _write(name: str, container: dict[str, Any]) -> None:
    new = _file(name).with_suffix(".new")
    new.write_text(json.dumps(container))
    new.replace(_file(name))


def _start(rest: list[str]) -> int:
    name = rest[-1]
    container = _read(name)
    try:
        process = subprocess.Popen(
            container["command"], env=container["environment"], start_new_session=True
        )
    except FileNotFoundError:
        program = container["command"][0]
        return _refuse(f'runc create failed: exec: "{program}": executable file not found in $PATH')
    container["State"]["Status"], container["pid"] = "running", process.pid
    _write(name, container)
    status = process.wait()
    container["State"] = {
        "Status": "exited",
        "ExitCode": 128 - status if status < 0 else status,
        "OOMKilled": status == 99,
    }
    with contextlib.suppress(FileNotFoundError):
        _read(name)
        _write(name, container)
    return status


def _signal(name: str, number: int) -> int:
    try:
        os.killpg(_read(name)["pid"], number)
    except (KeyError, FileNotFoundError, ProcessLookupError):
        return _refuse(f"{name} is not running")
    return 0


def _stop(rest: list[str]) -> int:
    _, seconds, name = rest
    deadline = time.monotonic() + float(seconds)
    _signal(name, signal.SIGTERM)
    while time.monotonic() < deadline:
        if _read(name)["State"]["Status"] == "exited":
            return 0
        time.sleep(0.02)
    return _signal(name, signal.SIGKILL)


def _remove(rest: list[str]) -> int:
    _signal(rest[-1], signal.SIGKILL)
    _file(rest[-1]).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
