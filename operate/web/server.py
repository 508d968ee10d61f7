"""The page, served on loopback until the process ends."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable

from hypercorn.asyncio import serve
from hypercorn.config import Config

from ..errors import OperateError
from ..stack import Stack
from .app import Page
from .gate import HOST, Gate

# What an endpoint of one's own is asked, nobody else waits for.
_SECONDS, _SECONDS_OF_OWN = 10, 2
_GRACE_SECONDS = 0.3


class Server:
    """Listens from construction, answers from `serve` on.

    Args:
        stack: whose page it is.
        port: where to listen; 0 takes one that is free.
        write: whether the page may change anything.

    Raises:
        OperateError: the port is taken, or not for this user.
    """

    def __init__(self, stack: Stack, port: int, *, write: bool) -> None:
        self._listening = _listen(port)
        self.port: int = self._listening.getsockname()[1]
        seconds = _SECONDS_OF_OWN if stack.aws.endpoint_url else _SECONDS
        self._page = Page(stack, write=write, seconds=seconds)
        self._gate = Gate(self._page.app, self.port, write=write)

    @property
    def url(self) -> str:
        """The address, with the token."""
        return f"http://{HOST}:{self.port}/?token={self._gate.token}"

    def serve(self, until: Callable[[], Awaitable[object]] | None = None) -> None:
        """Answer requests until the awaitable is done, or for ever."""
        config = Config()
        config.bind = [f"fd://{self._listening.detach()}"]
        config.graceful_timeout = _GRACE_SECONDS
        config.loglevel = "ERROR"
        config.include_server_header = False

        async def run() -> None:
            ended: Callable[..., Awaitable[None]] = until or asyncio.Event().wait  # pyright: ignore[reportAssignmentType] -- what it answers is not looked at
            await serve(self._gate, config, shutdown_trigger=ended)  # pyright: ignore[reportArgumentType] -- Hypercorn has types of its own for ASGI

        threading.Thread(target=self._page.warm, daemon=True).start()
        asyncio.run(run())


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(64)
    except OSError as error:
        listening.close()
        raise OperateError(f"port {port} is not free ({error.strerror}): give --listen") from None
    return listening
