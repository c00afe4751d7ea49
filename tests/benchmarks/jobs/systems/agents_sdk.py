"""openai-agents over llama-server: what a person would put together from ready parts."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    MaxTurnsExceeded,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    set_tracing_disabled,
)
from agents.mcp import MCPServerStdio
from benchmarks.baseline import llama_server
from benchmarks.jobs.job import Job, World
from benchmarks.jobs.systems import (
    CONTEXT_LENGTH,
    INSTRUCTIONS,
    MAX_STEPS,
    MAX_TOKENS,
    Outcome,
)
from benchmarks.jobs.systems.plain_tools import PlainTool, function_tools, server_parameters
from openai import AsyncOpenAI

_SERVER_SECONDS = 60.0


class AgentsSdk:
    """openai-agents with its own MCP client; the model is behind llama-server."""

    name = "llama-server + openai-agents"

    def __init__(self, client: AsyncOpenAI) -> None:
        self._model = OpenAIChatCompletionsModel("model", client)

    async def do(self, job: Job, world: World, outcome: Outcome) -> None:
        async with AsyncExitStack() as stack:
            servers = [
                await stack.enter_async_context(_server(name, world)) for name in world.servers
            ]
            agent: Agent[Any] = Agent(
                "assistant",
                instructions=INSTRUCTIONS,
                model=self._model,
                model_settings=ModelSettings(temperature=0, max_tokens=MAX_TOKENS),
                mcp_servers=list(servers),
                tools=[_function_tool(tool) for tool in function_tools(job, world)],
            )
            said: list[Any] = []
            for prompt in job.prompts:
                said.append({"role": "user", "content": prompt})
                said = await _answer(agent, said, outcome)


async def _answer(agent: Agent[Any], said: list[Any], outcome: Outcome) -> list[Any]:
    """Run the agent; gives the conversation with what it added."""
    outcome.trace = list(said)
    try:
        result = await Runner.run(agent, list(said), max_turns=MAX_STEPS)
    except MaxTurnsExceeded as error:
        if (data := error.run_data) is not None:
            _count(outcome, data)
            outcome.trace += [item.to_input_item() for item in data.new_items]
        raise
    _count(outcome, result)
    outcome.ends.append("stop")
    outcome.answers.append(str(result.final_output or ""))
    said = result.to_input_list()
    outcome.trace = list(said)
    return said


def _count(outcome: Outcome, result: Any) -> None:
    usage = result.context_wrapper.usage
    outcome.steps += len(result.raw_responses)
    outcome.prompt_tokens += usage.input_tokens
    outcome.generated_tokens += usage.output_tokens


def _server(name: str, world: World) -> MCPServerStdio:
    program = server_parameters(name, world)
    return MCPServerStdio(
        params={
            "command": program.command,
            "args": program.args,
            "env": program.env or {},
            "cwd": str(world.folder),
        },
        client_session_timeout_seconds=_SERVER_SECONDS,
        name=name,
    )


def _function_tool(tool: PlainTool) -> FunctionTool:
    async def invoke(_: Any, arguments: str) -> str:
        return await tool.call(json.loads(arguments or "{}"))

    return FunctionTool(
        name=tool.name,
        description=tool.description,
        params_json_schema=tool.parameters,
        on_invoke_tool=invoke,
        strict_json_schema=False,
    )


@asynccontextmanager
async def open_agents_sdk(
    model: Path, *, threads: int | None, log: Path
) -> AsyncIterator[AgentsSdk]:
    """Start llama-server with the model, and keep it. ``threads`` None: one for each core."""
    set_tracing_disabled(True)
    count = str(threads or os.cpu_count())
    options = ("--jinja", "-np", "1", "-c", str(CONTEXT_LENGTH), "-t", count)
    with llama_server(model, *options, log=log) as server:
        yield AgentsSdk(AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=600))
