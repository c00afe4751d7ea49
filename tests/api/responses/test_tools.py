"""Tools: the client's, and those the server has."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from api.responses.support import WEATHER, ask, refusal, send, short, steady, stream
from api.support import add, running, scripted
from inline_snapshot import snapshot

from kronk_agent import Config
from kronk_agent.config.schema.config import McpServerConfig, SearchProviderConfig, WebSearchConfig
from kronk_agent.config.schema.config import SearchResultConfig as Page
from kronk_agent.messages import Message, TextPart, ToolCall
from kronk_agent.settings import ToolChoice
from kronk_agent.testing import call

TEA = Page(title="Tea", url="https://tea.example/green", snippet="All about tea.")
COFFEE = Page(title="Coffee", url="https://coffee.example/", snippet="All about coffee.")
SEARCHING = Config(
    tools=("web_search", "web_fetch"),
    web_search=WebSearchConfig(
        providers=(SearchProviderConfig(type="static", results=(TEA, COFFEE)),)
    ),
)
DEMO = Config(
    tools=(),
    mcp_servers={
        "demo": McpServerConfig(command=sys.executable, args=("-m", "kronk_mcp_servers.demo")),
        "off": McpServerConfig(command="nothing", disabled=True),
    },
)
SERVER = {"type": "mcp", "server_label": "demo", "require_approval": "never"}
PATCH = {
    "type": "custom",
    "name": "apply",
    "description": "Applies a patch.",
    "format": {"type": "grammar", "syntax": "regex", "definition": "[+-].*"},
}


def result(id: str, name: str, text: str) -> Message:
    return Message("tool", (TextPart(text),), tool_call_id=id, name=name)


# --- the client's tools ------------------------------------------------------------------------


async def test_the_official_client_carries_out_a_function() -> None:
    model = scripted(["Let me see. ", call("weather", place="Oslo")], "It rains.")
    async with running(model) as server:
        asked = await server.openai.responses.create(
            model="scripted", input="The weather in Oslo?", tools=[WEATHER], tool_choice="required"
        )
        (said, made) = asked.output
        assert made.type == "function_call"
        assert (made.name, json.loads(made.arguments)) == ("weather", {"place": "Oslo"})
        answered = await server.openai.responses.create(
            model="scripted",
            input=[
                {"type": "function_call_output", "call_id": made.call_id, "output": "rain"},
            ],
            tools=[WEATHER],
            previous_response_id=asked.id,
        )

    assert said.type == "message"
    assert answered.output_text == "It rains."
    assert model.requests[0].tool_choice == ToolChoice("required")
    assert model.requests[1].messages == (
        Message.user("The weather in Oslo?"),
        Message.assistant("Let me see. ", (ToolCall("call_1", "weather", '{"place": "Oslo"}'),)),
        result("call_1", "weather", "rain"),
    )


async def test_a_whole_stream_with_calls_side_by_side() -> None:
    turn: Any = ["Both. ", call("weather", place="Oslo"), call("weather", place="Rome")]
    async with running(scripted(turn, turn)) as server:
        streamed = await stream(server, tools=[WEATHER])
        whole = await ask(server, tools=[WEATHER])

    assert [short(event) for event in streamed] == snapshot(
        [
            "created",
            "in_progress",
            "output_item.added 0",
            "content_part.added 0",
            "output_text.delta 0",
            "output_text.delta 0",
            "output_text.delta 0",
            "output_text.done 0",
            "content_part.done 0",
            "output_item.done 0",
            "output_item.added 1",
            "function_call_arguments.delta 1",
            "function_call_arguments.delta 1",
            "function_call_arguments.delta 1",
            "function_call_arguments.delta 1",
            "function_call_arguments.delta 1",
            "function_call_arguments.delta 1",
            "function_call_arguments.delta 1",
            "function_call_arguments.delta 1",
            "function_call_arguments.delta 1",
            "function_call_arguments.done 1",
            "output_item.done 1",
            "output_item.added 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.delta 2",
            "function_call_arguments.done 2",
            "output_item.done 2",
            "completed",
        ]
    )
    known: Any = steady(streamed[-1]["response"])
    again: Any = steady(whole)
    for response in (known, again):  # the script counts its calls on
        for item in response["output"][1:]:
            item.pop("call_id")
    assert known == again
    arguments = "".join(
        event["delta"]
        for event in streamed
        if event["type"] == "response.function_call_arguments.delta" and event["output_index"] == 1
    )
    assert arguments == streamed[-1]["response"]["output"][1]["arguments"]


async def test_a_custom_tool_takes_one_text() -> None:
    model = scripted(call("apply", input="+ line\n"), "Done.")
    async with running(model) as server:
        streamed = await stream(server, tools=[PATCH])
        (made,) = streamed[-1]["response"]["output"]
        output = {"type": "custom_tool_call_output", "call_id": made["call_id"], "output": "ok"}
        await ask(server, tools=[PATCH], input=[{"role": "user", "content": "Go"}, made, output])

    assert [short(event) for event in streamed] == snapshot(
        [
            "created",
            "in_progress",
            "output_item.added 0",
            "custom_tool_call_input.delta 0",
            "custom_tool_call_input.done 0",
            "output_item.done 0",
            "completed",
        ]
    )
    assert steady(made) == {
        "id": "ctc_1",
        "type": "custom_tool_call",
        "status": "completed",
        "input": "+ line\n",
        "call_id": "call_1",
        "name": "apply",
    }
    (tool,) = model.requests[0].tools
    assert tool.parameters["properties"] == {"input": {"type": "string", "pattern": "^(?:[+-].*)$"}}
    assert model.requests[1].messages[1:] == (
        Message.assistant("", (ToolCall("call_1", "apply", '{"input":"+ line\\n"}'),)),
        result("call_1", "apply", "ok"),
    )


async def test_a_call_into_a_namespace_names_it() -> None:
    namespace = {
        "type": "namespace",
        "name": "mcp__maps",
        "description": "Maps.",
        "tools": [{**WEATHER, "name": "route"}, {"type": "custom", "name": "note"}],
    }
    model = scripted(
        [call("mcp__maps__route", place="Oslo"), call("mcp__maps__note", input="x")], "Done."
    )
    async with running(model) as server:
        response = await ask(server, tools=[namespace, WEATHER])
        calls = response["output"]
        outputs = [
            {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": "ok"}
            for item in calls
        ]
        said = [{"role": "user", "content": "Hello"}, *calls, *outputs]
        await ask(server, tools=[namespace], input=said, store=False)

    assert [(item["type"], item["namespace"], item["name"]) for item in calls] == [
        ("function_call", "mcp__maps", "route"),
        ("custom_tool_call", "mcp__maps", "note"),
    ]
    assert [tool.description for tool in model.requests[0].tools] == [
        "Maps.\nThe weather in a place.",
        "Maps.",
        "The weather in a place.",
    ]
    assert [c.name for c in model.requests[1].messages[1].tool_calls] == [
        "mcp__maps__route",
        "mcp__maps__note",
    ]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ({"type": "function", "name": "weather"}, ToolChoice("named", "weather")),
        ({"type": "function", "name": "route"}, ToolChoice("named", "maps__route")),
        ({"type": "custom", "name": "apply"}, ToolChoice("named", "apply")),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [
                    {"type": "function", "name": "weather"},
                    {"type": "custom", "name": "apply"},
                ],
            },
            ToolChoice("required", allowed=("weather", "apply")),
        ),
    ],
)
async def test_what_must_be_called_is_enforced(given: Any, meant: ToolChoice) -> None:
    def turn(request: Any) -> Any:
        must = meant.name or (meant.allowed[0] if meant.allowed else None)
        return call(must, place="Oslo", input="+") if must else "No."

    model = scripted(turn)
    maps = {"type": "namespace", "name": "maps", "tools": [{**WEATHER, "name": "route"}]}
    async with running(model) as server:
        response = await ask(server, tools=[WEATHER, PATCH, maps], tool_choice=given)

    assert model.requests[0].tool_choice == meant
    assert response["tool_choice"] == given


async def test_the_tools_of_an_agent_run_here_and_the_clients_go_back() -> None:
    turn = [call("add", a=1, b=2), call("weather", place="Oslo")]
    model = scripted(turn, "3, and rain.")
    async with running(model) as server:
        first = await ask(server, model="agent/default", tools=[WEATHER])
        ours, theirs = first["output"]
        output = {"type": "function_call_output", "call_id": theirs["call_id"], "output": "rain"}
        second = await ask(
            server,
            model="agent/default",
            tools=[WEATHER],
            input=[output],
            previous_response_id=first["id"],
        )

    assert steady(ours) == {
        "id": "mcp_1",
        "type": "mcp_call",
        "status": "completed",
        "server_label": "kronk-agent",
        "name": "add",
        "arguments": '{"a": 1, "b": 2}',
        "approval_request_id": None,
        "output": "3",
        "error": None,
    }
    assert second["output"][0]["content"][0]["text"] == "3, and rain."
    assert model.requests[1].messages[-2:] == (
        result("call_1", "add", "3"),
        result("call_2", "weather", "rain"),
    )


async def test_no_more_calls_are_made_than_the_request_allows() -> None:
    model = scripted(call("add", a=1, b=2), "3.")
    async with running(model) as server:
        response = await ask(server, model="agent/default", max_tool_calls=1)

    assert response["max_tool_calls"] == 1
    assert model.requests[1].tool_choice == ToolChoice("none")


async def test_the_tokens_of_all_turns_together_have_a_limit() -> None:
    model = scripted(call("add", a=1, b=2), "Never said.")
    async with running(model) as server:
        response = await ask(server, model="agent/default", max_output_tokens=14)

    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["output"] == "3"
    assert response["usage"]["output_tokens"] == 14


async def test_a_call_written_as_text_where_an_answer_was_due_leaves_it_incomplete() -> None:
    written = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
    async with running(scripted(call("add", a=1, b=2), written)) as server:
        response = await ask(server, model="agent/default", max_tool_calls=1)

    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "malformed_tool_call"}
    assert response["kronk"] == {
        "notices": ["the answer contains a call of add as text; it was not executed"]
    }


# --- web search --------------------------------------------------------------------------------


async def test_a_search_is_shown_and_the_answer_cites_what_it_found() -> None:
    model = scripted(call("web_search", query="tea"), "Tea is green [1].")
    async with running(model, config=SEARCHING) as server:
        streamed = await stream(
            server, tools=[{"type": "web_search"}], include=["web_search_call.action.sources"]
        )

    assert [short(event) for event in streamed] == snapshot(
        [
            "created",
            "in_progress",
            "output_item.added 0",
            "web_search_call.in_progress 0",
            "web_search_call.searching 0",
            "web_search_call.completed 0",
            "output_item.done 0",
            "output_item.added 1",
            "content_part.added 1",
            "output_text.delta 1",
            "output_text.delta 1",
            "output_text.delta 1",
            "output_text.delta 1",
            "output_text.delta 1",
            "output_text.delta 1",
            "output_text.delta 1",
            "output_text.annotation.added 1",
            "output_text.done 1",
            "content_part.done 1",
            "output_item.done 1",
            "completed",
        ]
    )
    search, message = streamed[-1]["response"]["output"]
    assert steady(search) == snapshot(
        {
            "id": "ws_1",
            "type": "web_search_call",
            "status": "completed",
            "action": {
                "type": "search",
                "query": "tea",
                "queries": ["tea"],
                "sources": [{"type": "url", "url": "https://tea.example/green"}],
            },
        }
    )
    assert message["content"][0]["annotations"] == snapshot(
        [
            {
                "type": "url_citation",
                "start_index": 13,
                "end_index": 16,
                "url": "https://tea.example/green",
                "title": "Tea",
            }
        ]
    )
    added = [e["annotation"] for e in streamed if e["type"].endswith("annotation.added")]
    assert added == message["content"][0]["annotations"]


async def test_a_search_keeps_to_the_sites_and_the_place_of_the_request() -> None:
    model = scripted(call("web_search", query="all about"), "Tea.")
    search = {
        "type": "web_search",
        "filters": {"allowed_domains": ["tea.example"]},
        "search_context_size": "low",
        "user_location": {"type": "approximate", "city": "Oslo", "country": "NO"},
    }
    async with running(model, config=SEARCHING) as server:
        await ask(server, tools=[search])

    tool = model.requests[0].tools[0]
    assert "Oslo, NO" in tool.description
    found = model.requests[1].messages[-1].text
    assert "tea.example" in found
    assert "coffee.example" not in found


async def test_a_search_without_access_to_the_web_is_not_offered() -> None:
    model = scripted("I cannot.")
    async with running(model, config=SEARCHING) as server:
        await ask(server, tools=[{"type": "web_search", "external_web_access": False}])

    assert model.requests[0].tools == ()


async def test_a_search_must_come_first_where_the_request_says_so() -> None:
    model = scripted(call("web_search", query="tea"), "Tea.")
    async with running(model, config=SEARCHING) as server:
        await ask(server, tools=[{"type": "web_search"}], tool_choice={"type": "web_search"})

    assert [request.tool_choice for request in model.requests] == [
        ToolChoice("named", "web_search"),
        ToolChoice("auto"),
    ]


async def test_a_search_that_the_client_sends_back_says_that_its_results_are_gone() -> None:
    model = scripted("More of it.")
    action = {"type": "search", "query": "tea", "sources": [{"type": "url", "url": TEA.url}]}
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action}
    said = {"role": "assistant", "content": "Tea is green."}
    async with running(model) as server:
        await ask(server, input=[item, said, {"role": "user", "content": "More"}])

    assert model.requests[0].messages == (
        Message.assistant("", (ToolCall("ws_1", "web_search", '{"query":"tea"}'),)),
        result(
            "ws_1",
            "web_search",
            f"[What was found is not at hand any more. The pages were:\n{TEA.url}]",
        ),
        Message.assistant("Tea is green."),
        Message.user("More"),
    )


# --- MCP servers -------------------------------------------------------------------------------


async def test_the_tools_of_an_mcp_server_are_listed_and_called(own_folders: None) -> None:
    model = scripted(call("demo__add", a=1, b=2), "3.", "Still 3.")
    async with running(model, config=DEMO) as server:
        streamed = await stream(server, tools=[{**SERVER, "allowed_tools": ["add", "fail"]}])
        first = streamed[-1]["response"]
        second = await ask(server, tools=[SERVER], previous_response_id=first["id"], input="Sure?")

    assert [short(event) for event in streamed] == snapshot(
        [
            "created",
            "in_progress",
            "output_item.added 0",
            "mcp_list_tools.in_progress 0",
            "mcp_list_tools.completed 0",
            "output_item.done 0",
            "output_item.added 1",
            "mcp_call.in_progress 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.delta 1",
            "mcp_call_arguments.done 1",
            "mcp_call.completed 1",
            "output_item.done 1",
            "output_item.added 2",
            "content_part.added 2",
            "output_text.delta 2",
            "output_text.delta 2",
            "output_text.done 2",
            "content_part.done 2",
            "output_item.done 2",
            "completed",
        ]
    )
    listed, called, _ = first["output"]
    assert [tool["name"] for tool in listed["tools"]] == ["add", "fail"]
    assert steady(called) == snapshot(
        {
            "id": "mcp_1",
            "type": "mcp_call",
            "status": "completed",
            "server_label": "demo",
            "name": "add",
            "arguments": '{"a": 1, "b": 2}',
            "approval_request_id": None,
            "output": "3",
            "error": None,
        }
    )
    assert [tool.name for tool in model.requests[0].tools] == ["demo__add", "demo__fail"]
    assert [item["type"] for item in second["output"]] == ["message"]


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        ({"tool_names": ["echo", "add"]}, ["add", "echo"]),
        ({"read_only": False}, ["add", "echo", "weather", "countdown", "fail"]),
        ({"read_only": True}, []),
    ],
)
async def test_a_filter_says_which_tools_of_a_server_there_are(
    own_folders: None, filter: dict[str, Any], names: list[str]
) -> None:
    async with running(scripted("Hi."), config=DEMO) as server:
        response = await ask(server, tools=[{**SERVER, "allowed_tools": filter}])

    assert [tool["name"] for tool in response["output"][0]["tools"]] == names


async def test_a_call_that_fails_is_shown_as_failed(own_folders: None) -> None:
    model = scripted(call("demo__fail", reason="no luck"), "It failed.")
    async with running(model, config=DEMO) as server:
        response = await ask(server, tools=[SERVER])

    called = response["output"][1]
    assert (called["status"], called["output"]) == ("failed", None)
    assert called["error"]["type"] == "mcp_tool_execution_error"
    assert "no luck" in called["error"]["content"][0]["text"]


@pytest.mark.parametrize("store", [True, False])
async def test_a_call_waits_until_the_client_allows_it(own_folders: None, store: bool) -> None:
    asking = {"type": "mcp", "server_label": "demo"}  # which asks about every call
    model = scripted(call("demo__add", a=1, b=2), "3.")
    async with running(model, config=DEMO) as server:
        first = await ask(server, tools=[asking], store=store)
        request = first["output"][-1]
        answer = {
            "type": "mcp_approval_response",
            "approval_request_id": request["id"],
            "approve": True,
        }
        past: Any = (
            {"previous_response_id": first["id"], "input": [answer]}
            if store
            else {"input": [{"role": "user", "content": "Hello"}, *first["output"], answer]}
        )
        streamed = await stream(server, tools=[asking], store=store, **past)

    assert request == {
        "id": "mcpr_call_1",
        "type": "mcp_approval_request",
        "server_label": "demo",
        "name": "add",
        "arguments": '{"a": 1, "b": 2}',
    }
    called, said = streamed[-1]["response"]["output"]
    assert (called["type"], called["output"]) == ("mcp_call", "3")
    assert called["approval_request_id"] == "mcpr_call_1"
    assert said["content"][0]["text"] == "3."
    assert model.requests[1].messages == (
        Message.user("Hello"),
        Message.assistant("", (ToolCall("call_1", "demo__add", '{"a": 1, "b": 2}'),)),
        result("call_1", "demo__add", "3"),
    )


async def test_a_call_that_the_client_does_not_allow_is_not_made(own_folders: None) -> None:
    asking = {
        "type": "mcp",
        "server_label": "demo",
        "require_approval": {"never": {"tool_names": ["echo"]}},
    }
    model = scripted(call("demo__add", a=1, b=2), "Then not.")
    async with running(model, config=DEMO) as server:
        first = await ask(server, tools=[asking])
        answer = {
            "type": "mcp_approval_response",
            "approval_request_id": first["output"][-1]["id"],
            "approve": False,
            "reason": "Too risky.",
        }
        second = await ask(server, tools=[asking], previous_response_id=first["id"], input=[answer])

    assert [item["type"] for item in second["output"]] == ["message"]
    assert model.requests[1].messages[-1] == result(
        "call_1", "demo__add", "The person does not allow this call. Too risky."
    )


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        (
            {"server_label": "nobody"},
            (
                404,
                "tools.0.server_label: unknown MCP server 'nobody'; registered: demo, off",
                "tools.0.server_label",
            ),
        ),
        ({"server_label": "off"}, (424, "tools.0: MCP server 'off' is disabled", "tools.0")),
        (
            {"allowed_tools": ["sing"]},
            (
                400,
                "tools.0.allowed_tools: MCP server 'demo' has no tool 'sing'; available: add, "
                "echo, weather, countdown, fail",
                "tools.0.allowed_tools",
            ),
        ),
    ],
)
async def test_an_mcp_server_or_tool_there_is_not_is_refused_by_name(
    own_folders: None, changes: dict[str, Any], refused: tuple[int, str, str]
) -> None:
    async with running(scripted(), config=DEMO) as server:
        assert await refusal(server, tools=[{**SERVER, **changes}]) == refused


async def test_a_tool_of_an_mcp_server_must_be_called_where_the_request_says_so(
    own_folders: None,
) -> None:
    model = scripted(call("demo__echo", text="hi"), "hi")
    choice = {"type": "mcp", "server_label": "demo", "name": "echo"}
    async with running(model, config=DEMO) as server:
        await ask(server, tools=[SERVER], tool_choice=choice)

    assert model.requests[0].tool_choice == ToolChoice("named", "demo__echo")


async def test_a_clients_tool_with_the_name_of_ours_is_refused() -> None:
    clash = {**WEATHER, "name": add.name}
    async with running(scripted()) as server:
        answer = await send(server, model="agent/default", tools=[clash])

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "tools"
