"""gpt-oss: OpenAI's Harmony format, messages with channels and recipients.

Source: docs/format.md of openai/harmony. A turn has several messages: thinking on the ``analysis``
channel, the answer on ``final``, and calls on ``commentary``, whose recipient ``functions.NAME`` is
in the role or the channel section of the header. Messages to other recipients are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kronk_agent.chat.dialects.dialect import Dialect, DialectTurn
from kronk_agent.chat.dialects.families.family import AnalysedTemplate, Family
from kronk_agent.chat.dialects.formats.call_format import Tools, one_of
from kronk_agent.chat.dialects.grammar.lark import Lark, either, quoted
from kronk_agent.chat.dialects.grammar.schema import arguments_schema
from kronk_agent.chat.dialects.grammar.turn_grammar import AnswerRules, TurnGrammar
from kronk_agent.chat.dialects.parsing.messages_parser import MessagesParser
from kronk_agent.chat.dialects.parsing.reader import Delimiters, Reading
from kronk_agent.messages import Message, ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.tools import Tool

_START: Final = "<|start|>assistant"
_MESSAGE: Final = "<|message|>"
_ENDS: Final = ("<|end|>", "<|return|>", "<|call|>")
_THOUGHT: Final = "<|channel|>analysis<|message|>"
_RECIPIENT: Final = re.compile(r"to=([^\s<]+)")
_CHANNEL: Final = re.compile(r"<\|channel\|>\s*(\w*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmonyDialect:
    """Dialect of gpt-oss."""

    special_tokens: Mapping[str, int] = field(repr=False, default_factory=dict)
    name: str = "harmony"
    writes_calls: bool = True

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Write calls as messages on the ``commentary`` channel."""
        return _START.join(
            f"<|channel|>commentary to=functions.{call.name} <|constrain|>json<|message|>"
            f"{call.arguments}<|call|>"
            for call in calls
        )

    def prepare_messages(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> tuple[Sequence[Message], Sequence[Tool]]:
        """Return messages and tools unchanged."""
        return messages, tools

    def continue_message(self, generation_prompt: str, reasoning: str, content: str) -> str:
        """Write the thinking, and the start of an answer that has text."""
        thought = f"{_START}{_THOUGHT}{reasoning}"
        if not content:
            return thought
        begun = f"{thought}<|end|>" if reasoning else ""
        return f"{begun}{_START}<|channel|>final<|message|>{content}"

    def start_turn(self, generation_prompt: str, request: ChatRequest) -> DialectTurn:
        """Return the grammar and a fresh parser for a turn."""
        tools = {tool.name: tool for tool in request.callable_tools}
        parser = HarmonyParser(
            tools,
            separate_reasoning=request.separate_reasoning,
            strips_fences=request.response_format.type in ("json_object", "json_schema"),
        )
        begun = parser.push(generation_prompt.partition(_START)[2])
        grammar = partial(
            _grammar, request, self.special_tokens, parser.is_thinking, parser.is_answering
        )
        return DialectTurn(parser, grammar, tuple(begun), f"<|end|>{_START}")


def _matches(template: AnalysedTemplate) -> bool:
    return (
        "<|channel|>" in template.source
        and "<|message|>" in template.source
        and "analysis" in template.source
    )


def _adapt(template: AnalysedTemplate) -> Dialect:
    return HarmonyDialect(special_tokens=template.special_tokens)


FAMILY: Final = Family(_matches, _adapt)


class HarmonyParser(MessagesParser):
    """Parses the messages of one turn."""

    def _read(self) -> Reading[None]:
        while not (yield from self._reader.is_at_end()):
            yield from self._reader.take_loosely(_START)
            yield from self._read_message()

    def _read_message(self) -> Reading[None]:
        header: list[str] = []
        found = yield from self._reader.until(Delimiters([_MESSAGE, "<|end|>"]), header.append)
        if found != _MESSAGE:
            return
        head = "".join(header)
        channels = _CHANNEL.findall(head)
        channel = channels[-1] if channels else "final"
        recipient = _RECIPIENT.search(head)
        name = recipient.group(1) if recipient else "assistant"
        if name.removeprefix("functions.") in self._tools:
            yield from self._read_call(name.removeprefix("functions."))
        elif name != "assistant":
            yield from self._skip_to(_ENDS)
        elif channel == "analysis":
            yield from self._read_thought(_THOUGHT, "<|end|>")
        elif channel in ("final", "commentary"):
            yield from self._read_text(_ENDS if channel == "final" else _ENDS[:1])
        else:
            yield from self._skip_to(_ENDS)

    def _read_call(self, name: str) -> Reading[None]:
        if (yield from self._read_json_call(name)):
            yield from self._reader.take_blanks()
            for end in _ENDS:
                yield from self._reader.take(end)


def _grammar(
    request: ChatRequest,
    special_tokens: Mapping[str, int],
    is_thinking: bool,
    is_answering: bool,
) -> TurnGrammar | None:
    lark = Lark(special_tokens)
    tools = {tool.name: tool for tool in request.callable_tools}
    rules = AnswerRules(request, lark)
    if rules.is_free and request.is_thinking_enabled is not False:
        return None
    start = lark.exactly(_START)
    answer = rules.answer(_ENDS)
    final = (
        f"{lark.exactly('<|channel|>')} {either(quoted('final'), quoted('commentary'))} "
        f"{_constraint(lark)} {lark.exactly(_MESSAGE)} {answer}"
    )
    options = [] if rules.must_call else [final]
    if tools:
        text = lark.without(_ENDS)
        commentary = lark.exactly("<|channel|>commentary<|message|>")
        preamble = f"{commentary} {text} {lark.exactly('<|end|>')} {start}"
        options.append(f"( {preamble} )? {_calls(lark, tools)} ( {lark.exactly('<|call|>')} )?")
    body = either(*options)
    if is_thinking:
        return TurnGrammar(lark.text(f"{lark.up_to('<|end|>')} {start} {body}"), rules.parts)
    if is_answering:
        return TurnGrammar(lark.text(answer), rules.parts)
    if request.is_thinking_enabled is False:
        return TurnGrammar(lark.text(body), rules.parts)
    thought = f"{lark.exactly(_THOUGHT)} {lark.up_to('<|end|>')} {start}"
    return TurnGrammar(lark.text(f"( {thought} )? {body}"), rules.parts)


def _calls(lark: Lark, tools: Tools) -> str:
    channel = f"{lark.exactly('<|channel|>')} {either(quoted('commentary'), quoted('analysis'))}"
    rest = f"{_constraint(lark)} {lark.exactly(_MESSAGE)}"
    calls = []
    for i, tool in enumerate(tools.values()):
        name = quoted(f" to=functions.{tool.name}")
        head = either(f"{name} {channel}", f"{channel} {name}")
        calls.append(lark.add(f"call_{i}", f"{head} {rest} {lark.json(arguments_schema(tool))}"))
    return one_of(lark, calls, "call")


def _constraint(lark: Lark) -> str:
    return f'( " "? {lark.exactly("<|constrain|>")} "json" | " json" )?'
