"""Semantic Kernel: an agent with a plugin, over chat completions."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import sys

from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function


class Tools:
    @kernel_function(name="echo", description="Say what it is told.")
    def echo(self, text: str) -> str:
        return text


async def main() -> None:
    client = AsyncOpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none")
    service = OpenAIChatCompletion(ai_model_id="scripted", async_client=client)
    agent = ChatCompletionAgent(service=service, name="echoing", plugins=[Tools()])
    print(await agent.get_response(messages="Echo something."))


asyncio.run(main())
