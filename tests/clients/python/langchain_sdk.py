"""LangChain: an agent that has a name, over chat completions and over Ollama's API."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import sys

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI


@tool
def echo(text: str) -> str:
    """Say what it is told."""
    return text


model = (
    ChatOllama(model="scripted", base_url=sys.argv[1])
    if sys.argv[2:] == ["ollama"]
    else ChatOpenAI(model="scripted", base_url=f"{sys.argv[1]}/v1", api_key="none")
)
agent = create_agent(model, [echo], name="echoing")
print(agent.invoke({"messages": [("user", "Echo something.")]})["messages"][-1].content)
