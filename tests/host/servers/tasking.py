"""A server whose calls go on as tasks (``io.modelcontextprotocol/tasks``), on the SDK's low level.

With PORT as an argument over HTTP, else over stdio.
"""

from __future__ import annotations

import sys
from typing import Any

import anyio
import mcp.types as t
import uvicorn
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

EXTENSION = "io.modelcontextprotocol/tasks"
TOOLS = ["quick", "slow", "asks", "fails", "cancels_itself", "was_cancelled"]


class TaskParams(t.RequestParams):
    task_id: str


class UpdateParams(TaskParams):
    input_responses: dict[str, Any]


class Task:
    """Each look at it takes it one state further, until its end."""

    def __init__(self, states: list[dict[str, Any]]) -> None:
        self._states = states

    def look(self) -> dict[str, Any]:
        return self._states[0] if len(self._states) == 1 else self._states.pop(0)

    def replace(self, *states: dict[str, Any]) -> None:
        self._states = list(states)


def working(message: str) -> dict[str, Any]:
    return {"status": "working", "statusMessage": message}


def completed(text: str) -> dict[str, Any]:
    return {"status": "completed", "result": {"content": [{"type": "text", "text": text}]}}


FORM = t.ElicitRequest(
    params=t.ElicitRequestFormParams(
        message="Which?",
        requested_schema={"type": "object", "properties": {"which": {"type": "string"}}},
    )
)
QUESTION = {
    "status": "input_required",
    "inputRequests": {"q": FORM.model_dump(by_alias=True, mode="json", exclude_none=True)},
}

SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "quick": [working("half done"), completed("done")],
    "slow": [working("far from it")],
    "asks": [QUESTION, QUESTION],
    "fails": [{"status": "failed", "error": {"code": -32000, "message": "out of luck"}}],
    "cancels_itself": [{"status": "cancelled", "statusMessage": "no time left"}],
}

tasks: dict[str, Task] = {}
cancelled: list[str] = []


def state(task_id: str, found: dict[str, Any]) -> dict[str, Any]:
    now = "2026-11-25T00:00:00Z"
    times = {"createdAt": now, "lastUpdatedAt": now, "ttlMs": 60_000, "pollIntervalMs": 50}
    return {"taskId": task_id, **times, **found}


async def list_tools(
    context: ServerRequestContext, params: t.PaginatedRequestParams | None
) -> t.ListToolsResult:
    tools = [t.Tool(name=name, input_schema={"type": "object"}) for name in TOOLS]
    return t.ListToolsResult(tools=tools, ttl_ms=0, cache_scope="private")


async def call_tool(context: ServerRequestContext, params: t.CallToolRequestParams) -> Any:
    if params.name == "was_cancelled":
        return t.CallToolResult(content=[t.TextContent(text=" ".join(cancelled))])
    declared = context.session.client_capabilities
    assert declared is not None
    assert EXTENSION in (declared.extensions or {})
    tasks[params.name] = Task(list(SCRIPTS[params.name]))
    return {"resultType": "task", **state(params.name, {"status": "working"})}


def find(task_id: str) -> Task:
    if task_id not in tasks:
        raise MCPError(t.INVALID_PARAMS, "Unknown task")
    return tasks[task_id]


async def get(context: ServerRequestContext, params: TaskParams) -> dict[str, Any]:
    return {"resultType": "complete", **state(params.task_id, find(params.task_id).look())}


async def update(context: ServerRequestContext, params: UpdateParams) -> dict[str, Any]:
    answer = params.input_responses["q"]["content"]["which"]
    # The question is shown once more, as by a server that is slow to take the answer in.
    find(params.task_id).replace(QUESTION, completed(f"so {answer}"))
    return {"resultType": "complete"}


async def cancel(context: ServerRequestContext, params: TaskParams) -> dict[str, Any]:
    cancelled.append(params.task_id)
    return {"resultType": "complete"}


server = Server("tasking", on_list_tools=list_tools, on_call_tool=call_tool)
server.extensions[EXTENSION] = {}
server.add_request_handler("tasks/get", TaskParams, get)
server.add_request_handler("tasks/update", UpdateParams, update)
server.add_request_handler("tasks/cancel", TaskParams, cancel)


async def serve_stdio() -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    if sys.argv[1:]:
        uvicorn.run(server.streamable_http_app(), port=int(sys.argv[1]), log_level="warning")
    else:
        anyio.run(serve_stdio)
