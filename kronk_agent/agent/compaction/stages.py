"""The ways to make a prompt smaller, from the mildest to the last resort."""

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

_SUMMARY_SHARE = 8
"""A summary takes at most one of so many parts of the context."""
_MAX_SUMMARY_TOKENS = 1024
_MIN_SUMMARY_TOKENS = 96
"""Less says nothing: the oldest messages are left out without a summary."""
_WORTH = 2
"""A summary is written if the messages it replaces have so many times its size."""


@dataclass(frozen=True, slots=True)
class LargePrompt:
    """A prompt that takes more of the context than it may."""

    request: ChatRequest
    """With the whole conversation."""
    edits: ContextEdits
    """The edits made so far."""
    size: int
    """Tokens, with these edits."""
    limits: ContextLimits

    @property
    def messages(self) -> tuple[Message, ...]:
        """The whole conversation."""
        return self.request.messages

    def shown(self, n: int) -> Message:
        """Message ``n`` of the conversation as the model sees it."""
        return self.edits.shorter.get(n, self.messages[n])


@dataclass(frozen=True, slots=True)
class Proposal:
    """The proposal of one stage."""

    kind: CompactionKind
    edits: ContextEdits
    reason: str = ""
    """Why it was not done in a milder way, if that was tried."""


class Compactor:
    """Proposes smaller prompts for one run; None where a stage knows none.

    Args:
        model: writes the summaries.
        counter: counts the prompts.
    """

    def __init__(self, model: ChatModel, counter: PromptCounter) -> None:
        self._model = model
        self._counter = counter
        self.usage = Usage()
        """Of all summaries."""
        self._problem = ""
        """Why there are no more summaries in this run."""

    async def shorten_results(self, prompt: LargePrompt) -> Proposal | None:
        """Shorten the oldest results that the model has read, as many as it takes."""
        stubs = await to_thread.run_sync(self._stubs, prompt)
        return _shorter(prompt, stubs) if stubs else None

    async def summarise(self, prompt: LargePrompt) -> Proposal | None:
        """Replace the older messages by a summary that the model writes."""
        limits = prompt.limits
        max_tokens = min(limits.context_length // _SUMMARY_SHARE, _MAX_SUMMARY_TOKENS)
        if self._problem or max_tokens < _MIN_SUMMARY_TOKENS:
            return None
        cut = await self._cut(prompt, limits.target - limits.fixed - max_tokens)
        if cut is None:
            return None
        replaced = await to_thread.run_sync(self._size, prompt, range(prompt.edits.start, cut))
        if replaced < _WORTH * max_tokens:
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
        """Leave out the oldest messages; an earlier summary stays."""
        cut = await self._cut(prompt, prompt.limits.target - prompt.limits.fixed)
        return None if cut is None else Proposal("dropped", _without(prompt, cut), self._problem)

    async def cut_unread(self, prompt: LargePrompt) -> Proposal | None:
        """Cut the results that the model has not read yet to the room that is left."""
        messages = prompt.messages
        unread = [
            n for n in range(unread_start(messages), len(messages)) if messages[n].role == "tool"
        ]
        if not unread:
            return None
        emptied = _shorter(prompt, {n: replace(messages[n], content=()) for n in unread})
        size = await self._counter.count(emptied.edits.edit(prompt.request))
        room = max(0, prompt.limits.threshold - size)
        results = [_to_result(messages[n]) for n in unread]
        cut = await to_thread.run_sync(truncate_results, results, room, self._model.count_tokens)
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
        """The model's summary of what is shown before the cut.

        The oldest messages are left out of it if all together are too long to be read.

        Raises:
            KronkError: the model failed.
        """
        older = replace(prompt, request=replace(prompt.request, messages=prompt.messages[:cut]))
        room = prompt.limits.context_length - max_tokens
        while True:
            request = summary_request(older.edits.edit(older.request), max_tokens)
            size = await self._counter.count(request)
            if size <= room:
                break
            indices = range(older.edits.start, cut)
            shown = await to_thread.run_sync(self._size, older, indices)
            shorter = await self._cut(older, shown - (size - room))
            if shorter is None:
                return ""
            older = replace(older, edits=_without(older, shorter))
        summary = await write_summary(self._model, request)
        self.usage += summary.usage
        return summary.text

    async def _cut(self, prompt: LargePrompt, room: int) -> int | None:
        shown = [prompt.shown(n) for n in range(len(prompt.messages))]
        return await to_thread.run_sync(
            best_cut, shown, prompt.edits.start, room, self._message_size
        )

    def _size(self, prompt: LargePrompt, indices: Sequence[int]) -> int:
        return sum(self._message_size(prompt.shown(n)) for n in indices)

    def _message_size(self, message: Message) -> int:
        return message_size(message, self._model.count_tokens)


def _shorter(prompt: LargePrompt, messages: dict[int, Message]) -> Proposal:
    edits = prompt.edits
    return Proposal("tool_results", replace(edits, shorter={**edits.shorter, **messages}))


def _without(prompt: LargePrompt, cut: int) -> ContextEdits:
    """Edits that leave out what is before the cut, but for system messages and the question."""
    messages, edits = prompt.messages, prompt.edits
    asked = question(messages)
    kept = frozenset(n for n in range(cut) if messages[n].role == "system" or n in asked)
    shorter = {n: message for n, message in edits.shorter.items() if n >= cut}
    return replace(edits, start=cut, kept=kept, shorter=shorter)


def _to_result(message: Message) -> ToolResult:
    return ToolResult(message.tool_call_id or "", message.name or "", message.content)
