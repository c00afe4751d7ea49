"""Server-side state of turns that mix client and server tool calls.

Server tools are executed at once; the client executes its own calls and comes back with their
results. To continue, the model needs both, but no wire format carries the server's calls, so they
are kept here. If a turn has been dropped, the model continues with what the client sends.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from kronk_agent.api.middleware.identity import current_client
from kronk_agent.messages import Message, RunFinished, ToolCall

_MAX_TURNS = 1000


class PendingTurns:
    """The most recent pending turns, by client and first client tool call."""

    def __init__(self) -> None:
        self._turns: OrderedDict[tuple[str, ToolCall], tuple[Message, ...]] = OrderedDict()

    def keep(self, finished: RunFinished, calls: Sequence[ToolCall]) -> None:
        """Keep the messages of a run that ended with these client tool calls."""
        if not calls or finished.messages == (Message.assistant("", tuple(calls)),):
            return
        key = (current_client().id, calls[0])
        self._turns[key] = finished.messages
        self._turns.move_to_end(key)
        if len(self._turns) > _MAX_TURNS:
            self._turns.popitem(last=False)

    def restore(self, messages: Sequence[Message]) -> list[Message]:
        """Return the conversation with its pending turns completed."""
        completed: list[Message] = []
        client = current_client().id
        for message in messages:
            first = message.tool_calls[0] if message.tool_calls else None
            pending = None if first is None else self._turns.get((client, first))
            completed += (message,) if pending is None else pending
        return completed
