"""The control path of a running cloud, beside AWS's: `/_fargate-batch/…` on the same port.

`/_fargate-batch/outputs` answers what `up --json` prints; `/_fargate-batch/fire?name=…` fires a
schedule, by its name or ARN. AWS itself has neither: there, the outputs are Pulumi's to tell, and a
schedule is only fired by its clock.
"""

from collections.abc import Mapping
from typing import Any

from local.services.scheduler import schedules

PREFIX = "/_fargate-batch/"
OUTPUTS = f"{PREFIX}outputs"
FIRE = f"{PREFIX}fire"

_contracts: list[Mapping[str, Any]] = []


def serve(contract: Mapping[str, Any]) -> None:
    """Answer with `contract` when asked for the outputs."""
    _contracts[:] = [contract]


def answer(path: str, query: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
    """The status and the JSON body of a request to the control path."""
    if path != OUTPUTS:
        return schedules.handle_control(path, query)
    if not _contracts:
        return 404, {"message": "the stack is not created yet: ask again in a moment"}
    return 200, _contracts[-1]
