"""What a dialect is: how one family of models writes tool calls and thinking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kronk_agent.chat.dialects.grammar.turn_grammar import TurnGrammar
from kronk_agent.messages import Delta, Message, ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.tools import Tool


class TurnParserProtocol(Protocol):
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

    def finish(self, *, is_cut: bool = False) -> list[Delta]:
        """The deltas of what was held back; a call that was cut off gets no ``ToolCallEnd``.

        ``is_cut`` says that the model would have gone on, had it been let.
        """
        ...


@dataclass(frozen=True, slots=True)
class DialectTurn:
    """How one turn is to be generated and read."""

    parser: TurnParserProtocol
    """Has read what the prompt has begun of the turn."""
    write_grammar: Callable[[], TurnGrammar | None]
    begun: tuple[Delta, ...] = ()
    """What that was: the text and the thinking that are in the prompt already."""
    thought_end: str = ""
    """The text that ends the thinking, where the model thinks."""

    @property
    def grammar(self) -> TurnGrammar | None:
        """What may come; None leaves the model free."""
        return self.write_grammar()


class Dialect(Protocol):
    """How one family of models writes tool calls and thinking."""

    @property
    def name(self) -> str: ...

    @property
    def writes_calls(self) -> bool:
        """Does the model's own template show calls? If not, ``arrange`` writes them as text."""
        ...

    def prepare_messages(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> tuple[Sequence[Message], Sequence[Tool]]:
        """What the template is to render for these messages and tools."""
        ...

    def continue_message(self, generation_prompt: str, reasoning: str, content: str) -> str:
        """How a message of the assistant begins that has this much of it: what takes the place
        of the generation prompt ``opening``."""
        ...

    def start_turn(self, generation_prompt: str, request: ChatRequest) -> DialectTurn:
        """The grammar and a fresh parser for a turn.

        Args:
            opening: what the prompt has after the last message, which begins the turn.
            request: what is asked for.
        """
        ...

    def write(self, calls: Sequence[ToolCall]) -> str:
        """The text of these calls, as a model would write them."""
        ...
