"""How large a prompt is and how large it may be."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kronk_agent.agent.compaction.groups import question
from kronk_agent.errors import ContextLengthError
from kronk_agent.model import ChatModel, ChatRequest

_TARGET = 0.6
"""Of the threshold: what a compaction aims at, so that many steps pass before the next one."""
_MIN_SCALE, _MAX_SCALE = 0.5, 2.0
"""How far a server's own count may change the estimates of the next prompts."""


@dataclass(frozen=True, slots=True)
class ContextLimits:
    """Sizes in tokens that a prompt is held to."""

    context_length: int
    fixed: int
    """The fixed part of every prompt of the run: tools, system messages and the question."""
    threshold: int
    """A larger prompt is compacted."""
    target: int
    """The size it is compacted to, if that is possible."""

    @property
    def midway(self) -> int:
        """Far enough below the threshold for some steps."""
        return (self.threshold + self.target) // 2

    @classmethod
    def of(cls, context_length: int, *, fixed: int, share: float) -> ContextLimits:
        """The limits for a threshold that is a share of the context.

        Where the fixed part is large, half of what it leaves may be used in any case.
        """
        left = context_length - fixed
        threshold = max(math.floor(share * context_length), fixed + left // 2)
        target = max(math.floor(_TARGET * share * context_length), fixed + left // 4)
        return cls(context_length, fixed, threshold, target)


class PromptCounter:
    """Counts prompts in tokens: exactly for a model in this process.

    For a model on a server the count is an estimate, corrected by what the server last reported.
    """

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self._scale = 1.0
        self.context_length = model.info.context_length
        """Less than the model's own if the server has refused a prompt for being longer."""

    async def count(self, request: ChatRequest) -> int:
        """Tokens of the prompt."""
        return math.ceil(self._scale * await self._model.count_prompt_tokens(request))

    async def count_fixed(self, request: ChatRequest) -> int:
        """Tokens of the prompt with nothing but tools, system messages and the question."""
        messages = request.messages
        asked = question(messages)
        fixed = [m for n, m in enumerate(messages) if m.role == "system" or n in asked]
        reduced = replace(
            request, messages=tuple(fixed or messages[-1:]), continue_final_message=False
        )
        return await self.count(reduced)

    def learn(self, counted: int, reported: int) -> None:
        """Correct the estimates by what a prompt of ``counted`` tokens really took.

        Args:
            counted: what ``count`` said of it.
            reported: what the server says; 0 if it does not say.
        """
        if reported and counted:
            scale = self._scale * reported / counted
            self._scale = min(max(scale, _MIN_SCALE), _MAX_SCALE)

    def learn_limit(self, counted: int, error: ContextLengthError) -> bool:
        """Learn from a refused prompt; False if it was no larger than it was thought to be."""
        is_news = error.num_prompt_tokens > counted or error.context_length < self.context_length
        self.learn(counted, error.num_prompt_tokens)
        self.context_length = min(self.context_length, error.context_length)
        return is_news
