"""smolagents: an agent that answers by a call too, over chat completions."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import sys

from smolagents import OpenAIModel, ToolCallingAgent, tool


@tool
def echo(text: str) -> str:
    """Say what it is told.

    Args:
        text: what to say.
    """
    return text


model = OpenAIModel(model_id="scripted", api_base=f"{sys.argv[1]}/v1", api_key="none")
print(ToolCallingAgent(tools=[echo], model=model, max_steps=3).run("Echo something."))
