"""The data that flows through kronk-agent: messages, model deltas and agent events.

Everything here is plain frozen data. Wire formats are translated to and from it at the edges.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kronk_agent.errors import KronkError

_NOT_IN_JSON = {"json": "never"}
_IN_JSON_IF_SET = {"json": "if set"}
"""Metadata of fields that ``event_to_json`` omits, always or if empty."""

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


# --- parts and messages ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text. It never carries control tokens: their names are tokenized as plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An encoded image (PNG, JPEG, ...), as bytes."""

    data: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True, slots=True)
class AudioPart:
    """Encoded audio (WAV, MP3, ...), as bytes."""

    data: bytes = field(repr=False)
    media_type: str


Part: TypeAlias = TextPart | ImagePart | AudioPart


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that the model requested."""

    id: str
    name: str
    arguments: str
    """JSON text exactly as the model wrote it; parsed and validated before execution."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: tuple[Part, ...] = ()
    reasoning: str = ""
    """Reasoning that preceded the content, if the model separates it."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Only on assistant messages."""
    tool_call_id: str | None = None
    """Only on tool messages: ID of the call this answers."""
    name: str | None = None
    """Only on tool messages: name of the tool."""

    @property
    def text(self) -> str:
        """The text parts, concatenated."""
        return "".join(part.text for part in self.content if isinstance(part, TextPart))

    @classmethod
    def system(cls, text: str) -> Message:
        """Return a system message."""
        return cls(role="system", content=(TextPart(text),))

    @classmethod
    def user(cls, text: str) -> Message:
        """Return a user message."""
        return cls(role="user", content=(TextPart(text),))

    @classmethod
    def assistant(cls, text: str, tool_calls: tuple[ToolCall, ...] = ()) -> Message:
        """Return an assistant message."""
        return cls(
            role="assistant", content=(TextPart(text),) if text else (), tool_calls=tool_calls
        )


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool call; always readable by the model, even after a failure."""

    call_id: str
    name: str
    content: tuple[Part, ...]
    is_error: bool = False
    structured: JsonObject | None = None
    """Structured content, if the tool provides it."""

    @property
    def text(self) -> str:
        """The text parts, joined by newlines."""
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))

    def to_message(self) -> Message:
        """Return the message for the model. Adjacent texts are joined with a newline.

        Tools intend them as separate blocks, but ``Message.text`` would concatenate them.
        """
        content: list[Part] = []
        for part in self.content:
            last = content[-1] if content else None
            if isinstance(last, TextPart) and isinstance(part, TextPart):
                content[-1] = TextPart(f"{last.text}\n{part.text}")
            else:
                content.append(part)
        return Message(
            role="tool", content=tuple(content), tool_call_id=self.call_id, name=self.name
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one model turn, or of a whole run when added up."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens that were already in the KV cache."""
    reasoning_tokens: int = 0
    """Completion tokens spent on reasoning."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Timings:
    """Durations of one model turn, in seconds."""

    queue_seconds: float = 0.0
    ttft_seconds: float = 0.0
    """From submission to the first token."""
    generation_seconds: float = 0.0
    """From the first token to the last."""

    def __add__(self, other: Timings) -> Timings:
        return Timings(
            self.queue_seconds + other.queue_seconds,
            self.ttft_seconds + other.ttft_seconds,
            self.generation_seconds + other.generation_seconds,
        )


# --- deltas: chat model → agent --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of the answer with its log probability and its most likely alternatives."""

    text: str
    """U+FFFD if the token is not a sequence of complete characters."""
    bytes: bytes
    id: int | None
    """None if a remote server does not report it."""
    logprob: float
    """Natural logarithm of the probability in the model's own distribution; -inf if it is zero."""
    top: tuple[TokenLogprob, ...] = ()
    """The most likely tokens at this position, in descending order; their own ``top`` is empty."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = field(default=(), metadata=_IN_JSON_IF_SET)
    """The tokens of the text, if requested."""


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The start of call number ``index`` of this turn."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """A fragment of the arguments of call ``index``, as JSON text."""

    index: int
    fragment: str


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """Call ``index`` is complete and can be executed."""

    index: int


FinishReason: TypeAlias = Literal["stop", "tool_calls", "length"]


@dataclass(frozen=True, slots=True)
class Finish:
    """The last delta of every turn."""

    reason: FinishReason
    usage: Usage
    timings: Timings = Timings()
    stop_sequence: str | None = None
    """The stop sequence that ended the turn; None if none did or it is unknown."""
    notices: tuple[str, ...] = ()
    """Request parameters that the model's server does not support and that were dropped."""


Delta: TypeAlias = (
    TextDelta | ReasoningDelta | ToolCallStart | ToolCallArguments | ToolCallEnd | Finish
)


# --- events: agent → caller ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepStarted:
    """The model is asked for the next turn; steps count from 1."""

    step: int


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A complete call is being processed: looked up, checked, and executed if valid."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """Progress of a running tool. Some reports are dropped if the reader is slow."""

    call_id: str
    progress: float
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A call has its result; ``result.is_error`` tells whether it failed.

    The result is complete here; the model may read a truncated one.
    """

    result: ToolResult
    seconds: float


@dataclass(frozen=True, slots=True)
class StepFinished:
    """One model turn and its tool calls are finished."""

    step: int
    message: Message
    usage: Usage
    timings: Timings


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for the user that does not end the run."""

    text: str


CompactionKind: TypeAlias = Literal["tool_results", "summary", "dropped"]
"""The kind of a compaction.

``tool_results``: results were shortened; ``summary``: older messages were replaced by a summary
that the model wrote; ``dropped``: the oldest messages were left out.
"""


@dataclass(frozen=True, slots=True)
class ContextCompacted:
    """The conversation used too much of the context; the model is now shown less of it.

    The messages themselves are kept: ``RunFinished.messages`` has those of the run unchanged.
    """

    kind: CompactionKind
    tokens_before: int
    """Prompt tokens before the compaction."""
    tokens_after: int
    """Prompt tokens after the compaction."""
    reason: str = ""
    """Why messages were dropped without a summary, if one was attempted."""

    @property
    def text(self) -> str:
        """A one-line description for users."""
        change = {
            "tool_results": "older tool results were shortened",
            "summary": "older messages were replaced by a summary",
            "dropped": "the oldest messages were left out",
        }[self.kind]
        reason = f" ({self.reason})" if self.reason else ""
        return f"context: {change}, {self.tokens_before} → {self.tokens_after} tokens{reason}"


@dataclass(frozen=True, slots=True)
class Source:
    """A page that tools of the run retrieved; the answer cites it as ``[number]``."""

    number: int
    url: str
    title: str | None = None


RunEnd: TypeAlias = Literal[
    "stop",
    "tool_calls",
    "length",
    "max_steps",
    "max_tool_calls",
    "malformed_tool_call",
    "approval",
    "cancelled",
    "error",
]
"""The reason why a run ended.

``tool_calls``: the last assistant message has calls for the client to execute. ``approval``: a call
waits for approval. ``max_steps`` and ``max_tool_calls``: the limit was reached, so the model had to
answer. ``malformed_tool_call``: it had to answer but wrote a tool call as text.
"""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event of every run."""

    reason: RunEnd
    messages: tuple[Message, ...]
    """The messages that this run added to the conversation.

    If the reason is ``tool_calls``, existing results follow the assistant message, and the client's
    results go after them.
    """
    usage: Usage
    steps: int
    error: str | None = None
    """The error message, if the reason is ``error``."""
    sources: tuple[Source, ...] = ()
    """Sources that the answer can cite, by number."""
    exception: KronkError | None = field(default=None, compare=False, metadata=_NOT_IN_JSON)
    """The exception behind ``error``, to distinguish kinds of errors."""
    stop_sequence: str | None = None
    """The stop sequence that ended the last turn; None if none did or it is unknown."""
    pending: tuple[ToolCall, ...] = ()
    """If the reason is ``approval``: the calls that wait for it."""

    @property
    def text(self) -> str:
        """The final answer: the text of the last assistant message."""
        for message in reversed(self.messages):
            if message.role == "assistant":
                return message.text
        return ""


Event: TypeAlias = (
    StepStarted
    | TextDelta
    | ReasoningDelta
    | ToolCallStart
    | ToolCallArguments
    | ToolCallEnd
    | ToolStarted
    | ToolProgress
    | ToolFinished
    | StepFinished
    | Notice
    | ContextCompacted
    | RunFinished
)


def event_to_json(event: Event) -> JsonObject:
    """Return the event as a JSON object whose ``type`` is the event's name in snake_case.

    Bytes become base64 text; parts have a ``type`` of their own (``text``, ``image``, ``audio``).
    """
    return {"type": _snake_case(type(event).__name__), **_fields_to_json(event)}


def _fields_to_json(value: object) -> JsonObject:
    assert dataclasses.is_dataclass(value)
    return {
        f.name: _to_json(getattr(value, f.name))
        for f in dataclasses.fields(value)
        if _is_in_json(f.metadata.get("json"), getattr(value, f.name))
    }


def _is_in_json(when: str | None, value: object) -> bool:
    return when is None or (when == "if set" and bool(value))


def _to_json(value: object) -> JsonValue:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case TextPart() | ImagePart() | AudioPart():
            kind = _snake_case(type(value).__name__.removesuffix("Part"))
            return {"type": kind, **_fields_to_json(value)}
        case dict():
            return {str(key): _to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [_to_json(item) for item in value]
        case _:
            return _fields_to_json(value)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
