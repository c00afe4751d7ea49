"""Collects the deltas of a turn while it is parsed."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from kronk_agent.messages import (
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from kronk_agent.tools.arguments import parse_json


def new_call_id() -> str:
    """Return a random id for a call."""
    return f"call_{secrets.token_hex(12)}"


class Output:
    """Deltas of a turn that have not been taken yet.

    Args:
        new_id: makes the id of each call.
    """

    def __init__(self, new_id: Callable[[], str] = new_call_id) -> None:
        self.num_calls = 0
        """Complete calls so far."""
        self.is_inside_call = False
        """True if a call has started and is not complete."""
        self._new_id = new_id
        self._index = -1
        self._arguments: list[str] = []
        self._deltas: list[Delta] = []

    def take(self) -> list[Delta]:
        """Return and forget the collected deltas."""
        deltas, self._deltas = self._deltas, []
        return deltas

    def text(self, text: str) -> None:
        """Add text of the answer."""
        if text:
            self._deltas.append(TextDelta(text))

    def reasoning(self, text: str) -> None:
        """Add text of the thinking."""
        if text:
            self._deltas.append(ReasoningDelta(text))

    def begin_call(self, name: str) -> None:
        """Start a call."""
        self._index += 1
        self._arguments = []
        self.is_inside_call = True
        self._deltas.append(ToolCallStart(self._index, self._new_id(), name))

    def arguments(self, fragment: str) -> None:
        """Add a fragment of the call's arguments as JSON."""
        if fragment:
            self._arguments.append(fragment)
            self._deltas.append(ToolCallArguments(self._index, fragment))

    def end_call(self) -> None:
        """Complete the call; if its arguments are not a JSON object, it stays incomplete."""
        if not _is_object("".join(self._arguments)):
            return
        self.is_inside_call = False
        self.num_calls += 1
        self._deltas.append(ToolCallEnd(self._index))


def _is_object(text: str) -> bool:
    try:
        return isinstance(parse_json(text), dict)
    except ValueError:
        return False
