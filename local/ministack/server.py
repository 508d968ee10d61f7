"""MiniStack served over HTTP, on loopback only, by a thread with an event loop of its own.

MiniStack reads its settings from the environment and keeps its state in module globals: one process
has one server at a time, and the next one starts empty.
"""

import asyncio
import contextlib
import importlib
import os
import socket
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, cast

from local.gate import App, Message, Receive, Send
from local.ministack import internals, pinned

HOST = "127.0.0.1"
_START_SECONDS = 60
_JOIN_SECONDS = 1.5
_GRACE_SECONDS = 0.3


class CloudError(Exception):
    """The cloud cannot start; the message is one line that says what to do."""


class PortInUse(CloudError):  # noqa: N818 - says what happened
    """Another process listens on the port."""


class Server:
    """Listens from construction, answers from `start` to `close`.

    Args:
        port: where to listen; 0 takes a free one.

    Raises:
        PortInUse: another process listens there.
    """

    def __init__(self, port: int) -> None:
        self._listening = _listen(port)
        self.port: int = self._listening.getsockname()[1]
        self._undo = contextlib.ExitStack()
        self._undo.callback(self._listening.close)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="cloud", daemon=True)

    def load(self, account: str, region: str, credentials: tuple[str, str]) -> App:
        """Import MiniStack, for `credentials` (a key's id and its secret) of an account.

        Returns its application, which takes whatever is asked of it: nothing may reach it but
        through the gate.

        Raises:
            CloudError: it is not installed.
        """
        self._undo.enter_context(_environment(_settings(self.port, account, region, credentials)))
        _import_ministack()
        self._scope = internals.request_scope(account, region)
        _readdress(self.port, region)
        self._undo.callback(_reset)
        self._undo.callback(pinned.restore)
        internals.find_scripts.replace(_no_scripts)
        _speak_http_1_1()
        self._undo.callback(self._end)
        return internals.application

    def start(self, app: App) -> None:
        """Answer requests by an application.

        Raises:
            CloudError: it did not start.
        """
        self._app = app
        self._thread.start()
        if not self._ready.wait(_START_SECONDS) or self._failure is not None:
            raise CloudError(f"the cloud did not start: {self._failure}")

    def close(self) -> None:
        """Answer no more, and put back the environment and all that was replaced."""
        self._undo.close()
        if not self._thread.is_alive() and not self._loop.is_closed():
            self._loop.close()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(_tell)
        try:
            # A request without a header that says whose it is begins with what an earlier cloud's
            # modules took from the environment.
            with self._scope:
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

    async def _asgi(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def receive_startup() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                raise _Stopping
            return message

        async def send_and_tell(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self._ready.set()

        with contextlib.suppress(_Stopping):
            await self._app(scope, receive_startup, send_and_tell)
        await send({"type": "lifespan.shutdown.complete"})


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what failed, but no connection that is open as the cloud closes.

    Python does before 3.11.8 and 3.12.2: https://github.com/python/cpython/issues/113538
    """
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


class _Stopping(Exception):  # noqa: N818 - says what happens
    """Ends MiniStack's lifespan without its shutdown, which imports what was never used."""


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


def _settings(
    port: int, account: str, region: str, credentials: tuple[str, str]
) -> dict[str, str | None]:
    return {
        "MINISTACK_ACCOUNT_ID": account,
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
        "AWS_ACCESS_KEY_ID": credentials[0],
        "AWS_SECRET_ACCESS_KEY": credentials[1],
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


def _import_ministack() -> None:
    try:
        internals.reset.owner()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"ministack", "hypercorn", "h11"}:
            raise
        raise CloudError(
            "MiniStack is not installed: run `make demo`, "
            "or `pip install -r requirements-local.txt`"
        ) from None


def _readdress(port: int, region: str) -> None:
    """Give modules that are loaded already this cloud's host, port and region.

    They read them from the environment once, at import.
    """
    values = {
        **dict.fromkeys(internals.CONSTANTS_OF_HOST, HOST),
        **dict.fromkeys(internals.CONSTANTS_OF_PORT, str(port)),
        **dict.fromkeys(internals.CONSTANTS_OF_REGION, region),
    }
    for module in pinned.loaded():
        for constant, value in values.items():
            if isinstance(getattr(module, constant, None), str):
                setattr(module, constant, value)


def _reset() -> None:
    internals.reset()
    # What belongs to an event loop that is closed.
    internals.reset_lock.set(None)
    internals.main_loop.set(None)


def _no_scripts(*_dirs: str) -> list[str]:
    """Keep MiniStack from running start-up scripts it finds on this machine."""
    return []


def _speak_http_1_1() -> None:
    """Have Hypercorn speak nothing else, and ask for no body before that is wanted."""
    connection = internals.http_connection
    connection.replace(_protocol(connection(), importlib.import_module("h11")))


def _protocol(base: Any, h11: ModuleType) -> type:  # noqa: ANN401 - a class known at run time
    class Connection(h11.Connection):
        """A connection that is not asked to go on by whoever looks at it."""

        they_are_waiting_for_100_continue = False
        they_wait = h11.Connection.they_are_waiting_for_100_continue

    class Protocol(base):
        """One connection. Its requests' `state` has `go_on`, to be called before the body is read.

        https://www.rfc-editor.org/rfc/rfc9110#name-expect
        """

        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, **named)
            self.connection = Connection(
                h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size
            )
            state = {**self.connection_state, "go_on": self._go_on}
            self.connection_state = type(self.connection_state)(state)

        async def _go_on(self) -> None:
            if getattr(self.connection, "they_wait", False):
                await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=[]))

        async def _check_protocol(self, event: object) -> None:
            """Upgrade nothing: HTTP/2 names its host elsewhere."""

    return Protocol
