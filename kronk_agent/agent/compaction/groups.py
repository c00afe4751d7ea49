"""Finds where a conversation can be cut without separating a tool call from its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kronk_agent.messages import Message

_OVERHEAD_TOKENS = 8
"""Estimated tokens that a chat template adds per message."""


def unread_start(messages: Sequence[Message]) -> int:
    """Return the index of the first message that the model has not answered yet.

    That is the call whose results the model reads next, or else the user's latest messages.
    Messages from there on are never dropped.
    """
    end = len(messages)
    while end and messages[end - 1].role == "user":
        end -= 1
    start = end
    while start and messages[start - 1].role == "tool":
        start -= 1
    if start < end and start and messages[start - 1].role == "assistant":
        return start - 1
    return min(end, len(messages) - 1)


def question(messages: Sequence[Message]) -> range:
    """Return the indices of the user messages that the model is working on.

    User messages directly after tool results belong to the previous question.
    """
    end = len(messages)
    while end:
        while end and messages[end - 1].role != "user":
            end -= 1
        start = end
        while start and messages[start - 1].role == "user":
            start -= 1
        if not start or messages[start - 1].role != "tool":
            return range(start, end)
        end = start
    return range(0)


def best_cut(
    messages: Sequence[Message], start: int, budget: int, size: Callable[[Message], int]
) -> int | None:
    """Return the index before which to drop messages so that as many as possible remain.

    A turn of the user is kept as a unit if one fits. Messages that the model has not answered yet
    are kept even if they alone exceed the budget.

    Args:
        messages: the complete conversation.
        start: the first message that is still shown.
        budget: maximum tokens of the remaining messages.
        size: returns the tokens of one message.

    Returns:
        The index; None if nothing can be dropped.
    """
    points = [n for n in range(start + 1, unread_start(messages) + 1) if messages[n].role != "tool"]
    if not points:
        return None
    sizes, total = dict[int, int](), 0
    for n in range(len(messages) - 1, start, -1):
        total += size(messages[n])
        sizes[n] = total
    fitting = [n for n in points if sizes[n] <= budget]
    turns = [n for n in fitting if messages[n].role == "user"]
    return (turns or fitting or points[-1:])[0]


def message_size(message: Message, count_tokens: Callable[[str], int]) -> int:
    """Estimate the tokens of a message in a prompt."""
    texts = [message.text, message.reasoning]
    texts += [text for call in message.tool_calls for text in (call.name, call.arguments)]
    return _OVERHEAD_TOKENS + sum(count_tokens(text) for text in texts if text)
