"""What cannot be shortened, what may not be, and counts that are only estimates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from agent.compaction.support import (
    SUMMARY,
    call_message,
    is_summary,
    looking_up,
    result_message,
    run,
    summarising,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.agent.compaction.groups import best_cut, question, unread_start
from kronk_agent.agent.compaction.limits import ContextLimits
from kronk_agent.errors import ContextLengthError, InvalidRequestError
from kronk_agent.messages import Message
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Piece, ScriptedModel, call
from kronk_agent.tools import StaticToolset

USER, ASSISTANT = Message.user, Message.assistant


def words(number: int) -> str:
    return " ".join(["word"] * number)


async def test_a_message_larger_than_the_context_is_an_error() -> None:
    model = ScriptedModel([], context_length=100)

    compactions, finished = await run(
        Agent(model), [USER("Hi."), ASSISTANT("Yes?"), USER(words(200))]
    )

    assert compactions == []
    assert finished.reason == "error"
    assert isinstance(finished.exception, ContextLengthError)
    assert finished.exception.param == "messages"
    assert finished.error == (
        "This model's maximum context length is 100 tokens, and the prompt is too long: 214 "
        "tokens. Shorten it, start a new conversation, or raise engine.context_length"
    )


async def test_instructions_larger_than_the_context_are_an_error() -> None:
    model = ScriptedModel([], context_length=100)
    agent = Agent(model, (), AgentOptions(instructions=words(200)))

    _, finished = await run(agent, [USER("Hi.")])

    assert isinstance(finished.exception, ContextLengthError)


async def test_switched_off_nothing_is_shortened() -> None:
    model = ScriptedModel(["Never."], context_length=100)
    agent = Agent(model, (), AgentOptions(compaction="off"))

    compactions, finished = await run(agent, [USER(words(80)), ASSISTANT(words(80)), USER("Now?")])

    assert compactions == []
    assert isinstance(finished.exception, ContextLengthError)


async def test_the_threshold_is_a_share_of_the_context() -> None:
    messages = [USER(words(50)), ASSISTANT(words(20)), USER("And now?")]
    kinds = []
    for share in (0.5, 0.9):
        model = ScriptedModel(["Yes."], context_length=100)
        agent = Agent(model, (), AgentOptions(instructions="", compact_at=share))
        compactions, _ = await run(agent, messages)
        kinds.append([event.kind for event in compactions])

    assert kinds == [["dropped"], []]


@pytest.mark.parametrize("share", [0, -1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InvalidRequestError, match="compact_at must be above 0 and at most 1"):
        AgentOptions(compact_at=share)


async def test_results_that_the_model_has_not_read_are_cut_when_nothing_else_is_left() -> None:
    messages = [
        USER("Look."),
        ASSISTANT("", (*call_message("c1").tool_calls, *call_message("c2").tool_calls)),
        result_message("c1", words(3000)),
        result_message("c2", words(10)),
    ]
    model = ScriptedModel(["Seen."], context_length=1000)

    compactions, finished = await run(Agent(model), messages)

    shown = model.requests[0].messages
    assert finished.text == "Seen."
    assert [event.kind for event in compactions] == ["tool_results"]
    assert "[Cut here: these are the first" in shown[-2].text
    assert shown[-1] == messages[-1]
    assert await model.count_prompt_tokens(model.requests[0]) <= 800


async def test_results_of_a_run_get_the_room_that_old_messages_can_make() -> None:
    talk = [m for n in range(12) for m in (USER(f"{n} {words(100)}"), ASSISTANT("Yes."))]
    script: list[Piece] = [call("look", key="k"), "Seen."]
    said = iter(script)
    model = ScriptedModel([summarising(lambda _: next(said))] * 6, context_length=2048)
    agent = Agent(model, [StaticToolset("mine", (looking_up(400),))])

    _, finished = await run(agent, [*talk, USER("Look.")])

    assert finished.messages[1].text.endswith("word399")


async def test_a_server_that_finds_the_prompt_too_long_is_asked_again_with_less() -> None:
    refusal = ContextLengthError(num_prompt_tokens=3000, context_length=2000)
    talk = [m for n in range(12) for m in (USER(f"{n} {words(100)}"), ASSISTANT("Yes."))]
    model = ScriptedModel([refusal, SUMMARY, "Fits."], context_length=4096)

    compactions, finished = await run(Agent(model), [*talk, USER("Now?")])

    assert finished.text == "Fits."
    assert [event.kind for event in compactions] == ["summary"]
    assert [is_summary(request) for request in model.requests] == [False, True, False]


async def test_a_server_that_refuses_every_prompt_is_asked_twice() -> None:
    refusal = ContextLengthError(num_prompt_tokens=3000, context_length=2000)
    talk = [m for n in range(12) for m in (USER(f"{n} {words(100)}"), ASSISTANT("Yes."))]
    model = ScriptedModel([refusal, SUMMARY, refusal], context_length=4096)

    _, finished = await run(Agent(model), [*talk, USER("Now?")])

    assert finished.exception is refusal


async def test_a_server_that_cannot_be_told_not_to_think_summarises_all_the_same() -> None:
    refusal = InvalidRequestError("no such field", param="enable_thinking")
    talk = [m for n in range(12) for m in (USER(f"{n} {words(100)}"), ASSISTANT("Yes."))]
    model = ScriptedModel([refusal, SUMMARY, "Done."], context_length=1300)

    compactions, finished = await run(Agent(model), [*talk, USER("Now?")])

    assert finished.text == "Done."
    assert [event.kind for event in compactions] == ["summary"]
    assert [request.enable_thinking for request in model.requests] == [False, None, None]


async def test_the_step_that_must_answer_reads_the_last_results_whole() -> None:
    numbers = itertools.count(1)

    def turn(request: ChatRequest) -> Piece:
        if request.tool_choice.mode == "none":
            return "Enough."
        return call("look", key=f"k{next(numbers)}")

    model = ScriptedModel([summarising(turn)] * 80, context_length=2048)
    agent = Agent(model, [StaticToolset("mine", (looking_up(150),))], AgentOptions(max_steps=30))

    _, finished = await run(agent, [USER("Look up every key.")])

    *_, last_call, result, ask = model.requests[-1].messages
    assert (finished.reason, finished.text) == ("max_steps", "Enough.")
    assert USER("Look up every key.") in model.requests[-1].messages
    assert [made.id for made in last_call.tool_calls] == [result.tool_call_id]
    assert result.text.endswith("word149")
    assert ask.role == "user"


def test_a_large_fixed_part_leaves_half_of_the_rest_for_the_conversation() -> None:
    assert ContextLimits.of(1000, fixed=100, share=0.8) == ContextLimits(
        1000, 100, threshold=800, target=480
    )
    assert ContextLimits.of(1000, fixed=900, share=0.8) == ContextLimits(
        1000, 900, threshold=950, target=925
    )


CALLS = ASSISTANT("", call_message("c1").tool_calls)
RESULT = result_message("c1", "found")


@pytest.mark.parametrize(
    ("messages", "unread", "asked"),
    [
        ([USER("a")], 0, range(0, 1)),
        ([USER("a"), ASSISTANT("b"), USER("c"), USER("d")], 2, range(2, 4)),
        ([USER("a"), CALLS, RESULT], 1, range(0, 1)),
        ([USER("a"), CALLS, RESULT, USER("Answer now.")], 1, range(0, 1)),
        ([USER("a"), CALLS, RESULT, ASSISTANT("b"), USER("c")], 4, range(4, 5)),
        ([USER("a"), CALLS, RESULT, ASSISTANT("b")], 3, range(0, 1)),
        ([ASSISTANT("a")], 0, range(0)),
    ],
)
def test_what_the_model_works_on_is_found(
    messages: list[Message], unread: int, asked: range
) -> None:
    assert unread_start(messages) == unread
    assert list(question(messages)) == list(asked)


TURNS = st.lists(
    st.tuples(
        st.integers(1, 60),
        st.lists(st.lists(st.integers(0, 200), min_size=1, max_size=3), max_size=4),
        st.integers(1, 60),
    ),
    min_size=1,
    max_size=6,
)
"""Words of each question, of the results of each step, and of the answer."""


def conversation(turns: Sequence[tuple[int, list[list[int]], int]]) -> list[Message]:
    messages = [Message.system("Be brief.")]
    numbers = itertools.count(1)
    for asked, steps, answered in turns:
        messages.append(USER(words(asked)))
        for results in steps:
            made = [call_message(f"c{next(numbers)}").tool_calls[0] for _ in results]
            messages.append(ASSISTANT("", tuple(made)))
            messages += [
                result_message(call.id, words(size))
                for call, size in zip(made, results, strict=True)
            ]
        messages.append(ASSISTANT(words(answered)))
    return [*messages, USER("And now?")]


@settings(deadline=None)
@given(TURNS, st.integers(200, 1500))
async def test_whatever_the_conversation_the_prompt_fits_and_no_call_loses_its_result(
    turns: list[tuple[int, list[list[int]], int]], context_length: int
) -> None:
    model = ScriptedModel([summarising(lambda request: "Done.")] * 4, context_length=context_length)

    _, finished = await run(Agent(model), conversation(turns))

    assert finished.text == "Done."
    for request in model.requests:
        calls = [call.id for message in request.messages for call in message.tool_calls]
        results = [m.tool_call_id for m in request.messages if m.role == "tool"]
        assert results == calls
    shown = model.requests[-1].messages
    assert await model.count_prompt_tokens(model.requests[-1]) < context_length
    assert (shown[0], shown[-1]) == (Message.system("Be brief."), USER("And now?"))


@settings(deadline=None)
@given(TURNS, st.integers(0, 2000))
def test_a_cut_is_never_before_a_result(
    turns: list[tuple[int, list[list[int]], int]], room: int
) -> None:
    messages = conversation(turns)

    cut = best_cut(messages, 0, room, lambda message: len(message.text.split()))

    assert cut is None or (messages[cut].role != "tool" and 0 < cut < len(messages))
