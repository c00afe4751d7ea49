"""Schema of a request's tools: client tools, web search and MCP servers."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, Field, JsonValue, Tag

from kronk_agent.api.protocols.common.schema import (
    LenientModel,
    NoEffect,
    RequestModel,
    Unsupported,
)
from kronk_agent.api.tools.client_tools import OtherTool, Syntax, kind_of_tool
from kronk_agent.tools import Tool

_Deferred: TypeAlias = Annotated[bool | None, NoEffect("all tools are loaded from the start")]


class FunctionTool(LenientModel):
    """A function tool of the client."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    """JSON Schema of the arguments; no arguments when left out."""
    strict: bool | None = None
    """True: reject a schema that cannot be enforced completely. Otherwise the client must check
    what is not enforced."""
    defer_loading: _Deferred = None
    allowed_callers: list[Literal["direct"]] | None = None
    """Only direct calls by the model."""
    output_schema: Annotated[None, Unsupported("describe the output in description")] = None


class TextFormat(RequestModel):
    """Input format: any text."""

    type: Literal["text"]


class GrammarFormat(RequestModel):
    """Input format: a grammar."""

    type: Literal["grammar"]
    syntax: Syntax
    """A regex is enforced; a Lark grammar is only shown to the model."""
    definition: str


class CustomTool(LenientModel):
    """A client tool whose input is one text."""

    type: Literal["custom"]
    name: str
    description: str | None = None
    format: Annotated[TextFormat | GrammarFormat, Field(discriminator="type")] | None = None
    """Format of the input; any text when left out."""
    defer_loading: _Deferred = None
    allowed_callers: list[Literal["direct"]] | None = None
    """Only direct calls by the model."""


class NamespaceTool(LenientModel):
    """Client tools under a common name. The model sees ``namespace__name``."""

    type: Literal["namespace"]
    name: str
    description: str | None = None
    """Prepended to the description of each of its tools."""
    tools: list[Annotated[FunctionTool | CustomTool, Field(discriminator="type")]]


SearchType: TypeAlias = Literal[
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
]


class Filters(RequestModel):
    """Filters of a web search."""

    allowed_domains: list[str] | None = None
    """Only pages of these domains."""


class UserLocation(RequestModel):
    """The user's approximate location."""

    type: Literal["approximate"] = "approximate"
    city: str | None = None
    country: Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")] | None = None
    """ISO 3166-1 code; determines the language of the results."""
    region: str | None = None
    timezone: str | None = None

    @property
    def text(self) -> str:
        """The location as text, for the model."""
        parts = (self.city, self.region, self.country, self.timezone)
        return ", ".join(part for part in parts if part)


class WebSearchTool(LenientModel):
    """The server's web_search, with web_fetch to read the results."""

    type: SearchType
    external_web_access: bool | None = None
    """False disables the tool: there is no offline index."""
    filters: Filters | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    """Results per search: 3, 5 or 10."""
    user_location: UserLocation | None = None
    """Shown to the model."""


class ToolFilter(RequestModel):
    """A filter on an MCP server's tools."""

    tool_names: list[str] | None = None
    """The server's own tool names; any when left out."""
    read_only: bool | None = None
    """Only tools that claim to be read-only (``readOnlyHint``), or only the others; the claim is
    not verified."""

    def matches(self, name: str, tool: Tool) -> bool:
        """True if the filter includes a tool."""
        if self.tool_names is not None and name not in self.tool_names:
            return False
        is_read_only = tool.annotations.get("readOnlyHint") is True
        return self.read_only in (None, is_read_only)


class Approvals(RequestModel):
    """The tools that always or never need approval."""

    always: ToolFilter | None = None
    never: ToolFilter | None = None


class McpTool(RequestModel):
    """An MCP server: registered, or inline with ``server_url``."""

    type: Literal["mcp"]
    server_label: str
    """Its name under mcp_servers in the YAML; for an inline server, any other name."""
    server_url: str | None = None
    """URL of an inline server; must be allowed by ``server.allow_server_urls`` in the YAML."""
    headers: Annotated[dict[str, str] | None, Field(repr=False)] = None
    """Sent with every request to it; only with server_url, and not stored."""
    authorization: Annotated[str | None, Field(repr=False)] = None
    """Bearer token for it; only with server_url, and not stored."""
    allowed_tools: list[str] | ToolFilter | None = None
    """Only these of its tools, by the server's own names."""
    require_approval: Literal["always", "never"] | Approvals | None = None
    """Calls that need the client's approval; all when left out."""
    server_description: str | None = None
    """Prepended to the description of each of its tools."""
    defer_loading: _Deferred = None
    connector_id: Annotated[
        None, Unsupported("register a server under mcp_servers in the YAML")
    ] = None
    tunnel_id: Annotated[None, Unsupported("register a server under mcp_servers in the YAML")] = (
        None
    )

    @property
    def filter(self) -> ToolFilter:
        """``allowed_tools`` as a filter."""
        given = self.allowed_tools
        return given if isinstance(given, ToolFilter) else ToolFilter(tool_names=given)

    def needs_approval(self, name: str, tool: Tool) -> bool:
        """True if calls of a tool need the client's approval."""
        match self.require_approval:
            case None | "always":
                return True
            case "never":
                return False
            case Approvals(always=always, never=never):
                if always is not None and always.matches(name, tool):
                    return True
                return never is None or not never.matches(name, tool)


WireTool: TypeAlias = Annotated[
    Annotated[FunctionTool, Tag("function")]
    | Annotated[CustomTool, Tag("custom")]
    | Annotated[NamespaceTool, Tag("namespace")]
    | Annotated[WebSearchTool, Tag("web_search")]
    | Annotated[McpTool, Tag("mcp")]
    | Annotated[OtherTool, Tag("other")],
    Discriminator(kind_of_tool("function", "custom", "namespace", "web_search", "mcp")),
]


class NamedFunction(RequestModel):
    """A function tool, by name."""

    type: Literal["function"]
    name: str
    namespace: str | None = None


class NamedCustom(RequestModel):
    """A custom tool, by name."""

    type: Literal["custom"]
    name: str
    namespace: str | None = None


class NamedMcp(RequestModel):
    """An MCP server or one of its tools."""

    type: Literal["mcp"]
    server_label: str
    name: str | None = None
    """Any of the server's tools when left out."""


class NamedSearch(RequestModel):
    """The web search tool."""

    type: SearchType


NamedTool: TypeAlias = Annotated[
    Annotated[NamedFunction, Tag("function")]
    | Annotated[NamedCustom, Tag("custom")]
    | Annotated[NamedMcp, Tag("mcp")]
    | Annotated[NamedSearch, Tag("web_search")]
    | Annotated[OtherTool, Tag("other")],
    Discriminator(kind_of_tool("function", "custom", "mcp", "web_search")),
]


class AllowedTools(RequestModel):
    """A tool choice that allows only a selection of the tools."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[NamedTool]


WireToolChoice: TypeAlias = (
    Literal["none", "auto", "required"]
    | Annotated[
        Annotated[NamedFunction, Tag("function")]
        | Annotated[NamedCustom, Tag("custom")]
        | Annotated[NamedMcp, Tag("mcp")]
        | Annotated[NamedSearch, Tag("web_search")]
        | Annotated[AllowedTools, Tag("allowed_tools")]
        | Annotated[OtherTool, Tag("other")],
        Discriminator(kind_of_tool("function", "custom", "mcp", "web_search", "allowed_tools")),
    ]
)
