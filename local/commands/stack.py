"""A running stack as its users see it: its outputs, and AWS's APIs at its endpoint."""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

import boto3
from botocore.exceptions import ConnectionError as NotConnectedError
from botocore.exceptions import ReadTimeoutError

from local import control
from local.cloud import ACCESS_KEY_ID, HOST, SECRET_ACCESS_KEY
from local.commands.errors import CommandError
from local.commands.hints import command_line
from local.instance import read_token
from operate.aws import Aws

SECONDS = 5
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Stack:
    """Where the stack is, and what it exports."""

    endpoint: str
    region: str
    outputs: dict[str, Any]

    @cached_property
    def aws(self) -> Aws:
        """The stack's account and Region.

        Its calls raise CommandError, without another attempt, once nothing listens any more.
        """
        session = boto3.Session(
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            region_name=self.region,
        )
        return Aws(session, self.endpoint, self._watch)

    def client(self, service: str) -> Any:  # noqa: ANN401 -- each service has a type of its own
        """A boto3 client for the stack's account and Region."""
        return self.aws.client(service)

    def _watch(self, client: Any) -> None:  # noqa: ANN401 -- as above
        client.meta.events.register_first("needs-retry.*", self._refuse_to_retry)

    def _refuse_to_retry(
        self, caught_exception: BaseException | None = None, **_others: object
    ) -> None:
        """Leave the other failures to the client: a throttled call is worth another attempt."""
        if isinstance(caught_exception, NotConnectedError):
            raise CommandError(f"The stack at {self.endpoint} has stopped.", status=1) from None
        if isinstance(caught_exception, ReadTimeoutError):
            raise CommandError(f"The stack at {self.endpoint} does not answer.", status=1) from None


def find(port: int) -> Stack:
    """Ask the cloud that runs on `port` for its stack.

    Raises:
        CommandError: nothing runs there, or something else does.
    """
    answer = _ask(port, control.OUTPUTS)
    return Stack(answer["endpoint"], answer["region"], answer["outputs"])


def fire(port: int, schedule_arn: str) -> None:
    """Have the cloud that runs on `port` fire a schedule now."""
    _ask(port, f"{control.FIRE}?{urllib.parse.urlencode({'name': schedule_arn})}")


def apply(port: int, name: str) -> dict[str, Any]:
    """Have the cloud that runs on `port` update its stack, and wait.

    What it answers has `counts`, `done` (a line a step) and `outputs`.

    Raises:
        CommandError: the program or the cloud refused something, and what was done before that.
    """
    answer = _ask(port, f"{control.APPLY}?{urllib.parse.urlencode({'stack': name})}")
    while "state" in answer:
        time.sleep(POLL_SECONDS)
        answer = _ask(port, control.APPLIED)
    return answer


def _ask(port: int, path: str) -> dict[str, Any]:
    token = read_token(port)
    headers = {"Authorization": control.authorization(token)} if token else {}
    url = f"http://{HOST}:{port}{path}"
    request = urllib.request.Request(url, headers=headers, method="POST")
    # A proxy of the environment has nothing to do with this machine's own ports.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SECONDS) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            # What was asked for was done, and failed.
            status = 1 if error.code == HTTPStatus.UNPROCESSABLE_ENTITY else 2
            raise CommandError(
                _message(error.read()) or _something_else(port), status=status
            ) from None
    except (OSError, http.client.HTTPException):
        up = command_line("up", port=port)
        raise CommandError(
            f"Nothing runs at http://{HOST}:{port}: start it with `{up}`, or give its --port."
        ) from None
    except ValueError:
        raise CommandError(_something_else(port)) from None
    return answer


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def _something_else(port: int) -> str:
    return f"What runs at http://{HOST}:{port} is not this project's cloud: give its --port."
