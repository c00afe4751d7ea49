"""A chat model whose turns are counted, whichever protocol asks for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from kronk_agent.messages import Delta, Finish, Usage
from kronk_agent.model import ChatModel, ChatRequest, ModelInfo, RenderedPrompt


@dataclass(frozen=True, slots=True)
class CountedChatModel:
    """Tells what each turn cost, as soon as it is over; a run may have many and fail later."""

    model: ChatModel
    count: Callable[[Usage], None]

    @property
    def info(self) -> ModelInfo:
        return self.model.info

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """As the model's own."""
        async with aclosing(self.model.stream(request)) as deltas:
            async for delta in deltas:
                if isinstance(delta, Finish):
                    self.count(delta.usage)
                yield delta

    def count_tokens(self, text: str) -> int:
        return self.model.count_tokens(text)

    async def count_prompt_tokens(self, request: ChatRequest) -> int:
        return await self.model.count_prompt_tokens(request)

    async def render_prompt(self, request: ChatRequest) -> RenderedPrompt:
        return await self.model.render_prompt(request)
