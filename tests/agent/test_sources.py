"""What the tools of a run know of it, and what they leave for the one who reads its events."""

from __future__ import annotations

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.messages import Message, Source
from kronk_agent.testing import ScriptedModel, call
from kronk_agent.tools import RunContext, StaticToolset, Tool, ToolContext, tool

QUESTION = [Message.system("Be brief."), Message.user("What is on the page?")]


def citing(seen: list[RunContext]) -> Tool:
    """A tool that cites what it is asked about and keeps the context it was given."""

    @tool
    async def look(url: str, context: ToolContext) -> str:
        """Look at a page."""
        assert context.run is not None
        seen.append(context.run)
        return f"[{context.run.cite(url, url.upper())}]"

    return look


async def test_the_sources_that_tools_cite_are_in_the_last_event_numbered_in_order() -> None:
    seen: list[RunContext] = []
    model = ScriptedModel([[call("look", url="a"), call("look", url="b")], "So."])

    finished = await Agent(model, [StaticToolset("web", (citing(seen),))]).answer(QUESTION)

    assert finished.sources == (Source(1, "a", "A"), Source(2, "b", "B"))


async def test_a_tool_knows_the_conversation_and_every_run_has_its_own_context() -> None:
    seen: list[RunContext] = []
    model = ScriptedModel([call("look", url="a"), "So.", call("look", url="b"), "So."])
    agent = Agent(model, [StaticToolset("web", (citing(seen),))], AgentOptions(instructions=""))

    first = await agent.answer(QUESTION)
    second = await agent.answer([*QUESTION, *first.messages, Message.user("And now?")])

    assert seen[0].messages == tuple(QUESTION)
    assert seen[1].messages == (*QUESTION, *first.messages, Message.user("And now?"))
    assert second.sources == (Source(1, "b", "B"),)


def test_a_source_keeps_its_number_and_new_ones_come_after_those_that_are_taken() -> None:
    run = RunContext()

    numbers = [run.cite("a"), run.cite("b"), run.cite("a", "other title")]
    run.number_after(7)
    run.number_after(3)

    assert numbers == [1, 2, 1]
    assert run.cite("c") == 8
    assert run.sources == (Source(1, "a"), Source(2, "b"), Source(8, "c"))


def test_a_tool_called_outside_a_run_has_no_run() -> None:
    assert ToolContext().run is None
