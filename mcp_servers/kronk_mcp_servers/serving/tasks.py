"""Calls that go on as tasks: the extension ``io.modelcontextprotocol/tasks`` (SEP-2663).

``tools/call`` is answered with a task, which the client asks for its state (``tasks/get``), gives
what it wants (``tasks/update``) and cancels (``tasks/cancel``).
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
from kronk_mcp_servers.serving.call import Call, Context, answer_type
from kronk_mcp_servers.serving.calls import TASK_SECONDS, Calls

EXTENSION = "io.modelcontextprotocol/tasks"
POLL_MILLISECONDS = 500


class _TaskParams(t.RequestParams):
    task_id: str


class _UpdateParams(_TaskParams):
    input_responses: dict[str, Any]


def add_tasks(server: Server[Calls]) -> None:
    """Have the server speak the extension."""
    server.extensions[EXTENSION] = {}
    server.add_request_handler("tasks/get", _TaskParams, _get)
    server.add_request_handler("tasks/update", _UpdateParams, _update)
    server.add_request_handler("tasks/cancel", _TaskParams, _cancel)


def knows_tasks(context: Context) -> bool:
    """May this request be answered with a task?"""
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return False
    declared = context.session.client_capabilities
    return declared is not None and EXTENSION in (declared.extensions or {})


def require_tasks(context: Context) -> None:
    """Refuse a client that knows no tasks.

    Raises:
        MCPError: it does not.
    """
    require_client_extension(context, EXTENSION)


def created(call: Call) -> JsonObject:
    """What ``tools/call`` is answered with."""
    return {"resultType": "task", **_task(call)}


async def _get(context: Context, params: _TaskParams) -> JsonObject:
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


async def _update(context: Context, params: _UpdateParams) -> JsonObject:
    call = _find(context, params)
    answers: dict[str, t.InputResponse] = {}
    for key in call.pending.keys() & params.input_responses.keys():
        kind = answer_type(call.pending[key])
        try:
            answers[key] = kind.model_validate(params.input_responses[key], by_name=False)
        except ValidationError as error:
            words = f"inputResponses.{key} is no answer: {error.errors()[0]['msg']}"
            raise MCPError(t.INVALID_PARAMS, words) from None
    call.give(answers)
    return {"resultType": "complete"}


async def _cancel(context: Context, params: _TaskParams) -> JsonObject:
    call = _find(context, params)
    if not call.is_over:
        call.scope.cancel()
    return {"resultType": "complete"}


def _find(context: Context, params: _TaskParams) -> Call:
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        raise MCPError(t.METHOD_NOT_FOUND, "Method not found")
    require_tasks(context)
    if context.request is not None:
        name = context.request.headers.get(MCP_NAME_HEADER)
        if name is not None and decode_header_value(name) != params.task_id:
            raise MCPError(t.HEADER_MISMATCH, "the header Mcp-Name is not the taskId")
    calls: Calls = context.lifespan_context
    return calls.task(params.task_id, context)


def _task(call: Call) -> JsonObject:
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
