"""A chat model that reports the token usage of its turns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from kronk_agent.messages import Delta, Finish, Usage
from kronk_agent.model import ChatModel, ChatRequest, ModelInfo, RenderedPrompt


@dataclass(frozen=True, slots=True)
class CountedChatModel:
    """Reports each turn's usage as soon as it ends, since a later turn of the run may fail."""

    model: ChatModel
    count: Callable[[Usage], None]

    @property
    def info(self) -> ModelInfo:
        """The wrapped model's info."""
        return self.model.info

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Stream a turn of the wrapped model, and report its usage at the end."""
        async with aclosing(self.model.stream(request)) as deltas:
            async for delta in deltas:
                if isinstance(delta, Finish):
                    self.count(delta.usage)
                yield delta

    def count_tokens(self, text: str) -> int:
        """See ``ChatModel``."""
        return self.model.count_tokens(text)

    async def count_prompt_tokens(self, request: ChatRequest) -> int:
        """See ``ChatModel``."""
        return await self.model.count_prompt_tokens(request)

    async def render_prompt(self, request: ChatRequest) -> RenderedPrompt:
        """See ``ChatModel``."""
        return await self.model.render_prompt(request)
