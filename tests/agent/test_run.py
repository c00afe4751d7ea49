"""The loop as a caller sees it: a scripted model, real tools, and the events of the run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
import pytest
from limits import seconds

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.errors import EngineError, InvalidRequestError, ModelError, OverloadedError
from kronk_agent.messages import (
    Delta,
    Message,
    Notice,
    ReasoningDelta,
    RunFinished,
    StepFinished,
    StepStarted,
    TextDelta,
    TextPart,
    Timings,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    ToolFinished,
    ToolStarted,
    Usage,
)
from kronk_agent.model import ChatRequest
from kronk_agent.settings import SamplingParams, ToolChoice
from kronk_agent.testing import ScriptedModel, ScriptError, Turn, call, collect
from kronk_agent.tools import StaticToolset, Tool, tool

QUESTION = [Message.user("What is 1 + 2?")]


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def shout(text: str) -> str:
    """Make it loud."""
    return text.upper()


CALCULATOR = StaticToolset("calculator", (add,))


async def test_every_event_of_a_run_with_a_call_comes_in_order() -> None:
    model = ScriptedModel([call("add", a=1, b=2), "It is 3."])

    async with Agent(model, [CALCULATOR], AgentOptions(instructions="")).run(QUESTION) as run:
        events = await collect(run)

    made = ToolCall("call_1", "add", '{"a": 1, "b": 2}')
    asked = Message.assistant("", (made,))
    (finished,) = (event for event in events if isinstance(event, ToolFinished))
    answered = Message(role="tool", content=(TextPart("3"),), tool_call_id="call_1", name="add")
    said = Message.assistant("It is 3.")
    assert finished.result.to_message() == answered
    assert [event for event in events if not isinstance(event, ToolCallArguments)] == [
        StepStarted(1),
        ToolCallStart(0, "call_1", "add"),
        ToolCallEnd(0),
        ToolStarted(made),
        finished,
        StepFinished(1, asked, Usage(9, 14), Timings()),
        StepStarted(2),
        TextDelta("It"),
        TextDelta(" is"),
        TextDelta(" 3"),
        TextDelta("."),
        StepFinished(2, said, Usage(30, 4), Timings()),
        RunFinished("stop", (asked, answered, said), Usage(39, 18), steps=2),
    ]


async def test_an_answer_is_the_run_collected() -> None:
    agent = Agent(ScriptedModel([call("add", a=1, b=2), "It is 3."] * 2), [CALCULATOR])

    async with agent.run(QUESTION) as run:
        *_, last = await collect(run)
    answer = await agent.answer(QUESTION)

    assert isinstance(last, RunFinished)
    assert answer.text == last.text == "It is 3."
    assert answer.usage == last.usage


async def test_reasoning_stays_apart_from_the_text() -> None:
    agent = Agent(ScriptedModel([[ReasoningDelta("One and two."), "It is 3."]]))

    async with agent.run(QUESTION) as run:
        events = await collect(run)

    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    assert thought == "One and two."
    assert events[-1] == RunFinished(
        "stop",
        (Message(role="assistant", content=(TextPart("It is 3."),), reasoning="One and two."),),
        Usage(20, 8, reasoning_tokens=4),
        steps=1,
    )


async def test_the_model_is_asked_with_the_options() -> None:
    model = ScriptedModel(["3"])
    sampling = SamplingParams(temperature=0.0, seed=1)
    options = AgentOptions(sampling=sampling, max_tokens=7, parallel_tool_calls=False)

    await Agent(model, [CALCULATOR], options).answer(QUESTION)

    (request,) = model.requests
    assert request.messages == (Message.system(options.instructions), *QUESTION)
    assert request.tools == (add,)
    assert (request.sampling, request.max_tokens) == (sampling, 7)
    assert (request.tool_choice, request.parallel_tool_calls) == (ToolChoice("auto"), False)


async def test_a_system_message_of_the_conversation_takes_the_place_of_the_instructions() -> None:
    model = ScriptedModel(["Arr, 3."])
    conversation = [Message.system("You are a pirate."), *QUESTION]

    answer = await Agent(model).answer(conversation)

    assert model.requests[0].messages == tuple(conversation)
    assert answer.messages == (Message.assistant("Arr, 3."),)


async def test_a_first_choice_of_required_holds_for_the_first_step_only() -> None:
    model = ScriptedModel([call("add", a=1, b=2), "It is 3."])
    agent = Agent(model, [CALCULATOR], AgentOptions(tool_choice=ToolChoice("required")))

    await agent.answer(QUESTION)

    choices = [request.tool_choice for request in model.requests]
    assert choices == [ToolChoice("required"), ToolChoice("auto")]


async def test_the_tool_choice_of_a_run_takes_the_place_of_the_options() -> None:
    model = ScriptedModel([call("add", a=1, b=2), "It is 3."])
    agent = Agent(model, [CALCULATOR], AgentOptions(tool_choice=ToolChoice("none")))

    await agent.answer(QUESTION, tool_choice=ToolChoice("named", "add"))

    assert model.requests[0].tool_choice == ToolChoice("named", "add")


async def test_in_the_last_step_the_model_must_answer() -> None:
    model = ScriptedModel([call("add", a=1, b=1), call("add", a=2, b=1), "It is 3."])

    answer = await Agent(model, [CALCULATOR], AgentOptions(max_steps=3)).answer(QUESTION)

    choices = [request.tool_choice.mode for request in model.requests]
    assert choices == ["auto", "auto", "none"]
    assert (answer.reason, answer.steps, answer.text) == ("max_steps", 3, "It is 3.")


@pytest.mark.parametrize(
    ("tools", "tool_choice"), [((), ToolChoice("auto")), ((add,), ToolChoice("none"))]
)
async def test_an_answer_that_no_limit_forced_ends_with_stop(
    tools: tuple[Tool, ...], tool_choice: ToolChoice
) -> None:
    agent = Agent(ScriptedModel(["3"]), [StaticToolset("x", tools)], AgentOptions(max_steps=1))

    answer = await agent.answer(QUESTION, tool_choice=tool_choice)

    assert answer.reason == "stop"


async def test_an_answer_that_is_cut_off_ends_with_length() -> None:
    answer = await Agent(ScriptedModel(["It is 3."]), options=AgentOptions(max_tokens=2)).answer(
        QUESTION
    )

    assert (answer.reason, answer.messages) == ("length", (Message.assistant("It is"),))


async def test_the_run_says_which_stop_text_ended_it() -> None:
    options = AgentOptions(stop=("never", " 3"))

    answer = await Agent(ScriptedModel(["It is 3."]), options=options).answer(QUESTION)

    assert (answer.reason, answer.text, answer.stop_sequence) == ("stop", "It is", " 3")


async def test_a_call_that_is_cut_off_is_neither_made_nor_kept() -> None:
    model = ScriptedModel([["Look:", call("add", a=1, b=2), call("add", a=3, b=4)]])
    agent = Agent(model, [CALCULATOR], AgentOptions(max_tokens=20))

    async with agent.run(QUESTION) as run:
        events = await collect(run)

    made = ToolCall("call_1", "add", '{"a": 1, "b": 2}')
    assert ToolCallStart(1, "call_2", "add") in events
    assert [event for event in events if isinstance(event, ToolStarted)] == [ToolStarted(made)]
    finished = events[-1]
    assert isinstance(finished, RunFinished)
    assert finished.reason == "length"
    assert finished.messages == (
        Message.assistant("Look:", (made,)),
        Message(role="tool", content=(TextPart("3"),), tool_call_id="call_1", name="add"),
    )


@pytest.mark.parametrize(
    "error",
    [
        EngineError("the engine was closed"),
        OverloadedError("64 requests are waiting", retry_after_seconds=2),
        InvalidRequestError("the model takes no images", param="messages"),
        ModelError("the file is gone"),
    ],
)
async def test_a_failure_of_the_model_ends_the_run_with_what_there_is(error: Exception) -> None:
    model = ScriptedModel([call("add", a=1, b=2), ["It is", error]])

    answer = await Agent(model, [CALCULATOR]).answer(QUESTION)

    assert (answer.reason, answer.error, answer.steps) == ("error", str(error), 2)
    assert [message.text for message in answer.messages] == ["", "3", "It is"]


async def test_a_failure_of_the_model_stops_the_tools_of_its_turn() -> None:
    @tool
    async def wait() -> None:
        """Wait."""
        await anyio.sleep_forever()

    model = ScriptedModel([[call("wait"), EngineError("out of memory")]])

    with anyio.fail_after(seconds(5)):
        answer = await Agent(model, [StaticToolset("x", (wait,))]).answer(QUESTION)

    assert (answer.reason, answer.error) == ("error", "out of memory")
    assert answer.messages[-1].text == "cancelled before it was finished"


async def test_a_prompt_longer_than_the_context_ends_the_run_with_the_remedy() -> None:
    answer = await Agent(ScriptedModel(["3"], context_length=10)).answer(QUESTION)

    assert (answer.reason, answer.messages) == ("error", ())
    assert answer.error is not None
    assert "maximum context length is 10 tokens" in answer.error


@pytest.mark.parametrize(
    ("options", "tool_choice", "words"),
    [
        (AgentOptions(), ToolChoice("named", "nope"), "unknown tool 'nope'; available: add"),
        (AgentOptions(max_steps=1), ToolChoice("named", "add"), "max_steps >= 2"),
        (AgentOptions(max_steps=1), ToolChoice("required"), "max_steps >= 2"),
    ],
)
async def test_a_tool_choice_that_cannot_be_honoured_ends_the_run_before_the_model_is_asked(
    options: AgentOptions, tool_choice: ToolChoice, words: str
) -> None:
    model = ScriptedModel([])

    answer = await Agent(model, [CALCULATOR], options).answer(QUESTION, tool_choice=tool_choice)

    assert (answer.reason, answer.steps, model.requests) == ("error", 0, [])
    assert answer.error is not None
    assert words in answer.error


async def test_a_bug_in_a_model_leaves_the_block_as_it_was_raised() -> None:
    model = ScriptedModel([["It is", ZeroDivisionError("a bug")]])

    with pytest.raises(ZeroDivisionError, match="a bug"):
        await Agent(model).answer(QUESTION)


async def test_a_script_that_has_run_out_is_said_clearly() -> None:
    with pytest.raises(ScriptError, match="it has 1 turns, and turn 2 was requested"):
        await Agent(ScriptedModel([call("add", a=1, b=2)]), [CALCULATOR]).answer(QUESTION)


async def test_an_error_of_the_callers_own_code_leaves_the_block_as_it_was_raised() -> None:
    own = RuntimeError("mine")
    model = ScriptedModel(["It is 3."])

    with pytest.raises(RuntimeError, match="mine") as caught:
        async with Agent(model).run(QUESTION):
            raise own from KeyError("why")

    assert caught.value is own
    assert isinstance(own.__cause__, KeyError)


@dataclass
class _ChangingToolset:
    name: str = "changing"
    members: list[Tool] = field(default_factory=list)

    def tools(self) -> Sequence[Tool]:
        return tuple(self.members)


async def test_tools_that_appear_during_a_run_are_there_in_the_next_step() -> None:
    changing = _ChangingToolset()

    @tool
    async def unlock() -> str:
        """Unlock the others."""
        changing.members.append(shout)
        return "unlocked"

    model = ScriptedModel([call("unlock"), call("shout", text="hi"), "HI"])
    agent = Agent(model, [StaticToolset("x", (unlock,)), changing])

    answer = await agent.answer(QUESTION)

    assert [request.tools for request in model.requests] == [(unlock,), *[(unlock, shout)] * 2]
    assert [message.text for message in answer.messages if message.role == "tool"] == [
        "unlocked",
        "HI",
    ]


async def test_of_two_tools_with_one_name_the_first_is_used_and_that_is_said_once() -> None:
    @tool(name="add")
    async def subtract(a: int, b: int) -> int:
        """Take one from another."""
        return a - b

    model = ScriptedModel([call("add", a=1, b=2), "It is 3."])
    agent = Agent(model, [CALCULATOR, StaticToolset("other", (subtract,))])

    async with agent.run(QUESTION) as run:
        events = await collect(run)

    assert model.requests[0].tools == (add,)
    assert [event for event in events if isinstance(event, Notice)] == [
        Notice("tool add of other is hidden: calculator has a tool of the same name")
    ]


async def test_one_agent_answers_several_conversations_at_once() -> None:
    agent = Agent(ScriptedModel([lambda request: request.messages[-1].text] * 20))
    answers: dict[int, str] = {}

    async def ask(number: int) -> None:
        answers[number] = (await agent.answer([Message.user(f"number {number}")])).text

    with anyio.fail_after(seconds(5)):
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(ask, number)

    assert answers == {number: f"number {number}" for number in range(20)}


class _WatchedModel(ScriptedModel):
    """Counts the deltas it has handed out."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        super().__init__(turns)
        self.num_deltas = 0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        async with aclosing(super().stream(request)) as deltas:
            async for delta in deltas:
                self.num_deltas += 1
                yield delta


async def test_a_slow_reader_holds_the_model_back_and_loses_nothing() -> None:
    words = [f" {number}" for number in range(500)]
    model = _WatchedModel(["".join(words)])

    async with Agent(model).run(QUESTION) as run:
        events = aiter(run)
        assert await anext(events) == StepStarted(1)
        await anyio.wait_all_tasks_blocked()
        assert 0 < model.num_deltas < 50
        heard = [event.text async for event in events if isinstance(event, TextDelta)]

    assert heard == words
