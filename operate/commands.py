"""The commands: options in, tables or JSON out, an exit status back."""

import argparse
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from . import cost as cost_of
from . import doctor as doctor_of
from . import follow, policies, starts, targets, timeline
from . import letters as letters_of
from . import logs as logs_of
from . import runs as runs_of
from . import schedules as schedules_of
from .errors import FAILED, STILL_RUNNING, OperateError, check, no_such
from .output import Column, Output, duration, money
from .pauses import Pause
from .runs import Filter, Run
from .stack import Job, Stack
from .text import cut

Connect = Callable[[argparse.Namespace], Stack]
Options = argparse.Namespace

_SHOWN = 20
# A step is its pipeline's to run again, an object its backfill's, a retry its original's.
_REPEATED_BY_OTHERS = {"pipeline", "backfill", "retry"}
SENT_ONCE = """A letter is deleted once its start was accepted. If the process ends in between,
the letter stays, and sending it again starts nothing twice for as long as AWS remembers the first
start: 90 days for an execution, 24 hours for a task."""
_SCHEDULE_COLUMNS = (
    Column("schedule"),
    Column("kind", drop=6),
    Column("state"),
    Column("expression", drop=4, cut=True),
    Column("zone", drop=5),
    Column("next"),
    Column("there", drop=3),
    Column("last", drop=1),
    Column("began", drop=2),
    Column("late"),
    Column("paused", drop=7, cut=True),
)
_LETTER_COLUMNS = (
    Column("letter"),
    Column("trigger"),
    Column("error", drop=1),
    Column("sent", drop=2),
    Column("days left", drop=3),
    Column("attempts", drop=5),
    Column("about", drop=4, cut=True),
    Column("message", drop=6, cut=True),
)
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
    check("job", options.job, stack.jobs)
    check("pipeline", options.pipeline, stack.pipelines)
    check("schedule", options.schedule, stack.schedules)
    last = options.last or (None if options.since else _SHOWN)
    want = Filter(
        job=options.job,
        pipeline=options.pipeline,
        upload=options.upload,
        schedule=options.schedule,
        backfill=options.backfill,
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
        raise runs_of.no_run(options.wanted)
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
        return _ended(run, out) if options.follow else 0
    follower = follow.Follower(stack, run.arn, run, since=options.since)
    while True:
        for entry in follower.new_entries():
            _print(entry, options, out)
        if follower.over:
            return _ended(follower.run, out)
        follower.sleep()


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


def _ended(run: Run, out: Output) -> int:
    """Say why a run failed; the exit status is its container's exit code."""
    if run.failed:
        out.say(f"{run.status}: {run.reason or run.error or 'no cause was given'}")
    return run.exit_code or (FAILED if run.failed else 0)


def _print(entry: logs_of.Entry, options: Options, out: Output) -> None:
    if options.json:
        out.json({"at": entry.at, "task": entry.task, "text": entry.text})
    elif options.raw:
        # As it is, but not as a terminal would take it.
        (out.line if out.terminal else out.raw)(entry.text)
    else:
        task = entry.task[:8] if out.terminal else entry.task
        out.line(f"{out.time(entry.at, precise=True)}  {task}  {logs_of.readable(entry.text)}")


def start(options: Options, connect: Connect, out: Output) -> int:
    """Start a job or pipeline."""
    stack = connect(options)
    start = starts.of_job(
        stack,
        options.name,
        arguments=options.arguments,
        environment=dict(options.env),
        given=options.input,
        date=options.date,
        from_step=options.from_step,
    )
    return _start(stack, start, options, out)


def fire(options: Options, connect: Connect, out: Output) -> int:
    """Do what a schedule does."""
    stack = connect(options)
    return _start(stack, starts.of_schedule(stack, options.name, options.at), options, out)


def _start(stack: Stack, start: targets.Start, options: Options, out: Output) -> int:
    if options.dry_run:
        if options.json:
            out.json({"would": str(start), "input": start.payload})
        else:
            out.line(f"would {start}, with {start.payload}")
        return 0
    made = targets.make(stack.aws, start)
    if options.json and not options.wait:
        out.json({"started": made.arn})
    else:
        (out.say if options.wait else out.line)(made.arn)
    return _wait(stack, made.arn, options, out) if options.wait else 0


def _wait(stack: Stack, arn: str, options: Options, out: Output) -> int:
    """Print what a run that was just started writes, until it ends or the time is over."""
    deadline = None if options.timeout is None else datetime.now(UTC) + options.timeout
    follower = follow.Follower(stack, arn)
    while True:
        for entry in follower.new_entries():
            _print(entry, options, out)
        if follower.over:
            break
        if deadline is not None and datetime.now(UTC) > deadline:
            out.say(f"{arn} still runs.")
            return STILL_RUNNING
        follower.sleep()
    run = follower.run
    if options.json:
        out.json(run_document(run))
    code = _ended(run, out)
    if not run.failed:
        return 0
    return code if options.exit_code else FAILED


def stop(options: Options, connect: Connect, out: Output) -> int:
    """Stop runs."""
    stack = connect(options)
    found = [runs_of.find(stack, wanted) for wanted in options.wanted]
    status = 0
    for run in found:
        if options.dry_run:
            done = "would be stopped" if run.status == "running" else "has ended already"
        elif starts.stop(stack, run, options.reason):
            done = "stopped"
        else:
            done, status = "has ended already", FAILED
        if options.json:
            out.json({"id": run.id, "result": done})
        else:
            out.line(f"{run.id}  {run.kind} {run.name}  {done}")
    return status


def retry(options: Options, connect: Connect, out: Output) -> int:
    """Run again what failed."""
    stack = connect(options)
    if bool(options.wanted) == options.failed:
        raise OperateError("which runs? give their ids, or --failed --since TIME")
    if options.failed and options.since is None:
        raise OperateError("--failed needs --since: since when?")
    found = [runs_of.find(stack, wanted) for wanted in options.wanted]
    if options.failed:
        want = Filter(statuses=("failed", "timed-out", "stopped"))
        every = runs_of.recent(stack, want, since=options.since, until=options.until)
        found = [run for run in every if run.started.kind not in _REPEATED_BY_OTHERS]
    failures = 0
    for run in reversed(found):
        try:
            chosen = starts.plan(stack, run)
            made = None if options.dry_run else starts.perform(stack, chosen)
            how, why = chosen.how, chosen.why
            done = f"would {chosen}" if made is None else f"{chosen}: {made.arn}"
        except OperateError as error:
            made, how, why, done = None, None, str(error), f"not retried: {error}"
            failures += 1
        if options.json:
            started = made.arn if made else None
            out.json({"id": run.id, "how": how, "why": why, "started": started})
        else:
            out.line(f"{run.id}  {run.kind} {run.name}  {done}")
    if not found:
        out.say("Nothing failed.")
    return FAILED if failures and not options.failed else 0


def schedules(options: Options, connect: Connect, out: Output) -> int:
    """List schedules with their next times and last run."""
    stack = connect(options)
    found = schedules_of.every(stack)
    if options.json:
        out.json([schedule_document(one) for one in found])
        return 0
    if not found:
        out.say("The stack has no schedule.")
        return 0
    out.table(
        _SCHEDULE_COLUMNS,
        [
            (
                one.name,
                one.kind,
                one.state,
                one.expression,
                one.timezone,
                out.time(one.next[0]) if one.next else "",
                _there(one),
                "" if one.last is None else one.last.status,
                "" if one.last is None else out.time(one.last.began),
                out.time(one.late),
                _why_paused(one.pause, out),
            )
            for one in found
        ],
    )
    return 0


def schedule_document(schedule: schedules_of.Schedule) -> dict[str, Any]:
    """A schedule as `--json` prints it."""
    return {
        "name": schedule.name,
        "kind": schedule.kind,
        "arn": schedule.arn,
        "enabled": schedule.enabled,
        "paused": schedule.pause and pause_document(schedule.pause),
        "expression": schedule.expression,
        "timezone": schedule.timezone,
        "next": list(schedule.next),
        "late": schedule.late,
        "last": None if schedule.last is None else run_document(schedule.last),
    }


def schedules_show(options: Options, connect: Connect, out: Output) -> int:
    """Show schedules whole, with their next times here and there."""
    stack = connect(options)
    for name in options.names:
        check("schedule", name, stack.schedules)
    for one in schedules_of.every(stack):
        if one.name not in options.names:
            continue
        if options.json:
            out.json(schedule_document(one))
            continue
        out.line(f"{one.kind} {one.name}  {one.state}", "bold")
        last = one.last
        facts = {
            "expression": f"{one.expression} {one.timezone}",
            "paused": _why_paused(one.pause, out),
            "late": out.time(one.late),
            "last run": f"{last.id} {last.status}, began {out.time(last.began)}" if last else "",
        }
        for name, value in facts.items():
            if value:
                out.line(f"  {name:<14} {value}")
        zone = ZoneInfo(one.timezone)
        for moment in one.next:
            there = f"{moment.astimezone(zone):%Y-%m-%d %H:%M} {one.timezone}"
            out.line(f"  {'next':<14} {out.time(moment)}  ({there})")
    return 0


def _why_paused(pause: Pause | None, out: Output) -> str:
    if pause is None:
        return ""
    until = f" until {out.time(pause.until)}" if pause.until else ""
    return f"{pause.reason} ({pause.by}, since {out.time(pause.since)}{until})"


def pause_document(pause: Pause) -> dict[str, Any]:
    """A pause as `--json` prints it."""
    return {
        "by": pause.by,
        "reason": pause.reason,
        "since": pause.since,
        "until": pause.until,
    }


def schedules_pause(options: Options, connect: Connect, out: Output) -> int:
    """Keep schedules from firing."""
    stack = connect(options)
    for name in options.names:
        check("schedule", name, stack.schedules)
    for name in options.names:
        if options.dry_run:
            _say_done(out, options, name, "would be paused")
            continue
        made = schedules_of.pause(stack, name, options.reason, options.until)
        until = f" until {out.time(made.until)}" if made.until else ""
        _say_done(out, options, name, f"paused{until}")
    return 0


def schedules_resume(options: Options, connect: Connect, out: Output) -> int:
    """Have schedules fire again."""
    stack = connect(options)
    for name in options.names:
        check("schedule", name, stack.schedules)
    for name in options.names:
        if options.dry_run:
            _say_done(out, options, name, "would be resumed")
            continue
        schedules_of.resume(stack, name)
        _say_done(out, options, name, "resumed")
    return 0


def _say_done(out: Output, options: Options, name: str, done: str) -> None:
    if options.json:
        out.json({"schedule": name, "result": done})
    else:
        out.line(f"{name}  {done}")


def _there(schedule: schedules_of.Schedule) -> str:
    """The next time by the clock of the schedule's own zone."""
    if not schedule.next:
        return ""
    return schedule.next[0].astimezone(ZoneInfo(schedule.timezone)).strftime("%a %H:%M")


def cost(options: Options, connect: Connect, out: Output) -> int:
    """Add up what runs have cost."""
    stack = connect(options)
    since, until = options.since, options.until
    if options.month is not None:
        since, until = options.month
    since = since or datetime.now(UTC) - timedelta(days=30)
    found = cost_of.of_runs(stack, since, until, by=options.by)
    total = sum(one.dollars for one in found)
    idle = cost_of.idle(stack)
    if options.json:
        out.json(
            {
                "since": since,
                "until": until,
                "usd": round(total, 6),
                "by": [
                    {
                        options.by: one.of,
                        "tasks": one.tasks,
                        "seconds": one.seconds,
                        "usd": round(one.dollars, 6),
                    }
                    for one in found
                ],
                "idleUsdAMonth": {name: round(usd, 2) for name, usd in idle.items()},
            }
        )
        return 0
    out.table(
        (Column(options.by), Column("tasks"), Column("ran"), Column("usd")),
        [(one.of, str(one.tasks), duration(one.seconds), money(one.dollars)) for one in found],
    )
    out.say(f"{money(total)} USD of Fargate since {out.time(since)}, at list prices.")
    parts = ", ".join(f"{name} {usd:.2f}" for name, usd in idle.items())
    out.say(
        f"Idle, the stack costs about {sum(idle.values()):.2f} USD a month ({parts}), and what its"
        " network has and what it keeps."
    )
    return 0


def doctor(options: Options, connect: Connect, out: Output) -> int:
    """Say what would fail, and the way out; 1 if something would."""
    stack = connect(options)
    found = doctor_of.look(stack)
    if options.json:
        out.json([dataclasses.asdict(one) for one in found])
    elif out.terminal:
        out.table(
            (Column("check"), Column("status"), Column("what", cut=True)),
            [(one.check, one.status, one.text) for one in found],
        )
        # Whole, however narrow the terminal is: they are to be copied.
        for one in found:
            if one.way_out:
                out.line()
                out.line(f"{one.check}: {one.text}", one.status)
                out.line(f"  {one.way_out}")
    else:
        out.table(
            (Column("check"), Column("status"), Column("what"), Column("way out")),
            [(one.check, one.status, one.text, one.way_out) for one in found],
        )
    return FAILED if any(one.status == doctor_of.FAILING for one in found) else 0


def web(options: Options, connect: Connect, out: Output) -> int:
    """Serve the page."""
    stack = connect(options)
    try:
        from .web import server  # noqa: PLC0415 -- the other commands need none of it
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("fargate_batch") or error.name == "operate":
            raise
        raise OperateError(
            f"{error.name} is not installed: pip install 'fargate-batch[page]'"
        ) from None
    page = server.Server(stack, options.listen, write=options.write)
    if options.json:
        out.json({"url": page.url})
    else:
        out.say("The page, until Ctrl-C; its address lets in who has it:")
        out.line(page.url)
    page.serve()
    return 0


def policy(options: Options, connect: Connect, out: Output) -> int:
    """Print one of the two policy documents."""
    stack = connect(options)
    made = {"reading": policies.reading, "acting": policies.acting}[options.which](stack)
    out.json(made)
    if policies.ANY_QUEUE in str(made):
        out.say(
            "The stack has more dead-letter queues than a managed policy has room to name: this one"
            f" names all that are called {policies.ANY_QUEUE}, those of other stacks, too."
        )
    return 0


def letters_list(options: Options, connect: Connect, out: Output) -> int:
    """List dead letters."""
    stack = connect(options)
    with letters_of.taken(stack, _which(stack, options)) as found:
        pass
    if options.json:
        out.json([letter_document(one) for one in found])
    elif not found:
        out.say("No dead letter." if options.trigger is None else "No such dead letter.")
    else:
        out.table(
            _LETTER_COLUMNS,
            [
                (
                    one.id[:8] if out.terminal else one.id,
                    one.trigger,
                    one.error or "",
                    out.time(one.sent),
                    f"{one.days_left:.1f}",
                    "" if one.attempts is None else str(one.attempts),
                    one.about or "",
                    one.message or "",
                )
                for one in found
            ],
        )
    return 0


def letter_document(letter: letters_of.Letter) -> dict[str, Any]:
    """A letter as `--json` prints it."""
    return {
        "id": letter.id,
        "trigger": letter.trigger,
        "source": letter.source,
        "error": letter.error,
        "message": letter.message,
        "attempts": letter.attempts,
        "sent": letter.sent,
        "expires": letter.expires,
        "about": letter.about,
        "body": letter.body,
    }


def letters_show(options: Options, connect: Connect, out: Output) -> int:
    """Show dead letters whole, and what sending them would do."""
    stack = connect(options)
    with letters_of.taken(stack, _which(stack, options)) as found:
        pass
    if not found:
        raise OperateError("no such dead letter (`letters list` lists them)")
    for letter in found:
        would = _would(stack, letter)
        if options.json:
            out.json({**letter_document(letter), "sendWould": would})
            continue
        out.line(f"letter {letter.id}", "bold")
        for name, value in {
            "trigger": letter.trigger,
            **letter.attributes,
            "sent": out.time(letter.sent),
            "days left": f"{letter.days_left:.1f}",
            "about": letter.about or "",
            "send would": would,
            "body": letter.body,
        }.items():
            if value:
                out.line(f"  {name:<26} {value}")
    return 0


def letters_send(options: Options, connect: Connect, out: Output) -> int:
    """Send dead letters again."""
    return _with_letters(options, connect, out, "sent", _send)


def letters_drop(options: Options, connect: Connect, out: Output) -> int:
    """Delete dead letters."""
    return _with_letters(options, connect, out, "dropped", _drop)


def _with_letters(
    options: Options,
    connect: Connect,
    out: Output,
    done: str,
    act: Callable[[Stack, letters_of.Letter], dict[str, Any]],
) -> int:
    stack = connect(options)
    if not options.wanted and not options.all:
        raise OperateError("which letters? give beginnings of their ids, or --all")
    failed = 0
    with letters_of.taken(stack, _which(stack, options), letters_of.SEND_SECONDS) as found:
        if not found and options.wanted:
            raise OperateError("no such dead letter (`letters list` lists them)")
        if not found:
            out.say("Nothing to do: no such dead letter.")
        _each_is_one(options.wanted, found)
        for letter in found:
            try:
                if options.dry_run:
                    what = {"would": _would(stack, letter) if act is _send else "delete it"}
                else:
                    what = act(stack, letter)
            except OperateError as error:
                what = {"failed": str(error)}
                failed += 1
            if options.json:
                out.json({"id": letter.id, "trigger": letter.trigger, **what})
            else:
                before = "was " if what.pop("before", False) else ""
                told = before + ", ".join(f"{name} {value}" for name, value in what.items())
                out.line(f"{letter.id}  {letter.trigger}  {told}")
    if not options.dry_run:
        out.say(f"{len(found) - failed} {done}{f', {failed} not' if failed else ''}.")
    return FAILED if failed else 0


def _each_is_one(wanted: list[str], found: list[letters_of.Letter]) -> None:
    """Refuse a beginning of an id that means no letter, or several."""
    for text in wanted:
        meant = [one.id for one in found if one.id.startswith(text)]
        if not meant:
            raise OperateError(f"no such dead letter: {cut(text, 80)} (`letters list` lists them)")
        if len(meant) > 1:
            raise OperateError(f"{text} is {len(meant)} letters: {', '.join(meant[:10])}")


def _send(stack: Stack, letter: letters_of.Letter) -> dict[str, Any]:
    made = letters_of.send(stack, letter)
    return {"started": made.arn, "before": not made.new}


def _drop(stack: Stack, letter: letters_of.Letter) -> dict[str, Any]:
    letters_of.drop(stack, letter)
    return {"dropped": letter.about or letter.error or ""}


def _would(stack: Stack, letter: letters_of.Letter) -> str:
    try:
        return str(letters_of.start_of(stack, letter))
    except OperateError as error:
        return f"nothing: {error}"


def _which(stack: Stack, options: Options) -> letters_of.Filter:
    check("trigger", options.trigger, stack.triggers)
    return letters_of.Filter(
        ids=tuple(options.wanted),
        trigger=options.trigger,
        key=options.key,
        error=options.error,
        since=options.since,
        until=options.until,
    )
