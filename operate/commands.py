"""The commands: options in, tables or JSON out, an exit status back."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from operate import logs as logs_of
from operate import policies, timeline
from operate import runs as runs_of
from operate.errors import FAILED, OperateError, no_such
from operate.output import Column, Output, duration, money
from operate.runs import Filter, Run
from operate.stack import Job, Stack

Connect = Callable[[argparse.Namespace], Stack]
Options = argparse.Namespace

_SHOWN = 20
SENT_ONCE = "under way"
_RUN_COLUMNS = (
    Column("run"),
    Column("status"),
    Column("name", drop=0),
    Column("kind", drop=3),
    Column("started by", drop=4, cut=True),
    Column("began", drop=1),
    Column("took", drop=2),
    Column("tasks", drop=6),
    Column("usd", drop=7),
    Column("reason", drop=5, cut=True),
)


def runs(options: Options, connect: Connect, out: Output) -> int:
    """List the newest runs."""
    stack = connect(options)
    _check_names(stack, options)
    last = options.last or (None if options.since else _SHOWN)
    want = Filter(
        job=options.job,
        pipeline=options.pipeline,
        upload=options.upload,
        schedule=options.schedule,
        statuses=tuple(options.status),
    )
    found = runs_of.recent(stack, want, last=last, since=options.since, until=options.until)
    if options.json:
        out.json([run_document(run) for run in found])
    elif not found:
        out.say("No such run." if want != Filter() else "Nothing has run yet.")
    else:
        list_runs(found, out)
    return 0


def list_runs(found: list[Run], out: Output) -> None:
    """A table of runs."""
    out.table(
        _RUN_COLUMNS,
        [
            (
                run.short if out.terminal else run.id,
                run.status,
                run.name,
                run.kind,
                str(run.started),
                out.time(run.began),
                duration(run.seconds),
                str(len(run.attempts)) if run.kind != "pipeline" else "",
                money(run.cost),
                run.reason or "",
            )
            for run in found
        ],
    )


def run_document(run: Run) -> dict[str, Any]:
    """A run as `--json` prints it."""
    return {
        "id": run.id,
        "arn": run.arn,
        "kind": run.kind,
        "name": run.name,
        "status": run.status,
        "error": run.error,
        "reason": run.reason,
        "startedBy": {"kind": run.started.kind, "name": run.started.name},
        "object": {"bucket": run.object[0], "key": run.object[1]} if run.object else None,
        "began": run.began,
        "ended": run.ended,
        "seconds": run.seconds,
        "exitCode": run.exit_code,
        "costUsd": None if run.cost is None else round(run.cost, 6),
        "tasks": [
            {
                "id": one.id,
                "status": one.status,
                "exitCode": one.exit_code,
                "reason": one.reason,
                "began": one.began,
                "ended": one.ended,
                "seconds": one.seconds,
            }
            for one in run.attempts
        ],
    }


def show(options: Options, connect: Connect, out: Output) -> int:
    """Tell one run; several that a text names are listed."""
    stack = connect(options)
    found = runs_of.matching(stack, options.wanted)
    if not found:
        raise OperateError(f"no such run: {options.wanted} (`runs` lists them)")
    if len(found) > 1:
        out.say(f"{len(found)} runs are called that:")
        if options.json:
            out.json([run_document(run) for run in found])
        else:
            list_runs(found, out)
        return 0
    told = timeline.of(stack, found[0])
    if options.json:
        out.json(
            {
                **run_document(told.run),
                "timeline": [
                    {"at": one.at, "what": one.what, "text": one.text} for one in told.moments
                ],
                "input": told.input,
                "output": told.output,
                "places": list(told.tasks),
                "advice": told.advice,
                "log": told.log,
            }
        )
        return 0
    _tell(told, out)
    return 0


def _tell(told: timeline.Timeline, out: Output) -> None:
    run = told.run
    out.line(f"{run.kind} {run.name}  {run.status}", run.status)
    facts = {
        "run": run.id,
        "started by": str(run.started),
        "object": f"s3://{run.object[0]}/{run.object[1]}" if run.object else "",
        "began": out.time(run.began),
        "took": duration(run.seconds),
        "exit code": "" if run.exit_code is None else str(run.exit_code),
        "cost": f"{money(run.cost)} USD" if run.cost is not None else "",
        "log": told.log or "",
        "input": told.input or "",
        "output": told.output or "",
    }
    for one in told.tasks:
        facts[f"task {one.task[:8]}"] = ", ".join(
            part
            for part in (
                one.image,
                one.digest,
                one.subnet,
                one.zone,
                one.provider,
                one.cpu and one.memory and f"{one.cpu} CPU units, {one.memory} MiB",
            )
            if part
        )
    for name, value in facts.items():
        if value:
            out.line(f"  {name:<14} {value}")
    out.line()
    for moment in told.moments:
        out.line(f"  {out.time(moment.at, precise=True)}  {moment.what:<9} {moment.text}")
    if run.failed:
        out.line()
        out.line(f"  {'why':<14} {run.reason or run.error or 'No cause was given.'}")
        out.line(f"  {'what to do':<14} {told.advice}")


def logs(options: Options, connect: Connect, out: Output) -> int:
    """Print log lines; with --follow, those to come."""
    stack = connect(options)
    job = stack.jobs.get(options.name)
    if job is not None:
        return _logs_of_job(stack, job, options, out)
    run = _run_or_job(stack, options.name)
    if run.kind == "pipeline":
        raise OperateError(
            f"{run.short or run.id} is a run of the pipeline {run.name}, which has no log: "
            f"`runs --pipeline {run.name}` lists its steps"
        )
    job = stack.job(run.name)
    if not options.follow or run.status != "running":
        run, _ = runs_of.whole(stack, run)
        for entry in logs_of.of_tasks(stack, job, [one.id for one in run.attempts]):
            _print(entry, options, out)
        return 0
    return follow_run(stack, job, run, options, out)


def _run_or_job(stack: Stack, name: str) -> Run:
    try:
        return runs_of.find(stack, name)
    except OperateError as error:
        if "no such run" not in str(error):
            raise
        raise no_such("run or job", name, stack.jobs) from None


def _logs_of_job(stack: Stack, job: Job, options: Options, out: Output) -> int:
    now = datetime.now(UTC)
    if options.follow:
        for entry in logs_of.follow(stack, job, options.since or now):
            _print(entry, options, out)
        return 0
    since = options.since or now - timedelta(days=1)
    empty = True
    for entry in logs_of.of_job(stack, job, since, options.until):
        _print(entry, options, out)
        empty = False
    if empty:
        out.say(f"No task of {job.name} wrote anything since {out.time(since)}: give --since.")
    return 0


def follow_run(stack: Stack, job: Job, run: Run, options: Options, out: Output) -> int:
    """Print a run's log until it ends; the exit status is its container's exit code."""
    current = [run]

    def ended() -> bool:
        current[0], _ = runs_of.whole(stack, current[0])
        return current[0].status != "running"

    since = options.since or run.began
    for entry in logs_of.follow(
        stack, job, since, tasks=lambda: [one.id for one in current[0].attempts], ended=ended
    ):
        _print(entry, options, out)
    final = current[0]
    if final.failed:
        out.say(f"{final.status}: {final.reason or final.error or 'no cause was given'}")
    return final.exit_code or (FAILED if final.failed else 0)


def _print(entry: logs_of.Entry, options: Options, out: Output) -> None:
    if options.json:
        out.json({"at": entry.at, "task": entry.task, "text": entry.text})
    elif options.raw:
        # As it is, but not as a terminal would take it.
        (out.line if out.terminal else out.raw)(entry.text)
    else:
        task = entry.task[:8] if out.terminal else entry.task
        out.line(f"{out.time(entry.at, precise=True)}  {task}  {logs_of.readable(entry.text)}")


def policy(options: Options, connect: Connect, out: Output) -> int:
    """Print one of the two policy documents."""
    stack = connect(options)
    arn = stack.cluster.split(":")
    make = {"reading": policies.reading, "acting": policies.acting}[options.which]
    out.json(make(arn[1], arn[3], arn[4], stack.project, stack.name))
    return 0


def letters_list(options: Options, connect: Connect, out: Output) -> int:
    raise NotImplementedError


letters_show = letters_send = letters_drop = letters_list


def _check_names(stack: Stack, options: Options) -> None:
    """Refuse a name that the stack has not, rather than find nothing of it."""
    for kind, among in (
        ("job", stack.jobs),
        ("pipeline", stack.pipelines),
        ("schedule", stack.schedules),
    ):
        name = getattr(options, kind, None)
        if name is not None and name not in among:
            raise no_such(kind, name, among)
