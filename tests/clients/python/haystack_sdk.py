"""Haystack: an agent of its own with a tool, over chat completions."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import sys
from typing import Annotated

from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import tool
from haystack.utils import Secret


@tool
def echo(text: Annotated[str, "what to say"]) -> str:
    """Say what it is told."""
    return text


generator = OpenAIChatGenerator(
    api_key=Secret.from_token("none"), model="scripted", api_base_url=f"{sys.argv[1]}/v1"
)
agent = Agent(chat_generator=generator, tools=[echo])
print(agent.run(messages=[ChatMessage.from_user("Echo something.")])["messages"][-1].text)
