"""Schema of Anthropic's Messages API requests.

Follows the types of Anthropic's Python SDK (anthropic 2.12), beta fields included. Fields not
listed here are rejected by name. ``request.py`` translates requests.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, Tag, model_validator

from kronk_agent.api.protocols.common.schema import Count, RequestModel


class CacheControl(RequestModel):
    """A prompt caching marker. No effect: every prompt is cached, as long as memory allows."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None
    scope: Literal["global", "organization"] | None = None


class Citations(RequestModel):
    """A switch for citations of a block."""

    enabled: bool | None = None


class _Block(RequestModel):
    cache_control: CacheControl | None = None


class DirectCaller(RequestModel):
    """The caller of a tool: only the model."""

    type: Literal["direct"]


# --- blocks --------------------------------------------------------------------------------------


class TextBlock(_Block):
    """A text."""

    type: Literal["text"]
    text: str
    citations: list[JsonValue] | None = None
    """Citations of an earlier answer. Not needed: the text contains their numbers."""


class Base64Source(RequestModel):
    """A base64-encoded source."""

    type: Literal["base64"]
    media_type: str
    data: str


class UrlSource(RequestModel):
    """A URL as a source."""

    type: Literal["url"]
    url: str


class FileSource(RequestModel):
    """An uploaded file as a source."""

    type: Literal["file"]
    file_id: str


class TextSource(RequestModel):
    """A text as a source."""

    type: Literal["text"]
    media_type: Literal["text/plain"] = "text/plain"
    data: str


class ImageBlock(_Block):
    """An image."""

    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource | FileSource, Field(discriminator="type")]


def _as_object(value: Any) -> Any:
    return {} if value is None else value


Input: TypeAlias = Annotated[dict[str, JsonValue], BeforeValidator(_as_object)]
"""The arguments of a call; null means none."""


def _as_blocks(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class ContentSource(RequestModel):
    """Blocks as a source."""

    type: Literal["content"]
    content: Annotated[
        list[Annotated[TextBlock | ImageBlock, Field(discriminator="type")]],
        BeforeValidator(_as_blocks, json_schema_input_type=str | list[TextBlock | ImageBlock]),
    ]


class DocumentBlock(_Block):
    """A document."""

    type: Literal["document"]
    source: Annotated[
        TextSource | ContentSource | Base64Source | UrlSource | FileSource,
        Field(discriminator="type"),
    ]
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None


class SearchResultBlock(_Block):
    """A search result that the client provides."""

    type: Literal["search_result"]
    source: str
    title: str
    content: list[TextBlock]
    citations: Citations | None = None


class ToolReferenceBlock(_Block):
    """A reference to a tool of the request, from Claude Code's tool search."""

    type: Literal["tool_reference"]
    tool_name: str


ResultBlock: TypeAlias = Annotated[
    TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock,
    Field(discriminator="type"),
]


class ToolResultBlock(_Block):
    """The result of a client tool."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: Annotated[
        tuple[ResultBlock, ...],
        BeforeValidator(_as_blocks, json_schema_input_type=str | list[ResultBlock]),
    ] = ()
    is_error: bool = False


class ThinkingBlock(RequestModel):
    """Thinking of the model."""

    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(RequestModel):
    """Encrypted thinking."""

    type: Literal["redacted_thinking"]
    data: str


class ToolUseBlock(_Block):
    """A call of a client tool."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: Input
    caller: DirectCaller | None = None


class ServerToolUseBlock(_Block):
    """A call of a server tool."""

    type: Literal["server_tool_use"]
    id: str
    name: Literal["web_search", "web_fetch"]
    input: Input
    caller: DirectCaller | None = None


class WebSearchResult(RequestModel):
    """A page found by a web search."""

    type: Literal["web_search_result"]
    url: str
    title: str
    encrypted_content: str
    page_age: str | None = None


class WebSearchError(RequestModel):
    """A failed web search."""

    type: Literal["web_search_tool_result_error"]
    error_code: str


class WebSearchResultBlock(_Block):
    """The result of a web search."""

    type: Literal["web_search_tool_result"]
    tool_use_id: str
    content: list[WebSearchResult] | WebSearchError
    caller: DirectCaller | None = None


class WebFetchResult(RequestModel):
    """A fetched page."""

    type: Literal["web_fetch_result"]
    url: str
    content: DocumentBlock
    retrieved_at: str | None = None


class WebFetchError(RequestModel):
    """A failed web fetch."""

    type: Literal["web_fetch_tool_result_error"]
    error_code: str


class WebFetchResultBlock(_Block):
    """The result of a web fetch."""

    type: Literal["web_fetch_tool_result"]
    tool_use_id: str
    content: Annotated[WebFetchResult | WebFetchError, Field(discriminator="type")]
    caller: DirectCaller | None = None


class McpToolUseBlock(_Block):
    """A call of an MCP server's tool."""

    type: Literal["mcp_tool_use"]
    id: str
    name: str
    server_name: str
    input: Input


class McpToolResultBlock(_Block):
    """The result of an MCP tool."""

    type: Literal["mcp_tool_result"]
    tool_use_id: str
    content: Annotated[
        tuple[TextBlock, ...],
        BeforeValidator(_as_blocks, json_schema_input_type=str | list[TextBlock]),
    ] = ()
    is_error: bool = False


UserBlock: TypeAlias = Annotated[
    TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolResultBlock,
    Field(discriminator="type"),
]
AnswerBlock: TypeAlias = Annotated[
    TextBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ServerToolUseBlock
    | WebSearchResultBlock
    | WebFetchResultBlock
    | McpToolUseBlock
    | McpToolResultBlock,
    Field(discriminator="type"),
]
Texts: TypeAlias = Annotated[
    tuple[TextBlock, ...], BeforeValidator(_as_blocks, json_schema_input_type=str | list[TextBlock])
]


# --- messages ------------------------------------------------------------------------------------


class UserMessage(RequestModel):
    """A message of the user."""

    role: Literal["user"]
    content: Annotated[
        list[UserBlock], BeforeValidator(_as_blocks, json_schema_input_type=str | list[UserBlock])
    ]


class AssistantMessage(RequestModel):
    """A message of the assistant."""

    role: Literal["assistant"]
    content: Annotated[
        list[AnswerBlock],
        BeforeValidator(_as_blocks, json_schema_input_type=str | list[AnswerBlock]),
    ]


class SystemMessage(RequestModel):
    """A message with instructions."""

    role: Literal["system"]
    content: Texts


MessageParam: TypeAlias = Annotated[
    UserMessage | AssistantMessage | SystemMessage, Field(discriminator="role")
]


# --- tools ---------------------------------------------------------------------------------------


class _Tool(_Block):
    allowed_callers: list[Literal["direct"]] | None = None
    defer_loading: bool = False
    """No effect: the model knows every tool from the start, including deferred ones."""


class CustomTool(_Tool):
    """A client tool."""

    type: Literal["custom"] | None = None
    name: str
    description: str = ""
    input_schema: dict[str, JsonValue]
    strict: bool = False
    """Arguments always match the schema. True: reject a schema that cannot be enforced."""
    input_examples: list[dict[str, JsonValue]] | None = None
    """Shown to the model with the description."""
    eager_input_streaming: bool | None = None
    """No effect: arguments are always streamed as they are generated."""


class UserLocation(RequestModel):
    """The user's approximate location."""

    type: Literal["approximate"]
    city: str | None = None
    region: str | None = None
    country: Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")] | None = None
    """ISO 3166-1 code, two letters."""
    timezone: str | None = None


class _WebTool(_Tool):
    max_uses: Count | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    strict: bool = False
    response_inclusion: Literal["full"] | None = None

    @model_validator(mode="after")
    def _one_list(self) -> _WebTool:
        if self.allowed_domains and self.blocked_domains:
            raise ValueError("give allowed_domains or blocked_domains, not both")
        return self


class WebSearchTool(_WebTool):
    """The web search tool."""

    type: Literal["web_search_20250305", "web_search_20260209", "web_search_20260318"]
    name: Literal["web_search"]
    user_location: UserLocation | None = None


class UrlSourceAll(RequestModel):
    """Allows all URLs."""

    type: Literal["all"]


class UrlSources(RequestModel):
    """The allowed origins of fetched URLs."""

    client_tool_results: UrlSourceAll | None = None
    server_tool_results: UrlSourceAll | None = None
    user_input: UrlSourceAll | None = None


class WebFetchTool(_WebTool):
    """The web fetch tool."""

    type: Literal[
        "web_fetch_20250910", "web_fetch_20260209", "web_fetch_20260309", "web_fetch_20260318"
    ]
    name: Literal["web_fetch"]
    max_content_tokens: Count | None = None
    citations: Citations | None = None
    url_sources: UrlSources | None = None
    use_cache: Literal[True] | None = None


class McpToolConfig(RequestModel):
    """Settings of a tool in an MCP toolset."""

    enabled: bool = True
    defer_loading: bool = False


class McpToolset(_Block):
    """The tools of an MCP server."""

    type: Literal["mcp_toolset"]
    mcp_server_name: str
    default_config: McpToolConfig | None = None
    configs: dict[str, McpToolConfig] | None = None


def _tool_type(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    if kind is None:
        return "custom"
    for prefix in ("web_search_", "web_fetch_"):
        if str(kind).startswith(prefix):
            return prefix.rstrip("_")
    return str(kind)


ToolParam: TypeAlias = Annotated[
    Annotated[CustomTool, Tag("custom")]
    | Annotated[WebSearchTool, Tag("web_search")]
    | Annotated[WebFetchTool, Tag("web_fetch")]
    | Annotated[McpToolset, Tag("mcp_toolset")],
    Discriminator(
        _tool_type,
        custom_error_type="tool_type",
        custom_error_message=(
            "unknown tool type; supported: custom (the default), web_search_…, web_fetch_… and "
            "mcp_toolset"
        ),
    ),
]


class McpToolConfiguration(RequestModel):
    """The tools of an MCP server; the older form."""

    enabled: bool | None = None
    allowed_tools: list[str] | None = None


class McpServerDefinition(RequestModel):
    """An MCP server: registered, or inline with ``url``."""

    type: Literal["url"] = "url"
    name: str
    """Name of a registered server; for an inline server, any other name."""
    url: str | None = None
    """URL of an inline server; must be allowed by ``server.allow_server_urls`` in the YAML."""
    authorization_token: str | None = Field(default=None, repr=False)
    tool_configuration: McpToolConfiguration | None = None


class AutoChoice(RequestModel):
    """The model may call tools."""

    type: Literal["auto"]
    disable_parallel_tool_use: bool = False


class AnyChoice(RequestModel):
    """The model must call a tool."""

    type: Literal["any"]
    disable_parallel_tool_use: bool = False


class NamedChoice(RequestModel):
    """The model must call this tool."""

    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: bool = False


class NoChoice(RequestModel):
    """The model must not call tools."""

    type: Literal["none"]


ToolChoiceParam: TypeAlias = Annotated[
    AutoChoice | AnyChoice | NamedChoice | NoChoice, Field(discriminator="type")
]


# --- how to answer -------------------------------------------------------------------------------

Display: TypeAlias = Literal["summarized", "omitted"]
"""Thinking is never summarized: ``summarized`` returns all of it."""


class ThinkingEnabled(RequestModel):
    """Thinking with a budget in tokens."""

    type: Literal["enabled"]
    budget_tokens: Count
    display: Display | None = None


class ThinkingAdaptive(RequestModel):
    """Thinking as the model decides."""

    type: Literal["adaptive"]
    display: Display | None = None


class ThinkingDisabled(RequestModel):
    """No thinking."""

    type: Literal["disabled"]


class OutputFormat(RequestModel):
    """The required format of the answer."""

    type: Literal["json_schema"]
    schema_: dict[str, JsonValue] = Field(alias="schema")


class OutputConfig(RequestModel):
    """The format of the answer, and the effort."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class ThinkingTurns(RequestModel):
    """A number of turns."""

    type: Literal["thinking_turns"]
    value: Count


class AllThinkingTurns(RequestModel):
    """All turns."""

    type: Literal["all"]


class ClearThinking(RequestModel):
    """Removes old thinking from the conversation."""

    type: Literal["clear_thinking_20251015"]
    keep: Literal["all"] | ThinkingTurns | AllThinkingTurns | None = None
    """Turns whose thinking is kept: all, or the last few; None is 1."""


class ContextManagement(RequestModel):
    """Edits of the conversation."""

    edits: tuple[ClearThinking, ...] = ()


class Metadata(RequestModel):
    """Metadata of the request."""

    user_id: str | None = None
    """No effect: used by providers to detect abuse."""


class Diagnostics(RequestModel):
    """Diagnostics of the prompt cache."""

    previous_message_id: str | None = None
    """Cache misses are not diagnosed; the response says ``unavailable``."""


class CountTokensRequest(RequestModel):
    """The body of ``POST /v1/messages/count_tokens``."""

    model: str = ""
    """A model's id, or agent/NAME; the default model when left out."""
    messages: Annotated[list[MessageParam], Field(min_length=1)]
    system: Texts = ()
    tools: tuple[ToolParam, ...] = ()
    tool_choice: ToolChoiceParam | None = None
    mcp_servers: tuple[McpServerDefinition, ...] = ()
    thinking: Annotated[
        ThinkingEnabled | ThinkingAdaptive | ThinkingDisabled | None, Field(discriminator="type")
    ] = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    """Older location of ``output_config.format``."""
    context_management: ContextManagement | None = None
    cache_control: CacheControl | None = None
    speed: Literal["standard"] | None = None

    @property
    def names_servers(self) -> bool:
        """True if the request uses tools of MCP servers."""
        return bool(self.mcp_servers) or any(isinstance(t, McpToolset) for t in self.tools)


class MessagesRequest(CountTokensRequest):
    """The body of ``POST /v1/messages``."""

    max_tokens: Count
    stream: bool = False
    stop_sequences: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    diagnostics: Diagnostics | None = None
