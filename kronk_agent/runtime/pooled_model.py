"""A chat model that is loaded while it generates, and may be unloaded between turns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass

from kronk_agent.messages import Delta
from kronk_agent.model import ChatModel, ChatRequest, ModelInfo, RenderedPrompt


@dataclass(frozen=True, slots=True)
class PooledChatModel:
    """A chat model without a lifecycle to manage: a turn loads the model if necessary.

    A turn waits at most for turns of other models to finish, never for a whole run: a tool may use
    another model than the agent that calls it, even if only one fits into memory.
    """

    info: ModelInfo
    use: Callable[[], AbstractAsyncContextManager[ChatModel]]
    """Keeps the model loaded inside the block."""
    count: Callable[[str], int]
    """Counts the tokens of a text, even if the model is not loaded."""

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text, without any template."""
        return self.count(text)

    async def count_prompt_tokens(self, request: ChatRequest) -> int:
        """Return the number of prompt tokens; loads the model if necessary."""
        async with self.use() as model:
            return await model.count_prompt_tokens(request)

    async def render_prompt(self, request: ChatRequest) -> RenderedPrompt:
        """Return the prompt as text; loads the model if necessary."""
        async with self.use() as model:
            return await model.render_prompt(request)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Stream the turn; see ``ChatModel.stream``.

        Raises:
            ModelError: the model was unloaded and cannot be loaded again.
        """
        async with self.use() as model, aclosing(model.stream(request)) as deltas:
            async for delta in deltas:
                yield delta
