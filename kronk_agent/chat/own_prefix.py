"""Finding how much of a prompt is instructions and tools, and so begins every conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from kronk_agent.engine.kv_cache.radix_tree import common_prefix_length
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Message
from kronk_agent.model import ChatRequest

_MAX_KNOWN = 8
"""Prefixes that are remembered: agents take turns, and each has one."""


class OwnPrefix:
    """Finds the prefix by rendering another conversation with the same instructions and tools.

    Args:
        tokenize: renders a request's prompt; may be called from any thread.
    """

    def __init__(self, tokenize: Callable[[ChatRequest], Sequence[int]]) -> None:
        self._tokenize = tokenize
        self._known: tuple[list[int], ...] = ()

    def length(self, request: ChatRequest, prompt: list[int]) -> int:
        """Count the prompt tokens before the first message: instructions and tools."""
        for known in self._known:
            if prompt[: len(known)] == known:
                return len(known)
        try:
            other = self._tokenize(_other_conversation(request))
        except InvalidRequestError:  # the template wants more of a conversation
            return 0
        length = common_prefix_length(np.array(prompt, np.int32), np.array(other, np.int32))
        self._known = (prompt[:length], *self._known[: _MAX_KNOWN - 1])
        return length


def _other_conversation(request: ChatRequest) -> ChatRequest:
    """The same system message, and a question that differs in its first character."""
    system = [message for message in request.messages[:1] if message.role == "system"]
    said = next((m.text.strip() for m in request.messages[len(system) :]), "")
    question = Message.user("1" if said.startswith("0") else "0")
    return replace(request, messages=(*system, question), continue_final_message=False)
