"""Requests that ask, fail, are given up, and outlive the message that made them."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import mcp.types as t
import pytest
from limits import seconds
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp_servers.serving.support import said, served, server_of

from kronk_agent.errors import InvalidRequestError, ToolError
from kronk_agent.host.session.tasks import TasksExtension
from kronk_agent.messages import JsonObject
from kronk_mcp_servers.serving import RequestContext
from kronk_mcp_servers.serving.running_calls import MAX_KEPT

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
NAME: JsonObject = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
}


class Answers:
    """A client's person, who gives these answers to forms."""

    def __init__(self, *contents: dict[str, object] | None) -> None:
        self._contents = list(contents)
        self.messages: list[str] = []

    async def __call__(
        self, context: ClientRequestContext, params: t.ElicitRequestParams
    ) -> t.ElicitResult:
        self.messages.append(params.message)
        content = self._contents.pop(0)
        if content is None:
            return t.ElicitResult(action="decline")
        return t.ElicitResult.model_validate({"action": "accept", "content": content})


async def ask_twice(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
    first = await call.elicit("Who?", NAME)
    second = await call.elicit("And who else?", NAME)
    return said(f"{first.action} {first.content}, {second.action} {second.content}")


@ERAS
async def test_a_call_asks_the_person_as_often_as_it_likes(mode: str) -> None:
    answers = Answers({"name": "Ada"}, None)

    async with Client(
        server_of(served(ask_twice)), mode=mode, elicitation_callback=answers
    ) as client:
        result = await client.call_tool("work", {})

    assert result.content == said("accept {'name': 'Ada'}, decline None").content
    assert answers.messages == ["Who?", "And who else?"]


@ERAS
async def test_an_answer_that_does_not_fit_is_asked_for_again(mode: str) -> None:
    answers = Answers({"name": 7}, {"name": "Ada"}, None)

    async with Client(
        server_of(served(ask_twice)), mode=mode, elicitation_callback=answers
    ) as client:
        result = await client.call_tool("work", {})

    assert result.content == said("accept {'name': 'Ada'}, decline None").content
    assert answers.messages == ["Who?", "Who?", "And who else?"]


@ERAS
async def test_a_client_that_never_answers_properly_is_told_what_would_do(mode: str) -> None:
    answers = Answers({"name": 7}, {"name": 7}, {"name": 7})

    async with Client(
        server_of(served(ask_twice)), mode=mode, elicitation_callback=answers
    ) as client:
        with pytest.raises(MCPError, match=r"ask-1.name: 7 is not of type 'string'"):
            await client.call_tool("work", {})


@ERAS
async def test_a_client_that_cannot_ask_is_refused_by_the_capability(mode: str) -> None:
    async with Client(server_of(served(ask_twice)), mode=mode) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("work", {})

    assert refused.value.error.data == {"requiredCapabilities": {"elicitation": {}}}


@ERAS
async def test_a_call_that_is_given_up_is_stopped(mode: str) -> None:
    began, stopped = anyio.Event(), anyio.Event()

    async def hang(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()
        raise AssertionError

    async with (
        Client(server_of(served(hang)), mode=mode) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(client.call_tool, "work", {})
        await began.wait()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(seconds(5)):
        await stopped.wait()


async def test_a_client_that_never_comes_back_with_its_answer_stops_the_call() -> None:
    """The server closes, which is when the rest is stopped at the latest."""
    asked, stopped = anyio.Event(), anyio.Event()

    async def ask(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        try:
            await call.elicit("Who?", NAME)
        finally:
            stopped.set()
        raise AssertionError

    async def give_up(context: object, params: object) -> t.ElicitResult:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def visit() -> None:
        async with Client(server_of(served(ask)), elicitation_callback=give_up) as client:
            await client.call_tool("work", {})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visit)
        await asked.wait()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(seconds(5)):
        await stopped.wait()


@ERAS
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ToolError("no such page"), "no such page"),
        (InvalidRequestError("too long", param="prompt"), "too long"),
    ],
)
async def test_what_the_model_can_mend_is_a_result(mode: str, error: Exception, words: str) -> None:
    async def fail(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        raise error

    async with Client(server_of(served(fail)), mode=mode) as client:
        result = await client.call_tool("work", {})

    assert (result.is_error, result.content) == (True, [t.TextContent(text=words)])


@ERAS
async def test_a_fault_of_ours_is_an_error_that_tells_no_secrets(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def break_(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        raise RuntimeError("the key is 1234")

    async with Client(server_of(served(break_)), mode=mode) as client:
        with pytest.raises(MCPError, match="internal error; see the log") as refused:
            await client.call_tool("work", {})

    assert "1234" not in str(refused.value)
    assert "the key is 1234" in caplog.text


@ERAS
async def test_arguments_are_checked_and_an_example_is_given(mode: str) -> None:
    async def greet(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        raise AssertionError

    async with Client(server_of(served(greet, schema=NAME)), mode=mode) as client:
        result = await client.call_tool("work", {"name": 7})

    assert result.is_error
    words = 'work.name: 7 is not of type \'string\'. Valid would be, for example: {"name": "text"}'
    assert result.content == [t.TextContent(text=words)]


@ERAS
async def test_null_for_an_optional_argument_is_its_absence(mode: str) -> None:
    seen: list[JsonObject] = []

    async def note(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        seen.append(arguments)
        return said("noted")

    text: JsonObject = {"type": "string"}
    maybe: JsonObject = {"anyOf": [{"$ref": "#/$defs/text"}, {"type": "null"}]}
    schema: JsonObject = {
        "properties": {"a": text, "b": maybe, "c": {"properties": {"d": text}}, "e": text},
        "required": ["e"],
        "$defs": {"text": text},
    }
    given = {"a": None, "b": None, "c": {"d": None, "x": None}, "e": "e", "other": None}
    async with Client(server_of(served(note, schema=schema)), mode=mode) as client:
        await client.call_tool("work", given)
        refused = await client.call_tool("work", {"e": None})

    assert seen == [{"b": None, "c": {"x": None}, "e": "e", "other": None}]
    assert refused.is_error


# --- tasks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 0.01])
async def test_a_slow_call_goes_on_as_a_task_and_may_ask(seconds: float) -> None:
    async def slow(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        await anyio.sleep(0.1)
        await call.report_progress(1, 2, "half done")
        return await ask_twice(arguments, call)

    answers = Answers({"name": "Ada"}, {"name": "Bob"})
    server = server_of(served(slow, task_after_seconds=seconds))

    async with Client(
        server, extensions=[TasksExtension()], elicitation_callback=answers
    ) as client:
        result = await client.call_tool("work", {})

    assert result.content == said("accept {'name': 'Ada'}, accept {'name': 'Bob'}").content


async def test_results_that_are_kept_make_room_for_new_tasks() -> None:
    """They are kept for hours, in case somebody asks again."""
    ids: set[str] = set()

    async def work(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        while not call.is_task:
            await anyio.lowlevel.checkpoint()
        ids.add(call.id)
        return said("done")

    server = server_of(served(work, task_after_seconds=0))
    async with Client(server, extensions=[TasksExtension()]) as client:
        for _ in range(MAX_KEPT + 1):
            result = await client.call_tool("work", {})
            assert result.content == said("done").content

    assert len(ids) == MAX_KEPT + 1


async def test_a_task_nobody_waits_for_is_cancelled() -> None:
    began, stopped = anyio.Event(), anyio.Event()

    async def hang(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        while not call.is_task:
            await anyio.lowlevel.checkpoint()
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()
        raise AssertionError

    server = server_of(served(hang, task_after_seconds=0))
    async with Client(server, extensions=[TasksExtension()]) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "work", {})
            await began.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(seconds(5)):
            await stopped.wait()


async def test_without_the_extension_a_slow_call_is_answered_all_the_same() -> None:
    async def slow(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        await anyio.sleep(0.05)
        return said("done")

    async with Client(server_of(served(slow, task_after_seconds=0))) as client:
        result = await client.call_tool("work", {})

    assert result.content == said("done").content
