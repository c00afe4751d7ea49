"""MCP servers that a request brings along."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api.responses.support import ask, events, refusal, send, stream
from api.support import running, scripted
from host.support import SERVERS, serving, unused_port

from kronk_agent import Config
from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.testing import call

pytestmark = pytest.mark.usefixtures("own_folders")

SECRETS = {"headers": {"X-Told": "a secret"}, "authorization": "another secret"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a server with a tool that tells what it was told."""
    port = unused_port()
    with serving(port, str(SERVERS / "told.py"), "http"):
        yield f"http://127.0.0.1:{port}/mcp"


def files_of(name: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if name in path.name]


def allowing(*starts: str, **more: Any) -> Config:
    return Config(tools=(), server=ServerConfig(allow_server_urls=starts, **more))


def guest(url: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "mcp",
        "server_label": "guest",
        "server_url": url,
        "require_approval": "never",
        **more,
    }


async def test_its_tools_are_listed_and_called_with_the_headers_of_the_request(
    url: str, tmp_path: Path
) -> None:
    model = scripted(call("guest__told"), "Told.")
    tool = guest(f"{url}?key=3", allowed_tools=["told"], **SECRETS)
    choice = {"type": "mcp", "server_label": "guest"}
    async with running(model, config=allowing(url)) as server:
        streamed = await stream(server, tools=[tool], tool_choice=choice)
        response = streamed[-1]["response"]
        again = await server.http.get(f"/v1/responses/{response['id']}")

    listed, called, said = response["output"]
    assert [item["type"] for item in (listed, called, said)] == [
        "mcp_list_tools",
        "mcp_call",
        "message",
    ]
    assert [one["name"] for one in listed["tools"]] == ["told"]
    assert (called["server_label"], called["name"]) == ("guest", "told")
    headers = json.loads(called["output"])["headers"]
    assert (headers["x-told"], headers["authorization"]) == ("a secret", "Bearer another secret")
    # What is told of the request has no secrets, and nothing is kept of the server.
    told = {"tools": response["tools"], "again": again.json()["tools"]}
    assert "secret" not in json.dumps(told)
    assert told["tools"] == told["again"]
    assert told["tools"][0]["server_url"] == url
    assert files_of("guest", tmp_path) == []


async def test_a_call_waits_until_the_client_allows_it(url: str) -> None:
    model = scripted(call("guest__told"), "Told.")
    asking = guest(url, require_approval="always")
    async with running(model, config=allowing(url)) as server:
        first = await ask(server, tools=[asking])
        request = first["output"][-1]
        answer = {
            "type": "mcp_approval_response",
            "approval_request_id": request["id"],
            "approve": True,
        }
        more = {"previous_response_id": first["id"], "input": [answer]}
        second = await ask(server, tools=[asking], **more)

    assert request["type"] == "mcp_approval_request"
    assert [item["type"] for item in second["output"]] == ["mcp_call", "message"]
    assert second["output"][0]["status"] == "completed"


async def test_a_response_in_the_background_has_it_too(url: str) -> None:
    model = scripted(call("guest__told"), "Told.")
    async with running(model, config=allowing(url)) as server:
        made = await send(server, tools=[guest(url)], background=True)
        path = f"/v1/responses/{made.json()['id']}"
        watched = events((await server.http.get(path, params={"stream": "true"})).text)

    assert [item["type"] for item in watched[-1]["response"]["output"]] == [
        "mcp_list_tools",
        "mcp_call",
        "message",
    ]


async def test_its_tools_are_known_where_the_prompt_is_only_counted(url: str) -> None:
    def choice(name: str) -> dict[str, str]:
        return {"type": "mcp", "server_label": "guest", "name": name}

    async with running(scripted(), config=allowing(url)) as server:
        asked: dict[str, Any] = {"model": "scripted", "input": "Hello", "tools": [guest(url)]}
        counted, refused = [
            await server.post("/v1/responses/input_tokens", **asked, tool_choice=choice(name))
            for name in ("told", "sing")
        ]

    assert counted.json()["input_tokens"] > 0
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tool_choice")


async def test_registered_servers_are_used_beside_it(url: str) -> None:
    config = allowing(url).model_copy(
        update={"mcp_servers": {"mine": McpServerConfig(url=url, type="http")}}
    )
    model = scripted([call("guest__told"), call("mine__told")], "Told.")
    mine = {"type": "mcp", "server_label": "mine", "require_approval": "never"}
    async with running(model, config=config) as server:
        response = await ask(server, tools=[mine, guest(url)])
        clash = await refusal(server, tools=[guest(url, server_label="mine")])

    calls = [item for item in response["output"] if item["type"] == "mcp_call"]
    assert [(item["server_label"], item["status"]) for item in calls] == [
        ("guest", "completed"),
        ("mine", "completed"),
    ]
    assert clash[::2] == (400, "tools.0.server_label")


@pytest.mark.parametrize(
    ("changes", "status", "param", "words"),
    [
        ({"server_url": "http://elsewhere/mcp"}, 400, "server_url", "server.allow_server_urls"),
        ({"server_label": "../x"}, 400, "server_label", "1-32 of"),
        ({"headers": {"Host": "inside"}}, 400, "headers", "'Host' is not allowed"),
        ({"headers": {"X": "a\r\nb"}}, 400, "headers", "'X' is not allowed"),
        (
            {"headers": {"authorization": "a"}, "authorization": "b"},
            400,
            "authorization",
            "already",
        ),
        ({"server_url": None, "headers": {"X": "a"}}, 400, "headers", "only with server_url"),
        ({"allowed_tools": ["sing"]}, 400, "allowed_tools", "has no tool 'sing'"),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_what_cannot_be_is_refused_by_name(
    url: str, changes: dict[str, Any], status: int, param: str, words: str, streams: bool
) -> None:
    async with running(scripted(), config=allowing(url)) as server:
        refused = await refusal(server, tools=[guest(url, **changes)], stream=streams)

    assert (refused[0], refused[2]) == (status, f"tools.0.{param}")
    assert words in refused[1]


async def test_one_that_is_not_there_is_told_before_the_answer_begins() -> None:
    port = unused_port()
    url = f"http://127.0.0.1:{port}/mcp"
    async with running(scripted(), config=allowing(url)) as server:
        status, words, param = await refusal(server, tools=[guest(url)], stream=True)

    assert (status, param) == (424, "tools.0")
    assert "MCP server 'guest' is failed" in words


async def test_none_is_connected_to_where_nothing_is_allowed(url: str) -> None:
    async with running(scripted()) as server:
        refused = await refusal(server, tools=[guest(url)])

    assert refused[::2] == (400, "tools.0.server_url")


async def test_it_is_for_keys_that_are_for_agents(url: str) -> None:
    headers = {"x-api-key": KeyFile().create("mine", scopes=("generate",))}
    async with running(scripted(), config=allowing(url, require_api_key=True)) as server:
        body = {"model": "scripted", "input": "Hello", "tools": [guest(url)]}
        answer = await server.http.post("/v1/responses", json=body, headers=headers)

    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://mcp.example/a", True),
        ("https://mcp.example/a/b?c=d", True),
        ("https://MCP.example:443/a", True),
        ("https://mcp.example/ab", False),
        ("https://mcp.example/", False),
        ("https://mcp.example/a/../b", False),
        ("https://mcp.example/a/%2E%2e/b", False),
        ("http://mcp.example/a", False),
        ("https://mcp.example:8443/a", False),
        ("https://mcp.example.evil/a", False),
        ("https://mcp.example@evil.example/a", False),
        ("https://me@mcp.example/a", False),
        ("https://mcp.example\\@evil.example/a", False),
        ("https://mcp.exa\tmple/a", False),
        (" https://mcp.example/a", False),
        ("https://mcp.example:x/a", False),
        ("//mcp.example/a", False),
        ("", False),
    ],
)
def test_an_address_is_allowed_by_how_it_begins(url: str, is_allowed: bool) -> None:
    assert ServerConfig(allow_server_urls=("https://mcp.example/a/",)).allows_server_url(url) is (
        is_allowed
    )
