"""Edits that shorten a conversation for the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kronk_agent.messages import Message
from kronk_agent.model import ChatRequest


@dataclass(frozen=True, slots=True)
class ContextEdits:
    """Messages of a conversation that are left out or replaced by shorter ones.

    All indices count the messages of the whole conversation, which itself never changes.
    """

    start: int = 0
    """Messages before this index are left out, but for those in ``kept``."""
    kept: frozenset[int] = frozenset()
    """System messages, and the question that was being answered when the others were left out."""
    summary: str = ""
    """Stands for what was left out; empty where nothing does."""
    shorter: Mapping[int, Message] = field(default_factory=dict)
    """Tool messages that are shown shorter, by index."""

    @property
    def extent(self) -> int:
        """Number of messages at the beginning of the conversation that the edits depend on."""
        return max(self.start, *(n + 1 for n in self.shorter), 0)

    def apply(self, messages: Sequence[Message]) -> list[Message]:
        """The messages that are shown."""
        kept = [n for n in range(min(self.start, len(messages))) if n in self.kept]
        before = [messages[n] for n in kept if messages[n].role == "system"]
        if self.summary:
            before.append(Message.user(self.summary))
        before += [messages[n] for n in kept if messages[n].role != "system"]
        rest = range(self.start, len(messages))
        return before + [self.shorter.get(n, messages[n]) for n in rest]

    def edit(self, request: ChatRequest) -> ChatRequest:
        """The request with the messages that are shown."""
        return replace(request, messages=tuple(self.apply(request.messages)))
