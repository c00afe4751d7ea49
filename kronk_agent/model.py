"""What a chat model is: messages and tools in, deltas out."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Delta, Message
from kronk_agent.settings import DEFAULT_SAMPLERS as DEFAULT_SAMPLERS
from kronk_agent.settings import ModelSettings as ModelSettings
from kronk_agent.settings import ReasoningEffort as ReasoningEffort
from kronk_agent.settings import ResponseFormat as ResponseFormat
from kronk_agent.settings import ResponseType as ResponseType
from kronk_agent.settings import SamplerName as SamplerName
from kronk_agent.settings import SamplingParams as SamplingParams
from kronk_agent.settings import ToolChoice as ToolChoice
from kronk_agent.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest(ModelSettings):
    """One turn to generate: messages, tools and settings.

    Raises:
        InvalidRequestError: settings out of range, or that do not fit the messages and tools;
            ``param`` names the field.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()

    def __post_init__(self) -> None:
        ModelSettings.__post_init__(self)  # super() does not work with slots
        if not self.messages:
            raise InvalidRequestError("messages is empty: give at least one", param="messages")
        self._check_continuation()
        names = [tool.name for tool in self.tools]
        for name, count in Counter(names).items():
            if count > 1:
                raise InvalidRequestError(f"{count} tools are named {name!r}", param="tools")
        self._check_tool_choice(names)

    @property
    def callable_tools(self) -> tuple[Tool, ...]:
        """The tools that ``tool_choice`` lets the model call."""
        choice = self.tool_choice
        match choice.mode:
            case "none":
                return ()
            case "named":
                return tuple(tool for tool in self.tools if tool.name == choice.name)
            case _:
                allowed = choice.allowed
                return tuple(t for t in self.tools if allowed is None or t.name in allowed)

    @property
    def max_calls(self) -> int | None:
        """Calls in the turn at most; None is the model's own limit."""
        if self.tool_choice.mode == "named" or not self.parallel_tool_calls:
            return 1
        return self.max_parallel_calls

    def _check_continuation(self) -> None:
        last = self.messages[-1]
        if self.continue_final_message and (last.role != "assistant" or last.tool_calls):
            raise InvalidRequestError(
                "continue_final_message goes on with an assistant's message without calls, and "
                f"the last is from the {last.role}" + (" and has calls" if last.tool_calls else ""),
                param="continue_final_message",
            )

    def _check_tool_choice(self, names: list[str]) -> None:
        choice = self.tool_choice
        for name in choice.allowed or ():
            if name not in names:
                raise InvalidRequestError(
                    f"tool_choice allows {name!r}, which is not one of the tools: "
                    + (", ".join(names) or "none"),
                    param="tool_choice",
                )
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


Capability: TypeAlias = Literal[
    "generate", "chat", "tools", "thinking", "embed", "rerank", "fim", "image", "audio"
]
"""``generate`` goes on with any text, ``chat`` answers a conversation, ``fim`` fills in the middle
of a text."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a loaded model."""

    id: str
    context_length: int
    """Tokens that prompt and completion may have together."""
    capabilities: frozenset[Capability]


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt as the model reads it."""

    text: str
    """Without a beginning-of-sequence token that the template did not write."""
    num_tokens: int
    """With it."""


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
            ModelError: it had been unloaded, and cannot be loaded again.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without any template around it."""
        ...

    async def count_prompt_tokens(self, request: ChatRequest) -> int:
        """How many tokens the prompt of a request has: messages, tools, and the template.

        Raises:
            InvalidRequestError: the request can never work with this model.
        """
        ...

    async def render_prompt(self, request: ChatRequest) -> RenderedPrompt:
        """The prompt of a request: messages and tools, as the template writes them.

        Raises:
            InvalidRequestError: the request can never work with this model, or the prompt is
                written elsewhere and not known here.
        """
        ...
