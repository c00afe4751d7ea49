"""The tools of a request: the client's own, and those that run here."""

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
from kronk_agent.model import ToolChoice
from kronk_agent.tools import StaticToolset, Tool, Toolset


@dataclass(frozen=True, slots=True)
class Tools:
    """What the model may call."""

    client: tuple[Tool, ...] = ()
    """These go back to the client."""
    hosted: tuple[Toolset, ...] = ()
    """These run here, because the request names them."""


def to_tools(
    wire: Sequence[ToolParam],
    servers: Sequence[McpServerDefinition],
    toolsets: Sequence[Toolset],
    urls: Mapping[str, str | None],
    guests: Collection[str],
) -> Tools:
    """The tools a request gives or names.

    Args:
        wire: its ``tools``.
        servers: its ``mcp_servers``.
        toolsets: everything that can run here.
        urls: the MCP servers there are, and where those are that are not programs.
        guests: those among them that the request brings along.

    Raises:
        InvalidRequestError: a tool that no model can be given, or one there is not here.
    """
    client: list[Tool] = []
    web: list[Tool] = []
    mcp: list[Toolset] = []
    defined = _Servers(servers, toolsets, urls, guests)
    for index, tool in enumerate(wire):
        path = f"tools.{index}"
        match tool:
            case CustomTool():
                client.append(_custom(tool, path))
            case WebSearchTool():
                web.append(_search(tool, _own_tool("web_search", toolsets, path), path))
            case WebFetchTool():
                web.append(_fetch(tool, _own_tool("web_fetch", toolsets, path), path))
            case McpToolset():
                mcp.append(defined.toolset(tool, path))
    mcp += defined.unmentioned()
    names = [tool.name for tool in web]
    if len(set(names)) < len(names):
        raise InvalidRequestError(f"tools: two are {names[-1]}", param="tools")
    hosted = [StaticToolset("the request", tuple(web))] if web else []
    more = resource_toolset(toolsets) if mcp else []
    return Tools(tuple(client), (*hosted, *mcp, *more))


def cites_pages(wire: Sequence[ToolParam]) -> bool:
    """Whether what ``web_fetch`` reads is to be cited."""
    return any(
        isinstance(tool, WebFetchTool) and bool(tool.citations and tool.citations.enabled)
        for tool in wire
    )


def to_choice(wire: ToolChoiceParam | None) -> ToolChoice | None:
    """None leaves it to the agent."""
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
    """Whether there may be several calls in a turn; None leaves it to the agent."""
    if wire is None or isinstance(wire, NoChoice) or not wire.disable_parallel_tool_use:
        return None
    return False


# --- the client's --------------------------------------------------------------------------------


def _custom(tool: CustomTool, path: str) -> Tool:
    examples = [f"Example: {encode(example)}" for example in tool.input_examples or ()]
    description = "\n".join([tool.description, *examples]).strip()
    return client_tool(tool.name, description, tool.input_schema, strict=tool.strict, path=path)


# --- ours ----------------------------------------------------------------------------------------


def _own_tool(name: str, toolsets: Sequence[Toolset], path: str) -> Tool:
    for toolset in toolsets:
        for tool in toolset.tools():
            if tool.name == name:
                return tool
    raise InvalidRequestError(
        f"{path}: {name} is not offered here: whoever runs the server can list it under tools",
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
    where = tool.user_location
    return limit_search(
        base,
        _limits(tool, path),
        country=where.country if where else None,
        location=_place(where) if where else None,
    )


def _place(where: UserLocation) -> str | None:
    names = [name for name in (where.city, where.region, where.country) if name]
    if where.timezone:
        names.append(f"time zone {where.timezone}")
    return ", ".join(names) or None


def _fetch(tool: WebFetchTool, base: Tool, path: str) -> Tool:
    return limit_fetch(base, _limits(tool, path), max_tokens=tool.max_content_tokens)


# --- MCP servers ---------------------------------------------------------------------------------


def to_guests(wire: Sequence[McpServerDefinition], config: Config) -> dict[str, McpServerConfig]:
    """The servers that a request brings along, by name: those that are not registered.

    Raises:
        InvalidRequestError: one may not be connected to, or is called what it cannot be.
    """
    guests: dict[str, McpServerConfig] = {}
    for index, server in enumerate(wire):
        if not server.url or server.name in config.mcp_servers:
            continue
        path = f"mcp_servers.{index}"
        if server.name in guests:
            raise InvalidRequestError(
                f"{path}.name: two servers are {server.name!r}", param=f"{path}.name"
            )
        token = server.authorization_token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        places = FieldPaths(f"{path}.name", f"{path}.url", f"{path}.authorization_token")
        guests[server.name] = parse_inline_server(config, server.name, server.url, headers, places)
    return guests


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Some of a server's tools."""

    base: Toolset
    is_wanted: Callable[[str], bool]
    """By the tool's own name."""

    @property
    def name(self) -> str:
        return self.base.name

    def tools(self) -> Sequence[Tool]:
        return [tool for tool in self.base.tools() if self.is_wanted(own_name(tool.name))]


@dataclass(slots=True)
class _Servers:
    """The servers there are, and what the request's ``mcp_servers`` says of them."""

    definitions: Sequence[McpServerDefinition]
    toolsets: Sequence[Toolset]
    urls: Mapping[str, str | None]
    guests: Collection[str]
    mentioned: set[str] = field(default_factory=set)

    def toolset(self, wire: McpToolset, path: str) -> Toolset:
        """The tools an ``mcp_toolset`` is about."""
        name = wire.mcp_server_name
        self.mentioned.add(name)
        base = self._registered(name, f"{path}.mcp_server_name")
        otherwise = wire.default_config or McpToolConfig()
        configs = wire.configs or {}
        return _Chosen(base, lambda tool: configs.get(tool, otherwise).enabled)

    def unmentioned(self) -> list[Toolset]:
        """The older form: a server of ``mcp_servers`` is used as it is defined there."""
        chosen: list[Toolset] = []
        for index, server in enumerate(self.definitions):
            path = f"mcp_servers.{index}"
            is_guest = server.name in self.guests
            if server.authorization_token is not None and not is_guest:
                raise InvalidRequestError(
                    f"{path}.authorization_token: the logins of registered servers are in the "
                    "server's own configuration: leave it out",
                    param=f"{path}.authorization_token",
                )
            base = self._registered(server.name, f"{path}.name")
            if server.url and server.url != self.urls[server.name]:
                raise InvalidRequestError(
                    f"{path}.url: {server.name!r} is registered with another address: leave the "
                    "url out, or empty",
                    param=f"{path}.url",
                )
            how = server.tool_configuration
            if server.name in self.mentioned or (how and how.enabled is False):
                continue
            allowed = how.allowed_tools if how else None
            chosen.append(_Chosen(base, _allows(allowed)))
        return chosen

    def _registered(self, name: str, path: str) -> Toolset:
        known = {toolset.name: toolset for toolset in self.toolsets if toolset.name in self.urls}
        if name not in known:
            raise InvalidRequestError(
                f"{path}: there is no MCP server {name!r}: there are {', '.join(known) or 'none'}",
                param=path,
            )
        return known[name]


def _allows(names: Sequence[str] | None) -> Callable[[str], bool]:
    return lambda tool: names is None or tool in names


def servers_of(toolsets: Sequence[Toolset]) -> Mapping[str, tuple[str, str]]:
    """The server and its own name of each tool, by the name it has here."""
    return {
        tool.name: (toolset.name, own_name(tool.name))
        for toolset in toolsets
        for tool in toolset.tools()
    }
