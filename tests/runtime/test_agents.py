"""Agents of the configuration, by name."""

from __future__ import annotations

import pytest

from kronk_agent import Config, Runtime, SamplingParams, tool
from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.config.schema.agent import AgentConfig, NamedAgentConfig, SamplingConfig
from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import UnknownModelError
from kronk_agent.settings import ToolChoice
from kronk_agent.testing import ScriptedModel
from kronk_agent.tools import Rule

pytestmark = pytest.mark.usefixtures("own_folders")


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def add_all(numbers: list[int]) -> int:
    """Add numbers."""
    return sum(numbers)


@tool
def shout(text: str) -> str:
    """Make it loud."""
    return text.upper()


def tools_of(agent: Agent) -> list[str]:
    return [found.name for toolset in agent.toolsets for found in toolset.tools()]


def config_of(**agents: NamedAgentConfig) -> Config:
    return Config(
        tools=(),
        agent=AgentConfig(instructions="Be brief.", max_steps=3, tool_choice="required"),
        sampling=SamplingConfig(temperature=0.5, top_k=7),
        agents=agents,
    )


async def test_what_an_agent_does_not_say_is_as_it_is_for_all() -> None:
    config = config_of(
        mine=NamedAgentConfig(
            instructions="Count.",
            max_steps=5,
            tools=("add*",),
            sampling=SamplingConfig(temperature=0),
        )
    )

    async with Runtime.open(
        config, model=ScriptedModel([]), tools=[add, add_all, shout]
    ) as runtime:
        mine, default = await runtime.agent("mine"), await runtime.agent()

    assert mine.options == AgentOptions(
        instructions="Count.",
        max_steps=5,
        share_prefix=True,
        tool_choice=ToolChoice("required"),
        sampling=SamplingParams(temperature=0, top_k=7),
    )
    assert default.options == AgentOptions(
        instructions="Be brief.",
        max_steps=3,
        share_prefix=True,
        tool_choice=ToolChoice("required"),
        sampling=SamplingParams(temperature=0.5, top_k=7),
    )
    assert tools_of(mine) == ["add", "add_all"]
    assert tools_of(default) == ["add", "add_all", "shout"]


async def test_an_agent_has_its_own_model_unless_another_is_asked_for() -> None:
    one, two, three = ScriptedModel([]), ScriptedModel([]), ScriptedModel([])
    models = {"two": two, "three": three}
    config = config_of(mine=NamedAgentConfig(model="two"), plain=NamedAgentConfig())

    async with Runtime.open(config, model=one, models=models) as runtime:
        assert (await runtime.agent("mine")).model is two
        assert (await runtime.agent("mine", model="three")).model is three
        assert (await runtime.agent("plain")).model is one


@pytest.mark.parametrize(
    ("name", "words"),
    [("mime", "unknown agent 'mime'; available: 'mine'"), ("gone", "unknown model 'nope'")],
)
async def test_an_agent_or_a_model_that_there_is_not_is_named(name: str, words: str) -> None:
    config = config_of(mine=NamedAgentConfig(), gone=NamedAgentConfig(model="nope"))

    async with Runtime.open(config, model=ScriptedModel([])) as runtime:
        with pytest.raises(UnknownModelError, match=words):
            await runtime.agent(name)


async def test_an_agent_is_under_its_own_policy_and_that_of_all() -> None:
    config = config_of(mine=NamedAgentConfig(policy={"shout": "ask"})).model_copy(
        update={"policy": {"add*": "deny"}}
    )

    async with Runtime.open(config, model=ScriptedModel([])) as runtime:
        mine, default = await runtime.agent("mine"), await runtime.agent()

    assert mine.options.policy == (Rule("deny", "add*"), Rule("ask", "shout"))
    assert default.options.policy == (Rule("deny", "add*"),)


async def test_a_tool_that_an_agent_is_to_have_and_nobody_has_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = config_of(mine=NamedAgentConfig(tools=("add*", "nosuch", "no_*", "*")))

    async with Runtime.open(config, model=ScriptedModel([]), tools=[add]) as runtime:
        for _ in range(2):
            assert tools_of(await runtime.agent("mine")) == ["add"]

    assert [record.getMessage() for record in caplog.records] == [
        "agents.mine.tools: unknown tool 'nosuch'",
        "agents.mine.tools: unknown tool 'no_*'",
    ]


async def test_a_tool_that_a_server_may_have_is_not_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = config_of(mine=NamedAgentConfig(tools=("later__*", "later__add", "lat*")))
    servers = {"later": McpServerConfig(command="no-such-program")}
    config = config.model_copy(update={"mcp_servers": servers})

    async with Runtime.open(config, model=ScriptedModel([])) as runtime:
        await runtime.agent("mine")

    assert [record for record in caplog.records if "unknown tool" in record.getMessage()] == []
