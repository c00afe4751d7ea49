"""AutoGen: an agent that names who speaks, over chat completions."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import sys

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient


async def echo(text: str) -> str:
    """Say what it is told."""
    return text


async def main() -> None:
    client = OpenAIChatCompletionClient(
        model="scripted",
        base_url=f"{sys.argv[1]}/v1",
        api_key="none",
        model_info={
            "vision": False,
            "function_calling": True,
            "json_output": True,
            "structured_output": True,
            "family": "unknown",
        },
    )
    agent = AssistantAgent("echoing", client, tools=[echo], reflect_on_tool_use=True)
    print((await agent.run(task="Echo something.")).messages[-1].content)
    await client.close()


asyncio.run(main())
