"""Dead letters: what a trigger could not start, looked at, sent again once, or dropped.

A letter that is read is hidden from other readers for as long as that takes, and no longer.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from . import runs, targets
from .aws import code_of
from .errors import FAILED, OperateError
from .stack import Stack, Trigger
from .targets import Made, Start

# For how long a letter that is read is hidden, unless it is given back before.
LOOK_SECONDS = 30
SEND_SECONDS = 300
_AT_ONCE = 16
_PAGE = 10
"""Messages that SQS gives, or takes back, at a time."""


@dataclass(frozen=True)
class Letter:
    """One undelivered start."""

    id: str
    """The message's id, which stays the same however often it is read."""
    trigger: str
    """The trigger's label: `upload-NAME`."""
    source: str | None
    """The ARN of the rule or schedule."""
    error: str | None
    message: str | None
    attempts: int | None
    """How often it was tried again."""
    sent: datetime
    """When it came into the queue."""
    expires: datetime
    """When SQS deletes it."""
    about: str | None
    """The object's `s3://…`, or the time that was scheduled."""
    key: str | None
    body: str
    attributes: Mapping[str, str]
    queue_url: str
    receipt: str

    @property
    def days_left(self) -> float:
        """Until SQS deletes it."""
        return (self.expires - datetime.now(UTC)) / timedelta(days=1)


@dataclass(frozen=True)
class Filter:
    """Which letters are meant; what is None leaves all."""

    ids: tuple[str, ...] = ()
    """Beginnings of ids."""
    trigger: str | None = None
    key: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.ids or any(letter.id.startswith(one) for one in self.ids))
            and (self.trigger is None or letter.trigger == self.trigger)
            and (self.key is None or (letter.key is not None and self.key in letter.key))
            and (self.error is None or letter.error == self.error)
            and (self.since is None or letter.sent >= self.since)
            and (self.until is None or letter.sent <= self.until)
        )


@contextmanager
def taken(stack: Stack, want: Filter, seconds: int = LOOK_SECONDS) -> Generator[list[Letter]]:
    """The letters that are meant, oldest first, hidden from others within the block.

    Those not deleted by its end are given back. What ends the process gives them back after
    `seconds` at the latest.
    """
    received: list[Letter] = []
    try:
        queues = [
            trigger
            for label, trigger in stack.triggers.items()
            if trigger.queue is not None and want.trigger in {None, label}
        ]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for found in pool.map(lambda one: _receive(stack, one, seconds), queues):
                received += found
        wanted = [one for one in received if want.takes(one)]
        _give_back(stack, [one for one in received if not want.takes(one)])
        received = wanted
        yield sorted(wanted, key=lambda one: (one.sent, one.id))
    finally:
        _give_back(stack, received)


def waiting(stack: Stack) -> dict[str, int]:
    """How many letters each trigger has, by its label, those included that somebody looks at now.

    Hides none. A trigger without letters is left out.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        counts = pool.map(lambda one: _count(stack, one), stack.triggers.values())
        return {label: count for label, count in zip(stack.triggers, counts, strict=True) if count}


def _count(stack: Stack, trigger: Trigger) -> int:
    url = None if trigger.queue is None else _url(stack, trigger.queue)
    if url is None:
        return 0
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = stack.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return sum(int(found["Attributes"][name]) for name in names)


def send(stack: Stack, letter: Letter) -> Made:
    """Do what the trigger would have done, once, and delete the letter.

    A process that ends in between leaves the letter; sent again, AWS knows the start by its name
    for 90 days, or by its client token for a day, and makes no second one.

    Raises:
        OperateError: the trigger is gone, or its target refused; the letter stays.
    """
    made = targets.make(stack.aws, start_of(stack, letter))
    drop(stack, letter)
    return made


def drop(stack: Stack, letter: Letter) -> None:
    """Delete a letter."""
    stack.aws.client("sqs").delete_message(QueueUrl=letter.queue_url, ReceiptHandle=letter.receipt)


def start_of(stack: Stack, letter: Letter) -> Start:
    """The start that a letter stands for.

    Raises:
        OperateError: it cannot be made any more; says why.
    """
    found = letter.attributes
    body: Any = _parsed(letter.body)
    if "SCHEDULE_ARN" in found:
        return _of_schedule(stack, letter)
    if "RULE_ARN" in found:
        rule = found["RULE_ARN"].rpartition("/")[2]
        target = targets.of_rule(stack.aws, rule, found["TARGET_ARN"])
        unique = f"{body.get('id') or letter.id}/{found['RULE_ARN']}/{target['Id']}"
        payload = targets.input_of_rule(target, body)
        return Start(target, payload, _name(letter, unique), f"events-rule/{rule}")
    match body:
        case {"requestContext": {"functionArn": str(arn)}, "requestPayload": payload}:
            # What a function failed at, as Lambda's own destination writes it.
            function = arn.removesuffix(":$LATEST")
            return Start({"Arn": function}, json.dumps(payload), _name(letter, letter.id), "")
        case {"source": "aws.states" | "aws.ecs"} if letter.trigger == "alerts":
            # The alerts' own machine keeps the event that it could not tell of.
            machine = next(iter(stack.jobs.values())).machine_arn.rpartition(":")[0]
            target = {"Arn": f"{machine}:{stack.prefix}alerts-alerts"}
            return Start(target, letter.body, _name(letter, letter.id), "")
        case _:
            raise OperateError(f"{letter.id} does not say what sent it", FAILED)


def _of_schedule(stack: Stack, letter: Letter) -> Start:
    arn = letter.attributes["SCHEDULE_ARN"]
    target = targets.of_schedule(stack.aws, arn)["Target"]
    identity = letter.attributes.get("EXECUTION_ID") or letter.id
    scheduled = runs.moment(letter.attributes.get("SCHEDULED_TIME")) or letter.sent
    attempt = (letter.attempts or 0) + 2
    payload = targets.input_of_schedule(target, arn, scheduled, identity, attempt)
    by = f"chronos-schedule/{arn.rpartition('/')[2]}"
    return Start(target, payload, _name(letter, f"{identity}/{arn}"), by)


def _name(letter: Letter, unique: str) -> str:
    return runs.execution_name("letter", letter.trigger, unique)


def _receive(stack: Stack, trigger: Trigger, seconds: int) -> list[Letter]:
    """Everything in a queue that nobody else reads just now."""
    sqs = stack.aws.client("sqs")
    url = _url(stack, trigger.queue or "")
    if url is None:
        return []
    names = ["ApproximateNumberOfMessages", "MessageRetentionPeriod"]
    about = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    count = int(about["ApproximateNumberOfMessages"])
    kept = timedelta(seconds=int(about["MessageRetentionPeriod"]))
    found: dict[str, Letter] = {}
    while len(found) < count:
        # Only a receive that waits asks all of SQS's servers:
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
        messages = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=_PAGE,
            VisibilityTimeout=seconds,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages", [])
        new = [_letter(one, trigger, url, kept) for one in messages]
        if not new or all(one.id in found for one in new):
            break
        found |= {one.id: one for one in new}
    return list(found.values())


def _url(stack: Stack, queue: str) -> str | None:
    """Where a queue is; None if it is gone."""
    try:
        return stack.aws.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"]
    except ClientError as error:
        if code_of(error).rpartition(".")[2] not in {"NonExistentQueue", "QueueDoesNotExist"}:
            raise
        return None


def _letter(message: Mapping[str, Any], trigger: Trigger, url: str, kept: timedelta) -> Letter:
    attributes = {
        name: value.get("StringValue", "")
        for name, value in message.get("MessageAttributes", {}).items()
    }
    sent = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    body: Any = _parsed(message["Body"])
    about, key = attributes.get("SCHEDULED_TIME"), None
    match body:
        case {"detail": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}}:
            about = f"s3://{bucket}/{key}"
        case _:
            pass
    attempts = attributes.get("RETRY_ATTEMPTS", "")
    return Letter(
        id=message["MessageId"],
        trigger=trigger.label,
        source=attributes.get("RULE_ARN") or attributes.get("SCHEDULE_ARN"),
        error=attributes.get("ERROR_CODE"),
        message=attributes.get("ERROR_MESSAGE"),
        attempts=int(attempts) if attempts.isdecimal() else None,
        sent=sent,
        expires=sent + kept,
        about=about,
        key=key,
        body=message["Body"],
        attributes=attributes,
        queue_url=url,
        receipt=message["ReceiptHandle"],
    )


def _parsed(body: str) -> Any:  # noqa: ANN401 -- JSON
    try:
        return json.loads(body)
    except ValueError:
        return None


def _give_back(stack: Stack, letters: Iterable[Letter]) -> None:
    """Let others read them again; one that was deleted meanwhile is no matter."""
    by_queue: dict[str, list[Letter]] = {}
    for letter in letters:
        by_queue.setdefault(letter.queue_url, []).append(letter)
    for url, found in by_queue.items():
        for page in _pages(found):
            stack.aws.client("sqs").change_message_visibility_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": one.receipt, "VisibilityTimeout": 0}
                    for n, one in enumerate(page)
                ],
            )


def _pages(letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
    for start in range(0, len(letters), _PAGE):
        yield letters[start : start + _PAGE]
