"""Inline MCP servers: sent with a request, connected for its duration only.

They must be allowed by ``server.allow_server_urls``.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from anyio import TemporaryDirectory
from pydantic import TypeAdapter, ValidationError

from kronk_agent.api.tools.server_tools import resource_toolset
from kronk_agent.config.schema.base import ServerName
from kronk_agent.config.schema.config import Config, McpServerConfig
from kronk_agent.errors import InvalidRequestError
from kronk_agent.host import Host
from kronk_agent.host.results.result_store import SCHEME
from kronk_agent.messages import JsonObject
from kronk_agent.tools import Tool, ToolContext, ToolOutput, Toolset

_LABEL: TypeAdapter[str] = TypeAdapter(ServerName)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[ -~]*")
_RESERVED_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "upgrade"}
"""Headers that determine the target and the length of a request."""


@dataclass(frozen=True, slots=True)
class FieldPaths:
    """Paths of an inline server's fields in the request, for errors."""

    label: str
    url: str
    headers: str


def parse_inline_server(
    config: Config, label: str, url: str, headers: Mapping[str, str], paths: FieldPaths
) -> McpServerConfig:
    """Validate an inline MCP server.

    Args:
        config: says which URLs are allowed, and which names are taken.
        label: the server's name in the request.
        url: its address, for streamable HTTP.
        headers: sent with every request to it.
        paths: paths of these fields in the request.

    Raises:
        InvalidRequestError: the URL is not allowed, or the label or a header is invalid.
    """
    if not config.server.allows_server_url(url):
        raise InvalidRequestError(
            f"{paths.url}: connecting to this URL is not allowed: add it to "
            "server.allow_server_urls in the server's YAML",
            param=paths.url,
        )
    if label in config.mcp_servers:
        raise InvalidRequestError(
            f"{paths.label}: {label!r} is already registered: leave its URL out, or use another "
            "name",
            param=paths.label,
        )
    try:
        _LABEL.validate_python(label)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InvalidRequestError(f"{paths.label}: {message}", param=paths.label) from None
    for name, value in headers.items():
        is_valid = _HEADER.fullmatch(name) and _VALUE.fullmatch(value)
        if not is_valid or name.lower() in _RESERVED_HEADERS:
            raise InvalidRequestError(
                f"{paths.headers}: header {name!r} is not allowed or invalid", param=paths.headers
            )
    return McpServerConfig(url=url, type="http", headers=dict(headers))


@asynccontextmanager
async def connect_inline_servers(
    servers: Mapping[str, McpServerConfig],
) -> AsyncIterator[Host | None]:
    """Connect to inline servers inside the block, and wait until each is ready or has failed.

    They get neither sampling nor elicitation, and nothing of them is kept afterwards. Yields None
    without inline servers.
    """
    if not servers:
        yield None
        return
    async with TemporaryDirectory(prefix="kronk-agent-") as folder:
        path = Path(folder)
        async with Host(servers, log_dir=path, cache_dir=path / "mcp", pins_dir=path) as host:
            await host.wait_ready()
            yield host


def with_inline_toolsets(toolsets: Sequence[Toolset], host: Host) -> tuple[Toolset, ...]:
    """Add the tools of inline servers to the toolsets, with one common ``read_resource``."""
    *inline_servers, inline = host.toolsets
    registered = resource_toolset(toolsets)
    others = [toolset for toolset in toolsets if toolset not in registered]
    labels = [server.name for server in inline_servers]
    return (
        *others,
        *inline_servers,
        ReadResourceToolset(registered[0] if registered else None, inline, labels),
    )


@dataclass(frozen=True, slots=True)
class ReadResourceToolset:
    """``read_resource`` for both the registered and the inline servers."""

    registered: Toolset | None
    inline: Toolset
    labels: Sequence[str]
    """Names of the inline servers."""

    @property
    def name(self) -> str:
        """The toolset's name."""
        return self.inline.name

    def tools(self) -> Sequence[Tool]:
        """One ``read_resource`` tool, or none."""
        registered = self.registered.tools() if self.registered else ()
        inline = self.inline.tools()
        return (
            [_combined(registered[0], inline[0], self.labels)]
            if registered and inline
            else registered or inline
        )


def _combined(registered: Tool, inline: Tool, labels: Sequence[str]) -> Tool:
    starts = tuple(f"{SCHEME}{label}/" for label in labels)

    async def call(arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call the ``read_resource`` tool that is responsible for the URI."""
        tool = inline if str(arguments["uri"]).startswith(starts) else registered
        assert tool.call is not None, "read_resource has a call"
        return await tool.call(arguments, context)

    return replace(registered, call=call)
