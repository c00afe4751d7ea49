"""Edits that shorten a conversation for the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kronk_agent.messages import Message
from kronk_agent.model import ChatRequest


@dataclass(frozen=True, slots=True)
class ContextEdits:
    """Messages of a conversation that are dropped or replaced by shorter ones.

    All indices refer to the complete conversation, which itself never changes.
    """

    start: int = 0
    """Messages before this index are dropped, except those in ``kept``."""
    kept: frozenset[int] = frozenset()
    """Indices of system messages and of the question that was being answered."""
    summary: str = ""
    """Replaces the dropped messages; empty if nothing does."""
    shorter: Mapping[int, Message] = field(default_factory=dict)
    """Shortened tool messages, by index."""

    @property
    def extent(self) -> int:
        """Number of messages at the beginning of the conversation that the edits depend on."""
        return max(self.start, *(n + 1 for n in self.shorter), 0)

    def apply(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages to show to the model."""
        kept = [n for n in range(min(self.start, len(messages))) if n in self.kept]
        before = [messages[n] for n in kept if messages[n].role == "system"]
        if self.summary:
            before.append(Message.user(self.summary))
        before += [messages[n] for n in kept if messages[n].role != "system"]
        rest = range(self.start, len(messages))
        return before + [self.shorter.get(n, messages[n]) for n in rest]

    def edit(self, request: ChatRequest) -> ChatRequest:
        """Return the request with the messages to show to the model."""
        return replace(request, messages=tuple(self.apply(request.messages)))
