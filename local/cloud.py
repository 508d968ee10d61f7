"""The laptop's cloud: MiniStack served from a thread of this process, on loopback only.

Requests come in over HTTP at `Cloud.endpoint`; what MiniStack lacks is patched in by the parts
installed when the cloud starts and taken out again when it closes.
"""

import asyncio
import contextlib
import functools
import importlib
import json
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import ModuleType, TracebackType
from typing import Any, cast
from urllib.parse import parse_qsl

import boto3
import botocore.session
from botocore.config import Config

from local import control
from local.faults import Faults
from local.ministack import patch
from local.services.cloudwatch import alarms
from local.services.ecs import ecs
from local.services.ecs.images import Images
from local.services.events import events
from local.services.iam import iam
from local.services.lambda_ import functions
from local.services.scheduler import schedules
from local.services.stepfunctions import states

patch.leans_on("ministack.app", "app", ("scope", "receive", "send"))
patch.leans_on("ministack.app", "_reset_all_state", ())
patch.leans_on("ministack.app", "_reset_lock")
patch.leans_on("ministack.app", "_MAIN_LOOP")

ACCOUNT = "111122223333"
HOST = "127.0.0.1"
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - AWS's documentation key
_JOIN_SECONDS = 1.5
_GRACE_SECONDS = 0.3

# Closed in the other order: what starts tasks stops before the tasks do.
_PARTS = (ecs, functions, states, events, schedules, alarms, iam)
_Message = dict[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_open: list["Cloud"] = []
_opening = threading.Lock()


class CloudError(Exception):
    """The cloud cannot start; the message is one line that says what to do."""


class PortInUse(CloudError):  # noqa: N818 - says what happened
    """Another process listens on the port."""


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
    ) -> None:
        self.region = region
        self.account = ACCOUNT
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
            listening = _listen(port)
            self.port: int = listening.getsockname()[1]
            self.endpoint = f"http://{HOST}:{self.port}"
            _open.append(self)
        self._undo.callback(_open.remove, self)
        self._undo.callback(self._close_clients)
        self._undo.callback(listening.close)
        try:
            self._undo.enter_context(_environment(_settings(self.port, region)))
            app = _import_ministack()
            _readdress(self.port, region)
            self._undo.callback(_reset, app)
            self._undo.callback(patch.restore)
            patch.replace(app, "_collect_scripts", _no_scripts, ("dirs",))
            server = _Server(app, listening)
            self._undo.callback(server.stop)
            for part in _PARTS:
                part.install(self)
            server.start()
        except BaseException:
            self.close()
            raise

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the cloud closes, last registered first, before the server stops."""
        self._undo.callback(callback)

    def scope(self) -> AbstractContextManager[None]:
        """This cloud's account and region for calls of MiniStack's functions from a thread."""
        responses = importlib.import_module("ministack.core.responses")
        return cast(
            "AbstractContextManager[None]", responses.request_scope(self.account, self.region)
        )

    def client(self, service: str) -> Any:  # noqa: ANN401 - a type for each service
        """This cloud's boto3 client of a service, with fixed credentials; one for all threads.

        Nothing of the machine's own AWS configuration is read. It closes with the cloud.
        """
        with self._clients_lock:
            if (client := self._clients.get(service)) is None:
                make = cast("Callable[..., Any]", _session().client)
                client = self._clients[service] = make(
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
                )
            return client

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
    # One for the process: it keeps the services' models, which take long to read.
    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    return boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, botocore_session=core)


def _listen(port: int) -> socket.socket:
    message = f"port {port} is in use: choose another with --port, or stop what listens there"
    if port:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            if probe.connect_ex((HOST, port)) == 0:
                raise PortInUse(message)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind((HOST, port))
        listening.listen(1024)
    except PermissionError:
        listening.close()
        raise PortInUse(
            f"port {port} is not allowed to this user: choose another with --port"
        ) from None
    except OSError:
        listening.close()
        raise PortInUse(message) from None
    return listening


def _settings(port: int, region: str) -> dict[str, str | None]:
    return {
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": region,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "EDGE_PORT": None,
        "BIND_HOST": HOST,
        "USE_SSL": None,
        "SERVICES": None,
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "ERROR"),
        "PERSIST_STATE": "0",
        "LOCALSTACK_PERSISTENCE": None,
        "S3_PERSIST": "0",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "CLOUDTRAIL_RECORDING": "0",
        "SFN_MOCK_CONFIG": None,
        "LOCALSTACK_SFN_MOCK_CONFIG": None,
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_SESSION_TOKEN": None,
        "AWS_PROFILE": None,
        "AWS_DEFAULT_PROFILE": None,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": None,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }


@contextlib.contextmanager
def _environment(settings: Mapping[str, str | None]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in settings}
    _set_environment(settings)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(settings: Mapping[str, str | None]) -> None:
    for name, value in settings.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _import_ministack() -> ModuleType:
    try:
        return importlib.import_module("ministack.app")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"ministack", "hypercorn", "h11"}:
            raise
        raise CloudError(
            "MiniStack is not installed: run `make demo`, "
            "or `pip install -r requirements-local.txt`"
        ) from None


def _readdress(port: int, region: str) -> None:
    """Give modules loaded by an earlier cloud this one's port and region.

    They read them from the environment once, at import.
    """
    values = {
        **dict.fromkeys(
            ("_GATEWAY_PORT", "_PORT", "_DEFAULT_PORT", "DEFAULT_PORT", "_MINISTACK_PORT"),
            str(port),
        ),
        **dict.fromkeys(("REGION", "_REGION", "DEFAULT_REGION"), region),
    }
    for name, module in list(sys.modules.items()):
        if name.startswith("ministack."):
            for constant, value in values.items():
                if isinstance(getattr(module, constant, None), str):
                    setattr(module, constant, value)


def _reset(app: ModuleType) -> None:
    app._reset_all_state()  # noqa: SLF001 - checked by patch.leans_on
    for bound_to_the_loop in ("_reset_lock", "_MAIN_LOOP"):
        setattr(app, bound_to_the_loop, None)


def _no_scripts(*_dirs: str) -> list[str]:
    """Keep MiniStack from running start-up scripts it finds on this machine."""
    return []


async def _control(scope: _Message, send: _Send) -> None:
    """Answer a request to this program itself, which no AWS service has."""
    query = dict(parse_qsl(scope["query_string"].decode()))
    status, answer = control.answer(scope["path"], query)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


class _Stopping(Exception):  # noqa: N818 - says what happens
    """Ends MiniStack's lifespan without its shutdown, which imports what was never used."""


class _Server:
    """Hypercorn with MiniStack's ASGI application, in a thread with an event loop of its own."""

    def __init__(self, app: ModuleType, listening: socket.socket) -> None:
        self._app = app
        self._listening = listening
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="cloud", daemon=True)

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(10) or self._failure is not None:
            raise CloudError(f"the cloud did not start: {self._failure}")

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_JOIN_SECONDS)
        elif not self._loop.is_closed():
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in start
            self._failure = error
        finally:
            self._ready.set()
            self._cancel_what_is_left()
            executor = cast("ThreadPoolExecutor | None", self._loop._default_executor)  # noqa: SLF001  # pyright: ignore[reportAttributeAccessIssue]
            if executor is not None:
                executor.shutdown(wait=False, cancel_futures=True)
            self._loop.close()

    def _cancel_what_is_left(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=_GRACE_SECONDS))

    async def _serve(self) -> None:
        serve = importlib.import_module("hypercorn.asyncio").serve
        config = importlib.import_module("hypercorn.config").Config()
        descriptor = self._listening.detach()
        config.bind = [f"fd://{descriptor}"]
        config.keep_alive_timeout = 75
        config.graceful_timeout = _GRACE_SECONDS
        config.loglevel = "ERROR"
        await serve(self._asgi, config, shutdown_trigger=self._stop.wait, mode="asgi")

    async def _asgi(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(control.PREFIX):
            await _control(scope, send)
            return
        if scope["type"] != "lifespan":
            await self._app.app(scope, receive, send)
            return

        async def receive_startup() -> _Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                raise _Stopping
            return message

        async def send_and_tell(message: _Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self._ready.set()

        with contextlib.suppress(_Stopping):
            await self._app.app(scope, receive_startup, send_and_tell)
        await send({"type": "lifespan.shutdown.complete"})
