"""Thinking blocks sent back by clients: recognizes our own, and clears old ones.

A block's signature distinguishes our thinking from another model's. It is a checksum, not a secret:
a client may write any conversation anyway.
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
    """The signature of a thinking block."""
    return f"kronk-{hashlib.sha256(thinking.encode(errors='replace')).hexdigest()[:32]}"


def is_ours(block: ThinkingBlock) -> bool:
    """True if the block is complete, and was written by one of our models."""
    return block.signature == signature_of(block.thinking)


@dataclass(frozen=True, slots=True)
class Cleared:
    """The thinking that an edit removed from the conversation."""

    num_turns: int
    thinking: str


def clear_thinking(
    messages: Sequence[Message], edit: ClearThinking
) -> tuple[list[Message], Cleared]:
    """Remove the thinking from all but the last turns.

    A turn is everything between two messages of the user.
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
