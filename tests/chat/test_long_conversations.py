"""Conversations longer than the context, counted by a real tokenizer and template."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.chat.local import LocalChatModel
from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.errors import ContextLengthError
from kronk_agent.messages import ContextCompacted, Message, RunFinished
from kronk_agent.model import ChatRequest
from kronk_agent.settings import SamplingParams
from kronk_agent.testing import Piece, ScriptedModel, call, collect
from kronk_agent.tools import StaticToolset, Tool, tool

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTEXT_LENGTH = 4096
SUMMARY = {"summary": "Boxes were opened.", "facts": ["box 1 is empty"], "open_tasks": ["go on"]}


@pytest.fixture(scope="module")
def real(engine: Engine) -> LocalChatModel:
    """The starter model, whose template knows no tools."""
    return LocalChatModel(engine, "starter")


@tool
async def open_box(number: int) -> str:
    """Open a box and read the notes in it."""
    return f"Box {number}: " + " ".join(f"note {n} says the box is empty," for n in range(30))


async def test_forty_steps_of_tools_fit_a_context_of_4096_tokens(real: LocalChatModel) -> None:
    numbers = itertools.count(1)

    def turn(request: ChatRequest) -> Piece:
        if request.response_format.type == "json_schema":
            return json.dumps(SUMMARY)
        number = next(numbers)
        return call("open_box", number=number) if number <= 40 else "All boxes are empty."

    model = ScriptedModel([turn] * 80, context_length=CONTEXT_LENGTH, counts_like=real)
    agent = Agent(model, [StaticToolset("mine", (open_box,))], AgentOptions(max_steps=50))

    async with agent.run([Message.user("Open the boxes 1 to 40.")]) as run:
        events = await collect(run)

    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert (finished.reason, finished.steps) == ("stop", 41)
    assert finished.text == "All boxes are empty."
    kinds = [event.kind for event in events if isinstance(event, ContextCompacted)]
    assert set(kinds) == {"tool_results", "summary"}
    for request in model.requests:
        assert await real.count_prompt_tokens(request) <= 0.8 * CONTEXT_LENGTH + 512
    turns = [r for r in model.requests if r.response_format.type == "text"]
    assert all(r.messages[-1].text.endswith("note 29 says the box is empty,") for r in turns[1:])


async def test_the_tools_that_take_the_context_are_named(real: LocalChatModel) -> None:
    def described(name: str, size: int) -> Tool:
        return Tool(name=name, description="word " * size, parameters={"type": "object"})

    sizes = {"small": 20, "huge": 3000, "large": 2000, "medium": 100}
    tools = tuple(described(name, size) for name, size in sizes.items())

    finished = await Agent(real, [StaticToolset("mine", tools)]).answer([Message.user("Hi.")])

    error = finished.exception
    assert isinstance(error, ContextLengthError)
    assert error.param == "tools"
    assert [*sorted(error.tool_tokens, key=error.tool_tokens.__getitem__)] == [
        "small",
        "medium",
        "large",
        "huge",
    ]
    assert str(error).endswith(
        " tokens. The tools take most, above all "
        f"huge ({error.tool_tokens['huge']}), large ({error.tool_tokens['large']}), "
        f"medium ({error.tool_tokens['medium']}): use fewer or raise engine.context_length"
    )


async def test_a_real_model_writes_the_summary_under_the_schema(starter_model: Path) -> None:
    story = " ".join(f"Room {n} has {n} chairs." for n in range(44))
    messages = [
        message
        for n in range(3)
        for message in (Message.user(f"Part {n}. {story}"), Message.assistant("I see."))
    ]
    options = AgentOptions(max_tokens=4, sampling=SamplingParams(temperature=0))

    async with await Engine.open(
        starter_model, EngineParams(context_length=1024, threads=1)
    ) as small:
        agent = Agent(LocalChatModel(small, "starter"), (), options)
        async with agent.run([*messages, Message.user("How are you?")]) as run:
            events = await collect(run)

    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert [e.kind for e in events if isinstance(e, ContextCompacted)] == ["summary"]
    assert (finished.error, finished.steps) == (None, 1)
    assert finished.usage.completion_tokens > 4  # those of the summary are counted too
