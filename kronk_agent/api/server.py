"""Runs an application on a socket until it is told to stop."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn
from anyio import CancelScope
from starlette.types import ASGIApp

from kronk_agent.api.connections import BoundedConfig, Connections
from kronk_agent.concurrency.task_group import open_task_group
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.errors import ConfigError

_BACKLOG = 2048


class _Server(uvicorn.Server):
    """uvicorn's server, with an event for readiness; signals are left to the program."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, and set ``is_up``."""
        await super().startup(sockets)
        self.is_up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


@asynccontextmanager
async def serving_at(app: ASGIApp, config: ServerConfig) -> AsyncIterator[str]:
    """Serve the application inside the block, and yield its URL.

    On exit, requests in progress may finish within ``drain_seconds``.

    Args:
        app: the application.
        config: address, drain time and connection limits.

    Raises:
        ConfigError: the address cannot be bound.
    """
    listener = listen(config.host, config.port)
    max_open = _max_connections(config)
    bounded = BoundedConfig(
        app,
        Connections(config, max_open=max_open),
        # The kernel accepts these before we see them, so keep them few compared to our own limit.
        backlog=min(_BACKLOG, max(1, max_open // 4)),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(config.drain_seconds),
        server_header=False,
        lifespan="on",
    )
    server = _Server(bounded)
    with listener:
        async with open_task_group() as tasks:
            tasks.start_soon(_serve, server, listener)
            await server.is_up.wait()
            try:
                yield _url(listener)
            finally:
                server.should_exit = True


def _max_connections(config: ServerConfig) -> int:
    """The configured maximum, but at most half of the process's file descriptors.

    Models and tools need the others.
    """
    if sys.platform == "win32":
        return config.max_connections
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return config.max_connections
    return max(1, min(config.max_connections, limit // 2))


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    # The server stops when told to; cancelling it would abort requests that may still finish.
    with CancelScope(shield=True):
        await server.serve(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        ConfigError: the address cannot be bound.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sets TCP_NODELAY only on sockets with an explicit protocol; without it, a body
        # waits for the acknowledgement of its head, which takes 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        key = "server.host" if isinstance(error, socket.gaierror) else "server.port"
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}", key=key) from None
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
