"""CrewAI: a crew of one agent that has a tool."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import sys

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool


@tool("echo")
def echo(text: str) -> str:
    """Say what it is told."""
    return text


model = LLM(model="openai/scripted", base_url=f"{sys.argv[1]}/v1", api_key="none")
agent = Agent(role="Echo", goal="Echo things.", backstory="", tools=[echo], llm=model)
task = Task(description="Echo something.", expected_output="What was said.", agent=agent)
print(Crew(agents=[agent], tasks=[task]).kickoff().raw)
