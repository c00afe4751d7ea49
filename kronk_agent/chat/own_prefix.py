"""Find the prompt prefix, instructions and tools, that all conversations of an agent share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from kronk_agent.engine.kv_cache.radix_tree import common_prefix_length
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Message
from kronk_agent.model import ChatRequest

_MAX_CACHED = 8
"""Prefixes that are cached; agents take turns, and each has one."""


class OwnPrefix:
    """Finds the prefix by rendering another conversation with the same instructions and tools.

    Args:
        tokenize: renders a request's prompt and tokenizes it; may be called from any thread.
    """

    def __init__(self, tokenize: Callable[[ChatRequest], Sequence[int]]) -> None:
        self._tokenize = tokenize
        self._cached: tuple[list[int], ...] = ()

    def length(self, request: ChatRequest, prompt: list[int]) -> int:
        """Count the prompt tokens before the first message: instructions and tools.

        Returns 0 if the template refuses a conversation of one question.
        """
        for prefix in self._cached:
            if prompt[: len(prefix)] == prefix:
                return len(prefix)
        try:
            other = self._tokenize(_other_conversation(request))
        except InvalidRequestError:  # the template needs a longer conversation
            return 0
        length = common_prefix_length(np.array(prompt, np.int32), np.array(other, np.int32))
        self._cached = (prompt[:length], *self._cached[: _MAX_CACHED - 1])
        return length


def _other_conversation(request: ChatRequest) -> ChatRequest:
    """Return the same system message with a question that differs in its first character."""
    system = [message for message in request.messages[:1] if message.role == "system"]
    first = next((m.text.strip() for m in request.messages[len(system) :]), "")
    question = Message.user("1" if first.startswith("0") else "0")
    return replace(request, messages=(*system, question), continue_final_message=False)
