"""A dialect defined by a turn format; used for all templates that analysis understands."""

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
    """Dialect defined by a turn format.

    Args:
        format: how turns are written.
        special_tokens: the vocabulary's special tokens by text.
        shows_tools: the template shows tools to the model; if not, the system message describes
        them.
        writes_calls: the template renders calls; if not, they become the message's text.
        takes_many_calls: the template renders several calls of one turn; if not, a turn has one.
    """

    format: TurnFormat
    special_tokens: Mapping[str, int] = field(repr=False, default_factory=dict)
    shows_tools: bool = True
    writes_calls: bool = True
    takes_many_calls: bool = True

    @property
    def name(self) -> str:
        """Name of the format."""
        return self.format.name

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Write calls in the format's notation."""
        assert self.format.calls is not None
        return self.format.calls.write(calls)

    def prepare_messages(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> tuple[Sequence[Message], Sequence[Tool]]:
        """Write tools and calls as text where the template does not render them."""
        if self.format.calls is None or (self.shows_tools and self.writes_calls):
            return messages, tools
        if self.shows_tools:
            return [self._with_written_calls(message) for message in messages], tools
        if self.writes_calls:
            instructed = (
                with_instructions(messages, tools, self.format.calls) if tools else messages
            )
            return instructed, ()
        return to_plain_text(messages, tools, self.format.calls), ()

    def _with_written_calls(self, message: Message) -> Message:
        if not message.tool_calls:
            return message
        text = message.text + self.write(with_valid_arguments(message).tool_calls)
        return replace(message, content=(TextPart(text),), tool_calls=())

    def continue_message(self, generation_prompt: str, reasoning: str, content: str) -> str:
        """Write the thinking and text so far, with the delimiters the template puts around them."""
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
        """Return the start of the generation prompt, without thinking that it has started."""
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
        """Return the grammar and a fresh parser for a turn."""
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
        """Return the part of the generation prompt that belongs to the turn itself."""
        header = self.format.header
        return (
            generation_prompt.partition(header)[2]
            if header and header in generation_prompt
            else generation_prompt
        )
