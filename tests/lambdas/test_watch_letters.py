"""Dead letters: each told once, by trigger, with its error, its attempts and what was in it."""

import json
from typing import Any

import pytest

from lambdas.watch.letters import (
    LETTERS_OF_A_MESSAGE,
    TOLD_AT_MOST,
    Letter,
    Memory,
    letter_of,
    look,
    short,
)
from lambdas.watch.tell import Message


def upload(key: str, *, id_: str | None = None, code: str = "NO_PERMISSIONS") -> Letter:
    detail = {"bucket": {"name": "uploads"}, "object": {"key": key}}
    attributes = {"ERROR_CODE": code, "ERROR_MESSAGE": "refused", "RETRY_ATTEMPTS": "0"}
    return letter_of(id_ or key, json.dumps({"detail": detail}), attributes, 1.0)


def letter(body: object, **attributes: str) -> Letter:
    return letter_of("1", json.dumps(body), attributes, 1.0)


def see(
    *letters: Letter, memory: Memory | None = None, whole: bool = True
) -> tuple[list[Message], Memory]:
    memory, waiting, told = memory or {}, len(letters), list[Message]()
    for messages, kept in look("upload-target", letters, memory, waiting=waiting, whole=whole):
        told, memory = told + messages, kept
    return told, memory


def only(messages: list[Message]) -> Message:
    [message] = messages
    return message


def line_of(one: Letter) -> str:
    [line] = [line for line in only(see(one)[0]).lines if line.startswith("- ")]
    return line


def test_a_letter_is_told_with_error_attempts_content_and_what_to_do() -> None:
    assert only(see(upload("target/a.csv"))[0]) == Message(
        "queue/upload-target",
        "failure",
        "1 dead letter of upload-target",
        ["Error: NO_PERMISSIONS: refused", "- s3://uploads/target/a.csv; 1 attempt"],
        [
            "A role or policy was changed by hand: pulumi refresh, then pulumi up.",
            "Then send it again: the runbook says how, section 'Send a dead letter again'.",
        ],
    )


def test_a_letter_that_was_told_is_not_told_again_and_a_second_one_is() -> None:
    _, memory = see(upload("a"))
    assert see(upload("a"), memory=memory) == ([], memory)
    told, memory = see(upload("a"), upload("b"), memory=memory)
    assert only(told).lines == [
        "Error: NO_PERMISSIONS: refused",
        "- s3://uploads/b; 1 attempt",
        "1 more were reported earlier.",
    ]
    assert only(told).state == "retry"
    assert memory["told"] == sorted([short("a"), short("b")])


def test_two_letters_about_one_object_are_two_letters() -> None:
    told, _ = see(upload("a", id_="1"), upload("a", id_="2"))
    assert only(told).title == "2 dead letters of upload-target"


def test_a_letter_that_was_received_twice_is_told_once() -> None:
    assert only(see(upload("a"), upload("a"))[0]).title == "1 dead letter of upload-target"


def test_letters_with_one_error_share_its_line() -> None:
    told, _ = see(upload("a"), upload("b", code="THROTTLING"), upload("c"))
    assert only(told).lines == [
        "Error: NO_PERMISSIONS: refused",
        "- s3://uploads/a; 1 attempt",
        "- s3://uploads/c; 1 attempt",
        "Error: THROTTLING: refused",
        "- s3://uploads/b; 1 attempt",
    ]
    assert len(only(told).steps) == 3


@pytest.mark.parametrize(
    ("code", "step"),
    [
        ("NO_PERMISSIONS", "A role or policy was changed by hand: pulumi refresh, then pulumi up."),
        ("NO_RESOURCE", "The target is gone: pulumi refresh, then pulumi up."),
        (
            "THROTTLING",
            "AWS throttled it until the retries ran out: raise the quota or start less.",
        ),
        ("SDK_CLIENT_ERROR", "The target refused what it was sent: read the error."),
        ("ANOTHER", "Fix what the error says."),
    ],
)
def test_a_letter_says_what_to_do_about_its_error(code: str, step: str) -> None:
    again = "Then send it again: the runbook says how, section 'Send a dead letter again'."
    assert only(see(upload("a", code=code))[0]).steps == [step, again]


def test_a_flood_is_told_whole_in_several_messages() -> None:
    letters = [upload(str(number)) for number in range(2 * LETTERS_OF_A_MESSAGE + 1)]
    told, memory = see(*letters)
    lines = [line for message in told for line in message.lines if line.startswith("- ")]
    assert len(told) == 3
    assert sorted(lines) == sorted(line_of(one) for one in letters)
    assert len(memory["told"]) == len(letters)
    assert len(json.dumps(memory)) / len(letters) < 20


def test_what_is_gone_from_the_queue_is_forgotten_once_the_queue_was_read_whole() -> None:
    _, memory = see(upload("a"), upload("b"))
    _, partly = see(upload("b"), memory=memory, whole=False)
    assert partly["told"] == sorted([short("a"), short("b")])
    _, once = see(upload("b"), memory=memory)
    assert once == memory | {"gone": [short("a")]}
    assert see(upload("a"), upload("b"), memory=once) == ([], memory)
    assert see(upload("b"), memory=once) == ([], {"told": [short("b")]})


def test_what_was_told_is_remembered_before_the_next_message() -> None:
    letters = [upload(str(number)) for number in range(LETTERS_OF_A_MESSAGE + 1)]
    first, second, last = look("x", letters, {}, waiting=len(letters), whole=True)
    assert len(first[1]["told"]) == LETTERS_OF_A_MESSAGE
    assert len(second[1]["told"]) == len(letters)
    assert last == ([], second[1])


@pytest.mark.slow
def test_no_more_are_told_than_can_be_remembered() -> None:
    letters = [Letter(str(number), ("a", "b"), "c", "d", 1.0) for number in range(TOLD_AT_MOST + 5)]
    told, memory = see(*letters)
    assert len(memory["told"]) == TOLD_AT_MOST
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
    assert len(json.dumps(memory, separators=(",", ":"))) < 400_000
    assert len(told) == TOLD_AT_MOST // LETTERS_OF_A_MESSAGE
    assert see(*letters, memory=memory) == ([], memory)


def test_an_empty_queue_is_told_once_and_only_when_it_stays_empty() -> None:
    _, memory = see(upload("a"))
    told, memory = see(memory=memory)
    assert told == []
    assert see(upload("a"), memory=memory)[0] == []
    told, memory = see(memory=memory)
    assert only(told).state == "recovery"
    assert only(told).title == "upload-target has no dead letters left"
    assert memory == {}
    assert see(memory=memory) == ([], {})


def test_a_queue_that_only_seems_empty_is_not() -> None:
    _, memory = see(upload("a"))
    assert list(look("upload-target", [], memory, waiting=1, whole=False)) == [([], memory)]


def test_a_scheduled_start_names_its_schedule_and_when_it_was_due() -> None:
    one = letter(
        {"Input": "{}"},
        SCHEDULE_ARN="arn:aws:scheduler:eu-west-1:1:schedule/group/nightly-1a2b3c4",
        SCHEDULED_TIME="2026-06-01T10:00:00Z",
        ERROR_CODE="States.Throttled",
        RETRY_ATTEMPTS="185",
        EXHAUSTED_RETRY_CONDITION="MaximumRetryAttempts",
    )
    assert line_of(one) == (
        "- schedule nightly-1a2b3c4, due 2026-06-01T10:00:00Z; 186 attempts (MaximumRetryAttempts)"
    )


def test_a_scheduled_starts_input_says_when_it_was_due_if_nothing_else_does() -> None:
    input_ = json.dumps({"scheduledTime": "2026-06-01T10:00:00Z"})
    one = letter({"Input": input_}, SCHEDULE_ARN="a/nightly", ERROR_CODE="X")
    assert "due 2026-06-01T10:00:00Z" in line_of(one)


def test_what_a_function_failed_at_is_read_from_its_record() -> None:
    one = letter(
        {
            "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 3},
            "requestPayload": {"detail": {"taskArn": "arn:task", "lastStatus": "STOPPED"}},
            "responsePayload": {"errorType": "ValueError", "errorMessage": "no"},
        }
    )
    message = only(see(one)[0])
    assert message.lines == [
        "Error: RetriesExhausted: ValueError: no",
        "- task arn:task, STOPPED; 3 attempts",
    ]


def test_an_execution_that_could_not_be_told_is_named() -> None:
    one = letter({"detail": {"executionArn": "arn:execution", "status": "FAILED"}})
    assert line_of(one) == "- execution arn:execution, FAILED; attempts unknown"
    other = letter({"detail": {}, "detail-type": "Other", "id": "7"})
    assert line_of(other) == "- event Other 7; attempts unknown"


def test_arguments_and_variables_are_not_repeated() -> None:
    overrides: dict[str, Any] = {"containerOverrides": [{"command": ["s3cret"], "environment": []}]}
    assert "s3cret" not in line_of(letter({"Input": json.dumps(overrides)}, ERROR_CODE="X"))


def test_a_letter_that_is_no_json_is_told_by_its_size() -> None:
    one = letter_of("7", "[" * 40, {}, 1.0)
    assert line_of(one) == "- 40 characters, message 7; attempts unknown"


def test_a_letter_that_no_parser_takes_is_told_by_its_size() -> None:
    one = letter_of("7", '{"a":' * 200_000, {}, 1.0)
    assert line_of(one) == "- 1000000 characters, message 7; attempts unknown"


def test_a_key_cannot_add_a_line() -> None:
    assert line_of(upload("a\nError: b")) == "- s3://uploads/a\\u000aError: b; 1 attempt"
