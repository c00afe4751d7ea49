"""The stages of compaction, from the mildest to the last resort."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from anyio import to_thread

from kronk_agent.agent.compaction.edits import ContextEdits
from kronk_agent.agent.compaction.groups import best_cut, message_size, question, unread_start
from kronk_agent.agent.compaction.limits import ContextLimits, PromptCounter
from kronk_agent.agent.compaction.stubs import stub_of
from kronk_agent.agent.compaction.summary import summary_request, write_summary
from kronk_agent.agent.tool_calls.truncation import truncate_results
from kronk_agent.errors import MODEL_ERRORS
from kronk_agent.messages import CompactionKind, Message, ToolResult, Usage
from kronk_agent.model import ChatModel, ChatRequest

logger = logging.getLogger(__name__)

_SUMMARY_DIVISOR = 8
"""A summary uses at most 1/8 of the context."""
_MAX_SUMMARY_TOKENS = 1024
_MIN_SUMMARY_TOKENS = 96
"""With less, a summary is useless: the oldest messages are dropped without one."""
_MIN_REDUCTION_FACTOR = 2
"""A summary is written only if it replaces messages of at least this multiple of its size."""


@dataclass(frozen=True, slots=True)
class LargePrompt:
    """A prompt that uses more of the context than it may."""

    request: ChatRequest
    """The request with the complete conversation."""
    edits: ContextEdits
    """The edits made so far."""
    size: int
    """Tokens of the prompt with these edits."""
    limits: ContextLimits

    @property
    def messages(self) -> tuple[Message, ...]:
        """The complete conversation."""
        return self.request.messages

    def shown(self, n: int) -> Message:
        """Return message ``n`` of the conversation as shown to the model."""
        return self.edits.shorter.get(n, self.messages[n])


@dataclass(frozen=True, slots=True)
class Proposal:
    """The edits that one stage proposes."""

    kind: CompactionKind
    edits: ContextEdits
    reason: str = ""
    """Why a milder stage was not possible; empty if none failed."""


class Compactor:
    """Proposes smaller prompts for one run. A stage returns None if it cannot help.

    Args:
        model: writes the summaries.
        counter: counts the prompts.
    """

    def __init__(self, model: ChatModel, counter: PromptCounter) -> None:
        self._model = model
        self._counter = counter
        self.usage = Usage()
        """Token usage of all summaries."""
        self._problem = ""
        """Why no more summaries are written in this run; empty if they are."""

    async def shorten_results(self, prompt: LargePrompt) -> Proposal | None:
        """Shorten the oldest results that the model has read, as many as needed."""
        stubs = await to_thread.run_sync(self._stubs, prompt)
        return _shorter(prompt, stubs) if stubs else None

    async def summarize(self, prompt: LargePrompt) -> Proposal | None:
        """Replace the older messages by a summary that the model writes."""
        limits = prompt.limits
        max_tokens = min(limits.context_length // _SUMMARY_DIVISOR, _MAX_SUMMARY_TOKENS)
        if self._problem or max_tokens < _MIN_SUMMARY_TOKENS:
            return None
        cut = await self._cut(prompt, limits.target - limits.fixed - max_tokens)
        if cut is None:
            return None
        replaced = await to_thread.run_sync(self._size, prompt, range(prompt.edits.start, cut))
        if replaced < _MIN_REDUCTION_FACTOR * max_tokens:
            return None
        try:
            text = await self._summary(prompt, cut, max_tokens)
        except MODEL_ERRORS as error:
            text, self._problem = "", f"no summary: {error}"
        if not text:
            self._problem = self._problem or "no summary: the model wrote none"
            logger.info("%s", self._problem)
            return None
        return Proposal("summary", replace(_without(prompt, cut), summary=text))

    async def drop(self, prompt: LargePrompt) -> Proposal | None:
        """Drop the oldest messages; an earlier summary is kept."""
        cut = await self._cut(prompt, prompt.limits.target - prompt.limits.fixed)
        return None if cut is None else Proposal("dropped", _without(prompt, cut), self._problem)

    async def cut_unread(self, prompt: LargePrompt) -> Proposal | None:
        """Truncate the results that the model has not read yet to the remaining budget."""
        messages = prompt.messages
        unread = [
            n for n in range(unread_start(messages), len(messages)) if messages[n].role == "tool"
        ]
        if not unread:
            return None
        emptied = _shorter(prompt, {n: replace(messages[n], content=()) for n in unread})
        size = await self._counter.count(emptied.edits.edit(prompt.request))
        budget = max(0, prompt.limits.threshold - size)
        results = [_to_result(messages[n]) for n in unread]
        cut = await to_thread.run_sync(truncate_results, results, budget, self._model.count_tokens)
        return _shorter(prompt, {n: r.to_message() for n, r in zip(unread, cut, strict=True)})

    def _stubs(self, prompt: LargePrompt) -> dict[int, Message]:
        stubs: dict[int, Message] = {}
        excess = prompt.size - prompt.limits.target
        for n in range(prompt.edits.start, unread_start(prompt.messages)):
            message = prompt.messages[n]
            if message.role != "tool" or n in prompt.edits.shorter:
                continue
            stub = stub_of(message, self._model.count_tokens)
            if stub is not None:
                stubs[n] = stub
                excess -= self._message_size(message) - self._message_size(stub)
            if excess <= 0:
                break
        return stubs

    async def _summary(self, prompt: LargePrompt, cut: int, max_tokens: int) -> str:
        """Let the model summarize the messages that are shown before the cut.

        If they are too long for one prompt, the oldest ones are dropped.

        Returns:
            The summary; empty if none could be written.

        Raises:
            KronkError: the model failed.
        """
        older = replace(prompt, request=replace(prompt.request, messages=prompt.messages[:cut]))
        budget = prompt.limits.context_length - max_tokens
        while True:
            request = summary_request(older.edits.edit(older.request), max_tokens)
            size = await self._counter.count(request)
            if size <= budget:
                break
            indices = range(older.edits.start, cut)
            shown = await to_thread.run_sync(self._size, older, indices)
            shorter = await self._cut(older, shown - (size - budget))
            if shorter is None:
                return ""
            older = replace(older, edits=_without(older, shorter))
        summary = await write_summary(self._model, request)
        self.usage += summary.usage
        return summary.text

    async def _cut(self, prompt: LargePrompt, budget: int) -> int | None:
        shown = [prompt.shown(n) for n in range(len(prompt.messages))]
        return await to_thread.run_sync(
            best_cut, shown, prompt.edits.start, budget, self._message_size
        )

    def _size(self, prompt: LargePrompt, indices: Sequence[int]) -> int:
        return sum(self._message_size(prompt.shown(n)) for n in indices)

    def _message_size(self, message: Message) -> int:
        return message_size(message, self._model.count_tokens)


def _shorter(prompt: LargePrompt, messages: dict[int, Message]) -> Proposal:
    edits = prompt.edits
    return Proposal("tool_results", replace(edits, shorter={**edits.shorter, **messages}))


def _without(prompt: LargePrompt, cut: int) -> ContextEdits:
    """Return edits that drop everything before the cut except system messages and the question."""
    messages, edits = prompt.messages, prompt.edits
    asked = question(messages)
    kept = frozenset(n for n in range(cut) if messages[n].role == "system" or n in asked)
    shorter = {n: message for n, message in edits.shorter.items() if n >= cut}
    return replace(edits, start=cut, kept=kept, shorter=shorter)


def _to_result(message: Message) -> ToolResult:
    return ToolResult(message.tool_call_id or "", message.name or "", message.content)
