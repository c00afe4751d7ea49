"""How much of the tools' results the model gets to read: what its context has room for.

Pure functions; all sizes are tokens, as the model counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from kronk_agent.messages import TextPart, ToolResult

CountTokens: TypeAlias = Callable[[str], int]

_LONGEST_TOKEN = 16
"""Characters. Longer ones are rare; the bound saves counting what is far too large."""


def room_for_results(*, context_length: int, used: int, max_tokens: int | None) -> int:
    """What the results of one step may have together.

    Half of what is left when room for an answer is set aside, so that a later step has room too.
    """
    quarter = context_length // 4
    reserve = min(max_tokens or quarter, quarter)
    return max(0, context_length - used - reserve) // 2


def fit_results(
    results: Sequence[ToolResult], room: int, count_tokens: CountTokens
) -> list[ToolResult]:
    """The results, the largest cut so that together they have the room."""
    sizes = [_size(result.text, room, count_tokens) for result in results]
    return [
        result if size <= share else _cut_result(result, share, count_tokens)
        for result, size, share in zip(results, sizes, fair_shares(sizes, room), strict=True)
    ]


def fair_shares(sizes: Sequence[int], room: int) -> list[int]:
    """What each may have: small ones what they need, the large ones equal parts of the rest."""
    shares = [0] * len(sizes)
    smallest_first = sorted(range(len(sizes)), key=sizes.__getitem__)
    for num_done, index in enumerate(smallest_first):
        shares[index] = min(sizes[index], room // (len(sizes) - num_done))
        room -= shares[index]
    return shares


def cut_text(text: str, limit: int, count_tokens: CountTokens) -> str:
    """The text's beginning, at the end of a line or word, and what to do for the rest."""
    room = limit - count_tokens(_marker(len(text), len(text)))
    kept = _at_boundary(_beginning(text, room, count_tokens))
    return kept + _marker(len(kept), len(text))


def _marker(num_kept: int, num_characters: int) -> str:
    return (
        f"\n[Cut here: these are the first {num_kept} of {num_characters} characters. To read on, "
        "call the tool again with other arguments: an offset, a page or a narrower request.]"
    )


def _size(text: str, room: int, count_tokens: CountTokens) -> int:
    """Exact up to the room; above it, any number above it."""
    return room + 1 if len(text) > room * _LONGEST_TOKEN else count_tokens(text)


def _cut_result(result: ToolResult, limit: int, count_tokens: CountTokens) -> ToolResult:
    text = TextPart(cut_text(result.text, limit, count_tokens))
    others = (part for part in result.content if not isinstance(part, TextPart))
    return replace(result, content=(text, *others))


def _beginning(text: str, limit: int, count_tokens: CountTokens) -> str:
    """Nearly the longest one of that size: counting takes time, so few lengths are tried."""
    if limit <= 0:
        return ""
    kept = text[: limit * _LONGEST_TOKEN]
    while (size := count_tokens(kept)) > limit:
        kept = kept[: min(len(kept) * limit // size, len(kept) - 1)]
    return kept


def _at_boundary(text: str) -> str:
    """Without a last line or word that is probably cut, unless much would be lost by it."""
    for boundary in ("\n", " "):
        end = text.rfind(boundary)
        if end > len(text) * 3 // 4:
            return text[:end]
    return text
