"""Truncates tool results to a token budget. Pure functions; sizes are in the model's tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from kronk_agent.messages import TextPart, ToolResult
from kronk_agent.tools.cut_marker import CutText

CountTokens: TypeAlias = Callable[[str], int]

_MAX_TOKEN_CHARS = 16
"""Assumed maximum characters per token; avoids counting texts that are far too large."""


def result_token_budget(*, context_length: int, used: int, max_tokens: int | None) -> int:
    """Return the budget for all results of one step: half of the remaining context.

    The other half is for later steps. At most a quarter of the context is reserved for the answer.
    """
    quarter = context_length // 4
    reserve = min(max_tokens or quarter, quarter)
    return max(0, context_length - used - reserve) // 2


def truncate_results(
    results: Sequence[ToolResult], budget: int, count_tokens: CountTokens
) -> list[ToolResult]:
    """Truncate the largest results so that all together fit into ``budget`` tokens."""
    sizes = [_size(result.text, budget, count_tokens) for result in results]
    return [
        result if size <= share else _truncate_result(result, share, count_tokens)
        for result, size, share in zip(results, sizes, split_budget(sizes, budget), strict=True)
    ]


def split_budget(sizes: Sequence[int], budget: int) -> list[int]:
    """Split a budget: small sizes are granted in full, large ones share the rest equally."""
    shares = [0] * len(sizes)
    smallest_first = sorted(range(len(sizes)), key=sizes.__getitem__)
    for num_done, index in enumerate(smallest_first):
        shares[index] = min(sizes[index], budget // (len(sizes) - num_done))
        budget -= shares[index]
    return shares


def truncate_text(text: str, limit: int, count_tokens: CountTokens) -> str:
    """Keep the beginning of a text, up to a line or word, and add how to read the rest."""
    cut = CutText.read(text)
    budget = limit - count_tokens(cut.cut_marker(len(cut.kept)))
    kept = _at_boundary(_beginning(cut.kept, budget, count_tokens))
    return kept + cut.cut_marker(len(kept))


def _size(text: str, budget: int, count_tokens: CountTokens) -> int:
    """Count the tokens; exact up to ``budget``, larger texts yield a larger number."""
    return budget + 1 if len(text) > budget * _MAX_TOKEN_CHARS else count_tokens(text)


def _truncate_result(result: ToolResult, limit: int, count_tokens: CountTokens) -> ToolResult:
    text = TextPart(truncate_text(result.text, limit, count_tokens))
    others = (part for part in result.content if not isinstance(part, TextPart))
    return replace(result, content=(text, *others))


def _beginning(text: str, limit: int, count_tokens: CountTokens) -> str:
    """Return a nearly maximal prefix of at most ``limit`` tokens; counting is slow."""
    if limit <= 0:
        return ""
    kept = text[: limit * _MAX_TOKEN_CHARS]
    while (size := count_tokens(kept)) > limit:
        kept = kept[: min(len(kept) * limit // size, len(kept) - 1)]
    return kept


def _at_boundary(text: str) -> str:
    """Drop the last line or word, which is probably incomplete, unless that loses too much."""
    for boundary in ("\n", " "):
        end = text.rfind(boundary)
        if end > len(text) * 3 // 4:
            return text[:end]
    return text
