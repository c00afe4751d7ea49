"""The request of Anthropic's Messages API, as its clients send it.

The form is that of the types in Anthropic's Python SDK (anthropic 2.12), beta fields included. What
is not here is refused by name. ``request.py`` translates it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, Tag, model_validator

from kronk_agent.api.protocols.common.schema import Count, RequestModel


class CacheControl(RequestModel):
    """A mark for a prompt cache. Ours needs none: every prompt is cached, as long as it fits."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None
    scope: Literal["global", "organization"] | None = None


class Citations(RequestModel):
    enabled: bool | None = None


class _Block(RequestModel):
    cache_control: CacheControl | None = None


class DirectCaller(RequestModel):
    type: Literal["direct"]


# --- blocks --------------------------------------------------------------------------------------


class TextBlock(_Block):
    type: Literal["text"]
    text: str
    citations: list[JsonValue] | None = None
    """What an earlier answer cited; the text itself has the numbers."""


class Base64Source(RequestModel):
    type: Literal["base64"]
    media_type: str
    data: str


class UrlSource(RequestModel):
    type: Literal["url"]
    url: str


class FileSource(RequestModel):
    type: Literal["file"]
    file_id: str


class TextSource(RequestModel):
    type: Literal["text"]
    media_type: Literal["text/plain"] = "text/plain"
    data: str


class ImageBlock(_Block):
    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource | FileSource, Field(discriminator="type")]


def _as_object(value: Any) -> Any:
    return {} if value is None else value


Input: TypeAlias = Annotated[dict[str, JsonValue], BeforeValidator(_as_object)]
"""The arguments of a call; null is none."""


def _as_blocks(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class ContentSource(RequestModel):
    type: Literal["content"]
    content: Annotated[
        list[Annotated[TextBlock | ImageBlock, Field(discriminator="type")]],
        BeforeValidator(_as_blocks, json_schema_input_type=str | list[TextBlock | ImageBlock]),
    ]


class DocumentBlock(_Block):
    type: Literal["document"]
    source: Annotated[
        TextSource | ContentSource | Base64Source | UrlSource | FileSource,
        Field(discriminator="type"),
    ]
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None


class SearchResultBlock(_Block):
    type: Literal["search_result"]
    source: str
    title: str
    content: list[TextBlock]
    citations: Citations | None = None


class ToolReferenceBlock(_Block):
    """A tool of the request by name, as Claude Code's tool search returns it."""

    type: Literal["tool_reference"]
    tool_name: str


ResultBlock: TypeAlias = Annotated[
    TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock,
    Field(discriminator="type"),
]


class ToolResultBlock(_Block):
    type: Literal["tool_result"]
    tool_use_id: str
    content: Annotated[
        tuple[ResultBlock, ...],
        BeforeValidator(_as_blocks, json_schema_input_type=str | list[ResultBlock]),
    ] = ()
    is_error: bool = False


class ThinkingBlock(RequestModel):
    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(RequestModel):
    type: Literal["redacted_thinking"]
    data: str


class ToolUseBlock(_Block):
    type: Literal["tool_use"]
    id: str
    name: str
    input: Input
    caller: DirectCaller | None = None


class ServerToolUseBlock(_Block):
    type: Literal["server_tool_use"]
    id: str
    name: Literal["web_search", "web_fetch"]
    input: Input
    caller: DirectCaller | None = None


class WebSearchResult(RequestModel):
    type: Literal["web_search_result"]
    url: str
    title: str
    encrypted_content: str
    page_age: str | None = None


class WebSearchError(RequestModel):
    type: Literal["web_search_tool_result_error"]
    error_code: str


class WebSearchResultBlock(_Block):
    type: Literal["web_search_tool_result"]
    tool_use_id: str
    content: list[WebSearchResult] | WebSearchError
    caller: DirectCaller | None = None


class WebFetchResult(RequestModel):
    type: Literal["web_fetch_result"]
    url: str
    content: DocumentBlock
    retrieved_at: str | None = None


class WebFetchError(RequestModel):
    type: Literal["web_fetch_tool_result_error"]
    error_code: str


class WebFetchResultBlock(_Block):
    type: Literal["web_fetch_tool_result"]
    tool_use_id: str
    content: Annotated[WebFetchResult | WebFetchError, Field(discriminator="type")]
    caller: DirectCaller | None = None


class McpToolUseBlock(_Block):
    type: Literal["mcp_tool_use"]
    id: str
    name: str
    server_name: str
    input: Input


class McpToolResultBlock(_Block):
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
    role: Literal["user"]
    content: Annotated[
        list[UserBlock], BeforeValidator(_as_blocks, json_schema_input_type=str | list[UserBlock])
    ]


class AssistantMessage(RequestModel):
    role: Literal["assistant"]
    content: Annotated[
        list[AnswerBlock],
        BeforeValidator(_as_blocks, json_schema_input_type=str | list[AnswerBlock]),
    ]


class SystemMessage(RequestModel):
    role: Literal["system"]
    content: Texts


MessageParam: TypeAlias = Annotated[
    UserMessage | AssistantMessage | SystemMessage, Field(discriminator="role")
]


# --- tools ---------------------------------------------------------------------------------------


class _Tool(_Block):
    allowed_callers: list[Literal["direct"]] | None = None
    defer_loading: bool = False
    """The model knows every tool from the start, so a tool that is deferred can be called too."""


class CustomTool(_Tool):
    type: Literal["custom"] | None = None
    name: str
    description: str = ""
    input_schema: dict[str, JsonValue]
    strict: bool = False
    """Arguments follow the schema either way. True: a schema that cannot be enforced is refused."""
    input_examples: list[dict[str, JsonValue]] | None = None
    """Shown to the model with the description."""
    eager_input_streaming: bool | None = None
    """Arguments are always streamed as they are written."""


class UserLocation(RequestModel):
    type: Literal["approximate"]
    city: str | None = None
    region: str | None = None
    country: Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")] | None = None
    """Two letters of ISO 3166-1."""
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
    type: Literal["web_search_20250305", "web_search_20260209", "web_search_20260318"]
    name: Literal["web_search"]
    user_location: UserLocation | None = None


class UrlSourceAll(RequestModel):
    type: Literal["all"]


class UrlSources(RequestModel):
    client_tool_results: UrlSourceAll | None = None
    server_tool_results: UrlSourceAll | None = None
    user_input: UrlSourceAll | None = None


class WebFetchTool(_WebTool):
    type: Literal[
        "web_fetch_20250910", "web_fetch_20260209", "web_fetch_20260309", "web_fetch_20260318"
    ]
    name: Literal["web_fetch"]
    max_content_tokens: Count | None = None
    citations: Citations | None = None
    url_sources: UrlSources | None = None
    use_cache: Literal[True] | None = None


class McpToolConfig(RequestModel):
    enabled: bool = True
    defer_loading: bool = False


class McpToolset(_Block):
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
            "the types of tools are custom (which may be left out), web_search_…, web_fetch_… and "
            "mcp_toolset"
        ),
    ),
]


class McpToolConfiguration(RequestModel):
    enabled: bool | None = None
    allowed_tools: list[str] | None = None


class McpServerDefinition(RequestModel):
    type: Literal["url"] = "url"
    name: str
    """As the server is registered in the configuration; any other, for one of the request's own."""
    url: str | None = None
    """Where that one is; ``server.allow_server_urls`` in the YAML says where it may be."""
    authorization_token: str | None = Field(default=None, repr=False)
    tool_configuration: McpToolConfiguration | None = None


class AutoChoice(RequestModel):
    type: Literal["auto"]
    disable_parallel_tool_use: bool = False


class AnyChoice(RequestModel):
    type: Literal["any"]
    disable_parallel_tool_use: bool = False


class NamedChoice(RequestModel):
    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: bool = False


class NoChoice(RequestModel):
    type: Literal["none"]


ToolChoiceParam: TypeAlias = Annotated[
    AutoChoice | AnyChoice | NamedChoice | NoChoice, Field(discriminator="type")
]


# --- how to answer -------------------------------------------------------------------------------

Display: TypeAlias = Literal["summarized", "omitted"]
"""Nothing is summarized here: ``summarized`` shows all."""


class ThinkingEnabled(RequestModel):
    type: Literal["enabled"]
    budget_tokens: Count
    display: Display | None = None


class ThinkingAdaptive(RequestModel):
    type: Literal["adaptive"]
    display: Display | None = None


class ThinkingDisabled(RequestModel):
    type: Literal["disabled"]


class OutputFormat(RequestModel):
    type: Literal["json_schema"]
    schema_: dict[str, JsonValue] = Field(alias="schema")


class OutputConfig(RequestModel):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class ThinkingTurns(RequestModel):
    type: Literal["thinking_turns"]
    value: Count


class AllThinkingTurns(RequestModel):
    type: Literal["all"]


class ClearThinking(RequestModel):
    type: Literal["clear_thinking_20251015"]
    keep: Literal["all"] | ThinkingTurns | AllThinkingTurns | None = None
    """Which thinking the model reads again: that of all turns, or of the last ones. None is 1."""


class ContextManagement(RequestModel):
    edits: tuple[ClearThinking, ...] = ()


class Metadata(RequestModel):
    user_id: str | None = None
    """Is for the watch a provider keeps on its users; there is none here."""


class Diagnostics(RequestModel):
    previous_message_id: str | None = None
    """Why its cache was missed is not looked into; the answer says so (``unavailable``)."""


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
    """The older place of ``output_config.format``."""
    context_management: ContextManagement | None = None
    cache_control: CacheControl | None = None
    speed: Literal["standard"] | None = None

    @property
    def names_servers(self) -> bool:
        """Does it want tools of MCP servers?"""
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
