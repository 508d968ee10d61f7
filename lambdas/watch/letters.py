"""Dead letters: which of a queue's have not been told of yet, and what each one says."""

import hashlib
import json
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .tell import Message

# So many are told in a message; more are in the next.
LETTERS_OF_A_MESSAGE = 100
# A queue's count is approximate: empty is what two looks found empty.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
EMPTY_LOOKS = 2
# An item of the table has 400 KB, and each letter takes 15 bytes of it.
TOLD_AT_MOST = 25_000

Memory = dict[str, Any]

_STEPS = {
    "NO_PERMISSIONS": "A role or policy was changed by hand: pulumi refresh, then pulumi up.",
    "NO_RESOURCE": "The target is gone: pulumi refresh, then pulumi up.",
    "THROTTLING": "AWS throttled it until the retries ran out: raise the quota or start less.",
    "SDK_CLIENT_ERROR": "The target refused what it was sent: read the error.",
}
_FIX = "Fix what the error says."
_AGAIN = "Then send it again: the runbook says how, section 'Send a dead letter again'."


@dataclass(frozen=True)
class Letter:
    """What is told of a message of a dead-letter queue, which may be large itself."""

    id: str
    error: tuple[str, str]
    content: str
    attempts: str
    sent: float
    """In seconds since 1970."""


def letter_of(message_id: str, body: str, attributes: Mapping[str, str], sent: float) -> Letter:
    """What is told of a message."""
    found = _json(body)
    return Letter(
        message_id,
        _error(found, attributes),
        _content(found, attributes) or f"{len(body)} characters, message {message_id}",
        _attempts(found, attributes),
        sent,
    )


def look(
    owner: str, seen: Sequence[Letter], memory: Memory, *, waiting: int, whole: bool
) -> Iterator[tuple[list[Message], Memory]]:
    """What to tell of a queue, and what to remember of it once that is told, in steps.

    `owner` is whose queue it is; `waiting` how many messages it is said to have; `whole` whether
    `seen` is all that it has. Remembered are the letters `told`, those of them that were `gone` at
    the last look, and for how many looks it has been `empty`. Nothing to remember is an empty
    memory.
    """
    told = set[str](memory.get("told", []))
    if not waiting and not seen:
        empty = memory.get("empty", 0) + 1
        if told and empty < EMPTY_LOOKS:
            yield [], {**memory, "empty": empty}
        else:
            yield ([_empty(owner, len(told))] if told else []), {}
        return
    ids = {short(letter.id): letter for letter in seen}
    fresh = [key for key in ids if key not in told][: TOLD_AT_MOST - len(told)]
    # One that somebody else reads meanwhile is not seen, and need not be counted.
    gone = told - ids.keys() if whole else set[str]()
    forgotten = gone & set[str](memory.get("gone", []))
    for start in range(0, len(fresh), LETTERS_OF_A_MESSAGE):
        some = fresh[start : start + LETTERS_OF_A_MESSAGE]
        message = _tell(owner, [ids[key] for key in some], len(told))
        told.update(some)
        yield [message], {"told": sorted(told)}
    left = {"gone": sorted(gone - forgotten)} if gone - forgotten else {}
    yield [], {"told": sorted(told - forgotten), **left}


def short(message_id: str) -> str:
    """Enough of a message's id to know it again among a queue's."""
    return b64encode(hashlib.sha256(message_id.encode()).digest()[:9]).decode()


def _empty(owner: str, count: int) -> Message:
    return Message(
        f"queue/{owner}",
        "recovery",
        f"{owner} has no dead letters left",
        [f"The {count} reported were dealt with, or expired after 14 days."],
    )


def _tell(owner: str, fresh: Sequence[Letter], before: int) -> Message:
    groups: defaultdict[tuple[str, str], list[Letter]] = defaultdict(list)
    for letter in sorted(fresh, key=lambda letter: letter.sent):
        groups[letter.error].append(letter)
    letters = "dead letter" if len(fresh) == 1 else "dead letters"
    lines = [line for error, group in groups.items() for line in _lines(error, group)]
    if before:
        lines.append(f"{before} more were reported earlier.")
    steps = list(dict.fromkeys(_STEPS.get(code, _FIX) for code, _ in groups))
    state = "retry" if before else "failure"
    title = f"{len(fresh)} {letters} of {owner}"
    return Message(f"queue/{owner}", state, title, lines, [*steps, _AGAIN])


def _lines(error: tuple[str, str], letters: Iterable[Letter]) -> Iterable[str]:
    code, message = error
    yield f"Error: {code}{': ' if message else ''}{message}"
    for letter in letters:
        yield f"- {letter.content}; {letter.attempts}"


def _error(body: Mapping[str, Any], attributes: Mapping[str, str]) -> tuple[str, str]:
    """What rules and schedules say in attributes, and functions in the body.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    if code := attributes.get("ERROR_CODE"):
        return code, attributes.get("ERROR_MESSAGE", "")
    context, answer = body.get("requestContext"), body.get("responsePayload")
    if isinstance(context, dict):
        failed: dict[str, Any] = answer if isinstance(answer, dict) else {}
        said = f"{failed.get('errorType', '')}: {failed.get('errorMessage', '')}".strip(": ")
        return str(context.get("condition", "unknown")), said
    return "unknown", "the letter does not say why"


def _attempts(body: Mapping[str, Any], attributes: Mapping[str, str]) -> str:
    if (retries := attributes.get("RETRY_ATTEMPTS")) is not None and retries.isdecimal():
        count = int(retries) + 1
        exhausted = attributes.get("EXHAUSTED_RETRY_CONDITION")
        said = f"{count} attempt" if count == 1 else f"{count} attempts"
        return f"{said} ({exhausted})" if exhausted else said
    context = body.get("requestContext")
    if isinstance(context, dict) and "approximateInvokeCount" in context:
        return f"{context['approximateInvokeCount']} attempts"
    return "attempts unknown"


def _content(body: Mapping[str, Any], attributes: Mapping[str, str]) -> str | None:
    """What was in it, without arguments and variables: those may be secret."""
    sent = body.get("requestPayload") if "requestContext" in body else body
    event: dict[str, Any] = sent if isinstance(sent, dict) else {}
    detail = event.get("detail")
    if isinstance(detail, dict):
        match detail:
            case {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}:
                return f"s3://{bucket}/{_one_line(key)}"
            case {"taskArn": str(task)}:
                return f"task {task}, {detail.get('lastStatus')}"
            case {"executionArn": str(execution)}:
                return f"execution {execution}, {detail.get('status')}"
            case _:
                return f"event {event.get('detail-type')} {event.get('id')}"
    if arn := attributes.get("SCHEDULE_ARN"):
        at = attributes.get("SCHEDULED_TIME") or _json(body.get("Input")).get("scheduledTime")
        return f"schedule {arn.rpartition('/')[2]}{f', due {at}' if at else ''}"
    return None


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _json(text: object) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
