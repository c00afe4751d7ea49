"""Shortens old tool results to their beginning and a note about the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kronk_agent.messages import Message, TextPart
from kronk_agent.tools.cut_marker import CutText

_KEPT_CHARACTERS = 160
_MIN_SAVED_TOKENS = 16
"""Results are not shortened if that saves fewer tokens."""
_NO_ATTACHMENT = "\n[An attachment was left out to save room: make the call again to see it.]"


def stub_of(message: Message, count_tokens: Callable[[str], int]) -> Message | None:
    """Return the tool message with only the beginning of its text; None if that saves nothing."""
    text = message.text
    cut = CutText.read(text)
    kept = _beginning(cut.kept)
    short = kept + cut.shortened_marker(len(kept))
    if len(short) >= len(text) or count_tokens(text) - count_tokens(short) < _MIN_SAVED_TOKENS:
        short = text
    has_attachment = any(not isinstance(part, TextPart) for part in message.content)
    if has_attachment:
        short += _NO_ATTACHMENT
    return None if short == text else replace(message, content=(TextPart(short),))


def _beginning(text: str) -> str:
    """Return the beginning up to the last complete word, unless that loses too much."""
    kept = text[:_KEPT_CHARACTERS]
    end = max(kept.rfind(" "), kept.rfind("\n"))
    return kept[:end] if end > _KEPT_CHARACTERS // 2 and len(kept) < len(text) else kept
