"""`fargate-batch`: arguments → one command → its exit status.

0 done, 1 the run failed, 2 wrong use, 3 still running at --timeout, 4 AWS does not let this caller.
"""

import argparse
import contextlib
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import shtab
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from . import aws, backfill_commands, backfills, commands, guarded, objects, stack
from .errors import FAILED, WRONG_USE, OperateError
from .failures import explained
from .options import (
    count_of,
    duration_of,
    later_of,
    month_of,
    number_of,
    port_of,
    text_of,
    time_of,
    variable_of,
)
from .output import Output
from .runs import STATUSES
from .stack import Stack
from .text import printable

PROJECT = "fargate-batch"
Connect = Callable[[argparse.Namespace], Stack]


def main(arguments: Sequence[str] | None = None, connect: Connect | None = None) -> int:
    """Run the command that `arguments` name, by default the process's; returns the exit status.

    `connect` finds the stack that the options name; by default on AWS.
    """
    guarded.install()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = parse(_parser(), given)
    except SystemExit as ended:
        return int(ended.code or 0)
    return run(options, connect or _find)


def run(options: argparse.Namespace, connect: Connect) -> int:
    """Run the command that was parsed against the stack that `connect` finds."""
    try:
        _check_times(options)
        return options.run(options, connect, Output(utc=options.utc))
    except OperateError as error:
        return _complain(error)
    except (BotoCoreError, ClientError, HTTPClientError) as error:
        return _complain(explained(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Nobody reads on: what is still buffered would raise again at exit.
        _write_no_more()
        return 1
    except OSError as error:
        _write_no_more()
        what = error.filename or "cannot write"
        return _complain(OperateError(f"{what}: {error.strerror or error}", FAILED))


def _write_no_more() -> None:
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_times(options: argparse.Namespace) -> None:
    """Refuse an empty time, in which nothing can be."""
    since, until = getattr(options, "since", None), getattr(options, "until", None)
    if since is not None and until is not None and until < since:
        raise OperateError(
            f"--until {until:%Y-%m-%dT%H:%MZ} is before --since {since:%Y-%m-%dT%H:%MZ}"
        )


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with all that follows `--` as a job's arguments.

    argparse alone refuses them when an option stands between the job and `--`.
    """
    given = list(arguments)
    end = given.index("--") if "--" in given else 0
    if "start" not in given[:end]:
        return parser.parse_args(given)
    options = parser.parse_args(given[:end])
    if not hasattr(options, "arguments"):
        parser.error("only `start` takes arguments after --")
    options.arguments = [*options.arguments, *given[end + 1 :]]
    return options


class Parser(argparse.ArgumentParser):
    """Complains in one line, with the nearest name."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401  # pyright: ignore[reportIncompatibleMethodOverride] -- it has overloads
        """As argparse does; each command knows its own options best."""
        options, rest = super().parse_known_args(args, namespace)
        for one in rest:
            if one.startswith("-") and one != "--":
                name = one.partition("=")[0]
                shown = (it for it in self._actions if it.help is not argparse.SUPPRESS)
                known = [option for it in shown for option in it.option_strings]
                near = difflib.get_close_matches(name, known, n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                self.error(f"no such option: {name}{hint}")
        return options, rest

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        match = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if match:
            choices = re.findall(r"[\w-]+", match[2])
            near = difflib.get_close_matches(match[1], choices, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(choices)}"
            message = f"no such choice: {match[1]} ({hint})"
        sys.stderr.write(f"{self.prog}: {printable(message)}\n")
        raise SystemExit(WRONG_USE)


def add_commands(
    subparsers: Any,  # noqa: ANN401 -- argparse keeps its type to itself
    common: argparse.ArgumentParser,
) -> None:
    """Add every command, each with the options of `common` and with `--json` and `--utc`."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    shared.add_argument("--utc", action="store_true", help="show times of UTC")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = subparsers.add_parser(
            name, help=text, description=text, parents=[common, shared]
        )
        made.set_defaults(run=run)
        return made

    runs = command("runs", commands.runs, "list executions and tasks, the newest first")
    runs.add_argument("--job", metavar="NAME", help="of this job")
    runs.add_argument("--pipeline", metavar="NAME", help="of this pipeline, with its steps")
    runs.add_argument("--upload", metavar="KEY", help="about objects whose key has this in it")
    runs.add_argument("--schedule", metavar="NAME", help="started by this schedule")
    runs.add_argument("--backfill", metavar="ID", help="of this backfill")
    runs.add_argument(
        "--status", action="append", choices=STATUSES, default=[], help="that ended so"
    )
    runs.add_argument(
        "--last", type=count_of, metavar="N", help="so many; default: 20 without --since"
    )
    _add_times(runs)

    show = command("show", commands.show, "tell one run from its trigger to its last log line")
    show.add_argument(
        "wanted", type=text_of, metavar="RUN", help="the beginning of its id, @latest, or a key"
    )

    logs = command("logs", commands.logs, "print what the tasks of a run or a job wrote")
    logs.add_argument("name", type=text_of, metavar="RUN|JOB", help="a job, or as of `show`")
    logs.add_argument("--follow", "-f", action="store_true", help="go on; for a run, until its end")
    logs.add_argument("--raw", action="store_true", help="lines as they are, without time and task")
    _add_times(logs)

    letters = command("letters", None, "look at dead letters, send them again, drop them")
    _add_letters(letters, common, shared)

    _add_actions(command)

    schedules = command("schedules", commands.schedules, "list schedules; pause and resume them")
    _add_schedules(schedules, common, shared)
    _add_backfills(command, common, shared)
    command("doctor", commands.doctor, "look for what would fail, and say the way out")

    cost = command("cost", commands.cost, "add up what runs have cost")
    cost.add_argument("--by", choices=("job", "day"), default="job", help="default: %(default)s")
    cost.add_argument("--month", type=month_of, metavar="YYYY-MM", help="of this month")
    _add_times(cost)

    web = command("web", commands.web, "serve the page, on this machine alone, until Ctrl-C")
    web.add_argument("--write", action="store_true", help="with buttons that change something")
    web.add_argument(
        "--listen", type=port_of, default=0, metavar="PORT", help="default: one that is free"
    )

    policy = command("policy", commands.policy, "print the IAM policy that reading or acting takes")
    policy.add_argument("which", choices=("reading", "acting"))


def _add_actions(command: Callable[[str, object, str], argparse.ArgumentParser]) -> None:
    start = command("start", commands.start, "start a job or pipeline, see its log to its end")
    start.add_argument("name", metavar="JOB|PIPELINE")
    start.add_argument(
        "arguments", nargs="*", default=[], metavar="ARGS", help="the job's, after --"
    )
    start.add_argument("--input", metavar="JSON", help="the whole input instead")
    start.add_argument(
        "--env",
        action="append",
        type=variable_of,
        default=[],
        metavar="NAME=VALUE",
        help="a variable",
    )
    start.add_argument("--date", type=time_of, metavar="TIME", help="a pipeline's scheduled time")
    start.add_argument("--from-step", type=count_of, metavar="N", help="a pipeline's first step")
    _add_waiting(start, default=True)

    fire = command("fire", commands.fire, "do now what a schedule does at its time")
    fire.add_argument("name", metavar="SCHEDULE", help="a schedule or a pipeline")
    fire.add_argument("--at", type=time_of, metavar="TIME", help="as if it were due then")
    _add_waiting(fire, default=False)

    stop = command("stop", commands.stop, "stop runs")
    stop.add_argument("wanted", nargs="+", type=text_of, metavar="RUN", help="as of `show`")
    stop.add_argument("--reason", required=True, metavar="TEXT", help="why: it is kept")
    stop.add_argument("--dry-run", action="store_true", help="only say what would be done")

    retry = command("retry", commands.retry, "run again what failed, as far as it must")
    retry.add_argument("wanted", nargs="*", type=text_of, metavar="RUN", help="as of `show`")
    retry.add_argument("--failed", action="store_true", help="all that failed --since a time")
    retry.add_argument("--dry-run", action="store_true", help="only say what would be done")
    _add_times(retry)


def _add_schedules(
    parser: argparse.ArgumentParser,
    common: argparse.ArgumentParser,
    shared: argparse.ArgumentParser,
) -> None:
    action = _actions_of(parser, common, shared)
    action("list", commands.schedules, "list them: next times, last run, late ones; the default")
    show = action("show", commands.schedules_show, "show them whole, with their next five times")
    pause = action("pause", commands.schedules_pause, "keep them from firing, deployments included")
    pause.add_argument(
        "--until", type=later_of, metavar="TIME", help="2h, or a time; to within five minutes"
    )
    pause.add_argument("--reason", required=True, metavar="TEXT", help="why: it is kept")
    resume = action("resume", commands.schedules_resume, "have them fire again")
    for one in (show, pause, resume):
        one.add_argument("names", nargs="+", metavar="SCHEDULE", help="a schedule or a pipeline")
    for one in (pause, resume):
        one.add_argument("--dry-run", action="store_true", help="only say what would be done")


def _add_backfills(
    command: Callable[[str, object, str], argparse.ArgumentParser],
    common: argparse.ArgumentParser,
    shared: argparse.ArgumentParser,
) -> None:
    fill = command("backfill", backfill_commands.backfill, "run a job for many objects")
    fill.add_argument("name", metavar="JOB")
    fill.add_argument(
        "--prefix", action="append", default=[], metavar="KEY", help="what their keys begin with"
    )
    for option, name, text in (("from", "since", "not before"), ("to", "until", "not after")):
        fill.add_argument(
            f"--{option}", dest=name, type=time_of, metavar="TIME", help=f"uploaded {text}"
        )
    fill.add_argument("--keys", metavar="FILE", help="these alone, one a line; - reads stdin")
    fill.add_argument(
        "--only",
        choices=objects.ONLY,
        default="missing",
        help="those without a newer result, or whose last run failed; default: %(default)s",
    )
    fill.add_argument(
        "--max-concurrency",
        type=count_of,
        default=backfills.AT_ONCE,
        metavar="N",
        help="so many at once; default: %(default)s",
    )
    fill.add_argument(
        "--max-failures",
        type=number_of,
        metavar="N",
        help="begin no more once more than so many failed; default: a tenth, at least 10",
    )
    _add_following(fill)

    listed = command("backfills", backfill_commands.every, "list backfills; change, stop, continue")
    listed.add_argument("--last", type=count_of, metavar="N", help="so many; default: 10")
    action = _actions_of(listed, common, shared)
    show = action("show", backfill_commands.show, "show one")
    rate = action("rate", backfill_commands.rate, "change how many objects it has at once")
    stop = action("stop", backfill_commands.stop, "stop it, and what it runs")
    go_on = action("continue", backfill_commands.go_on, "go on with what is not done")
    for one in (show, rate, stop, go_on):
        one.add_argument(
            "wanted", type=text_of, metavar="ID", help="the beginning of its id, or @latest"
        )
    show.add_argument("--follow", "-f", action="store_true", help="how far it is, until its end")
    show.add_argument("--timeout", type=duration_of, metavar="TIME", help="wait no longer: 30m")
    rate.add_argument("at_once", type=count_of, metavar="N")
    stop.add_argument("--reason", required=True, metavar="TEXT", help="why: it is kept")
    for one in (rate, stop):
        one.add_argument("--dry-run", action="store_true", help="only say what would be done")
    _add_following(go_on)


def _add_following(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show how far it is, until its end",
    )
    parser.add_argument("--timeout", type=duration_of, metavar="TIME", help="wait no longer: 30m")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def _add_letters(
    parser: argparse.ArgumentParser,
    common: argparse.ArgumentParser,
    shared: argparse.ArgumentParser,
) -> None:
    action = _actions_of(parser, common, shared, required=True)
    listed = action("list", commands.letters_list, "list them, the oldest first")
    show = action("show", commands.letters_show, "show them whole")
    does = "do what their trigger would have done, once each, and delete them"
    send = action("send", commands.letters_send, does)
    send.epilog = commands.SENT_ONCE
    drop = action("drop", commands.letters_drop, "delete them")
    for one in (listed, show, send, drop):
        one.add_argument(
            "wanted", nargs="*", type=text_of, metavar="LETTER", help="beginnings of ids"
        )
        one.add_argument("--trigger", metavar="NAME", help="of this trigger: upload-NAME, …")
        one.add_argument("--key", metavar="TEXT", help="about objects whose key has this in it")
        one.add_argument("--error", metavar="CODE", help="with this error code")
        _add_times(one)
    for one in (send, drop):
        one.add_argument("--all", action="store_true", help="all that the filters leave")
        one.add_argument("--dry-run", action="store_true", help="only say what would be done")


def _actions_of(
    parser: argparse.ArgumentParser,
    common: argparse.ArgumentParser,
    shared: argparse.ArgumentParser,
    *,
    required: bool = False,
) -> Callable[[str, object, str], argparse.ArgumentParser]:
    """What adds an action to a command, as `letters send`: its name, what runs it, its help."""
    actions = parser.add_subparsers(dest="action", required=required, metavar="ACTION")

    def action(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = actions.add_parser(
            name, help=text, description=text, parents=[common, shared]
        )
        made.set_defaults(run=run)
        return made

    return action


def _add_waiting(parser: argparse.ArgumentParser, *, default: bool) -> None:
    parser.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=default,
        help="print the log until the end",
    )
    parser.add_argument("--timeout", type=duration_of, metavar="TIME", help="wait no longer: 30m")
    parser.add_argument(
        "--exit-code", action="store_true", help="exit with the container's code, not with 1"
    )
    parser.add_argument("--raw", action="store_true", help="lines as they are")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def _add_times(parser: argparse.ArgumentParser) -> None:
    text = "2h, 3d, or a time: 2030-01-31T10:00"
    parser.add_argument("--since", type=time_of, metavar="TIME", help=f"not before: {text}")
    parser.add_argument("--until", type=time_of, metavar="TIME", help="not after")


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    where = common.add_argument_group("which stack")
    where.add_argument(
        "--stack",
        default=os.environ.get("FARGATE_BATCH_STACK"),
        metavar="NAME",
        help="default: $FARGATE_BATCH_STACK",
    )
    where.add_argument("--project", default=_project(), metavar="NAME", help="default: %(default)s")
    where.add_argument("--profile", metavar="NAME", help="of the AWS configuration")
    where.add_argument("--region", metavar="NAME", help="default: that of the profile")
    where.add_argument("--endpoint-url", metavar="URL", help="another cloud than AWS")

    parser = Parser(prog="fargate-batch", description="Operate a stack of container batches.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_commands(subparsers, common)
    text = "print what makes a shell complete commands and options"
    completion = subparsers.add_parser("completion", help=text, description=text)
    completion.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)

    def complete(options: argparse.Namespace, _connect: Connect, out: Output) -> int:
        out.raw(shtab.complete(parser, options.shell))
        return 0

    completion.set_defaults(run=complete, utc=False)
    return parser


def _find(options: argparse.Namespace) -> Stack:
    if not options.stack:
        raise OperateError("which stack? give --stack, or set FARGATE_BATCH_STACK")
    account = aws.connect(
        profile=options.profile, region=options.region, endpoint_url=options.endpoint_url
    )
    return stack.find(account, options.project, options.stack)


def _project() -> str:
    """The project's name: that of the Pulumi project one stands in."""
    with contextlib.suppress(OSError):
        found = re.search(r"^name:\s*(\S+)", Path("Pulumi.yaml").read_text("utf-8"), re.MULTILINE)
        if found:
            return found[1]
    return PROJECT


def _version() -> str:
    try:
        return metadata.version("fargate-batch")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _complain(error: OperateError) -> int:
    sys.stderr.write(f"{printable(str(error))}\n")
    sys.stderr.flush()
    return error.status
