"""A dialect made of a turn's format: whatever the template, one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from kronk_agent.chat.dialects.dialect import Turn
from kronk_agent.chat.dialects.formats.call_format import Enclosure
from kronk_agent.chat.dialects.grammar.turn_grammar import turn_grammar
from kronk_agent.chat.dialects.parsing.turn import TurnFormat, TurnParser
from kronk_agent.chat.dialects.preamble import spell_out, with_instructions
from kronk_agent.chat.templates.conversation import with_whole_calls
from kronk_agent.messages import Message, TextPart, ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateDialect:
    """A dialect by its format.

    Args:
        format: how turns are written.
        special_tokens: the vocabulary's special tokens by text.
        shows_tools: the template shows tools to the model; if not, we say them in plain text.
        writes_calls: the template shows calls; if not, they are the message's text.
        takes_many_calls: the template shows several calls of one turn; if not, a turn has one.
    """

    format: TurnFormat
    special_tokens: Mapping[str, int] = field(repr=False, default_factory=dict)
    shows_tools: bool = True
    writes_calls: bool = True
    takes_many_calls: bool = True

    @property
    def name(self) -> str:
        return self.format.name

    def write(self, calls: Sequence[ToolCall]) -> str:
        assert self.format.calls is not None
        return self.format.calls.write(calls)

    def arrange(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> tuple[Sequence[Message], Sequence[Tool]]:
        if self.format.calls is None or (self.shows_tools and self.writes_calls):
            return messages, tools
        if self.shows_tools:
            return [self._with_written_calls(message) for message in messages], tools
        if self.writes_calls:
            told = with_instructions(messages, tools, self.format.calls) if tools else messages
            return told, ()
        return spell_out(messages, tools, self.format.calls), ()

    def _with_written_calls(self, message: Message) -> Message:
        if not message.tool_calls:
            return message
        text = message.text + self.write(with_whole_calls(message).tool_calls)
        return replace(message, content=(TextPart(text),), tool_calls=())

    def begin_message(self, opening: str, reasoning: str, content: str) -> str:
        marks = self.format.reasoning
        if marks is None:
            wrap = self.format.content.begin if self.format.content else ""
            return f"{opening}{'' if opening.endswith(wrap) else wrap}{content}"
        thought = f"{self._head(opening, marks)}{marks.begin}{reasoning}"
        if not content:
            return thought
        begin = self.format.content.begin if self.format.content else ""
        return f"{thought}{marks.end}{begin}{content}"

    def _head(self, opening: str, marks: Enclosure) -> str:
        """What begins a turn, without what the prompt has begun in it."""
        header = self.format.opening
        if header and header in opening:
            return opening.partition(header)[0] + header
        starts = [
            at for mark in (marks.begin, marks.end) if (at := opening.find(mark.strip())) >= 0
        ]
        return opening[: starts[0]] if starts else opening

    def begin_turn(self, opening: str, request: ChatRequest) -> Turn:
        parser = TurnParser(
            self.format,
            {tool.name: tool for tool in request.callable_tools},
            separate_reasoning=request.separate_reasoning,
            strips_fences=request.response_format.type in ("json_object", "json_schema"),
        )
        if not self.takes_many_calls:
            request = replace(request, max_parallel_calls=1)
        begun = parser.push(self._begun(opening))
        marks = self.format.reasoning
        return Turn(
            parser,
            partial(turn_grammar, self.format, request, parser.state, self.special_tokens),
            tuple(begun),
            "" if marks is None else marks.end,
        )

    def _begun(self, opening: str) -> str:
        """What the prompt has of the turn itself."""
        header = self.format.opening
        return opening.partition(header)[2] if header and header in opening else opening
