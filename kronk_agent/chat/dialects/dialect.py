"""What a dialect is: how one family of models writes tool calls and thinking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kronk_agent.messages import Delta, Message
from kronk_agent.model import ToolChoice
from kronk_agent.tool import Tool


class Parser(Protocol):
    """Reads one turn as it is generated. However the text is split, the deltas add up the same."""

    @property
    def num_calls(self) -> int:
        """Complete calls so far."""
        ...

    @property
    def is_inside_call(self) -> bool:
        """Has a call begun that is not complete?"""
        ...

    @property
    def is_thinking(self) -> bool: ...

    def push(self, text: str) -> list[Delta]:
        """The deltas this text adds."""
        ...

    def finish(self) -> list[Delta]:
        """The deltas of what was held back; a call that was cut off gets no ``ToolCallEnd``."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """How one turn is to be generated and read."""

    grammar: str | None
    """In llguidance's Lark; None leaves the model free."""
    parser: Parser


class Dialect(Protocol):
    """How one family of models writes tool calls and thinking."""

    @property
    def name(self) -> str: ...

    def arrange(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> tuple[Sequence[Message], Sequence[Tool]]:
        """What the template is to render for these messages and tools."""
        ...

    def begin_turn(
        self, prompt: str, tools: Sequence[Tool], choice: ToolChoice, *, parallel: bool
    ) -> Turn:
        """The grammar and a fresh parser for the turn after this prompt."""
        ...
