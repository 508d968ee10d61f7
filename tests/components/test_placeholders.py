"""Placeholders: what they are, what is refused, and the dates of a zone's every change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from components.asl.pipeline import Step, run_pipeline
from components.placeholders import (
    FIRST_YEAR,
    LAST_YEAR,
    PICTURES,
    Placeholder,
    check_schedule,
    check_step,
    offsets,
    parts,
)
from tests.components.expressions import choose, evaluate

ZONES = (
    *("UTC", "Asia/Tokyo", "Asia/Kolkata", "Europe/Berlin", "Europe/Dublin", "America/New_York"),
    # Half an hour of daylight saving, a ramadan without it, a lost day, 45 minutes, midnight.
    *("Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "Pacific/Chatham"),
    *("America/Havana", "Asia/Pyongyang", "America/Santiago"),
)


def given(text: str, input_: object, timezone: str = "UTC") -> str:
    """What a step of a run with that input is given for a text of its commands."""
    step = Step("load", "arn:load", [text], {"V": text})
    states = run_pipeline("p", [[step]], skip_overlap=False, timezone=timezone)["States"]
    then, variables = choose(states["Begin"], input=input_)
    assert then == "Step1"
    told = evaluate(states["Step1"]["Arguments"]["Input"], **variables)
    assert told["environment"] == {**variables["upload"], "V": told["commands"][0]}
    return told["commands"][0]


def at(second: float) -> dict[str, str]:
    return {"scheduledTime": f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"}


def test_a_text_is_taken_apart() -> None:
    assert list(parts("a <<b> <key>-<date:%Y: %m>< c> 1<2>1 <<<key>")) == [
        *("a ", "<b>", " ", Placeholder("key"), "-", Placeholder("date", "%Y: %m")),
        *("< c> 1<2>1 <", "<key>"),
    ]


@pytest.mark.parametrize("zone", ZONES)
def test_a_date_is_the_zones_on_both_sides_of_each_change(zone: str) -> None:
    seconds = {
        change + more for change in offsets(zone)[1][:8] + offsets(zone)[1][-4:] for more in (-1, 0)
    }
    seconds |= {datetime(year, 7, 1, 23, 59, 59, tzinfo=UTC).timestamp() for year in (2000, 2099)}
    for second in sorted(seconds):
        here = datetime.fromtimestamp(second, ZoneInfo(zone))
        said = given("<date:%Y%m%d %H:%M:%S%z>", at(second), zone)
        assert said == here.strftime("%Y%m%d %H:%M:%S%z")


@pytest.mark.parametrize("zone", ZONES)
def test_every_change_of_a_zone_is_known(zone: str) -> None:
    texts, changes = offsets(zone)
    lasts = [datetime.strptime(text, "%z").utcoffset() for text in texts]
    here = ZoneInfo(zone)
    hours = range(
        int(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp()),
        int(datetime(FIRST_YEAR + 50, 1, 1, tzinfo=UTC).timestamp()),
        6 * 3600,
    )
    number = 0
    for second in hours:
        while number < len(changes) and changes[number] <= second:
            number += 1
        assert datetime.fromtimestamp(second, here).utcoffset() == lasts[number]
    for change, before, after in zip(changes, texts, texts[1:], strict=False):
        assert datetime.fromtimestamp(change - 1, here).strftime("%z") == before
        assert datetime.fromtimestamp(change, here).strftime("%z") == after


def test_a_zone_is_known_for_a_century() -> None:
    last = datetime.fromtimestamp(offsets("Europe/Berlin")[1][-1], UTC)
    assert last.year == LAST_YEAR == FIRST_YEAR + 99


@pytest.mark.parametrize("code", PICTURES)
@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 3, 9, 4, 5, 6, tzinfo=UTC),
        datetime(2027, 1, 3, 23, 59, 59, tzinfo=UTC),
        datetime(2024, 12, 31, 12, tzinfo=UTC),
        datetime(2028, 2, 29, tzinfo=UTC),
    ],
    ids=str,
)
def test_a_format_writes_what_strftime_does(code: str, moment: datetime) -> None:
    here = moment.astimezone(ZoneInfo("Asia/Kolkata"))
    text = f"%{code} [of] 100%%"
    assert given(f"<date:{text}>", at(moment.timestamp()), "Asia/Kolkata") == here.strftime(text)


UPLOAD = {
    "source": "aws.s3",
    "detail-type": "Object Created",
    "time": "2026-03-29T00:59:59Z",
    "detail": {"bucket": {"name": "in"}, "object": {"key": '  a"b\\%}{% 漢 😀.csv'}},
}


@pytest.mark.parametrize(
    ("text", "input_", "said"),
    [
        ("<scheduledTime>", {"scheduledTime": "2030-05-01T00:00:00Z"}, "2030-05-01T00:00:00Z"),
        ("<scheduledTime>", {}, "2030-01-01T00:00:05Z"),
        ("<scheduledTime>", ["any"], "2030-01-01T00:00:05Z"),
        ("<scheduledTime>", UPLOAD, "2026-03-29T00:59:59Z"),
        ("<scheduledTime>", UPLOAD | at(0) | at(1.9e9), "2030-03-17T17:46:40Z"),
        ("  {% <bucket>  %}/<key> ", UPLOAD, '  {% in  %}/  a"b\\%}{% 漢 😀.csv '),
        ("run=<executionName>", None, "run=me"),
        ("<date:%H>", UPLOAD, "01"),
        ("<date:[%H]>", UPLOAD, "[01]"),
        ("<date:[[>", UPLOAD, "[["),
        ("{% 1 %}", None, "{% 1 %}"),
        ("{% <<key> %}", None, "{% <key> %}"),
    ],
)
def test_a_step_is_given_the_values(text: str, input_: object, said: str) -> None:
    assert given(text, input_, "Europe/Berlin") == said


@pytest.mark.parametrize(
    "input_",
    [
        {"scheduledTime": "tomorrow"},
        {"scheduledTime": "2026-13-01T00:00:00Z"},
        {"scheduledTime": "2026-01-01T00:00:00+09:00"},
        {"scheduledTime": "1999-12-31T00:00:00Z"},
        {"scheduledTime": 5},
        {"scheduledTime": None},
    ],
    ids=str,
)
def test_a_time_that_is_none_is_refused(input_: object) -> None:
    step = Step("load", "arn:load", ["<date:%Y>"], None)
    states = run_pipeline("p", [[step]], skip_overlap=False)["States"]
    assert choose(states["Begin"], input=input_)[0] == "RefuseInput"
    assert states["RefuseInput"]["Error"] == "Input.Invalid"


@pytest.mark.parametrize("text", ["<key>", "<bucket>"])
@pytest.mark.parametrize("overlap", [False, True])
def test_a_pipeline_that_needs_an_object_starts_with_nothing_else(
    text: str, *, overlap: bool
) -> None:
    step = Step("load", "arn:load", None, {"A": text})
    states = run_pipeline("p", [[step]], skip_overlap=overlap)["States"]
    assert choose(states["Begin"], input=at(1.9e9))[0] == "RefuseInput"
    assert "Object Created" in states["RefuseInput"]["Cause"]
    assert choose(states["Begin"], input=UPLOAD)[0] == ("ListRunning" if overlap else "Step1")


def test_a_table_of_a_zone_is_in_a_definition_once_and_only_for_dates() -> None:
    def written(text: str) -> str:
        step = Step("load", "arn:load", [text] * 5, None)
        return str(run_pipeline("p", [[step]] * 5, skip_overlap=True, timezone="Europe/Paris"))

    assert written("<date:%Y>").count(str(offsets("Europe/Paris")[1][-1])) == 1
    assert str(offsets("Europe/Paris")[1][-1]) not in written("<scheduledTime>")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<scheduled>", "no placeholder <scheduled>; did you mean <scheduledTime>"),
        ("<date:%Y%f>", "a pipeline cannot write %f; there are %Y, "),
        ("<date:%>", "cannot write %;"),
        ("<date>", "<date> needs a format"),
        ("<date:>", "<date> needs a format"),
        ("<key:%Y>", "only <date:…> has a format; use <key>"),
        ("<b>", "there are <scheduledTime>, <date>, .* for the text itself <<b>"),
        ("<aws.scheduler.scheduled-time>", "not replace .* in a step; use <scheduledTime>"),
        ("<aws.scheduler.execution-id>", "not replace .* in a step; use <executionName>"),
        ("<aws.scheduler.schedule-arn>", "not replace <aws.scheduler.schedule-arn> in a step$"),
    ],
)
def test_what_is_no_placeholder_of_a_step_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_step(f"a {text}")
    check_step(f"a <{text}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<scheduleTime>", "did you mean <scheduledTime>"),
        ("<date:%Y>", "Scheduler formats no dates; make it a pipeline of one step"),
        ("<key>", "a schedule has no <key>"),
        ("<bucket>", "a schedule has no <bucket>"),
        ("<aws.scheduler.scheduled-tme>", "did you mean <aws.scheduler.scheduled-time>"),
        ("<<aws.scheduler.scheduled-time>", "Scheduler replaces"),
    ],
)
def test_what_is_no_placeholder_of_a_schedule_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_schedule(f"a {text}")


def test_what_are_placeholders_is_taken() -> None:
    check_step("<scheduledTime><date:%Y-%m-%d%%><executionName><bucket>/<key>")
    check_schedule("<scheduledTime><executionName><aws.scheduler.attempt-number><<b>")
