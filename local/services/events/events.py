"""EventBridge: an event that matches a rule to each of the rule's targets, later and in order.

Matching stays MiniStack's; inputs, deliveries, retries and dead letters are made here.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rules.html
"""

import functools
import json
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from local import faults
from local.clock import Clock
from local.ministack import internals
from local.ministack.internals import EventView
from local.runtime import Runtime
from local.services import dead_letters
from local.services.events import targets
from local.services.iam import iam
from local.services.scheduler import expressions
from local.shapes import Json

Outcome = Literal["matched", "delivered", "failed"]


@dataclass(frozen=True)
class Delivery:
    """A step of one event on its way to one target of a rule.

    `outcome` is "matched" once, then "delivered" or "failed"; `error` is the code of a failure.
    `event` is the event as the rule saw it.
    """

    rule_arn: str
    rule_name: str
    target_arn: str
    event: dict[str, Any]
    outcome: Outcome
    error: str | None = None


_observers: list[Callable[[Delivery], object]] = []


@contextmanager
def observe(callback: Callable[[Delivery], object]) -> Generator[None]:
    """Tell `callback` of every delivery within the block, from the thread that makes it."""
    _observers.append(callback)
    try:
        yield
    finally:
        _observers.remove(callback)


def install(cloud: Runtime) -> None:
    """Deliver events as AWS does, until the cloud closes."""
    deliveries = _Deliveries(cloud)
    cloud.on_close(deliveries.close)
    internals.send_to_target.replace(deliveries.take)
    internals.takes_schedule.replace(
        lambda expression: not expression or expressions.problem(expression, at=False) is None
    )
    internals.dispatch_event.replace(_dispatch_event)
    internals.send_object_event.replace(_send_object_event)


def _dispatch_event(event: dict[str, Any], view: EventView | None = None) -> None:
    internals.dispatch_event.original(*_as_s3_sends(event, view))


def _send_object_event(*arguments: Json, **named: Json) -> None:
    token = _version.set(named.get("version_id"))
    try:
        internals.send_object_event.original(*arguments, **named)
    finally:
        _version.reset(token)


_version: ContextVar[str | None] = ContextVar("version_id", default=None)


def _as_s3_sends(
    event: dict[str, Any], view: EventView | None
) -> tuple[dict[str, Any], EventView | None]:
    """An event of S3 in the shape S3 gives it; any other unchanged.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """
    if event.get("Source") != "aws.s3":
        return event, view
    detail = json.loads(event["Detail"])
    if detail.pop("event-version", None) is None:
        return event, view
    if version := _version.get():
        detail["object"]["version-id"] = version
    detail["request-id"] = detail["request-id"].replace("-", "")[:16].upper()
    shaped = {**event, "EventId": str(uuid.uuid4()), "Detail": json.dumps(detail)}
    return shaped, None


@dataclass
class _Sending:
    target: dict[str, Any]
    rule: dict[str, Any]
    event: dict[str, Any]
    envelope: dict[str, Any]
    first: float
    attempts: int = 0

    @property
    def about(self) -> str:
        """What is delivered to whom, the same in every run."""
        return f"{self.rule['Name']}/{self.target['Id']} {faults.of_event(self.event)}"


class _Deliveries:
    """A line of deliveries for each target of each rule, so that its events keep their order."""

    def __init__(self, cloud: Runtime) -> None:
        self._cloud = cloud
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="delivery")
        self._clock = Clock()
        self._lines: dict[tuple[str, str], deque[_Sending]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Deliver nothing more."""
        with self._lock:
            self._closed = True
            self._lines.clear()
        self._clock.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def take(
        self,
        target: dict[str, Any],
        event: dict[str, Any],
        rule: dict[str, Any],
        view: EventView | None = None,
    ) -> None:
        """Queue one delivery; returns at once."""
        if target["Arn"].split(":")[2] == "events":
            internals.send_to_target.original(target, event, rule, view)
            return
        view = view or internals.event_view(event)
        whole: dict[str, Any] = view.event_with_detail()
        sending = _Sending(dict(target), dict(rule), whole, view.envelope(), time.monotonic())
        _tell(sending, "matched")
        # At least once: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-what-is.html
        copies = 2 if self._cloud.faults.strikes("duplicate", sending.about) else 1
        for _ in range(copies):
            if self._cloud.faults.strikes("delay", sending.about):
                late = replace(sending)
                seconds = faults.DELAY_SECONDS * self._cloud.wait_scale
                self._clock.after(seconds, functools.partial(self._queue, late))
            else:
                self._queue(replace(sending))

    def _queue(self, sending: _Sending) -> None:
        line = (sending.rule["Arn"], sending.target["Id"])
        with self._lock:
            if self._closed:
                return
            waiting = self._lines.get(line)
            if waiting is not None:
                waiting.append(sending)
                return
            self._lines[line] = deque([sending])
            self._pool.submit(self._serve, line)

    def _serve(self, line: tuple[str, str]) -> None:
        while True:
            with self._lock:
                waiting = self._lines.get(line)
                if not waiting:
                    self._lines.pop(line, None)
                    return
                sending = waiting.popleft()
            with self._cloud.scope():
                self._send(sending)

    def _send(self, sending: _Sending) -> None:
        rule, target = sending.rule, sending.target
        sender = targets.Sender(
            principal="events.amazonaws.com",
            source_arn=rule["Arn"],
            role_arn=target.get("RoleArn"),
            started_by=f"events-rule/{rule['Name']}",
            execution_name=execution_name(sending.event["id"], rule["Arn"], target["Id"]),
            about=sending.about,
        )
        try:
            targets.deliver(target, target_input(target, rule, sending), sender, self._cloud.faults)
        except targets.DeliveryError as error:
            self._failed(sending, error)
        except Exception as error:  # noqa: BLE001 - a defect of one target must not end the line
            message = f"{type(error).__name__}: {error}"
            self._failed(sending, targets.DeliveryError("INTERNAL_ERROR", message, retry=False))
        else:
            _tell(sending, "delivered")

    def _failed(self, sending: _Sending, error: targets.DeliveryError) -> None:
        exhausted = None
        if error.retry:
            scale = self._cloud.wait_scale
            delay = min(2.0**sending.attempts, 300.0) * scale
            age = time.monotonic() - sending.first + delay
            exhausted = targets.exhausted(sending.target, sending.attempts, age, scale)
            if exhausted is None:
                sending.attempts += 1
                self._clock.after(delay, lambda: self._queue(sending))
                return
        self._bury(sending, error, exhausted)
        _tell(sending, "failed", error.code)

    def _bury(self, sending: _Sending, error: targets.DeliveryError, exhausted: str | None) -> None:
        queue_arn: str | None = (sending.target.get("DeadLetterConfig") or {}).get("Arn")
        if queue_arn is None:
            return
        rule_arn: str = sending.rule["Arn"]
        attributes = {
            "RULE_ARN": rule_arn,
            "TARGET_ARN": sending.target["Arn"],
            "ERROR_CODE": error.code,
            "ERROR_MESSAGE": error.message or error.code,
            "RETRY_ATTEMPTS": str(sending.attempts),
        }
        if exhausted is not None:
            attributes["EXHAUSTED_RETRY_CONDITION"] = exhausted
        try:
            iam.for_service_send_message("events.amazonaws.com", queue_arn, rule_arn)
        except iam.AccessDenied:
            return
        dead_letters.send(queue_arn, json.dumps(sending.event, ensure_ascii=False), attributes)


def _tell(sending: _Sending, outcome: Outcome, error: str | None = None) -> None:
    rule = sending.rule
    delivery = Delivery(
        rule["Arn"], rule["Name"], sending.target["Arn"], sending.event, outcome, error
    )
    for observer in tuple(_observers):
        observer(delivery)


def execution_name(event_id: str, rule_arn: str, target_id: str) -> str:
    """The name of the execution that a rule's target starts for an event: always the same one."""
    return f"{event_id}_{uuid.uuid5(uuid.NAMESPACE_URL, f'{rule_arn}/{target_id}')}"


# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
def target_input(target: dict[str, Any], rule: dict[str, Any], sending: _Sending) -> str:
    """What a target is given: a JSON text.

    Raises:
        DeliveryError: the input is not valid JSON.
    """
    if transformer := target.get("InputTransformer"):
        text = transformed(transformer, rule, sending.event, sending.envelope)
    elif "Input" in target:
        text = cast("str", target["Input"])
    elif path := target.get("InputPath"):
        text = json.dumps(at_path(sending.event, path), ensure_ascii=False)
    else:
        return json.dumps(sending.event, ensure_ascii=False)
    try:
        json.loads(text)
    except ValueError as error:
        raise targets.DeliveryError("INVALID_JSON", f"{error}: {text}", retry=False) from None
    return text


_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']+)'\]")
_QUOTED_OR_VARIABLE = re.compile(r'"(?:\\.|[^"\\])*"|<[^<>"]+>')
_VARIABLE = re.compile(r"<([^<>]+)>")


def at_path(document: Json, path: str) -> Json:
    """What a path such as `$.detail.object.key` or `$.resources[0]` leads to; None if nowhere."""
    found: Any = document
    for name, index, quoted in _STEP.findall(path):
        try:
            found = found[int(index)] if index else found[name or quoted]
        except (IndexError, KeyError, TypeError):
            return None
    return found


def transformed(
    transformer: dict[str, Any],
    rule: dict[str, Any],
    event: dict[str, Any],
    envelope: dict[str, Any],
) -> str:
    """The text an input transformer makes of an event, be it valid JSON or not.

    A variable without quotes becomes a JSON value; within quotes its text is spliced in as it is,
    with no escaping, objects and lists without their quotes. A path that leads nowhere is empty.
    """
    paths: dict[str, str] = transformer.get("InputPathsMap") or {}
    values: dict[str, Any] = {
        "aws.events.rule-arn": rule["Arn"],
        "aws.events.rule-name": rule["Name"],
        "aws.events.event": envelope,
        "aws.events.event.json": event,
        "aws.events.event.ingestion-time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    values |= {name: at_path(event, path) for name, path in paths.items()}

    def spliced(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        return _compact(value).replace('"', "")

    def rendered(match: re.Match[str]) -> str:
        token = match[0]
        if token.startswith('"'):
            return _VARIABLE.sub(spliced, token)
        value = values.get(token[1:-1])
        return '""' if value is None else _compact(value)

    return _QUOTED_OR_VARIABLE.sub(rendered, transformer["InputTemplate"])


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
