"""Arguments → one command → its exit status: 0 done, 1 failed, 2 bad use, 128 + n for a signal."""

import argparse
import contextlib
import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from local.commands.errors import CommandError
from local.commands.hints import DEFAULT_PORT, DEFAULT_STACK
from local.commands.lifetime import Lifetime
from local.gate import is_name
from operate import cli, guarded
from operate.stack import Stack, only_one

ROOT = Path(__file__).resolve().parent.parent.parent
OWN = ("up", "apply", "demo")
"""The commands of this folder; the others are the operator's, against the cloud that runs."""


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name, and return the exit status."""
    guarded.install()
    try:
        options = cli.parse(_parser(), list(arguments))
    except SystemExit as ended:
        return int(ended.code or 0)
    _forget_credentials()
    # Each command imports what it needs: `logs` has no use for Pulumi.
    try:
        if options.command not in OWN:
            return Lifetime().run(lambda _lifetime: cli.run(options, _connect))
        command = importlib.import_module(f"local.commands.{options.command}")
        return Lifetime().run(lambda lifetime: command.run(options, lifetime))
    except CommandError as error:
        _complain(str(error))
        return error.status
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "local":
            raise
        _complain(f"{error.name} is not installed: run `make demo`, which installs what is needed.")
        return 2
    except BrokenPipeError:
        # Nobody reads on: what is still buffered would raise again at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _connect(options: argparse.Namespace) -> Stack:
    """The stack of the cloud that runs on the port of the options."""
    stack = importlib.import_module("local.commands.stack")
    return only_one(stack.find(options.port).aws)


def _complain(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def _forget_credentials() -> None:
    """Keep this machine's AWS settings and credentials out of every client of this process."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError
    return port


_port.__name__ = "port number (0 to 65535)"


def _stack_name(text: str) -> str:
    """A name that Pulumi takes, which is a part of a file's name."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", text):
        raise argparse.ArgumentTypeError("a stack's name is letters, digits, - _ .")
    return text


def _host_name(text: str) -> str:
    name = text.lower()
    if not is_name(name):
        raise argparse.ArgumentTypeError("a host's name has no port, no address and no wildcard")
    return name


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(
        prog="python -m local", description="Run the stack on this machine, without AWS."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="create the stack's resources and serve until Ctrl-C")
    up.add_argument("--port", type=_port, default=DEFAULT_PORT, help="default: %(default)s")
    up.add_argument("--json", action="store_true", help="print one line of JSON once ready")
    up.add_argument(
        "--fault",
        metavar="NAME[:P]",
        default="",
        help="let things fail with the probability P, comma-separated; `help` lists what can",
    )
    up.add_argument("--seed", type=int, default=0, help="another one lets other things fail")

    apply = commands.add_parser("apply", help="make what runs what the edited program declares")
    apply.add_argument(
        "--stack", type=_stack_name, default=DEFAULT_STACK, help="default: %(default)s"
    )
    apply.add_argument("--json", action="store_true", help="print one line of JSON once done")

    demo = commands.add_parser("demo", help="take the tour: every way a batch starts")
    demo.add_argument("file", nargs="?", type=Path, metavar="FILE", help="your own CSV to upload")
    for creating in (up, demo):
        creating.add_argument(
            "--stack", type=_stack_name, default=DEFAULT_STACK, help="default: %(default)s"
        )
        creating.add_argument(
            "--host-name",
            type=_host_name,
            action="append",
            default=[],
            dest="host_names",
            metavar="NAME",
            help="answer to this name and its subdomains too, not only to localhost and 127.0.0.1",
        )
        creating.add_argument(
            "--docker",
            action="store_true",
            help="run what no process can stand for in containers, by docker or podman",
        )
        # A folder other than the project this package is in: for tests of other programs.
        creating.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)

    common = argparse.ArgumentParser(add_help=False)
    for asking in (apply, common):
        asking.add_argument("--port", type=_port, default=DEFAULT_PORT, help="default: %(default)s")
    cli.add_commands(commands, common)
    return parser
