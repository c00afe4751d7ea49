"""LlamaIndex: an agent of its own with a tool, over chat completions or Ollama's API."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import sys

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai_like import OpenAILike


def echo(text: str) -> str:
    """Say what it is told."""
    return text


async def main() -> None:
    url = sys.argv[1]
    if sys.argv[2:] == ["ollama"]:
        model = Ollama(model="scripted", base_url=url, request_timeout=60)
    else:
        model = OpenAILike(
            model="scripted",
            api_base=f"{url}/v1",
            api_key="none",
            is_chat_model=True,
            is_function_calling_model=True,
        )
    print(await FunctionAgent(tools=[echo], llm=model).run("Echo something."))


asyncio.run(main())
