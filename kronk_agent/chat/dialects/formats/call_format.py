"""How a family of models writes calls, as a promise every format keeps."""

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
"""What may be called, by name."""

INDEX: Final = "\ue000"
"""Stands in a mark for the number of the call in its turn."""
ID: Final = "\ue001"
"""Stands in a mark for the call's id."""
_SLOT: Final = re.compile(f"([{INDEX}{ID}])")


class CallFormat(Protocol):
    """Writes calls, says in a grammar how they are written, and reads them as they come."""

    @property
    def triggers(self) -> tuple[str, ...]:
        """What calls begin with. Where free text shows one, calls follow; the first is the one
        a grammar makes the model write."""
        ...

    @property
    def starts_turn(self) -> bool:
        """Do calls only come where nothing was said before?"""
        ...

    def write(self, calls: Sequence[ToolCall]) -> str:
        """The text of these calls, as a model would write them."""
        ...

    def rule(self, lark: Lark, tools: Tools, max_calls: int, trigger: str) -> str:
        """An expression for one call or more: all that comes after a trigger."""
        ...

    def read(
        self, reader: StreamReader, output: Output, tools: Tools, trigger: str
    ) -> Reading[bool]:
        """Read calls whose trigger has been read; False if there were none, so it was mere text.

        What is not complete when the text ends gets no ``ToolCallEnd``.
        """
        ...


@dataclass(frozen=True, slots=True)
class DelimiterPair:
    """The marks around something: what it begins with and ends with."""

    begin: str
    end: str


def is_bracket(trigger: str) -> bool:
    """Is this no mark, but a bracket a call may begin with where a turn begins?"""
    return trigger in ("{", "[")


def slotted(lark: Lark, delimiter: str) -> str:
    """An expression for a mark with slots in it."""
    slots = {INDEX: "/[0-9]{1,3}/", ID: "/[A-Za-z0-9]{9}/"}
    parts = (slots.get(part) or lark.exactly(part) for part in _SLOT.split(delimiter) if part)
    return " ".join(parts)


def filled(delimiter: str, index: int, id: str) -> str:
    """A mark with its slots filled."""
    return delimiter.replace(INDEX, str(index)).replace(ID, id)


def without_slots(delimiter: str) -> list[str]:
    """The pieces of a mark between its slots."""
    return [part for part in _SLOT.split(delimiter) if part not in (INDEX, ID, "")]


def one_of(lark: Lark, rules: Sequence[str], name: str) -> str:
    """A rule for one of several."""
    return lark.add(name, either(*rules))


def repeated(first: str, following: str, max_calls: int, separator: str = "") -> str:
    """One call or more.

    Args:
        first: an expression for the first call.
        following: one for each call behind it, what is between two calls included.
        max_calls: in one turn.
        separator: one for the beginning of ``following`` that commits the model to no further call.
    """
    if max_calls == 1:
        return first
    end = f"( {separator} )?" if separator else ""
    return f"{first} ( {following} ){{0,{max_calls - 1}}} {end}"


def optional_newline_delimiter(lark: Lark, delimiter: str) -> str:
    """A closing mark; models leave out the line break before it at times."""
    match = re.fullmatch(r"([\]}]*)(\n)(\S.*)", delimiter, re.DOTALL)
    if match is None or not lark.is_loose:
        return slotted(lark, delimiter)
    brackets, blank, rest = match.groups()
    return f"{lark.exactly(brackets)} {lark.maybe(blank)} {slotted(lark, rest)}"
