"""Keeps edits from one run to the next, so that nothing is summarized twice."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice

from kronk_agent.agent.compaction.edits import ContextEdits
from kronk_agent.messages import Message, TextPart
from kronk_agent.model import ModelInfo

_MAX_ENTRIES = 256


class CompactionCache:
    """Edits of conversations, keyed by a hash of the messages they depend on. LRU.

    Clients, including our terminal, send the complete conversation with each run. Only a
    conversation that begins with exactly the same messages gets the same edits.
    """

    def __init__(self) -> None:
        self._edits: OrderedDict[bytes, ContextEdits] = OrderedDict()

    def recall(self, model: ModelInfo, messages: Sequence[Message]) -> ContextEdits:
        """Return the edits that cover most of the conversation; empty ones if none match."""
        found = ContextEdits()
        for key in _keys(model, messages):
            found = self._edits.get(key, found)
        return found

    def remember(self, model: ModelInfo, messages: Sequence[Message], edits: ContextEdits) -> None:
        """Store edits for conversations that begin with the same messages."""
        key = next(islice(_keys(model, messages), edits.extent, None))
        self._edits[key] = edits
        self._edits.move_to_end(key)
        while len(self._edits) > _MAX_ENTRIES:
            self._edits.popitem(last=False)


def _keys(model: ModelInfo, messages: Sequence[Message]) -> Iterator[bytes]:
    """Yield a key for each prefix of the conversation, starting with the empty one."""
    digest = hashlib.blake2b(f"{model.id} {model.context_length}".encode())
    yield digest.digest()
    for message in messages:
        for field in _fields(message):
            digest.update(len(field).to_bytes(8, "big") + field)
        yield digest.digest()


def _fields(message: Message) -> Iterator[bytes]:
    yield repr((message.role, message.reasoning, message.tool_calls)).encode()
    yield repr((message.tool_call_id, message.name, len(message.content))).encode()
    for part in message.content:
        yield part.text.encode() if isinstance(part, TextPart) else part.data
