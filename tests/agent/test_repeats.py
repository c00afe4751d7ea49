"""The same call with the same arguments is made once in a run."""

from __future__ import annotations

import anyio
import pytest

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.errors import ToolError
from kronk_agent.messages import Event, Message, RunFinished, ToolCall, ToolStarted
from kronk_agent.testing import ScriptedModel, call
from kronk_agent.tool import StaticToolset, Tool, tool

QUESTION = [Message.user("Go.")]
NOTE = (
    "This call was made before with the same arguments and was not made again. "
    "Answer now, with what is known. The earlier result:\n"
)


class _Counter:
    """A tool that counts how often it is really called."""

    def __init__(self) -> None:
        self.num_calls = 0

        @tool
        async def look(where: str, deep: bool = False) -> str:
            """Look somewhere."""
            self.num_calls += 1
            if where == "nowhere":
                raise ToolError("there is no such place")
            return f"{where} {self.num_calls}"

        self.tool: Tool = look
        self.toolset = StaticToolset("counter", (look,))


def tool_texts(messages: tuple[Message, ...]) -> list[str]:
    return [message.text for message in messages if message.role == "tool"]


async def test_a_repeated_call_gets_the_earlier_result_and_then_the_model_must_answer() -> None:
    counter = _Counter()
    model = ScriptedModel([call("look", where="box"), call("look", where="box"), "A cat."])

    answer = await Agent(model, [counter.toolset]).answer(QUESTION)

    assert counter.num_calls == 1
    assert tool_texts(answer.messages) == ["box 1", f"{NOTE}box 1"]
    assert [request.tool_choice.mode for request in model.requests] == ["auto", "auto", "none"]
    assert (answer.reason, answer.text) == ("stop", "A cat.")


@pytest.mark.parametrize(
    "again", ['{"where":"box","deep":true}', '{ "deep": true, "where": "b\\u006fx" }']
)
async def test_arguments_are_compared_by_what_they_mean(again: str) -> None:
    counter = _Counter()
    first = ToolCall("a", "look", '{"where": "box", "deep": true}')
    model = ScriptedModel([first, ToolCall("b", "look", again), "A cat."])

    await Agent(model, [counter.toolset]).answer(QUESTION)

    assert counter.num_calls == 1


async def test_other_arguments_are_another_call() -> None:
    counter = _Counter()
    model = ScriptedModel(
        [call("look", where="box"), call("look", where="box", deep=True), "A cat."]
    )

    await Agent(model, [counter.toolset]).answer(QUESTION)

    assert counter.num_calls == 2
    assert [request.tool_choice.mode for request in model.requests] == ["auto"] * 3


async def test_the_same_call_twice_in_one_turn_is_made_once() -> None:
    release = anyio.Event()
    num_calls = 0

    @tool
    async def wait() -> str:
        """Still running when it is called again."""
        nonlocal num_calls
        num_calls += 1
        await release.wait()
        return "waited"

    model = ScriptedModel([[call("wait"), call("wait")], "Done."])
    agent = Agent(model, [StaticToolset("x", (wait,))])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(agent.answer, QUESTION)
            await anyio.wait_all_tasks_blocked()
            release.set()

    assert num_calls == 1
    assert tool_texts(model.requests[1].messages) == ["waited", f"{NOTE}waited"]


async def test_a_failed_call_is_not_made_again_either() -> None:
    counter = _Counter()
    model = ScriptedModel([call("look", where="nowhere"), call("look", where="nowhere"), "No."])

    answer = await Agent(model, [counter.toolset]).answer(QUESTION)

    assert counter.num_calls == 1
    assert tool_texts(answer.messages)[1] == f"{NOTE}there is no such place"


async def test_each_run_starts_anew() -> None:
    counter = _Counter()
    model = ScriptedModel([call("look", where="box"), "A cat."] * 2)
    agent = Agent(model, [counter.toolset])

    await agent.answer(QUESTION)
    await agent.answer(QUESTION)

    assert counter.num_calls == 2


async def test_a_model_that_repeats_for_ever_ends_with_its_steps() -> None:
    counter = _Counter()

    def stubborn(_: object) -> ToolCall:
        return call("look", where="box")

    model = ScriptedModel([stubborn, stubborn, "Very well."])

    answer = await Agent(model, [counter.toolset], AgentOptions(max_steps=3)).answer(QUESTION)

    assert (answer.steps, answer.text, counter.num_calls) == (3, "Very well.", 1)


async def test_a_tool_that_cancels_itself_leaves_nobody_waiting() -> None:
    started = anyio.Event()

    @tool
    async def give_up() -> None:
        """Gives up the way a library that lost its connection may."""
        await started.wait()
        raise anyio.get_cancelled_exc_class()

    model = ScriptedModel([[call("give_up"), call("give_up"), started], "Done."])
    agent = Agent(model, [StaticToolset("x", (give_up,))])

    last: Event | None = None
    with anyio.fail_after(5):
        async with agent.run(QUESTION) as run:
            async for last in run:
                if isinstance(last, ToolStarted) and last.call.id == "call_2":
                    started.set()

    assert isinstance(last, RunFinished)
    assert tool_texts(last.messages) == [
        "cancelled before it was finished",
        "The same call was made before and was cancelled",
    ]
