"""Helpers of the chat tests."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from kronk_agent.chat.dialects.formats.call_format import CallFormat, DelimiterPair
from kronk_agent.chat.dialects.parsing.turn import TurnFormat, TurnParser
from kronk_agent.engine.structured_output.constraint import Constraint
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.messages import (
    Delta,
    JsonObject,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
)
from kronk_agent.tools import Tool, ToolContext, ToolOutput, tool

HERMES_TEMPLATE = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% endif %}
{{- '# Tools' }}
{%- for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content }}
{{- '\\n</tool_response><|im_end|>\\n' }}
{%- elif message.role != 'system' or not tools %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.content %}{{ message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- (call.function.arguments | tojson) + '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
"""A small template in the manner of the Hermes and Qwen models."""


def make_tool(name: str, description: str = "", *, strict: bool = True, **schema: Any) -> Tool:
    """A tool that is only described, never called. ``schema`` is that of its arguments."""

    async def call(arguments: JsonObject, context: ToolContext) -> ToolOutput:
        raise AssertionError(name)

    parameters: JsonObject = {"type": "object", **schema}
    return Tool(name=name, description=description, parameters=parameters, call=call, strict=strict)


def merged(deltas: Iterable[Delta]) -> list[Delta]:
    """The deltas with neighbours of one kind put together."""
    together: list[Delta] = []
    for delta in deltas:
        match together[-1] if together else None, delta:
            case TextDelta(a), TextDelta(b):
                together[-1] = TextDelta(a + b)
            case ReasoningDelta(a), ReasoningDelta(b):
                together[-1] = ReasoningDelta(a + b)
            case ToolCallArguments(i, a), ToolCallArguments(j, b) if i == j:
                together[-1] = ToolCallArguments(i, a + b)
            case _:
                together.append(delta)
    return together


THINK = DelimiterPair("<think>", "</think>")


def turn_format(
    calls: CallFormat | None, thinking: DelimiterPair | None = None, **more: Any
) -> TurnFormat:
    return TurnFormat(name="test", calls=calls, reasoning=thinking, before_calls="\n", **more)


def make_parser(
    calls: CallFormat | None,
    *tools: Tool,
    thinking: DelimiterPair | None = None,
    begun: str = "",
    **more: Any,
) -> TurnParser:
    """A parser that has read what a prompt has begun; the ids of calls are id0, id1 …"""
    numbers = count()
    parser = TurnParser(
        turn_format(calls, thinking, **more),
        {tool.name: tool for tool in tools},
        new_id=lambda: f"id{next(numbers)}",
    )
    parser.push(begun)
    return parser


def parse(
    chunks: Sequence[str], calls: CallFormat | None, *tools: Tool, **more: Any
) -> list[Delta]:
    """All that a parser makes of these chunks."""
    parser = make_parser(calls, *tools, **more)
    deltas = [delta for chunk in chunks for delta in parser.push(chunk)]
    return merged([*deltas, *parser.finish()])


class Grammar:
    """A compiled grammar, and what it accepts."""

    def __init__(self, constraint: Constraint, vocabulary: Vocabulary) -> None:
        self._constraint = constraint
        self._vocabulary = vocabulary

    def accepts(self, text: str) -> bool:
        """Is this a complete turn?"""
        return self.accepts_tokens(self._vocabulary.tokenize(text, parse_special=True))

    def accepts_tokens(self, tokens: Sequence[int]) -> bool:
        matcher = self._constraint.start()
        for token in tokens:
            if matcher.is_finished or not matcher.allows(token):
                return False
            matcher.consume(token)
        return matcher.is_finished or any(map(matcher.allows, self._vocabulary.end_of_generation))

    def forced_text(self) -> str:
        """What the turn must begin with."""
        return self._vocabulary.detokenize(self._constraint.start().take_fast_forward(1000))

    def random_turn(self, source: random.Random, *, max_tokens: int) -> str | None:
        """A turn of random tokens; None if it did not end."""
        matcher = self._constraint.start()
        tokens: list[int] = []
        while len(tokens) < max_tokens:
            if matcher.is_finished:
                return self._vocabulary.detokenize(tokens)
            logits = np.zeros(self._vocabulary.size, np.float32)
            matcher.mask(logits)
            token = source.choice(np.flatnonzero(logits == 0).tolist())
            if token in self._vocabulary.end_of_generation:
                return self._vocabulary.detokenize(tokens)
            matcher.consume(token)
            tokens.append(token)
        return None


def arguments_of(deltas: Iterable[Delta]) -> list[object]:
    """The arguments of each call, parsed."""
    return [json.loads(d.fragment) for d in merged(deltas) if isinstance(d, ToolCallArguments)]


PUBLISHED_TEMPLATES = Path(__file__).parents[3] / "shared" / "data" / "templates"
"""Chat templates of published models, where they are beside the project."""


@tool
def lookup(key: str) -> str:
    """Look a key up.

    Args:
        key: the key.
    """
    return key
