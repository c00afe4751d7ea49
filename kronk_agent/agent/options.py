from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from kronk_agent.agent.tool_calls.call_order import ParallelTools
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonValue, Message
from kronk_agent.model import (
    ChatRequest,
    ReasoningEffort,
    ResponseFormat,
    SamplingParams,
    ToolChoice,
)
from kronk_agent.tools import Rule, Tool

_MINIMUMS = {
    "max_steps": 1,
    "max_tool_calls": 0,
    "max_identical_calls": 2,
    "max_tokens": 1,
    "max_tool_description_tokens": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """How an agent works. Fields that ``ChatRequest`` has too are passed on with each request.

    Raises:
        InvalidRequestError: a limit below its minimum; ``param`` names it.
    """

    instructions: str = "You are a helpful assistant."
    """The system message, for conversations that have none; empty for none at all."""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    """``required`` and ``named`` hold for the first step; then the model chooses. Which tools are
    allowed holds for all."""
    parallel_tool_calls: bool = True
    """The model may call several tools in one turn."""
    max_parallel_calls: int | None = None
    """Calls in one turn at most; None for the model's own limit."""
    parallel_tools: ParallelTools = "auto"
    """Which calls of one turn run side by side."""
    max_steps: int = 10
    """Model turns in one run; in the last one the model must answer."""
    max_tool_calls: int | None = None
    """Calls executed in one run at most, client-side calls not counted; then the model must answer.
    None for no limit."""
    max_identical_calls: int = 3
    """Identical calls in a row, with identical results, after which the model is told to do
    something else. After two more it must answer."""
    max_tokens: int | None = 2048
    """Tokens of one model turn; None is what the context has room for."""
    compaction: Literal["auto", "off"] = "auto"
    """``auto`` shows the model less of a conversation that takes too much of the context;
    ``off`` fails with ``ContextLengthError`` once it is full."""
    compact_at: float = 0.8
    """Share of the context that a prompt may take before it is compacted; above 0, up to 1."""
    tool_timeout_seconds: float = 60.0
    """How long one tool call may take, for tools that do not say themselves."""
    policy: tuple[Rule, ...] = ()
    """Which calls may be made; those of the caller's own tools are its own affair."""
    policy_ceiling: tuple[Rule, ...] = ()
    """Which calls may be made at most: a second policy, that lifts nothing of the first."""
    enable_thinking: bool | None = None
    reasoning_effort: ReasoningEffort | None = None
    reasoning_budget: int | None = None
    separate_reasoning: bool = True
    tool_call_bias: float | None = None
    response_format: ResponseFormat = field(default_factory=ResponseFormat)
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    top_logprobs: int = 0
    streamed: bool = True
    chat_template_kwargs: Mapping[str, JsonValue] = field(default_factory=dict)
    max_tool_description_tokens: int | None = 256
    """Of each description of a tool we carry out and of its parameters; None cuts none."""
    cache_salt: str = ""
    share_prefix: bool = False
    """Share the state after ``instructions`` and the tools with all salts, and save it to disk;
    not for prompts that begin with another system message, or have tools of the caller."""
    continue_final_message: bool = False
    """Go on with the conversation's last message, in the first step."""

    def __post_init__(self) -> None:
        for name, minimum in _MINIMUMS.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise InvalidRequestError(
                    f"{name} must be at least {minimum}, not {value}", param=name
                )
        if not 0 < self.compact_at <= 1:
            raise InvalidRequestError(
                f"compact_at must be above 0 and at most 1, not {self.compact_at}",
                param="compact_at",
            )
        if not self.tool_timeout_seconds > 0:
            raise InvalidRequestError(
                f"tool_timeout_seconds must be above 0, not {self.tool_timeout_seconds}",
                param="tool_timeout_seconds",
            )

    @property
    def effective_rules(self) -> tuple[Rule, ...]:
        """Policy and ceiling together. The model never sees a tool that either always denies."""
        return (*self.policy, *self.policy_ceiling)

    def request(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        choice: ToolChoice,
        *,
        is_first: bool,
    ) -> ChatRequest:
        """What the model is asked for in a step.

        Raises:
            InvalidRequestError: the options do not fit the conversation, the tools or each other.
        """
        return ChatRequest(
            messages=tuple(messages),
            tools=tuple(tools),
            tool_choice=choice,
            parallel_tool_calls=self.parallel_tool_calls,
            max_parallel_calls=self.max_parallel_calls,
            tool_call_bias=self.tool_call_bias,
            response_format=self.response_format,
            enable_thinking=self.enable_thinking,
            reasoning_effort=self.reasoning_effort,
            reasoning_budget=self.reasoning_budget,
            separate_reasoning=self.separate_reasoning,
            chat_template_kwargs=self.chat_template_kwargs,
            max_tool_description_tokens=self.max_tool_description_tokens,
            cache_salt=self.cache_salt,
            share_prefix=self.share_prefix and self._is_own_prefix(messages, tools),
            continue_final_message=self.continue_final_message and is_first,
            sampling=self.sampling,
            max_tokens=self.max_tokens,
            stop=self.stop,
            logprobs=self.logprobs,
            top_logprobs=self.top_logprobs,
            streamed=self.streamed,
        )

    def _is_own_prefix(self, messages: Sequence[Message], tools: Sequence[Tool]) -> bool:
        """True if the prompt begins with our own instructions and tools, and nothing else."""
        is_own = messages[0].role != "system" or messages[0].text == self.instructions
        return is_own and all(tool.call is not None for tool in tools)
