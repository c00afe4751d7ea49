"""Matches texts against grammars without a model's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from llguidance import LLTokenizer


def may_begin(grammar: str, parts: Mapping[str, str], text: str) -> bool:
    """True if a text that a Lark grammar allows can begin with ``text``.

    The grammar must not contain special tokens. An invalid grammar allows nothing.
    """
    from kronk_agent.engine.structured_output.constraint import new_matcher, source_of

    matcher = new_matcher(source_of(grammar, parts), _bytes())
    data = list(text.encode("utf-8", "replace"))
    return not matcher.is_error() and matcher.validate_tokens(data) == len(data)


@cache
def _bytes() -> LLTokenizer:
    return LLTokenizer("byte")
