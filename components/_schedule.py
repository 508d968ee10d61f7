"""A schedule, the role it starts its target with, and the queue of the starts that failed."""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import defaults
from ._dead_letters import accept_over_tls, dead_letter_queue
from ._iam import Statement, allow, service_role


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
    flexible_minutes: NotRequired[int | None]
    """Within how many minutes after its time it may fire, 1 to 1440. Default: at its time."""
    start: NotRequired[str | None]
    """The UTC time before which it does not fire, yyyy-mm-ddThh:mm:ssZ."""
    end: NotRequired[str | None]
    """The UTC time after which it does not fire, yyyy-mm-ddThh:mm:ssZ."""
    retries: NotRequired[int]
    """How often a failed start is tried again, 0 to 185. Default: 185."""
    maximum_age_seconds: NotRequired[int]
    """For how long a failed start is tried again, 60 to 86400 seconds. Default: 3600: a batch that
    starts hours late may do harm."""


def schedule(
    name: str,
    args: ScheduleArgs,
    *,
    target: dict[str, Any],
    statements: Sequence[Statement],
    opts: pulumi.ResourceOptions,
) -> tuple[aws.scheduler.Schedule, aws.sqs.Queue]:
    """A schedule that may do what `statements` say, and the queue of the starts that failed."""
    queue = dead_letter_queue(name, opts)
    accept_over_tls(name, queue, opts)
    role_arn = service_role(
        f"{name}-schedule",
        service="scheduler.amazonaws.com",
        # A schedule's own ARN is refused here, the group's is what AWS sends:
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        source={"ArnEquals": {"aws:SourceArn": args["group_arn"]}},
        # A schedule writes its dead letters with its role:
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
        statements=[*statements, allow("sqs:SendMessage", queue.arn)],
        opts=opts,
    )
    flexible = args.get("flexible_minutes")
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
        state="ENABLED" if args.get("enabled", defaults.ENABLED) else "DISABLED",
        flexible_time_window={"mode": "FLEXIBLE", "maximum_window_in_minutes": flexible}
        if flexible
        else {"mode": "OFF"},
        start_date=args.get("start"),
        end_date=args.get("end"),
        target=with_delivery,
        opts=opts,
    )
    return made, queue
