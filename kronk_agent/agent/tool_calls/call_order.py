"""The execution order of the tool calls of one turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import anyio

from kronk_agent.messages import ToolResult

ParallelTools: TypeAlias = Literal["auto", "always", "never"]
"""Concurrency of the calls of one turn.

``auto``: calls of read-only tools; any other call waits for the calls before it, and the calls
after it wait for it.
"""


@dataclass(slots=True, eq=False)
class ScheduledCall:
    """A call with its dependencies on other calls of the turn."""

    key: str
    """Equal for calls of the same tool with the same arguments."""
    is_read_only: bool
    after: tuple[ScheduledCall, ...]
    """Calls that must finish before this one starts."""
    duplicate_of: ScheduledCall | None
    """An identical call of the same turn, which is executed instead."""
    result: ToolResult | None = None
    """None until the call finishes; stays None if it was not executed."""
    _over: anyio.Event = field(default_factory=anyio.Event)

    def end(self) -> None:
        """Mark the call as finished, so that calls waiting for it start."""
        self._over.set()

    async def wait_until_over(self) -> None:
        """Wait until the call is finished."""
        await self._over.wait()

    async def wait_for_turn(self) -> None:
        """Wait until every call before this one is finished."""
        for call in self.after:
            await call.wait_until_over()


class CallOrder:
    """Determines the dependencies of a turn's calls, one call at a time."""

    def __init__(self, mode: ParallelTools = "auto") -> None:
        self._mode = mode
        self._calls: list[ScheduledCall] = []

    def add(self, key: str, *, is_read_only: bool) -> ScheduledCall:
        """Schedule the next call of the turn.

        It is a duplicate of an earlier identical call if no call between them may have side
        effects.
        """
        call = ScheduledCall(key, is_read_only, self._before(is_read_only), self._same(key))
        self._calls.append(call)
        return call

    def _before(self, is_read_only: bool) -> tuple[ScheduledCall, ...]:
        if self._mode == "always":
            return ()
        if self._mode == "never" or not is_read_only:
            return tuple(self._calls)
        return tuple(call for call in self._calls if not call.is_read_only)

    def _same(self, key: str) -> ScheduledCall | None:
        for call in reversed(self._calls):
            if call.key == key:
                return call.duplicate_of or call
            if not call.is_read_only:
                return None
        return None
