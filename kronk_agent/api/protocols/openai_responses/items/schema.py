"""The items a request may hold: what a client says, and what we said before, sent back."""

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
    type: Literal["input_text"]
    text: str


class InputImage(LenientModel):
    type: Literal["input_image"]
    image_url: str | None = None
    """A data: URL; nothing is fetched."""
    detail: Literal["auto"] | None = None
    """All images are seen as the model sees them."""
    file_id: Annotated[None, Unsupported("there are no files: put the image in image_url")] = None


class AudioData(LenientModel):
    data: str
    format: Literal["wav", "mp3"]


class InputAudio(LenientModel):
    type: Literal["input_audio"]
    input_audio: AudioData


class OutputText(LenientModel):
    type: Literal["output_text"]
    text: str
    annotations: list[dict[str, JsonValue]] | None = None
    """As we gave them; the model does not see them."""
    logprobs: list[JsonValue] | None = None
    """As we gave them; the model does not see them."""


class Refusal(LenientModel):
    type: Literal["refusal"]
    refusal: str


Content: TypeAlias = Annotated[
    InputText | InputImage | InputAudio | OutputText | Refusal, Field(discriminator="type")
]
ResultContent: TypeAlias = Annotated[InputText | InputImage, Field(discriminator="type")]


class MessageItem(LenientModel):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Content]
    id: str | None = None
    status: Status | None = None
    phase: Literal["commentary", "final_answer"] | None = None
    """What another server said it was; the model does not see it."""


class FunctionCallItem(LenientModel):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None
    """The namespace tool the function is in."""
    id: str | None = None
    status: Status | None = None


class FunctionCallOutputItem(LenientModel):
    type: Literal["function_call_output"]
    call_id: str
    output: str | list[ResultContent]
    id: str | None = None
    status: Status | None = None
    name: str | None = None
    """Known from the call."""
    namespace: str | None = None
    """Known from the call."""


class CustomCallItem(LenientModel):
    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: str
    namespace: str | None = None
    id: str | None = None
    status: Status | None = None


class CustomCallOutputItem(LenientModel):
    type: Literal["custom_tool_call_output"]
    call_id: str
    output: str | list[ResultContent]
    id: str | None = None
    status: Status | None = None
    name: str | None = None
    """Known from the call."""


class SummaryText(LenientModel):
    type: Literal["summary_text"]
    text: str


class ReasoningText(LenientModel):
    type: Literal["reasoning_text"]
    text: str


class ReasoningItem(LenientModel):
    """Thinking of ours; taken from ``encrypted_content``, else from the content or the summary."""

    type: Literal["reasoning"]
    summary: list[SummaryText]
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None
    id: str | None = None
    status: Status | None = None


class SearchSource(LenientModel):
    type: Literal["url"]
    url: str


class SearchAction(LenientModel):
    type: Literal["search"]
    query: str | None = None
    queries: list[str] | None = None
    sources: list[SearchSource] | None = None


class OpenPageAction(LenientModel):
    type: Literal["open_page"]
    url: str | None = None


class FindInPageAction(LenientModel):
    type: Literal["find_in_page"]
    url: str
    pattern: str


class WebSearchCallItem(LenientModel):
    """A search of ours. What it found is not in it, so the model sees that it is gone."""

    type: Literal["web_search_call"]
    id: str
    action: Annotated[SearchAction | OpenPageAction | FindInPageAction, Field(discriminator="type")]
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"]


class McpListToolsItem(LenientModel):
    """Says that the client knows the server's tools, so they are not listed again."""

    type: Literal["mcp_list_tools"]
    id: str
    server_label: str
    tools: list[dict[str, JsonValue]]
    error: str | None = None


class McpCallItem(LenientModel):
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
    type: Literal["mcp_approval_request"]
    id: str
    server_label: str
    name: str
    arguments: str


class McpApprovalResponseItem(LenientModel):
    type: Literal["mcp_approval_response"]
    approval_request_id: str
    approve: bool
    reason: str | None = None
    """Told to the model when the call is refused."""
    id: str | None = None


class AnyFields(RequestModel):
    """A part of a request of which every field is shown to the model."""

    model_config = ConfigDict(extra="allow")


class OtherCallItem(AnyFields):
    """A call of a tool that there is not here, such as Codex's shell: a call of that name."""

    type: ClientKind | HostedKind
    call_id: str | None = None
    """Its id where left out."""
    id: str | None = None
    status: str | None = None

    @property
    def key(self) -> str | None:
        return self.call_id or self.id

    @property
    def name(self) -> str:
        return self.type.removesuffix("_call")

    @property
    def is_hosted(self) -> bool:
        """True if its result was a part of it, and not an item that follows."""
        return self.type in _HOSTED_KINDS

    @property
    def arguments(self) -> dict[str, JsonValue]:
        """All that says what was done, without what came of it."""
        given = self.model_extra or {}
        return {key: value for key, value in given.items() if key not in _OUTCOMES}


class OtherCallOutputItem(AnyFields):
    """What came of such a call."""

    type: OutputKind
    call_id: str | None = None
    """Its id where left out."""
    output: JsonValue = None
    """All other fields where left out."""
    id: str | None = None
    status: str | None = None

    @property
    def key(self) -> str | None:
        return self.call_id or self.id

    @property
    def told(self) -> JsonValue:
        return dict(self.model_extra or {}) if self.output is None else self.output


class CompactionItem(LenientModel):
    """What ``/v1/responses/compact`` made of a conversation."""

    type: Literal["compaction"]
    encrypted_content: str
    id: str | None = None
    created_by: str | None = None


def _type(item: Any) -> str | None:
    """Messages need not say what they are."""
    if isinstance(item, dict):
        kind = item.get("type", "message" if "role" in item else None)
    else:
        kind = getattr(item, "type", None)
    if kind in _CALL_KINDS:
        return "other_call"
    if kind in _OUTPUT_KINDS:
        return "other_output"
    return kind if isinstance(kind, str) else None


InputItem: TypeAlias = Annotated[
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
    | Annotated[CompactionItem, Tag("compaction")],
    Discriminator(
        _type,
        custom_error_type="item_type",
        custom_error_message="no such kind of item here: messages, reasoning, compaction, and "
        "calls and outputs of function, custom, web_search, mcp and shell tools are known",
    ),
]
