"""Programs that people use the Responses API with."""

from __future__ import annotations

from typing import Any

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    Runner,
    WebSearchTool,
    function_tool,
    set_tracing_disabled,
)
from api.support import Server, running, scripted

from kronk_agent import Config
from kronk_agent.config.schema.config import (
    SearchProviderConfig,
    SearchResultConfig,
    WebSearchConfig,
)
from kronk_agent.messages import ReasoningDelta
from kronk_agent.testing import call

TEA = SearchResultConfig(title="Tea", url="https://tea.example/green", snippet="All about tea.")
SEARCHING = Config(
    tools=("web_search",),
    web_search=WebSearchConfig(providers=(SearchProviderConfig(type="static", results=(TEA,)),)),
)


@function_tool
def weather(place: str) -> str:
    """The weather in a place."""
    return f"rain in {place}"


@pytest.fixture(autouse=True)
def no_tracing() -> None:
    set_tracing_disabled(True)


def model(server: Server) -> OpenAIResponsesModel:
    return OpenAIResponsesModel(model="scripted", openai_client=server.openai)


async def test_openai_agents_calls_its_tools_and_reads_the_stream() -> None:
    turns: Any = [ReasoningDelta("Hm."), call("weather", place="Oslo")]
    script = scripted(turns, "It rains.", turns, "It rains.")
    async with running(script) as server:
        agent = Agent(
            name="Weather", instructions="Be brief.", model=model(server), tools=[weather]
        )
        result = await Runner.run(agent, "The weather in Oslo?")
        streamed = Runner.run_streamed(agent, "The weather in Oslo?")
        kinds = [event.type async for event in streamed.stream_events()]

    assert result.final_output == streamed.final_output == "It rains."
    assert "raw_response_event" in kinds
    assert script.requests[1].messages[-1].text == "rain in Oslo"


async def test_openai_agents_keeps_its_session_in_a_conversation_of_ours() -> None:
    script = scripted("Hi.", "You said hello.")
    async with running(script) as server:
        # Any: as a property its id does not fit the SDK's own protocol.
        session: Any = OpenAIConversationsSession(openai_client=server.openai)
        agent = Agent(name="Echo", model=model(server))
        await Runner.run(agent, "Hello", session=session)
        result = await Runner.run(agent, "What did I say?", session=session)

    assert result.final_output == "You said hello."
    assert [message.text for message in script.requests[1].messages] == [
        "Hello",
        "Hi.",
        "What did I say?",
    ]


async def test_openai_agents_searches_with_our_search() -> None:
    script = scripted(call("web_search", query="tea"), "Tea is green [1].")
    async with running(script, config=SEARCHING) as server:
        agent = Agent(
            name="Search",
            model=model(server),
            tools=[WebSearchTool()],
            model_settings=ModelSettings(tool_choice="required"),
        )
        result = await Runner.run(agent, "Tea?")

    assert result.final_output == "Tea is green [1]."
    assert [item.type for item in result.new_items] == ["tool_call_item", "message_output_item"]
