"""The commands about backfills: options in, tables or JSON out, an exit status back."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import backfills
from .backfills import Backfill, Estimate, Order
from .errors import FAILED, STILL_RUNNING, OperateError
from .objects import Selection, select
from .output import Column, Output, Progress, duration, money
from .stack import Stack

Connect = Callable[[argparse.Namespace], Stack]
Options = argparse.Namespace

SHOWN = 10
_SECONDS, _SECONDS_OF_OWN = 5.0, 0.5
_COLUMNS = (
    Column("backfill"),
    Column("status"),
    Column("job"),
    Column("started by", drop=5, cut=True),
    Column("began", drop=3),
    Column("took", drop=4),
    Column("done"),
    Column("failed", drop=1),
    Column("at once", drop=6),
    Column("objects", drop=2, cut=True),
)


def backfill(options: Options, connect: Connect, out: Output) -> int:
    """Run a job for many objects."""
    if options.keys is None and not options.prefix and options.since is options.until is None:
        raise OperateError(
            "which objects? give --prefix (--prefix '' is all), --from, --to or --keys FILE"
        )
    if options.keys is not None and options.prefix:
        raise OperateError("give --keys or --prefix, not both")
    stack = connect(options)
    backfills.machine_of(stack)
    want = Selection(
        prefixes=tuple(options.prefix) or ("",),
        since=options.since,
        until=options.until,
        keys=None if options.keys is None else tuple(_keys(options.keys)),
        only=options.only,
    )
    order = Order(
        options.name,
        select(stack, options.name, want),
        _chosen(options),
        options.max_concurrency,
        options.max_failures,
    )
    told = backfills.estimate(stack, order)
    if options.dry_run or not order.objects:
        if not order.objects:
            out.say(f"Nothing to do: no such object{_unless(options.only)}.")
        if options.json:
            out.json(order_document(order, told))
        elif order.objects:
            out.line(_planned(order, told, begin="would run"))
        return 0
    out.say(_planned(order, told, begin="Running"))
    made = backfills.start(stack, order)
    if options.wait:
        out.say(f"{made.id} (Ctrl-C leaves it running: `backfills show {made.short} --follow`)")
        return _follow(stack, made, options, out)
    _print(made, options, out)
    return 0


def _unless(only: str) -> str:
    return {
        "missing": " without a result (--only all runs those that have one, too)",
        "failed": " whose last run failed",
    }.get(only, "")


def _chosen(options: Options) -> str:
    """The options that chose the objects, as a shell takes them."""
    words: list[str] = []
    for prefix in options.prefix:
        words += ["--prefix", prefix]
    for name, moment in (("--from", options.since), ("--to", options.until)):
        if moment is not None:
            words += [name, moment.isoformat(timespec="seconds")]
    if options.keys is not None:
        words += ["--keys", options.keys]
    return shlex.join([*words, "--only", options.only])


def _keys(path: str) -> Iterator[str]:
    """The keys of a file, one a line; a line in quotation marks is a JSON string."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except OSError as error:
        raise OperateError(f"--keys {path}: {error.strerror}") from None
    except ValueError as error:
        raise OperateError(f"--keys {path}: {error}") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith('"'):
            try:
                yield str(json.loads(line))
            except ValueError as error:
                raise OperateError(f"--keys {path}, line {number}: {error}") from None
        elif line := line.removesuffix("\r"):
            yield line


def _planned(order: Order, told: Estimate, *, begin: str) -> str:
    size = sum(one.size for one in order.objects)
    count = len(order.objects)
    objects = f"{count} object{'' if count == 1 else 's'} ({_bytes(size)})"
    known = "how long it takes and costs is not known: the job has not succeeded yet"
    if told.seconds is not None:
        cost = "" if told.dollars is None else f" and {money(told.dollars)} USD"
        known = f"about {duration(told.seconds)}{cost}, as its last runs went"
    at_once = f"{order.max_concurrency} at once"
    if told.permits is not None and told.permits < order.max_concurrency:
        at_once += f", {told.permits} of them with a task (maxConcurrency of the job)"
    return (
        f"{begin} {order.job} for {objects}, {at_once}: {known};"
        f" no more are begun once more than {order.tolerated} have failed"
    )


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def order_document(order: Order, told: Estimate) -> dict[str, Any]:
    """A backfill that is not started, as `--json` prints it."""
    return {
        "job": order.job,
        "selection": order.selection,
        "objects": len(order.objects),
        "bytes": sum(one.size for one in order.objects),
        "maxConcurrency": order.max_concurrency,
        "toleratedFailures": order.tolerated,
        "seconds": None if told.seconds is None else round(told.seconds, 1),
        "usd": None if told.dollars is None else round(told.dollars, 6),
    }


def backfill_document(one: Backfill) -> dict[str, Any]:
    """A backfill as `--json` prints it."""
    return {
        "id": one.id,
        "arn": one.arn,
        "job": one.job,
        "selection": one.selection,
        "status": one.status,
        "error": one.error,
        "reason": one.reason,
        "startedBy": {"kind": one.started.kind, "name": one.started.name},
        "began": one.began,
        "ended": one.ended,
        "seconds": one.seconds,
        "objects": one.objects,
        "succeeded": one.succeeded,
        "failed": one.failed,
        "stopped": one.stopped,
        "running": one.running,
        "pending": one.pending,
        "maxConcurrency": one.max_concurrency,
        "toleratedFailures": one.tolerated,
    }


def every(options: Options, connect: Connect, out: Output) -> int:
    """List the newest backfills."""
    found = backfills.every(connect(options), options.last or SHOWN)
    if options.json:
        out.json([backfill_document(one) for one in found])
    elif not found:
        out.say("There was no backfill yet.")
    else:
        out.table(
            _COLUMNS,
            [
                (
                    one.short if out.terminal else one.id,
                    one.status,
                    one.job,
                    str(one.started),
                    out.time(one.began),
                    duration(one.seconds),
                    f"{one.succeeded} of {one.objects}",
                    str(one.failed),
                    str(one.max_concurrency),
                    one.selection,
                )
                for one in found
            ],
        )
    return 0


def show(options: Options, connect: Connect, out: Output) -> int:
    """Show one backfill; with --follow, until its end."""
    stack = connect(options)
    found = backfills.find(stack, options.wanted)
    if options.follow:
        return _follow(stack, found, options, out)
    _print(found, options, out)
    return 0


def _print(found: Backfill, options: Options, out: Output) -> None:
    if options.json:
        out.json(backfill_document(found))
        return
    out.line(f"backfill of {found.job}  {found.status}", found.status)
    for name, value in {
        "backfill": found.id,
        "started by": str(found.started),
        "objects": f"{found.objects}, {found.selection}",
        "began": out.time(found.began),
        "took": duration(found.seconds),
        "succeeded": str(found.succeeded),
        "failed": str(found.failed or ""),
        "stopped": str(found.stopped or ""),
        "running": f"{found.running} of {found.max_concurrency} at once",
        "pending": str(found.pending or ""),
        "why": " ".join(one for one in (found.error, found.reason) if one),
    }.items():
        if value:
            out.line(f"  {name:<14} {value}")


def _follow(stack: Stack, found: Backfill, options: Options, out: Output) -> int:
    """Show how far a backfill is, until it ends or the time is over."""
    progress, began, before = Progress(), time.monotonic(), found.succeeded + found.failed
    deadline = None if options.timeout is None else datetime.now(UTC) + options.timeout
    seconds = _SECONDS_OF_OWN if stack.aws.endpoint_url else _SECONDS
    try:
        while True:
            ended = found.succeeded + found.failed
            pace = (ended - before) / max(time.monotonic() - began, 1e-9)
            words = [f"{found.failed} failed"] if found.failed else []
            if found.status == "running":
                words.append(f"{found.running} running")
                if pace:
                    words.append(f"{duration((found.objects - ended) / pace)} left")
            progress.show(ended, found.objects, ", ".join(words))
            if found.status != "running":
                break
            if deadline is not None and datetime.now(UTC) > deadline:
                progress.end()
                out.say(f"{found.id} still runs.")
                return STILL_RUNNING
            time.sleep(seconds)
            found = backfills.look(stack, found.arn)
    except KeyboardInterrupt:
        progress.end()
        raise
    progress.end()
    _print(found, options, out)
    if found.status == "succeeded":
        return 0
    out.say(
        f"`runs --backfill {found.short} --status failed` lists what failed,"
        f" `backfills continue {found.short}` goes on."
    )
    return FAILED


def rate(options: Options, connect: Connect, out: Output) -> int:
    """Change how many objects one has at once."""
    stack = connect(options)
    found = backfills.find(stack, options.wanted)
    change = f"{options.at_once} at once instead of {found.max_concurrency}"
    if options.dry_run:
        _say(found, f"would have {change}", options, out)
        return 0
    backfills.change_rate(stack, found, options.at_once)
    _say(found, change, options, out)
    return 0


def stop(options: Options, connect: Connect, out: Output) -> int:
    """Stop one, and all that it runs."""
    stack = connect(options)
    found = backfills.find(stack, options.wanted)
    if options.dry_run:
        _say(found, f"would be stopped with {found.running} runs", options, out)
        return 0
    backfills.stop(stack, found, options.reason)
    _say(found, "stopped", options, out)
    return 0


def go_on(options: Options, connect: Connect, out: Output) -> int:
    """Go on with what one has not done, or not well."""
    stack = connect(options)
    chosen = backfills.plan(stack, backfills.find(stack, options.wanted))
    if options.dry_run:
        _say(chosen.found, f"would {chosen}", options, out)
        return 0
    made = backfills.go_on(stack, chosen)
    if options.wait:
        out.say(f"{chosen}: {made.id}")
        return _follow(stack, made, options, out)
    _say(made, str(chosen), options, out)
    return 0


def _say(found: Backfill, done: str, options: Options, out: Output) -> None:
    if options.json:
        out.json({"id": found.id, "result": done})
    else:
        out.line(f"{found.id}  {done}")
