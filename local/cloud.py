"""The laptop's cloud: MiniStack served from a thread of this process, on loopback only.

Requests come in over HTTP at `Cloud.endpoint`; the services are installed when the cloud starts and
taken out again when it closes.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, cast

import boto3
from botocore.config import Config

from local import control
from local.faults import Faults
from local.gate import App, Gate
from local.instance import Instance, InstanceError
from local.ministack import front, internals, models
from local.ministack.server import HOST, CloudError, PortInUse, Server
from local.runtime import Credentials
from local.services import ec2, servicequotas, sns
from local.services.cloudwatch import alarms, patterns, queries
from local.services.ecs import ecs
from local.services.ecs.images import Images
from local.services.ecs.metadata import Endpoint
from local.services.events import events
from local.services.iam import iam
from local.services.lambda_ import functions
from local.services.scheduler import schedules
from local.services.stepfunctions import states

__all__ = [
    "ACCESS_KEY_ID",
    "ACCOUNT",
    "HOST",
    "SECRET_ACCESS_KEY",
    "Cloud",
    "CloudError",
    "PortInUse",
]

ACCOUNT = "111122223333"
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"  # noqa: S105 - no secret: the README tells it

# Closed in the other order: what starts tasks stops before the tasks do.
_PARTS = (
    *(ecs, functions, states, events, schedules, alarms, queries, patterns, sns, servicequotas),
    *(ec2, iam),
)
_open: list["Cloud"] = []
_opening = threading.Lock()


class Cloud(AbstractContextManager["Cloud"]):
    """One embedded AWS, serving from construction until `close`.

    MiniStack keeps its state in module globals, so one process has one open cloud at a time; the
    next one starts empty.

    Args:
        port: where to listen on 127.0.0.1; 0 takes a free one.
        region: the region of everything that names none.
        wait_scale: seconds a Step Functions `Wait` and retry interval last per second written.
        images: the container images that tasks can run; more can be added to `Cloud.images`.
        max_tasks: task processes at a time; more wait in PROVISIONING. Default: two per core.
        faults: what goes wrong on purpose. Default: nothing.
        host_names: names it answers to besides loopback's; their subdomains are meant too.
        account: the account that everything belongs to.

    Raises:
        PortInUse: another process listens there.
        CloudError: MiniStack is not installed, or another cloud is open in this process.
    """

    def __init__(
        self,
        port: int = 4566,
        region: str = "ap-northeast-1",
        *,
        wait_scale: float = 1.0,
        images: Images | None = None,
        max_tasks: int | None = None,
        faults: Faults | None = None,
        host_names: Sequence[str] = (),
        account: str = ACCOUNT,
    ) -> None:
        self.region = region
        self.account = account
        self.wait_scale = wait_scale
        self.images = images or Images()
        self.faults = faults or Faults({})
        self.max_tasks = max_tasks or 2 * (os.cpu_count() or 1)
        self._undo = contextlib.ExitStack()
        self._closing = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()
        with _opening:
            if _open:
                raise CloudError("another cloud is open in this process: close it first")
            server = Server(port)
            _open.append(self)
        self.port = server.port
        self.endpoint = f"http://{HOST}:{self.port}"
        self.metadata = Endpoint(self.endpoint)
        self._undo.callback(_open.remove, self)
        self._undo.callback(self._close_clients)
        self._undo.callback(server.close)
        try:
            self.instance = Instance(self.port)
            self._undo.callback(self.instance.close)
            app = server.load(account, region, (ACCESS_KEY_ID, SECRET_ACCESS_KEY))
            self.images.build_in(self.instance.scratch("images"))
            front.install(self.instance.scratch("objects"))
            for part in _PARTS:
                part.install(self)
            server.start(self._gate(app, ("localhost", *host_names)))
        except InstanceError as error:
            self.close()
            raise CloudError(str(error)) from None
        except BaseException:
            self.close()
            raise

    def _gate(self, app: App, names: tuple[str, ...]) -> Gate:
        own = control.Control(self.instance.token, self.metadata)
        behind = front.Front(app, self.port, names, iam.key_problem, own, control.PREFIX)
        return Gate(behind, self.port, names, behind.shares)

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the cloud closes, last registered first, before the server stops."""
        self._undo.callback(callback)

    def scope(self) -> AbstractContextManager[None]:
        """This cloud's account and region for calls of MiniStack's functions from a thread."""
        return internals.request_scope(self.account, self.region)

    def client(self, service: str, session: Credentials | None = None) -> Any:  # noqa: ANN401 - a type for each service
        """This cloud's boto3 client of a service, with fixed credentials; one for all threads.

        With the session of a role it is a new one. Nothing of this machine's own AWS configuration
        is read. It closes with the cloud.
        """
        with self._clients_lock:
            if session is not None:
                return self._make_client(
                    service,
                    aws_access_key_id=session.access_key_id,
                    aws_secret_access_key=session.secret_access_key,
                    aws_session_token=session.session_token,
                )
            if service not in self._clients:
                self._clients[service] = self._make_client(service)
            return self._clients[service]

    def _make_client(self, service: str, **credentials: str) -> Any:  # noqa: ANN401 - as above
        make = cast("Callable[..., Any]", _session().client)
        return make(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 3},
                connect_timeout=2,
                read_timeout=65,
                max_pool_connections=64,
                proxies={},
                s3={"addressing_style": "path"},
            ),
            **credentials,
        )

    def _close_clients(self) -> None:
        for client in self._clients.values():
            client.close()

    def close(self) -> None:
        """Stop everything: tasks, functions, the server. Safe to call twice."""
        with self._closing:
            self._undo.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@functools.cache
def _session() -> boto3.Session:
    return boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, botocore_session=models.session())
