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
"""Time limit for closing all servers together. A program that ignores every signal is killed after
4.5 s."""


class Host:
    """All registered MCP servers, isolated from each other: a fault of one never affects the rest.

    An async context manager that may be entered once and left in another task. Entering starts the
    servers in the background and returns at once, with the cached tools of servers that have been
    connected before. Leaving closes all servers together and leaves no process behind.
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
        """Prepare the servers without starting any.

        Args:
            servers: configurations by server name.
            log_dir: directory of one stderr log per server; None: the user's log directory.
            cache_dir: directory of one tool cache file per server; None: the user's cache
                directory.
            pins_dir: directory of one file of pinned tools per server; None: the user's state
                directory.
            get_model: returns the model that answers sampling requests; None: sampling is not
                offered.
            person: answers elicitations and approval requests; None: elicitation is not offered.
            authenticate: creates the authentication for remote servers; None: requests are not
                signed.
            read_document: extracts the text of PDFs that servers send; None: PDFs are only
                mentioned.
        """
        logs = log_dir or log_directory()
        cache = cache_dir or platformdirs.user_cache_path("kronk-agent", appauthor=False) / "mcp"
        pins = pins_dir or pins_directory()
        self.outputs = ResultStore()
        self.tools_changed = Signal()
        """Set when the tool list of any server may have changed."""
        services = HostServices(
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
                tool_cache=ToolCache(cache / f"{name}.json", config),
                pins=PinnedTools(pins / f"{name}.json", config),
                services=services,
            )
            for name, config in servers.items()
        )
        self.resources = Resources(self._servers)
        self.prompts = Prompts(self._servers)
        self._reading = ReadResourceTool(self.resources, self.outputs)
        self._tasks = OwnedTasks("mcp servers")

    @property
    def toolsets(self) -> tuple[Toolset, ...]:
        """One toolset per server plus ``read_resource``; their tools change as servers connect."""
        return (*self._servers, self._reading)

    def statuses(self) -> tuple[ServerStatus, ...]:
        """Return the current status of every server."""
        return tuple(server.status() for server in self._servers)

    async def wait_ready(self) -> None:
        """Wait until every enabled server is ready or has failed."""
        for server in self._servers:
            await server.wait_ready()

    async def wait_required(self) -> None:
        """Wait until every required server is ready.

        Raises:
            ServerUnavailableError: a required server failed.
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
