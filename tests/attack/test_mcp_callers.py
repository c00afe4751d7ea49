"""Over MCP, nobody touches the tasks, calls and results of another key, even knowing their ids."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import mcp.types as t
import pytest
from api.support import bound_to_loopback
from limits import seconds
from mcp import Client, MCPError
from mcp.client import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client

from kronk_agent.api import create_app
from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.api.middleware.identity import current_client
from kronk_agent.api.server import serving_at
from kronk_agent.config.schema.config import Config
from kronk_agent.host.session.tasks import TaskCreated
from kronk_agent.runtime import Runtime
from kronk_agent.testing import ScriptedModel
from kronk_mcp_servers.agent import ClientUser, agent_server
from kronk_mcp_servers.http import McpApp

pytestmark = pytest.mark.usefixtures("own_folders")

DOOR = "another caller's tasks and results, by MCP"

TRIES: Mapping[str, Mapping[str, Any]] = {
    "tasks/get": {},
    "tasks/update": {"inputResponses": {}},
    "tasks/cancel": {},
}
"""What may be asked of a task, with what else it takes."""


class AnyTask(t.Request[dict[str, Any], str]):
    """A request about a task, whatever it is."""

    method: str
    params: dict[str, Any]
    name_param = "taskId"


class LeavesTasks(ClientExtension):
    """Knows tasks, and does not wait for them."""

    identifier = "io.modelcontextprotocol/tasks"

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return (ResultClaim(result_type="task", model=TaskCreated, resolve=self._resolve),)

    async def _resolve(self, created: TaskCreated, context: ClaimContext) -> t.CallToolResult:
        return t.CallToolResult(content=[t.TextContent(text=created.task_id)], is_error=True)


@asynccontextmanager
async def served(*turns: Any) -> AsyncIterator[str]:
    """The address for MCP of a server that asks for keys."""
    settings = {"tools": [], "sessions": {"url": "sqlite://"}, "server": {"require_api_key": True}}
    config = Config.model_validate(settings)
    person = ClientUser()
    async with (
        Runtime.open(config, model=ScriptedModel(turns), person=person) as runtime,
        agent_server(runtime, person, is_remote=True) as server,
    ):
        app = McpApp(server, caller=lambda: current_client().id or None, max_body_bytes=100_000)
        async with (
            serving_at(create_app(runtime, mcp_app=app), bound_to_loopback(config.server)) as url,
            app.serving(),
        ):
            yield f"{url}/mcp"


@asynccontextmanager
async def connected(url: str, key: str) -> AsyncIterator[Client]:
    headers = {"x-api-key": key}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=seconds(20)) as http,
        Client(streamable_http_client(url, http_client=http), extensions=[LeavesTasks()]) as client,
    ):
        yield client


async def asked(client: Client, method: str, task_id: str) -> str | None:
    """What goes wrong when a task is asked something; None where nothing does."""
    params = {"taskId": task_id, **TRIES[method]}
    try:
        await client.session.send_request(AnyTask(method=method, params=params), t.EmptyResult)
    except MCPError as error:
        return str(error)
    return None


async def test_a_task_is_its_callers_alone() -> None:
    ours, theirs = KeyFile().create("ours"), KeyFile().create("theirs")
    end = anyio.Event()
    async with (
        served([end, "Hi."]) as url,
        connected(url, ours) as owner,
        connected(url, theirs) as other,
    ):
        created = await owner.call_tool("ask_agent", {"prompt": "Hello"})
        assert isinstance(created.content[0], t.TextContent)
        id = created.content[0].text
        refused = {method: await asked(other, method, id) for method in TRIES}
        mine = await asked(owner, "tasks/get", id)
        end.set()

    assert mine is None
    assert refused == dict.fromkeys(TRIES, f"unknown task {id!r}")
