"""Calls whose name is between delimiters; arguments are one JSON object or written one by one.

As JSON: DeepSeek V3 and R1, Kimi K2, Mistral Small 3.2, Ministral, Functionary 3.1 … One by one:
Qwen3-Coder, Qwen 3.5, Nemotron 3, GLM 4.5, MiniMax M2, Seed-OSS, DeepSeek V3.2 and V4, Kimi K3 …
The delimiters come from the template (``analysis.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kronk_agent.chat.dialects.formats.arguments import ArgumentDelimiters
from kronk_agent.chat.dialects.formats.call_format import (
    Tools,
    filled,
    one_of,
    optional_newline_delimiter,
    repeated,
    slotted,
)
from kronk_agent.chat.dialects.formats.tagged_reading import WORDS_BEFORE_NAME, CallReader
from kronk_agent.chat.dialects.formats.values import (
    Parameter,
    any_parameter,
    kind_of,
    parameters_of,
    required_of,
)
from kronk_agent.chat.dialects.grammar.lark import Lark, either, quoted
from kronk_agent.chat.dialects.grammar.schema import arguments_schema
from kronk_agent.chat.dialects.parsing.output import Output
from kronk_agent.chat.dialects.parsing.reader import Delimiters, Reading, StreamReader
from kronk_agent.messages import JsonValue, ToolCall
from kronk_agent.tools import Tool

_MAX_PARAMETERS: Final = 60
"""Parameters of a tool that may come in any order; llguidance counts them in 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedCalls:
    """Tagged calls and their delimiters.

    The calls of a turn are ``section_begin call (separator call)* section_end``, and a call is
    ``before_name NAME before_arguments ARGUMENTS after_arguments``.
    """

    trigger: str
    """Start of ``section_begin + before_name``."""
    section_begin: str = ""
    before_name: str
    before_arguments: str
    arguments: ArgumentDelimiters | None = None
    """None: the arguments are a JSON object."""
    after_arguments: str
    separator: str = ""
    section_end: str = ""
    first_index: int = 0
    other_triggers: tuple[str, ...] = ()
    """Triggers of models that leave out the first delimiter."""
    starts_turn: bool = False

    @property
    def triggers(self) -> tuple[str, ...]:
        """All triggers, the template's first."""
        return (self.trigger, *self.other_triggers)

    # --- writing -------------------------------------------------------------------------------

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Write calls as the template does."""
        written = (
            filled(f"{self.before_name}{call.name}{self.before_arguments}", i, call.id)
            + self._written_arguments(call)
            + filled(self.after_arguments, i, call.id)
            for i, call in enumerate(calls, self.first_index)
        )
        return f"{self.section_begin}{self.separator.join(written)}{self.section_end}"

    def _written_arguments(self, call: ToolCall) -> str:
        delimiters = self.arguments
        if delimiters is None:
            return call.arguments
        values: dict[str, JsonValue] = json.loads(call.arguments)
        return delimiters.separator.join(
            f"{delimiters.key_begin}{key}{delimiters.value_begin[kind_of(value)]}{_plain(value)}"
            f"{delimiters.value_end}"
            for key, value in values.items()
        )

    # --- the grammar ---------------------------------------------------------------------------

    def rule(self, lark: Lark, tools: Tools, max_calls: int, trigger: str) -> str:
        """Return an expression for the calls after their trigger."""
        bodies = [
            lark.add(f"call_{i}", self._call_rule(lark, tool, i))
            for i, tool in enumerate(tools.values())
        ]
        call = one_of(lark, bodies, "call")
        opening = (self.section_begin + self.before_name).partition(trigger)[2]
        separator = slotted(lark, self.separator)
        following = f"{separator} {slotted(lark, self.before_name)}"
        after = optional_newline_delimiter(lark, self.after_arguments)
        end = slotted(lark, self.section_end)
        end = end if trigger == self.trigger or not end else f"( {end} )?"
        calls = repeated(f"{call} {after}", f"{following} {call} {after}", max_calls, separator)
        return f"{slotted(lark, opening)} {calls} {end}"

    def _call_rule(self, lark: Lark, tool: Tool, number: int) -> str:
        head = slotted(lark, tool.name + self.before_arguments)
        if self.arguments is None:
            return f"{head} {lark.json(arguments_schema(tool))}"
        return f"{head} {self._arguments_rule(lark, tool, f'arguments_{number}')}"

    def _arguments_rule(self, lark: Lark, tool: Tool, name: str) -> str:
        """Return an expression for the arguments in any order; required ones must be present."""
        assert self.arguments is not None
        required = required_of(tool)
        parameters = {**{key: any_parameter(key) for key in required}, **parameters_of(tool)}
        rules = {
            key: lark.add(f"{name}_{i}", self._argument_rule(lark, self.arguments, parameter))
            for i, (key, parameter) in enumerate(parameters.items())
        }
        if not rules:
            return ""
        separator = slotted(lark, self.arguments.separator)
        if len(rules) > _MAX_PARAMETERS:
            options = (r if key in required else f"( {r} )?" for key, r in rules.items())
            return f" {separator} ".join(options)
        needed = [f"bit_set({i})" for i, key in enumerate(rules) if key in required]
        lines = [f'"" %if {_all_of(needed)}']
        for i, rule in enumerate(rules.values()):
            lines.append(f"{rule} {name}::set_bit({i}) %if bit_clear({i})")
        lark.add(f"{name}::_", "\n  | ".join(lines))
        return f"{name}::0"

    def _argument_rule(
        self, lark: Lark, delimiters: ArgumentDelimiters, parameter: Parameter
    ) -> str:
        key = slotted(lark, delimiters.key_begin + parameter.name)
        if not delimiters.says_type:
            begin = lark.exactly(delimiters.value_begin["string"])
            return f"{key} {begin} {either(*self._value_options(lark, delimiters, parameter))}"
        by_begin: dict[str, list[str]] = {}
        for kind in sorted(parameter.kinds):
            by_begin.setdefault(delimiters.value_begin[kind], []).append(kind)
        options = []
        for begin, kinds in by_begin.items():
            narrowed = parameter.narrowed(kinds)
            if narrowed is not None:
                values = either(*self._value_options(lark, delimiters, narrowed))
                options.append(f"{lark.exactly(begin)} {values}")
        return f"{key} {either(*options)}"

    def _value_options(
        self, lark: Lark, delimiters: ArgumentDelimiters, parameter: Parameter
    ) -> Iterator[str]:
        end = delimiters.value_end + delimiters.separator
        following = [m for m in (delimiters.key_begin.strip(), self.after_arguments.strip()) if m]
        yield parameter.rule(lark, end, following)
        if delimiters.has_python_words:
            yield from (f"{quoted(word)} {lark.exactly(end)}" for word in parameter.python_words())

    # --- reading -------------------------------------------------------------------------------

    def read(
        self, reader: StreamReader, output: Output, tools: Tools, trigger: str
    ) -> Reading[bool]:
        """Read the calls after their trigger; false if none follow."""
        start = reader.hold()
        has_begun = False
        prefix = WORDS_BEFORE_NAME.sub("", self.before_name)
        opening = (self.section_begin + prefix).partition(trigger)[2]
        is_call: bool | None
        if self.section_end.strip() and self.section_begin and trigger == self.trigger:
            is_call = yield from self._find_call(reader, prefix, opening)
        else:
            is_call = yield from reader.take_loosely(opening)
        while is_call:
            call = CallReader(self, reader, output, tools)
            is_whole = yield from call.read()
            has_begun = has_begun or call.has_begun
            if not is_whole:
                break
            is_call = yield from reader.take_loosely(self.separator + prefix)
        if not has_begun and is_call is not None:
            reader.rewind(start)
            return False
        if self.section_end.strip():
            yield from reader.take_loosely(self.section_end)
        reader.commit()
        return True

    def _find_call(self, reader: StreamReader, prefix: str, opening: str) -> Reading[bool | None]:
        """Skip to the first call of a section; None if the section has no call."""
        if (yield from reader.take_loosely(opening)):
            return True
        found = yield from reader.until(
            Delimiters([prefix.strip(), self.section_end.strip()]), lambda _: None
        )
        if found is None:
            return False
        return True if found == prefix.strip() else None


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _all_of(conditions: Sequence[str]) -> str:
    """Return the conjunction of conditions in a parametric rule, whose ``and`` takes two."""
    if not conditions:
        return "true"
    first, *others = conditions
    return f"and({first}, {_all_of(others)})" if others else first
