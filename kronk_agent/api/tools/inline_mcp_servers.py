"""MCP servers that a request brings along: connected to as long as it is answered, and only where
``server.allow_server_urls`` lets it."""

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
_NOT_THEIRS = {"host", "connection", "content-length", "transfer-encoding", "upgrade"}
"""Headers that say where a request goes and how long it is."""


@dataclass(frozen=True, slots=True)
class FieldPaths:
    """Where in a request a server is described, for errors."""

    label: str
    url: str
    headers: str


def parse_inline_server(
    config: Config, label: str, url: str, headers: Mapping[str, str], places: FieldPaths
) -> McpServerConfig:
    """A server as a request describes it.

    Args:
        config: says where requests may lead.
        label: what the request calls it.
        url: where it is, for streamable HTTP.
        headers: sent with every request to it.
        places: where all that stands.

    Raises:
        InvalidRequestError: it may not be connected to, or is called what it cannot be.
    """
    if not config.server.allows_server_url(url):
        raise InvalidRequestError(
            f"{places.url}: this server does not connect there for a request: "
            "server.allow_server_urls in its YAML says where it does",
            param=places.url,
        )
    if label in config.mcp_servers:
        raise InvalidRequestError(
            f"{places.label}: {label!r} is registered here: leave its address out, or give another "
            "name",
            param=places.label,
        )
    try:
        _LABEL.validate_python(label)
    except ValidationError as error:
        words = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InvalidRequestError(f"{places.label}: {words}", param=places.label) from None
    for name, value in headers.items():
        is_good = _HEADER.fullmatch(name) and _VALUE.fullmatch(value)
        if not is_good or name.lower() in _NOT_THEIRS:
            raise InvalidRequestError(
                f"{places.headers}: {name!r} cannot be sent", param=places.headers
            )
    return McpServerConfig(url=url, type="http", headers=dict(headers))


@asynccontextmanager
async def connect_inline_servers(
    guests: Mapping[str, McpServerConfig],
) -> AsyncIterator[Host | None]:
    """Connects to them inside the block, and waits until each is there or has failed.

    They may ask neither our model nor a person, and nothing is kept of them afterwards. None where
    there are none.
    """
    if not guests:
        yield None
        return
    async with TemporaryDirectory(prefix="kronk-agent-") as folder:
        place = Path(folder)
        async with Host(guests, log_dir=place, cache_dir=place / "mcp", pins_dir=place) as host:
            await host.wait_ready()
            yield host


def with_inline_toolsets(toolsets: Sequence[Toolset], host: Host) -> tuple[Toolset, ...]:
    """The toolsets with those of the servers that a request brings along, and one to read with."""
    *servers, theirs = host.toolsets
    own = resource_toolset(toolsets)
    others = [toolset for toolset in toolsets if toolset not in own]
    labels = [server.name for server in servers]
    return (*others, *servers, ReadResourceToolset(own[0] if own else None, theirs, labels))


@dataclass(frozen=True, slots=True)
class ReadResourceToolset:
    """``read_resource`` of the registered servers and of those that a request brings along."""

    own: Toolset | None
    theirs: Toolset
    labels: Sequence[str]
    """Of the latter."""

    @property
    def name(self) -> str:
        return self.theirs.name

    def tools(self) -> Sequence[Tool]:
        own = self.own.tools() if self.own else ()
        theirs = self.theirs.tools()
        return [_either(own[0], theirs[0], self.labels)] if own and theirs else own or theirs


def _either(own: Tool, theirs: Tool, labels: Sequence[str]) -> Tool:
    starts = tuple(f"{SCHEME}{label}/" for label in labels)

    async def call(arguments: JsonObject, context: ToolContext) -> ToolOutput:
        tool = theirs if str(arguments["uri"]).startswith(starts) else own
        assert tool.call is not None, "reading is ours"
        return await tool.call(arguments, context)

    return replace(own, call=call)
