from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import anyio
import platformdirs
from anyio.abc import TaskGroup

from kronk_agent.config.schema import McpServerConfig
from kronk_agent.host.server import McpServer, ServerStatus
from kronk_agent.tool import Toolset

CLOSE_SECONDS = 10.0
"""Longest time for all servers to end. A program that ignores every hint is killed after 4.5."""


class Host:
    """All registered MCP servers, each with a life of its own: no fault of one reaches another.

    An async context that may be entered once. Entering starts the servers in the background and
    returns at once; leaving ends them all together and leaves no process behind.
    """

    def __init__(
        self, servers: Mapping[str, McpServerConfig], *, log_dir: Path | None = None
    ) -> None:
        """``log_dir`` gets a file for each server's stderr; None is the person's own."""
        directory = log_dir or platformdirs.user_log_path("kronk-agent", appauthor=False) / "mcp"
        self._servers = tuple(
            McpServer(name, config, log_path=directory / f"{name}.log")
            for name, config in servers.items()
        )
        self._tasks: TaskGroup | None = None

    @property
    def toolsets(self) -> tuple[Toolset, ...]:
        """One for each server; what is in them changes as servers come, change and go."""
        return self._servers

    def statuses(self) -> tuple[ServerStatus, ...]:
        return tuple(server.status() for server in self._servers)

    async def settled(self) -> None:
        """Wait until every server is ready or has failed, or was disabled to begin with."""
        for server in self._servers:
            await server.settled()

    async def __aenter__(self) -> Host:
        assert self._tasks is None, "a host is entered once"
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        for server in self._servers:
            self._tasks.start_soon(server.run, name=f"mcp server {server.name}")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._tasks is not None
        for server in self._servers:
            server.stop()
        self._tasks.cancel_scope.deadline = anyio.current_time() + CLOSE_SECONDS
        if isinstance(exc, anyio.get_cancelled_exc_class()):
            await self._tasks.__aexit__(exc_type, exc, traceback)
        else:  # not shown to the task group, which would wrap the caller's own error in a group
            await self._tasks.__aexit__(None, None, None)
