from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from kronk_agent.agent.tool_calls.call_order import ParallelTools
from kronk_agent.messages import Message
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ModelSettings, ToolChoice
from kronk_agent.tools import Rule, Tool

PER_REQUEST = frozenset(
    (
        *("policy_ceiling", "separate_reasoning", "response_format", "stop", "streamed"),
        *("logprobs", "top_logprobs", "chat_template_kwargs", "continue_final_message"),
        *("cache_salt", "share_prefix"),
    )
)
"""Options that a request sets, and no configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions(ModelSettings):
    """How an agent works, and how its model generates.

    Raises:
        InvalidRequestError: a value outside its range, or two that exclude each other; ``param``
            names it.
    """

    instructions: str = "You are a helpful assistant."
    """The system message of conversations that have none; empty for none at all."""
    parallel_tools: ParallelTools = "auto"
    """Which tool calls of one turn run concurrently: ``auto`` runs read-only tools concurrently and
    the others in order."""
    max_steps: Annotated[int, Ge(1)] = 10
    """Maximum model turns in a run; in the last one the model must answer."""
    max_tool_calls: Annotated[int, Ge(0)] | None = None
    """Maximum tool calls executed in a run, client-side calls not counted; then the model must
    answer. None for no limit."""
    max_identical_calls: Annotated[int, Ge(2)] = 3
    """Identical calls in a row, with identical results, after which the model is told to do
    something else; after two more it must answer."""
    max_tokens: Annotated[int, Ge(1)] | None = 2048
    """Maximum completion tokens of a turn; None is up to the context length."""
    compaction: Literal["auto", "off"] = "auto"
    """``auto`` shortens a conversation that nearly fills the context; ``off`` fails with
    ``ContextLengthError`` once it is full."""
    compact_at: Annotated[float, Gt(0), Le(1)] = 0.8
    """Share of the context length from which a prompt is compacted."""
    tool_timeout_seconds: Annotated[float, Gt(0)] = 60.0
    """Timeout of a tool call, for tools that do not set their own."""
    policy: tuple[Rule, ...] = ()
    """Rules about which calls are allowed. They do not apply to client tools."""
    policy_ceiling: tuple[Rule, ...] = ()
    """A second policy, which can only restrict the first."""
    max_tool_description_tokens: Annotated[int, Ge(1)] | None = 256
    """Maximum tokens of each tool's and parameter's description, client tools excepted; longer
    ones are cut at the end of a sentence. None cuts none."""

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
        """The request to the model for one step.

        Raises:
            InvalidRequestError: the options do not fit the conversation, the tools or each other.
        """
        settings = {field.name: getattr(self, field.name) for field in fields(ModelSettings)}
        settings |= {
            "tool_choice": choice,
            "share_prefix": self.share_prefix and self._is_own_prefix(messages, tools),
            "continue_final_message": self.continue_final_message and is_first,
        }
        return ChatRequest(messages=tuple(messages), tools=tuple(tools), **settings)

    def _is_own_prefix(self, messages: Sequence[Message], tools: Sequence[Tool]) -> bool:
        """True if the prompt begins with our own instructions and tools, and nothing else."""
        is_own = messages[0].role != "system" or messages[0].text == self.instructions
        return is_own and all(tool.call is not None for tool in tools)
