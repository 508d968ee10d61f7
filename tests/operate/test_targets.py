"""What a rule's target is given of an event."""

import json
from typing import Any

import pytest

from operate.errors import OperateError
from operate.targets import input_of_rule

EVENT = {"id": "1", "detail": {"key": 'a "b" <size> é', "size": 7, "none": None, "list": [1]}}
PATHS = {"key": "$.detail.key", "size": "$.detail.size", "gone": "$.detail.gone", "id": "$.id"}


def transformed(template: str) -> str:
    target = {"InputTransformer": {"InputPathsMap": PATHS, "InputTemplate": template}}
    return input_of_rule(target, EVENT)


def test_a_variable_outside_quotes_is_a_value_and_inside_them_text() -> None:
    template = '{"key": <key>, "size": <size>, "text": "<size> of <id>\\" <gone>.", "gone": <gone>}'
    assert json.loads(transformed(template)) == {
        "key": 'a "b" <size> é',
        "size": 7,
        "text": '7 of 1" .',
        "gone": "",
    }


@pytest.mark.parametrize("template", ['"<key>"', "<aws.events.rule-arn>", '"<aws.events.event>"'])
def test_what_cannot_be_put_in_is_refused(template: str) -> None:
    with pytest.raises(OperateError, match="start it by hand"):
        transformed(template)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, EVENT),
        ({"Input": '{"a": 1}'}, {"a": 1}),
        ({"InputPath": "$.detail.list"}, [1]),
        ({"InputPath": "$.detail.key"}, 'a "b" <size> é'),
    ],
)
def test_without_a_transformer_it_is_the_event_a_part_of_it_or_a_constant(
    target: dict[str, Any], expected: object
) -> None:
    assert json.loads(input_of_rule(target, EVENT)) == expected
