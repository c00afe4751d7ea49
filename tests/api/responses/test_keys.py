"""Each API key has its own responses and conversations, and may do what its scopes say."""

from __future__ import annotations

import sys
from typing import Any

from api.support import Server, running, scripted

from kronk_agent import Config
from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.testing import call

KEYED = Config(
    tools=(),
    server=ServerConfig(require_api_key=True),
    mcp_servers={
        "demo": McpServerConfig(command=sys.executable, args=("-m", "kronk_mcp_servers.demo"))
    },
)
HELLO = {"model": "scripted", "input": "Hello"}


async def status(server: Server, method: str, path: str, token: str, body: Any = None) -> int:
    headers = {"authorization": f"Bearer {token}"}
    answer = await server.http.request(method, f"/v1/{path}", json=body, headers=headers)
    return answer.status_code


async def test_nobody_reads_or_goes_on_from_what_another_key_asked(own_folders: None) -> None:
    mine, other = KeyFile().create("mine"), KeyFile().create("other")
    async with running(scripted("Hi."), config=KEYED) as server:
        headers = {"authorization": f"Bearer {mine}"}
        made = await server.http.post("/v1/responses", json=HELLO, headers=headers)
        talk = await server.http.post("/v1/conversations", json={}, headers=headers)
        id, conversation = made.json()["id"], talk.json()["id"]
        reads = [
            [await status(server, "GET", path, token) for token in (mine, other)]
            for path in (
                f"responses/{id}",
                f"responses/{id}/input_items",
                f"conversations/{conversation}",
            )
        ]
        goes_on = [
            await status(server, "POST", "responses", other, {**HELLO, **past})
            for past in ({"previous_response_id": id}, {"conversation": conversation})
        ]
        item = {"type": "item_reference", "id": made.json()["output"][0]["id"]}
        named = await status(server, "POST", "responses", other, {**HELLO, "input": [item]})
        deleted = await status(server, "DELETE", f"responses/{id}", other)

    assert reads == [[200, 404]] * 3
    assert goes_on == [400, 404]
    assert (named, deleted) == (404, 404)


async def test_a_key_that_is_not_for_agents_uses_none_of_the_servers_tools(
    own_folders: None,
) -> None:
    token = KeyFile().create("plain", scopes=("generate",))
    demo = {"type": "mcp", "server_label": "demo"}
    async with running(scripted("Hi."), config=KEYED) as server:
        plain = await status(server, "POST", "responses", token, HELLO)
        hosted = await status(server, "POST", "responses", token, {**HELLO, "tools": [demo]})

    assert (plain, hosted) == (200, 403)


async def test_the_mcp_calls_of_an_agent_have_the_servers_own_names(
    own_folders: None,
) -> None:
    config = KEYED.model_copy(update={"server": ServerConfig()})
    async with running(scripted(call("demo__add", a=1, b=2), "3."), config=config) as server:
        await server.runtime.wait_servers_ready()
        body = {**HELLO, "model": "agent/default"}
        made = (await server.http.post("/v1/responses", json=body)).json()

    called = made["output"][0]
    assert (called["server_label"], called["name"], called["output"]) == ("demo", "add", "3")
