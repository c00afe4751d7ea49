"""Leaving out the oldest messages of a conversation that is longer than the context."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kronk_agent.errors import ContextLengthError
from kronk_agent.messages import Message

_MARGIN_TOKENS = 16
"""What a message costs beside its text, about."""


def shortened(
    messages: Sequence[Message],
    error: ContextLengthError,
    *,
    max_tokens: int | None,
    count_tokens: Callable[[str], int],
) -> list[Message] | None:
    """The conversation without its oldest turns, so that it probably fits.

    System messages stay, and so does everything from the last user message on; None when nothing
    else is left.
    """
    quarter = error.context_length // 4
    reserve = min(max_tokens or quarter, quarter)
    excess = error.num_prompt_tokens + reserve - error.context_length
    turns = _turns(messages)
    num_dropped = 0
    for turn in turns[:-1]:
        if excess <= 0:
            break
        num_dropped += 1
        excess -= sum(_size(message, count_tokens) for message in turn)
    if num_dropped == 0:
        return None
    system = [message for message in messages if message.role == "system"]
    return system + [message for turn in turns[num_dropped:] for message in turn]


def _turns(messages: Sequence[Message]) -> list[list[Message]]:
    """All but system messages, in pieces that begin with a user's."""
    turns: list[list[Message]] = [[]]
    for message in messages:
        if message.role == "system":
            continue
        if message.role == "user" and turns[-1] and turns[-1][-1].role != "user":
            turns.append([])
        turns[-1].append(message)
    return turns


def _size(message: Message, count_tokens: Callable[[str], int]) -> int:
    texts = [message.text, message.reasoning, *(call.arguments for call in message.tool_calls)]
    return _MARGIN_TOKENS + sum(count_tokens(text) for text in texts if text)
