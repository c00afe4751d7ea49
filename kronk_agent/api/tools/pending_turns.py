"""Turns that wait for their client's tools, where more happened than the client gets to see.

A turn may call tools of ours and of the client. Ours are carried out, the client gets its own calls
and comes back with the results; to go on, the model needs both. The wire has no place for ours, so
they are kept here. A turn that is no longer known goes on with what the client has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from kronk_agent.api.middleware.identity import current_client
from kronk_agent.messages import Message, RunFinished, ToolCall

_MAX_TURNS = 1000


class PendingTurns:
    """The most recent ones, by their caller and the call the client is to carry out first."""

    def __init__(self) -> None:
        self._turns: OrderedDict[tuple[str, ToolCall], tuple[Message, ...]] = OrderedDict()

    def keep(self, finished: RunFinished, calls: Sequence[ToolCall]) -> None:
        """Remember what a run added that ended with these calls for the client."""
        if not calls or finished.messages == (Message.assistant("", tuple(calls)),):
            return
        key = (current_client().id, calls[0])
        self._turns[key] = finished.messages
        self._turns.move_to_end(key)
        if len(self._turns) > _MAX_TURNS:
            self._turns.popitem(last=False)

    def restore(self, messages: Sequence[Message]) -> list[Message]:
        """The conversation, with each turn that is known as it really was."""
        whole: list[Message] = []
        caller = current_client().id
        for message in messages:
            first = message.tool_calls[0] if message.tool_calls else None
            known = None if first is None else self._turns.get((caller, first))
            whole += (message,) if known is None else known
        return whole
