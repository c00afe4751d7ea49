"""MCP resources: sessions, fetched pages, and truncated results."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import mcp.types as t

from kronk_agent.agent.approval import policy_check
from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject, Message, ToolResult
from kronk_agent.runtime import Runtime
from kronk_agent.tools import Rule, ToolContext, Toolset
from kronk_mcp_servers.agent.caller import current_caller
from kronk_mcp_servers.serving.listeners import Listeners
from kronk_mcp_servers.serving.registry import Completed, Contents, ServedTool
from kronk_mcp_servers.serving.request_context import RequestContext

if TYPE_CHECKING:
    from kronk_agent.sessions import SessionStore  # heavy

_MAX_SESSIONS = 100
_MAX_PAGES = 100
_PAGE_TOKENS = 20_000
_MAX_PARTS = 50
MARKDOWN, JSON = "text/markdown", "application/json"


class SessionResources:
    """``kronk://sessions/{id}``: conversations as Markdown, and with ``/json`` as JSON."""

    _PREFIX = "kronk://sessions/"

    def __init__(self, runtime: Runtime) -> None:
        self.listeners: Listeners | None = None
        self._runtime = runtime

    async def answered(self, id: str, *, is_new: bool) -> None:
        """Notify subscribers of a new session, or of a change of this one."""
        if self.listeners is None:
            return
        if is_new:
            await self.listeners.resources_changed()
            return
        await self.listeners.resource_updated(f"{self._PREFIX}{id}")
        await self.listeners.resource_updated(f"{self._PREFIX}{id}/json")

    async def resources(self) -> Sequence[t.Resource]:
        """Return the caller's latest sessions."""
        store = await sessions_of_caller(self._runtime)
        return [
            t.Resource(
                uri=f"{self._PREFIX}{session.id}",
                name=session.id,
                title=session.title or None,
                description=f"Last used {_day(session.updated_at)}.",
                mime_type=MARKDOWN,
            )
            for session in await store.sessions(limit=_MAX_SESSIONS)
        ]

    async def templates(self) -> Sequence[t.ResourceTemplate]:
        """Return the URI templates."""
        return [
            t.ResourceTemplate(
                uri_template=f"{self._PREFIX}{{id}}",
                name="session",
                description="A conversation with the agent.",
                mime_type=MARKDOWN,
            ),
            t.ResourceTemplate(
                uri_template=f"{self._PREFIX}{{id}}/json",
                name="session as JSON",
                description="A conversation with the agent as JSON, including tool calls.",
                mime_type=JSON,
            ),
        ]

    async def read(self, uri: str, call: RequestContext) -> Sequence[Contents] | None:
        """Read a session of the caller; None if the URI is not one."""
        if not uri.startswith(self._PREFIX):
            return None
        id, _, form = uri.removeprefix(self._PREFIX).partition("/")
        store = await sessions_of_caller(self._runtime)
        if form not in ("", "json") or await store.session(id) is None:
            return None
        messages = await store.messages(id)
        if form == "json":
            text = json.dumps([_value(m) for m in messages], ensure_ascii=False, indent=2)
            return [t.TextResourceContents(uri=uri, mime_type=JSON, text=text)]
        text = "\n\n".join(filter(None, map(_markdown, messages)))
        return [t.TextResourceContents(uri=uri, mime_type=MARKDOWN, text=text)]

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        """Suggest session IDs."""
        if argument != "id" or not of.startswith(self._PREFIX):
            return None
        store = await sessions_of_caller(self._runtime)
        sessions = await store.sessions(limit=_MAX_SESSIONS)
        return Completed(tuple(s.id for s in sessions if s.id.startswith(value)))


class PageResources:
    """``kronk://pages/{url}``: complete pages that a caller fetched since the server started."""

    _PREFIX = "kronk://pages/"

    def __init__(
        self, toolsets: Sequence[Toolset], *, policy: Sequence[Rule], policy_ceiling: Sequence[Rule]
    ) -> None:
        self.listeners: Listeners | None = None
        self._toolsets = toolsets
        self._policy = policy
        self._policy_ceiling = policy_ceiling
        self._titles: OrderedDict[tuple[str | None, str], str | None] = OrderedDict()
        """Titles by caller and URL."""

    async def take(self, result: ToolResult) -> None:
        """Remember the page if the result is one."""
        if result.name == "web_fetch" and not result.is_error:
            await self._remember(result.structured)

    def watched(self, tool: ServedTool) -> ServedTool:
        """Wrap the tool ``web_fetch`` to remember its pages."""
        if tool.definition.name != "web_fetch":
            return tool

        async def call_tool(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
            """Call the tool and remember the page."""
            result = await tool.call(arguments, call)
            if not result.is_error and isinstance(result.structured_content, dict):
                await self._remember(result.structured_content)
            return result

        return replace(tool, call=call_tool)

    async def _remember(self, structured: JsonObject | None) -> None:
        match structured:
            case {"url": str(url), **rest}:
                title = rest.get("title")
            case _:
                return
        key = (current_caller(), url)
        is_new = key not in self._titles
        self._titles[key] = title if isinstance(title, str) else None
        self._titles.move_to_end(key)
        while len(self._titles) > _MAX_PAGES:
            self._titles.popitem(last=False)
        if is_new and self.listeners is not None:
            await self.listeners.resources_changed()

    async def resources(self) -> Sequence[t.Resource]:
        """Return the caller's pages, latest first."""
        return [
            t.Resource(
                uri=f"{self._PREFIX}{quote(url, safe='')}",
                name=url,
                title=title,
                description="A fetched page.",
                mime_type=MARKDOWN,
            )
            for (owner, url), title in reversed(self._titles.items())
            if owner == current_caller()
        ]

    async def templates(self) -> Sequence[t.ResourceTemplate]:
        """Return the URI template."""
        return [
            t.ResourceTemplate(
                uri_template=f"{self._PREFIX}{{url}}",
                name="page",
                description="The complete text of a fetched page.",
                mime_type=MARKDOWN,
            )
        ]

    async def read(self, uri: str, call: RequestContext) -> Sequence[Contents] | None:
        """Read a page of the caller; None if the URI is not one."""
        url = unquote(uri.removeprefix(self._PREFIX))
        if not uri.startswith(self._PREFIX) or (current_caller(), url) not in self._titles:
            return None
        text = await self._complete_text(url)
        return [t.TextResourceContents(uri=uri, mime_type=MARKDOWN, text=text)]

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        """Suggest URLs of the caller's pages."""
        if (of, argument) != (f"{self._PREFIX}{{url}}", "url"):
            return None
        urls = [url for owner, url in self._titles if owner == current_caller()]
        return Completed(tuple(url for url in urls if url.startswith(value)))

    async def _complete_text(self, url: str) -> str:
        """Return all parts of the page, from the tool's cache if still cached."""
        fetch = next(
            (
                tool
                for toolset in self._toolsets
                for tool in toolset.tools()
                if tool.name == "web_fetch"
            ),
            None,
        )
        if fetch is None or fetch.call is None:
            raise ToolError("pages cannot be read: the tool web_fetch is not configured")
        texts: list[str] = []
        start = 0
        for _ in range(_MAX_PARTS):
            arguments: JsonObject = {"url": url, "start": start, "max_tokens": _PAGE_TOKENS}
            check = policy_check(
                fetch,
                arguments,
                policy=self._policy,
                policy_ceiling=self._policy_ceiling,
                is_agreed=True,  # when the page was first fetched
            )
            output = await fetch.call(arguments, ToolContext(check_policy=check))
            texts.append(Message("tool", output.content).text)
            next_start = (output.structured or {}).get("next_start")
            if not isinstance(next_start, int):
                break
            start = next_start
        return "\n".join(texts)


class ResultResources:
    """``output://...``: complete texts of truncated results, at the URI in their marker."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def resources(self) -> Sequence[t.Resource]:
        """Return nothing: results are not listed."""
        return ()

    async def templates(self) -> Sequence[t.ResourceTemplate]:
        """Return the URI template."""
        return [
            t.ResourceTemplate(
                uri_template="output://{server}/{name}",
                name="complete result",
                description="The complete text of a truncated result, at the URI in its marker.",
                mime_type="text/plain",
            )
        ]

    async def read(self, uri: str, call: RequestContext) -> Sequence[Contents] | None:
        """Read a result; None if the URI is not one."""
        text = self._runtime.whole_output(uri)
        if text is None:
            return None
        return [t.TextResourceContents(uri=uri, mime_type="text/plain", text=text)]

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        """Return None: the names of results are not suggested."""
        return None


async def sessions_of_caller(runtime: Runtime) -> SessionStore:
    """Return the sessions of the current request's caller."""
    caller, store = current_caller(), await runtime.sessions()
    return store if caller is None else store.owned_by(caller)


def _markdown(message: Message) -> str:
    """Format a message as Markdown; tool results are collapsed."""
    text = message.text
    match message.role:
        case "tool":
            fence = "`" * max(3, _longest_run(text, "`") + 1)
            shown = f"{fence}\n{text}\n{fence}"
            return f"<details><summary>{message.name}</summary>\n\n{shown}\n\n</details>"
        case "assistant":
            calls = [f"- called `{each.name}`: `{each.arguments}`" for each in message.tool_calls]
            return "\n".join(["## assistant", *([text] if text else []), *calls])
        case role:
            return f"## {role}\n{text}"


def _longest_run(text: str, sign: str) -> int:
    longest = current = 0
    for character in text:
        current = current + 1 if character == sign else 0
        longest = max(longest, current)
    return longest


def _value(message: Message) -> JsonObject:
    value: JsonObject = {"role": message.role, "text": message.text}
    if message.reasoning:
        value["reasoning"] = message.reasoning
    if message.tool_calls:
        value["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        value |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return value


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
