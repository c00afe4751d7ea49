"""Functionary v3.2: messages with a recipient, ``>>>all`` for the user, ``>>>NAME`` for a tool.

Source: the chat template published with meetkai/functionary-medium-v3.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kronk_agent.chat.dialects.dialect import Dialect, DialectTurn
from kronk_agent.chat.dialects.families.family import AnalysedTemplate, Family
from kronk_agent.chat.dialects.formats.call_format import one_of, repeated
from kronk_agent.chat.dialects.grammar.lark import Lark, either, quoted
from kronk_agent.chat.dialects.grammar.schema import arguments_schema
from kronk_agent.chat.dialects.grammar.turn_grammar import AnswerRules, TurnGrammar
from kronk_agent.chat.dialects.parsing.messages_parser import MessagesParser
from kronk_agent.chat.dialects.parsing.reader import Delimiters, Reading
from kronk_agent.messages import Message, ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.tools import Tool

_DELIMITER: Final = ">>>"
_USER: Final = "all\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionaryDialect:
    """Dialect of Functionary v3.2."""

    special_tokens: Mapping[str, int] = field(repr=False, default_factory=dict)
    name: str = "functionary"
    writes_calls: bool = True

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Write calls as messages to the tools."""
        return _DELIMITER.join(f"{call.name}\n{call.arguments}" for call in calls)

    def prepare_messages(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> tuple[Sequence[Message], Sequence[Tool]]:
        """Return messages and tools unchanged."""
        return messages, tools

    def continue_message(self, generation_prompt: str, reasoning: str, content: str) -> str:
        """Start a message to the user; thinking is dropped."""
        return f"{generation_prompt}{_USER}{content}"

    def start_turn(self, generation_prompt: str, request: ChatRequest) -> DialectTurn:
        """Return the grammar and a fresh parser for a turn."""
        tools = {tool.name: tool for tool in request.callable_tools}
        parser = FunctionaryParser(
            tools, strips_fences=request.response_format.type in ("json_object", "json_schema")
        )
        begun = parser.push(generation_prompt.partition(_DELIMITER)[2])
        grammar = partial(_grammar, request, self.special_tokens, parser.is_answering)
        return DialectTurn(parser, grammar, tuple(begun))


def _matches(template: AnalysedTemplate) -> bool:
    return ">>>all" in template.source and ">>>${recipient}" in template.source


def _adapt(template: AnalysedTemplate) -> Dialect:
    return FunctionaryDialect(special_tokens=template.special_tokens)


FAMILY: Final = Family(_matches, _adapt)


class FunctionaryParser(MessagesParser):
    """Parses the messages of one turn."""

    def _read(self) -> Reading[None]:
        while not (yield from self._reader.is_at_end()):
            head: list[str] = []
            start = self._reader.hold()
            found = yield from self._reader.until(Delimiters(["\n"]), head.append)
            recipient = "".join(head).strip()
            if recipient in self._tools and found:
                self._reader.release(start)
                if not (yield from self._read_json_call(recipient)):
                    return
                yield from self._reader.take_loosely(_DELIMITER)
                continue
            if recipient != "all":
                self._reader.rewind(start)
            else:
                self._reader.release(start)
            yield from self._read_text([_DELIMITER] if self._tools else [])


def _grammar(
    request: ChatRequest, special_tokens: Mapping[str, int], is_answering: bool
) -> TurnGrammar | None:
    lark = Lark(special_tokens)
    tools = {tool.name: tool for tool in request.callable_tools}
    rules = AnswerRules(request, lark)
    if rules.is_free:
        return None
    answer = rules.answer([_DELIMITER])
    options = [] if rules.must_call else [f"{quoted(_USER)} {answer}"]
    if is_answering:
        return TurnGrammar(lark.text(answer), rules.parts)
    if tools:
        calls = [
            lark.add(
                f"call_{i}", f"{quoted(tool.name + chr(10))} {lark.json(arguments_schema(tool))}"
            )
            for i, tool in enumerate(tools.values())
        ]
        call = one_of(lark, calls, "call")
        some = repeated(call, f"{quoted(_DELIMITER)} {call}", rules.max_calls)
        options.append(some)
        if not rules.must_call and not rules.has_form:
            options.append(f"{quoted(_USER)} {lark.up_to(_DELIMITER)} {some}")
    return TurnGrammar(lark.text(either(*options)), rules.parts)
