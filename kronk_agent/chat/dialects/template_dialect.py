"""A dialect made of a turn's format: whatever the template, one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from kronk_agent.chat.dialects.dialect import DialectTurn
from kronk_agent.chat.dialects.formats.call_format import DelimiterPair
from kronk_agent.chat.dialects.grammar.turn_grammar import turn_grammar
from kronk_agent.chat.dialects.parsing.turn import TurnFormat, TurnParser
from kronk_agent.chat.dialects.preamble import to_plain_text, with_instructions
from kronk_agent.chat.templates.conversation import with_valid_arguments
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

    def prepare_messages(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> tuple[Sequence[Message], Sequence[Tool]]:
        if self.format.calls is None or (self.shows_tools and self.writes_calls):
            return messages, tools
        if self.shows_tools:
            return [self._with_written_calls(message) for message in messages], tools
        if self.writes_calls:
            told = with_instructions(messages, tools, self.format.calls) if tools else messages
            return told, ()
        return to_plain_text(messages, tools, self.format.calls), ()

    def _with_written_calls(self, message: Message) -> Message:
        if not message.tool_calls:
            return message
        text = message.text + self.write(with_valid_arguments(message).tool_calls)
        return replace(message, content=(TextPart(text),), tool_calls=())

    def continue_message(self, generation_prompt: str, reasoning: str, content: str) -> str:
        delimiters = self.format.reasoning
        if delimiters is None:
            wrap = self.format.content.begin if self.format.content else ""
            return f"{generation_prompt}{'' if generation_prompt.endswith(wrap) else wrap}{content}"
        thought = f"{self._head(generation_prompt, delimiters)}{delimiters.begin}{reasoning}"
        if not content:
            return thought
        begin = self.format.content.begin if self.format.content else ""
        return f"{thought}{delimiters.end}{begin}{content}"

    def _head(self, generation_prompt: str, delimiters: DelimiterPair) -> str:
        """What begins a turn, without what the prompt has begun in it."""
        header = self.format.header
        if header and header in generation_prompt:
            return generation_prompt.partition(header)[0] + header
        starts = [
            at
            for delimiter in (delimiters.begin, delimiters.end)
            if (at := generation_prompt.find(delimiter.strip())) >= 0
        ]
        return generation_prompt[: starts[0]] if starts else generation_prompt

    def start_turn(self, generation_prompt: str, request: ChatRequest) -> DialectTurn:
        parser = TurnParser(
            self.format,
            {tool.name: tool for tool in request.callable_tools},
            separate_reasoning=request.separate_reasoning,
            strips_fences=request.response_format.type in ("json_object", "json_schema"),
        )
        if not self.takes_many_calls:
            request = replace(request, max_parallel_calls=1)
        begun = parser.push(self._begun(generation_prompt))
        delimiters = self.format.reasoning
        return DialectTurn(
            parser,
            partial(turn_grammar, self.format, request, parser.state, self.special_tokens),
            tuple(begun),
            "" if delimiters is None else delimiters.end,
        )

    def _begun(self, generation_prompt: str) -> str:
        """What the prompt has of the turn itself."""
        header = self.format.header
        return (
            generation_prompt.partition(header)[2]
            if header and header in generation_prompt
            else generation_prompt
        )
