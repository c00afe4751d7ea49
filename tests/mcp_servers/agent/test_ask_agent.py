"""``ask_agent`` and ``generate``, as clients of both eras see them."""

from __future__ import annotations

from typing import Any, cast

import anyio
import mcp.types as t
import pytest
from limits import seconds
from mcp import Client, MCPError
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp_servers.agent.support import DEMO, connected

from kronk_agent.errors import EngineError
from kronk_agent.host.session.call_depth import META_KEY
from kronk_agent.host.session.tasks import TasksExtension
from kronk_agent.model import ChatRequest
from kronk_agent.testing import call
from kronk_agent.tools import ToolContext, tool

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def text_of(result: t.CallToolResult) -> str:
    return "\n".join(each.text for each in result.content if isinstance(each, t.TextContent))


def structured(result: t.CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    assert isinstance(result.structured_content, dict)
    return result.structured_content


@ERAS
async def test_the_agent_uses_its_tools_and_says_what_it_did(mode: str) -> None:
    reports: list[str | None] = []

    async def watch(progress: float, total: float | None, message: str | None) -> None:
        assert progress == len(reports) + 1
        reports.append(message)

    async with connected(call("add", a=1, b=2), "It is 3.", tools=[add], mode=mode) as client:
        result = await client.call_tool("ask_agent", {"prompt": "1 + 2?"}, progress_callback=watch)

    answer = structured(result)
    assert text_of(result) == "It is 3."
    (made,) = answer["steps"][0]["tool_calls"]
    assert (made["tool"], made["is_error"]) == ("add", False)
    assert {key: answer[key] for key in ("answer", "reason", "sources")} == {
        "answer": "It is 3.",
        "reason": "stop",
        "sources": [],
    }
    assert answer["usage"]["completion_tokens"] > 0
    assert reports[:2] == ["step 1", 'calling add {"a": 1, "b": 2}']
    assert "".join(str(report) for report in reports[4:]) == "It is 3."


@pytest.mark.parametrize("name", ["ask_agent", "generate"])
async def test_the_model_is_told_that_nobody_reads_along(name: str) -> None:
    asked: list[ChatRequest] = []

    def turn(request: ChatRequest) -> str:
        asked.append(request)
        return "Hi"

    async with connected(turn, config={"serve_mcp": {"expose": ["*"]}}) as client:
        await client.call_tool(name, {"prompt": "Hello"})

    assert [request.streamed for request in asked] == [False]


async def test_who_subscribed_to_a_session_before_2026_hears_of_its_new_answer() -> None:
    news: list[tuple[str, str | None]] = []
    told = anyio.Event()

    async def hear(message: IncomingMessage) -> None:
        match message:
            case t.ResourceListChangedNotification():
                news.append((message.method, None))
            case t.ResourceUpdatedNotification():
                news.append((message.method, str(message.params.uri)))
                told.set()
            case _:
                pass

    turns = ("Ada.", "Bob.", "You said: Ada.")
    async with connected(*turns, mode="legacy", message_handler=hear) as client:
        first = structured(await client.call_tool("ask_agent", {"prompt": "Say a name."}))
        id = first["session_id"]
        params = t.SubscribeRequestParams(uri=f"kronk://sessions/{id}/json")
        await client.session.send_request(t.SubscribeRequest(params=params), t.EmptyResult)
        await client.call_tool("ask_agent", {"prompt": "Say another."})
        await client.call_tool("ask_agent", {"prompt": "Which?", "session_id": id})
        with anyio.fail_after(seconds(5)):
            await told.wait()

    assert news == [
        ("notifications/resources/list_changed", None),  # of the session begun after it subscribed
        ("notifications/resources/updated", f"kronk://sessions/{id}/json"),
    ]


async def test_who_listens_to_a_session_since_2026_hears_of_its_new_answer() -> None:
    async with connected("Ada.", "Bob.", "You said: Ada.") as client:
        first = structured(await client.call_tool("ask_agent", {"prompt": "Say a name."}))
        id = first["session_id"]
        uri = f"kronk://sessions/{id}"
        async with client.listen(
            resources_list_changed=True, resource_subscriptions=[uri]
        ) as events:
            await client.call_tool("ask_agent", {"prompt": "Say another."})
            await client.call_tool("ask_agent", {"prompt": "Which?", "session_id": id})
            with anyio.fail_after(seconds(5)):
                heard = [await anext(events) for _ in range(2)]

    assert heard == [ResourcesListChanged(), ResourceUpdated(uri=uri)]


@ERAS
async def test_a_conversation_goes_on_by_its_session_id_and_can_be_read(mode: str) -> None:
    async with connected("Ada.", "You said: Ada.", mode=mode) as client:
        first = structured(await client.call_tool("ask_agent", {"prompt": "Say a name."}))
        id = first["session_id"]
        arguments = {"prompt": "Which?", "session_id": id}
        second = structured(await client.call_tool("ask_agent", arguments))
        listed = await client.list_resources()
        markdown = await client.read_resource(f"kronk://sessions/{id}")
        json_ = await client.read_resource(f"kronk://sessions/{id}/json")

    assert second["session_id"] == id
    uris = {resource.uri: resource.title for resource in listed.resources}
    assert uris[f"kronk://sessions/{id}"] == "Say a name."
    (transcript,) = markdown.contents
    assert isinstance(transcript, t.TextResourceContents)
    assert transcript.text == (
        "## user\nSay a name.\n\n## assistant\nAda.\n\n"
        "## user\nWhich?\n\n## assistant\nYou said: Ada."
    )
    (whole,) = json_.contents
    assert isinstance(whole, t.TextResourceContents)
    assert '"text": "Which?"' in whole.text


async def test_an_answer_under_a_schema_is_also_data() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    arguments = {"prompt": "A number?", "response_schema": schema}

    async with connected('{"n": 7}', '{"n": 8}', config={"serve_mcp": {"expose": ["*"]}}) as client:
        asked = structured(await client.call_tool("ask_agent", arguments))
        generated = structured(await client.call_tool("generate", arguments))

    assert (asked["data"], generated["data"]) == ({"n": 7}, {"n": 8})


async def test_the_agent_has_only_the_tools_the_caller_chose() -> None:
    async with connected("No tools.", tools=[add]) as client:
        result = await client.call_tool("ask_agent", {"prompt": "1 + 2?", "tools": []})
        unknown = await client.call_tool("ask_agent", {"prompt": "?", "tools": ["subtract"]})

    assert structured(result)["answer"] == "No tools."
    assert unknown.is_error
    assert text_of(unknown) == "tools: there is no tool 'subtract'; there are: add"


async def test_an_agent_is_chosen_by_its_name_and_has_its_own_tools() -> None:
    @tool
    def rm(path: str) -> str:
        """Remove a file."""
        raise AssertionError

    seen: list[list[str]] = []

    def first(request: Any) -> str:
        seen.append([each.name for each in request.tools])
        return "Done."

    agents = {"adder": {"description": "Adds", "tools": ["add"]}}
    async with connected(first, tools=[add, rm], config={"agents": agents}) as client:
        (listed, *_) = (await client.list_tools()).tools
        done = await client.call_tool("ask_agent", {"prompt": "?", "agent": "adder"})
        unknown = await client.call_tool("ask_agent", {"prompt": "?", "agent": "subber"})
        prompt = await client.get_prompt("delegate_to_adder", {"task": "1 + 2"})

    assert "There are: adder: Adds." in str(listed.input_schema)
    assert not done.is_error
    assert seen == [["add"]]
    assert text_of(unknown) == "unknown agent 'subber'; available: 'adder'"
    assert "ask_agent (agent: adder)" in str(prompt.messages[0].content)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "ask_agent arguments: 'prompt' is a required property"),
        ({"prompt": 7}, "ask_agent.prompt: 7 is not of type 'string'"),
        ({"prompt": "x" * 101}, "ask_agent.prompt: "),
        ({"prompt": "x", "promt": "y"}, "Known are: prompt, agent, model, session_id"),
        ({"prompt": "x", "max_steps": 0}, "ask_agent.max_steps: 0 is less than the minimum of 1"),
        ({"prompt": "x", "session_id": "s"}, "session_id: there is no session 's'"),
        ({"prompt": "x", "response_schema": {"type": 3}}, "the schema is wrong at $.type"),
    ],
)
async def test_what_cannot_be_is_told_in_words_that_can_be_mended(
    arguments: dict[str, object], words: str
) -> None:
    async with connected(config={"serve_mcp": {"max_prompt_characters": 100}}) as client:
        result = await client.call_tool("ask_agent", arguments)

    assert result.is_error
    assert words in text_of(result)


async def test_a_prompt_that_the_context_does_not_hold_is_a_result_too() -> None:
    async with connected("never said") as client:
        result = await client.call_tool("ask_agent", {"prompt": "word " * 9000})

    assert result.is_error
    assert "maximum context length is 8192 tokens" in text_of(result)


async def test_a_model_that_fails_is_a_result_that_says_so() -> None:
    async with connected(EngineError("the graphics card fell out")) as client:
        result = await client.call_tool("ask_agent", {"prompt": "?"})

    assert result.is_error
    assert text_of(result) == "the graphics card fell out"


@ERAS
async def test_giving_up_stops_the_model_and_the_tools(mode: str) -> None:
    began, stopped = anyio.Event(), anyio.Event()

    @tool
    async def hang(context: ToolContext) -> str:
        """Never end."""
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            stopped.set()
        return "unreachable"

    async with connected(call("hang"), tools=[hang], mode=mode) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "ask_agent", {"prompt": "?"})
            await began.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(seconds(5)):
            await stopped.wait()


async def test_a_client_that_knows_tasks_gets_one_and_its_result() -> None:
    async with connected(
        call("add", a=1, b=2), "It is 3.", tools=[add], extensions=[TasksExtension()]
    ) as client:
        result = await client.call_tool("ask_agent", {"prompt": "1 + 2?"})

    assert structured(result)["answer"] == "It is 3."


META = cast("t.RequestParamsMeta", {META_KEY: 3})


async def test_a_circle_of_agents_ends() -> None:
    async with connected("never said") as client:
        result = await client.call_tool("ask_agent", {"prompt": "?"}, meta=META)

    assert result.is_error
    assert "agents call one another in a circle: 3 are at work" in text_of(result)


# --- consent and questions ---------------------------------------------------------------------


class Answers:
    """A client's person, who gives this answer to every form."""

    def __init__(self, content: dict[str, Any] | None) -> None:
        self._content = content
        self.messages: list[str] = []

    async def __call__(self, context: object, params: t.ElicitRequestParams) -> t.ElicitResult:
        self.messages.append(params.message)
        if self._content is None:
            return t.ElicitResult(action="decline")
        return t.ElicitResult(action="accept", content=self._content)


ASKING = {"demo": {**DEMO, "policy": {"*": "ask"}}}


@ERAS
@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        ({"allow": True}, "3"),
        ({"allow": False}, "the user did not agree"),
        (None, "the user did not agree"),
    ],
)
async def test_the_person_is_asked_before_a_call_that_needs_consent(
    mode: str, content: dict[str, Any] | None, outcome: str
) -> None:
    answers = Answers(content)
    seen: list[str] = []

    def last(request: Any) -> str:
        seen.append(request.messages[-1].text)
        return "Done."

    async with connected(
        call("demo__add", a=1, b=2),
        last,
        config={"mcp_servers": ASKING},
        mode=mode,
        elicitation_callback=answers,
    ) as client:
        result = await client.call_tool("ask_agent", {"prompt": "1 + 2?"})

    assert structured(result)["answer"] == "Done."
    assert outcome in seen[0]
    assert answers.messages == [
        'Allow calling demo__add with these arguments?\n{\n "a": 1,\n "b": 2\n}'
    ]


@ERAS
async def test_without_elicitation_consent_is_denied_and_the_model_reads_why(mode: str) -> None:
    seen: list[str] = []

    def last(request: Any) -> str:
        seen.append(request.messages[-1].text)
        return "Done."

    async with connected(
        call("demo__add", a=1, b=2), last, config={"mcp_servers": ASKING}, mode=mode
    ) as client:
        structured(await client.call_tool("ask_agent", {"prompt": "1 + 2?"}))

    assert "demo__add needs the user's consent, and this MCP client cannot ask" in seen[0]


async def test_the_agents_own_policy_asks_the_person_too() -> None:
    answers = Answers({"allow": True})

    async with connected(
        call("add", a=1, b=2),
        "It is 3.",
        tools=[add],
        config={"policy": {"add": "ask"}},
        elicitation_callback=answers,
    ) as client:
        result = await client.call_tool("ask_agent", {"prompt": "1 + 2?"})

    assert structured(result)["steps"][0]["tool_calls"][0]["is_error"] is False
    assert len(answers.messages) == 1


async def test_a_tool_that_is_no_tool_of_ours_is_an_error_of_the_protocol() -> None:
    async with connected() as client:
        with pytest.raises(MCPError, match="unknown tool 'rm'; available: ask_agent"):
            await client.call_tool("rm", {})


async def names_of(client: Client) -> list[str]:
    return [each.name for each in (await client.list_tools()).tools]


async def test_a_tool_that_remote_callers_are_denied_is_none_they_can_choose() -> None:
    config = {"serve_mcp": {"remote": {"policy": {"add": "deny"}}}}
    async with connected(tools=[add], is_remote=True, config=config) as client:
        result = await client.call_tool("ask_agent", {"prompt": "1 + 2?", "tools": ["add"]})

    assert result.is_error
    assert text_of(result).startswith("tools: there is no tool 'add'")
