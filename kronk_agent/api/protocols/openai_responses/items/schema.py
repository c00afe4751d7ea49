"""Schema of input items: a client's input, and our own output sent back."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import ConfigDict, Discriminator, Field, JsonValue, Tag

from kronk_agent.api.protocols.common.schema import LenientModel, RequestModel, Unsupported

Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]
HostedKind: TypeAlias = Literal[
    "image_generation_call", "code_interpreter_call", "file_search_call"
]
ClientKind: TypeAlias = Literal[
    "local_shell_call", "shell_call", "apply_patch_call", "tool_search_call"
]
OutputKind: TypeAlias = Literal[
    "local_shell_call_output", "shell_call_output", "apply_patch_call_output", "tool_search_output"
]

_HOSTED_KINDS = get_args(HostedKind)
_CALL_KINDS = (*get_args(ClientKind), *_HOSTED_KINDS)
_OUTPUT_KINDS = get_args(OutputKind)
_OUTCOMES = ("result", "results", "outputs")


class InputText(LenientModel):
    """A text part."""

    type: Literal["input_text"]
    text: str


class InputImage(LenientModel):
    """An image part."""

    type: Literal["input_image"]
    image_url: str | None = None
    """A data: URL; nothing is fetched."""
    detail: Literal["auto"] | None = None
    """No effect: the model determines the resolution."""
    file_id: Annotated[None, Unsupported("files are not supported: put the image in image_url")] = (
        None
    )


class AudioData(LenientModel):
    """Base64-encoded audio."""

    data: str
    format: Literal["wav", "mp3"]


class InputAudio(LenientModel):
    """An audio part."""

    type: Literal["input_audio"]
    input_audio: AudioData


class OutputText(LenientModel):
    """A text part of our output."""

    type: Literal["output_text"]
    text: str
    annotations: list[dict[str, JsonValue]] | None = None
    """Sent back as received; not shown to the model."""
    logprobs: list[JsonValue] | None = None
    """Sent back as received; not shown to the model."""


class Refusal(LenientModel):
    """A refusal."""

    type: Literal["refusal"]
    refusal: str


Content: TypeAlias = Annotated[
    InputText | InputImage | InputAudio | OutputText | Refusal, Field(discriminator="type")
]
ResultContent: TypeAlias = Annotated[InputText | InputImage, Field(discriminator="type")]


class MessageItem(LenientModel):
    """A message."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Content]
    id: str | None = None
    status: Status | None = None
    phase: Literal["commentary", "final_answer"] | None = None
    """Another server's phase of the message; not shown to the model."""


class FunctionCallItem(LenientModel):
    """A call of a function tool."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None
    """The namespace of the function."""
    id: str | None = None
    status: Status | None = None


class FunctionCallOutputItem(LenientModel):
    """The output of a function call."""

    type: Literal["function_call_output"]
    call_id: str
    output: str | list[ResultContent]
    id: str | None = None
    status: Status | None = None
    name: str | None = None
    """No effect; known from the call."""
    namespace: str | None = None
    """No effect; known from the call."""


class CustomCallItem(LenientModel):
    """A call of a custom tool."""

    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: str
    namespace: str | None = None
    id: str | None = None
    status: Status | None = None


class CustomCallOutputItem(LenientModel):
    """The output of a custom tool call."""

    type: Literal["custom_tool_call_output"]
    call_id: str
    output: str | list[ResultContent]
    id: str | None = None
    status: Status | None = None
    name: str | None = None
    """No effect; known from the call."""


class SummaryText(LenientModel):
    """A part of a thinking summary."""

    type: Literal["summary_text"]
    text: str


class ReasoningText(LenientModel):
    """A part of the thinking."""

    type: Literal["reasoning_text"]
    text: str


class ReasoningItem(LenientModel):
    """Our thinking: read from ``encrypted_content``, or else from the content or the summary."""

    type: Literal["reasoning"]
    summary: list[SummaryText]
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None
    id: str | None = None
    status: Status | None = None


class SearchSource(LenientModel):
    """A page found by a web search."""

    type: Literal["url"]
    url: str


class SearchAction(LenientModel):
    """A web search."""

    type: Literal["search"]
    query: str | None = None
    queries: list[str] | None = None
    sources: list[SearchSource] | None = None


class OpenPageAction(LenientModel):
    """Opening a page."""

    type: Literal["open_page"]
    url: str | None = None


class FindInPageAction(LenientModel):
    """Finding text in a page."""

    type: Literal["find_in_page"]
    url: str
    pattern: str


class WebSearchCallItem(LenientModel):
    """A web search of ours. Its results are not included, so the model is told they are gone."""

    type: Literal["web_search_call"]
    id: str
    action: Annotated[SearchAction | OpenPageAction | FindInPageAction, Field(discriminator="type")]
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"]


class McpListToolsItem(LenientModel):
    """The tools of an MCP server, known to the client; they are not listed again."""

    type: Literal["mcp_list_tools"]
    id: str
    server_label: str
    tools: list[dict[str, JsonValue]]
    error: str | None = None


class McpCallItem(LenientModel):
    """A call of an MCP server's tool, with its output."""

    type: Literal["mcp_call"]
    id: str
    server_label: str
    name: str
    arguments: str
    output: str | None = None
    error: dict[str, JsonValue] | None = None
    status: Literal["in_progress", "calling", "completed", "incomplete", "failed"] | None = None
    approval_request_id: str | None = None


class McpApprovalRequestItem(LenientModel):
    """A request for the client's approval of a call."""

    type: Literal["mcp_approval_request"]
    id: str
    server_label: str
    name: str
    arguments: str


class McpApprovalResponseItem(LenientModel):
    """The client's decision on a call."""

    type: Literal["mcp_approval_response"]
    approval_request_id: str
    approve: bool
    reason: str | None = None
    """Shown to the model if the call is refused."""
    id: str | None = None


class AnyFields(RequestModel):
    """An item whose fields are all shown to the model."""

    model_config = ConfigDict(extra="allow")


class OtherCallItem(AnyFields):
    """A call of a tool type unknown here, such as Codex's shell, read as a call of that name."""

    type: ClientKind | HostedKind
    call_id: str | None = None
    """The item's ``id`` is used if left out."""
    id: str | None = None
    status: str | None = None

    @property
    def key(self) -> str | None:
        """Id of the call."""
        return self.call_id or self.id

    @property
    def name(self) -> str:
        """Name of the tool."""
        return self.type.removesuffix("_call")

    @property
    def is_hosted(self) -> bool:
        """True if the item contains the result; otherwise an output item follows."""
        return self.type in _HOSTED_KINDS

    @property
    def arguments(self) -> dict[str, JsonValue]:
        """The fields that describe the call, without its result."""
        given = self.model_extra or {}
        return {key: value for key, value in given.items() if key not in _OUTCOMES}


class OtherCallOutputItem(AnyFields):
    """The output of such a call."""

    type: OutputKind
    call_id: str | None = None
    """The item's ``id`` is used if left out."""
    output: JsonValue = None
    """The output; all other fields if left out."""
    id: str | None = None
    status: str | None = None

    @property
    def key(self) -> str | None:
        """Id of the call."""
        return self.call_id or self.id

    @property
    def content(self) -> JsonValue:
        """The output for the model."""
        return dict(self.model_extra or {}) if self.output is None else self.output


class CompactionItem(LenientModel):
    """The summary written by ``/v1/responses/compact``."""

    type: Literal["compaction"]
    encrypted_content: str
    id: str | None = None
    created_by: str | None = None


class ItemReference(LenientModel):
    """A reference to an item of a stored response or a conversation of the same client."""

    type: Literal["item_reference"] | None = None
    id: Annotated[str, Field(min_length=1, max_length=256)]


def _type(item: Any) -> str | None:
    """The item's type; messages and references may leave it out."""
    if isinstance(item, ItemReference):
        return "item_reference"
    if isinstance(item, dict):
        kind = item.get("type")
        if kind is None:
            kind = "message" if "role" in item else "item_reference" if "id" in item else None
    else:
        kind = getattr(item, "type", None)
    if kind in _CALL_KINDS:
        return "other_call"
    if kind in _OUTPUT_KINDS:
        return "other_output"
    return kind if isinstance(kind, str) else None


_KINDS = Discriminator(
    _type,
    custom_error_type="item_type",
    custom_error_message="unknown item type; supported: messages, reasoning, compaction, "
    "references, calls and their outputs",
)
_Item: TypeAlias = (
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionCallOutputItem, Tag("function_call_output")]
    | Annotated[CustomCallItem, Tag("custom_tool_call")]
    | Annotated[CustomCallOutputItem, Tag("custom_tool_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[WebSearchCallItem, Tag("web_search_call")]
    | Annotated[McpListToolsItem, Tag("mcp_list_tools")]
    | Annotated[McpCallItem, Tag("mcp_call")]
    | Annotated[McpApprovalRequestItem, Tag("mcp_approval_request")]
    | Annotated[McpApprovalResponseItem, Tag("mcp_approval_response")]
    | Annotated[OtherCallItem, Tag("other_call")]
    | Annotated[OtherCallOutputItem, Tag("other_output")]
    | Annotated[CompactionItem, Tag("compaction")]
)
InputItem: TypeAlias = Annotated[_Item, _KINDS]
"""An item of the input whose content is known."""
WireItem: TypeAlias = Annotated[_Item | Annotated[ItemReference, Tag("item_reference")], _KINDS]
"""An item of a request, which may be a reference."""
