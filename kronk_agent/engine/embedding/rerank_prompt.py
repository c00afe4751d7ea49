"""Input of a reranking model: a query and a document."""

from __future__ import annotations

import re
from itertools import pairwise

from kronk_agent.engine.vocabulary import Vocabulary

_SLOT = re.compile(r"\{(query|document)\}")


def rerank_prompt(
    vocabulary: Vocabulary, template: str | None, *, query: str, document: str
) -> list[int]:
    """Token ids of the filled template, or of a pair with separators without one.

    The text of special tokens in ``query`` and ``document`` is plain text; only the template may
    contain special tokens.
    """
    if template is None:
        return vocabulary.pair(query, document)
    text, untrusted = _fill(template, {"query": query, "document": document})
    cuts = {
        cut
        for start, end in _special_texts(text, vocabulary)
        if (cut := _cut(start, end, untrusted)) is not None
    }
    pieces = [text[a:b] for a, b in pairwise([0, *sorted(cuts), len(text)])]
    first = vocabulary.tokenize(pieces[0], parse_special=True)
    return first + [
        token for piece in pieces[1:] for token in vocabulary.tokenize(piece, parse_special=True)
    ]


def _fill(template: str, texts: dict[str, str]) -> tuple[str, list[range]]:
    """Fill the template; returns the text and the ranges filled with untrusted text."""
    filled, untrusted, end = "", [], 0
    for slot in _SLOT.finditer(template):
        filled += template[end : slot.start()]
        text = texts[slot[1]]
        untrusted.append(range(len(filled), len(filled) + len(text)))
        filled, end = filled + text, slot.end()
    return filled + template[end:], untrusted


def _special_texts(text: str, vocabulary: Vocabulary) -> list[tuple[int, int]]:
    """Start and end of the texts of special tokens, overlapping ones included."""
    longest_first = sorted(vocabulary.special_texts, key=len, reverse=True)
    any_of_them = "|".join(re.escape(special) for special in longest_first if len(special) > 1)
    if not any_of_them:
        return []
    return [match.span(1) for match in re.finditer(f"(?=({any_of_them}))", text)]


def _cut(start: int, end: int, untrusted: list[range]) -> int | None:
    """Position at which to cut the text of a special token; None if the template wrote all of it.

    Cut in two, it is tokenized as plain text.
    """
    inside = [
        max(start, span.start) for span in untrusted if span.start < end and start < span.stop
    ]
    return max(min(inside), start + 1) if inside else None
