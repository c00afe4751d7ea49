"""An approval is for one call, and lifts nothing that the policy denies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from api.responses.support import ask
from api.support import Server, running
from host.support import asking, hosting
from host.support import call as call_tool
from limits import seconds

from kronk_agent import Config, tool
from kronk_agent.agent import Agent, AgentOptions, Approval, Approved, Pending
from kronk_agent.messages import Message, ToolCall
from kronk_agent.model import ChatModel
from kronk_agent.testing import ScriptedModel, call
from kronk_agent.tools import StaticToolset, Tool
from kronk_agent.tools.policy import rules_in

DOOR = "policy: approvals"
DEMO = {"command": sys.executable, "args": ["-m", "kronk_mcp_servers.demo"]}
ASKING = {"type": "mcp", "server_label": "demo"}


def config(**policy: str) -> Config:
    return Config.model_validate({"tools": [], "mcp_servers": {"demo": DEMO}, "policy": policy})


def request(id: str = "call_1", arguments: str = '{"a": 1, "b": 2}') -> dict[str, Any]:
    return {
        "type": "mcp_approval_request",
        "id": f"mcpr_{id}",
        "server_label": "demo",
        "name": "add",
        "arguments": arguments,
    }


def approval(id: str = "call_1") -> dict[str, Any]:
    return {"type": "mcp_approval_response", "approval_request_id": f"mcpr_{id}", "approve": True}


HELLO = {"role": "user", "content": "Hello"}


async def outputs(server: Server, **body: Any) -> list[str]:
    """What came of the MCP calls in a response, or why it was refused."""
    answer = await server.post("/v1/responses", model="scripted", tools=[ASKING], **body)
    if answer.status_code != 200:
        return [str(answer.status_code)]
    calls = [item for item in answer.json()["output"] if item["type"] == "mcp_call"]
    return [item["output"] or str(item["error"]) for item in calls]


TRIES: dict[str, tuple[Config, list[dict[str, Any]], list[str]]] = {
    "an approval of what the policy denies": (
        config(**{"demo__add(a=1)": "deny"}),
        [HELLO, request(), approval()],
        ["the policy does not allow it"],
    ),
    "of a tool that is not there for anybody": (
        config(demo__add="deny"),
        [HELLO, request(), approval()],
        ["400"],
    ),
    "with no call": (config(), [HELLO, approval()], ["400"]),
    "of another call": (config(), [HELLO, request(), approval("call_2")], ["400"]),
    "twice": (config(), [HELLO, request(), approval(), approval()], ["400"]),
    "of a call that was made anew with other arguments": (
        config(),
        [HELLO, request(), request(arguments='{"a": 1, "b": 3}'), approval()],
        ["3"],
    ),
}


@pytest.mark.parametrize("name", TRIES)
async def test_an_approval_over_responses_is_for_one_call(name: str, own_folders: None) -> None:
    given, items, expected = TRIES[name]

    async with running(ScriptedModel(["Done."]), config=given) as server:
        found = await outputs(server, input=items, store=False)

    assert len(found) == len(expected)
    assert all(words in output for words, output in zip(expected, found, strict=True))


async def test_an_approval_over_responses_is_for_one_conversation(own_folders: None) -> None:
    model = ScriptedModel([call("demo__add", a=1, b=2), "3.", "Hello."])
    async with running(model, config=config()) as server:
        first = await ask(server, tools=[ASKING])
        made = await outputs(server, previous_response_id=first["id"], input=[approval()])
        other = await ask(server, tools=[ASKING])

        assert made == ["3"]
        assert await outputs(server, previous_response_id=other["id"], input=[approval()]) == [
            "400"
        ]


async def test_an_approval_over_responses_is_used_up(own_folders: None) -> None:
    model = ScriptedModel([call("demo__add", a=1, b=2), "3."])
    async with running(model, config=config()) as server:
        first = await ask(server, tools=[ASKING])
        past: dict[str, Any] = {"previous_response_id": first["id"], "input": [approval()]}
        second = await ask(server, tools=[ASKING], **past)

        past["previous_response_id"] = second["id"]
        assert await outputs(server, **past) == ["400"]


async def test_an_answer_that_comes_later_is_for_the_call_that_waits(own_folders: None) -> None:
    made: list[int] = []

    @tool
    def delete(number: int) -> str:
        """Delete something."""
        made.append(number)
        return "gone"

    class Later:
        """First says it will answer later, and then agrees to number 1."""

        def __init__(self) -> None:
            self.is_there = False

        async def __call__(self, call: ToolCall, tool: Tool) -> Approval:
            is_one = call.arguments == '{"number": 1}'
            return Approved() if self.is_there and is_one else Pending()

    later = Later()
    model = ScriptedModel([call("delete", number=1), call("delete", number=2)])
    options = AgentOptions(instructions="", policy=rules_in({"delete": "ask"}))
    agent = Agent(model, [StaticToolset("mine", (delete,))], options)
    first = await agent.answer([Message.user("Go.")], approve=later)
    later.is_there = True
    said = [Message.user("Go."), *first.messages]

    second = await agent.answer(said, approve=later, resume=True)

    assert made == [1]
    assert (second.reason, [call.arguments for call in second.pending]) == (
        "approval",
        ['{"number": 2}'],
    )


async def test_a_call_that_a_server_has_the_model_write_is_not_made_here(tmp_path: Path) -> None:
    """Sampling with tools: what the model calls goes back to the server, which has its own."""
    model = ScriptedModel([call("weather", city="Oslo"), "Yes."])

    async def get_model() -> ChatModel:
        return model

    server = asking(protocol="legacy", sampling="allow")
    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, tmp_path, get_model=get_model) as host:
            await host.wait_ready()
            await call_tool(host, "x__forecast", {"city": "Oslo"})

    assert all(tool.name == "weather" for request in model.requests for tool in request.tools)
