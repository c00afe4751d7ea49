"""``context`` of a completion: the conversation so far, as a client gets it and gives it back.

Ollama has the tokens of the prompt in it. Ours has the bytes of the conversation as JSON, so that
it also holds for models on servers, and text in it stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Message

_Said: TypeAlias = tuple[Literal["system", "user", "assistant"], str]
_CONVERSATION: TypeAdapter[list[_Said]] = TypeAdapter(list[_Said])


def to_context(messages: Sequence[Message]) -> list[int]:
    """The texts of a conversation as numbers; thinking, calls and images are not in it."""
    said = [[message.role, message.text] for message in messages if message.role != "tool"]
    return list(encode(said).encode())


def from_context(context: Sequence[int]) -> list[Message]:
    """The conversation that the numbers stand for.

    Raises:
        InvalidRequestError: they are not ours.
    """
    try:
        said = _CONVERSATION.validate_json(bytes(context))
    except (ValueError, ValidationError):
        raise InvalidRequestError(
            "context: must be what an earlier answer of this server had in it", param="context"
        ) from None
    return [
        Message.assistant(text)
        if role == "assistant"
        else Message.user(text)
        if role == "user"
        else Message.system(text)
        for role, text in said
    ]
