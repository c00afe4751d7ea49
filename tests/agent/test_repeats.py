"""A call that was made before is made again; only calls without progress are stopped."""

from __future__ import annotations

import pytest

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.errors import ToolError
from kronk_agent.messages import Message, Notice, RunFinished, ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ToolChoice
from kronk_agent.testing import ScriptedModel, call, collect
from kronk_agent.tools import StaticToolset, tool

QUESTION = [Message.user("Go.")]
UNCHANGED = "\n(unchanged)"
ENOUGH = Message.user(
    "Go.\n\n(The results so far are above. If they are enough, answer in words. If not, call the "
    "next tool.)"
)
TOLD = (
    "Go.\n\n(That call was made {} times in a row with the same result. Do not make it again: "
    "answer in words, or make a different call.)"
)
FAILED = Message.user(
    "Go.\n\n(That call failed the same way again. Make a different call, or say what is wrong.)"
)


class _Notes:
    """Notes that can be listed and added to; counts how often they were listed."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.num_listed = 0

        @tool
        async def list_notes(about: str = "", tags: list[str] | None = None) -> str:
            """List the notes."""
            self.num_listed += 1
            if about == "nothing":
                raise ToolError("there is nothing about that")
            return "notes: " + ", ".join(self.notes)

        @tool
        async def add_note(text: str) -> str:
            """Add a note."""
            self.notes.append(text)
            return "added"

        @tool(read_only=True)
        async def count_notes() -> int:
            """Count the notes."""
            return len(self.notes)

        self.toolset = StaticToolset("notes", (list_notes, add_note, count_notes))


def tool_texts(messages: tuple[Message, ...]) -> list[str]:
    return [message.text for message in messages if message.role == "tool"]


def modes(model: ScriptedModel) -> list[str]:
    return [request.tool_choice.mode for request in model.requests]


async def test_a_call_is_made_again_and_reads_what_changed_in_between() -> None:
    notes = _Notes()
    model = ScriptedModel(
        [call("list_notes"), call("add_note", text="milk"), call("list_notes"), "Milk."]
    )

    answer = await Agent(model, [notes.toolset]).answer(QUESTION)

    assert tool_texts(answer.messages) == ["notes: ", "added", "notes: milk"]
    assert modes(model) == ["auto"] * 4


async def test_polling_until_something_changes_is_not_disturbed() -> None:
    states = iter(["running", "running at 50 %", "finished"])

    @tool
    async def job_state() -> str:
        """State of the job."""
        return next(states)

    model = ScriptedModel([*[call("job_state")] * 3, "Finished."])

    answer = await Agent(model, [StaticToolset("job", (job_state,))]).answer(QUESTION)

    assert tool_texts(answer.messages) == ["running", "running at 50 %", "finished"]
    assert modes(model) == ["auto"] * 4


async def test_a_repeat_is_told_and_the_third_is_told_to_do_something_else() -> None:
    notes = _Notes()
    model = ScriptedModel([*[call("list_notes")] * 3, call("add_note", text="milk"), "Done."])

    async with Agent(model, [notes.toolset]).run(QUESTION) as run:
        *events, last = await collect(run)

    assert isinstance(last, RunFinished)
    assert tool_texts(last.messages) == [
        "notes: ",
        f"notes: {UNCHANGED}",
        f"notes: {UNCHANGED}",
        "added",
    ]
    assert [request.messages[-1] for request in model.requests[2:4]] == [
        ENOUGH,
        Message.user(TOLD.format(3)),
    ]
    assert model.requests[4].messages[-1].role == "tool"
    assert [event for event in events if isinstance(event, Notice)] == [
        Notice(
            "list_notes was called 3 times in a row with the same arguments and the same result; "
            "the model was reminded to do something else"
        )
    ]
    assert modes(model) == ["auto"] * 5


async def test_after_two_more_the_model_must_answer() -> None:
    notes = _Notes()
    model = ScriptedModel([*[call("list_notes")] * 5, "There are none."])

    answer = await Agent(model, [notes.toolset]).answer(QUESTION)

    assert notes.num_listed == 5
    assert modes(model) == ["auto"] * 5 + ["none"]
    assert model.requests[-1].messages[-1] == Message.user(
        "You have the results. Answer my question in words now, without calling a tool."
    )
    assert (answer.reason, answer.text) == ("stop", "There are none.")


async def test_the_number_of_identical_calls_can_be_set() -> None:
    model = ScriptedModel([*[call("list_notes")] * 4, "None."])
    options = AgentOptions(max_identical_calls=2)

    answer = await Agent(model, [_Notes().toolset], options).answer(QUESTION)

    assert model.requests[2].messages[-1] == Message.user(TOLD.format(2))
    assert answer.text == "None."
    assert modes(model) == ["auto"] * 4 + ["none"]


async def test_a_failure_never_counts_and_can_be_retried() -> None:
    tries = iter([TimeoutError("the network was slow")] * 6)

    @tool
    async def flaky() -> str:
        """Fails six times."""
        for error in tries:
            raise error
        return "fine now"

    model = ScriptedModel([*[call("flaky")] * 7, "Fine."])
    agent = Agent(model, [StaticToolset("x", (flaky,))])

    answer = await agent.answer(QUESTION)

    assert tool_texts(answer.messages)[-1] == "fine now"
    assert modes(model) == ["auto"] * 8
    assert model.requests[2].messages[-1] == FAILED


async def test_after_two_failures_of_the_same_kind_only_other_tools_that_read_may_be_called() -> (
    None
):
    notes = _Notes()
    failing = call("list_notes", about="nothing")
    model = ScriptedModel([failing, failing, call("count_notes"), "None."])

    await Agent(model, [notes.toolset]).answer(QUESTION)

    assert [request.tool_choice for request in model.requests] == [
        ToolChoice("auto"),
        ToolChoice("auto"),
        ToolChoice("auto", allowed=("count_notes",)),
        ToolChoice("auto"),
    ]
    assert [request.messages[-1].role for request in model.requests[1:]] == ["tool"] * 3


@pytest.mark.parametrize(
    ("text", "is_failure"),
    [
        ("Database error: no such table: sales", True),
        ("Error: ENOENT, no such file", True),
        ("Error executing tool read: nothing there", True),
        ("failed: ValueError", True),
        ("The error rate was: 4 %", False),
        ("Revenue: 12, errors: 0", False),
        ("12 lines\nError: none", False),
    ],
)
async def test_a_server_may_say_in_words_alone_that_a_call_failed(
    text: str, is_failure: bool
) -> None:
    @tool
    async def query() -> str:
        """Query."""
        return text

    @tool(read_only=True)
    async def other() -> str:
        """Read something else."""
        return "fine"

    model = ScriptedModel([call("query"), call("query"), "Done."])

    await Agent(model, [StaticToolset("x", (query, other))]).answer(QUESTION)

    rests = model.requests[2].tool_choice == ToolChoice("auto", allowed=("other",))
    assert rests == is_failure


async def test_a_long_question_is_not_said_again() -> None:
    model = ScriptedModel([call("list_notes"), call("list_notes"), "None."])

    await Agent(model, [_Notes().toolset]).answer([Message.user("word " * 1000)])

    assert model.requests[2].messages[-1].text.startswith("(The results so far are above.")


@pytest.mark.parametrize(
    ("again", "is_noted"),
    [
        ('{ "tags": ["a"], "about": "m\\u0069lk" }', True),
        ('{"about": "milk", "tags": ["b"]}', False),
        ('{"about": "milk"}', False),
    ],
)
async def test_arguments_are_compared_by_what_they_mean(again: str, is_noted: bool) -> None:
    first = ToolCall("a", "list_notes", '{"about":"milk","tags":["a"]}')
    model = ScriptedModel([first, ToolCall("b", "list_notes", again), "None."])

    answer = await Agent(model, [_Notes().toolset]).answer(QUESTION)

    assert tool_texts(answer.messages)[1].endswith(UNCHANGED) == is_noted


async def test_each_run_starts_anew() -> None:
    model = ScriptedModel([call("list_notes"), "None."] * 2)
    agent = Agent(model, [_Notes().toolset])

    await agent.answer(QUESTION)
    answer = await agent.answer(QUESTION)

    assert tool_texts(answer.messages) == ["notes: "]


async def test_a_model_that_repeats_for_ever_ends_with_its_steps() -> None:
    notes = _Notes()

    def stubborn(request: ChatRequest) -> ToolCall | str:
        return "Very well." if request.tool_choice.mode == "none" else call("list_notes")

    model = ScriptedModel([stubborn] * 10)

    answer = await Agent(model, [notes.toolset], AgentOptions(max_steps=3)).answer(QUESTION)

    assert (answer.reason, answer.steps, answer.text) == ("max_steps", 3, "Very well.")


# --- calls as text -----------------------------------------------------------------------------

WRITTEN = '```json\n{"name": "list_notes", "arguments": {}}\n```'
NOTICE = Notice("the answer contains a call of list_notes as text; it was not executed")


async def test_an_answer_with_a_call_written_as_text_raises_a_notice() -> None:
    agent = Agent(ScriptedModel([f"I would write:\n{WRITTEN}"]), [_Notes().toolset])

    async with agent.run(QUESTION) as run:
        *events, last = await collect(run)

    assert [event for event in events if isinstance(event, Notice)] == [NOTICE]
    assert isinstance(last, RunFinished)
    assert last.reason == "stop"


async def test_a_call_written_as_text_where_an_answer_was_due_is_no_stop() -> None:
    model = ScriptedModel([call("list_notes"), WRITTEN])
    agent = Agent(model, [_Notes().toolset], AgentOptions(max_steps=2))

    async with agent.run(QUESTION) as run:
        *events, last = await collect(run)

    assert NOTICE in events
    assert isinstance(last, RunFinished)
    assert (last.reason, last.text) == ("malformed_tool_call", WRITTEN)
