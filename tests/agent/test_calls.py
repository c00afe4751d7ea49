"""Tool calls in a run: side by side, each under its deadline, and every failure a result."""

from __future__ import annotations

import asyncio
import logging
import threading

import anyio
import pytest
from limits import seconds

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.errors import ServerUnavailableError, ToolError
from kronk_agent.messages import (
    Event,
    ImagePart,
    Message,
    TextDelta,
    TextPart,
    ToolCall,
    ToolFinished,
    ToolProgress,
    ToolResult,
    ToolStarted,
)
from kronk_agent.testing import Piece, ScriptedModel, call, collect
from kronk_agent.tools import StaticToolset, Tool, ToolContext, ToolOutput, tool

QUESTION = [Message.user("Go.")]
FAST = AgentOptions(tool_timeout_seconds=0.01)


def agent_with(
    *tools: Tool, turn: Piece | list[Piece], options: AgentOptions | None = None
) -> Agent:
    """An agent that makes the calls of one turn and then says "Done."."""
    model = ScriptedModel([turn, "Done."])
    return Agent(model, [StaticToolset("mine", tools)], options or AgentOptions())


async def results_of(agent: Agent) -> list[ToolResult]:
    with anyio.fail_after(seconds(5)):
        async with agent.run(QUESTION) as run:
            events = await collect(run)
    return [event.result for event in events if isinstance(event, ToolFinished)]


async def failure_of(*tools: Tool, made: ToolCall, options: AgentOptions | None = None) -> str:
    """The one result, which must be an error, as the model reads it."""
    (result,) = await results_of(agent_with(*tools, turn=made, options=options))
    assert result.is_error
    return result.text


# --- side by side ------------------------------------------------------------------------------


async def test_read_only_calls_of_one_turn_run_at_the_same_time() -> None:
    here, there = anyio.Event(), anyio.Event()

    @tool(read_only=True)
    async def ping() -> str:
        """Each waits for the other, so one after the other would never end."""
        here.set()
        await there.wait()
        return "ping"

    @tool(read_only=True)
    async def pong() -> str:
        """The other."""
        there.set()
        await here.wait()
        return "pong"

    results = await results_of(agent_with(ping, pong, turn=[call("ping"), call("pong")]))

    assert {result.text for result in results} == {"ping", "pong"}


async def test_a_tool_runs_while_the_model_still_speaks() -> None:
    called = anyio.Event()

    @tool
    async def look() -> str:
        """Look."""
        called.set()
        return "seen"

    # The model waits for the tool in the middle of its turn.
    agent = agent_with(look, turn=[call("look"), called, "Looking ..."])

    with anyio.fail_after(seconds(5)):
        async with agent.run(QUESTION) as run:
            events = await collect(run)

    (started,) = (index for index, event in enumerate(events) if isinstance(event, ToolStarted))
    assert TextDelta("Look") not in events[:started]
    assert started < events.index(TextDelta("Lookin"))


async def test_results_stand_in_the_order_of_the_calls_whichever_is_done_first() -> None:
    second_is_done = anyio.Event()

    @tool(read_only=True)
    async def first() -> str:
        """Done last."""
        await second_is_done.wait()
        return "first"

    @tool(read_only=True)
    async def second() -> str:
        """Done first."""
        second_is_done.set()
        return "second"

    agent = agent_with(first, second, turn=[call("first"), call("second")])

    async with agent.run(QUESTION) as run:
        events = await collect(run)

    done = [event.result.text for event in events if isinstance(event, ToolFinished)]
    assert done == ["second", "first"]
    assert isinstance(agent.model, ScriptedModel)
    assert agent.model.requests[1].messages[-2:] == (
        Message(role="tool", content=(TextPart("first"),), tool_call_id="call_1", name="first"),
        Message(role="tool", content=(TextPart("second"),), tool_call_id="call_2", name="second"),
    )


async def test_a_plain_function_runs_in_a_thread_and_the_loop_goes_on() -> None:
    loop_went_on = threading.Event()

    @tool(read_only=True)
    def block() -> str:
        """Blocks its thread until the event loop has done something else."""
        assert loop_went_on.wait(timeout=seconds(5))
        return threading.current_thread().name

    @tool(read_only=True)
    async def release() -> str:
        """Runs on the loop."""
        loop_went_on.set()
        return threading.current_thread().name

    results = await results_of(agent_with(block, release, turn=[call("block"), call("release")]))

    names = {result.name: result.text for result in results}
    assert names["release"] == threading.current_thread().name != names["block"]


# --- what a tool gives and is given ------------------------------------------------------------


async def test_parts_and_structured_output_come_through() -> None:
    image = ImagePart(b"\x89PNG", "image/png")

    @tool
    async def draw() -> ToolOutput:
        """Draw."""
        return ToolOutput((TextPart("a cat"), image), structured={"legs": 4})

    results = await results_of(agent_with(draw, turn=call("draw")))

    assert results == [
        ToolResult("call_1", "draw", (TextPart("a cat"), image), structured={"legs": 4})
    ]


async def test_an_output_marked_as_an_error_is_an_error() -> None:
    @tool
    async def refuse() -> ToolOutput:
        """Refuse."""
        return ToolOutput((TextPart("closed on Mondays"),), is_error=True)

    assert await failure_of(refuse, made=call("refuse")) == "closed on Mondays"


def counting_sync(context: ToolContext) -> str:
    """Count, in a thread."""
    for number in range(1, 4):
        context.report_progress(number, 3, f"step {number}")
    return context.call_id


async def counting_async(context: ToolContext) -> str:
    """Count, on the loop."""
    return counting_sync(context)


@pytest.mark.parametrize("function", [counting_sync, counting_async])
async def test_progress_is_told_while_the_tool_runs(function: object) -> None:
    assert callable(function)
    agent = agent_with(tool(name="count")(function), turn=call("count"))

    async with agent.run(QUESTION) as run:
        events = await collect(run)

    (started,) = (event for event in events if isinstance(event, ToolStarted))
    (finished,) = (event for event in events if isinstance(event, ToolFinished))
    assert finished.result.text == "call_1"
    assert events[events.index(started) + 1 : events.index(finished)] == [
        ToolProgress("call_1", 1, 3, "step 1"),
        ToolProgress("call_1", 2, 3, "step 2"),
        ToolProgress("call_1", 3, 3, "step 3"),
    ]


async def test_progress_neither_blocks_a_tool_nor_follows_its_result() -> None:
    contexts: list[ToolContext] = []

    @tool
    async def chatter(context: ToolContext) -> str:
        """Reports much more than anyone reads."""
        contexts.append(context)
        for number in range(10_000):
            context.report_progress(number)
        return "done"

    agent = agent_with(chatter, turn=call("chatter"))
    events: list[Event] = []
    async with agent.run(QUESTION) as run:
        async for event in run:
            events.append(event)
            if isinstance(event, ToolFinished):
                contexts[0].report_progress(1.0, 1.0, "too late")
    contexts[0].report_progress(1.0, 1.0, "the run is over")

    told = [event for event in events if isinstance(event, ToolProgress)]
    assert told[0] == ToolProgress("call_1", 0)
    assert len(told) < 100
    assert not [event for event in told if event.message]


# --- failures ----------------------------------------------------------------------------------


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_an_unknown_tool_is_answered_with_the_names_there_are() -> None:
    text = await failure_of(add, made=call("ad", a=1))

    assert text == "There is no tool 'ad'. The tools are: add"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"a": 1', "the arguments of add are not JSON: "),
        ('{"a": 1, "b": "two"}', "add.b: 'two' is not of type 'integer'."),
        ("[1, 2]", "add arguments: [1, 2] is not of type 'object'."),
    ],
)
async def test_nothing_is_called_with_arguments_that_are_not_valid(
    arguments: str, words: str
) -> None:
    @tool(name="add")
    async def must_not_be_called(a: int, b: int) -> int:
        """Add two numbers."""
        raise AssertionError("called")

    text = await failure_of(must_not_be_called, made=ToolCall("call_9", "add", arguments))

    assert text.startswith(words)


async def test_the_model_reads_why_arguments_were_wrong_and_can_mend_them() -> None:
    model = ScriptedModel([call("add", a=1, b="2"), call("add", a=1, b=2), "It is 3."])

    answer = await Agent(model, [StaticToolset("mine", (add,))]).answer(QUESTION)

    assert [message.text for message in answer.messages if message.role == "tool"] == [
        "add.b: '2' is not of type 'integer'. Valid would be, for example: {\"a\": 1, \"b\": 1}\n"
        "Usage: add(a: integer, b: integer)",
        "3",
    ]


@pytest.mark.parametrize("error", [ToolError("no such city"), ServerUnavailableError("time: down")])
async def test_an_error_meant_for_the_model_is_read_as_it_is(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    @tool
    async def weather() -> str:
        """Weather."""
        raise error

    assert await failure_of(weather, made=call("weather")) == str(error)
    assert not caplog.records


async def test_an_error_inside_a_task_group_of_the_tool_is_found() -> None:
    @tool
    async def weather() -> None:
        """Weather."""
        async with anyio.create_task_group():
            raise ToolError("no such city")

    assert await failure_of(weather, made=call("weather")) == "no such city"


async def test_any_other_exception_is_a_result_and_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @tool
    async def divide(by: int) -> float:
        """Divide one."""
        return 1 / by

    text = await failure_of(divide, made=call("divide", by=0))

    assert text == "failed: ZeroDivisionError: division by zero"
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "tool divide failed")
    assert record.exc_info is not None


async def test_a_tool_that_takes_too_long_is_stopped() -> None:
    was_cancelled = False

    @tool
    async def dawdle() -> None:
        """Dawdle."""
        nonlocal was_cancelled
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            was_cancelled = True
            raise

    text = await failure_of(dawdle, made=call("dawdle"), options=FAST)

    assert text == "dawdle was stopped: it took longer than 0.01 seconds"
    assert was_cancelled


async def test_a_tools_own_deadline_goes_before_the_options() -> None:
    @tool(timeout_seconds=0.02)
    async def dawdle() -> None:
        """Dawdle."""
        await anyio.sleep_forever()

    text = await failure_of(dawdle, made=call("dawdle"))

    assert text == "dawdle was stopped: it took longer than 0.02 seconds"


async def test_a_timeout_inside_a_tool_is_its_own_failure() -> None:
    @tool
    async def fetch() -> None:
        """Fetch."""
        raise TimeoutError

    assert await failure_of(fetch, made=call("fetch")) == "failed: TimeoutError"


async def test_a_thread_that_takes_too_long_is_left_behind() -> None:
    release = threading.Event()

    @tool
    def block() -> None:
        """Block."""
        release.wait(timeout=seconds(5))

    try:
        text = await failure_of(block, made=call("block"), options=FAST)
    finally:
        release.set()

    assert text == "block was stopped: it took longer than 0.01 seconds"


async def test_one_tool_failing_leaves_the_others_alone() -> None:
    @tool
    async def fail() -> None:
        """Fail."""
        raise ValueError("no")

    results = await results_of(
        agent_with(add, fail, turn=[call("fail"), call("add", a=1, b=2), call("nope")])
    )

    assert {result.name: (result.text, result.is_error) for result in results} == {
        "fail": ("failed: ValueError: no", True),
        "add": ("3", False),
        "nope": ("There is no tool 'nope'. The tools are: add, fail", True),
    }


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SystemExit(3), "failed: SystemExit: 3"),
        (KeyboardInterrupt(), "failed: KeyboardInterrupt"),
        (asyncio.CancelledError(), "failed: the tool cancelled itself"),
        (BaseExceptionGroup("two", [SystemExit(1), ValueError("x")]), "failed: SystemExit: 1"),
    ],
)
@pytest.mark.parametrize("is_async", [True, False])
async def test_no_way_of_failing_leaves_the_tool(
    error: BaseException, text: str, is_async: bool
) -> None:
    def fail() -> None:
        """Fail."""
        raise error

    async def fail_later() -> None:
        """Fail."""
        raise error

    made = tool(name="fail")(fail_later if is_async else fail)

    results = await results_of(agent_with(made, add, turn=[call("fail"), call("add", a=1, b=2)]))

    assert [result.text for result in results] == [text, "3"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "done"), (b"\x01\x02", None), ("x" * 50_000_000, None)],
    ids=["none", "bytes", "50 MB"],
)
async def test_whatever_a_tool_returns_the_run_goes_on(value: object, text: str | None) -> None:
    @tool
    async def give() -> object:
        """Give."""
        return value

    agent = agent_with(give, turn=call("give"))

    answer = await agent.answer(QUESTION)

    assert answer.text == "Done."
    (read,) = (message.text for message in answer.messages if message.role == "tool")
    assert read == text if text else len(read) < 100_000
