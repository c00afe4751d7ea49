"""MCP servers that a request brings along, by their address."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from api.messages.support import USER, asked, serving
from api.support import running, scripted
from host.support import SERVERS, unused_port
from host.support import serving as serving_mcp

from kronk_agent import Config
from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Piece, ScriptedModel, Turn, call

pytestmark = pytest.mark.usefixtures("own_folders")

TOOLSET: dict[str, Any] = {
    "type": "mcp_toolset",
    "mcp_server_name": "guest",
    "default_config": {"enabled": False},
    "configs": {"told": {"enabled": True}},
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a server with a tool that tells what it was told."""
    port = unused_port()
    with serving_mcp(port, str(SERVERS / "told.py"), "http"):
        yield f"http://127.0.0.1:{port}/mcp"


def allowing(*starts: str, **more: Any) -> Config:
    return Config(tools=(), server=ServerConfig(allow_server_urls=starts, **more))


def guest(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "url", "name": "guest", "url": url, **more}


@pytest.mark.parametrize("streams", [False, True])
async def test_its_tools_are_called_with_the_token_of_the_request(url: str, streams: bool) -> None:
    servers = [guest(url, authorization_token="a secret")]
    async with serving(call("guest__told"), "Told.", config=allowing(url)) as server:
        body: dict[str, Any] = {"mcp_servers": servers, "tools": [TOOLSET]}
        if streams:
            frames = await server.streamed(**body)
            blocks = [f["content_block"] for f in frames if f["type"] == "content_block_start"]
        else:
            blocks = (await server.message(**body))["content"]

    used, told, said = blocks
    assert (used["type"], used["server_name"], used["name"]) == ("mcp_tool_use", "guest", "told")
    assert json.loads(told["content"][0]["text"])["headers"]["authorization"] == "Bearer a secret"
    assert said["type"] == "text"
    assert [tool.name for tool in server.model.requests[0].tools] == ["guest__told"]


async def test_the_older_form_chooses_tools_too(url: str) -> None:
    one = guest(url, tool_configuration={"allowed_tools": ["told"]})
    async with serving("Hi", config=allowing(url)) as server:
        await server.message(mcp_servers=[one])
        counted = await server.http.post(
            "/v1/messages/count_tokens",
            json={"model": "scripted", "messages": [USER], "mcp_servers": [one]},
        )

    assert [tool.name for tool in server.model.requests[0].tools] == ["guest__told"]
    assert counted.status_code == 200


@pytest.mark.parametrize(
    ("servers", "words"),
    [
        (
            [guest("http://elsewhere/mcp")],
            "mcp_servers.0.url: connecting to this URL is not allowed",
        ),
        ([guest("URL", name="../x")], "mcp_servers.0.name: a server's name is 1-32 of"),
        ([guest("URL"), guest("URL")], "mcp_servers.1.name: duplicate name 'guest'"),
        (
            [guest("URL", authorization_token="a\nb")],
            "mcp_servers.0.authorization_token: header 'Authorization' is not allowed",
        ),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    url: str, servers: list[dict[str, Any]], words: str
) -> None:
    given = [{**one, "url": one["url"].replace("URL", url)} for one in servers]
    async with serving(config=allowing(url)) as server:
        assert (await server.refusal(mcp_servers=given)).startswith(words)
        assert (await server.refusal(mcp_servers=given, stream=True)).startswith(words)


async def test_one_that_is_not_there_is_told_before_the_answer_begins() -> None:
    url = f"http://127.0.0.1:{unused_port()}/mcp"
    async with serving(config=allowing(url)) as server:
        response = await server.post(mcp_servers=[guest(url)], stream=True)

    assert response.status_code == 424
    assert "MCP server 'guest' is failed" in response.json()["error"]["message"]


@pytest.mark.parametrize("streams", [False, True])
async def test_it_is_for_keys_that_are_for_agents(url: str, streams: bool) -> None:
    headers = {"x-api-key": KeyFile().create("mine", scopes=("generate",))}
    async with running(scripted(), config=allowing(url, require_api_key=True)) as server:
        body = asked(mcp_servers=[guest(url)], stream=streams)
        answer = await server.http.post("/v1/messages", json=body, headers=headers)

    assert answer.status_code == 403


async def test_long_results_of_any_server_can_be_read_on(url: str) -> None:
    def reads(request: ChatRequest) -> Piece:
        found = re.search(r'"uri": "(output://[^"]+)", "start": (\d+)', request.messages[-1].text)
        assert found
        return call("read_resource", uri=found[1], start=int(found[2]))

    mine = McpServerConfig(url=url, type="http")
    config = allowing(url).model_copy(update={"mcp_servers": {"mine": mine}})
    turns: list[Turn] = [call("guest__essay"), reads, call("mine__essay"), reads, "Read."]
    model = ScriptedModel(turns, context_length=100_000)
    async with running(model, config=config) as server:
        body = asked(mcp_servers=[guest(url), {"name": "mine"}])
        content = (await server.post("/v1/messages", **body)).json()["content"]

    results = [block["content"][0]["text"] for block in content if "tool_use_id" in block]
    assert [result.split(" ")[0] for result in results[1::2]] == ["[resource", "[resource"]
    assert [result.split("/")[2] for result in results[1::2]] == ["guest", "mine"]
