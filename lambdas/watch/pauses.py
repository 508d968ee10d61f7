"""A schedule that a person paused: what says so, and the change of state that it takes.

Each is an SSM parameter `/PROJECT/STACK/paused/KIND-NAME`, which a deployment looks at, too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# Of what GetSchedule answers, what UpdateSchedule takes; what it is not given, it forgets:
# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_UpdateSchedule.html
_KEPT = (
    *("Name", "GroupName", "Description", "ScheduleExpression", "ScheduleExpressionTimezone"),
    *("StartDate", "EndDate", "FlexibleTimeWindow", "Target", "KmsKeyArn", "ActionAfterCompletion"),
)


@dataclass(frozen=True)
class Pause:
    """Who paused a schedule, why, and until when."""

    schedule_arn: str
    by: str
    reason: str
    since: datetime
    until: datetime | None = None
    """None: until somebody resumes it."""

    def over(self, now: datetime) -> bool:
        """Whether its time has come."""
        return self.until is not None and self.until <= now

    @property
    def text(self) -> str:
        """As the parameter has it."""
        return json.dumps(
            {
                "schedule": self.schedule_arn,
                "by": self.by,
                "reason": self.reason,
                "since": self.since.isoformat(timespec="seconds"),
                "until": self.until and self.until.isoformat(timespec="seconds"),
            },
            ensure_ascii=False,
        )


def path_of(project: str, stack: str) -> str:
    """What the names of a stack's parameters begin with."""
    return f"/{project}/{stack}/paused/"


def pause_of(text: str) -> Pause:
    """What a parameter says."""
    found = json.loads(text)
    until = found.get("until")
    return Pause(
        found["schedule"],
        found["by"],
        found["reason"],
        datetime.fromisoformat(found["since"]),
        datetime.fromisoformat(until) if until else None,
    )


def pauses(ssm: Any, path: str) -> dict[str, Pause]:  # noqa: ANN401 -- boto3
    """The pauses of a stack, by KIND-NAME."""
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path.rstrip("/"))
    return {
        one["Name"].removeprefix(path): pause_of(one["Value"])
        for page in pages
        for one in page["Parameters"]
    }


def switch(scheduler: Any, schedule_arn: str, state: str) -> None:  # noqa: ANN401 -- boto3
    """Make a schedule ENABLED or DISABLED, unless it is that, or is gone."""
    _, group, name = schedule_arn.split("/")
    try:
        found = scheduler.get_schedule(GroupName=group, Name=name)
    except scheduler.exceptions.ResourceNotFoundException:
        return
    if found["State"] != state:
        scheduler.update_schedule(**changed(found, state, datetime.now(UTC)))


def changed(found: Mapping[str, Any], state: str, now: datetime) -> dict[str, Any]:
    """UpdateSchedule's parameters of a schedule with another state."""
    kept = {name: found[name] for name in _KEPT if name in found}
    start = kept.get("StartDate")
    if start is not None and start <= now:
        # AWS refuses one that is over.
        del kept["StartDate"]
    return {**kept, "State": state}
