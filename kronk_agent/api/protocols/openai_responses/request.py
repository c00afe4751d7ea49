"""A request for a response, and what of an agent's options it changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, JsonValue

from kronk_agent.agent import AgentOptions
from kronk_agent.api.protocols.common.schema import CacheSalt, Count, Refused, WholeText, Wire
from kronk_agent.api.protocols.common.settings import SettingsFields
from kronk_agent.api.protocols.openai_responses.items.schema import InputItem, MessageItem
from kronk_agent.api.protocols.openai_responses.tools import WireTool, WireToolChoice
from kronk_agent.errors import InvalidRequestError
from kronk_agent.model import ReasoningEffort, ResponseFormat

Metadata: TypeAlias = Annotated[dict[str, str], Field(max_length=16)]
Includable: TypeAlias = Literal[
    "web_search_call.action.sources",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
    "message.input_image.image_url",
]

_COMPACTION = {"auto": "auto", "disabled": "off"}


class TextFormat(Wire):
    type: Literal["text"]


class JsonObjectFormat(Wire):
    type: Literal["json_object"]


class JsonSchemaFormat(Wire):
    type: Literal["json_schema"]
    name: str
    """Seen by nobody: the schema is enforced, not described."""
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")]
    strict: bool | None = None
    """True: a schema that cannot be enforced whole is refused."""
    description: str | None = None
    """Seen by nobody."""


class PatternFormat(Wire):
    """Ours: the answer follows a regular expression or a grammar."""

    type: Literal["regex", "lark", "gbnf"]
    pattern: str


class TextConfig(Wire):
    format: (
        Annotated[
            TextFormat | JsonObjectFormat | JsonSchemaFormat | PatternFormat,
            Field(discriminator="type"),
        ]
        | None
    ) = None
    verbosity: Literal["medium"] | None = None
    """As the model does; ask for more or less in words."""

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


class Reasoning(Wire):
    effort: ReasoningEffort | None = None
    summary: Literal["auto", "detailed"] | None = None
    """The thinking comes as a summary instead of as content: the whole of it."""
    generate_summary: Annotated[None, Refused("use summary")] = None


class StreamOptions(Wire):
    include_obfuscation: bool | None = None
    """Deltas are padded, so that their sizes tell nothing of the text."""


class ConversationRef(Wire):
    id: str


class Context(WholeText):
    """What there is to go on from; the same for answering, counting and compacting."""

    model: str = ""
    """A model's id, or agent/NAME; the default model when left out."""
    input: str | list[InputItem] | None = None
    instructions: str | None = None
    """The system message of this response only."""
    previous_response_id: str | None = None
    """A stored response to go on from."""
    prompt_cache_key: str | None = None
    """Your prompts share what they begin with in any case, whatever their keys."""
    prompt_cache_retention: Literal["in_memory"] | None = None
    """Prompts are remembered as long as there is room."""
    cache_salt: CacheSalt | None = None
    """The prompt shares the cache only with your prompts of the same salt."""
    prompt_cache_options: Annotated[None, Refused("prompts share what they begin with")] = None
    service_tier: Literal["auto", "default"] | None = None
    """There is one."""
    image: Annotated[None, Refused("images are seen as the model sees them")] = None

    @property
    def items(self) -> list[InputItem]:
        """The input; a text is what the user says."""
        if isinstance(self.input, str):
            return [MessageItem(role="user", content=self.input)]
        return self.input or []


class Prompt(Context):
    """Everything that makes the prompt."""

    conversation: str | ConversationRef | None = None
    """A conversation that this response becomes part of."""
    tools: list[WireTool] | None = None
    tool_choice: WireToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    text: TextConfig | None = None
    truncation: Literal["auto", "disabled"] | None = None
    """auto shortens a conversation that is too long for the context; disabled refuses it. None: as
    the agent does, and plain models refuse it."""

    @property
    def conversation_id(self) -> str | None:
        given = self.conversation
        return given.id if isinstance(given, ConversationRef) else given


class CountTokens(Prompt):
    """A request for ``/v1/responses/input_tokens``."""

    personality: Annotated[None, Refused("say it in the instructions")] = None


class Compact(Context):
    """A request for ``/v1/responses/compact``."""


class CreateResponse(Prompt, SettingsFields):
    """A request for ``/v1/responses``."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    """Only with stream."""
    store: bool | None = None
    """Is the response kept, to be read again and gone on from? It is, when left out."""
    background: bool | None = None
    """Answer at once, and go on when the client has gone; only with store."""
    include: list[Includable] | None = None
    max_output_tokens: Count | None = None
    """Tokens of the answer at most, thinking and the turns between tool calls included."""
    max_tool_calls: Annotated[int, Field(ge=0)] | None = None
    """Calls carried out here at most."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """So many alternatives to each token."""
    metadata: Metadata | None = None
    user: str | None = None
    """Who asked, in the client's words; nothing here depends on it."""
    safety_identifier: str | None = None
    """Who asked, in the client's words; nothing here depends on it."""
    client_metadata: dict[str, JsonValue] | None = None
    """What Codex says of itself."""
    access_programs: Annotated[None, Refused("there are none")] = None
    background_options: Annotated[None, Refused("background responses begin at once")] = None
    context_management: Annotated[
        None, Refused("use truncation: auto, or /v1/responses/compact")
    ] = None
    moderation: Annotated[None, Refused("nothing is moderated")] = None
    prompt: Annotated[None, Refused("put its text into instructions and input")] = None
    # --- ours ---
    max_steps: Count | None = None
    """Turns of the model at most, when it has tools here."""

    @property
    def is_stored(self) -> bool:
        return self.store is not False

    def includes(self, what: Includable) -> bool:
        return what in (self.include or ())

    def check(self) -> None:
        """See that the fields fit each other.

        Raises:
            InvalidRequestError: they do not; names one.
        """
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError(
                "stream_options: only when stream is true", param="stream_options"
            )
        if self.background and not self.is_stored:
            raise InvalidRequestError(
                "background: only when store is true: the answer is fetched later",
                param="background",
            )
        check_context(self)


def check_context(wire: Prompt) -> None:
    """See that there is one thing to go on from, and something to answer.

    Raises:
        InvalidRequestError: there is not.
    """
    if wire.conversation is not None and wire.previous_response_id is not None:
        raise InvalidRequestError(
            "conversation: the response goes on from either a conversation or a "
            "previous_response_id",
            param="conversation",
        )
    is_alone = wire.conversation is None and wire.previous_response_id is None
    if is_alone and not wire.items:
        raise InvalidRequestError("input: must not be empty", param="input")


def options(wire: CreateResponse, base: AgentOptions) -> AgentOptions:
    """The options of an agent, as a request changes them.

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
