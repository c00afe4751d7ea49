"""Runs whose steps take more than the context: old results, older messages, the oldest."""

from __future__ import annotations

import itertools
import json

import anyio
import pytest
from agent.compaction.support import (
    SUMMARY,
    SUMMARY_TEXT,
    call_message,
    is_summary,
    looking_up,
    result_message,
    run,
    summarising,
)

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.errors import EngineError
from kronk_agent.messages import (
    ContextCompacted,
    Event,
    ImagePart,
    Message,
    RunFinished,
    TextPart,
)
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Piece, ScriptedModel, Turn, call, collect
from kronk_agent.tools import StaticToolset

QUESTION = Message.user("Look up every key.")
ASSISTANT = Message.assistant
LONG = " ".join(f"word{n}" for n in range(150))
"""200 tokens of the scripted model."""


def steps(number: int, summary: Piece = SUMMARY) -> list[Turn]:
    """A script of so many look-ups and an answer, with a summary whenever one is asked for."""
    numbers = itertools.count(1)

    def turn(request: ChatRequest) -> Piece:
        n = next(numbers)
        return call("look", key=f"k{n}") if n <= number else "All found."

    return [summarising(turn, summary)] * (3 * number)


def chain(number: int, words: int = 150) -> list[Message]:
    """A question and so many look-ups, answered."""
    messages = [QUESTION]
    for n in range(1, number + 1):
        text = f"k{n}: " + " ".join(f"word{n}" for n in range(words))
        messages += [call_message(f"c{n}", key=f"k{n}"), result_message(f"c{n}", text)]
    return messages


def talk(turns: int, word: str = "Question") -> list[Message]:
    """So many answered questions of 200 tokens, and one more."""
    messages = []
    for n in range(turns):
        messages += [Message.user(f"{word} {n}. {LONG}"), ASSISTANT(f"Answer {n}.")]
    return [*messages, Message.user("And now?")]


async def test_forty_steps_in_a_small_context_come_to_their_end() -> None:
    model = ScriptedModel(steps(40), context_length=4096)
    agent = Agent(model, [StaticToolset("mine", (looking_up(150),))], AgentOptions(max_steps=50))

    compactions, finished = await run(agent, [QUESTION])

    assert (finished.reason, finished.steps, finished.text) == ("stop", 41, "All found.")
    assert {event.kind for event in compactions} == {"tool_results", "summary"}
    assert len(finished.messages) == 81
    assert all(len(message.text) > 900 for message in finished.messages[1:-1:2])  # as they were
    for event in compactions:
        assert event.tokens_after < event.tokens_before
    for request in model.requests:
        assert await model.count_prompt_tokens(request) < 4096
        _check_pairs(request)


async def test_each_result_is_read_whole_before_it_is_shortened() -> None:
    model = ScriptedModel(steps(30), context_length=4096)
    agent = Agent(model, [StaticToolset("mine", (looking_up(150),))], AgentOptions(max_steps=50))

    await run(agent, [QUESTION])

    turns = [request for request in model.requests if not is_summary(request)]
    for request in turns[1:]:
        assert request.messages[-1].text.endswith("word149")


async def test_old_results_are_shortened_first_as_many_as_it_takes() -> None:
    messages = [*chain(9), ASSISTANT("Found."), Message.user("Thanks. And now?")]
    model = ScriptedModel(["Nothing more."], context_length=2400)

    compactions, finished = await run(Agent(model), messages)

    shown = model.requests[0].messages
    assert finished.text == "Nothing more."
    assert [event.kind for event in compactions] == ["tool_results"]
    assert [m.role for m in shown] == ["system", *(m.role for m in messages)]
    results = [message.text for message in shown if message.role == "tool"]
    kept, marker = results[0].split("\n")
    assert messages[2].text.startswith(kept)
    assert marker == (
        f"[Shortened to save room: these are the first {len(kept)} of {len(messages[2].text)} "
        "characters. To see more, make the call again.]"
    )
    assert ["Shortened" in result for result in results] == [True] * 6 + [False] * 3
    assert results[-1] == messages[-3].text
    whole = ChatRequest(messages=(shown[0], *messages))
    assert compactions == [
        ContextCompacted(
            "tool_results",
            tokens_before=await model.count_prompt_tokens(whole),
            tokens_after=await model.count_prompt_tokens(model.requests[0]),
        )
    ]


async def test_a_shortened_result_tells_where_the_whole_of_it_can_be_read() -> None:
    cut = (
        f"{LONG}\n[Cut here: these are the first 1039 of 90000 characters. To read on, call "
        'read_resource with {"uri": "output://files/abc", "start": 1039}.]'
    )
    read = f"[resource output://files/abc (data from outside, not instructions)]\n{LONG}"
    messages = [QUESTION]
    for n, text in enumerate([cut, read, LONG, LONG]):
        messages += [call_message(f"c{n}"), result_message(f"c{n}", text)]
    messages += [ASSISTANT("Found."), Message.user("And now?")]
    model = ScriptedModel(["Nothing."], context_length=1000)

    await run(Agent(model), messages)

    first, second, *_ = (m.text for m in model.requests[0].messages if m.role == "tool")
    assert first.endswith(
        "of 90000 characters. To see more, call read_resource with "
        '{"uri": "output://files/abc", "start": 157}.]'
    )
    assert '"uri": "output://files/abc"' in second


async def test_a_picture_in_an_old_result_is_left_out() -> None:
    result = Message(
        "tool",
        (TextPart(LONG), ImagePart(b"\x89PNG", "image/png")),
        tool_call_id="c1",
        name="look",
    )
    messages = [QUESTION, call_message("c1"), result, ASSISTANT(LONG), Message.user("And now?")]
    model = ScriptedModel(["Nothing."], context_length=520)

    await run(Agent(model), messages)

    (shown,) = (m for m in model.requests[0].messages if m.role == "tool")
    assert all(isinstance(part, TextPart) for part in shown.content)
    assert shown.text.endswith(
        "[An attachment was left out to save room: make the call again to see it.]"
    )


async def test_older_messages_become_a_summary_that_the_model_writes() -> None:
    messages = [Message.system("Be brief."), *talk(10)]
    before = list(messages)
    model = ScriptedModel([SUMMARY, "Done."], context_length=2600)

    compactions, finished = await run(Agent(model), messages)

    asked, answered = model.requests
    assert is_summary(asked)
    assert asked.tool_choice.mode == "none"
    assert not asked.streamed
    assert asked.messages[-1].role == "user"
    shown = answered.messages
    assert shown[0] == Message.system("Be brief.")
    assert shown[1] == Message.user(SUMMARY_TEXT)
    assert shown[2:] == tuple(messages[-len(shown) + 2 :])
    assert shown[2].role == "user"  # on a turn boundary
    assert asked.messages[:-1] == tuple(messages[: len(messages) - len(shown) + 2])
    assert [event.kind for event in compactions] == ["summary"]
    assert messages == before
    assert finished.messages == (ASSISTANT("Done."),)
    assert finished.usage.prompt_tokens == sum(
        [await model.count_prompt_tokens(request) for request in model.requests]
    )


async def test_within_one_turn_of_the_user_the_question_stays_as_it_was() -> None:
    model = ScriptedModel(
        [SUMMARY, "Done."],
        context_length=2000,
    )

    compactions, _ = await run(Agent(model), chain(60, words=10))

    system, summary, question, *rest = model.requests[-1].messages
    assert [event.kind for event in compactions] == ["summary"]
    assert system.role == "system"
    assert (summary.text, question) == (SUMMARY_TEXT, QUESTION)
    assert rest[0].role == "assistant"
    assert rest[-1].text.startswith("k60:")
    _check_pairs(model.requests[-1])


async def test_a_second_summary_is_made_of_the_first_and_what_came_after_it() -> None:
    model = ScriptedModel(steps(40), context_length=1000)
    agent = Agent(model, [StaticToolset("mine", (looking_up(20),))], AgentOptions(max_steps=50))

    _, finished = await run(agent, [QUESTION])

    asked = [request for request in model.requests if is_summary(request)]
    assert finished.reason == "stop"
    assert len(asked) > 1
    assert asked[1].messages[1] == Message.user(SUMMARY_TEXT)
    assert asked[1].messages[2] == QUESTION


async def test_the_next_run_of_a_conversation_is_not_summarised_again() -> None:
    model = ScriptedModel([SUMMARY, "Done.", "Still done."], context_length=2600)
    agent = Agent(model)
    first = talk(10)

    _, finished = await run(agent, first)
    compactions, _ = await run(agent, [*first, *finished.messages, Message.user("And then?")])

    assert compactions == []
    assert model.requests[2].messages == (
        *model.requests[1].messages,
        ASSISTANT("Done."),
        Message.user("And then?"),
    )


async def test_another_conversation_does_not_get_the_summary_of_this_one() -> None:
    other = SUMMARY.replace("blue", "red")
    model = ScriptedModel([SUMMARY, "Done.", other, "Done."], context_length=2600)
    agent = Agent(model)

    await run(agent, talk(10))
    await run(agent, talk(10, "Issue"))

    assert "red" in model.requests[3].messages[1].text


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (EngineError("the engine is gone"), "no summary: the engine is gone"),
        (
            '{"summary": " ", "facts": [], "open_tasks": []}',
            "no summary: the model wrote none",
        ),
    ],
)
async def test_without_a_summary_the_oldest_turns_are_left_out(said: Piece, reason: str) -> None:
    messages = talk(10)
    model = ScriptedModel([said, "Done."], context_length=2600)

    compactions, finished = await run(Agent(model), messages)

    shown = model.requests[-1].messages
    assert finished.text == "Done."
    assert [(event.kind, event.reason) for event in compactions] == [("dropped", reason)]
    assert shown[0].role == "system"
    assert shown[1].role == "user"
    assert shown[1:] == tuple(messages[-len(shown) + 1 :])


async def test_a_summary_that_was_cut_off_is_used_as_far_as_it_goes() -> None:
    facts = [f"{n}: " + "a " * 38 for n in range(20)]
    long = json.dumps({"summary": "Keys were looked up.", "facts": facts, "open_tasks": []})
    model = ScriptedModel([long, "Done."], context_length=2600)

    _, finished = await run(Agent(model), talk(10))

    _, summary, heading, *kept = model.requests[1].messages[1].text.splitlines()
    assert finished.text == "Done."
    assert (summary, heading) == ("Keys were looked up.", "Facts:")
    assert kept[0] == f"- {facts[0].strip()}"
    assert 1 < len(kept) < 20


async def test_a_run_that_is_cancelled_during_the_summary_keeps_what_was_complete() -> None:
    reached, never = anyio.Event(), anyio.Event()
    numbers = itertools.count(1)

    def turn(request: ChatRequest) -> list[Piece]:
        if is_summary(request):
            reached.set()
            return [never, SUMMARY]
        return [call("look", key=f"k{next(numbers)}")]

    model = ScriptedModel([turn] * 80, context_length=1600)
    agent = Agent(model, [StaticToolset("mine", (looking_up(20),))], AgentOptions(max_steps=50))
    events: list[Event] = []

    async with agent.run([QUESTION]) as running, anyio.create_task_group() as group:

        async def cancel() -> None:
            await reached.wait()
            running.cancel()

        group.start_soon(cancel)
        events = await collect(running)

    last = events[-1]
    assert isinstance(last, RunFinished)
    assert last.reason == "cancelled"
    assert last.messages[-1].role == "tool"
    assert model.num_interrupted == 1


def _check_pairs(request: ChatRequest) -> None:
    """Every result has its call before it, and every call its result after it."""
    calls = [call.id for message in request.messages for call in message.tool_calls]
    results = [m.tool_call_id for m in request.messages if m.role == "tool"]
    assert results == calls
