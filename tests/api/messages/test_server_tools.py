"""Anthropic's server tools, which run here: the web tools, and tools of registered MCP servers."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from api.messages.support import USER, WEATHER, asked, serving, steady
from inline_snapshot import snapshot
from loopback_web import LoopbackWeb

from kronk_agent import Config
from kronk_agent.messages import JsonObject
from kronk_agent.testing import Piece, call
from kronk_agent.tools import Tool

SEARCH: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
FETCH: dict[str, Any] = {"type": "web_fetch_20250910", "name": "web_fetch"}
PAGES: list[dict[str, Any]] = [
    {
        "title": "Tea",
        "url": "https://tea.example/",
        "snippet": "Tea is a drink made of leaves.",
        "date": "2026-01-02",
    },
    {"title": "Tea in China", "url": "https://china.example/tea", "snippet": "It began here."},
]


PAGE = """<html><head><title>Tea</title></head><body><article><h1>Tea</h1>
<p>Tea is a drink. It is made of the leaves of a plant that grows in many countries.</p>
</article></body></html>"""


def config(web: LoopbackWeb | None = None, **more: Any) -> Config:
    port = [int(web.url.rpartition(":")[2])] if web else []
    return Config.model_validate(
        {
            "web_search": {"providers": [{"type": "static", "results": PAGES}]},
            "web_fetch": {"allow_private": ["127.0.0.0/8"], "allow_ports": port, "robots": False},
            **more,
        }
    )


SEARCHES = (call("web_search", query="tea"), "Tea is a drink [1]. It began in China [2][1].")


async def test_a_search_is_written_as_anthropic_writes_it() -> None:
    async with serving(*SEARCHES, config=config()) as server:
        message = await server.message(tools=[SEARCH])

    for page in message["content"][1]["content"]:
        assert page["encrypted_content"].startswith("kronk-")
        page["encrypted_content"] = "…"
    assert (message["content"], message["stop_reason"]) == snapshot(
        (
            [
                {
                    "type": "server_tool_use",
                    "id": "srvtoolu_1",
                    "name": "web_search",
                    "input": {"query": "tea"},
                },
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srvtoolu_1",
                    "content": [
                        {
                            "type": "web_search_result",
                            "url": "https://tea.example/",
                            "title": "Tea",
                            "encrypted_content": "…",
                            "page_age": "2026-01-02",
                        },
                        {
                            "type": "web_search_result",
                            "url": "https://china.example/tea",
                            "title": "Tea in China",
                            "encrypted_content": "…",
                            "page_age": None,
                        },
                    ],
                },
                {
                    "type": "text",
                    "text": "Tea is a drink [1]. It began in China [2][1].",
                    "citations": [
                        {
                            "type": "web_search_result_location",
                            "url": "https://tea.example/",
                            "title": "Tea",
                            "encrypted_index": "kronk-1",
                            "cited_text": "Tea is a drink made of leaves.",
                        },
                        {
                            "type": "web_search_result_location",
                            "url": "https://china.example/tea",
                            "title": "Tea in China",
                            "encrypted_index": "kronk-2",
                            "cited_text": "It began here.",
                        },
                    ],
                },
            ],
            "end_turn",
        )
    )
    assert message["usage"]["server_tool_use"] == {
        "web_search_requests": 1,
        "web_fetch_requests": 0,
    }


async def test_a_streamed_search_put_together_is_the_message() -> None:
    async with serving(*SEARCHES, config=config()) as server:
        whole = await server.message(tools=[SEARCH])
    async with (
        serving(*SEARCHES, config=config()) as server,
        server.anthropic.messages.stream(**asked(tools=[SEARCH])) as stream,
    ):
        final = await stream.get_final_message()

    assert steady(final.to_dict()) == whole


async def test_what_a_client_sends_back_is_what_the_model_has_read() -> None:
    async with serving(*SEARCHES, "Yes.", config=config()) as server:
        said = await server.message(tools=[SEARCH])
        history = [USER, {"role": "assistant", "content": said["content"]}, USER]
        await server.message(messages=history, tools=[SEARCH])

    first, second, third = [request.messages for request in server.model.requests]
    read, again = second[len(first) :], third[len(first) : len(second)]
    assert [(m.role, m.text) for m in again] == [(m.role, m.text) for m in read]
    assert [c.arguments.replace(" ", "") for m in again for c in m.tool_calls] == [
        c.arguments.replace(" ", "") for m in read for c in m.tool_calls
    ]


async def test_the_model_sees_only_what_is_left_to_it() -> None:
    limits = {"allowed_domains": ["tea.example"], "max_uses": 1}
    location = {"type": "approximate", "city": "Bonn", "country": "DE"}
    tool = {**SEARCH, "type": "web_search_20260318", **limits, "user_location": location}
    async with serving(
        call("web_search", query="tea"), call("web_search", query="coffee"), "OK", config=config()
    ) as server:
        message = await server.message(tools=[tool])

    [seen] = server.model.requests[0].tools
    assert list(properties(seen)) == ["query"]
    assert seen.description.endswith("The person is in Bonn, DE.")
    results = [b["content"] for b in message["content"] if b["type"] == "web_search_tool_result"]
    assert [page["url"] for page in results[0]] == ["https://tea.example/"]
    assert results[1] == {
        "type": "web_search_tool_result_error",
        "error_code": "max_uses_exceeded",
    }


def properties(tool: Tool) -> JsonObject:
    found = tool.parameters["properties"]
    assert isinstance(found, dict)
    return found


async def test_a_page_is_written_as_anthropic_writes_it(web: LoopbackWeb) -> None:
    url = web.html("/tea", PAGE)
    question = {"role": "user", "content": f"Read {url}"}
    tool = {**FETCH, "citations": {"enabled": True}}
    async with serving(
        call("web_fetch", url=url), "Tea is a drink [1].", config=config(web)
    ) as server:
        message = await server.message(messages=[question], tools=[tool])

    _, fetched, answer = message["content"]
    assert fetched["content"]["url"] == url
    assert fetched["content"]["content"]["title"] == "Tea"
    assert "Tea is a drink." in fetched["content"]["content"]["source"]["data"]
    assert [citation["url"] for citation in answer["citations"]] == [url]


@pytest.mark.parametrize(
    ("limits", "path", "code"),
    [
        ({}, "/unsaid", "url_not_in_prior_context"),
        ({}, "/missing", "url_not_accessible"),
        ({"blocked_domains": ["127.0.0.1"]}, "/tea", "url_not_allowed"),
        ({"allowed_domains": ["tea.example"]}, "/tea", "url_not_allowed"),
    ],
)
async def test_a_page_that_may_not_be_read_has_anthropics_code(
    web: LoopbackWeb, limits: dict[str, Any], path: str, code: str
) -> None:
    web.html("/tea", "<p>Tea is a drink.</p>")
    question = {"role": "user", "content": f"Read {web.url}/tea or {web.url}/missing"}
    async with serving(call("web_fetch", url=web.url + path), "No.", config=config(web)) as server:
        message = await server.message(messages=[question], tools=[{**FETCH, **limits}])

    assert message["content"][1]["content"] == {
        "type": "web_fetch_tool_result_error",
        "error_code": code,
    }


async def test_a_redirect_does_not_lead_around_the_limits(web: LoopbackWeb) -> None:
    web.html("/tea", "<p>Tea is a drink.</p>")
    port = web.url.rpartition(":")[2]
    url = web.redirect("/away", f"http://localhost:{port}/tea")
    question = {"role": "user", "content": f"Read {url}"}
    tool = {**FETCH, "blocked_domains": ["localhost"]}
    async with serving(call("web_fetch", url=url), "No.", config=config(web)) as server:
        message = await server.message(messages=[question], tools=[tool])

    assert message["content"][1]["content"]["error_code"] == "url_not_allowed"


async def test_a_turn_with_both_runs_ours_returns_theirs_and_goes_on_with_both() -> None:
    both: list[Piece] = ["Both.", call("web_search", query="tea"), call("weather", place="Oslo")]
    async with serving(both, "Tea, and rain.", config=config()) as server:
        first = await server.message(tools=[SEARCH, WEATHER])
        result = {"type": "tool_result", "tool_use_id": "toolu_2", "content": "rain"}
        messages = [
            USER,
            {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": [result]},
        ]
        second = await server.message(messages=messages, tools=[SEARCH, WEATHER])

    assert [block["type"] for block in first["content"]] == [
        "text",
        "server_tool_use",
        "tool_use",
        "web_search_tool_result",
    ]
    assert first["stop_reason"] == "tool_use"
    read = server.model.requests[1].messages
    assert [(m.role, m.name) for m in read] == [
        ("user", None),
        ("assistant", None),
        ("tool", "web_search"),
        ("tool", "weather"),
    ]
    assert second["content"] == [{"type": "text", "text": "Tea, and rain."}]


async def test_a_registered_mcp_servers_tools_are_called_here(own_folders: None) -> None:
    toolset = {
        "type": "mcp_toolset",
        "mcp_server_name": "demo",
        "default_config": {"enabled": False},
        "configs": {"add": {"enabled": True}},
    }
    async with with_demo(call("demo__add", a=2, b=3), "5", "So?") as server:
        message = await server.message(
            mcp_servers=[{"type": "url", "name": "demo", "url": ""}], tools=[toolset]
        )
        history = [USER, {"role": "assistant", "content": message["content"]}, USER]
        await server.message(messages=history, tools=[toolset])

    assert message["content"] == snapshot(
        [
            {
                "type": "mcp_tool_use",
                "id": "mcptoolu_1",
                "name": "add",
                "input": {"a": 2, "b": 3},
                "server_name": "demo",
            },
            {
                "type": "mcp_tool_result",
                "tool_use_id": "mcptoolu_1",
                "is_error": False,
                "content": [{"type": "text", "text": "5"}],
            },
            {"type": "text", "text": "5"},
        ]
    )
    assert [tool.name for tool in server.model.requests[0].tools] == ["demo__add"]
    read = server.model.requests[2].messages
    assert [(m.name, m.text) for m in read if m.role == "tool"] == [("demo__add", "5")]


async def test_the_older_form_of_mcp_servers_is_served(own_folders: None) -> None:
    server_of_request = {"name": "demo", "tool_configuration": {"allowed_tools": ["add", "echo"]}}
    async with with_demo("Hi") as server:
        await server.message(mcp_servers=[server_of_request])

    names = {tool.name for tool in server.model.requests[0].tools}
    assert names == {"demo__add", "demo__echo"}


def with_demo(*turns: Any) -> Any:
    demo = {"command": sys.executable, "args": ["-m", "kronk_mcp_servers.demo"]}
    return serving(*turns, config=config(mcp_servers={"demo": demo}))


async def test_an_agents_own_tools_are_seen_at_work() -> None:
    async with serving(call("add", a=2, b=3), "5", config=config(tools=())) as server:
        message = await server.message(model="agent/default")

    assert message["content"] == snapshot(
        [
            {
                "type": "mcp_tool_use",
                "id": "mcptoolu_1",
                "name": "add",
                "input": {"a": 2, "b": 3},
                "server_name": "kronk-agent",
            },
            {
                "type": "mcp_tool_result",
                "tool_use_id": "mcptoolu_1",
                "is_error": False,
                "content": [{"type": "text", "text": "5"}],
            },
            {"type": "text", "text": "5"},
        ]
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {
                "tools": [
                    {**SEARCH, "allowed_domains": ["a.example"], "blocked_domains": ["b.example"]}
                ]
            },
            "tools.0: give allowed_domains or blocked_domains, not both",
        ),
        (
            {"tools": [{**SEARCH, "allowed_domains": ["https://a.example/b"]}]},
            "tools.0.allowed_domains: 'https://a.example/b' is not a domain: give a bare name "
            "such as docs.python.org, without scheme or path",
        ),
        (
            {"tools": [{**SEARCH, "type": "web_search_20990101"}]},
            "tools.0.type: Input should be 'web_search_20250305', 'web_search_20260209' or "
            "'web_search_20260318'",
        ),
        ({"tools": [SEARCH, SEARCH]}, "tools: duplicate tool web_search"),
        (
            {"tools": [SEARCH, {**WEATHER, "name": "web_search"}]},
            "duplicate tool name 'web_search': the request already has a tool of that name",
        ),
        (
            {"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]},
            "tools.0.mcp_server_name: unknown MCP server 'x'; available: none",
        ),
        (
            {"mcp_servers": [{"type": "url", "name": "x", "url": "https://x.example/mcp"}]},
            "mcp_servers.0.url: connecting to this URL is not allowed: add it to "
            "server.allow_server_urls in the server's YAML",
        ),
        (
            {"mcp_servers": [{"type": "url", "name": "x"}]},
            "mcp_servers.0.name: unknown MCP server 'x'; available: none",
        ),
    ],
)
async def test_server_tools_that_cannot_be_had_are_refused(
    body: dict[str, Any], words: str
) -> None:
    async with serving(config=config()) as server:
        assert await server.refusal(**body) == words


async def test_web_tools_that_are_not_offered_are_refused() -> None:
    async with serving(config=config(tools=())) as server:
        words = await server.refusal(tools=[FETCH])

    assert words == ("tools.0: web_fetch is not enabled: add it to tools in the server's YAML")


async def test_a_call_written_as_text_is_noted() -> None:
    written = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
    async with serving(written, config=config(tools=())) as server:
        message = await server.message(model="agent/default")

    assert message["kronk"] == {
        "notices": ["the answer contains a call of add as text; it was not executed"]
    }
