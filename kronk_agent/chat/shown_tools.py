"""Tools as the prompt shows them: what they say in fewer tokens."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from kronk_agent.tools import Tool
from kronk_agent.tools.schema.prompt_schema import prompt_schema

_SENTENCE_END: Final = re.compile(
    r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\bcf)[.!?][\"')\]]*(?=\s)|[。！？]|(?=\n)"
)
_WORD_END: Final = re.compile(r"(?<=\S)(?=\s)")
_ANYWHERE: Final = re.compile(r"(?=.)")
_LONGEST_TOKEN: Final = 32
"""Characters of a token, of all but blanks and rulers; what is beyond is not even counted."""


def shown_tools(
    tools: Sequence[Tool], max_description_tokens: int | None, count: Callable[[str], int]
) -> list[Tool]:
    """The tools as the model is shown them; arguments are checked and enforced by the originals.

    Args:
        tools: those without ``call`` are the caller's own, and are shown whole.
        max_description_tokens: of each description; None is no limit.
        count: the number of tokens of a text.
    """
    if max_description_tokens is None:
        shorten: Callable[[str], str] = str
    else:
        shorten = partial(cut_at_sentence, max_tokens=max_description_tokens, count=count)
    return [_shown(tool, shorten) if tool.call is not None else tool for tool in tools]


def cut_at_sentence(text: str, *, max_tokens: int, count: Callable[[str], int]) -> str:
    """The first sentences of a text, as many as have so many tokens at most.

    Where the first sentence alone is longer, its first words and an ellipsis.
    """
    if len(text.encode(errors="replace")) <= max_tokens:  # no token is less than a byte
        return text
    head = text[: max_tokens * _LONGEST_TOKEN]
    if len(head) == len(text) and count(text) <= max_tokens:
        return text
    for ends, mark in ((_SENTENCE_END, ""), (_WORD_END, " …"), (_ANYWHERE, "…")):
        places = [match.end() for match in ends.finditer(head) if head[: match.end()].strip()]

        def tokens_up_to(end: int, mark: str = mark) -> int:
            return count(head[:end].rstrip() + mark)

        number = bisect_right(places, max_tokens, key=tokens_up_to)
        if number:
            return head[: places[number - 1]].rstrip() + mark
    return ""


def _shown(tool: Tool, shorten: Callable[[str], str]) -> Tool:
    return replace(
        tool,
        description=shorten(tool.description),
        parameters=prompt_schema(tool.parameters, shorten),
    )
