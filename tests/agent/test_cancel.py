"""Stopping a run: by ``cancel``, by leaving the block, or from outside."""

from __future__ import annotations

import anyio
import pytest
from limits import seconds

from kronk_agent.agent import Agent, Run
from kronk_agent.messages import (
    Event,
    Message,
    RunFinished,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallStart,
    ToolStarted,
    Usage,
)
from kronk_agent.testing import ScriptedModel, call, collect
from kronk_agent.tools import StaticToolset, tool

QUESTION = [Message.user("Go.")]


class _Sleeper:
    """A tool that sleeps until it is cancelled, and says so."""

    def __init__(self, *, read_only: bool = False) -> None:
        self.num_cancelled = 0

        @tool(read_only=read_only)
        async def sleep() -> None:
            """Sleep."""
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                self.num_cancelled += 1
                raise

        self.toolset = StaticToolset("sleeper", (sleep,))


async def cancelled_at(run: Run, moment: Event | type[Event]) -> RunFinished:
    """Read up to a moment, cancel there, and give the last event."""
    last: Event | None = None
    with anyio.fail_after(seconds(5)):
        async for last in run:
            if last == moment or (isinstance(moment, type) and isinstance(last, moment)):
                run.cancel()
    assert isinstance(last, RunFinished)
    return last


async def test_cancelled_in_the_middle_of_the_text_keeps_the_text_so_far() -> None:
    model = ScriptedModel([["It is", anyio.Event(), "3."]])

    async with Agent(model).run(QUESTION) as run:
        last = await cancelled_at(run, TextDelta(" is"))

    assert last == RunFinished("cancelled", (Message.assistant("It is"),), Usage(), steps=1)
    assert model.num_interrupted == 1


async def test_cancelled_before_a_word_was_said_adds_nothing() -> None:
    model = ScriptedModel([anyio.Event()])

    async with Agent(model).run(QUESTION) as run:
        await anyio.wait_all_tasks_blocked()
        run.cancel()
        *_, last = await collect(run)

    assert last == RunFinished("cancelled", (), Usage(), steps=1)


async def test_cancelled_before_it_began_never_asks_the_model() -> None:
    model = ScriptedModel([])

    async with Agent(model).run(QUESTION) as run:
        run.cancel()
        events = await collect(run)

    assert events == [RunFinished("cancelled", (), Usage(), steps=0)]


async def test_cancelled_in_the_middle_of_a_tool_stops_it_and_answers_its_call() -> None:
    sleeper = _Sleeper()
    model = ScriptedModel([["Wait.", call("sleep")]])

    async with Agent(model, [sleeper.toolset]).run(QUESTION) as run:
        last = await cancelled_at(run, ToolStarted)

    assert sleeper.num_cancelled == 1
    assert last.reason == "cancelled"
    assert last.messages == (
        Message.assistant("Wait.", (ToolCall("call_1", "sleep", "{}"),)),
        Message(
            role="tool",
            content=(TextPart("cancelled before it was finished"),),
            tool_call_id="call_1",
            name="sleep",
        ),
    )


async def test_cancelled_keeps_the_results_there_are() -> None:
    quick_is_done = anyio.Event()
    sleeper = _Sleeper(read_only=True)

    @tool(read_only=True)
    async def quick() -> str:
        """Quick."""
        quick_is_done.set()
        return "there"

    model = ScriptedModel([[call("sleep"), call("quick"), quick_is_done, "So", anyio.Event()]])
    toolsets = [sleeper.toolset, StaticToolset("quick", (quick,))]

    async with Agent(model, toolsets).run(QUESTION) as run:
        last = await cancelled_at(run, TextDelta("So"))

    assert [message.text for message in last.messages] == [
        "So",
        "cancelled before it was finished",
        "there",
    ]
    assert (model.num_interrupted, sleeper.num_cancelled) == (1, 1)


async def test_cancelled_in_the_middle_of_a_calls_arguments_leaves_the_call_out() -> None:
    # Far more tokens than a run is ahead of its reader, so the call cannot be complete.
    model = ScriptedModel([["Let me say.", call("say", text="blah " * 500)]])

    async with Agent(model).run(QUESTION) as run:
        last = await cancelled_at(run, ToolCallStart)

    assert last.messages == (Message.assistant("Let me say."),)


async def test_cancelled_in_a_later_step_keeps_the_steps_before() -> None:
    @tool
    async def look() -> str:
        """Look."""
        return "seen"

    model = ScriptedModel([call("look"), ["I saw", anyio.Event()]])

    async with Agent(model, [StaticToolset("x", (look,))]).run(QUESTION) as run:
        last = await cancelled_at(run, TextDelta(" saw"))

    assert [message.text for message in last.messages] == ["", "seen", "I saw"]
    assert (last.steps, last.usage) == (2, Usage(16, 3))


async def test_what_a_cancelled_run_leaves_can_be_continued() -> None:
    sleeper = _Sleeper()
    model = ScriptedModel([call("sleep"), "Good morning."])
    agent = Agent(model, [sleeper.toolset])
    async with agent.run(QUESTION) as run:
        last = await cancelled_at(run, ToolStarted)

    answer = await agent.answer([*QUESTION, *last.messages, Message.user("Wake up.")])

    assert (answer.reason, answer.text) == ("stop", "Good morning.")


async def test_cancelling_twice_or_too_late_changes_nothing() -> None:
    async with Agent(ScriptedModel(["Hello."])).run(QUESTION) as run:
        events = await collect(run)
        run.cancel()
        run.cancel()

    assert isinstance(events[-1], RunFinished)
    assert events[-1].reason == "stop"


async def test_leaving_early_stops_the_model_and_the_tools_and_waits_for_them() -> None:
    sleeper = _Sleeper()
    model = ScriptedModel([[call("sleep"), "So", anyio.Event()]])

    with anyio.fail_after(seconds(5)):
        async with Agent(model, [sleeper.toolset]).run(QUESTION) as run:
            async for event in run:
                if event == TextDelta("So"):
                    break

    assert (model.num_interrupted, sleeper.num_cancelled) == (1, 1)


async def test_leaving_without_reading_anything_is_fine() -> None:
    with anyio.fail_after(seconds(5)):
        async with Agent(ScriptedModel(["Hello."])).run(QUESTION):
            pass


async def test_a_caller_that_is_cancelled_takes_the_run_with_it() -> None:
    sleeper = _Sleeper()
    agent = Agent(ScriptedModel([call("sleep")]), [sleeper.toolset])

    with anyio.fail_after(seconds(5)):
        async with anyio.create_task_group() as group:
            group.start_soon(agent.answer, QUESTION)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    assert sleeper.num_cancelled == 1


async def test_a_deadline_of_the_caller_ends_a_run() -> None:
    agent = Agent(ScriptedModel([anyio.Event()]))

    with pytest.raises(TimeoutError), anyio.fail_after(0.01):
        await agent.answer(QUESTION)


async def test_a_group_of_errors_of_the_callers_own_comes_out_whole() -> None:
    with pytest.raises(ExceptionGroup) as info:
        async with Agent(ScriptedModel(["Hi"])).run([Message.user("x")]):
            raise ExceptionGroup("mine", [ValueError("a"), KeyError("b")])

    assert info.value.message == "mine"
    assert [type(error) for error in info.value.exceptions] == [ValueError, KeyError]
