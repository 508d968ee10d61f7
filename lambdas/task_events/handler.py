# ruff: noqa: INP001 - Lambda imports this file as the top-level module "handler"
"""State changes of tasks and executions become one JSON line each on standard output.

Lambda passes standard output on to the function's log group (its log format must be Text). The
line is plain ASCII, so neither a newline nor a Unicode line separator in a value can split it.

Events: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html and
https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
"""

import json
import math
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict, cast

# CloudWatch Logs takes events of 1 MB since April 2025, but what forwards them (agents, older
# shippers) still splits at 256 KiB, 26 bytes of which are overhead; half a line is not JSON.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
LINE_LIMIT = 256 * 1024 - 26
MASK = "***"
MAX_DEPTH = 32
MAX_INTEGER = 2**63 - 1

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
STATUSES = frozenset(
    (
        "PROVISIONING",
        "PENDING",
        "ACTIVATING",
        "RUNNING",
        "DEACTIVATING",
        "STOPPING",
        "DEPROVISIONING",
        "STOPPED",
        "DELETED",
    )
)
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
INTERRUPTED = frozenset(("SpotInterruption", "TerminationNotice", "InfrastructureHealth"))
STOPPED_BY_REQUEST = frozenset(("UserInitiated", "ServiceSchedulerInitiated"))
# What a task is stopped with that outlived its job's timeout, before the number of seconds.
TIMED_OUT = "Timed out after "
# How a state machine and a schedule of this program call the group of the tasks they start.
GROUPS = {"execution:": "execution", "schedule:": "schedule"}
CAUSE_LIMIT = 2000
EXIT_CODES = {
    65: "bad data",
    66: "object gone",
    75: "try again later",
    78: "misconfigured",
    137: "killed, or out of memory",
    143: "terminated by SIGTERM",
}
# What jobs say that their exit codes mean: {"JOB": {"success": [3], "warning": [4]}}.
_DECLARED = Path(__file__).with_name("exit_codes.json")
JOBS_EXIT_CODES: dict[str, dict[str, list[int]]] = (
    json.loads(_DECLARED.read_text("utf-8")) if _DECLARED.exists() else {}
)
# Read once, as the environment does not change while the function runs.
KEEP_EVENT = os.environ.get("KEEP_EVENT", "true").lower() != "false"
FAMILY_PREFIX = os.environ.get("FAMILY_PREFIX", "")
# With Runtime Monitoring on, GuardDuty adds a container of its own to the task.
# https://docs.aws.amazon.com/guardduty/latest/ug/how-runtime-monitoring-works-ecs-fargate.html
SIDECAR = "aws-guardduty-agent"

# ECS events spell it small, what Step Functions makes of a task with a capital.
_ENVIRONMENT = frozenset(("environment", "Environment"))
_ENVIRONMENT_KEY = re.compile(r"[eE]nvironment\\*\"\s*:")
# Of what the encoder writes: an escaped backslash, two surrogates that are one character, or one.
_SURROGATES = re.compile(r"(?P<whole>\\\\|\\ud[89ab]..\\ud[c-f]..)|\\ud[89a-f]..")
# json.dumps makes an encoder at each call, and looks for circles, which no copy by _safe has.
_encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
_SCALARS = frozenset((bool, int, float))
_NO_TIME, _MILLISECOND = timedelta(), timedelta(milliseconds=1)


class Trigger(TypedDict):
    """Who started it: `kind` is execution, rule, schedule, upload (of an execution) or other."""

    kind: str
    name: str | None


class Object(TypedDict):
    """The S3 object that it is about."""

    bucket: str
    key: str


class Container(TypedDict):
    """One container of a task, as far as the event knows it."""

    name: str | None
    exitCode: int | None
    reason: str | None
    lastStatus: str | None


def handler(event: object, context: object) -> None:  # noqa: ARG001 - Lambda passes two
    """Print one JSON line for an EventBridge event; never raises.

    A task state change has `level` (ERROR for a task that failed, timed out or never started, INFO
    otherwise, WARN for one that ended with a warning, and for a status this program does not know),
    `message`, `time`, `taskId`, `taskArn`, `cluster`, `family`, `revision`, `job`, `lastStatus`,
    `desiredStatus`, `version`, `outcome`, `exitCode`, `stopCode`, `stoppedReason`, `containers`,
    `startedBy`, `trigger`, `object`, `createdAt`, `stoppedAt`, `waitedSeconds`, `pulledSeconds`,
    `ranSeconds`, `cpu`, `memory`, `architecture`, `capacityProvider` and, unless the environment
    has KEEP_EVENT=false,
    the whole `event`. A change of an execution's status has `level`, `message`, `time`, `execution`
    (its name), `executionArn`, `machine`, `status`, `error`, `cause`, `trigger`, `object`,
    `startedAt`, `stoppedAt`, and never its input or output. Anything else has `level` WARN,
    `message` and `event`. A line that would be too long is shortened and has `cut`: true. Values of
    the environment in overrides are `***`, in texts that are JSON too, but for the object that a
    task is about; commands are arguments and stay.
    """
    try:
        line = _valid_unicode(_line(event))
    except Exception as error:  # noqa: BLE001 - a raise makes Lambda retry and loses the line
        line = json.dumps(
            {
                "level": "WARN",
                "message": f"An event could not be logged ({type(error).__name__}).",
                "event": None,
            }
        )
    sys.stdout.write(line + "\n")


def _line(event: object) -> str:
    execution = _detail(event, "executionArn", "status")
    if execution is not None:
        return _fitted(_execution(cast("dict[str, object]", event), execution))
    safe = _safe(event)
    detail = _detail(safe, "taskArn", "lastStatus")
    if detail is None:
        record: dict[str, object] = {
            "level": "WARN",
            "message": "Not a task state change that this program understands; logged as it came.",
            "event": safe,
        }
    else:
        record = _record(cast("dict[str, object]", safe), detail, _object_of_task(event))
        if KEEP_EVENT:
            # Last, because Logs Insights discovers only the first 200 fields of a line.
            record["event"] = safe
    return _fitted(record)


def _fitted(record: dict[str, object]) -> str:
    line = _encode(record)
    if len(line) <= LINE_LIMIT:
        return line
    shorter_lines = (_encode(shorter) for shorter in _shortened(record, len(line)))
    return next(shorter for shorter in shorter_lines if len(shorter) <= LINE_LIMIT)


def _shortened(record: dict[str, object], size: int) -> Iterator[dict[str, object]]:
    """Give up detail step by step, the event's before the fields'; the last step always fits."""
    shorter = _cut_object(record, 2000, 100)
    shorter["cut"] = True
    yield shorter
    if "event" in record:
        shorter["event"] = _cut(record["event"], 100, 20)
        yield shorter
        shorter["event"] = f"... (left out of a line of {size:,} bytes)"
        yield shorter
    yield shorter | {key: _cut(record[key], 100, 20) for key in record if key != "event"}


def _cut(value: object, characters: int, items: int) -> object:
    """Shorten strings, lists and objects at every level; what was left out is counted in place."""
    if isinstance(value, str) and len(value) > characters:
        return f"{value[:characters]}... ({len(value) - characters:,} more characters)"
    if isinstance(value, list):
        kept = [_cut(item, characters, items) for item in value[:items]]
        return [*kept, f"... ({len(value) - items:,} more)"] if len(value) > items else kept
    if isinstance(value, dict):
        return _cut_object(value, characters, items)
    return value


def _cut_object(value: dict[str, object], characters: int, items: int) -> dict[str, object]:
    pairs = list(value.items())
    if len(pairs) > items:
        pairs[items:] = [("...", f"{len(pairs) - items:,} more")]
    return {str(_cut(key, characters, items)): _cut(item, characters, items) for key, item in pairs}


def _safe(value: object, depth: int = 0) -> object:
    """Copy a value as JSON that any parser takes, with every environment value masked.

    NaN and infinity become strings, and what is nested deeper than 32 levels a note: strict parsers
    refuse the first, the stack the second.
    """
    if depth == MAX_DEPTH and isinstance(value, dict | list):
        return "... (nested too deeply)"
    if type(value) is dict:
        result: dict[object, object] = value.copy()
        for key, item in result.items():
            if key in _ENVIRONMENT:
                result[key] = _masked(item)
            # Almost everything in an event is such a text, and a call costs more than to look.
            elif type(item) is not str or "nvironment" in item:
                result[key] = _safe(item, depth + 1)
        return result
    if type(value) is list:
        return [_safe(item, depth + 1) for item in value]
    if type(value) is str:
        return _safe_text(value, depth)
    if type(value) is float and not math.isfinite(value):
        return str(value)
    return value if value is None or type(value) in _SCALARS else f"({type(value).__name__})"


def _safe_text(text: str, depth: int) -> str:
    """Mask the environment in a text that is itself JSON, as the input of an execution is."""
    # The plain search spares almost every text the slower pattern.
    if "nvironment" not in text or not _ENVIRONMENT_KEY.search(text):
        return text
    try:
        return _valid_unicode(json.dumps(_safe(json.loads(text), depth)))
    except (ValueError, RecursionError):
        # AWS cuts long texts, and half a JSON document cannot be masked value by value.
        return MASK


def _masked(environment: object) -> object:
    if isinstance(environment, list):
        return [_masked_pair(pair) for pair in environment]
    if isinstance(environment, dict):
        return dict.fromkeys(environment, MASK)
    return None if environment is None else MASK


def _masked_pair(pair: object) -> object:
    if not isinstance(pair, dict):
        return MASK
    return {
        key: value if key in ("name", "Name") and isinstance(value, str) else MASK
        for key, value in pair.items()
    }


def _valid_unicode(line: str) -> str:
    """Make every lone surrogate in a text of JSON U+FFFD, as strict parsers refuse it."""
    return _SURROGATES.sub(_pair_or_unknown, line) if "\\" in line else line


def _pair_or_unknown(match: re.Match[str]) -> str:
    return match["whole"] or "\\ufffd"


def _detail(event: object, *required: str) -> dict[str, object] | None:
    """Return an event's detail if it has these texts."""
    if not isinstance(event, dict):
        return None
    detail = event.get("detail")
    if not isinstance(detail, dict) or not all(map(_text, map(detail.get, required))):
        return None
    return detail


def _execution(event: dict[str, object], detail: dict[str, object]) -> dict[str, object]:
    arn, status, error, cause = (
        _safe_or_none(detail.get(key)) for key in ("executionArn", "status", "error", "cause")
    )
    if cause == MASK and error == "Input.Invalid":
        # The definition's own words, which name an environment and hold none.
        cause = cast("str", detail["cause"])[:CAUSE_LIMIT]
    machine, _, name = (arn or "").rpartition(":")
    machine = machine.rpartition(":")[2]
    why = ": ".join(text for text in (error, cause) if text)
    trigger, about = _origin(_text(detail.get("input")))
    happened = (status or "").lower().replace("_", " ")
    warning = _warning(detail)
    if warning is not None:
        happened, why = "succeeded with a warning", warning
    level = "INFO" if status in ("RUNNING", "SUCCEEDED") else "ERROR"
    return {
        "level": level if warning is None else "WARN",
        "message": f"Execution {name} ({machine}) {happened}{': ' if why else '.'}{why}",
        "time": _safe_or_none(event.get("time")),
        "execution": name,
        "executionArn": arn,
        "machine": machine,
        "status": status,
        "error": error,
        "cause": cause,
        "trigger": trigger,
        "object": about,
        "startedAt": _from_millis(detail.get("startDate")),
        "stoppedAt": _from_millis(detail.get("stopDate")),
    }


def _warning(detail: dict[str, object]) -> str | None:
    """Find what a job's execution warns of in its output, of which nothing else is kept."""
    try:
        output = json.loads(_text(detail.get("output")) or "")
    except (ValueError, RecursionError):
        return None
    match output:
        case {"job": str(), "warning": str(warning)}:
            return _safe_or_none(warning)
        case _:
            return None


def _safe_or_none(value: object) -> str | None:
    """Copy a text of at most 2,000 characters, its environment masked."""
    return cast("str", _cut(_safe(value), CAUSE_LIMIT, 0)) if isinstance(value, str) else None


def _origin(text: str | None) -> tuple[Trigger, Object | None]:
    """Tell what started an execution from its input, of which nothing else is kept."""
    try:
        given = json.loads(text or "")
    except (ValueError, RecursionError):
        given = None
    match given:
        case {"detail": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}}:
            about: Object = {"bucket": bucket, "key": key}
            return {"kind": "upload", "name": None}, about
        # Where Step Functions' console, too, looks for what started an execution.
        case {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": str(parent)}:
            return {"kind": "execution", "name": parent}, None
        case {"schedule": str(schedule), "scheduledTime": _}:
            return {"kind": "schedule", "name": _last_part(schedule)}, None
        case _:
            return {"kind": "other", "name": None}, None


def _object_of_task(event: object) -> Object | None:
    """Find the object in the variables that a trigger gave the task, before they are masked."""
    overrides = (_detail(event, "taskArn") or {}).get("overrides")
    values = {
        _text(pair.get("name")): _text(pair.get("value"))
        for container in _objects(overrides, "containerOverrides")
        for pair in _objects(container, "environment")
    }
    bucket, key = values.get("BUCKET"), values.get("OBJECT_KEY")
    if bucket is None or key is None:
        return None
    return {"bucket": bucket, "key": key}


def _objects(value: object, key: str) -> list[dict[str, object]]:
    """Return the objects of the list that an object has under a key; none if it has no list."""
    items = value.get(key) if isinstance(value, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _from_millis(value: object) -> str | None:
    if not isinstance(value, int | float) or not 0 <= value < 1e14:
        return None
    return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")


def _record(
    event: dict[str, object], detail: dict[str, object], about: Object | None
) -> dict[str, object]:
    task_arn = cast("str", detail["taskArn"])
    status = cast("str", detail["lastStatus"])
    family, revision = _family_and_revision(_text(detail.get("taskDefinitionArn")))
    containers = _containers(detail)
    essential = _essential(containers, family)
    exit_code = essential["exitCode"] if essential else None
    stop_code = _text(detail.get("stopCode"))
    stopped_reason = _text(detail.get("stoppedReason"))
    started_by = _text(detail.get("startedBy"))
    pull_started = _instant(detail, "pullStartedAt")
    outcome = None
    if status == "STOPPED":
        started = detail.get("startedAt") is not None
        outcome = _outcome(stop_code, stopped_reason, exit_code, started=started)
        if outcome == "failed":
            outcome = _declared(_job(family), exit_code) or outcome
    record: dict[str, object] = {
        "level": _level(status, outcome),
        "message": "",
        "time": _text(event.get("time")),
        "taskId": task_arn.rpartition("/")[2],
        "taskArn": task_arn,
        "cluster": _last_part(_text(detail.get("clusterArn"))),
        "family": family,
        "revision": revision,
        "job": (essential["name"] if essential else None) or family,
        "lastStatus": status,
        "desiredStatus": _text(detail.get("desiredStatus")),
        "version": _integer(detail.get("version")),
        "outcome": outcome,
        "exitCode": exit_code,
        "stopCode": stop_code,
        "stoppedReason": stopped_reason,
        "containers": containers,
        "startedBy": started_by,
        "trigger": _trigger(started_by, _text(detail.get("group"))),
        "object": about,
        "createdAt": _text(detail.get("createdAt")),
        "stoppedAt": _text(detail.get("stoppedAt")),
        "waitedSeconds": _seconds(_instant(detail, "createdAt"), pull_started),
        "pulledSeconds": _seconds(pull_started, _instant(detail, "pullStoppedAt")),
        "ranSeconds": _seconds(
            _instant(detail, "startedAt"),
            _instant(detail, "executionStoppedAt") or _instant(detail, "stoppedAt"),
        ),
        "cpu": _number(detail.get("cpu")),
        "memory": _number(detail.get("memory")),
        "architecture": _architecture(detail.get("attributes")),
        "capacityProvider": _text(detail.get("capacityProviderName")),
    }
    record["message"] = _message(record, essential)
    return record


def _level(status: str, outcome: str | None) -> str:
    if outcome in ("failed", "timed-out", "never-started"):
        return "ERROR"
    if outcome == "warned":
        return "WARN"
    return "INFO" if status in STATUSES else "WARN"


def _outcome(
    stop_code: str | None, stopped_reason: str | None, exit_code: int | None, *, started: bool
) -> str:
    """Say how a stopped task ended; a stop that somebody asked for wins over never having started.

    One asked for because the task ran for too long is told from others by its reason. An essential
    container that exited without a code (it was lost, not finished) counts as failed.
    """
    if stop_code in STOPPED_BY_REQUEST:
        return "timed-out" if (stopped_reason or "").startswith(TIMED_OUT) else "stopped"
    if stop_code == "TaskFailedToStart" or not started:
        return "never-started"
    if stop_code in INTERRUPTED:
        return "interrupted"
    return "succeeded" if exit_code == 0 else "failed"


def _declared(job: str, exit_code: int | None) -> str | None:
    """What the job says that the exit code means, if it says so."""
    codes = JOBS_EXIT_CODES.get(job, {})
    outcomes = {"success": "succeeded", "warning": "warned"}
    return next((outcomes[key] for key in outcomes if exit_code in codes.get(key, [])), None)


def _message(record: dict[str, object], essential: Container | None) -> str:
    outcome = record["outcome"]
    job = record["job"] or "of an unknown job"
    subject = f"Task {record['taskId']} ({job})"
    if outcome is None:
        known = record["lastStatus"] in STATUSES
        return f"{subject} is {record['lastStatus']}{'' if known else ', an unknown status'}."
    if outcome == "succeeded":
        ran = record["ranSeconds"]
        return f"{subject} succeeded{'' if ran is None else f' after {ran} s'}."
    code = cast("int | None", record["exitCode"])
    if outcome == "warned":
        return f"{subject} ended with a warning: exit code {code}."
    if outcome == "failed":
        meaning = f" ({EXIT_CODES[code]})" if code in EXIT_CODES else ""
        happened = "failed without an exit code" if code is None else f"failed: exit code {code}"
        happened += meaning
    elif outcome == "never-started":
        happened = "never started"
    elif outcome == "timed-out":
        happened = "was stopped"
    else:
        happened = f"was {outcome} ({record['stopCode']})"
    reasons = (record["stoppedReason"], essential["reason"] if essential else None)
    why = "; ".join(dict.fromkeys(str(reason) for reason in reasons if reason))
    return f"{subject} {happened}{': ' if why else '.'}{why}"


def _trigger(started_by: str | None, group: str | None) -> Trigger:
    """Tell what started a task from its group, or its startedBy, which a task run by hand may lack.

    A state machine of this program has the group `execution:NAME`, a schedule `schedule:NAME`. A
    rule leaves `events-rule/NAME` and another schedule `chronos-schedule/NAME`, cut to 36
    characters altogether: of a rule's name come 24 characters, of a schedule's 19. AWS documents
    neither; both are as seen in recorded events. Another state machine's task has what its
    definition says, or what Step Functions sets where that says nothing.
    """
    for prefix, kind in GROUPS.items():
        if group and group.startswith(prefix):
            return {"kind": kind, "name": group.removeprefix(prefix)}
    if not started_by:
        return {"kind": "other", "name": None}
    prefix, slash, name = started_by.partition("/")
    if not slash:
        return {
            "kind": "execution",
            "name": None if started_by == "AWS Step Functions" else started_by,
        }
    kind = {"events-rule": "rule", "chronos-schedule": "schedule"}.get(prefix)
    # One that was started again, as it had not started, has the how manyth time behind its name.
    name = re.sub(r"/\d$", "", name)
    return {"kind": kind, "name": name} if kind else {"kind": "other", "name": started_by}


def _containers(detail: dict[str, object]) -> list[Container]:
    return [
        {
            "name": _text(container.get("name")),
            "exitCode": _integer(container.get("exitCode")),
            "reason": _text(container.get("reason")),
            "lastStatus": _text(container.get("lastStatus")),
        }
        for container in _objects(detail, "containers")
    ]


def _essential(containers: list[Container], family: str | None) -> Container | None:
    """Find the job's container: the one its family is named after, else the first of the job's own.

    Events do not say which container is essential, and list them in any order. FAMILY_PREFIX is
    what the stack puts before a job's name.
    """
    job = _job(family)
    own = [one for one in containers if not (one["name"] or "").startswith(SIDECAR)]
    for one in own:
        if one["name"] == job:
            return one
    return own[0] if own else None


def _job(family: str | None) -> str:
    return (family or "").removeprefix(FAMILY_PREFIX)


def _family_and_revision(arn: str | None) -> tuple[str | None, int | None]:
    family, colon, revision = (_last_part(arn) or "").rpartition(":")
    if not colon:
        return revision or None, None
    if not (revision.isascii() and revision.isdecimal() and len(revision) < 19):
        return family, None
    return family, int(revision)


def _last_part(arn: str | None) -> str | None:
    return arn.rpartition("/")[2] if arn else None


def _instant(detail: dict[str, object], key: str) -> datetime | None:
    value = detail.get(key)
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Count seconds to the millisecond; None unless both instants are there and in order."""
    if start is None or end is None or (start.tzinfo is None) != (end.tzinfo is None):
        return None
    elapsed = end - start
    return elapsed // _MILLISECOND / 1000 if elapsed >= _NO_TIME else None


def _architecture(attributes: object) -> str | None:
    first = attributes[0] if isinstance(attributes, list) and attributes else None
    if not isinstance(first, dict) or first.get("name") != "ecs.cpu-architecture":
        return None
    return _text(first.get("value"))


def _number(value: object) -> int | None:
    """Read CPU units or MiB, which an event has as text."""
    text = _text(value)
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_INTEGER:
        return None
    return value
