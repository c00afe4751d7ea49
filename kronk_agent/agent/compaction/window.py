"""Keeps the prompts of one run within the model's context."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from kronk_agent.agent.compaction.cache import CompactionCache
from kronk_agent.agent.compaction.edits import ContextEdits
from kronk_agent.agent.compaction.limits import ContextLimits, PromptCounter
from kronk_agent.agent.compaction.stages import Compactor, LargePrompt
from kronk_agent.agent.tool_calls.truncation import result_token_budget
from kronk_agent.errors import ContextLengthError
from kronk_agent.messages import ContextCompacted, Delta, Finish, Usage
from kronk_agent.model import ChatModel, ChatRequest
from kronk_agent.tools import Tool


class ContextWindow:
    """Streams the turns of one run, each with a prompt that fits the model's context.

    Requests contain the complete conversation, which is never changed. If it uses more than its
    share of the context, the model is shown less of it: old tool results are shortened, then older
    messages are replaced by a summary that the model writes, then the oldest ones are dropped.

    Args:
        model: generates the turns and the summaries.
        compact_at: share of the context that a prompt may use; None disables compaction.
        cache: edits of earlier runs; those of this run are added.
        on_compaction: called with the event of each compaction.
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        compact_at: float | None,
        cache: CompactionCache,
        on_compaction: Callable[[ContextCompacted], Awaitable[None]],
    ) -> None:
        self._model = model
        self._share = compact_at
        self._cache = cache
        self._on_compaction = on_compaction
        self._edits = ContextEdits()
        self._counter = PromptCounter(model)
        self._compactor = Compactor(model, self._counter)
        self._request: ChatRequest | None = None
        """The latest request, with the complete conversation."""
        self._turn = Usage()
        """Token usage of the latest turn."""

    @property
    def usage(self) -> Usage:
        """Token usage of the summaries."""
        return self._compactor.usage

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Generate the turn; see ``ChatModel.stream``.

        Raises:
            ContextLengthError: the question and the tools alone exceed the context.
        """
        self._request = request
        turn = self._model.stream(request) if self._share is None else self._fitted(request)
        async with aclosing(turn) as deltas:
            async for delta in deltas:
                if isinstance(delta, Finish):
                    self._turn = delta.usage
                yield delta

    async def result_token_budget(self, max_tokens: int | None) -> int:
        """Return the token budget for all results of the last turn's calls.

        Args:
            max_tokens: maximum tokens of the next turn; None means as many as fit.
        """
        used = self._turn.prompt_tokens + self._turn.completion_tokens
        if self._share is not None and self._request is not None:
            # Everything else can be compacted if the results need the space.
            fixed = await self._counter.count_fixed(self._request)
            used = min(used, fixed + self._turn.completion_tokens)
        return result_token_budget(
            context_length=self._counter.context_length, used=used, max_tokens=max_tokens
        )

    async def _fitted(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Generate the turn; retry with a shorter prompt if the server rejects it as too long."""
        fitted, size = await self._fit(request)
        has_begun = False
        try:
            async with aclosing(self._model.stream(fitted)) as deltas:
                async for delta in deltas:
                    has_begun = True
                    if isinstance(delta, Finish):
                        self._counter.learn(size, delta.usage.prompt_tokens)
                    yield delta
            return
        except ContextLengthError as error:
            if has_begun or not self._counter.learn_limit(size, error):
                raise
        fitted, _ = await self._fit(request)
        async with aclosing(self._model.stream(fitted)) as deltas:
            async for delta in deltas:
                yield delta

    async def _fit(self, request: ChatRequest) -> tuple[ChatRequest, int]:
        """Return the request with as much of the conversation as fits, and its prompt size.

        Raises:
            ContextLengthError: the prompt is too long even after compaction.
        """
        assert self._share is not None
        context_length = self._counter.context_length
        fitted, size = await self._edited(request)
        if size <= self._share * context_length:
            return fitted, size
        fixed = await self._counter.count_fixed(request)
        if fixed >= context_length:
            raise self._too_long(request, fixed)
        limits = ContextLimits.of(context_length, fixed=fixed, share=self._share)
        if not self._edits.extent:
            self._edits = self._cache.recall(self._model.info, request.messages)
            fitted, size = await self._edited(request)
        if size > limits.threshold:
            await self._compact(LargePrompt(request, self._edits, size, limits))
            fitted, size = await self._edited(request)
        if size >= context_length:
            raise self._too_long(fitted, size)
        return fitted, size

    async def _compact(self, prompt: LargePrompt) -> None:
        """Apply the stages in order until the prompt is within its limit."""
        stages, limits = self._compactor, prompt.limits
        for propose, largest in (
            # A summary keeps more than shortened results: those must save enough for some steps.
            (stages.shorten_results, limits.midway),
            (stages.summarize, prompt.size),
            (stages.shorten_results, prompt.size),
            (stages.drop, prompt.size),
            (stages.cut_unread, prompt.size),
        ):
            proposal = await propose(prompt)
            if proposal is None:
                continue
            size = await self._counter.count(proposal.edits.edit(prompt.request))
            if size > largest or size >= prompt.size:
                continue
            await self._on_compaction(
                ContextCompacted(proposal.kind, prompt.size, size, proposal.reason)
            )
            self._edits = proposal.edits
            prompt = replace(prompt, edits=proposal.edits, size=size)
            if size <= limits.threshold:
                break
        if self._edits.extent:
            self._cache.remember(self._model.info, prompt.messages, self._edits)

    async def _edited(self, request: ChatRequest) -> tuple[ChatRequest, int]:
        edited = self._edits.edit(request)
        return edited, await self._counter.count(edited)

    def _too_long(self, request: ChatRequest, size: int) -> ContextLengthError:
        """Return the error; it names the tools if they are more than half of the prompt."""
        tools = {tool.name: self._tool_size(tool) for tool in request.tools}
        is_by_tools = sum(tools.values()) > size // 2
        return ContextLengthError(
            num_prompt_tokens=size,
            context_length=self._counter.context_length,
            tool_tokens=tools if is_by_tools else None,
        )

    def _tool_size(self, tool: Tool) -> int:
        texts = (tool.name, tool.description, json.dumps(tool.parameters, ensure_ascii=False))
        return sum(self._model.count_tokens(text) for text in texts)
