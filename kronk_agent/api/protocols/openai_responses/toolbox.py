"""Resolves a request's tools: what the model may call, who executes it, how the client sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, assert_never

from kronk_agent.agent import Agent
from kronk_agent.api.errors import HttpError
from kronk_agent.api.middleware.identity import current_client
from kronk_agent.api.protocols.openai_responses.items.names import flat_name
from kronk_agent.api.protocols.openai_responses.tools import (
    AllowedTools,
    CustomTool,
    FunctionTool,
    GrammarFormat,
    McpTool,
    NamedCustom,
    NamedFunction,
    NamedMcp,
    NamedSearch,
    NamedTool,
    NamespaceTool,
    WebSearchTool,
    WireTool,
    WireToolChoice,
)
from kronk_agent.api.tools.client_tools import (
    OtherTool,
    function_tool,
    missing_tool,
    text_tool,
    unenforced_grammar,
)
from kronk_agent.api.tools.inline_mcp_servers import (
    FieldPaths,
    parse_inline_server,
    with_inline_toolsets,
)
from kronk_agent.api.tools.server_tools import (
    WebLimits,
    limit_fetch,
    limit_search,
    own_name,
    require_ready,
    resource_toolset,
    with_result_count,
)
from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import InvalidRequestError
from kronk_agent.host import Host
from kronk_agent.host.server import McpServer
from kronk_agent.runtime import Runtime
from kronk_agent.settings import ToolChoice
from kronk_agent.tools import Rule, StaticToolset, Tool, Toolset
from kronk_agent.tools.policy import is_never_allowed

ToolKind: TypeAlias = Literal["function", "custom", "web", "mcp", "approval"]

SEARCH = "web_search"
FETCH = "web_fetch"


@dataclass(frozen=True, slots=True)
class ToolPresentation:
    """Describes how the calls of a tool are presented to the client."""

    kind: ToolKind
    name: str
    group: str | None = None
    """Namespace of a function, or label of an MCP server."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The tools of an MCP server, as listed for the client."""

    server_label: str
    tools: tuple[tuple[str, Tool], ...]
    """By the server's own names."""


@dataclass(frozen=True, slots=True)
class InlineServer:
    """An MCP server that the request brings along."""

    wire: McpTool
    config: McpServerConfig
    path: str


@dataclass(slots=True)
class Toolbox:
    """The tools of a request."""

    toolsets: list[Toolset] = field(default_factory=list)
    """Server tools."""
    client_tools: list[Tool] = field(default_factory=list)
    """Client tools, and tools that need the client's approval."""
    listings: list[Listing] = field(default_factory=list)
    servers: frozenset[str] = frozenset()
    """Names of all registered MCP servers."""
    held: dict[str, Tool] = field(default_factory=dict)
    """The callable tools that need the client's approval, by name."""
    rules: tuple[Rule, ...] = ()
    """Tools that these rules always deny are hidden."""
    inline_servers: dict[str, InlineServer] = field(default_factory=dict)
    """By label; their tools are added once they are connected."""
    notices: list[str] = field(default_factory=list)
    """Notices about ignored parts of the request's tools."""
    lacks_search: bool = False
    """True if the request has a web search tool and web search is not enabled here."""
    _shown: dict[str, ToolPresentation] = field(default_factory=dict)

    def shown(self, name: str) -> ToolPresentation:
        """The presentation of a tool's calls, by the name the model sees."""
        if name in self._shown:
            return self._shown[name]
        for toolset in self.toolsets:
            if any(tool.name == name for tool in toolset.tools()):
                return _shown(name, toolset.name, is_server=toolset.name in self.servers)
        return ToolPresentation("function", name)  # unknown tool; the model is told so

    def add_client(self, tool: Tool, shown: ToolPresentation) -> None:
        """Add a client tool with its presentation."""
        self.client_tools.append(tool)
        self._shown[tool.name] = shown

    def choice(self, wire: WireToolChoice) -> ToolChoice:
        """Convert the request's tool choice.

        Raises:
            InvalidRequestError: it names a tool that the request does not have.
        """
        match wire:
            case str(mode):
                return ToolChoice(mode)
            case AllowedTools(mode=mode, tools=tools):
                available = [tool for tool in tools if not self._is_left_out(tool)]
                names = [name for tool in available for name in self._named(tool)]
                if tools and not names and mode == "auto":
                    return ToolChoice("none")
                return ToolChoice(mode, allowed=tuple(dict.fromkeys(names)))
            case _:
                names = self._named(wire)
                return (
                    ToolChoice("named", names[0])
                    if len(names) == 1
                    else ToolChoice("required", allowed=tuple(names))
                )

    def _is_left_out(self, wire: NamedTool) -> bool:
        return isinstance(wire, OtherTool) or (isinstance(wire, NamedSearch) and self.lacks_search)

    def _named(self, wire: NamedTool) -> list[str]:
        match wire:
            case NamedFunction(name=name, namespace=None) | NamedCustom(name=name, namespace=None):
                found = [flat for flat, shown in self._shown.items() if shown.name == name]
                return found[:1] if found else [name]
            case (
                NamedFunction(name=name, namespace=group) | NamedCustom(name=name, namespace=group)
            ):
                return [flat_name(group, name)]
            case OtherTool(type=kind):
                raise InvalidRequestError(
                    f"tool_choice: tools of type {kind!r} are not available here",
                    param="tool_choice",
                )
            case NamedSearch():
                return self._of_kind("web", None, "web_search")
            case NamedMcp(server_label=label, name=name):
                found = self._of_kind("mcp", label, label)
                matching = [flat for flat in found if name in (None, self.shown(flat).name)]
                if not matching:
                    raise InvalidRequestError(
                        f"tool_choice: MCP server {label!r} has no tool {name!r} here",
                        param="tool_choice",
                    )
                return matching
            case _:
                assert_never(wire)

    def _of_kind(self, kind: ToolKind, group: str | None, label: str) -> list[str]:
        names = [tool.name for toolset in self.toolsets for tool in toolset.tools()]
        names += [tool.name for tool in self.client_tools]
        found = []
        for name in names:
            shown = self.shown(name)
            is_kind = shown.kind == kind or (kind == "mcp" and shown.kind == "approval")
            if is_kind and shown.group == group and (kind != "web" or name == SEARCH):
                found.append(name)
        if not found:
            raise InvalidRequestError(
                f"tool_choice: {label!r} is not among the tools", param="tool_choice"
            )
        return found


async def open_toolbox(runtime: Runtime, agent: Agent, wire: Sequence[WireTool]) -> Toolbox:
    """Resolve the tools of a request; the agent's own tools are always included.

    Raises:
        InvalidRequestError: a name or schema is invalid.
        HttpError: an MCP server is unknown (404) or unavailable (424), or the key lacks the scope
            ``agents`` (403).
    """
    servers = frozenset(t.name for t in runtime.toolsets if isinstance(t, McpServer))
    box = Toolbox(list(agent.toolsets), servers=servers, rules=agent.options.effective_rules)
    for index, tool in enumerate(wire):
        path = f"tools.{index}"
        match tool:
            case OtherTool(type=kind):
                box.notices.append(missing_tool(path, kind))
            case FunctionTool() | CustomTool():
                box.notices += _grammar_notices(tool, path)
                box.add_client(_client_tool(tool, path), _client_shown(tool, None))
            case NamespaceTool(name=namespace, tools=members):
                for number, member in enumerate(members):
                    box.notices += _grammar_notices(member, f"{path}.tools.{number}")
                    made = _client_tool(member, f"{path}.tools.{number}", tool)
                    box.add_client(made, _client_shown(member, namespace))
            case WebSearchTool():
                _add_search(box, runtime, tool, path)
            case McpTool(server_url=None):
                current_client().need("agents")
                _check_registered(tool, path)
                await _add_server(box, _server(runtime, tool.server_label, path), tool, path)
                if not resource_toolset(box.toolsets):
                    box.toolsets += resource_toolset(runtime.toolsets)
            case McpTool():
                current_client().need("agents")
                box.inline_servers[tool.server_label] = _inline_server(runtime, box, tool, path)
            case _:
                assert_never(tool)
    return box


def _shown(name: str, toolset: str, *, is_server: bool) -> ToolPresentation:
    if name in (SEARCH, FETCH):
        return ToolPresentation("web", name)
    return ToolPresentation("mcp", own_name(name) if is_server else name, toolset)


def _client_shown(tool: FunctionTool | CustomTool, namespace: str | None) -> ToolPresentation:
    return ToolPresentation(
        "custom" if isinstance(tool, CustomTool) else "function", tool.name, namespace
    )


def _grammar_notices(tool: FunctionTool | CustomTool, path: str) -> list[str]:
    match tool:
        case CustomTool(format=GrammarFormat(syntax="lark")):
            return [unenforced_grammar(f"{path}.format")]
        case _:
            return []


def _client_tool(
    tool: FunctionTool | CustomTool, path: str, namespace: NamespaceTool | None = None
) -> Tool:
    descriptions = [namespace.description] if namespace else []
    name = flat_name(namespace.name, tool.name) if namespace else tool.name
    description = "\n".join(text for text in (*descriptions, tool.description) if text)
    if isinstance(tool, CustomTool):
        form = tool.format if isinstance(tool.format, GrammarFormat) else None
        return text_tool(
            name,
            description,
            syntax=form.syntax if form else None,
            definition=form.definition if form else "",
            path=path,
        )
    return function_tool(name, description, tool.parameters, strict=tool.strict, path=path)


def _add_search(box: Toolbox, runtime: Runtime, tool: WebSearchTool, path: str) -> None:
    if tool.external_web_access is False:
        return
    web_tools = {tool.name: tool for tool in runtime.toolsets[0].tools()}
    search = web_tools.get(SEARCH)
    if search is None:
        box.lacks_search = True
        box.notices.append(
            f"{path}: web search is not enabled, so the tool is left out; add web_search to tools "
            "in the server's YAML"
        )
        return
    current_client().need("agents")
    domains = (tool.filters and tool.filters.allowed_domains) or ()
    limits = WebLimits(allowed_domains=tuple(domains), param=f"{path}.filters")
    where = tool.user_location
    tools = [
        limit_search(
            with_result_count(search, tool.search_context_size),
            limits,
            country=where.country if where else None,
            location=where.text if where else None,
        )
    ]
    if FETCH in web_tools:
        tools.append(limit_fetch(web_tools[FETCH], limits))
    # First, so that its limits apply even where the agent has the same tools without limits.
    box.toolsets.insert(0, StaticToolset(SEARCH, tuple(tools)))


def _check_registered(wire: McpTool, path: str) -> None:
    for name in ("headers", "authorization"):
        if getattr(wire, name) is not None:
            raise InvalidRequestError(
                f"{path}.{name}: only with server_url; registered servers are configured under "
                "mcp_servers in the server's YAML",
                param=f"{path}.{name}",
            )


def _inline_server(runtime: Runtime, box: Toolbox, wire: McpTool, path: str) -> InlineServer:
    assert wire.server_url is not None
    if wire.server_label in box.inline_servers:
        raise InvalidRequestError(
            f"{path}.server_label: duplicate label {wire.server_label!r}",
            param=f"{path}.server_label",
        )
    headers = dict(wire.headers or {})
    if wire.authorization is not None:
        if any(name.lower() == "authorization" for name in headers):
            raise InvalidRequestError(
                f"{path}.authorization: headers already contain Authorization",
                param=f"{path}.authorization",
            )
        headers["Authorization"] = f"Bearer {wire.authorization}"
    paths = FieldPaths(f"{path}.server_label", f"{path}.server_url", f"{path}.headers")
    config = parse_inline_server(runtime.config, wire.server_label, wire.server_url, headers, paths)
    return InlineServer(wire, config, path)


async def add_inline_servers(box: Toolbox, host: Host) -> None:
    """Add the tools of connected inline servers.

    Raises:
        InvalidRequestError: a server lacks a tool that the request names.
        HttpError: a server is unavailable (424).
    """
    box.toolsets = [*with_inline_toolsets(box.toolsets, host)]
    for server in host.toolsets:
        if isinstance(server, McpServer):
            one = box.inline_servers[server.name]
            await _add_server(box, server, one.wire, one.path)


async def _add_server(box: Toolbox, server: McpServer, wire: McpTool, path: str) -> None:
    await server.wait_ready()
    require_ready(server.status(), path)
    tools = {_shown(tool.name, server.name, is_server=True).name: tool for tool in server.tools()}
    for name in wire.filter.tool_names or ():
        if name not in tools:
            available = ", ".join(tools) or "none"
            raise InvalidRequestError(
                f"{path}.allowed_tools: MCP server {wire.server_label!r} has no tool {name!r}; "
                f"available: {available}",
                param=f"{path}.allowed_tools",
            )
    allowed = {
        name: tool
        for name, tool in tools.items()
        if wire.filter.matches(name, tool)
        and not is_never_allowed((*box.rules, *tool.rules), tool.name)
    }
    box.listings.append(Listing(wire.server_label, tuple(allowed.items())))
    free: list[Tool] = []
    for name, tool in allowed.items():
        if wire.server_description:
            description = f"{wire.server_description}\n{tool.description}"
            tool = replace(tool, description=description)
        is_held = wire.needs_approval(name, tool)
        box._shown[tool.name] = ToolPresentation(
            "approval" if is_held else "mcp", name, wire.server_label
        )
        if is_held:
            box.held[tool.name] = tool
            box.client_tools.append(replace(tool, call=None))
        else:
            free.append(tool)
    others = [toolset for toolset in box.toolsets if toolset.name != wire.server_label]
    box.toolsets = [*others, StaticToolset(wire.server_label, tuple(free))]


def _server(runtime: Runtime, label: str, path: str) -> McpServer:
    servers = {t.name: t for t in runtime.toolsets if isinstance(t, McpServer)}
    if label not in servers:
        registered = ", ".join(servers) or "none"
        raise HttpError(
            f"{path}.server_label: unknown MCP server {label!r}; registered: {registered}",
            status=404,
            code="mcp_server_not_found",
            param=f"{path}.server_label",
        )
    return servers[label]
