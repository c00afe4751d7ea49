"""Which calls may be made, who is asked, and what comes of the answer."""

from __future__ import annotations

import anyio
import pytest
from limits import seconds

from kronk_agent.agent import Agent, AgentOptions, Approval, Approved, Denied, Pending
from kronk_agent.messages import (
    JsonObject,
    Message,
    RunFinished,
    TextPart,
    ToolCall,
    ToolFinished,
    ToolStarted,
)
from kronk_agent.testing import ScriptedModel, call, collect
from kronk_agent.tools import Permission, Rule, StaticToolset, Tool, tool
from kronk_agent.tools.policy import permission, rules_in

QUESTION = [Message.user("Go.")]


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def fetch(url: str) -> str:
    """Fetch a page."""
    return f"got {url}"


TOOLS = [StaticToolset("mine", (add, fetch))]
ASKED = ToolCall("call_1", "add", '{"a": 1, "b": 2}')


def agent_with(model: ScriptedModel, policy: dict[str, Permission]) -> Agent:
    options = AgentOptions(instructions="", policy=rules_in(policy))
    return Agent(model, TOOLS, options)


class Decided:
    """Whoever decides: always the same, and what was asked is remembered."""

    def __init__(self, approval: Approval) -> None:
        self.approval = approval
        self.asked: list[tuple[ToolCall, Tool]] = []

    async def __call__(self, call: ToolCall, tool: Tool) -> Approval:
        self.asked.append((call, tool))
        return self.approval


@pytest.mark.parametrize(
    ("policy", "arguments", "expected"),
    [
        ({}, {}, "allow"),
        ({"*": "deny"}, {}, "deny"),
        ({"x*": "deny"}, {}, "allow"),
        ({"*": "ask"}, {}, "ask"),
        ({"*": "ask", "get_*": "allow"}, {}, "allow"),
        ({"*": "allow", "get_?age": "deny", "get_page": "ask"}, {}, "deny"),
        ({"get_page(url=*.example/*)": "deny"}, {"url": "https://A.EXAMPLE/x"}, "deny"),
        ({"get_page(url=*.example/*)": "deny"}, {"url": "https://a.test/x"}, "allow"),
        ({"get_page(url=*)": "deny"}, {}, "allow"),
        ({"*": "ask", "*(url=https://a/*)": "allow"}, {"url": "https://a/x"}, "allow"),
        ({"*": "ask", "*(url=https://a/*)": "allow"}, {"url": "http://a/x"}, "ask"),
        ({"*(urls=b*)": "deny"}, {"urls": ["a", "b"]}, "deny"),
        ({"*": "ask", "*(urls=b*)": "allow"}, {"urls": ["a", "b"]}, "ask"),
        ({"*": "ask", "*(urls=b*)": "allow"}, {"urls": ["b", "bc"]}, "allow"),
        ({"*": "ask", "*(urls=b*)": "allow"}, {"urls": []}, "ask"),
        ({"*(options.depth=3)": "deny"}, {"options": {"depth": 3}}, "deny"),
        ({"*(a=(b=c))": "deny"}, {"a": "(b=c)"}, "deny"),
    ],
)
def test_deny_wins_over_allow_and_allow_over_ask(
    policy: dict[str, Permission], arguments: JsonObject, expected: Permission
) -> None:
    assert permission(rules_in(policy), "get_page", arguments) == expected


@pytest.mark.parametrize("pattern", ["", "x(", "x()", "x(y)", "(y=z)", "x(y=z) more"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"must be a tool, or tool\(argument=value\)"):
        rules_in({pattern: "deny"})


async def test_a_tool_that_is_denied_is_not_shown_to_the_model() -> None:
    model = ScriptedModel(["3"])

    await agent_with(model, {"add": "deny"}).answer(QUESTION)

    assert model.requests[0].tools == (fetch,)


async def test_a_call_that_is_denied_for_its_arguments_is_told_to_the_model() -> None:
    model = ScriptedModel([[call("fetch", url="http://x/"), call("fetch", url="http://y/")], "No."])
    agent = agent_with(model, {"fetch(url=http://x/*)": "deny"})

    answer = await agent.answer(QUESTION)

    assert [message.text for message in answer.messages if message.role == "tool"] == [
        "fetch was not called: the policy does not allow it. Do without it.",
        "got http://y/",
    ]


async def test_who_may_decide_is_asked_before_the_call() -> None:
    person = Decided(Approved())

    answer = await agent_with(ScriptedModel([call("add", a=1, b=2), "3"]), {"add": "ask"}).answer(
        QUESTION, approve=person
    )

    assert person.asked == [(ASKED, add)]
    assert answer.messages[1].text == "3"


@pytest.mark.parametrize(
    ("person", "words"),
    [
        (Decided(Denied()), "add was not called: the user did not agree. Do without it."),
        (Decided(Denied("not today")), "add was not called: not today. Do without it."),
        (None, "add was not called: it needs a person's agreement, and nobody is there to ask."),
    ],
)
async def test_without_agreement_the_call_is_not_made(person: Decided | None, words: str) -> None:
    model = ScriptedModel([call("add", a=1, b=2), "I may not."])

    answer = await agent_with(model, {"add": "ask"}).answer(QUESTION, approve=person)

    assert answer.messages[1].text.startswith(words)
    assert answer.reason == "stop"


async def test_the_rules_of_a_tool_come_on_top_of_the_policy() -> None:
    person = Decided(Denied())
    asking = Tool(
        name="add",
        description="Add.",
        parameters=add.parameters,
        call=add.call,
        rules=(Rule("ask"),),
    )
    model = ScriptedModel([call("add", a=1, b=2), "No.", call("add", a=1, b=2), "Yes."])
    toolsets = [StaticToolset("x", (asking,))]

    await Agent(model, toolsets).answer(QUESTION, approve=person)
    allowed = AgentOptions(policy=rules_in({"add": "allow"}))
    answer = await Agent(model, toolsets, allowed).answer(QUESTION, approve=person)

    assert len(person.asked) == 1
    assert answer.messages[1].text == "3"


async def test_nobody_is_asked_about_calls_that_cannot_be_made_nor_twice_in_one_turn() -> None:
    person = Decided(Approved())
    model = ScriptedModel(
        [
            [call("add", a="x"), call("gone"), call("add", a=1, b=2), call("add", a=1, b=2)],
            "3",
        ]
    )

    await agent_with(model, {"*": "ask"}).answer(QUESTION, approve=person)

    assert [call.arguments for call, _ in person.asked] == ['{"a": 1, "b": 2}']


# --- an answer that comes later ----------------------------------------------------------------


async def test_an_answer_that_comes_later_ends_the_run_with_the_call_open() -> None:
    model = ScriptedModel([[call("add", a=1, b=2), call("fetch", url="x")]])

    async with agent_with(model, {"add": "ask"}).run(QUESTION, approve=Decided(Pending())) as run:
        events = await collect(run)

    last = events[-1]
    assert isinstance(last, RunFinished)
    fetched = ToolCall("call_2", "fetch", '{"url": "x"}')
    assert (last.reason, last.pending) == ("approval", (ASKED,))
    assert last.messages == (
        Message.assistant("", (ASKED, fetched)),
        Message(role="tool", content=(TextPart("got x"),), tool_call_id="call_2", name="fetch"),
    )
    told = [event for event in events if isinstance(event, ToolStarted | ToolFinished)]
    assert [type(event) for event in told] == [ToolStarted, ToolFinished]
    assert ToolStarted(fetched) in told


@pytest.mark.parametrize(
    ("approval", "text"),
    [(Approved(), "3"), (Denied(), "add was not called: the user did not agree. Do without it.")],
)
async def test_a_run_goes_on_with_the_answer(approval: Approval, text: str) -> None:
    model = ScriptedModel([[call("add", a=1, b=2), call("fetch", url="x")], "Done."])
    agent = agent_with(model, {"add": "ask"})
    first = await agent.answer(QUESTION, approve=Decided(Pending()))

    conversation = [*QUESTION, *first.messages]
    second = await agent.answer(conversation, approve=Decided(approval), resume=True)

    result = Message(role="tool", content=(TextPart(text),), tool_call_id="call_1", name="add")
    assert second.messages == (result, Message.assistant("Done."))
    assert model.requests[1].messages == (*conversation, result)


async def test_a_run_that_goes_on_may_have_to_wait_again() -> None:
    model = ScriptedModel([call("add", a=1, b=2)])
    agent = agent_with(model, {"add": "ask"})
    first = await agent.answer(QUESTION, approve=Decided(Pending()))

    second = await agent.answer(
        [*QUESTION, *first.messages], approve=Decided(Pending()), resume=True
    )

    assert (second.reason, second.pending, second.messages) == ("approval", (ASKED,), ())


async def test_a_call_of_the_callers_own_that_has_no_result_is_named() -> None:
    mine = Tool(name="mine", description="", parameters={"type": "object"})
    said = Message.assistant("", (ToolCall("call_1", "mine", "{}"),))

    answer = await Agent(ScriptedModel([])).answer(
        [*QUESTION, said], client_tools=[mine], resume=True
    )

    assert answer.error == "tool call 'call_1' of mine has no result"


async def test_a_run_is_cancelled_while_somebody_decides() -> None:
    asked = anyio.Event()

    async def think(call: ToolCall, tool: Tool) -> Approval:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    agent = agent_with(ScriptedModel([call("add", a=1, b=2)]), {"add": "ask"})
    with anyio.fail_after(seconds(5)):
        async with agent.run(QUESTION, approve=think) as run:
            await asked.wait()
            run.cancel()
            *_, last = await collect(run)

    assert isinstance(last, RunFinished)
    assert (last.reason, last.messages[-1].text) == (
        "cancelled",
        "cancelled before it was finished",
    )
