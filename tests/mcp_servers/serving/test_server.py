"""What a registry has, as clients list it, and how they are told of changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio
import mcp.types as t
import pytest
from limits import seconds
from mcp import Client, MCPError
from mcp.client import IncomingMessage
from mcp_servers.serving.support import said, served, server_of

from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject
from kronk_mcp_servers.serving import Completed, Registry, RequestContext, build_server
from kronk_mcp_servers.serving.registry import Contents

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])


async def done(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
    return said("done")


@ERAS
async def test_long_lists_come_in_pages(mode: str) -> None:
    tools = [served(done, name=f"tool{number}") for number in range(600)]
    names: list[str] = []
    cursor: str | None = None

    async with Client(server_of(*tools), mode=mode) as client:
        for _ in range(3):
            page = await client.list_tools(cursor=cursor)
            names += [tool.name for tool in page.tools]
            cursor = page.next_cursor

    assert (names, cursor) == ([f"tool{number}" for number in range(600)], None)


@ERAS
@pytest.mark.parametrize("cursor", ["250", "ü", "ZnJvbTp4", ""])
async def test_a_cursor_that_was_not_given_out_is_refused(mode: str, cursor: str) -> None:
    async with Client(server_of(served(done)), mode=mode) as client:
        if not cursor:
            assert (await client.list_tools(cursor=cursor)).tools
            return
        with pytest.raises(MCPError, match="invalid cursor"):
            await client.list_tools(cursor=cursor)


@ERAS
async def test_a_tool_there_is_not_is_refused_and_those_there_are_named(mode: str) -> None:
    async with Client(server_of(served(done)), mode=mode) as client:
        with pytest.raises(MCPError, match="unknown tool 'rm'; available: work") as refused:
            await client.call_tool("rm", {})

    assert refused.value.error.code == t.INVALID_PARAMS


class Notes:
    """Two notes to read, and prompts about them."""

    async def resources(self) -> Sequence[t.Resource]:
        return [t.Resource(uri=f"note://{name}", name=name) for name in ("a", "b")]

    async def templates(self) -> Sequence[t.ResourceTemplate]:
        return [t.ResourceTemplate(uri_template="note://{name}", name="note")]

    async def read(self, uri: str, call: RequestContext) -> Sequence[Contents] | None:
        if uri == "note://locked":
            raise ToolError("this note is locked")
        known = uri in {"note://a", "note://b"}
        return [t.TextResourceContents(uri=uri, text=uri)] if known else None

    async def prompts(self) -> Sequence[t.Prompt]:
        argument = t.PromptArgument(name="note", required=True)
        return [t.Prompt(name="explain", arguments=[argument])]

    async def get(
        self, name: str, arguments: Mapping[str, str], call: RequestContext
    ) -> t.GetPromptResult | None:
        content = t.TextContent(text=f"Explain {arguments['note']}.")
        return t.GetPromptResult(messages=[t.PromptMessage(role="user", content=content)])

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        if (of, argument) not in {("note://{name}", "name"), ("explain", "note")}:
            return None
        return Completed(tuple(f"{value}{number}" for number in range(120)))


NOTES = build_server(
    Registry(tools=lambda: (), resources=(Notes(),), prompts=(Notes(),)), name="notes"
)


@ERAS
async def test_resources_are_listed_and_read(mode: str) -> None:
    async with Client(NOTES, mode=mode) as client:
        listed = await client.list_resources()
        templates = await client.list_resource_templates()
        read = await client.read_resource("note://b")
        with pytest.raises(MCPError, match="unknown resource 'note://c'"):
            await client.read_resource("note://c")
        with pytest.raises(MCPError, match="this note is locked"):
            await client.read_resource("note://locked")

    assert [resource.uri for resource in listed.resources] == ["note://a", "note://b"]
    assert [each.uri_template for each in templates.resource_templates] == ["note://{name}"]
    assert read.contents == [t.TextResourceContents(uri="note://b", text="note://b")]


@ERAS
async def test_prompts_are_filled_in_and_their_arguments_checked(mode: str) -> None:
    async with Client(NOTES, mode=mode) as client:
        found = await client.get_prompt("explain", {"note": "a"})
        for arguments, words in [
            ({}, "missing argument 'note'"),
            ({"note": "a", "nota": "b"}, "unknown argument 'nota'; available: note"),
        ]:
            with pytest.raises(MCPError, match=words):
                await client.get_prompt("explain", arguments)
        with pytest.raises(MCPError, match="unknown prompt 'explode'; available: explain"):
            await client.get_prompt("explode", {})

    assert found.messages[0].content == t.TextContent(text="Explain a.")


@ERAS
async def test_arguments_are_completed_with_no_more_than_the_protocol_allows(mode: str) -> None:
    of_prompt = t.PromptReference(name="explain")
    of_template = t.ResourceTemplateReference(uri="note://{name}")

    async with Client(NOTES, mode=mode) as client:
        prompt = await client.complete(of_prompt, {"name": "note", "value": "x"})
        template = await client.complete(of_template, {"name": "name", "value": "y"})
        with pytest.raises(MCPError, match="unknown prompt"):
            await client.complete(of_prompt, {"name": "nota", "value": "x"})

    assert prompt.completion.values[0] == "x0"
    assert (len(prompt.completion.values), prompt.completion.total) == (100, 120)
    assert prompt.completion.has_more
    assert template.completion.values[1] == "y1"


async def test_sessions_of_before_2026_are_told_of_changes() -> None:
    told = anyio.Event()
    news: list[str] = []

    async def hear(message: IncomingMessage) -> None:
        if isinstance(message, t.ToolListChangedNotification | t.ResourceUpdatedNotification):
            news.append(message.method)
        if len(news) == 2:
            told.set()

    async with Client(NOTES, mode="legacy", message_handler=hear) as client:
        params = t.SubscribeRequestParams(uri="note://a")
        await client.session.send_request(t.SubscribeRequest(params=params), t.EmptyResult)
        await NOTES.listeners.resource_updated("note://b")
        await NOTES.listeners.resource_updated("note://a")
        await NOTES.listeners.tools_changed()
        with anyio.fail_after(seconds(5)):
            await told.wait()

    assert news == ["notifications/resources/updated", "notifications/tools/list_changed"]


async def test_since_2026_those_who_listen_are_told() -> None:
    async with (
        Client(NOTES) as client,
        client.listen(tools_list_changed=True, resource_subscriptions=["note://a"]) as events,
    ):
        await NOTES.listeners.resource_updated("note://b")
        await NOTES.listeners.resource_updated("note://a")
        await NOTES.listeners.tools_changed()
        with anyio.fail_after(seconds(5)):
            heard = [type(await anext(events)).__name__ for _ in range(2)]

    assert heard == ["ResourceUpdated", "ToolsListChanged"]


async def test_a_session_is_logged_to_from_the_level_it_wants() -> None:
    async def log(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        await call.log("info", "little")
        await call.log("error", "much")
        return said("done")

    heard: list[object] = []

    async def hear(params: t.LoggingMessageNotificationParams) -> None:
        heard.append(params.data)

    server = server_of(served(log))
    async with Client(server, mode="legacy", logging_callback=hear) as client:
        await client.session.send_request(
            t.SetLevelRequest(params=t.SetLevelRequestParams(level="warning")), t.EmptyResult
        )
        await client.call_tool("work", {})

    assert heard == ["much"]
