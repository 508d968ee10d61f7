"""A schedule, the role it starts its target with, and the queue of the starts that failed."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NotRequired, TypedDict
from zoneinfo import ZoneInfo

import pulumi
import pulumi_aws as aws

from . import defaults
from ._dead_letters import dead_letter_queue
from ._documents import of_known
from ._iam import Statement, service_role


class ScheduleArgs(TypedDict):
    """When something is started."""

    expression: str
    """cron(minutes hours day-of-month month day-of-week year), rate(value unit) or
    at(yyyy-mm-ddThh:mm:ss):
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html."""
    group_name: pulumi.Input[str]
    """The schedule group, one of the stack's own: the roles trust no other."""
    group_arn: pulumi.Input[str]
    """The group's ARN."""
    timezone: NotRequired[str]
    """An IANA time zone. Default: UTC."""
    enabled: NotRequired[bool]
    """Whether the schedule fires. Default: True."""
    paused: NotRequired[pulumi.Input[bool]]
    """Whether a person paused it: then it does not fire. Default: False."""
    flexible_minutes: NotRequired[int | None]
    """Within how many minutes after its time it may fire, 1 to 1440. Default: at its time."""
    start: NotRequired[str | None]
    """The UTC time before which it does not fire, yyyy-mm-ddThh:mm:ssZ. Left out once it is over:
    AWS would refuse it at the next change. Default: at once."""
    end: NotRequired[str | None]
    """The UTC time after which it does not fire, yyyy-mm-ddThh:mm:ssZ. Default: forever."""
    retries: NotRequired[int]
    """How often a failed start is tried again, 0 to 185. Default: 185."""
    maximum_age_seconds: NotRequired[int]
    """For how long a failed start is tried again, 60 to 86400 seconds. Default: 3600: a batch that
    starts hours late may do harm."""
    role_arn: NotRequired[pulumi.Input[str] | None]
    """The role that the schedule starts it with: `TriggerRoles`. Default: one of its own."""


def schedule(
    name: str,
    args: ScheduleArgs,
    *,
    target: dict[str, Any],
    statements: Sequence[Statement],
    protect: bool,
    opts: pulumi.ResourceOptions,
) -> tuple[pulumi.Output[str], aws.sqs.Queue]:
    """The ARN of a schedule that may do what `statements` say, and the queue of failed starts.

    One that can never fire again AWS would refuse: it is left out with a warning, and its ARN is
    empty. The queue stays, for what is in it; with `protect` also without the schedule.
    """
    role_arn = args.get("role_arn")
    if role_arn is None:
        role_arn = schedule_role(f"{name}-schedule", args["group_arn"], statements, opts)
    # A schedule writes its dead letters with its role:
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
    queue = dead_letter_queue(name, opts, role_arn=role_arn, protect=protect)
    if (reason := over(args, now())) is not None:
        pulumi.log.warn(
            f"The schedule {name} is left out, as it can never fire again: {reason}. "
            "Give it another time, or remove it."
        )
        return pulumi.Output.from_input(""), queue
    flexible, start = args.get("flexible_minutes"), args.get("start")
    with_delivery: Any = {
        **target,
        "role_arn": role_arn,
        "dead_letter_config": {"arn": queue.arn},
        "retry_policy": {
            "maximum_event_age_in_seconds": args.get(
                "maximum_age_seconds", defaults.MAXIMUM_AGE_SECONDS
            ),
            "maximum_retry_attempts": args.get("retries", defaults.SCHEDULE_RETRIES),
        },
    }
    made = aws.scheduler.Schedule(
        name,
        group_name=args["group_name"],
        schedule_expression=args["expression"],
        schedule_expression_timezone=args.get("timezone", defaults.TIMEZONE),
        state=_state(args),
        flexible_time_window={"mode": "FLEXIBLE", "maximum_window_in_minutes": flexible}
        if flexible
        else {"mode": "OFF"},
        start_date=start if start is not None and _moment(start) > now() else None,
        end_date=args.get("end"),
        target=with_delivery,
        opts=opts,
    )
    return made.arn, queue


def _state(args: ScheduleArgs) -> pulumi.Input[str]:
    if not args.get("enabled", defaults.ENABLED):
        return "DISABLED"
    paused = args.get("paused", defaults.PAUSED)
    return of_known(paused, lambda it: "DISABLED" if it else "ENABLED")


def over(args: ScheduleArgs, at: datetime) -> str | None:
    """Why a schedule can never fire after `at`; None if it can."""
    end = args.get("end")
    if end is not None and _moment(end) <= at:
        return f"it ended at {end}"
    expression, zone = args["expression"], ZoneInfo(args.get("timezone", defaults.TIMEZONE))
    if match := re.fullmatch(r"at\((.+)\)", expression):
        moment = datetime.fromisoformat(match[1]).replace(tzinfo=zone)
        return f"{expression} is over" if moment <= at else None
    if match := re.fullmatch(r"cron\(.* ([0-9,-]+)\)", expression):
        last = max(int(year) for year in re.findall(r"\d+", match[1]))
        return f"the year {match[1]} is over" if last < at.astimezone(zone).year else None
    return None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def now() -> datetime:
    """The time at which the program runs."""
    return datetime.now(UTC)


def schedule_role(
    name: str,
    group_arn: pulumi.Input[str],
    statements: Sequence[Statement],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """The ARN of a role for the schedules of a group."""
    return service_role(
        name,
        service="scheduler.amazonaws.com",
        # A schedule's own ARN is refused here, the group's is what AWS sends:
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        source={"ArnEquals": {"aws:SourceArn": group_arn}},
        statements=statements,
        opts=opts,
        deliveries=True,
    )
