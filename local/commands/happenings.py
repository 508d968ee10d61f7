"""What happens in a cloud, a line each: uploads, runs and how they end, dead letters, messages."""

import contextlib
import json
import threading
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from local.commands.screen import Screen
from local.services import delivery, sns
from local.services.events import events
from local.services.events.events import Delivery
from operate.outcomes import WHAT_TO_DO
from operate.stack import Stack

_KNOWN = 1000
_LONGEST = 300
_STARTED = "RUNNING"


class Happenings:
    """Tells a screen what the stack's rules, dead-letter queues and topic of alerts see.

    Each event once, however many rules it matches.
    """

    def __init__(self, stack: Stack, screen: Screen) -> None:
        self._stack = stack
        self._screen = screen
        self._seen: deque[str] = deque(maxlen=_KNOWN)
        self._lock = threading.Lock()
        self._uploads = {one.rule: name for name, one in stack.uploads.items()}
        self._queues = {one.queue: label for label, one in stack.triggers.items()}

    @contextmanager
    def told(self) -> Generator[None]:
        """Tell what happens within the block."""
        with (
            events.observe(self.delivery),
            delivery.observe_dead_letters(self.letter),
            sns.observe(self.message),
        ):
            yield

    def delivery(self, step: Delivery) -> None:
        """Tell of an event that matched a rule."""
        event = step.event
        detail: Mapping[str, Any] = event.get("detail") or {}
        if step.outcome != "matched":
            return
        match event.get("source"):
            case "aws.s3" if step.rule_name in self._uploads:
                name = self._uploads[step.rule_name]
                found = f"s3://{detail['bucket']['name']}/{detail['object']['key']}"
                self._say("upload", f"{found}, which starts {name}")
            case "aws.states" if self._is_new(event):
                self._execution(detail)
            case "aws.ecs" if self._is_new(event):
                self._task(detail)
            case _:
                pass

    def letter(self, queue_arn: str, attributes: Mapping[str, str]) -> None:
        """Tell of a dead letter."""
        queue = queue_arn.rpartition(":")[2]
        label = self._queues.get(queue, queue)
        why = ": ".join(
            attributes[name] for name in ("ERROR_CODE", "ERROR_MESSAGE") if name in attributes
        )
        self._say("letter", f"of {label}: {why or 'the function failed'}")

    def message(self, topic_arn: str, subject: str, text: str) -> None:
        """Tell of a message that AWS would send to those who are named in the alerts."""
        if topic_arn == self._stack.index["alertsTopicArn"]:
            self._say("message", f"{subject}: {' '.join(text.split())}")

    def _execution(self, detail: Mapping[str, Any]) -> None:
        named = self._stack.named(detail["stateMachineArn"].rpartition(":")[2])
        if named is None:
            return
        called = f"{named[0]} {named[1]}, {detail['name']}"
        if detail["status"] == _STARTED:
            self._say("started", called)
            return
        why = [detail.get("error"), (detail.get("cause") or "").partition(WHAT_TO_DO)[0]]
        said = ": ".join(text for text in why if text) or _why_skipped(detail.get("output"))
        self._say("ended", f"{called}: {detail['status'].lower()}{f', {said}' if said else ''}")

    def _task(self, detail: Mapping[str, Any]) -> None:
        """A task of no execution: theirs are told by them."""
        group = detail.get("group") or ""
        if group.startswith("execution:") or detail["lastStatus"] not in {_STARTED, "STOPPED"}:
            return
        containers: list[Mapping[str, Any]] = detail.get("containers") or [{}]
        called = f"task {containers[0].get('name')}, {detail['taskArn'].rpartition('/')[2]}"
        if detail["lastStatus"] == _STARTED:
            self._say("started", called)
            return
        code = containers[0].get("exitCode")
        how = detail.get("stoppedReason") if code is None else f"exit code {code}"
        self._say("ended", f"{called}: {how}")

    def _is_new(self, event: Mapping[str, Any]) -> bool:
        with self._lock:
            if event["id"] in self._seen:
                return False
            self._seen.append(event["id"])
            return True

    def _say(self, what: str, text: str) -> None:
        # Who reads no more is no reason to deliver no more.
        with contextlib.suppress(OSError, ValueError):
            self._screen.event(what, text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _why_skipped(output: str | None) -> str:
    """What an execution says that did nothing on purpose; empty of any other."""
    if '"skipped"' not in (output or ""):
        return ""
    said: Mapping[str, Any] = json.loads(output or "{}")
    if "running" in said:
        return "skipped: an earlier run goes on"
    return "skipped: its key is excluded" if said.get("skipped") is True else ""
