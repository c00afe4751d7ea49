"""A job's tools for those who have no runtime: plain schemas, and plain calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from benchmarks.jobs.job import Job, World
from benchmarks.jobs.servers import SERVERS
from benchmarks.jobs.web import web_config
from mcp import Client, StdioServerParameters, stdio_client
from mcp.types import TextContent

from kronk_agent import Config
from kronk_agent.messages import JsonObject, TextPart
from kronk_agent.runtime import web_tools
from kronk_agent.testing import invoke
from kronk_agent.tools import Tool


@dataclass(frozen=True, slots=True)
class PlainTool:
    """A tool as chat completions have it."""

    name: str
    description: str
    parameters: JsonObject
    call: Callable[[JsonObject], Awaitable[str]]
    """Gives the text the model is to read, also when the tool failed."""

    @property
    def schema(self) -> JsonObject:
        function: JsonObject = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": function}


def function_tools(job: Job, world: World) -> list[PlainTool]:
    """The job's tools that are Python functions."""
    tools = list(job.tools)
    if job.has_web:
        config = web_config(world.web)
        # Nobody here keeps a record of the addresses a conversation has brought up.
        config["web_fetch"] = {**config["web_fetch"], "url_policy": "any"}  # type: ignore[dict-item]
        tools += web_tools(Config.model_validate(config))
    return [
        PlainTool(tool.name, tool.description, tool.parameters, _caller(tool)) for tool in tools
    ]


def _caller(tool: Tool) -> Callable[[JsonObject], Awaitable[str]]:
    async def call(arguments: JsonObject) -> str:
        try:
            output = await invoke(tool, tool.parse_arguments(json.dumps(arguments)))
        except Exception as error:  # noqa: BLE001  # boundary: the model reads what a tool raised
            return f"Error: {error}"
        return "\n".join(part.text for part in output.content if isinstance(part, TextPart))

    return call


def server_parameters(name: str, world: World) -> StdioServerParameters:
    program = SERVERS[name](world.folder)
    return StdioServerParameters(
        command=program.command,
        args=list(program.args),
        env=dict(program.env),
        cwd=str(world.folder),
    )


@asynccontextmanager
async def open_tools(job: Job, world: World) -> AsyncIterator[list[PlainTool]]:
    """All tools of a job, those of its servers by a bare MCP client."""
    async with AsyncExitStack() as stack:
        tools = function_tools(job, world)
        for name in world.servers:
            log = stack.enter_context((world.folder.parent / f"{name}.log").open("w"))
            transport = stdio_client(server_parameters(name, world), errlog=log)
            client = await stack.enter_async_context(Client(transport))
            tools += await _server_tools(client)
        yield tools


async def _server_tools(client: Client) -> list[PlainTool]:
    def caller(name: str) -> Callable[[JsonObject], Awaitable[str]]:
        async def call(arguments: JsonObject) -> str:
            try:
                result = await client.call_tool(name, arguments)
            except Exception as error:  # noqa: BLE001  # boundary: the model reads what went wrong
                return f"Error: {error}"
            return "\n".join(part.text for part in result.content if isinstance(part, TextContent))

        return call

    listed = await client.list_tools()
    return [
        PlainTool(tool.name, tool.description or "", tool.input_schema, caller(tool.name))
        for tool in listed.tools
    ]
