"""The calls of one turn: reads run side by side, and every other call keeps its place."""

from __future__ import annotations

import anyio
import pytest

from kronk_agent.agent import Agent, AgentOptions, Pending
from kronk_agent.agent.tool_calls.call_order import ParallelTools
from kronk_agent.messages import Message, ToolCall, ToolFinished
from kronk_agent.testing import ScriptedModel, call, collect
from kronk_agent.tools import Rule, StaticToolset, Tool, tool

QUESTION = [Message.user("Go.")]


class _Shop:
    """Tools that log when they begin and end, and how many run at once."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.num_running = 0
        self.most_running = 0

        @tool(read_only=True)
        async def read(name: str) -> str:
            """Read."""
            return await self._work(f"read {name}")

        @tool
        async def write(name: str) -> str:
            """Write."""
            return await self._work(f"write {name}")

        @tool
        async def fail() -> str:
            """Fail."""
            raise ValueError("out of stock")

        self.toolset = StaticToolset("shop", (read, write, fail))

    async def _work(self, what: str) -> str:
        self.log.append(f"+{what}")
        self.num_running += 1
        self.most_running = max(self.most_running, self.num_running)
        await anyio.wait_all_tasks_blocked()  # so every other call that may run has begun
        self.num_running -= 1
        self.log.append(f"-{what}")
        return what


async def played(
    *calls: ToolCall, parallel_tools: ParallelTools = "auto"
) -> tuple[_Shop, list[str]]:
    """The shop after one turn of these calls, and the results as the model reads them."""
    shop = _Shop()
    model = ScriptedModel([calls, "Done."])
    options = AgentOptions(parallel_tools=parallel_tools)
    answer = await Agent(model, [shop.toolset], options).answer(QUESTION)
    return shop, [message.text for message in answer.messages if message.role == "tool"]


async def test_a_call_that_writes_waits_for_those_before_it_and_holds_up_those_after_it() -> None:
    shop, results = await played(
        call("read", name="a"),
        call("read", name="b"),
        call("write", name="c"),
        call("read", name="d"),
        call("read", name="e"),
    )

    assert [sorted(shop.log[begin:end]) for begin, end in ((0, 2), (2, 4), (6, 8), (8, 10))] == [
        ["+read a", "+read b"],
        ["-read a", "-read b"],
        ["+read d", "+read e"],
        ["-read d", "-read e"],
    ]
    assert shop.log[4:6] == ["+write c", "-write c"]
    assert results == ["read a", "read b", "write c", "read d", "read e"]


@pytest.mark.parametrize(("parallel_tools", "most"), [("auto", 1), ("never", 1), ("always", 3)])
async def test_parallel_tools_says_whether_calls_that_write_run_side_by_side(
    parallel_tools: ParallelTools, most: int
) -> None:
    shop, _ = await played(
        *(call("write", name=name) for name in "abc"), parallel_tools=parallel_tools
    )

    assert shop.most_running == most


async def test_parallel_tools_never_keeps_reads_apart_as_well() -> None:
    shop, _ = await played(*(call("read", name=name) for name in "ab"), parallel_tools="never")

    assert shop.most_running == 1


async def test_a_call_that_fails_holds_nobody_up() -> None:
    _, results = await played(call("fail"), call("gone"), call("write", name="a"))

    assert results == [
        "failed: ValueError: out of stock\nUsage: fail()",
        "There is no tool 'gone'. The tools are: read, write, fail",
        "write a",
    ]


async def test_two_identical_calls_of_one_turn_are_executed_once_and_do_not_end_it() -> None:
    shop, results = await played(
        call("write", name="a"), call("read", name="b"), call("write", name="a")
    )

    assert shop.log == ["+write a", "-write a", "+read b", "-read b"]
    assert results == ["write a", "read b", "write a"]


async def test_an_identical_read_behind_a_write_is_executed_again() -> None:
    shop, _ = await played(call("read", name="a"), call("write", name="b"), call("read", name="a"))

    assert shop.log.count("+read a") == 2


async def test_an_identical_call_is_told_to_be_done_like_the_other() -> None:
    shop = _Shop()
    agent = Agent(ScriptedModel([[call("read", name="a")] * 2, "Done."]), [shop.toolset])

    async with agent.run(QUESTION) as run:
        events = await collect(run)

    results = [event.result for event in events if isinstance(event, ToolFinished)]
    assert [(result.call_id, result.text) for result in results] == [
        ("call_1", "read a"),
        ("call_2", "read a"),
    ]


async def test_an_identical_call_is_told_when_the_other_waits_for_approval() -> None:
    shop = _Shop()
    model = ScriptedModel([[call("write", name="a"), call("write", name="a")]])
    options = AgentOptions(policy=(Rule.parse("write", "ask"),))

    async def later(_: ToolCall, __: Tool) -> Pending:
        return Pending()

    last = await Agent(model, [shop.toolset], options).answer(QUESTION, approve=later)

    assert (last.reason, [call.id for call in last.pending]) == ("approval", ["call_1"])
    assert [message.text for message in last.messages if message.role == "tool"] == [
        "not called: the identical call of this turn was not executed either"
    ]
