"""Commands for people to copy: they work in the current folder as they are printed."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.engine.project import Project

DEFAULT_PORT = 4566
DEFAULT_STACK = "dev"
SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "orders.csv"


def command_line(*arguments: str, port: int = DEFAULT_PORT) -> str:
    """This command line with other arguments, by the interpreter that runs it."""
    ports = [] if port == DEFAULT_PORT else ["--port", str(port)]
    return shlex.join([nearby(Path(sys.executable)), "-m", "local", *arguments, *ports])


def upload(endpoint: str, region: str, file: Path, bucket: str, project: Project) -> str:
    """An upload with the AWS command line that starts something, if any does."""
    uploads: Mapping[str, Any] = json.loads(project.config.get(f"{project.name}:uploads") or "{}")
    of_bucket = (one for one in uploads.values() if "bucket" not in one)
    key = next((key_for(one, file) for one in of_bucket), file.name)
    copy = ["s3", "cp", nearby(file), f"s3://{bucket}/{key}"]
    aws = ["aws", "--endpoint-url", endpoint, "--region", region, *copy]
    return f"AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test {shlex.join(aws)}"


def key_for(upload: Mapping[str, Any], file: Path) -> str:
    """A key that the filter of an upload takes."""
    said = {name: _first(upload.get(name)) for name in ("key", "wildcard", "prefix", "suffix")}
    if said["key"]:
        return said["key"]
    if said["wildcard"]:
        return said["wildcard"].replace("*", "demo")
    key = said["prefix"] + file.name
    return key if key.endswith(said["suffix"]) else key + said["suffix"]


def _first(words: str | Sequence[str] | None) -> str:
    """A text, or the first of several."""
    return words if isinstance(words, str) else next(iter(words or []), "")


def nearby(path: Path) -> str:
    """The path from the current folder if it is below that, else the whole path."""
    whole, here = path.absolute(), Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)
