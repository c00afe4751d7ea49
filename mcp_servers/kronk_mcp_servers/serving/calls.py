"""The calls that are under way, each in a task of its own."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias, TypeVar

import anyio
import mcp.types as t
from anyio.abc import TaskGroup
from mcp import MCPError
from mcp.server.request_state import authenticated_principal

from kronk_mcp_servers.serving.call import Call, Context
from kronk_mcp_servers.serving.listeners import Listeners

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result", bound=t.Result)
Work: TypeAlias = Callable[[Call], Awaitable[t.Result]]

WAIT_SECONDS = 600.0
"""How long a call waits for a client to come back with what was asked for."""
TASK_SECONDS = 4 * 3600.0
"""From a task's creation: until then its result is kept, unless newer ones need the room; then it
is cancelled and forgotten."""
MAX_KEPT = 1000
"""Calls that wait for their clients, and tasks, together."""


class Calls:
    """Runs work for requests, and keeps what goes on after the message was answered.

    Lives as long as the server does; each transport opens one.
    """

    def __init__(self, tasks: TaskGroup, listeners: Listeners) -> None:
        self.listeners = listeners
        self._tasks = tasks
        self._kept: dict[str, Call] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, listeners: Listeners) -> AsyncIterator[Calls]:
        async with anyio.create_task_group() as tasks:
            yield cls(tasks, listeners)
            tasks.cancel_scope.cancel()

    async def answer(
        self,
        context: Context,
        work: Work,
        *,
        answers: Mapping[str, t.InputResponse] | None,
        state: str | None,
        task_after_seconds: float | None = None,
    ) -> t.Result | Call:
        """Do the work, or go on with it, as far as this message brings it.

        Args:
            answers: what the client brings.
            state: which call it goes on with; None: it is a new one.
            task_after_seconds: after that long it goes on as a task; None: never.

        Returns:
            The result, a list of what is needed first, or the call itself, which is a task now.

        Raises:
            MCPError: the work failed, or what it goes on with is over.
        """
        if state is None:
            call = Call(context, answers or {})
            with call.answering(context):  # before the work begins
                self._tasks.start_soon(self._do, call, work)
                return await self._follow(call, task_after_seconds)
        call = self._take(state, context)
        with call.answering(context):
            call.give(answers or {})
            return await self._follow(call, task_after_seconds)

    def task(self, task_id: str, context: Context) -> Call:
        """The task of that id.

        Raises:
            MCPError: the caller has none.
        """
        call = self._kept.get(task_id)
        if call is None or not call.is_task or call.principal != authenticated_principal(context):
            raise MCPError(t.INVALID_PARAMS, f"there is no task {task_id[:64]!r}")
        return call

    async def _follow(self, call: Call, task_after_seconds: float | None) -> t.Result | Call:
        wait = math.inf if task_after_seconds is None else task_after_seconds
        try:
            with anyio.move_on_after(wait):
                await call.outcome()
        except anyio.get_cancelled_exc_class():
            call.scope.cancel()  # the client gave up, or is gone
            raise
        if call.result is not None:
            return call.result
        if call.is_over:
            raise MCPError.from_error_data(call.error or _CANCELLED)
        if task_after_seconds == 0 or not call.pending:
            self._keep(call, TASK_SECONDS)
            call.is_task = True
            return call
        self._keep(call, WAIT_SECONDS)
        return t.InputRequiredResult(input_requests=dict(call.pending), request_state=call.id)

    def _keep(self, call: Call, seconds: float) -> None:
        if len(self._kept) >= MAX_KEPT and not self._forget_oldest_result():
            call.scope.cancel()
            raise MCPError(t.INTERNAL_ERROR, "too many calls are waiting: try again later")
        self._kept[call.id] = call
        call.scope.deadline = anyio.current_time() + seconds

    def _forget_oldest_result(self) -> bool:
        """Make room; False where all calls are still under way."""
        oldest = next((call for call in self._kept.values() if call.is_over), None)
        if oldest is None:
            return False
        del self._kept[oldest.id]
        oldest.forgotten.set()
        return True

    def _take(self, state: str, context: Context) -> Call:
        call = self._kept.get(state)
        if call is None or call.is_task or call.principal != authenticated_principal(context):
            raise MCPError(t.INVALID_PARAMS, "the call that this goes on with is over: call again")
        del self._kept[state]
        call.scope.deadline = math.inf
        return call

    async def _do(self, call: Call, work: Work) -> None:
        result: t.Result | None = None
        error: t.ErrorData | None = None
        with call.scope:
            try:
                result = await work(call)
            except MCPError as failure:
                error = failure.error
            except Exception:  # boundary: one request fails, and the server lives on
                logger.exception("a request failed")
                error = t.ErrorData(code=t.INTERNAL_ERROR, message="internal error; see the log")
        call.end(result, error)
        if call.is_task:
            with anyio.CancelScope(deadline=call.scope.deadline):
                await call.forgotten.wait()
        self._kept.pop(call.id, None)


_CANCELLED = t.ErrorData(code=t.INTERNAL_ERROR, message="the call was cancelled")
