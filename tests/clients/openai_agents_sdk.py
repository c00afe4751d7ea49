"""openai-agents: an agent of its own with a tool, over chat completions."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import sys

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI


@function_tool
def echo(text: str) -> str:
    """Say what it is told."""
    return text


async def main() -> None:
    set_tracing_disabled(True)
    client = AsyncOpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none")
    model = OpenAIChatCompletionsModel("scripted", client)
    result = await Runner.run(Agent("echoing", model=model, tools=[echo]), "Echo something.")
    print(result.final_output)


asyncio.run(main())
