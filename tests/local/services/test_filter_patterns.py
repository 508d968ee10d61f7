"""Filter patterns on JSON pick the lines that CloudWatch Logs would."""

import json

import pytest

from local.cloud import Cloud
from local.services.cloudwatch.patterns import PatternError, compiled

LINE = {
    "execution": "a1b2",
    "status": "FAILED",
    "code": 65,
    "done": True,
    "none": None,
    "trigger": {"kind": "upload", "name": 'in/a "b"*?[1].csv'},
    "list": [{"n": 1}, {"n": 2}],
}


@pytest.mark.parametrize(
    "pattern",
    [
        '{ $.execution = "*" }',
        '{ $.execution = "a1*" }',
        "{ $.status = FAILED }",
        '{ $.status != "SUCCEEDED" }',
        "{ $.code = 65 }",
        "{ $.code >= 65 && $.code < 66 }",
        "{ $.done IS TRUE }",
        "{ $.none IS NULL }",
        "{ $.absent NOT EXISTS }",
        "{ $.list[1].n = 2 }",
        '{ $.trigger.name = "in/a \\"b\\"*" }',
        '{ $.trigger.name = "in/a \\"b\\"*?[1].csv" }',
        '{ ($.status = "RUNNING") || (($.code = 65) && ($.trigger.kind = "upload")) }',
        '{ $.status = "RUNNING" && $.code = 1 || $.code = 65 }',
    ],
)
def test_a_line_that_a_pattern_holds_of_is_picked(pattern: str) -> None:
    assert compiled(pattern)(json.dumps(LINE))


@pytest.mark.parametrize(
    "pattern",
    [
        '{ $.absent = "*" }',
        '{ $.absent != "x" }',
        '{ $.execution = "1b*" }',
        '{ $.execution = "a?b2" }',
        "{ $.code > 65 }",
        "{ $.status > 1 }",
        "{ $.done IS FALSE }",
        "{ $.none NOT EXISTS }",
        "{ $.list[2].n = 2 }",
        '{ $.status = "RUNNING" && ($.code = 1 || $.code = 65) }',
    ],
)
def test_any_other_line_is_not(pattern: str) -> None:
    assert not compiled(pattern)(json.dumps(LINE))
    assert not compiled('{ $.execution = "*" }')("Traceback: no JSON")


@pytest.mark.parametrize(
    "pattern",
    ["{ $.a }", "{ $.a = }", "{ ($.a = 1 }", "{ a = 1 }", "{ $.a = 1 $.b = 2 }", "{ $.a < b }"],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compiled(pattern)


def test_filter_log_events_answers_with_the_lines_of_a_pattern_and_refuses_none(
    cloud: Cloud,
) -> None:
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    lines = [json.dumps(LINE), json.dumps({"execution": "b"}), "no JSON", "words of status FAILED"]
    logs.put_log_events(
        logGroupName="g",
        logStreamName="s",
        logEvents=[{"timestamp": n + 1, "message": line} for n, line in enumerate(lines)],
    )

    def found(pattern: str) -> list[str]:
        answer = logs.filter_log_events(logGroupName="g", filterPattern=pattern)
        return [event["message"] for event in answer["events"]]

    assert found("{ $.code = 65 }") == lines[:1]
    assert found('{ $.execution = "*" }') == lines[:2]
    assert found("FAILED") == [lines[0], lines[3]]
    with pytest.raises(logs.exceptions.InvalidParameterException):
        found("{ $.code = }")
