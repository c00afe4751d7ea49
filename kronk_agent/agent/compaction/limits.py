"""Counts prompts, and computes the limits they must stay within."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from kronk_agent.agent.compaction.groups import question
from kronk_agent.errors import ContextLengthError
from kronk_agent.model import ChatModel, ChatRequest

_TARGET_SHARE = 0.6
"""Target of a compaction as a share of the threshold, so that the next one is many steps away."""
_MIN_SCALE, _MAX_SCALE = 0.5, 2.0
"""Bounds of the correction that a server's token count applies to later estimates."""


@dataclass(frozen=True, slots=True)
class ContextLimits:
    """Limits for the prompts of a run, in tokens."""

    context_length: int
    fixed: int
    """Size of what every prompt of the run contains: tools, system messages and the question."""
    threshold: int
    """Larger prompts are compacted."""
    target: int
    """Size that a compaction aims at."""

    @property
    def midway(self) -> int:
        """A size far enough below the threshold for a few more steps."""
        return (self.threshold + self.target) // 2

    @classmethod
    def of(cls, context_length: int, *, fixed: int, share: float) -> ContextLimits:
        """Compute the limits for a threshold that is a share of the context.

        If the fixed part is large, at least half of the remaining context may be used.
        """
        left = context_length - fixed
        threshold = max(math.floor(share * context_length), fixed + left // 2)
        target = max(math.floor(_TARGET_SHARE * share * context_length), fixed + left // 4)
        return cls(context_length, fixed, threshold, target)


class PromptCounter:
    """Counts prompts in tokens, exactly for local models.

    For a remote model the count is an estimate, corrected by the server's last reported count.
    """

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self._scale = 1.0
        self.context_length = model.info.context_length
        """Lower than the model's own if the server has rejected a prompt as too long."""

    async def count(self, request: ChatRequest) -> int:
        """Return the number of tokens of the prompt."""
        return math.ceil(self._scale * await self._model.count_prompt_tokens(request))

    async def count_fixed(self, request: ChatRequest) -> int:
        """Return the tokens of a prompt with only tools, system messages and the question."""
        messages = request.messages
        asked = question(messages)
        fixed = [m for n, m in enumerate(messages) if m.role == "system" or n in asked]
        reduced = replace(
            request, messages=tuple(fixed or messages[-1:]), continue_final_message=False
        )
        return await self.count(reduced)

    def learn(self, counted: int, reported: int) -> None:
        """Correct the estimates by the actual size of a prompt.

        Args:
            counted: the result of ``count``.
            reported: the server's count; 0 if it reports none.
        """
        if reported and counted:
            scale = self._scale * reported / counted
            self._scale = min(max(scale, _MIN_SCALE), _MAX_SCALE)

    def learn_limit(self, counted: int, error: ContextLengthError) -> bool:
        """Learn from a rejected prompt; returns False if that revealed nothing new."""
        has_learned = (
            error.num_prompt_tokens > counted or error.context_length < self.context_length
        )
        self.learn(counted, error.num_prompt_tokens)
        self.context_length = min(self.context_length, error.context_length)
        return has_learned
