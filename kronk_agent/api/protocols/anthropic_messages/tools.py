"""Converts a request's tools: client tools, web tools and MCP toolsets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from kronk_agent.api.protocols.anthropic_messages.schema import (
    AnyChoice,
    AutoChoice,
    CustomTool,
    McpServerDefinition,
    McpToolConfig,
    McpToolset,
    NamedChoice,
    NoChoice,
    ToolChoiceParam,
    ToolParam,
    UserLocation,
    WebFetchTool,
    WebSearchTool,
)
from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.api.tools.client_tools import client_tool
from kronk_agent.api.tools.inline_mcp_servers import FieldPaths, parse_inline_server
from kronk_agent.api.tools.server_tools import (
    WebLimits,
    limit_fetch,
    limit_search,
    own_name,
    resource_toolset,
)
from kronk_agent.config.schema.config import Config, McpServerConfig
from kronk_agent.errors import InvalidRequestError
from kronk_agent.settings import ToolChoice
from kronk_agent.tools import StaticToolset, Tool, Toolset


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a request."""

    client: tuple[Tool, ...] = ()
    """Client tools."""
    hosted: tuple[Toolset, ...] = ()
    """Toolsets executed here, because the request names them."""


def to_tools(
    wire: Sequence[ToolParam],
    servers: Sequence[McpServerDefinition],
    toolsets: Sequence[Toolset],
    urls: Mapping[str, str | None],
    inline_servers: Collection[str],
) -> Tools:
    """Convert the tools of a request.

    Args:
        wire: its ``tools``.
        servers: its ``mcp_servers``.
        toolsets: all toolsets of the server, and of inline servers.
        urls: all MCP servers, with the URL of each that has one.
        inline_servers: names of the inline servers.

    Raises:
        InvalidRequestError: a tool is invalid, or not available here.
    """
    client: list[Tool] = []
    web: list[Tool] = []
    mcp: list[Toolset] = []
    defined = _Servers(servers, toolsets, urls, inline_servers)
    for index, tool in enumerate(wire):
        path = f"tools.{index}"
        match tool:
            case CustomTool():
                client.append(_custom(tool, path))
            case WebSearchTool():
                web.append(_search(tool, _web_tool("web_search", toolsets, path), path))
            case WebFetchTool():
                web.append(_fetch(tool, _web_tool("web_fetch", toolsets, path), path))
            case McpToolset():
                mcp.append(defined.toolset(tool, path))
    mcp += defined.unselected()
    names = [tool.name for tool in web]
    if len(set(names)) < len(names):
        raise InvalidRequestError(f"tools: duplicate tool {names[-1]}", param="tools")
    hosted = [StaticToolset("the request", tuple(web))] if web else []
    more = resource_toolset(toolsets) if mcp else []
    return Tools(tuple(client), (*hosted, *mcp, *more))


def cites_pages(wire: Sequence[ToolParam]) -> bool:
    """True if pages read by ``web_fetch`` are to be cited."""
    return any(
        isinstance(tool, WebFetchTool) and bool(tool.citations and tool.citations.enabled)
        for tool in wire
    )


def to_choice(wire: ToolChoiceParam | None) -> ToolChoice | None:
    """Convert a tool choice; None leaves it to the agent."""
    match wire:
        case None:
            return None
        case AutoChoice():
            return ToolChoice("auto")
        case AnyChoice():
            return ToolChoice("required")
        case NamedChoice(name=name):
            return ToolChoice("named", name)
        case NoChoice():
            return ToolChoice("none")


def is_parallel(wire: ToolChoiceParam | None) -> bool | None:
    """False if a turn may have only one call; None leaves it to the agent."""
    if wire is None or isinstance(wire, NoChoice) or not wire.disable_parallel_tool_use:
        return None
    return False


# --- client tools ------------------------------------------------------------------------------


def _custom(tool: CustomTool, path: str) -> Tool:
    examples = [f"Example: {encode(example)}" for example in tool.input_examples or ()]
    description = "\n".join([tool.description, *examples]).strip()
    return client_tool(tool.name, description, tool.input_schema, strict=tool.strict, path=path)


# --- web tools ---------------------------------------------------------------------------------


def _web_tool(name: str, toolsets: Sequence[Toolset], path: str) -> Tool:
    for toolset in toolsets:
        for tool in toolset.tools():
            if tool.name == name:
                return tool
    raise InvalidRequestError(
        f"{path}: {name} is not enabled: add it to tools in the server's YAML",
        param=path,
    )


def _limits(tool: WebSearchTool | WebFetchTool, path: str) -> WebLimits:
    return WebLimits(
        max_uses=tool.max_uses,
        allowed_domains=tuple(tool.allowed_domains or ()),
        blocked_domains=tuple(tool.blocked_domains or ()),
        param=path,
    )


def _search(tool: WebSearchTool, base: Tool, path: str) -> Tool:
    location = tool.user_location
    return limit_search(
        base,
        _limits(tool, path),
        country=location.country if location else None,
        location=_location_text(location) if location else None,
    )


def _location_text(location: UserLocation) -> str | None:
    names = [name for name in (location.city, location.region, location.country) if name]
    if location.timezone:
        names.append(f"time zone {location.timezone}")
    return ", ".join(names) or None


def _fetch(tool: WebFetchTool, base: Tool, path: str) -> Tool:
    return limit_fetch(base, _limits(tool, path), max_tokens=tool.max_content_tokens)


# --- MCP servers ---------------------------------------------------------------------------------


def to_inline_servers(
    wire: Sequence[McpServerDefinition], config: Config
) -> dict[str, McpServerConfig]:
    """The inline servers of a request, by name; registered servers are left out.

    Raises:
        InvalidRequestError: a server's URL, name or token is not allowed.
    """
    inline_servers: dict[str, McpServerConfig] = {}
    for index, server in enumerate(wire):
        if not server.url or server.name in config.mcp_servers:
            continue
        path = f"mcp_servers.{index}"
        if server.name in inline_servers:
            raise InvalidRequestError(
                f"{path}.name: duplicate name {server.name!r}", param=f"{path}.name"
            )
        token = server.authorization_token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        paths = FieldPaths(f"{path}.name", f"{path}.url", f"{path}.authorization_token")
        inline_servers[server.name] = parse_inline_server(
            config, server.name, server.url, headers, paths
        )
    return inline_servers


@dataclass(frozen=True, slots=True)
class _SelectedTools:
    """A selection of a toolset's tools."""

    base: Toolset
    is_wanted: Callable[[str], bool]
    """Called with the tool's own name."""

    @property
    def name(self) -> str:
        """The toolset's name."""
        return self.base.name

    def tools(self) -> Sequence[Tool]:
        """The selected tools."""
        return [tool for tool in self.base.tools() if self.is_wanted(own_name(tool.name))]


@dataclass(slots=True)
class _Servers:
    """The MCP servers, and the request's ``mcp_servers`` settings for them."""

    definitions: Sequence[McpServerDefinition]
    toolsets: Sequence[Toolset]
    urls: Mapping[str, str | None]
    inline_servers: Collection[str]
    selected: set[str] = field(default_factory=set)

    def toolset(self, wire: McpToolset, path: str) -> Toolset:
        """The tools that an ``mcp_toolset`` selects."""
        name = wire.mcp_server_name
        self.selected.add(name)
        base = self._registered(name, f"{path}.mcp_server_name")
        default = wire.default_config or McpToolConfig()
        configs = wire.configs or {}
        return _SelectedTools(base, lambda tool: configs.get(tool, default).enabled)

    def unselected(self) -> list[Toolset]:
        """Servers of ``mcp_servers`` without an ``mcp_toolset``: the older form."""
        chosen: list[Toolset] = []
        for index, server in enumerate(self.definitions):
            path = f"mcp_servers.{index}"
            is_inline = server.name in self.inline_servers
            if server.authorization_token is not None and not is_inline:
                raise InvalidRequestError(
                    f"{path}.authorization_token: {server.name!r} is registered and uses the "
                    "server's own login: leave it out",
                    param=f"{path}.authorization_token",
                )
            base = self._registered(server.name, f"{path}.name")
            if server.url and server.url != self.urls[server.name]:
                raise InvalidRequestError(
                    f"{path}.url: {server.name!r} is registered with another URL: leave the url "
                    "out, or empty",
                    param=f"{path}.url",
                )
            configuration = server.tool_configuration
            if server.name in self.selected or (configuration and configuration.enabled is False):
                continue
            allowed = configuration.allowed_tools if configuration else None
            chosen.append(_SelectedTools(base, _allows(allowed)))
        return chosen

    def _registered(self, name: str, path: str) -> Toolset:
        available = {
            toolset.name: toolset for toolset in self.toolsets if toolset.name in self.urls
        }
        if name not in available:
            raise InvalidRequestError(
                f"{path}: unknown MCP server {name!r}; available: {', '.join(available) or 'none'}",
                param=path,
            )
        return available[name]


def _allows(names: Sequence[str] | None) -> Callable[[str], bool]:
    return lambda tool: names is None or tool in names


def servers_of(toolsets: Sequence[Toolset]) -> Mapping[str, tuple[str, str]]:
    """The server and own name of each tool, by the name the model sees."""
    return {
        tool.name: (toolset.name, own_name(tool.name))
        for toolset in toolsets
        for tool in toolset.tools()
    }
