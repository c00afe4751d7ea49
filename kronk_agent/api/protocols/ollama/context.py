"""``context`` of a completion: the conversation so far, sent back by the client.

Ollama's contains the tokens of the prompt. Ours contains the conversation as JSON bytes, so that it
also works for remote models, and text never becomes special tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Message

_Turn: TypeAlias = tuple[Literal["system", "user", "assistant"], str]
_CONVERSATION: TypeAdapter[list[_Turn]] = TypeAdapter(list[_Turn])


def to_context(messages: Sequence[Message]) -> list[int]:
    """Encode the texts of a conversation as numbers, without thinking, calls and images."""
    turns = [[message.role, message.text] for message in messages if message.role != "tool"]
    return list(encode(turns).encode())


def from_context(context: Sequence[int]) -> list[Message]:
    """Decode the conversation from the numbers.

    Raises:
        InvalidRequestError: they were not encoded by this server.
    """
    try:
        turns = _CONVERSATION.validate_json(bytes(context))
    except (ValueError, ValidationError):
        raise InvalidRequestError(
            "context: must be the context of an earlier answer of this server", param="context"
        ) from None
    return [
        Message.assistant(text)
        if role == "assistant"
        else Message.user(text)
        if role == "user"
        else Message.system(text)
        for role, text in turns
    ]
