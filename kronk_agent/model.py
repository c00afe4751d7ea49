"""The chat model interface: a request with messages and tools in, a stream of deltas out."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Delta, Message
from kronk_agent.settings import ModelSettings
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
            raise InvalidRequestError("messages must not be empty", param="messages")
        self._check_continuation()
        names = [tool.name for tool in self.tools]
        for name, count in Counter(names).items():
            if count > 1:
                raise InvalidRequestError(f"tools: {count} tools are named {name!r}", param="tools")
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
        """Maximum tool calls in the turn; None is the model's own limit."""
        if self.tool_choice.mode == "named" or not self.parallel_tool_calls:
            return 1
        return self.max_parallel_calls

    def _check_continuation(self) -> None:
        last = self.messages[-1]
        if self.continue_final_message and (last.role != "assistant" or last.tool_calls):
            raise InvalidRequestError(
                "continue_final_message: the last message must be an assistant's without calls, "
                f"but is from the {last.role}" + (" with calls" if last.tool_calls else ""),
                param="continue_final_message",
            )

    def _check_tool_choice(self, names: list[str]) -> None:
        choice = self.tool_choice
        for name in choice.allowed or ():
            if name not in names:
                raise InvalidRequestError(
                    f"tool_choice allows the unknown tool {name!r}; available: "
                    + (", ".join(names) or "none"),
                    param="tool_choice",
                )
        if choice.mode == "named" and choice.name not in names:
            known = ", ".join(names) or "none"
            raise InvalidRequestError(
                f"tool_choice names the unknown tool {choice.name!r}; available: {known}",
                param="tool_choice",
            )
        if choice.mode == "required" and not names:
            raise InvalidRequestError(
                "tool_choice 'required' needs at least one tool", param="tool_choice"
            )


Capability: TypeAlias = Literal[
    "generate", "chat", "tools", "thinking", "embed", "rerank", "fim", "image", "audio"
]
"""``generate`` completes text, ``chat`` answers conversations, ``fim`` fills in the middle."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Properties of a loaded model."""

    id: str
    context_length: int
    """Maximum tokens of prompt and completion together."""
    capabilities: frozenset[Capability]


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt as the model gets it."""

    text: str
    """The text, without a beginning-of-sequence token that the template did not write."""
    num_tokens: int
    """Number of tokens, including that one."""


class ChatModel(Protocol):
    """A model that generates turns. Safe for concurrent use."""

    @property
    def info(self) -> ModelInfo:
        """The model's properties."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Generate a turn; the last delta is always ``Finish``.

        Closing the generator early stops the generation and frees its resources.

        Raises:
            InvalidRequestError: the model does not support the request.
            OverloadedError: too many requests are queued.
            EngineError: the engine failed during generation.
            ModelError: the model was unloaded and failed to load again.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, without the chat template."""
        ...

    async def count_prompt_tokens(self, request: ChatRequest) -> int:
        """Count the tokens of a request's prompt: messages, tools and template.

        Raises:
            InvalidRequestError: the model does not support the request.
        """
        ...

    async def render_prompt(self, request: ChatRequest) -> RenderedPrompt:
        """Render a request's messages and tools with the chat template.

        Raises:
            InvalidRequestError: the model does not support the request, or is remote and renders
                its prompts itself.
        """
        ...
