"""Protocol of call formats, and what they share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from kronk_agent.chat.dialects.grammar.lark import Lark, either
from kronk_agent.chat.dialects.parsing.output import Output
from kronk_agent.chat.dialects.parsing.reader import Reading, StreamReader
from kronk_agent.messages import ToolCall
from kronk_agent.tools import Tool

Tools: TypeAlias = Mapping[str, Tool]
"""Callable tools by name."""

INDEX: Final = "\ue000"
"""Placeholder in a delimiter for the call's number in its turn."""
ID: Final = "\ue001"
"""Placeholder in a delimiter for the call's id."""
_SLOT: Final = re.compile(f"([{INDEX}{ID}])")


class CallFormat(Protocol):
    """A notation of calls: writes them, adds them to a grammar, and parses them."""

    @property
    def triggers(self) -> tuple[str, ...]:
        """Texts that start calls, also within text.

        A grammar makes the model write the first one.
        """
        ...

    @property
    def starts_turn(self) -> bool:
        """True if calls occur only at the start of a turn."""
        ...

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Write calls as a model of the family would."""
        ...

    def rule(self, lark: Lark, tools: Tools, max_calls: int, trigger: str) -> str:
        """Return an expression for one or more calls, without their trigger.

        Args:
            lark: receives the rules.
            tools: the tools that may be called.
            max_calls: in one turn.
            trigger: the trigger that precedes the calls.
        """
        ...

    def read(
        self, reader: StreamReader, output: Output, tools: Tools, trigger: str
    ) -> Reading[bool]:
        """Read calls after their trigger; false if none follow, so the trigger was text.

        A call that the end of the text cuts off gets no ``ToolCallEnd``.
        """
        ...


@dataclass(frozen=True, slots=True)
class DelimiterPair:
    """Opening and closing delimiter."""

    begin: str
    end: str


def is_bracket(trigger: str) -> bool:
    """Return true if a trigger is a bare ``{`` or ``[``, not a delimiter."""
    return trigger in ("{", "[")


def slotted(lark: Lark, delimiter: str) -> str:
    """Return an expression for a delimiter with placeholders."""
    slots = {INDEX: "/[0-9]{1,3}/", ID: "/[A-Za-z0-9]{9}/"}
    parts = (slots.get(part) or lark.exactly(part) for part in _SLOT.split(delimiter) if part)
    return " ".join(parts)


def filled(delimiter: str, index: int, id: str) -> str:
    """Return a delimiter with its placeholders filled."""
    return delimiter.replace(INDEX, str(index)).replace(ID, id)


def without_slots(delimiter: str) -> list[str]:
    """Return the parts of a delimiter between its placeholders."""
    return [part for part in _SLOT.split(delimiter) if part not in (INDEX, ID, "")]


def one_of(lark: Lark, rules: Sequence[str], name: str) -> str:
    """Add a rule for one of several alternatives."""
    return lark.add(name, either(*rules))


def repeated(first: str, following: str, max_calls: int, separator: str = "") -> str:
    """Return an expression for one or more calls.

    Args:
        first: expression for the first call.
        following: expression for each further call, including the text between two calls.
        max_calls: in one turn.
        separator: expression for the start of ``following``; may also follow the last call.
    """
    if max_calls == 1:
        return first
    end = f"( {separator} )?" if separator else ""
    return f"{first} ( {following} ){{0,{max_calls - 1}}} {end}"


def optional_newline_delimiter(lark: Lark, delimiter: str) -> str:
    """Return an expression for a closing delimiter; in a loose grammar its line break is optional.

    Models sometimes leave it out.
    """
    match = re.fullmatch(r"([\]}]*)(\n)(\S.*)", delimiter, re.DOTALL)
    if match is None or not lark.is_loose:
        return slotted(lark, delimiter)
    brackets, blank, rest = match.groups()
    return f"{lark.exactly(brackets)} {lark.maybe(blank)} {slotted(lark, rest)}"
