"""Thinking on its way through a client, and how much of it the model reads again.

A block's signature tells our own thinking from that of another model. It is a checksum, not a
secret: a client may write a conversation as it likes anyway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kronk_agent.api.protocols.anthropic_messages.schema import (
    ClearThinking,
    ThinkingBlock,
    ThinkingTurns,
)
from kronk_agent.messages import Message


def signature_of(thinking: str) -> str:
    return f"kronk-{hashlib.sha256(thinking.encode(errors='replace')).hexdigest()[:32]}"


def is_ours(block: ThinkingBlock) -> bool:
    """Did one of our models think this, and is it all there?"""
    return block.signature == signature_of(block.thinking)


@dataclass(frozen=True, slots=True)
class Cleared:
    """What an edit took out of the conversation."""

    num_turns: int
    thinking: str


def clear_thinking(
    messages: Sequence[Message], edit: ClearThinking
) -> tuple[list[Message], Cleared]:
    """The conversation with the thinking of its last turns alone.

    A turn is all that came between two messages of the user.
    """
    if edit.keep == "all" or (edit.keep is not None and edit.keep.type == "all"):
        return list(messages), Cleared(0, "")
    num_kept = edit.keep.value if isinstance(edit.keep, ThinkingTurns) else 1
    turn = 0
    thinking_turns: list[int] = []
    cleared: list[str] = []
    edited: list[Message] = []
    for message in reversed(messages):
        turn += message.role == "user"
        if message.reasoning:
            if turn not in thinking_turns:
                thinking_turns.append(turn)
            if len(thinking_turns) > num_kept:
                cleared.append(message.reasoning)
                message = replace(message, reasoning="")
        edited.append(message)
    num_turns = max(0, len(thinking_turns) - num_kept)
    return edited[::-1], Cleared(num_turns, "".join(reversed(cleared)))
