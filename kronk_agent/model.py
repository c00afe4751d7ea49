"""What a chat model is: messages and tools in, deltas out."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Delta, Message
from kronk_agent.tool import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen, in llama.cpp's terms.

    Raises:
        InvalidRequestError: a value outside its range; ``param`` names it.
    """

    temperature: float = 0.7
    """0 takes the likeliest token every time."""
    top_k: int = 40
    """Keep the k likeliest; 0 keeps all."""
    top_p: float = 0.95
    """Keep the likeliest that together reach this probability; 1 keeps all."""
    min_p: float = 0.05
    """Drop what is less likely than this share of the likeliest; 0 drops none."""
    typical_p: float = 1.0
    """Locally typical sampling; 1 is off."""
    repeat_penalty: float = 1.0
    """Divides the logits of recent tokens; 1 is off. Even mild values damage JSON."""
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repeat_last_n: int = 64
    """How many recent tokens the three penalties look at; -1 is the whole context."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Token id to what is added to its logit."""
    seed: int | None = None
    """The same seed, prompt and engine give the same tokens; None draws one."""

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "temperature": (0, 100),
            "top_k": (0, 2**31 - 1),
            "top_p": (0, 1),
            "min_p": (0, 1),
            "typical_p": (0, 1),
            "repeat_penalty": (1e-3, 100),
            "frequency_penalty": (-100, 100),
            "presence_penalty": (-100, 100),
            "repeat_last_n": (-1, 2**31 - 1),
            "seed": (0, 2**32 - 2),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:  # NaN is in no range
                raise InvalidRequestError(
                    f"{name} must be from {low} to {high}, not {value!r}", param=name
                )


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may, must or must not call tools; the grammar enforces it."""

    mode: Literal["auto", "none", "required", "named"] = "auto"
    name: str | None = None
    """The tool to call, when the mode is ``named``."""

    def __post_init__(self) -> None:
        if (self.mode == "named") != (self.name is not None):
            raise InvalidRequestError(
                "tool_choice 'named' takes a tool's name, and no other mode does",
                param="tool_choice",
            )

    @classmethod
    def parse(cls, text: str) -> ToolChoice:
        """``auto``, ``none``, ``required``, or the name of a tool."""
        match text:
            case "auto" | "none" | "required":
                return cls(text)
            case _:
                return cls("named", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One turn to be generated."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    """False allows at most one call in the turn."""
    sampling: SamplingParams = SamplingParams()
    max_tokens: int | None = None
    """Completion tokens at most; None is what the context has room for."""
    stop: tuple[str, ...] = ()
    """Texts that end the turn; they are not part of the answer."""

    def __post_init__(self) -> None:
        if not self.messages:
            raise InvalidRequestError("messages is empty: give at least one", param="messages")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InvalidRequestError(
                f"max_tokens must be at least 1, not {self.max_tokens}", param="max_tokens"
            )
        names = [tool.name for tool in self.tools]
        for name, count in Counter(names).items():
            if count > 1:
                raise InvalidRequestError(f"{count} tools are named {name!r}", param="tools")
        self._check_tool_choice(names)

    def _check_tool_choice(self, names: list[str]) -> None:
        choice = self.tool_choice
        if choice.mode == "named" and choice.name not in names:
            known = ", ".join(names) or "none"
            raise InvalidRequestError(
                f"tool_choice names {choice.name!r}, which is not one of the tools: {known}",
                param="tool_choice",
            )
        if choice.mode == "required" and not names:
            raise InvalidRequestError(
                "tool_choice 'required' needs at least one tool", param="tool_choice"
            )


Capability: TypeAlias = Literal["chat", "tools", "embed", "rerank", "fim", "image", "audio"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a loaded model."""

    id: str
    context_length: int
    """Tokens that prompt and completion may have together."""
    capabilities: frozenset[Capability]


class ChatModel(Protocol):
    """Generates turns. Safe to use from several tasks at once."""

    @property
    def info(self) -> ModelInfo: ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The turn as it is generated; the last delta is always ``Finish``.

        Closing the generator early stops the generation and frees what it held.

        Raises:
            InvalidRequestError: the request can never work with this model.
            OverloadedError: too many requests are waiting.
            EngineError: the engine failed meanwhile.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without any template around it."""
        ...
