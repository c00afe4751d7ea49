"""Output items of a response."""

from __future__ import annotations

from dataclasses import dataclass, field

from kronk_agent.api.protocols.openai_responses.toolbox import ToolPresentation
from kronk_agent.api.tools.client_tools import parsed_arguments, text_in
from kronk_agent.messages import JsonObject, JsonValue, ToolResult


@dataclass(slots=True)
class TextItem:
    """A text or thinking item in progress."""

    index: int
    id: str
    texts: list[str] = field(default_factory=list)
    logprobs: list[JsonValue] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.texts)


@dataclass(slots=True)
class CallItem:
    """A tool call item in progress."""

    call_id: str
    tool: str
    shown: ToolPresentation
    item_id: str
    index: int = -1
    """Index in the output; -1 before it is assigned."""
    fragments: list[str] = field(default_factory=list)
    approval_id: str | None = None

    @property
    def arguments(self) -> str:
        """The JSON arguments so far."""
        return "".join(self.fragments)


def message_item(id: str, content: list[JsonValue], status: str) -> JsonObject:
    """A message item."""
    head: JsonObject = {"id": id, "type": "message", "status": status}
    return {**head, "role": "assistant", "content": content}


def output_text(text: str, annotations: list[JsonValue], logprobs: list[JsonValue]) -> JsonObject:
    """A text part of a message."""
    return {
        "type": "output_text",
        "text": text,
        "annotations": annotations,
        "logprobs": list(logprobs),
    }


def call_item(
    call: CallItem, status: str, result: ToolResult | None = None, *, lists_sources: bool
) -> JsonObject:
    """The output item of a call.

    Args:
        call: the call so far.
        status: of the item.
        result: of a server tool call, once known.
        lists_sources: include the pages that a web search found.
    """
    shown = call.shown
    match shown.kind:
        case "function" | "custom":
            is_function = shown.kind == "function"
            arguments: JsonObject = (
                {"arguments": call.arguments} if is_function else {"input": text_in(call.arguments)}
            )
            group: JsonObject = {} if shown.group is None else {"namespace": shown.group}
            kind = "function_call" if is_function else "custom_tool_call"
            head: JsonObject = {"id": call.item_id, "type": kind, "status": status}
            return {**head, **arguments, "call_id": call.call_id, "name": shown.name, **group}
        case "web":
            action = _action(call, result if lists_sources else None)
            return {
                "id": call.item_id,
                "type": "web_search_call",
                "status": status,
                "action": action,
            }
        case "mcp":
            return {
                "id": call.item_id,
                "type": "mcp_call",
                "status": status,
                "server_label": shown.group,
                "name": shown.name,
                "arguments": call.arguments,
                "approval_request_id": call.approval_id,
                "output": None if result is None or result.is_error else result.text,
                "error": _mcp_error(result) if result and result.is_error else None,
            }
        case "approval":
            return {
                "id": call.item_id,
                "type": "mcp_approval_request",
                "server_label": shown.group,
                "name": shown.name,
                "arguments": call.arguments,
            }


def _action(call: CallItem, result: ToolResult | None) -> JsonObject:
    arguments = parsed_arguments(call.arguments)
    if call.tool == "web_search":
        query = arguments.get("query", "")
        action: JsonObject = {"type": "search", "query": query, "queries": [query]}
        if result is not None:
            action["sources"] = _sources(result)
        return action
    url = arguments.get("url", "")
    pattern = arguments.get("find")
    if pattern is not None:
        return {"type": "find_in_page", "url": url, "pattern": pattern}
    return {"type": "open_page", "url": url}


def _sources(result: ToolResult) -> list[JsonValue]:
    pages = (result.structured or {}).get("results")
    if not isinstance(pages, list):
        return []
    return [{"type": "url", "url": page["url"]} for page in pages if isinstance(page, dict)]


def _mcp_error(result: ToolResult) -> JsonObject:
    content: list[JsonValue] = [{"type": "text", "text": result.text}]
    return {"type": "mcp_tool_execution_error", "content": content}
