"""Protocols of a dialect: how one model family writes thinking and tool calls.

A dialect is what vLLM calls a tool parser and llama.cpp a chat format; here it also writes the
grammar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kronk_agent.chat.dialects.grammar.turn_grammar import TurnGrammar
from kronk_agent.messages import Delta, Message, ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.tools import Tool


class TurnParserProtocol(Protocol):
    """Incremental parser of one turn. However the text is split, the deltas add up to the same."""

    @property
    def num_calls(self) -> int:
        """Complete calls so far."""
        ...

    @property
    def is_inside_call(self) -> bool:
        """True if a call has started and is not complete."""
        ...

    @property
    def is_thinking(self) -> bool:
        """True while thinking is read."""
        ...

    def push(self, text: str) -> list[Delta]:
        """Add text and return its deltas."""
        ...

    def finish(self, *, is_cut: bool = False) -> list[Delta]:
        """End the turn and return the deltas of held text.

        An incomplete call gets no ``ToolCallEnd``.

        Args:
            is_cut: True if the model was stopped before it ended the turn.
        """
        ...


@dataclass(frozen=True, slots=True)
class DialectTurn:
    """Parser and grammar of one turn."""

    parser: TurnParserProtocol
    """Has already read the start of the turn that is in the prompt."""
    write_grammar: Callable[[], TurnGrammar | None]
    """Writes the turn's grammar."""
    begun: tuple[Delta, ...] = ()
    """Deltas of the text and thinking that are already in the prompt."""
    thought_end: str = ""
    """Text that ends the thinking; empty if the model does not think."""

    @property
    def grammar(self) -> TurnGrammar | None:
        """The turn's grammar, written anew at each access; None leaves the model free."""
        return self.write_grammar()


class Dialect(Protocol):
    """Notation of thinking and tool calls in one model family.

    What vLLM calls a tool parser and llama.cpp a chat format.
    """

    @property
    def name(self) -> str:
        """Name shown to users."""
        ...

    @property
    def writes_calls(self) -> bool:
        """True if the model's own template renders calls.

        If not, ``prepare_messages`` writes them as text.
        """
        ...

    def prepare_messages(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> tuple[Sequence[Message], Sequence[Tool]]:
        """Return the messages and tools that the template is to render for these."""
        ...

    def continue_message(self, generation_prompt: str, reasoning: str, content: str) -> str:
        """Write the start of an assistant message that the model is to continue.

        Args:
            generation_prompt: the end of the prompt, which the result replaces.
            reasoning: thinking of the message so far.
            content: text of the message so far.
        """
        ...

    def start_turn(self, generation_prompt: str, request: ChatRequest) -> DialectTurn:
        """Return the grammar and a fresh parser for a turn.

        Args:
            generation_prompt: the part of the prompt after the last message, which starts the turn.
            request: tools, tool choice, response format and thinking of the turn.
        """
        ...

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Write calls as a model of the family would."""
        ...
