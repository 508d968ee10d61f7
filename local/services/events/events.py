"""EventBridge: an event that matches a rule to each of the rule's targets, later and in order.

Matching stays MiniStack's; inputs, deliveries, retries and dead letters are made here.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rules.html
"""

import json
import re
import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, cast

from local import faults
from local.ministack import internals
from local.ministack.internals import EventView
from local.runtime import Runtime
from local.services import delivery
from local.services.delivery import Deliveries, DeliveryError, Exhausted
from local.services.events import targets
from local.services.iam import iam
from local.services.observers import Observers
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


_deliveries: Observers[[Delivery]] = Observers()
observe = _deliveries.observe


def install(cloud: Runtime) -> None:
    """Deliver events as AWS does, until the cloud closes."""
    rules = _Rules(cloud)
    cloud.on_close(rules.close)
    internals.send_to_target.replace(rules.take)
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


@dataclass(kw_only=True)
class _Sending(delivery.Sending):
    target: dict[str, Any]
    rule: dict[str, Any]
    event: dict[str, Any]
    envelope: dict[str, Any]

    @property
    def about(self) -> str:
        """What is delivered to whom, the same in every run."""
        return f"{self.rule['Name']}/{self.target['Id']} {faults.of_event(self.event)}"


class _Rules:
    """The deliveries of the rules of the open cloud."""

    def __init__(self, cloud: Runtime) -> None:
        self._faults = cloud.faults
        self._deliveries = Deliveries[_Sending](
            cloud,
            "rule",
            self._deliver,
            lambda sending: delivery.retry_policy(sending.target),
            _give_up,
        )
        self.close = self._deliveries.close

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
        sending = _Sending(
            target=dict(target),
            rule=dict(rule),
            event=view.event_with_detail(),
            envelope=view.envelope(),
        )
        _tell(sending, "matched")
        self._deliveries.send(sending, (rule["Arn"], target["Id"]), sending.about)

    def _deliver(self, sending: _Sending) -> None:
        rule, target = sending.rule, sending.target
        sender = targets.Sender(
            principal="events.amazonaws.com",
            source_arn=rule["Arn"],
            role_arn=target.get("RoleArn"),
            started_by=f"events-rule/{rule['Name']}",
            execution_name=execution_name(sending.event["id"], rule["Arn"], target["Id"]),
            about=sending.about,
        )
        targets.deliver(target, target_input(target, rule, sending), sender, self._faults)
        _tell(sending, "delivered")


def _give_up(sending: _Sending, error: DeliveryError, exhausted: Exhausted | None) -> None:
    queue_arn: str | None = (sending.target.get("DeadLetterConfig") or {}).get("Arn")
    rule_arn: str = sending.rule["Arn"]
    if queue_arn is not None:
        attributes = {
            "RULE_ARN": rule_arn,
            "TARGET_ARN": sending.target["Arn"],
            **delivery.why(error, sending.retries, exhausted),
        }
        body = json.dumps(sending.event, ensure_ascii=False)
        service = "events.amazonaws.com"
        delivery.send_dead_letter(
            queue_arn,
            body,
            attributes,
            lambda: iam.for_service_send_message(service, queue_arn, rule_arn),
        )
    _tell(sending, "failed", error.code)


def _tell(sending: _Sending, outcome: Outcome, error: str | None = None) -> None:
    rule = sending.rule
    step = Delivery(rule["Arn"], rule["Name"], sending.target["Arn"], sending.event, outcome, error)
    _deliveries.tell(step)


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
        raise DeliveryError("INVALID_JSON", f"{error}: {text}", retry=False) from None
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
