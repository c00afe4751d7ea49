"""Tools as the prompt shows them, with shortened descriptions and schemas."""

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
"""Characters of the longest token, except runs of blanks or rules. Text beyond this is not
tokenized."""


def shown_tools(
    tools: Sequence[Tool], max_description_tokens: int | None, count: Callable[[str], int]
) -> list[Tool]:
    """Return the tools to show to the model; the originals still check and enforce arguments.

    Args:
        tools: client tools, which have no ``call``, are shown unchanged.
        max_description_tokens: limit for each description; None means no limit.
        count: counts the tokens of a text.
    """
    if max_description_tokens is None:
        shorten: Callable[[str], str] = str
    else:
        shorten = partial(cut_at_sentence, max_tokens=max_description_tokens, count=count)
    return [_shown(tool, shorten) if tool.call is not None else tool for tool in tools]


def cut_at_sentence(text: str, *, max_tokens: int, count: Callable[[str], int]) -> str:
    """Cut a text to its first sentences with at most ``max_tokens`` tokens.

    If the first sentence is longer, return its first words and an ellipsis.
    """
    if len(text.encode(errors="replace")) <= max_tokens:  # a token has at least one byte
        return text
    head = text[: max_tokens * _LONGEST_TOKEN]
    if len(head) == len(text) and count(text) <= max_tokens:
        return text
    for ends, ellipsis in ((_SENTENCE_END, ""), (_WORD_END, " …"), (_ANYWHERE, "…")):
        positions = [match.end() for match in ends.finditer(head) if head[: match.end()].strip()]

        def tokens_up_to(end: int, ellipsis: str = ellipsis) -> int:
            return count(head[:end].rstrip() + ellipsis)

        number = bisect_right(positions, max_tokens, key=tokens_up_to)
        if number:
            return head[: positions[number - 1]].rstrip() + ellipsis
    return ""


def _shown(tool: Tool, shorten: Callable[[str], str]) -> Tool:
    return replace(
        tool,
        description=shorten(tool.description),
        parameters=prompt_schema(tool.parameters, shorten),
    )
