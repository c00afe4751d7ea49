"""Requests for responses, and the agent options they set."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, JsonValue

from kronk_agent.agent import AgentOptions
from kronk_agent.api.protocols.common.schema import (
    CacheSalt,
    Count,
    RequestModel,
    UnicodeBody,
    Unsupported,
)
from kronk_agent.api.protocols.common.settings import SettingsFields
from kronk_agent.api.protocols.openai_responses.items.schema import MessageItem, WireItem
from kronk_agent.api.protocols.openai_responses.tools import WireTool, WireToolChoice
from kronk_agent.errors import InvalidRequestError
from kronk_agent.settings import ReasoningEffort, ResponseFormat

Metadata: TypeAlias = Annotated[dict[str, str], Field(max_length=16)]
Includable: TypeAlias = Literal[
    "web_search_call.action.sources",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
    "message.input_image.image_url",
]

_COMPACTION = {"auto": "auto", "disabled": "off"}


class TextFormat(RequestModel):
    type: Literal["text"]


class JsonObjectFormat(RequestModel):
    type: Literal["json_object"]


class JsonSchemaFormat(RequestModel):
    type: Literal["json_schema"]
    name: str
    """Not shown to the model: the schema is enforced by the grammar."""
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")]
    strict: bool | None = None
    """True: a schema that cannot be enforced whole is refused."""
    description: str | None = None
    """Not shown to the model."""


class PatternFormat(RequestModel):
    """Our extension: the answer matches a regular expression or a grammar."""

    type: Literal["regex", "lark", "gbnf"]
    pattern: str


class TextConfig(RequestModel):
    format: (
        Annotated[
            TextFormat | JsonObjectFormat | JsonSchemaFormat | PatternFormat,
            Field(discriminator="type"),
        ]
        | None
    ) = None
    verbosity: Literal["medium"] | None = None
    """Ask for a longer or shorter answer in the prompt."""

    def form(self) -> ResponseFormat | None:
        match self.format:
            case None:
                return None
            case TextFormat():
                return ResponseFormat()
            case JsonObjectFormat():
                return ResponseFormat(type="json_object")
            case PatternFormat(type=kind, pattern=pattern):
                return ResponseFormat(type=kind, pattern=pattern)
            case JsonSchemaFormat(schema_=schema, strict=strict):
                return ResponseFormat(type="json_schema", schema=schema, strict=bool(strict))


class Reasoning(RequestModel):
    effort: ReasoningEffort | None = None
    summary: Literal["auto", "detailed"] | None = None
    """Returns the thinking as a summary instead of content; unabridged."""
    generate_summary: Annotated[None, Unsupported("use summary")] = None


class StreamOptions(RequestModel):
    include_obfuscation: bool | None = None
    """Pads deltas, so that their sizes reveal nothing about the text."""


class ConversationRef(RequestModel):
    id: str


class Context(UnicodeBody):
    """The conversation a request continues; for answering, counting and compacting."""

    model: str = ""
    """A model id or agent/NAME; the default model if left out."""
    input: str | list[WireItem] | None = None
    instructions: str | None = None
    """The system message of this response only."""
    previous_response_id: str | None = None
    """Id of the stored response to continue."""
    prompt_cache_key: str | None = None
    """No effect: your prompts share their common prefix anyway."""
    prompt_cache_retention: Literal["in_memory"] | None = None
    """No effect: prefixes stay cached as long as the cache has room."""
    cache_salt: CacheSalt | None = None
    """Restricts prefix sharing to your prompts with the same salt."""
    prompt_cache_options: Annotated[
        None, Unsupported("prompts share their common prefix anyway")
    ] = None
    service_tier: Literal["auto", "default"] | None = None
    """There is one service tier."""
    image: Annotated[None, Unsupported("images have one level of detail")] = None

    @property
    def items(self) -> list[WireItem]:
        """The input as items; a text becomes a user message."""
        if isinstance(self.input, str):
            return [MessageItem(role="user", content=self.input)]
        return self.input or []


class Prompt(Context):
    """Everything that the prompt depends on."""

    conversation: str | ConversationRef | None = None
    """The stored conversation that this response is appended to."""
    tools: list[WireTool] | None = None
    tool_choice: WireToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    text: TextConfig | None = None
    truncation: Literal["auto", "disabled"] | None = None
    """auto compacts a conversation that exceeds the context; disabled refuses it. Default: agents
    do as configured and plain models refuse."""

    @property
    def conversation_id(self) -> str | None:
        given = self.conversation
        return given.id if isinstance(given, ConversationRef) else given


class CountTokens(Prompt):
    """A request for ``/v1/responses/input_tokens``."""

    personality: Annotated[None, Unsupported("describe it in instructions")] = None


class Compact(Context):
    """A request for ``/v1/responses/compact``."""


class CreateResponse(Prompt, SettingsFields):
    """A request for ``/v1/responses``."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    """Only with stream."""
    store: bool | None = None
    """Whether to store the response, to be retrieved and continued; true if left out."""
    background: bool | None = None
    """Return at once and generate in the background; needs store."""
    include: list[Includable] | None = None
    max_output_tokens: Count | None = None
    """Maximum completion tokens of a turn, thinking included."""
    max_tool_calls: Annotated[int, Field(ge=0)] | None = None
    """Maximum tool calls executed here."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Number of alternatives to each token."""
    metadata: Metadata | None = None
    user: str | None = None
    """An identifier of the client's, without effect."""
    safety_identifier: str | None = None
    """An identifier of the client's, without effect."""
    client_metadata: dict[str, JsonValue] | None = None
    """Sent by Codex; no effect."""
    access_programs: Annotated[None, Unsupported("there are no access programs")] = None
    background_options: Annotated[None, Unsupported("background responses start at once")] = None
    context_management: Annotated[
        None, Unsupported("use truncation: auto, or /v1/responses/compact")
    ] = None
    moderation: Annotated[None, Unsupported("there is no moderation")] = None
    prompt: Annotated[None, Unsupported("send its text as instructions and input")] = None
    # --- our extensions ---
    max_steps: Count | None = None
    """Maximum model turns, for an agent whose tools run here."""

    @property
    def is_stored(self) -> bool:
        return self.store is not False

    def includes(self, what: Includable) -> bool:
        return what in (self.include or ())

    def check(self) -> None:
        """Check that the fields fit each other.

        Raises:
            InvalidRequestError: they do not; ``param`` names one.
        """
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options needs stream: true", param="stream_options")
        if self.background and not self.is_stored:
            raise InvalidRequestError(
                "background needs store: true: the response is retrieved later",
                param="background",
            )
        check_context(self)


def check_context(wire: Prompt) -> None:
    """Check that a request continues one thing, and has something to answer.

    Raises:
        InvalidRequestError: it does not.
    """
    if wire.conversation is not None and wire.previous_response_id is not None:
        raise InvalidRequestError(
            "conversation cannot be combined with previous_response_id",
            param="conversation",
        )
    is_alone = wire.conversation is None and wire.previous_response_id is None
    if is_alone and not wire.items:
        raise InvalidRequestError("input: must not be empty", param="input")


def options(wire: CreateResponse, base: AgentOptions) -> AgentOptions:
    """The options of an agent with the changes of a request.

    Raises:
        InvalidRequestError: a value out of range, or two that exclude each other.
    """
    has_logprobs = wire.includes("message.output_text.logprobs") or bool(wire.top_logprobs)
    changes: dict[str, Any] = {
        **wire.settings(base),
        "instructions": wire.instructions,
        "max_tokens": wire.max_output_tokens,
        "max_tool_calls": wire.max_tool_calls,
        "max_steps": wire.max_steps,
        "compaction": _COMPACTION.get(wire.truncation or ""),
        "reasoning_effort": wire.reasoning.effort if wire.reasoning else None,
        "response_format": wire.text.form() if wire.text else None,
        "logprobs": has_logprobs or None,
        "top_logprobs": wire.top_logprobs,
        "streamed": bool(wire.stream),
    }
    return replace(base, **{key: value for key, value in changes.items() if value is not None})
