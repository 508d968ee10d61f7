"""What says that a schedule is paused, and what a schedule keeps when it is."""

from datetime import UTC, datetime, timedelta

import botocore.session
import pytest

from lambdas.watch.pauses import Pause, changed, path_of, pause_of

ARN = "arn:aws:scheduler:ap-northeast-1:111122223333:schedule/batch-dev/nightly"
NOW = datetime(2026, 3, 2, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("until", "text"), [(None, "null"), (NOW + SECOND, '"2026-03-02T01:00:01+00:00"')]
)
def test_a_pause_is_read_as_it_was_written(until: datetime | None, text: str) -> None:
    pause = Pause(ARN, "mei", "移行", NOW, until)
    assert pause.text == (
        f'{{"schedule": "{ARN}", "by": "mei", "reason": "移行", '
        f'"since": "2026-03-02T01:00:00+00:00", "until": {text}}}'
    )
    assert pause_of(pause.text) == pause
    assert path_of("fargate-batch", "dev") == "/fargate-batch/dev/paused/"


def test_a_pause_is_over_from_the_second_on_that_it_names() -> None:
    pause = Pause(ARN, "mei", "", NOW, NOW + SECOND)
    assert [pause.over(NOW), pause.over(NOW + SECOND)] == [False, True]
    assert not Pause(ARN, "mei", "", NOW).over(NOW + SECOND)


def test_a_changed_schedule_keeps_everything_that_an_update_would_else_forget() -> None:
    scheduler = botocore.session.get_session().get_service_model("scheduler")
    answered = scheduler.operation_model("GetSchedule").output_shape
    taken = scheduler.operation_model("UpdateSchedule").input_shape
    assert answered is not None
    assert taken is not None
    found = dict.fromkeys(answered.members, "kept") | {"StartDate": NOW, "State": "ENABLED"}
    kept = {name: found[name] for name in taken.members if name in found} | {"State": "DISABLED"}
    assert changed(found, "DISABLED", NOW - SECOND) == kept
    # AWS refuses a start that is over.
    del kept["StartDate"]
    assert changed(found, "DISABLED", NOW) == kept
