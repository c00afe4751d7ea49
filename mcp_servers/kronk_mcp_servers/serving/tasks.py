"""Calls as tasks: the extension ``io.modelcontextprotocol/tasks`` (SEP-2663).

``tools/call`` returns a task, which the client polls (``tasks/get``), gives input
(``tasks/update``) and cancels (``tasks/cancel``).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import mcp.types as t
from mcp import MCPError
from mcp.server import Server
from mcp.server.mcpserver import require_client_extension
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from kronk_agent.messages import JsonObject
from kronk_mcp_servers.serving.request_context import MessageContext, RequestContext, answer_type
from kronk_mcp_servers.serving.running_calls import TASK_SECONDS, RunningCalls

EXTENSION = "io.modelcontextprotocol/tasks"
POLL_MILLISECONDS = 500


class _TaskParams(t.RequestParams):
    """Parameters of ``tasks/get`` and ``tasks/cancel``."""

    task_id: str


class _UpdateParams(_TaskParams):
    """Parameters of ``tasks/update``."""

    input_responses: dict[str, Any]


def add_tasks(server: Server[RunningCalls]) -> None:
    """Add the tasks extension to the server."""
    server.extensions[EXTENSION] = {}
    server.add_request_handler("tasks/get", _TaskParams, _get)
    server.add_request_handler("tasks/update", _UpdateParams, _update)
    server.add_request_handler("tasks/cancel", _TaskParams, _cancel)


def knows_tasks(context: MessageContext) -> bool:
    """True if this request can be answered with a task."""
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return False
    declared = context.session.client_capabilities
    return declared is not None and EXTENSION in (declared.extensions or {})


def require_tasks(context: MessageContext) -> None:
    """Check that the client supports tasks.

    Raises:
        MCPError: it does not.
    """
    require_client_extension(context, EXTENSION)


def created(call: RequestContext) -> JsonObject:
    """Return the response to ``tools/call`` for a new task."""
    return {"resultType": "task", **_task(call)}


async def _get(context: MessageContext, params: _TaskParams) -> JsonObject:
    call = _find(context, params)
    state = _task(call)
    match call.status:
        case "completed":
            state["result"] = _dump(call.result)
        case "failed":
            state["error"] = _dump(call.error)
        case "input_required":
            state["inputRequests"] = {key: _dump(item) for key, item in call.pending.items()}
        case _:
            pass
    return {"resultType": "complete", **state}


async def _update(context: MessageContext, params: _UpdateParams) -> JsonObject:
    call = _find(context, params)
    answers: dict[str, t.InputResponse] = {}
    for key in call.pending.keys() & params.input_responses.keys():
        kind = answer_type(call.pending[key])
        try:
            answers[key] = kind.model_validate(params.input_responses[key], by_name=False)
        except ValidationError as error:
            message = f"inputResponses.{key} is invalid: {error.errors()[0]['msg']}"
            raise MCPError(t.INVALID_PARAMS, message) from None
    call.give(answers)
    return {"resultType": "complete"}


async def _cancel(context: MessageContext, params: _TaskParams) -> JsonObject:
    call = _find(context, params)
    if not call.is_over:
        call.scope.cancel()
    return {"resultType": "complete"}


def _find(context: MessageContext, params: _TaskParams) -> RequestContext:
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        raise MCPError(t.METHOD_NOT_FOUND, "Method not found")
    require_tasks(context)
    if context.request is not None:
        name = context.request.headers.get(MCP_NAME_HEADER)
        if name is not None and decode_header_value(name) != params.task_id:
            raise MCPError(t.HEADER_MISMATCH, "the header Mcp-Name does not match taskId")
    calls: RunningCalls = context.lifespan_context
    return calls.task(params.task_id, context)


def _task(call: RequestContext) -> JsonObject:
    state: JsonObject = {
        "taskId": call.id,
        "status": call.status,
        "createdAt": _iso(call.created),
        "lastUpdatedAt": _iso(call.updated),
        "ttlMs": round(TASK_SECONDS * 1000),
        "pollIntervalMs": POLL_MILLISECONDS,
    }
    if call.status_message is not None:
        state["statusMessage"] = call.status_message
    return state


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dump(model: t.Result | t.ErrorData | t.InputRequest | None) -> JsonObject:
    assert model is not None
    dumped: JsonObject = model.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dumped
