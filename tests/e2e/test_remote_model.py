"""A model on a real llama-server, as `make bench-baseline` builds it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from benchmarks.baseline import LlamaServer, llama_server, program

from kronk_agent import Config, Message, Runtime, SamplingParams, ToolChoice, tool
from kronk_agent.chat.remote.tool_choice_fallback import CollectedTurn
from kronk_agent.config.schema.model import RemoteModelConfig
from kronk_agent.errors import ContextLengthError, InvalidRequestError
from kronk_agent.model import ChatModel, ChatRequest
from kronk_agent.testing import collect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

GREEDY = SamplingParams(temperature=0)


@tool
def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


@tool
def now() -> str:
    """The time of day."""
    return "12:00"


ASK = ChatRequest(
    messages=(Message.user("What is 2 + 3?"),),
    tools=(add, now),
    sampling=GREEDY,
    max_tokens=128,
    parallel_tool_calls=False,
)


@pytest.fixture(scope="module")
def server(starter_model: Path) -> Iterator[LlamaServer]:
    try:
        program("llama-server")
    except SystemExit as missing:
        pytest.skip(str(missing))
    with llama_server(starter_model, "-c", "2048", "-np", "1", "-t", "1") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def model(server: LlamaServer) -> AsyncIterator[ChatModel]:
    there = RemoteModelConfig(url=f"{server.url}/v1", model="smol", type="llama-server")
    async with Runtime.open(Config(model="there", models={"there": there})) as runtime:
        yield await runtime.chat_model()


async def turn_of(model: ChatModel, request: ChatRequest) -> CollectedTurn:
    turn = CollectedTurn()
    for delta in await collect(model.stream(request)):
        turn.add(delta)
    return turn


async def test_the_server_says_how_long_its_context_is(model: ChatModel) -> None:
    assert model.info.context_length == 2048


async def test_a_call_that_must_come_comes(model: ChatModel) -> None:
    turn = await turn_of(model, replace(ASK, tool_choice=ToolChoice("required")))

    (call,) = turn.calls
    assert call.name in {"add", "now"}


async def test_the_named_tool_is_called_with_valid_arguments(model: ChatModel) -> None:
    turn = await turn_of(model, replace(ASK, tool_choice=ToolChoice("named", "add")))

    (call,) = turn.calls
    assert call.name == "add"
    assert add.parse_arguments(call.arguments).keys() == {"a", "b"}


async def test_an_answer_is_in_words_when_no_tool_may_be_called(model: ChatModel) -> None:
    turn = await turn_of(model, replace(ASK, tool_choice=ToolChoice("none")))

    assert turn.text
    assert not turn.calls
    assert turn.finish is not None
    assert turn.finish.usage.completion_tokens > 0
    again = await turn_of(model, replace(ASK, tool_choice=ToolChoice("none")))
    assert again.finish is not None
    assert again.finish.usage.cached_tokens > 0


async def test_a_prompt_that_is_too_long_is_told_with_both_lengths(model: ChatModel) -> None:
    long = replace(ASK, messages=(Message.user("word " * 3000),), tools=())

    with pytest.raises(ContextLengthError) as told:
        await turn_of(model, long)
    assert told.value.context_length == 2048
    assert told.value.num_prompt_tokens > 3000


async def test_what_the_server_refuses_is_told_in_its_words(model: ChatModel) -> None:
    late = replace(ASK, messages=(Message.user("Hi"),), tools=(), stop=("x",), max_tokens=1)
    wrong = replace(late, sampling=replace(GREEDY, dry_multiplier=1.0, dry_sequence_breakers=()))

    with pytest.raises(InvalidRequestError, match="dry_sequence_breakers"):
        await turn_of(model, wrong)
