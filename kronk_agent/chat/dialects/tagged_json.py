"""Dialects whose calls are JSON between marks: one machine, and a ``CallFormat`` for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kronk_agent.chat.dialects.call_format import CallFormat, ThinkingTags
from kronk_agent.chat.dialects.dialect import Turn
from kronk_agent.chat.dialects.grammar import TurnRules, write_grammar
from kronk_agent.chat.dialects.preamble import spell_out
from kronk_agent.chat.dialects.turn_parser import TurnParser
from kronk_agent.messages import Message
from kronk_agent.model import ToolChoice
from kronk_agent.tool import Tool

_MAX_CALLS = 8
"""In one turn. A small model at a high temperature might otherwise never stop calling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedJson:
    """A dialect whose calls are JSON between marks."""

    name: str
    format: CallFormat
    thinking: ThinkingTags | None = None
    is_native: bool
    """Does the template show tools and write calls itself? If not, we say it in plain text."""
    special_tokens: Mapping[str, int] = field(repr=False)
    """The vocabulary's special tokens by text."""

    def arrange(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> tuple[Sequence[Message], Sequence[Tool]]:
        if self.is_native:
            return messages, tools
        return spell_out(messages, tools, self.format), ()

    def begin_turn(
        self, prompt: str, tools: Sequence[Tool], choice: ToolChoice, *, parallel: bool
    ) -> Turn:
        is_open = self.thinking is not None and prompt.rstrip().endswith(self.thinking.begin)
        may_call = choice.mode != "none"
        parser = TurnParser(
            self.format if tools and may_call else None,
            thinking=self.thinking,
            is_thinking_open=is_open,
        )
        if not tools:
            return Turn(None, parser)
        rules = TurnRules(
            tools=[tool for tool in tools if may_call and choice.name in (None, tool.name)],
            must_call=choice.mode in ("required", "named"),
            max_calls=_MAX_CALLS if parallel and choice.mode != "named" else 1,
            thinking=self.thinking,
            is_thinking_open=is_open,
        )
        return Turn(write_grammar(self.format, rules, self.special_tokens), parser)
