"""Tools that the caller of an agent has: their calls end the run and are carried out elsewhere."""

from __future__ import annotations

import anyio
import pytest
from limits import seconds

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import (
    JsonObject,
    Message,
    Notice,
    RunFinished,
    StepFinished,
    StepStarted,
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
from kronk_agent.settings import ToolChoice
from kronk_agent.testing import ScriptedModel, call, collect
from kronk_agent.tools import StaticToolset, Tool, tool

QUESTION = [Message.user("Go.")]
PATH: JsonObject = {"type": "object", "properties": {"path": {"type": "string"}}}
READ = Tool(name="read", description="Read a file.", parameters=PATH)
"""The caller's."""


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


OURS = [StaticToolset("calculator", (add,))]


def answer_to(call_id: str, name: str, text: str) -> Message:
    return Message(role="tool", content=(TextPart(text),), tool_call_id=call_id, name=name)


async def test_a_call_of_the_callers_tool_ends_the_run_with_the_call() -> None:
    model = ScriptedModel([["Let me see.", call("read", path="x")]])

    async with Agent(model).run(QUESTION, client_tools=[READ]) as run:
        events = await collect(run)

    made = ToolCall("call_1", "read", '{"path": "x"}')
    said = Message.assistant("Let me see.", (made,))
    assert model.requests[0].tools == (READ,)
    structure = (StepStarted, StepFinished, ToolStarted, ToolCallStart, ToolCallEnd, RunFinished)
    assert [event for event in events if isinstance(event, structure)] == [
        StepStarted(1),
        ToolCallStart(0, "call_1", "read"),
        ToolCallEnd(0),
        StepFinished(1, said, Usage(16, 14), Timings()),
        RunFinished("tool_calls", (said,), Usage(16, 14), steps=1),
    ]
    fragments = [event.fragment for event in events if isinstance(event, ToolCallArguments)]
    assert "".join(fragments) == made.arguments


async def test_of_a_turn_with_both_ours_are_carried_out_and_theirs_are_left() -> None:
    model = ScriptedModel([[call("read", path="x"), call("add", a=1, b=2)], "3, and x is empty."])
    agent = Agent(model, OURS, AgentOptions(instructions=""))

    async with agent.run(QUESTION, client_tools=[READ]) as run:
        events = await collect(run)

    theirs = ToolCall("call_1", "read", '{"path": "x"}')
    ours = ToolCall("call_2", "add", '{"a": 1, "b": 2}')
    (finished,) = (event for event in events if isinstance(event, ToolFinished))
    assert finished.result.call_id == "call_2"
    last = events[-1]
    assert isinstance(last, RunFinished)
    assert last.reason == "tool_calls"
    assert last.messages == (
        Message.assistant("", (theirs, ours)),
        answer_to("call_2", "add", "3"),
    )

    conversation = [*QUESTION, *last.messages, answer_to("call_1", "read", "")]
    answer = await agent.answer(conversation, client_tools=[READ])

    assert model.requests[1].messages == tuple(conversation)
    assert (answer.reason, answer.text) == ("stop", "3, and x is empty.")


async def test_steps_of_our_own_come_before_a_call_of_theirs() -> None:
    model = ScriptedModel([call("add", a=1, b=2), call("read", path="3")])

    answer = await Agent(model, OURS).answer(QUESTION, client_tools=[READ])

    assert (answer.reason, answer.steps) == ("tool_calls", 2)
    assert [message.text for message in answer.messages] == ["", "3", ""]


async def test_in_the_last_step_only_theirs_may_be_called() -> None:
    model = ScriptedModel([call("add", a=1, b=2), call("read", path="3")])
    agent = Agent(model, OURS, AgentOptions(max_steps=2))

    answer = await agent.answer(QUESTION, client_tools=[READ])

    choices = [request.tool_choice for request in model.requests]
    assert choices == [ToolChoice(), ToolChoice(allowed=("read",))]
    assert answer.reason == "tool_calls"


async def test_what_is_left_out_of_a_callers_schema_is_said_once() -> None:
    wrong: JsonObject = {"type": "object", "properties": {"path": {"type": "file"}}}
    theirs = Tool(name="read", description="Read a file.", parameters=wrong, strict=False)
    model = ScriptedModel([call("add", a=1, b=2), "Three."])

    async with Agent(model, OURS).run(QUESTION, client_tools=[theirs]) as run:
        events = await collect(run)

    assert [event for event in events if isinstance(event, Notice)] == [
        Notice(
            "tool read: dropped from its JSON Schema: properties.path.type: 'file' is not a type"
        )
    ]


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("named", "read")])
async def test_one_step_is_enough_to_require_a_call_of_theirs(choice: ToolChoice) -> None:
    model = ScriptedModel([call("read", path="x")])

    answer = await Agent(model, options=AgentOptions(max_steps=1)).answer(
        QUESTION, tool_choice=choice, client_tools=[READ]
    )

    assert (answer.reason, model.requests[0].tool_choice) == ("tool_calls", choice)


async def test_what_is_allowed_holds_for_every_step() -> None:
    model = ScriptedModel([call("add", a=1, b=2), "3"])
    choice = ToolChoice("required", allowed=("add",))

    await Agent(model, OURS).answer(QUESTION, tool_choice=choice, client_tools=[READ])

    assert [request.tool_choice for request in model.requests] == [
        choice,
        ToolChoice(allowed=("add",)),
    ]


async def test_the_caller_gets_its_call_as_the_model_wrote_it() -> None:
    made = ToolCall("call_1", "read", '{"path": 1}')

    answer = await Agent(ScriptedModel([made])).answer(QUESTION, client_tools=[READ])

    assert answer.messages == (Message.assistant("", (made,)),)


@pytest.mark.parametrize(
    ("theirs", "owner"),
    [([Tool(name="add", description="", parameters=PATH)], "calculator"), ([READ, READ], "the")],
)
async def test_a_name_that_is_taken_is_refused(theirs: list[Tool], owner: str) -> None:
    answer = await Agent(ScriptedModel([]), OURS).answer(QUESTION, client_tools=theirs)

    assert answer.reason == "error"
    assert isinstance(answer.exception, InvalidRequestError)
    assert answer.exception.param == "tools"
    assert f"duplicate tool name '{theirs[-1].name}': {owner} " in str(answer.error)


async def test_a_cancelled_run_leaves_no_call_without_a_result() -> None:
    started = anyio.Event()

    @tool
    async def wait() -> None:
        """Wait."""
        started.set()
        await anyio.sleep_forever()

    model = ScriptedModel([[call("read", path="x"), call("wait")]])
    agent = Agent(model, [StaticToolset("mine", (wait,))])

    with anyio.fail_after(seconds(5)):
        async with agent.run(QUESTION, client_tools=[READ]) as run:
            await started.wait()
            run.cancel()
            *_, last = await collect(run)

    assert isinstance(last, RunFinished)
    assert last.reason == "cancelled"
    answers = [(message.tool_call_id, message.text) for message in last.messages[1:]]
    words = "cancelled before it was finished"
    assert answers == [("call_1", words), ("call_2", words)]


# --- a limit on our own ------------------------------------------------------------------------


async def test_after_the_last_call_that_may_be_made_the_model_must_answer() -> None:
    model = ScriptedModel([call("add", a=1, b=2), "It is 3."])

    answer = await Agent(model, OURS, AgentOptions(max_tool_calls=1)).answer(QUESTION)

    assert [request.tool_choice.mode for request in model.requests] == ["auto", "none"]
    assert (answer.reason, answer.text) == ("max_tool_calls", "It is 3.")


async def test_calls_of_one_turn_beyond_the_limit_are_not_made() -> None:
    model = ScriptedModel([[call("add", a=1, b=2), call("add", a=3, b=4)], "3"])

    answer = await Agent(model, OURS, AgentOptions(max_tool_calls=1)).answer(QUESTION)

    assert [message.text for message in answer.messages if message.role == "tool"] == [
        "3",
        "Not called: the limit of 1 calls is reached.",
    ]


async def test_no_call_may_be_required_where_none_is_allowed() -> None:
    agent = Agent(ScriptedModel([]), OURS, AgentOptions(max_tool_calls=0))

    answer = await agent.answer(QUESTION, tool_choice=ToolChoice("required"))

    assert "requires max_steps >= 2 and max_tool_calls >= 1" in str(answer.error)


# --- going on with a message -------------------------------------------------------------------


async def test_a_message_that_is_gone_on_with_is_one_message_in_later_steps() -> None:
    model = ScriptedModel([[" a sum:", call("add", a=1, b=2)], "3"])
    begun = Message.assistant("Here is")
    options = AgentOptions(instructions="", continue_final_message=True)

    answer = await Agent(model, OURS, options).answer([*QUESTION, begun])

    made = ToolCall("call_1", "add", '{"a": 1, "b": 2}')
    assert [request.continue_final_message for request in model.requests] == [True, False]
    assert model.requests[1].messages == (
        *QUESTION,
        Message.assistant("Here is a sum:", (made,)),
        answer_to("call_1", "add", "3"),
    )
    assert answer.messages[0] == Message.assistant(" a sum:", (made,))
