"""Texts held to a grammar, without any model's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from llguidance import LLTokenizer


def may_begin(grammar: str, parts: Mapping[str, str], text: str) -> bool:
    """True if what a Lark grammar of ours allows may begin with this text.

    A grammar that is refused allows nothing. There must be no special tokens in it.
    """
    from kronk_agent.engine.structured_output.constraint import new_matcher, source_of

    matcher = new_matcher(source_of(grammar, parts), _bytes())
    data = list(text.encode("utf-8", "replace"))
    return not matcher.is_error() and matcher.validate_tokens(data) == len(data)


@cache
def _bytes() -> LLTokenizer:
    return LLTokenizer("byte")
