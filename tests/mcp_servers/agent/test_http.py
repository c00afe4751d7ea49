"""The agent's MCP server over HTTP, as another application mounts it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import httpx2
import mcp.types as t
import pytest
from limits import seconds
from loopback_web import LOOPBACK, LoopbackWeb
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kronk_agent.api import create_app
from kronk_agent.api.middleware.identity import current_client
from kronk_agent.api.server import serving_at
from kronk_agent.config.schema.config import Config
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.runtime import Runtime
from kronk_agent.testing import ScriptedModel, Turn, call
from kronk_agent.tools import tool
from kronk_mcp_servers.agent import ClientUser, agent_server
from kronk_mcp_servers.http import McpApp

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
NAME: ContextVar[str | None] = ContextVar("name", default=None)


class Named:
    """Takes a caller's word for who it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            NAME.set(dict(scope["headers"]).get(b"x-name", b"").decode() or None)
        await self._app(scope, receive, send)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@asynccontextmanager
async def serving(*turns: Turn, **config: Any) -> AsyncIterator[str]:
    """The URL of the server."""
    settings = Config.model_validate({"tools": [], "sessions": {"url": "sqlite://"}, **config})
    person = ClientUser()
    model = ScriptedModel(turns)
    async with (
        Runtime.open(settings, model=model, tools=[add], person=person) as runtime,
        agent_server(runtime, person, is_remote=True) as server,
    ):
        app = McpApp(server, caller=NAME.get, max_body_bytes=100_000)
        outer = Named(Starlette(routes=[Route("/mcp", app)]))
        async with serving_at(outer, ServerConfig(port=0)) as url, app.serving():
            yield f"{url}/mcp"


@asynccontextmanager
async def connected(url: str, *, name: str = "", **options: Any) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"x-name": name}, timeout=seconds(20)) as http,
        Client(streamable_http_client(url, http_client=http), **options) as client,
    ):
        yield client


@ERAS
async def test_progress_and_questions_come_over_http(mode: str) -> None:
    reports: list[str | None] = []
    asked: list[str] = []

    async def watch(progress: float, total: float | None, message: str | None) -> None:
        reports.append(message)

    async def agree(context: object, params: t.ElicitRequestParams) -> t.ElicitResult:
        asked.append(params.message)
        return t.ElicitResult(action="accept", content={"allow": True})

    remote = {"policy": {"add": "ask"}}
    turns = (call("add", a=1, b=2), "It is 3.")
    async with (
        serving(*turns, serve_mcp={"remote": remote}) as url,
        connected(url, mode=mode, elicitation_callback=agree) as client,
    ):
        result = await client.call_tool("ask_agent", {"prompt": "?"}, progress_callback=watch)

    assert not result.is_error
    assert reports[0] == "step 1"
    assert len(asked) == 1
    assert "Allow calling add" in asked[0]


@ERAS
async def test_the_conversations_of_one_caller_are_not_another_s(mode: str) -> None:
    async with serving("Hello.", "Hello again.") as url:
        async with connected(url, name="ada", mode=mode) as ada:
            result = await ada.call_tool("ask_agent", {"prompt": "Hi."})
            assert isinstance(result.structured_content, dict)
            id = result.structured_content["session_id"]
            again = {"prompt": "Hi.", "session_id": id}
            mine = await ada.call_tool("ask_agent", again)
        async with connected(url, name="bob", mode=mode) as bob:
            theirs = await bob.call_tool("ask_agent", again)
            with pytest.raises(MCPError, match="unknown resource"):
                await bob.read_resource(f"kronk://sessions/{id}")

    assert not mine.is_error
    assert theirs.is_error
    assert f"there is no session '{id}'" in str(theirs.content)


async def test_the_pages_that_one_caller_fetched_are_not_another_s(web: LoopbackWeb) -> None:
    url = web.html("/tea", "<title>Tea</title><p>Leaves and water.")
    fetching = {"allow_private": [str(LOOPBACK)], "delay_seconds": 0}

    async with serving(web_fetch=fetching) as served:
        async with connected(served, name="ada") as ada:
            await ada.call_tool("web_fetch", {"url": url})
            page = (await ada.list_resources()).resources[-1]
            (mine,) = (await ada.read_resource(page.uri)).contents
        async with connected(served, name="bob") as bob:
            theirs = await bob.list_resources()
            completed = await bob.complete(
                t.ResourceTemplateReference(uri="kronk://pages/{url}"), {"name": "url", "value": ""}
            )
            with pytest.raises(MCPError, match="unknown resource"):
                await bob.read_resource(page.uri)

    assert page.name == url
    assert isinstance(mine, t.TextResourceContents)
    assert "Leaves and water." in mine.text
    assert [resource.uri for resource in theirs.resources] == ["kronk://models"]
    assert completed.completion.values == []


async def test_a_request_that_is_too_large_is_refused() -> None:
    async with serving() as url, httpx2.AsyncClient(timeout=seconds(5)) as http:
        body = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "y" * 100_000}}
        response = await http.post(url, json=body)

    assert response.status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong-key"}, 401),
        ({"authorization": "Bearer right-key", "host": "evil.example"}, 403),
        ({"authorization": "Bearer right-key", "origin": "https://evil.example"}, 403),
    ],
)
async def test_beside_the_other_apis_their_rules_hold(headers: dict[str, str], status: int) -> None:
    server = {"require_api_key": True, "api_keys": ["right-key"]}
    settings = Config.model_validate({"tools": [], "server": server})
    person = ClientUser()
    async with (
        Runtime.open(settings, model=ScriptedModel([]), tools=[add], person=person) as runtime,
        agent_server(runtime, person, is_remote=True) as mcp_server,
    ):
        mcp_app = McpApp(
            mcp_server, caller=lambda: current_client().id or None, max_body_bytes=100_000
        )
        app = create_app(runtime, mcp_app=mcp_app)
        async with (
            serving_at(app, ServerConfig(port=0)) as url,
            mcp_app.serving(),
            httpx2.AsyncClient(
                headers={"authorization": "Bearer right-key"}, timeout=seconds(5)
            ) as http,
        ):
            async with Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client:
                names = [each.name for each in (await client.list_tools()).tools]
            async with httpx2.AsyncClient(timeout=seconds(5)) as stranger:
                refused = await stranger.post(f"{url}/mcp", json={}, headers=headers)

    assert names == ["ask_agent", "web_search", "web_fetch"]
    assert refused.status_code == status


async def test_an_open_stream_does_not_keep_the_server_from_ending() -> None:
    """Clients of before 2026 hold one open for as long as they live."""
    with anyio.fail_after(seconds(10)):
        async with (
            httpx2.AsyncClient(timeout=seconds(20)) as http,
            anyio.create_task_group() as tasks,
        ):
            async with serving() as url:
                initialize = {
                    "jsonrpc": "2.0",
                    "id": 1,
                    "method": "initialize",
                    "params": {
                        "protocolVersion": "2025-06-18",
                        "capabilities": {},
                        "clientInfo": {"name": "test", "version": "1"},
                    },
                }
                accept = {"accept": "application/json, text/event-stream"}
                opened = await http.post(url, json=initialize, headers=accept)
                session = {"mcp-session-id": opened.headers["mcp-session-id"], **accept}
                began = anyio.Event()

                async def listen() -> None:
                    async with http.stream("GET", url, headers=session) as stream:
                        began.set()
                        async for _ in stream.aiter_lines():
                            pass

                tasks.start_soon(listen)
                await began.wait()
            tasks.cancel_scope.cancel()


async def test_before_it_serves_it_says_so() -> None:
    settings = Config.model_validate({"tools": [], "sessions": {"url": "sqlite://"}})
    person = ClientUser()
    async with (
        Runtime.open(settings, model=ScriptedModel([]), person=person) as runtime,
        agent_server(runtime, person, is_remote=True) as server,
    ):
        app = McpApp(server, caller=NAME.get, max_body_bytes=100_000)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://kronk") as http:
            response = await http.post("/mcp", json={})

    assert response.status_code == 503
    assert response.json()["error"]["message"] == "the server is starting or stopping"
