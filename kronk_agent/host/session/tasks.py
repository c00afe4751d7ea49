"""Tool calls that run as tasks: the extension ``io.modelcontextprotocol/tasks`` (SEP-2663).

A server may answer ``tools/call`` with a task instead of a result. The client then polls it
(``tasks/get``) until it is done, sends the input it asks for (``tasks/update``), and cancels it
(``tasks/cancel``) when the call is cancelled. The SDK does not implement this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import anyio
import mcp.types as t
from mcp import MCPError
from mcp.client import (
    ClaimContext,
    ClientExtension,
    ClientRequestContext,
    ClientSession,
    ResultClaim,
)
from pydantic import TypeAdapter

from kronk_agent.host.transport.connection_state import current_request

POLL_SECONDS = 1.0
"""Polling interval if the server does not give one."""
SHORTEST_POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 10.0
_CANCEL_SECONDS = 2.0


class TaskCreated(t.Result):
    """Answer to ``tools/call`` that announces a task instead of a result."""

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    poll_interval_ms: int | None = None


class _TaskState(t.Result):
    task_id: str
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    status_message: str | None = None
    poll_interval_ms: int | None = None
    result: dict[str, Any] | None = None
    error: t.ErrorData | None = None
    input_requests: dict[str, Any] | None = None


class _TaskParams(t.RequestParams):
    task_id: str


class _UpdateParams(_TaskParams):
    input_responses: dict[str, Any]


class _GetTask(t.Request[_TaskParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: _TaskParams
    name_param = "taskId"  # goes into the header Mcp-Name


class _UpdateTask(t.Request[_UpdateParams, Literal["tasks/update"]]):
    method: Literal["tasks/update"] = "tasks/update"
    params: _UpdateParams
    name_param = "taskId"


class _CancelTask(t.Request[_TaskParams, Literal["tasks/cancel"]]):
    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: _TaskParams
    name_param = "taskId"


_INPUT_REQUEST: TypeAdapter[t.InputRequest] = TypeAdapter(t.InputRequest)


class TasksExtension(ClientExtension):
    """Declares the extension and resolves tasks to their results."""

    identifier = "io.modelcontextprotocol/tasks"

    def claims(self) -> Sequence[ResultClaim[Any]]:
        """Claim results of type ``task``."""
        return (ResultClaim(result_type="task", model=TaskCreated, resolve=_resolve),)


async def _resolve(created: TaskCreated, context: ClaimContext) -> t.CallToolResult:
    """Wait for the task to finish; cancelled with the call.

    Raises:
        MCPError: the task failed, or the server no longer knows it.
    """
    task = _Task(created, context.session)
    try:
        return await task.result()
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(_CANCEL_SECONDS, shield=True):
            await task.cancel()
        raise


class _Task:
    def __init__(self, created: TaskCreated, session: ClientSession) -> None:
        self._params = _TaskParams(task_id=created.task_id)
        self._session = session
        self._interval_ms = created.poll_interval_ms
        self._answered: set[str] = set()
        self._num_polls = 0

    async def result(self) -> t.CallToolResult:
        """Poll the task until it ends.

        Raises:
            MCPError: the task failed, or the server no longer knows it.
        """
        while True:
            state = await self._session.send_request(_GetTask(params=self._params), _TaskState)
            await self._report(state)
            match state.status:
                case "completed":
                    return t.CallToolResult.model_validate(state.result, by_name=False)
                case "failed":
                    raise MCPError.from_error_data(
                        state.error or t.ErrorData(code=t.INTERNAL_ERROR, message="no reason given")
                    )
                case "cancelled":
                    message = state.status_message or "the server cancelled the task"
                    return t.CallToolResult(content=[t.TextContent(text=message)], is_error=True)
                case "input_required":
                    await self._give_input(state.input_requests or {})
                case "working":
                    pass
            await anyio.sleep(self._interval(state))

    async def cancel(self) -> None:
        """Cancel the task on the server."""
        await self._session.send_request(_CancelTask(params=self._params), t.EmptyResult)

    async def _report(self, state: _TaskState) -> None:
        """Report progress, which also renews the call's deadline: a task that answers is alive."""
        self._num_polls += 1
        if (request_state := current_request.get()) and request_state.on_progress is not None:
            await request_state.on_progress(
                self._num_polls, None, state.status_message or state.status
            )

    async def _give_input(self, requests: Mapping[str, Any]) -> None:
        """Answer new input requests; the server may keep listing answered ones for a while."""
        new = {key: value for key, value in requests.items() if key not in self._answered}
        if not new:
            return
        responses: dict[str, Any] = {}
        for key, value in new.items():
            context = ClientRequestContext(session=self._session, request_id=key)
            request = _INPUT_REQUEST.validate_python(value)
            response = await self._session.dispatch_input_request(context, request)
            if isinstance(response, t.ErrorData):
                raise MCPError.from_error_data(response)
            responses[key] = response.model_dump(by_alias=True, mode="json", exclude_none=True)
            self._answered.add(key)
        params = _UpdateParams(task_id=self._params.task_id, input_responses=responses)
        await self._session.send_request(_UpdateTask(params=params), t.EmptyResult)

    def _interval(self, state: _TaskState) -> float:
        milliseconds = state.poll_interval_ms or self._interval_ms
        seconds = POLL_SECONDS if milliseconds is None else milliseconds / 1000
        return min(max(seconds, SHORTEST_POLL_SECONDS), LONGEST_POLL_SECONDS)
