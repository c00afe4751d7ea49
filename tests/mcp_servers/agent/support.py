"""kronk-agent as an MCP server in this process: a scripted model, everything else real."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client

from kronk_agent.config.schema.config import Config
from kronk_agent.runtime import Runtime
from kronk_agent.testing import ScriptedModel, Turn
from kronk_agent.tools import Tool
from kronk_mcp_servers.agent import ClientUser, agent_server

DEMO = {"command": sys.executable, "args": ["-m", "kronk_mcp_servers.demo"]}


@asynccontextmanager
async def connected(
    *turns: Turn,
    tools: Sequence[Tool] = (),
    is_remote: bool = False,
    config: dict[str, Any] | None = None,
    **client: Any,
) -> AsyncIterator[Client]:
    """A client of the agent whose model says these turns. The sessions are in memory."""
    given = {"tools": [], "sessions": {"url": "sqlite://"}, **(config or {})}
    person = ClientUser(is_only_one=not is_remote)
    async with (
        Runtime.open(
            Config.model_validate(given), tools=tools, model=ScriptedModel(turns), person=person
        ) as runtime,
        agent_server(runtime, person, is_remote=is_remote) as server,
    ):
        await runtime.wait_servers_ready()
        async with Client(server, **client) as connected:
            yield connected
