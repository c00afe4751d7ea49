"""The scripted model keeps the contract of ``ChatModel``."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

import anyio
import pytest

from kronk_agent import testing
from kronk_agent.agent import Agent
from kronk_agent.errors import ContextLengthError, EngineError
from kronk_agent.messages import (
    Finish,
    Message,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from kronk_agent.model import ChatModel, ChatRequest
from kronk_agent.settings import ToolChoice
from kronk_agent.testing import Piece, ScriptedModel, ScriptError, call, collect
from kronk_agent.tools import StaticToolset, tool

HELLO = ChatRequest(messages=(Message.user("Hello."),))
PROMPT_TOKENS = 5


@tool
def look(where: str) -> None:
    """Look."""


@tool
def wait() -> None:
    """Wait."""


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def request_with(choice: ToolChoice, *, parallel_tool_calls: bool = True) -> ChatRequest:
    return ChatRequest(
        messages=HELLO.messages,
        tools=(look, wait),
        tool_choice=choice,
        parallel_tool_calls=parallel_tool_calls,
    )


async def test_text_comes_a_token_at_a_time() -> None:
    model: ChatModel = ScriptedModel(["Good morning, Ann!"])

    deltas = await collect(model.stream(HELLO))

    words = ["Good", " mornin", "g", ",", " Ann", "!"]
    assert deltas == [*map(TextDelta, words), Finish("stop", Usage(PROMPT_TOKENS, 6))]


async def test_reasoning_text_and_calls_come_in_the_order_of_the_script() -> None:
    model = ScriptedModel(
        [[ReasoningDelta("Hm."), "So:", call("wait"), ToolCall("mine", "look", "{}")]]
    )

    deltas = await collect(model.stream(HELLO))

    assert deltas == [
        ReasoningDelta("Hm"),
        ReasoningDelta("."),
        TextDelta("So"),
        TextDelta(":"),
        ToolCallStart(0, "call_1", "wait"),
        ToolCallArguments(0, "{"),
        ToolCallArguments(0, "}"),
        ToolCallEnd(0),
        ToolCallStart(1, "mine", "look"),
        ToolCallArguments(1, "{"),
        ToolCallArguments(1, "}"),
        ToolCallEnd(1),
        Finish("tool_calls", Usage(PROMPT_TOKENS, 10, reasoning_tokens=2)),
    ]


async def test_a_function_sees_the_request_and_requests_are_kept() -> None:
    model = ScriptedModel([lambda request: f"{len(request.messages)}", ["a", "b"]])

    assert (await collect(model.stream(HELLO)))[0] == TextDelta("1")
    assert (await collect(model.stream(HELLO)))[:2] == [TextDelta("a"), TextDelta("b")]
    assert model.requests == [HELLO, HELLO]


async def test_an_exception_is_raised_where_it_stands() -> None:
    model = ScriptedModel([["Well", EngineError("closed")]])
    deltas = model.stream(HELLO)

    assert await anext(deltas) == TextDelta("Well")
    with pytest.raises(EngineError, match="closed"):
        await anext(deltas)
    assert model.num_interrupted == 0


async def test_an_event_holds_the_model_until_it_is_set() -> None:
    gate = anyio.Event()
    model = ScriptedModel([["Well", gate, "then"]])

    async with aclosing(model.stream(HELLO)) as deltas:
        assert await anext(deltas) == TextDelta("Well")
        gate.set()
        assert await anext(deltas) == TextDelta("then")


async def test_a_turn_that_is_closed_early_is_counted_and_a_finished_one_is_not() -> None:
    model = ScriptedModel([["Well", anyio.Event()], "Well", ["Well", anyio.Event()]])

    async with aclosing(model.stream(HELLO)) as deltas:
        await anext(deltas)
    assert model.num_interrupted == 1
    await collect(model.stream(HELLO))
    assert model.num_interrupted == 1
    with anyio.move_on_after(0.01):
        await collect(model.stream(HELLO))
    assert model.num_interrupted == 2


async def test_max_tokens_cuts_a_turn_also_within_a_call() -> None:
    request = ChatRequest(messages=HELLO.messages, max_tokens=3)
    model = ScriptedModel(["one two three four", [call("look", where="box")], "one two three"])

    finishes = [(await collect(model.stream(request)))[-1] for _ in range(3)]

    length = Finish("length", Usage(PROMPT_TOKENS, 3))
    assert finishes == [length, length, Finish("stop", Usage(PROMPT_TOKENS, 3))]


async def test_the_context_cuts_a_turn_and_refuses_a_prompt_that_fills_it() -> None:
    model = ScriptedModel(["one two three"] * 2, context_length=7)
    long = ChatRequest(messages=(Message.user("one two three four"),))

    assert (await collect(model.stream(HELLO)))[-1] == Finish("length", Usage(PROMPT_TOKENS, 2))
    with pytest.raises(
        ContextLengthError, match="context length is 7 tokens, and the prompt is too long: 7"
    ):
        await collect(model.stream(long))


@pytest.mark.parametrize(
    ("turn", "request_", "words"),
    [
        (call("look"), request_with(ToolChoice("none")), "calls look, but tool_choice is none"),
        ("Hi.", request_with(ToolChoice("required")), "makes no call, but tool_choice is required"),
        ("Hi.", request_with(ToolChoice("named", "look")), "makes no call, but .* is look"),
        (call("wait"), request_with(ToolChoice("named", "look")), "calls wait, but .* is look"),
        (
            [call("wait"), call("look")],
            request_with(ToolChoice("auto"), parallel_tool_calls=False),
            "makes 2 calls, but parallel_tool_calls is false",
        ),
    ],
)
async def test_a_script_that_breaks_a_models_promises_is_an_error(
    turn: Piece | list[Piece], request_: ChatRequest, words: str
) -> None:
    with pytest.raises(ScriptError, match=f"turn 1 of the script {words}"):
        await collect(ScriptedModel([turn]).stream(request_))


async def test_a_script_that_has_run_out_is_an_error() -> None:
    with pytest.raises(ScriptError, match="it has 0 turns, and turn 1 was requested"):
        await collect(ScriptedModel([]).stream(HELLO))


async def test_the_example_of_the_module_works() -> None:
    assert testing.__doc__ is not None
    example = [line for line in testing.__doc__.splitlines() if line.startswith("    ")]
    names = {"Agent": Agent, "StaticToolset": StaticToolset, "Message": Message, "add": add}
    scope = {**vars(testing), **names}

    exec("\n".join(["async def main():", *example]), scope)
    await scope["main"]()

    assert len(example) == 3


async def test_a_stop_text_ends_a_turn() -> None:
    request = replace(HELLO, stop=("never", "mor", "Ann"))

    deltas = await collect(ScriptedModel([["Good morning, Ann!", call("wait")]]).stream(request))

    assert deltas == [
        *map(TextDelta, ["Good", " "]),
        Finish("stop", Usage(PROMPT_TOKENS, 2), stop_sequence="mor"),
    ]


async def test_logprobs_come_with_every_token_where_they_are_asked_for() -> None:
    request = replace(HELLO, logprobs=True, top_logprobs=2)

    deltas = await collect(ScriptedModel([[ReasoningDelta("Hm"), "Good"]]).stream(request))

    token = TokenLogprob("Good", b"Good", None, -0.5)
    other = TokenLogprob("other_1", b"other_1", None, -1.5)
    assert deltas[:2] == [
        ReasoningDelta("Hm"),
        TextDelta("Good", (replace(token, top=(token, other)),)),
    ]
