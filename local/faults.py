"""What goes wrong on purpose, the same each time: a seed and a name decide, never the clock.

Each place that can fail asks `occurs` with a name of what it does that is the same in every run,
such as the object's key; of several times that it asks, each is decided on its own.
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

DEFAULT_PROBABILITY = 0.1
DELAY_SECONDS = 30.0
"""How late a delayed event is, before the cloud's wait scale."""

FAULTS = {
    "throttle": "RunTask is throttled (ThrottlingException)",
    "no-start": "a task does not start: its network interface takes too long",
    "spot": "Fargate takes a Spot task away (SIGTERM, SpotInterruption)",
    "kill": "a container is killed (SIGKILL, exit code 137)",
    "drop": "a delivery of an event fails: it is tried again, at last a dead letter",
    "duplicate": "an event is delivered twice",
    "delay": "an event is delivered late",
    "function": "a Lambda function raises",
    "refuse": "a rule or schedule may not start what it should (NO_PERMISSIONS)",
}


class FaultError(ValueError):
    """There is no such fault, or the probability is none: one line that says what there is."""


def parse(text: str) -> dict[str, float]:
    """`NAME[:PROBABILITY][,…]` as probabilities by name.

    Raises:
        FaultError: an unknown name, one given twice, or no probability from 0 to 1.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition(":")
        if name not in FAULTS:
            raise FaultError(f"there is no fault {name!r}; there are: {', '.join(FAULTS)}")
        if name in found:
            raise FaultError(f"the fault {name} is there twice")
        try:
            found[name] = float(number) if number else DEFAULT_PROBABILITY
        except ValueError:
            found[name] = -1.0
        if not 0 <= found[name] <= 1:
            raise FaultError(f"{name}: the probability {number!r} is not a number from 0 to 1")
    return found


@dataclass(frozen=True, order=True)
class Occurrence:
    """One fault that happened, to what, and the how manyth time it was asked about that."""

    fault: str
    subject: str
    attempt: int


class Faults:
    """The faults of one cloud.

    Args:
        probabilities: how likely each is, 0 to 1, whenever it could occur.
        seed: another one has them elsewhere.
    """

    def __init__(self, probabilities: Mapping[str, float], seed: int = 0) -> None:
        given = ",".join(f"{name}:{number}" for name, number in probabilities.items())
        self.probabilities = parse(given) if given else {}
        self.seed = seed
        self._asked: Counter[tuple[str, str]] = Counter()
        self._occurred: list[Occurrence] = []
        self._lock = threading.Lock()

    @property
    def occurred(self) -> list[Occurrence]:
        """What has happened so far, sorted."""
        with self._lock:
            return sorted(self._occurred)

    def occurs(self, fault: str, subject: str) -> bool:
        """Whether a fault happens to `subject` this time."""
        probability = self.probabilities.get(fault, 0.0)
        if not probability:
            return False
        with self._lock:
            attempt = self._asked[fault, subject]
            self._asked[fault, subject] += 1
            text = json.dumps([self.seed, fault, subject, attempt])
            drawn = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
            if drawn >= probability:
                return False
            self._occurred.append(Occurrence(fault, subject, attempt))
        return True


def of_event(event: Mapping[str, Any]) -> str:
    """What an event is about, the same in every run: ids and times are not."""
    detail = cast("Mapping[str, Any]", event.get("detail") or {})
    match event.get("source"):
        case "aws.s3":
            return f"s3://{detail['bucket']['name']}/{detail['object']['key']}"
        case "aws.ecs" if "overrides" in detail:
            definition = str(detail.get("taskDefinitionArn"))
            return f"{of_task(definition, detail['overrides'])} {detail.get('lastStatus')}"
        case "aws.states":
            machine = str(detail.get("stateMachineArn")).rpartition(":")[2]
            return f"{machine} {of_input(detail.get('input'))} {detail.get('status')}"
        case _:
            return json.dumps(detail, sort_keys=True)


def of_input(text: object) -> str:
    """What an execution's input is about."""
    try:
        found: object = json.loads(str(text))
        if isinstance(found, dict) and "detail" in found:
            return of_event(cast("dict[str, Any]", found))
    except (ValueError, AttributeError, KeyError, TypeError):
        # Not JSON, or an input by hand that only looks like an event.
        pass
    return str(text)


def of_task(task_definition: str, overrides: Mapping[str, Any]) -> str:
    """What a task is about: its job, and the object or command it was given."""
    family = task_definition.rpartition("/")[2].partition(":")[0]
    containers = cast("list[dict[str, Any]]", overrides.get("containerOverrides") or [])
    given = {
        pair["name"]: pair["value"] for one in containers for pair in one.get("environment", [])
    }
    if "OBJECT_KEY" in given:
        return f"{family} s3://{given.get('BUCKET')}/{given['OBJECT_KEY']}"
    return f"{family} {json.dumps([one.get('command') for one in containers])}"
