"""What flows through kronk-agent: messages in, deltas out of the model, events out of the agent.

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
"""Metadata of fields that ``event_to_json`` leaves out."""

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


# --- parts and messages ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text. Never carries control tokens: what looks like one is tokenised as plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An encoded image (PNG, JPEG …), as bytes."""

    data: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True, slots=True)
class AudioPart:
    """An encoded sound (WAV, MP3 …), as bytes."""

    data: bytes = field(repr=False)
    media_type: str


Part: TypeAlias = TextPart | ImagePart | AudioPart


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model asked for."""

    id: str
    name: str
    arguments: str
    """JSON text exactly as the model wrote it; parsed and validated before anything runs."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: tuple[Part, ...] = ()
    reasoning: str = ""
    """Thinking that came before the content, where the model separates it."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Only on assistant messages."""
    tool_call_id: str | None = None
    """Only on tool messages: which call this answers."""
    name: str | None = None
    """Only on tool messages: which tool was called."""

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(part.text for part in self.content if isinstance(part, TextPart))

    @classmethod
    def system(cls, text: str) -> Message:
        return cls(role="system", content=(TextPart(text),))

    @classmethod
    def user(cls, text: str) -> Message:
        return cls(role="user", content=(TextPart(text),))

    @classmethod
    def assistant(cls, text: str, tool_calls: tuple[ToolCall, ...] = ()) -> Message:
        return cls(
            role="assistant", content=(TextPart(text),) if text else (), tool_calls=tool_calls
        )


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a tool call; always something the model can read, also when it failed."""

    call_id: str
    name: str
    content: tuple[Part, ...]
    is_error: bool = False
    structured: JsonObject | None = None
    """The machine-readable form, where the tool gives one."""

    @property
    def text(self) -> str:
        """The text parts, joined by newlines."""
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))

    def to_message(self) -> Message:
        """The message the model reads. Neighbouring texts become one, a newline between them.

        Tools mean them as blocks, and ``Message.text`` would run them into each other.
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
    """Where the time of one model turn went, in seconds."""

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
    """A token of the answer, how likely the model thought it, and its likeliest alternatives."""

    text: str
    """U+FFFD where it is not whole characters."""
    bytes: bytes
    id: int | None
    """None where the model is on a server that does not tell."""
    logprob: float
    """Natural logarithm of its probability, of the model's own distribution; -inf where that is
    zero."""
    top: tuple[TokenLogprob, ...] = ()
    """The likeliest tokens at this place, likeliest first; theirs is empty."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = field(default=(), metadata=_IN_JSON_IF_SET)
    """The tokens it is made of, where they were asked for."""


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The model begins call number ``index`` of this turn."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """More of call ``index``'s arguments, as JSON text."""

    index: int
    fragment: str


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """Call ``index`` is complete and may be run."""

    index: int


FinishReason: TypeAlias = Literal["stop", "tool_calls", "length"]


@dataclass(frozen=True, slots=True)
class Finish:
    """The last delta of every turn."""

    reason: FinishReason
    usage: Usage
    timings: Timings = Timings()
    stop_sequence: str | None = None
    """Which of the request's stop texts ended the turn, if one did and it is known."""
    notices: tuple[str, ...] = ()
    """What of the request the model's server does not take, and was left out."""


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
    """A call is complete and is being answered: looked up, checked, and run if nothing is wrong."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """A running tool says how far it is. Some are left out when nobody reads them in time."""

    call_id: str
    progress: float
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A call is answered; ``result.is_error`` says how it went.

    The result is whole here; what the model reads may be cut to the room in its context.
    """

    result: ToolResult
    seconds: float


@dataclass(frozen=True, slots=True)
class StepFinished:
    """One model turn and its tools are done."""

    step: int
    message: Message
    usage: Usage
    timings: Timings


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should know that does not end the run."""

    text: str


CompactionKind: TypeAlias = Literal["tool_results", "summary", "dropped"]
"""``tool_results``: results were shortened; ``summary``: older messages were replaced by a summary
that the model wrote; ``dropped``: the oldest messages were left out."""


@dataclass(frozen=True, slots=True)
class ContextCompacted:
    """The conversation took too much of the model's context, and the model is now shown less of it.

    The messages themselves are kept: ``RunFinished.messages`` has those of the run as they were.
    """

    kind: CompactionKind
    tokens_before: int
    """Tokens of the prompt as it was."""
    tokens_after: int
    reason: str = ""
    """Why messages were dropped without a summary, if one was tried."""

    @property
    def text(self) -> str:
        """One line for people."""
        what = {
            "tool_results": "older tool results were shortened",
            "summary": "older messages were replaced by a summary",
            "dropped": "the oldest messages were left out",
        }[self.kind]
        because = f" ({self.reason})" if self.reason else ""
        return f"context: {what}, {self.tokens_before} → {self.tokens_after} tokens{because}"


@dataclass(frozen=True, slots=True)
class Source:
    """A page that the tools of a run brought up; the answer cites it as ``[number]``."""

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
"""``tool_calls``: the last assistant message has calls that the caller is to carry out.
``approval``: whether a call may be made is yet to be decided. ``max_steps`` and ``max_tool_calls``:
the model had to answer because the limit was reached. ``malformed_tool_call``: it had to answer,
and wrote a tool call as text instead."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event of every run."""

    reason: RunEnd
    messages: tuple[Message, ...]
    """Every message this run added to the conversation. When the reason is ``tool_calls``, the
    results that there are follow the assistant message, and those of the caller go behind them."""
    usage: Usage
    steps: int
    error: str | None = None
    """What went wrong, when the reason is ``error``."""
    sources: tuple[Source, ...] = ()
    """What the answer may cite, by number."""
    exception: KronkError | None = field(default=None, compare=False, metadata=_NOT_IN_JSON)
    """The same as ``error``, for those who tell one kind from another."""
    stop_sequence: str | None = None
    """Which of the stop texts ended the last turn, if one did and it is known."""
    pending: tuple[ToolCall, ...] = ()
    """When the reason is ``approval``: the calls of the last assistant message that wait for it."""

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
    """The event as a JSON object whose ``type`` is the event's name in snake_case.

    Bytes become base64 text; parts carry a ``type`` of their own (``text``, ``image``, ``audio``).
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
