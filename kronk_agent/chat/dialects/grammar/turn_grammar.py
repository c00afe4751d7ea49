"""Grammar of a turn: thinking, text and calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kronk_agent.chat.dialects.formats.call_format import CallFormat, Tools, is_bracket
from kronk_agent.chat.dialects.grammar.lark import Lark, as_regex, either, name_part, quoted
from kronk_agent.chat.dialects.grammar.schema import enforced_schema
from kronk_agent.chat.dialects.grammar.unmarked_grammar import (
    MAX_PYTHON_TOOLS,
    UnmarkedRules,
    text_without_calls,
)
from kronk_agent.chat.dialects.parsing.turn import State, TurnFormat
from kronk_agent.engine.structured_output.constraint import gbnf_to_lark
from kronk_agent.messages import JsonObject
from kronk_agent.model import ChatRequest

MAX_CALLS: Final = 8
"""In one turn. Without a limit, a small model at a high temperature might never stop calling."""
_ANY_OBJECT: Final[JsonObject] = {"type": "object"}
_TAG: Final = re.compile(r"<[^<>]*>|\[/?[A-Z_]+\]")


@dataclass(frozen=True, slots=True)
class TurnGrammar:
    """A grammar in llguidance's Lark dialect."""

    lark: str
    parts: Mapping[str, str] = field(default_factory=dict)
    """Further grammars by name, referred to as ``@name``."""
    is_ours: bool = True
    """True if the grammar is ours, except for the schemas, patterns and parts in it."""
    unenforced: frozenset[str] = frozenset()
    """Keywords of JSON Schemas that it does not enforce, besides those llguidance warns of."""


class AnswerRules:
    """Rules for the answer, without delimiters around it.

    Args:
        request: tools, tool choice and response format of the turn.
        lark: receives the rules.
        not_first: delimiters that the answer's text does not start with.
    """

    def __init__(self, request: ChatRequest, lark: Lark, not_first: Sequence[str] = ()) -> None:
        names = [tool.name for tool in request.callable_tools]
        self._bare_openings = ['{"name"', *(f"[{name}(" for name in names)]
        self.parts: dict[str, str] = {}
        """Further grammars by name."""
        self._request = request
        self._lark = lark
        self.not_first = list(not_first)

    @property
    def must_call(self) -> bool:
        """True if the turn must call a tool."""
        return self._request.tool_choice.mode in ("required", "named")

    @property
    def has_form(self) -> bool:
        """True if the answer has a response format other than text."""
        return self._request.response_format.type != "text"

    @property
    def is_free(self) -> bool:
        """True if the answer may be anything."""
        return not self._request.tools and not self.has_form

    @property
    def max_calls(self) -> int:
        """Calls the turn may have."""
        return min(self._request.max_calls or MAX_CALLS, MAX_CALLS)

    def answer(self, excluded: Sequence[str], starts: Sequence[str] = ()) -> str:
        """Return an expression for an answer without calls.

        Args:
            excluded: delimiters that the answer's text does not contain.
            starts: terminals that the answer's text does not start with.
        """
        form = self._request.response_format
        match form.type:
            case "text":
                return self._text(excluded, starts)
            case "json_object" | "json_schema":
                schema = enforced_schema(form.schema or _ANY_OBJECT, strict=form.strict)
                json = self._lark.add("answer_json", self._lark.json(schema))
                fenced = f"{quoted('```json')} /\\n/ {json} /\\n/ {quoted('```')}"
                return either(f"{json} /\\n/?", fenced)
            case "regex":
                return self._lark.add("ANSWER_REGEX", as_regex(form.pattern or ""))
            case "lark":
                self.parts["answer"] = form.pattern or ""
                return "@answer"
            case "gbnf":
                self.parts["answer"] = gbnf_to_lark(form.pattern or "")
                return "@answer"

    def _text(self, excluded: Sequence[str], starts: Sequence[str]) -> str:
        """Return an expression for text that is not blank."""
        delimiters = [delimiter for delimiter in excluded if not is_bracket(delimiter)]
        if self._request.tool_choice.mode == "none" and self._request.tools:
            tools = {tool.name: tool for tool in self._request.tools}
            return text_without_calls(self._lark, tools, delimiters, self.not_first)
        not_first = self._bare_openings if len(delimiters) < len(excluded) and not starts else []
        text = self._lark.without(delimiters, [*not_first, *self.not_first], starts)
        conditions = [text, r"/(?s:\s{0,8}\S.*)/"]
        return self._lark.add("ANSWER", " & ".join(conditions))


def turn_grammar(
    format: TurnFormat,
    request: ChatRequest,
    state: State,
    special_tokens: Mapping[str, int],
) -> TurnGrammar | None:
    """Write the grammar of the rest of a turn; None if it may be anything.

    Args:
        format: how turns are written.
        request: tools, tool choice, response format and thinking of the turn.
        state: state of the turn at the end of the prompt.
        special_tokens: the vocabulary's special tokens by text.
    """
    must_call = request.tool_choice.mode in ("required", "named")
    writer = _TurnGrammarWriter(format, request, Lark(special_tokens, is_loose=not must_call))
    if writer.is_free and request.is_thinking_enabled is not False:
        return None
    return writer.write(state)


class _TurnGrammarWriter:
    """Writes the grammar of one turn."""

    def __init__(self, format: TurnFormat, request: ChatRequest, lark: Lark) -> None:
        self._format = format
        self._request = request
        self._lark = lark
        self._tools: Tools = {tool.name: tool for tool in request.callable_tools}
        self._calls = format.calls if self._tools else None
        begin = format.reasoning.begin.strip() if format.reasoning else ""
        self._rules = AnswerRules(request, lark, [begin] if begin else [])

    @property
    def is_free(self) -> bool:
        """True if the answer may be anything."""
        return self._rules.is_free

    def write(self, state: State) -> TurnGrammar:
        """Write the grammar of the turn from this state on."""
        body = self._body(is_open=state == "content")
        reasoning = self._format.reasoning
        if reasoning is None or state not in ("start", "thinking"):
            start = body
        else:
            thought = self._thought(reasoning.end.strip(), body)
            begin = self._lark.exactly(reasoning.begin.strip())
            if state == "thinking":
                start = thought
            elif self._request.is_thinking_enabled is False:
                start = body
            else:
                start = either(f"{begin} {thought}", body)
        if start.strip() == "@answer":
            return TurnGrammar(self._rules.parts["answer"], is_ours=False)
        text = self._lark.text(f"{start} {self._end()}")
        return TurnGrammar(text, self._rules.parts, unenforced=frozenset(self._lark.unenforced))

    def _end(self) -> str:
        """Return an expression for the turn's end; empty if an end-of-generation token ends it."""
        end = self._format.end.strip()
        tags = _TAG.findall(end)
        if not tags or any(self._lark.is_token(tag) for tag in tags[-1:]):
            return ""
        return self._lark.maybe(end)

    # --- thinking ------------------------------------------------------------------------------

    def _thought(self, end: str, body: str) -> str:
        """Return an expression for thinking, its end and the rest; unquoted calls also end it."""
        calls = self._calls
        ends = calls is not None and self._format.call_ends_reasoning
        triggers = [t for t in (calls.triggers if calls else ()) if ends and not is_bracket(t)]
        blanks = self._lark.add("BLANKS", r"/\n{1,2}/")
        following = f"{blanks}? {body}" if self._rules.must_call or self._rules.has_form else body
        written = self._format.reasoning.end if self._format.reasoning else ""
        blank = written[len(written.rstrip()) :]
        if self._format.content is not None and blank:
            following = either(following, self._body(is_open=False, blank=blank))
        options = [f"{self._lark.up_to(end, triggers)} {following}"]
        if calls is not None and triggers:
            rest = self._rest(calls, triggers[0])
            before = self._lark.up_to(triggers[0], [end], unquoted=True)
            options.append(f"{before} {rest}")
        return either(*options)

    # --- text and calls ------------------------------------------------------------------------

    def _rest(self, calls: CallFormat, trigger: str | None = None) -> str:
        """Return an expression for calls after a trigger, by default the first one."""
        trigger = trigger or calls.triggers[0]
        rest = calls.rule(self._lark, self._tools, self._rules.max_calls, trigger)
        return f"{rest} {self._lark.maybe(self._format.blanks_around_calls.end)}"

    def _body(self, *, is_open: bool, blank: str = "") -> str:
        """Return an expression for the turn after the thinking.

        Args:
            is_open: the delimiter that starts the text has been written.
            blank: blanks before that delimiter.
        """
        content = self._format.content
        if content is None:
            return self._plain_body()
        begin = self._lark.exactly(blank + content.begin)
        opening = "" if is_open else begin
        options = []
        if not self._rules.must_call:
            options.append(f"{opening} {self._delimited_answer(content.end.strip())}")
        if self._calls is not None:
            rest = self._rest(self._calls)
            trigger = self._lark.exactly(self._calls.triggers[0])
            before = f"{opening} {self._lark.up_to(content.end.strip())}"
            before = before if is_open else f"( {before} )?"
            lead = self._lark.maybe(self._format.before_calls)
            options.append(f"{before} {lead} {trigger} {rest}")
        return either(*options)

    def _delimited_answer(self, end: str) -> str:
        """Return an expression for the answer and its closing delimiter, or the end of the turn."""
        answer = self._rules.answer([end])
        if self._rules.has_form or self._lark.is_token(end):
            return f"{answer} ( {self._lark.exactly(end)} )?"
        # With two terminals the lexer could not tell the text from the start of the delimiter.
        return either(answer, self._lark.up_to(end))

    def _plain_body(self) -> str:
        calls = self._calls
        if calls is None:
            return self._rules.answer(self._format.triggers)
        trigger = self._lark.exactly(calls.triggers[0])
        rest = self._rest(calls)
        if self._rules.must_call:
            return f"{self._lark.maybe(self._format.blanks_around_calls.begin)} {trigger} {rest}"
        if self._rules.has_form:
            called = f"{self._lark.maybe(self._format.before_calls)} {trigger} {rest}"
            return either(self._rules.answer(calls.triggers), called)
        unmarked = UnmarkedRules(
            self._lark,
            self._tools,
            self._rules.max_calls,
            partial(self._texts, calls),
            is_restricted=len(self._request.tools) > len(self._tools),
        )
        options = [
            self._rules.answer(calls.triggers, unmarked.starts),
            *self._delimited_calls(calls, unmarked.starts, self._rules.not_first),
            unmarked.answer(),
        ]
        if calls.triggers[0] == "[" and len(self._tools) > MAX_PYTHON_TOOLS:
            options.append(f"{trigger} {rest}")
        return either(*options)

    def _texts(self, calls: CallFormat, starts: Sequence[str]) -> str:
        """Return an expression for text with or without calls after it.

        Args:
            calls: the call format.
            starts: terminals that the text does not start with.
        """
        delimiters = [delimiter for delimiter in calls.triggers if not is_bracket(delimiter)]
        return either(
            self._lark.without(delimiters, (), starts), *self._delimited_calls(calls, starts)
        )

    def _delimited_calls(
        self, calls: CallFormat, starts: Sequence[str], not_first: Sequence[str] = ()
    ) -> Iterator[str]:
        """Yield expressions for text and calls after a delimiter.

        Args:
            calls: the call format.
            starts: terminals that the text does not start with.
            not_first: delimiters that the text does not start with.
        """
        delimiters = [delimiter for delimiter in calls.triggers if not is_bracket(delimiter)]
        for delimiter in delimiters:
            others = [other for other in delimiters if other != delimiter]
            before = self._lark.up_to(delimiter, others, not_first, starts)
            rest = self._lark.add(f"rest_{name_part(delimiter)}", self._rest(calls, delimiter))
            yield f"{before} {rest}"
