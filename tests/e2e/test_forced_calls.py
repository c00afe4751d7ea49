"""Tool calls cannot be malformed: many hot calls of a tiny model, all valid."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import anyio
import jsonschema
import pytest
from pydantic import BaseModel, Field

from kronk_agent import Message, Runtime, SamplingParams, Tool, ToolChoice, tool
from kronk_agent.messages import ToolCallArguments, ToolCallEnd, ToolCallStart
from kronk_agent.model import ChatModel, ChatRequest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NUM_CALLS = 200


class Address(BaseModel):
    street: str = Field(max_length=30)
    zip_code: str = Field(pattern=r"^[0-9]{5}$")
    country: Literal["DE", "FR", "US"]


class Order(BaseModel):
    item: Literal["book", "lamp", "chair"]
    count: int = Field(ge=1, le=12)
    ship_to: Address


@tool
def place_orders(
    orders: Annotated[list[Order], Field(min_length=1, max_length=3)], express: bool = False
) -> None:
    """Order things from the shop."""


@tool
def set_alarm(
    hour: Annotated[int, Field(ge=0, le=23)], minute: Annotated[int, Field(ge=0, le=59)]
) -> None:
    """Set the alarm clock."""


@tool
def search_library(
    title: Annotated[str, Field(max_length=40)],
    kinds: Annotated[list[Literal["novel", "poem", "play"]], Field(min_length=1, max_length=3)],
    year: Annotated[int, Field(ge=1450, le=2030)] | None = None,
) -> None:
    """Find books."""


@tool
def move_robot(path: Annotated[list[tuple[int, int]], Field(min_length=1, max_length=4)]) -> None:
    """Drive along points."""


@tool
def mix_paint(
    red: Annotated[float, Field(ge=0, le=1)],
    green: Annotated[float, Field(ge=0, le=1)],
    finish: Literal["matte", "glossy"] = "matte",
) -> None:
    """Mix a colour."""


TOOLS: tuple[Tool, ...] = (place_orders, set_alarm, search_library, move_robot, mix_paint)


@pytest.fixture
async def model() -> AsyncIterator[ChatModel]:
    async with Runtime.open() as runtime:
        yield await runtime.chat_model()


async def calls_of_one_turn(model: ChatModel, seed: int) -> list[tuple[str, str]]:
    request = ChatRequest(
        messages=(Message.user("Do something useful with one of your tools."),),
        tools=TOOLS,
        tool_choice=ToolChoice("required"),
        parallel_tool_calls=False,
        sampling=SamplingParams(temperature=1.5, top_k=0, top_p=1, min_p=0, seed=seed),
    )
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    done: list[int] = []
    async for delta in model.stream(request):
        match delta:
            case ToolCallStart(index, _, name):
                names[index], arguments[index] = name, ""
            case ToolCallArguments(index, fragment):
                arguments[index] += fragment
            case ToolCallEnd(index):
                done.append(index)
            case _:
                pass
    return [(names[index], arguments[index]) for index in done]


async def test_two_hundred_required_calls_at_temperature_one_and_a_half_are_valid(
    model: ChatModel,
) -> None:
    turns: list[list[tuple[str, str]]] = []
    seeds = iter(range(NUM_CALLS))

    async def worker() -> None:
        for seed in seeds:
            turns.append(await calls_of_one_turn(model, seed))

    async with anyio.create_task_group() as group:
        for _ in range(16):
            group.start_soon(worker)

    schemas = {tool.name: tool.parameters for tool in TOOLS}
    assert len(turns) == NUM_CALLS
    for turn in turns:
        [(name, arguments)] = turn
        jsonschema.validate(json.loads(arguments), schemas[name])
