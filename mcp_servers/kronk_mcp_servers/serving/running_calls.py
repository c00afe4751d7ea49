"""The active requests, each in its own task."""

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

from kronk_mcp_servers.serving.listeners import Listeners
from kronk_mcp_servers.serving.request_context import MessageContext, RequestContext

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result", bound=t.Result)
Work: TypeAlias = Callable[[RequestContext], Awaitable[t.Result]]

WAIT_SECONDS = 600.0
"""Seconds a request waits for a client to return with answers."""
TASK_SECONDS = 4 * 3600.0
"""Lifetime of a task and its result from creation.

Results can be dropped earlier to make space for newer ones. After this time a running task is
cancelled.
"""
MAX_KEPT = 1000
"""Maximum number of waiting requests and tasks."""


class RunningCalls:
    """Runs the work of requests, and keeps it running after the message was answered.

    Lives as long as the server; each transport opens one.
    """

    def __init__(self, tasks: TaskGroup, listeners: Listeners) -> None:
        self.listeners = listeners
        self._tasks = tasks
        self._kept: dict[str, RequestContext] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, listeners: Listeners) -> AsyncIterator[RunningCalls]:
        """Open the task group in which requests run."""
        async with anyio.create_task_group() as tasks:
            yield cls(tasks, listeners)
            tasks.cancel_scope.cancel()

    async def answer(
        self,
        context: MessageContext,
        work: Work,
        *,
        answers: Mapping[str, t.InputResponse] | None,
        state: str | None,
        task_after_seconds: float | None = None,
    ) -> t.Result | RequestContext:
        """Start or continue the work, as far as possible with this message.

        Args:
            context: the message.
            work: computes the result.
            answers: answers that the client sends.
            state: identifies the request to continue; None starts a new one.
            task_after_seconds: time until the request becomes a task; None means never.

        Returns:
            The result, or the questions to answer first, or the request itself, which is now a
            task.

        Raises:
            MCPError: the work failed, or the request to continue has ended.
        """
        if state is None:
            call = RequestContext(context, answers or {})
            with call.answering(context):  # before the work starts
                self._tasks.start_soon(self._run, call, work)
                return await self._follow(call, task_after_seconds)
        call = self._resume(state, context)
        with call.answering(context):
            call.give(answers or {})
            return await self._follow(call, task_after_seconds)

    def task(self, task_id: str, context: MessageContext) -> RequestContext:
        """Return the task with this ID.

        Raises:
            MCPError: the caller has no such task.
        """
        call = self._kept.get(task_id)
        if call is None or not call.is_task or call.principal != authenticated_principal(context):
            raise MCPError(t.INVALID_PARAMS, f"unknown task {task_id[:64]!r}")
        return call

    async def _follow(
        self, call: RequestContext, task_after_seconds: float | None
    ) -> t.Result | RequestContext:
        wait = math.inf if task_after_seconds is None else task_after_seconds
        try:
            with anyio.move_on_after(wait):
                await call.outcome()
        except anyio.get_cancelled_exc_class():
            call.scope.cancel()  # the client cancelled or disconnected
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

    def _keep(self, call: RequestContext, seconds: float) -> None:
        if len(self._kept) >= MAX_KEPT and not self._forget_oldest_result():
            call.scope.cancel()
            raise MCPError(t.INTERNAL_ERROR, "too many waiting requests: try again later")
        self._kept[call.id] = call
        call.scope.deadline = anyio.current_time() + seconds

    def _forget_oldest_result(self) -> bool:
        """Drop the oldest result; returns False if all requests are still active."""
        oldest = next((call for call in self._kept.values() if call.is_over), None)
        if oldest is None:
            return False
        del self._kept[oldest.id]
        oldest.forgotten.set()
        return True

    def _resume(self, state: str, context: MessageContext) -> RequestContext:
        call = self._kept.get(state)
        if call is None or call.is_task or call.principal != authenticated_principal(context):
            raise MCPError(t.INVALID_PARAMS, "the request to continue has ended: start again")
        del self._kept[state]
        call.scope.deadline = math.inf
        return call

    async def _run(self, call: RequestContext, work: Work) -> None:
        result: t.Result | None = None
        error: t.ErrorData | None = None
        with call.scope:
            try:
                result = await work(call)
            except MCPError as failure:
                error = failure.error
            except Exception:  # boundary: one failed request must not stop the server
                logger.exception("a request failed")
                error = t.ErrorData(code=t.INTERNAL_ERROR, message="internal error; see the log")
        call.end(result, error)
        if call.is_task:
            with anyio.CancelScope(deadline=call.scope.deadline):
                await call.forgotten.wait()
        self._kept.pop(call.id, None)


_CANCELLED = t.ErrorData(code=t.INTERNAL_ERROR, message="the call was cancelled")
