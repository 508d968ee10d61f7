"""Commands for people to copy: they work in the current folder as they are printed."""

import shlex
import sys
from pathlib import Path

DEFAULT_PORT = 4566
DEFAULT_STACK = "dev"
SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "orders.csv"


def command_line(*arguments: str, port: int = DEFAULT_PORT) -> str:
    """This command line with other arguments, by the interpreter that runs it."""
    ports = [] if port == DEFAULT_PORT else ["--port", str(port)]
    return shlex.join([nearby(Path(sys.executable)), "-m", "local", *arguments, *ports])


def upload(endpoint: str, region: str, file: Path, bucket: str) -> str:
    """An upload with the AWS command line, with the credentials that everything works with."""
    copy = ["s3", "cp", nearby(file), f"s3://{bucket}/target/"]
    aws = ["aws", "--endpoint-url", endpoint, "--region", region, *copy]
    return f"AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test {shlex.join(aws)}"


def nearby(path: Path) -> str:
    """The path from the current folder if it is below that, else the whole path."""
    whole, here = path.absolute(), Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)
