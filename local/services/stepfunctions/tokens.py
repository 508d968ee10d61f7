"""Task tokens: what a state that waits for a callback is called back by.

A token says whose it is, so that calling back can be authorised on that state machine.
"""

import base64
import binascii
import json
import uuid
from typing import cast


def make(machine_arn: str) -> str:
    """A new token of an execution of this state machine."""
    held = json.dumps({"stateMachine": machine_arn, "id": str(uuid.uuid4())})
    return base64.urlsafe_b64encode(held.encode()).decode()


def machine_of(token: str) -> str | None:
    """The ARN of the state machine whose token it is; None if it is no token."""
    try:
        held: object = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error):
        return None
    return cast("dict[str, str]", held).get("stateMachine") if isinstance(held, dict) else None
