"""A chat model that is in memory while it generates, and may be unloaded between two turns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass

from kronk_agent.messages import Delta
from kronk_agent.model import ChatModel, ChatRequest, ModelInfo, RenderedPrompt


@dataclass(frozen=True, slots=True)
class PooledChatModel:
    """Has no lifetime that anybody must see to: a turn loads the model again if need be.

    A turn of one model waits at most for turns of others to end, never for a whole run: a tool may
    use another model than the agent that calls it, even where there is room for one.
    """

    info: ModelInfo
    use: Callable[[], AbstractAsyncContextManager[ChatModel]]
    """Keeps it in memory as long as the block lasts."""
    count: Callable[[str], int]
    """Counts the tokens of a text, also while the model is not in memory."""

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without any template around it."""
        return self.count(text)

    async def count_prompt_tokens(self, request: ChatRequest) -> int:
        """How many tokens the prompt of a request has; the model is loaded for it if need be."""
        async with self.use() as model:
            return await model.count_prompt_tokens(request)

    async def render_prompt(self, request: ChatRequest) -> RenderedPrompt:
        """The prompt as text; the model is loaded for it if need be."""
        async with self.use() as model:
            return await model.render_prompt(request)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The turn as it is generated; see ``ChatModel.stream``.

        Raises:
            ModelError: the model was unloaded and cannot be loaded any more.
        """
        async with self.use() as model, aclosing(model.stream(request)) as deltas:
            async for delta in deltas:
                yield delta
