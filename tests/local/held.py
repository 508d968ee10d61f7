"""Tasks that stay in PROVISIONING for as long as a test wants, and starts at a certain moment."""

import json
import threading
from typing import Any

import pytest

from local.services.ecs import containers, ecs
from local.services.ecs.containers import Place, StartError
from local.services.iam import iam
from local.services.stepfunctions import states

SECONDS = 240


class HeldTasks:
    """No task is given its role and its image until `go`, as in AWS it takes a while after RunTask.

    One start of a state machine's task whose overrides have the text `fails` fails then.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: str | None = None) -> None:
        self.go = threading.Event()
        self._authorise = containers.authorise
        self._fails = fails
        monkeypatch.setattr(containers, "authorise", self._wait)

    def _wait(self, definition: dict[str, Any], role_arn: str | None, place: Place) -> None:
        assert self.go.wait(SECONDS)
        tasks = ecs.find_tasks(started_by="AWS Step Functions")
        overrides = [one["overrides"] for one in tasks if one["taskArn"].endswith(place.task_id)]
        if self._fails is not None and self._fails in json.dumps(overrides):
            self._fails = None
            raise StartError("Timeout waiting for network interface provisioning to complete.")
        self._authorise(definition, role_arn, place)


def start_just_before_update(monkeypatch: pytest.MonkeyPatch, machine_arn: str, role: str) -> str:
    """Start an execution when all that its state machine takes is updated, and it is not yet.

    `role` is how the state machine's role's name begins. Returns the execution's ARN.
    """
    check = iam.for_log_delivery

    def start_and_check(role_arn: str) -> None:
        if f"/{role}" in role_arn:
            states.start_execution({"stateMachineArn": machine_arn, "name": "just-before"})
        check(role_arn)

    monkeypatch.setattr(iam, "for_log_delivery", start_and_check)
    return f"{machine_arn.replace(':stateMachine:', ':execution:')}:just-before"
