"""Dead letters: which of a queue's have not been told of yet, and what each one says."""

import hashlib
import json
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .tell import Message

# So many are told in a message; more are in the next.
LETTERS_OF_A_MESSAGE = 100
# A queue's count is approximate: empty is what two looks found empty.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
EMPTY_LOOKS = 2

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
    """A message of a dead-letter queue. `sent` is in seconds since 1970."""

    id: str
    body: str
    attributes: Mapping[str, str]
    sent: float


def look(
    owner: str, seen: Sequence[Letter], memory: Memory, *, waiting: int, whole: bool
) -> tuple[list[Message], Memory]:
    """What to tell of a queue, and what to remember of it: `{"told": [id], "empty": looks}`.

    `owner` is whose queue it is; `waiting` how many messages it is said to have; `whole` whether
    `seen` is all that it has. Nothing to remember is an empty memory.
    """
    told = set[str](memory.get("told", []))
    if not waiting and not seen:
        empty = memory.get("empty", 0) + 1
        if told and empty < EMPTY_LOOKS:
            return [], {**memory, "empty": empty}
        return ([_empty(owner, len(told))] if told else []), {}
    ids = {short(letter.id): letter for letter in seen}
    fresh = [letter for key, letter in ids.items() if key not in told]
    kept = told & ids.keys() if whole else told
    return _tell(owner, fresh, len(told)), {"told": sorted(kept | ids.keys())}


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


def _tell(owner: str, fresh: Sequence[Letter], before: int) -> list[Message]:
    messages: list[Message] = []
    for start in range(0, len(fresh), LETTERS_OF_A_MESSAGE):
        some = sorted(fresh[start : start + LETTERS_OF_A_MESSAGE], key=lambda letter: letter.sent)
        groups: defaultdict[tuple[str, str], list[Letter]] = defaultdict(list)
        for letter in some:
            groups[_error(letter)].append(letter)
        letters = "dead letter" if len(some) == 1 else "dead letters"
        lines = [line for error, group in groups.items() for line in _lines(error, group)]
        if before + start:
            lines.append(f"{before + start} more were reported earlier.")
        steps = list(dict.fromkeys(_STEPS.get(code, _FIX) for code, _ in groups))
        state = "retry" if before + start else "failure"
        title = f"{len(some)} {letters} of {owner}"
        messages.append(Message(f"queue/{owner}", state, title, lines, [*steps, _AGAIN]))
    return messages


def _lines(error: tuple[str, str], letters: Iterable[Letter]) -> Iterable[str]:
    code, message = error
    yield f"Error: {code}{': ' if message else ''}{message}"
    for letter in letters:
        yield f"- {_content(letter)}; {_attempts(letter)}"


def _error(letter: Letter) -> tuple[str, str]:
    """What rules and schedules say in attributes, and functions in the body.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    if code := letter.attributes.get("ERROR_CODE"):
        return code, letter.attributes.get("ERROR_MESSAGE", "")
    body = _json(letter.body)
    context, answer = body.get("requestContext"), body.get("responsePayload")
    if isinstance(context, dict):
        failed: dict[str, Any] = answer if isinstance(answer, dict) else {}
        said = f"{failed.get('errorType', '')}: {failed.get('errorMessage', '')}".strip(": ")
        return str(context.get("condition", "unknown")), said
    return "unknown", "the letter does not say why"


def _attempts(letter: Letter) -> str:
    attributes = letter.attributes
    if (retries := attributes.get("RETRY_ATTEMPTS")) is not None and retries.isdecimal():
        count = int(retries) + 1
        exhausted = attributes.get("EXHAUSTED_RETRY_CONDITION")
        said = f"{count} attempt" if count == 1 else f"{count} attempts"
        return f"{said} ({exhausted})" if exhausted else said
    context = _json(letter.body).get("requestContext")
    if isinstance(context, dict) and "approximateInvokeCount" in context:
        return f"{context['approximateInvokeCount']} attempts"
    return "attempts unknown"


def _content(letter: Letter) -> str:
    """What was in it, without arguments and variables: those may be secret."""
    body = _json(letter.body)
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
    if arn := letter.attributes.get("SCHEDULE_ARN"):
        at = letter.attributes.get("SCHEDULED_TIME") or _json(body.get("Input")).get(
            "scheduledTime"
        )
        return f"schedule {arn.rpartition('/')[2]}{f', due {at}' if at else ''}"
    return f"{len(letter.body)} characters, message {letter.id}"


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _json(text: object) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
