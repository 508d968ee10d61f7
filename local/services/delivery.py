"""Deliveries: tried, after a while tried again, at last given up to a dead-letter queue.

Those of one line keep their order: a rule's to one of its targets, a function's events.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from local import faults
from local.clock import Clock
from local.ministack import internals
from local.runtime import Runtime
from local.services.iam import iam
from local.services.observers import Observers

Exhausted = Literal["attempts", "age"]
"""What ended the retries."""


class DeliveryError(Exception):
    """A delivery failed: the code and message of its dead letter, and whether to try again."""

    def __init__(self, code: str, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry = retry


@dataclass(frozen=True)
class RetryPolicy:
    """How often a delivery is tried again, until which age of it, after how many seconds each."""

    most_retries: int
    most_age: float
    wait: Callable[[int], float]


def backoff(retries: int) -> float:
    """The seconds before the next attempt of a rule or a schedule: more each time, with jitter.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
    """
    return min(2.0**retries, 300.0) * random.uniform(0.5, 1)  # noqa: S311 - spreads load


def retry_policy(target: Mapping[str, Any]) -> RetryPolicy:
    """The policy of a target of PutTargets or CreateSchedule."""
    policy: Mapping[str, int] = target.get("RetryPolicy") or {}
    return RetryPolicy(
        policy.get("MaximumRetryAttempts", 185),
        policy.get("MaximumEventAgeInSeconds", 86_400),
        backoff,
    )


def why(error: DeliveryError, retries: int, exhausted: Exhausted | None) -> dict[str, str]:
    """The attributes of a rule's or a schedule's dead letter that say why it is one.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    attributes = {
        "ERROR_CODE": error.code,
        "ERROR_MESSAGE": error.message or error.code,
        "RETRY_ATTEMPTS": str(retries),
    }
    conditions = {"attempts": "MaximumRetryAttempts", "age": "MaximumEventAgeInSeconds"}
    if exhausted is not None:
        attributes["EXHAUSTED_RETRY_CONDITION"] = conditions[exhausted]
    return attributes


# Told a queue's ARN and the attributes of the message.
_dead_letters: Observers[[str, Mapping[str, str]]] = Observers()
observe_dead_letters = _dead_letters.observe


def send_dead_letter(
    queue_arn: str, body: str, attributes: Mapping[str, str], allow: Callable[[], None]
) -> None:
    """Send a message with text attributes, if `allow` does not raise AccessDenied."""
    try:
        allow()
    except iam.AccessDenied:
        return
    if (queue := internals.queue_by_arn(queue_arn)) is None:
        return
    message = {
        "QueueUrl": queue["url"],
        "MessageBody": body,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
    }
    internals.send_message(message, queue["url"])
    _dead_letters.tell(queue_arn, attributes)


@dataclass(kw_only=True)
class Sending:
    """A delivery on its way: a service adds what is delivered, and to whom."""

    first: float = field(default_factory=time.monotonic)
    retries: int = 0


D = TypeVar("D", bound=Sending)


class Deliveries(Generic[D]):
    """The deliveries of one service, made by threads until the cloud closes.

    Args:
        cloud: whose account, Region, wait scale and faults they have.
        name: of the threads.
        attempt: makes one; raises `DeliveryError`. Any other error is one that is not retried.
        policy: how often one is tried again.
        give_up: what becomes of one that failed for good.
    """

    def __init__(
        self,
        cloud: Runtime,
        name: str,
        attempt: Callable[[D], None],
        policy: Callable[[D], RetryPolicy],
        give_up: Callable[[D, DeliveryError, Exhausted | None], None],
    ) -> None:
        self.clock = Clock()
        self._cloud = cloud
        self._attempt = attempt
        self._policy = policy
        self._give_up = give_up
        self._pool = ThreadPoolExecutor(8, thread_name_prefix=name)
        self._lines: dict[Hashable, deque[D]] = {}
        self._serving: set[Future[None]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def stop(self) -> None:
        """Begin no attempt any more."""
        with self._lock:
            self._closed = True
            self._lines.clear()
        self.clock.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def join(self, seconds: float | None = None) -> None:
        """Wait for the attempts that are being made."""
        with self._lock:
            # One that was cancelled in the pool's queue never ends for who waits for it.
            serving = {one for one in self._serving if not one.cancelled()}
        wait(serving, seconds)

    def close(self) -> None:
        """Stop, and wait."""
        self.stop()
        self.join()

    def send(self, delivery: D, line: Hashable, about: str | None = None) -> None:
        """Queue a delivery behind those of its line; returns at once.

        `about` names it the same in every run: the faults may deliver it late or twice.
        """
        # At least once: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-what-is.html
        copies = 2 if about is not None and self._cloud.faults.occurs("duplicate", about) else 1
        for _ in range(copies):
            one = replace(delivery)
            if about is not None and self._cloud.faults.occurs("delay", about):
                self._later(faults.DELAY_SECONDS, one, line)
            else:
                self._queue(one, line)

    def _later(self, seconds: float, delivery: D, line: Hashable) -> None:
        self.clock.after(seconds * self._cloud.wait_scale, lambda: self._queue(delivery, line))

    def _queue(self, delivery: D, line: Hashable) -> None:
        with self._lock:
            if self._closed:
                return
            waiting = self._lines.get(line)
            if waiting is not None:
                waiting.append(delivery)
                return
            self._lines[line] = deque([delivery])
            self._serving = {serving for serving in self._serving if not serving.done()}
            self._serving.add(self._pool.submit(self._serve, line))

    def _serve(self, line: Hashable) -> None:
        while True:
            with self._lock:
                waiting = self._lines.get(line)
                if not waiting:
                    self._lines.pop(line, None)
                    return
                delivery = waiting.popleft()
            with self._cloud.scope():
                self._try(delivery, line)

    def _try(self, delivery: D, line: Hashable) -> None:
        try:
            self._attempt(delivery)
        except DeliveryError as error:
            self._failed(delivery, line, error)
        except Exception as error:  # noqa: BLE001 - a defect of one must not end its line
            message = f"{type(error).__name__}: {error}"
            self._failed(delivery, line, DeliveryError("INTERNAL_ERROR", message, retry=False))

    def _failed(self, delivery: D, line: Hashable, error: DeliveryError) -> None:
        if self._closed:
            return
        exhausted: Exhausted | None = None
        if error.retry:
            policy = self._policy(delivery)
            seconds = policy.wait(delivery.retries)
            past = (time.monotonic() - delivery.first) / (self._cloud.wait_scale or 1.0)
            if delivery.retries >= policy.most_retries:
                exhausted = "attempts"
            elif past + seconds > policy.most_age:
                exhausted = "age"
            else:
                delivery.retries += 1
                self._later(seconds, delivery, line)
                return
        self._give_up(delivery, error, exhausted)
