"""What a configuration becomes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from chat.scripted_upstream import ScriptedUpstream, said
from loopback_web import LoopbackWeb

from kronk_agent import Config, Message, Runtime, tool
from kronk_agent.agent import AgentOptions
from kronk_agent.config.schema.config import (
    AgentConfig,
    McpServerConfig,
    SamplingConfig,
)
from kronk_agent.config.schema.engine import EngineConfig, LoraConfig
from kronk_agent.config.schema.model import LocalModelConfig, RemoteModelConfig
from kronk_agent.errors import ConfigError, InvalidRequestError, ModelError
from kronk_agent.host import ServerStatus
from kronk_agent.model import ChatRequest
from kronk_agent.settings import SamplingParams, ToolChoice
from kronk_agent.testing import ScriptedModel, call

pytestmark = pytest.mark.usefixtures("own_folders")


@tool
def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


async def test_a_run_uses_the_tools_it_was_given() -> None:
    model = ScriptedModel([call("add", a=2, b=3), "It is 5."])

    async with Runtime.open(tools=[add], model=model) as runtime:
        agent = await runtime.agent()
        result = await agent.answer([Message.user("What is 2 + 3?")])

    assert result.text == "It is 5."
    assert [tool.name for tool in model.requests[0].tools] == ["web_search", "web_fetch", "add"]


async def test_the_agent_follows_the_configuration() -> None:
    config = Config(
        agent=AgentConfig(instructions="Be brief.", tool_choice="web_fetch", max_steps=3),
        sampling=SamplingConfig(temperature=0, seed=7),
    )

    async with Runtime.open(config, model=ScriptedModel([])) as runtime:
        agent = await runtime.agent()

    assert agent.options == AgentOptions(
        instructions="Be brief.",
        share_prefix=True,
        tool_choice=ToolChoice("named", "web_fetch"),
        max_steps=3,
        sampling=SamplingParams(temperature=0, seed=7),
    )


async def test_servers_start_in_the_background_and_add_their_tools() -> None:
    demo = McpServerConfig(command=sys.executable, args=("-m", "kronk_mcp_servers.demo"))
    config = Config(tools=(), mcp_servers={"demo": demo})

    async with Runtime.open(config, model=ScriptedModel([])) as runtime:
        assert runtime.servers == (ServerStatus("demo", "starting", 0, None),)
        await runtime.wait_servers_ready()
        names = [tool.name for toolset in runtime.toolsets for tool in toolset.tools()]

    assert "demo__add" in names


def test_a_runtime_may_be_closed_in_another_task_than_it_was_opened_in() -> None:
    """IPython runs each cell in a task of its own, and so does pytest-asyncio its fixtures."""
    demo = McpServerConfig(command=sys.executable, args=("-m", "kronk_mcp_servers.demo"))
    config = Config(tools=(), mcp_servers={"demo": demo})
    opening = Runtime.open(config, model=ScriptedModel([call("demo__add", a=2, b=3), "5"]))

    async def use(runtime: Runtime) -> str:
        await runtime.wait_servers_ready()
        await runtime.sessions()
        agent = await runtime.agent()
        return (await agent.answer([Message.user("What is 2 + 3?")])).text

    with asyncio.Runner() as runner:
        runtime = runner.run(opening.__aenter__())
        assert runner.run(use(runtime)) == "5"
        runner.run(opening.__aexit__(None, None, None))

    assert [server.state for server in runtime.servers] == ["failed"]


async def test_the_model_is_loaded_once_and_only_when_it_is_wanted(starter_model: Path) -> None:
    async with Runtime.open() as runtime:
        assert runtime.uses_starter_model
        first, second = await runtime.agent(), await runtime.agent()

    assert first.model is second.model
    assert first.model.info.id == starter_model.stem


async def test_a_model_that_cannot_be_had_is_an_error_when_it_is_wanted() -> None:
    async with Runtime.open(Config(model="none.gguf")) as runtime:
        assert not runtime.uses_starter_model
        with pytest.raises(ModelError, match=r"none\.gguf"):
            await runtime.agent()


async def test_the_model_is_loaded_with_the_options_of_the_engine_section(tmp_path: Path) -> None:
    adapter = LoraConfig(path=tmp_path / "none.gguf")
    config = Config(engine=EngineConfig(context_length=256, lora=(adapter,)))

    async with Runtime.open(config) as runtime:
        with pytest.raises(ModelError, match=r"none\.gguf: no such file"):
            await runtime.chat_model()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("web_fetch", "web_fetch"), "tools: duplicate tool name 'web_fetch'"),
        (("no_such",), "tools: unknown tool 'no_such'"),
    ],
)
async def test_tools_that_cannot_be_had_are_a_mistake_at_once(
    names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        async with Runtime.open(Config(tools=names)):
            pass


async def test_a_given_tool_may_not_have_the_name_of_a_configured_one() -> None:
    @tool
    def web_fetch(url: str) -> str:
        """Not the built-in."""
        return url

    with pytest.raises(ConfigError, match="duplicate tool name 'web_fetch'"):
        async with Runtime.open(tools=[web_fetch]):
            pass


async def test_a_model_elsewhere_answers_like_one_of_ours(web: LoopbackWeb) -> None:
    upstream = ScriptedUpstream(web)
    upstream.has_models({"id": "theirs", "max_model_len": 4096})
    upstream.will_answer(said("It is 5."))
    big = RemoteModelConfig(url=upstream.url, model="theirs", api_key="hunter2")

    async with Runtime.open(Config(model="big", models={"big": big})) as runtime:
        assert not runtime.uses_starter_model
        agent = await runtime.agent()
        result = await agent.answer([Message.user("What is 2 + 3?")])

    assert (result.reason, result.text) == ("stop", "It is 5.")
    assert agent.model.info.context_length == 4096
    assert {request.headers["authorization"] for request in web.requests} == {"Bearer hunter2"}


async def test_a_model_elsewhere_that_cannot_be_had_is_an_error_when_it_is_wanted() -> None:
    big = RemoteModelConfig(url="http://127.0.0.1:1/v1", model="theirs")

    async with Runtime.open(Config(model="big", models={"big": big})) as runtime:
        with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:1/v1 cannot be reached"):
            await runtime.agent()


async def test_a_model_is_prompted_with_the_template_of_the_configuration(
    tmp_path: Path, starter_model: Path
) -> None:
    (tmp_path / "mine.jinja").write_text("{{ raise_exception('my own template') }}")
    mended = LocalModelConfig(path=starter_model, template=Path("mine.jinja"))
    config = Config(model="mended", models={"mended": mended})

    async with Runtime.open(config, base_dir=tmp_path) as runtime:
        model = await runtime.chat_model()
        with pytest.raises(InvalidRequestError, match="my own template"):
            async for _ in model.stream(ChatRequest(messages=(Message.user("hi"),))):
                pass
