"""pydantic-ai: an agent of its own with a tool, over chat completions."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import sys

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=f"{sys.argv[1]}/v1", api_key="none")
agent = Agent(OpenAIChatModel("scripted", provider=provider))


@agent.tool_plain
def echo(text: str) -> str:
    """Say what it is told."""
    return text


print(agent.run_sync("Echo something.").output)
