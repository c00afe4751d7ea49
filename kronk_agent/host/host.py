from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import platformdirs

from kronk_agent.concurrency.owned_tasks import OwnedTasks
from kronk_agent.concurrency.signals import Signal
from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ServerUnavailableError
from kronk_agent.host.client_features.user import UserInteraction
from kronk_agent.host.diagnostics.log import log_directory
from kronk_agent.host.resources.catalog import Prompts, Resources
from kronk_agent.host.resources.read_resource_tool import ReadResourceTool
from kronk_agent.host.results.result_store import ResultStore
from kronk_agent.host.server import Authenticate, HostServices, McpServer, ServerStatus
from kronk_agent.host.tools.pinning import PinnedTools, pins_directory
from kronk_agent.host.tools.tool_cache import ToolCache
from kronk_agent.tools import Toolset

if TYPE_CHECKING:
    from kronk_agent.host.client_features.sampling import GetModel
    from kronk_agent.host.results.content import ReadDocument

CLOSE_SECONDS = 10.0
"""Longest time for all servers to end. A program that ignores every hint is killed after 4.5."""


class Host:
    """All registered MCP servers, each with a life of its own: no fault of one reaches another.

    An async context that may be entered once, and left in another task. Entering starts the servers
    in the background and returns at once, with the tools that known servers had last time; leaving
    ends all of them together and leaves no process behind.
    """

    def __init__(
        self,
        servers: Mapping[str, McpServerConfig],
        *,
        log_dir: Path | None = None,
        cache_dir: Path | None = None,
        pins_dir: Path | None = None,
        get_model: GetModel | None = None,
        person: UserInteraction | None = None,
        authenticate: Authenticate | None = None,
        read_document: ReadDocument | None = None,
    ) -> None:
        """Prepare, and start nothing.

        Args:
            servers: their configurations, by name.
            log_dir: gets a file for each server's stderr; None is the person's own folder.
            cache_dir: gets a file for each server's tools; None is the person's own folder.
            pins_dir: gets a file for each server's pinned tools; None is the person's own folder.
            get_model: gives the model that servers may ask; None: they may not.
            person: answers what servers ask of a person; None: they may not.
            authenticate: signs the requests to remote servers; None: nothing does.
            read_document: gives the text of PDFs that servers send; None: they are only named.
        """
        logs = log_dir or log_directory()
        cache = cache_dir or platformdirs.user_cache_path("kronk-agent", appauthor=False) / "mcp"
        pins = pins_dir or pins_directory()
        self.outputs = ResultStore()
        self.tools_changed = Signal()
        """Set when the tools of any server may be others than before."""
        surroundings = HostServices(
            self.outputs,
            get_model,
            person,
            authenticate,
            read_document,
            on_tools_changed=self.tools_changed.set,
        )
        self._servers = tuple(
            McpServer(
                name,
                config,
                log_path=logs / f"{name}.log",
                memory=ToolCache(cache / f"{name}.json", config),
                pins=PinnedTools(pins / f"{name}.json", config),
                surroundings=surroundings,
            )
            for name, config in servers.items()
        )
        self.resources = Resources(self._servers)
        self.prompts = Prompts(self._servers)
        self._reading = ReadResourceTool(self.resources, self.outputs)
        self._tasks = OwnedTasks("mcp servers")

    @property
    def toolsets(self) -> tuple[Toolset, ...]:
        """One for each server, and one to read with; they change as servers come and go."""
        return (*self._servers, self._reading)

    def statuses(self) -> tuple[ServerStatus, ...]:
        return tuple(server.status() for server in self._servers)

    async def wait_ready(self) -> None:
        """Wait until every server is ready or has failed, or was disabled to begin with."""
        for server in self._servers:
            await server.wait_ready()

    async def wait_required(self) -> None:
        """Wait until every server that is required is ready.

        Raises:
            ServerUnavailableError: one of them failed.
        """
        for server in self._servers:
            if server.is_required:
                await server.wait_ready()
                if server.state == "failed":
                    raise ServerUnavailableError(server.status().error or server.name)

    async def __aenter__(self) -> Host:
        await self._tasks.open()
        for server in self._servers:
            server.load()
            self._tasks.start_soon(server.run, name=f"mcp server {server.name}")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.stop()
        await self._tasks.close(CLOSE_SECONDS)
