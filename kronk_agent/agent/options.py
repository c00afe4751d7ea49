from __future__ import annotations

from dataclasses import dataclass, field

from kronk_agent.errors import InvalidRequestError
from kronk_agent.model import SamplingParams, ToolChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """How an agent works.

    Raises:
        InvalidRequestError: a limit below its minimum; ``param`` names it.
    """

    instructions: str = "You are a helpful assistant."
    """The system message, for conversations that have none; empty for none at all."""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    """``required`` and ``named`` hold for the first step; then the model chooses."""
    parallel_tool_calls: bool = True
    """May the model call several tools in one turn?"""
    max_steps: int = 10
    """Model turns in one run; in the last one the model must answer."""
    max_tokens: int | None = 2048
    """Tokens of one model turn; None is what the context has room for."""
    tool_timeout_seconds: float = 60.0
    """How long one tool call may take, for tools that do not say themselves."""

    def __post_init__(self) -> None:
        if self.max_steps < 1:
            raise InvalidRequestError(
                f"max_steps must be at least 1, not {self.max_steps}", param="max_steps"
            )
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InvalidRequestError(
                f"max_tokens must be at least 1, not {self.max_tokens}", param="max_tokens"
            )
        if not self.tool_timeout_seconds > 0:
            raise InvalidRequestError(
                f"tool_timeout_seconds must be above 0, not {self.tool_timeout_seconds}",
                param="tool_timeout_seconds",
            )
