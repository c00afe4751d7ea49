"""The tools a request may name: the client's own, and those the server has."""

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

_Deferred: TypeAlias = Annotated[
    bool | None, NoEffect("the model knows every tool from the beginning")
]


class FunctionTool(LenientModel):
    """A function of the client's."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    """JSON Schema of the arguments; none at all when left out."""
    strict: bool | None = None
    """True: a schema that cannot be enforced whole is refused. Otherwise what cannot be is left
    to the client to check."""
    defer_loading: _Deferred = None
    allowed_callers: list[Literal["direct"]] | None = None
    """Only the model calls."""
    output_schema: Annotated[None, Unsupported("say in the description what comes back")] = None


class TextFormat(RequestModel):
    type: Literal["text"]


class GrammarFormat(RequestModel):
    type: Literal["grammar"]
    syntax: Syntax
    """A Lark grammar is shown to the model; a call's arguments cannot be held to it."""
    definition: str


class CustomTool(LenientModel):
    """A tool of the client's whose input is one text."""

    type: Literal["custom"]
    name: str
    description: str | None = None
    format: Annotated[TextFormat | GrammarFormat, Field(discriminator="type")] | None = None
    """What its input looks like; any text when left out."""
    defer_loading: _Deferred = None
    allowed_callers: list[Literal["direct"]] | None = None
    """Only the model calls."""


class NamespaceTool(LenientModel):
    """Tools of the client's under a common name. The model sees ``namespace__name``."""

    type: Literal["namespace"]
    name: str
    description: str | None = None
    """Put before the description of each of its tools."""
    tools: list[Annotated[FunctionTool | CustomTool, Field(discriminator="type")]]


SearchType: TypeAlias = Literal[
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
]


class Filters(RequestModel):
    allowed_domains: list[str] | None = None
    """Only pages of these sites."""


class UserLocation(RequestModel):
    type: Literal["approximate"] = "approximate"
    city: str | None = None
    country: Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")] | None = None
    """ISO 3166-1; decides in which language pages are looked for."""
    region: str | None = None
    timezone: str | None = None

    @property
    def words(self) -> str:
        """As the model is told."""
        parts = (self.city, self.region, self.country, self.timezone)
        return ", ".join(part for part in parts if part)


class WebSearchTool(LenientModel):
    """The server's web_search, and web_fetch to read what it finds."""

    type: SearchType
    external_web_access: bool | None = None
    """False: there is no index here that could be searched instead, so nothing is searched."""
    filters: Filters | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    """How many pages a search lists: 3, 5 or 10."""
    user_location: UserLocation | None = None
    """The model is told where the person is."""


class ToolFilter(RequestModel):
    tool_names: list[str] | None = None
    """The server's own names; any when left out."""
    read_only: bool | None = None
    """Only those of which the server says that they change nothing (``readOnlyHint``), or only
    the others; nothing proves it."""

    def matches(self, name: str, tool: Tool) -> bool:
        if self.tool_names is not None and name not in self.tool_names:
            return False
        is_read_only = tool.annotations.get("readOnlyHint") is True
        return self.read_only in (None, is_read_only)


class Approvals(RequestModel):
    always: ToolFilter | None = None
    never: ToolFilter | None = None


class McpTool(RequestModel):
    """An MCP server: a registered one, or one that the request brings along."""

    type: Literal["mcp"]
    server_label: str
    """Its name under mcp_servers in the YAML; any other, for one that the request brings along."""
    server_url: str | None = None
    """Where that one is; ``server.allow_server_urls`` in the YAML says where it may be."""
    headers: Annotated[dict[str, str] | None, Field(repr=False)] = None
    """Sent to it with every request; only with server_url, and not kept."""
    authorization: Annotated[str | None, Field(repr=False)] = None
    """A token for it, sent as a Bearer; only with server_url, and not kept."""
    allowed_tools: list[str] | ToolFilter | None = None
    """Only these of its tools, by its own names."""
    require_approval: Literal["always", "never"] | Approvals | None = None
    """Which calls the client is asked about first; all of them when left out."""
    server_description: str | None = None
    """Put before the description of each of its tools."""
    defer_loading: _Deferred = None
    connector_id: Annotated[
        None, Unsupported("register a server under mcp_servers in the YAML")
    ] = None
    tunnel_id: Annotated[None, Unsupported("register a server under mcp_servers in the YAML")] = (
        None
    )

    @property
    def filter(self) -> ToolFilter:
        """Which of the server's tools there are."""
        given = self.allowed_tools
        return given if isinstance(given, ToolFilter) else ToolFilter(tool_names=given)

    def needs_approval(self, name: str, tool: Tool) -> bool:
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
    type: Literal["function"]
    name: str
    namespace: str | None = None


class NamedCustom(RequestModel):
    type: Literal["custom"]
    name: str
    namespace: str | None = None


class NamedMcp(RequestModel):
    type: Literal["mcp"]
    server_label: str
    name: str | None = None
    """Any of the server's tools when left out."""


class NamedSearch(RequestModel):
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
