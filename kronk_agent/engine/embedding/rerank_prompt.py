"""A query and a document as one input of a model that ranks."""

from __future__ import annotations

import re
from itertools import pairwise

from kronk_agent.engine.vocabulary import Vocabulary

_SLOT = re.compile(r"\{(query|document)\}")


def rerank_prompt(
    vocabulary: Vocabulary, template: str | None, *, query: str, document: str
) -> list[int]:
    """Token ids: by the model's own template, else as a pair with separators.

    Special tokens in the two texts are inert: only the template may write them.
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
    """The filled template, and where in it is text that did not come from it."""
    filled, untrusted, end = "", [], 0
    for slot in _SLOT.finditer(template):
        filled += template[end : slot.start()]
        text = texts[slot[1]]
        untrusted.append(range(len(filled), len(filled) + len(text)))
        filled, end = filled + text, slot.end()
    return filled + template[end:], untrusted


def _special_texts(text: str, vocabulary: Vocabulary) -> list[tuple[int, int]]:
    """Where special tokens' texts begin and end, overlapping ones included."""
    longest_first = sorted(vocabulary.special_texts, key=len, reverse=True)
    any_of_them = "|".join(re.escape(special) for special in longest_first if len(special) > 1)
    if not any_of_them:
        return []
    return [match.span(1) for match in re.finditer(f"(?=({any_of_them}))", text)]


def _cut(start: int, end: int, untrusted: list[range]) -> int | None:
    """Where to cut a special text so that it is none; None where the template wrote all of it."""
    inside = [
        max(start, span.start) for span in untrusted if span.start < end and start < span.stop
    ]
    return max(min(inside), start + 1) if inside else None
