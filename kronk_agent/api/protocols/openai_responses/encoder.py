"""Encodes the events of a run as events of a response, and fills the response object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from kronk_agent.api.protocols.common.citations import citations
from kronk_agent.api.protocols.common.logprobs import logprob_to_wire
from kronk_agent.api.protocols.common.schema import new_id
from kronk_agent.api.protocols.openai_responses.items.opaque import pack
from kronk_agent.api.protocols.openai_responses.items.output import (
    CallItem,
    TextItem,
    call_item,
    message_item,
    output_text,
)
from kronk_agent.api.protocols.openai_responses.items.to_messages import APPROVAL_PREFIX
from kronk_agent.api.protocols.openai_responses.state import ResponseState
from kronk_agent.api.protocols.openai_responses.toolbox import Listing, Toolbox, ToolPresentation
from kronk_agent.api.tools.client_tools import text_in
from kronk_agent.messages import (
    ContextCompacted,
    Event,
    JsonObject,
    JsonValue,
    Notice,
    ReasoningDelta,
    RunFinished,
    StepFinished,
    StepStarted,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    ToolFinished,
    ToolProgress,
    ToolResult,
    ToolStarted,
)

WireEvent: TypeAlias = JsonObject


class ResponsesEncoder:
    """Encodes one response. Each method returns the next events to send.

    Args:
        body: the response object, filled on the way.
        toolbox: knows how each tool's calls are presented.
    """

    def __init__(self, body: ResponseState, toolbox: Toolbox) -> None:
        self.body = body
        self.finished: RunFinished | None = None
        self.is_budget_spent = False
        """The run was cancelled because the token budget is spent."""
        self._toolbox = toolbox
        self._number = 0
        self._text: TextItem | None = None
        self._thinking: TextItem | None = None
        self._turn: dict[int, CallItem] = {}
        """Calls of the current turn, by index."""
        self._open: dict[str, CallItem] = {}
        """Unfinished calls, by id."""
        wire = body.request
        self._is_summary = wire.reasoning is not None and wire.reasoning.summary is not None
        self._packs_thinking = wire.includes("reasoning.encrypted_content")
        self._lists_sources = wire.includes("web_search_call.action.sources")

    # --- lifecycle -----------------------------------------------------------------------------

    def begin(self) -> list[WireEvent]:
        """The initial events."""
        if self.body.request.background:
            self.body.status = "queued"
            created, queued = self._state("response.created"), self._state("response.queued")
            self.body.status = "in_progress"
            return [created, queued, self._state("response.in_progress")]
        return [self._state("response.created"), self._state("response.in_progress")]

    def list_tools(self, listing: Listing) -> Iterator[WireEvent]:
        """The events that list the tools of an MCP server."""
        id, index = new_id("mcpl_"), self._take_index()
        item: JsonObject = {
            "id": id,
            "type": "mcp_list_tools",
            "server_label": listing.server_label,
            "tools": [],
            "error": None,
        }
        yield self._event("response.output_item.added", output_index=index, item=item)
        yield self._event("response.mcp_list_tools.in_progress", item_id=id, output_index=index)
        tools: list[JsonValue] = [
            {
                "name": name,
                "description": tool.description,
                "input_schema": tool.parameters,
                "annotations": tool.annotations or None,
            }
            for name, tool in listing.tools
        ]
        yield self._event("response.mcp_list_tools.completed", item_id=id, output_index=index)
        yield self._done(index, {**item, "tools": tools})

    def begin_approved(self, call: ToolCall, shown: ToolPresentation) -> Iterator[WireEvent]:
        """The events that start an approved call."""
        made = CallItem(
            call.id, call.name, ToolPresentation("mcp", shown.name, shown.group), new_id("mcp_")
        )
        made.fragments = [call.arguments]
        made.approval_id = APPROVAL_PREFIX + call.id
        self._open[call.id] = made
        yield from self._add(made)
        yield from self._mcp_arguments_done(made)

    def read(self, event: Event) -> Iterator[WireEvent]:
        """Encode an event of the run."""
        match event:
            case TextDelta(text, logprobs):
                yield from self._add_text(text, logprobs)
            case ReasoningDelta(text):
                yield from self._add_thinking(text)
            case ToolCallStart(index, id, name):
                yield from self._begin_call(index, id, name)
            case ToolCallArguments(index, fragment):
                yield from self._arguments(self._turn[index], fragment)
            case ToolCallEnd(index):
                yield from self._end_call(self._turn[index])
            case ToolFinished(result):
                yield from self.add_result(result)
            case StepStarted():
                self._turn = {}
            case RunFinished():
                yield from self._finish(event)
            case Notice() | ContextCompacted():
                self.body.notices.append(event.text)
            case StepFinished() | ToolStarted() | ToolProgress():
                pass

    def fail(self, error: BaseException, message: str) -> Iterator[WireEvent]:
        """End the response with an error, outside of a run."""
        yield from self._close_all()
        self.body.fail(error, message)
        yield self._state("response.failed")

    def _finish(self, finished: RunFinished) -> Iterator[WireEvent]:
        self.finished = finished
        if self._text is not None:
            found = citations(self._text.text, finished.sources)
            yield from self._end_text(self._text, found, _status(finished))
        yield from self._close_all()
        self.body.finish(finished, is_budget_spent=self.is_budget_spent)
        match self.body.status:
            case "completed" | "failed" as status:
                yield self._state(f"response.{status}")
            case _:
                yield self._state("response.incomplete")

    def _close_all(self) -> Iterator[WireEvent]:
        yield from self._end_thinking()
        if self._text is not None:
            yield from self._end_text(self._text, [], "incomplete")
        for call in list(self._open.values()):
            if call.index >= 0:
                del self._open[call.call_id]
                yield self._done(call.index, self._item(call, "incomplete"))

    # --- text and thinking -------------------------------------------------------------------

    def _add_text(self, text: str, logprobs: Sequence[TokenLogprob]) -> Iterator[WireEvent]:
        yield from self._end_thinking()
        text_item = self._text
        if text_item is None:
            text_item = self._text = TextItem(self._take_index(), new_id("msg_"))
            item = message_item(text_item.id, [], "in_progress")
            yield self._event("response.output_item.added", output_index=text_item.index, item=item)
            yield self._text_event(
                "response.content_part.added", text_item, part=output_text("", [], [])
            )
        scored: list[JsonValue] = [logprob_to_wire(scored) for scored in logprobs]
        text_item.texts.append(text)
        text_item.logprobs += scored
        yield self._text_event("response.output_text.delta", text_item, delta=text, logprobs=scored)

    def _end_text(
        self, text_item: TextItem, found: list[JsonObject], status: str = "completed"
    ) -> Iterator[WireEvent]:
        self._text = None
        for number, citation in enumerate(found):
            yield self._text_event(
                "response.output_text.annotation.added",
                text_item,
                annotation_index=number,
                annotation=citation,
            )
        text = text_item.text
        yield self._text_event(
            "response.output_text.done", text_item, text=text, logprobs=text_item.logprobs
        )
        part = output_text(text, list(found), text_item.logprobs)
        yield self._text_event("response.content_part.done", text_item, part=part)
        yield self._done(text_item.index, message_item(text_item.id, [part], status))

    def _add_thinking(self, text: str) -> Iterator[WireEvent]:
        if self._text is not None:
            yield from self._end_text(self._text, [])
        thought = self._thinking
        if thought is None:
            thought = self._thinking = TextItem(self._take_index(), new_id("rs_"))
            item = self._reasoning(thought, "in_progress")
            yield self._event("response.output_item.added", output_index=thought.index, item=item)
            yield self._thinking_event("part.added", thought, part=self._thinking_part(""))
        thought.texts.append(text)
        yield self._thinking_event("text.delta", thought, delta=text)

    def _end_thinking(self) -> Iterator[WireEvent]:
        thought = self._thinking
        if thought is None:
            return
        self._thinking = None
        yield self._thinking_event("text.done", thought, text=thought.text)
        yield self._thinking_event("part.done", thought, part=self._thinking_part(thought.text))
        yield self._done(thought.index, self._reasoning(thought, "completed"))

    def _thinking_event(self, kind: str, thought: TextItem, **fields: JsonValue) -> WireEvent:
        """An event about thinking, encoded as summary or content."""
        if self._is_summary:
            part_index: JsonObject = {"summary_index": 0}
            name = f"response.reasoning_summary_{kind}"
        else:
            part_index = {"content_index": 0}
            is_text = kind.startswith("text")
            name = f"response.{'reasoning_' if is_text else 'content_'}{kind}"
        return self._event(
            name, item_id=thought.id, output_index=thought.index, **part_index, **fields
        )

    def _thinking_part(self, text: str) -> JsonObject:
        return {"type": "summary_text" if self._is_summary else "reasoning_text", "text": text}

    def _reasoning(self, thought: TextItem, status: str) -> JsonObject:
        parts: list[JsonValue] = [self._thinking_part(thought.text)] if thought.texts else []
        item: JsonObject = {
            "id": thought.id,
            "type": "reasoning",
            "status": status,
            "summary": parts if self._is_summary else [],
        }
        if not self._is_summary:
            item["content"] = parts
        if self._packs_thinking:
            item["encrypted_content"] = pack(thought.text) if thought.texts else None
        return item

    # --- calls -------------------------------------------------------------------------------

    def _begin_call(self, number: int, id: str, name: str) -> Iterator[WireEvent]:
        yield from self._end_thinking()
        if self._text is not None:
            yield from self._end_text(self._text, [])
        shown = self._toolbox.shown(name)
        prefix = {"function": "fc_", "custom": "ctc_", "web": "ws_", "mcp": "mcp_"}.get(shown.kind)
        item_id = new_id(prefix) if prefix else APPROVAL_PREFIX + id
        call = self._turn[number] = self._open[id] = CallItem(id, name, shown, item_id)
        if shown.kind in (
            "function",
            "mcp",
        ):  # the other kinds are encoded once the call is complete
            yield from self._add(call)

    def _add(self, call: CallItem) -> Iterator[WireEvent]:
        call.index = self._take_index()
        empty = CallItem(call.call_id, call.tool, call.shown, call.item_id)
        empty.approval_id = call.approval_id
        is_web = call.shown.kind == "web"
        item = self._item(call if is_web else empty, "in_progress")
        yield self._event("response.output_item.added", output_index=call.index, item=item)
        match call.shown.kind:
            case "mcp":
                yield self._call_event("response.mcp_call.in_progress", call)
            case "web":
                yield self._call_event("response.web_search_call.in_progress", call)
                yield self._call_event("response.web_search_call.searching", call)
            case _:
                pass

    def _arguments(self, call: CallItem, fragment: str) -> Iterator[WireEvent]:
        call.fragments.append(fragment)
        match call.shown.kind:
            case "function":
                yield self._call_event(
                    "response.function_call_arguments.delta", call, delta=fragment
                )
            case "mcp":
                yield self._call_event("response.mcp_call_arguments.delta", call, delta=fragment)
            case _:
                pass

    def _end_call(self, call: CallItem) -> Iterator[WireEvent]:
        match call.shown.kind:
            case "function":
                yield self._call_event(
                    "response.function_call_arguments.done",
                    call,
                    name=call.shown.name,
                    arguments=call.arguments,
                )
                yield from self._end(call)
            case "custom":
                yield from self._add(call)
                # The text is extracted from its JSON once that is complete.
                text = text_in(call.arguments)
                yield self._call_event("response.custom_tool_call_input.delta", call, delta=text)
                yield self._call_event("response.custom_tool_call_input.done", call, input=text)
                yield from self._end(call)
            case "mcp":
                yield from self._mcp_arguments_done(call)
            case "web":
                yield from self._add(call)
            case "approval":
                yield from self._add(call)
                yield from self._end(call)

    def _mcp_arguments_done(self, call: CallItem) -> Iterator[WireEvent]:
        yield self._call_event("response.mcp_call_arguments.done", call, arguments=call.arguments)

    def add_result(self, result: ToolResult) -> Iterator[WireEvent]:
        """The events for the result of a server tool call."""
        call = self._open.get(result.call_id)
        if call is None or call.index < 0:
            return
        if call.shown.kind == "function":  # unknown tool; the model is told so
            return
        outcome = "failed" if result.is_error else "completed"
        if call.shown.kind == "mcp":
            yield self._call_event(f"response.mcp_call.{outcome}", call)
        else:
            yield self._call_event("response.web_search_call.completed", call)
        del self._open[call.call_id]
        yield self._done(call.index, self._item(call, outcome, result))

    def _end(self, call: CallItem) -> Iterator[WireEvent]:
        self._open.pop(call.call_id, None)
        yield self._done(call.index, self._item(call, "completed"))

    def _item(self, call: CallItem, status: str, result: ToolResult | None = None) -> JsonObject:
        return call_item(call, status, result, lists_sources=self._lists_sources)

    # --- events ------------------------------------------------------------------------------

    def _take_index(self) -> int:
        """Reserve the next index in the output; the item is filled in when it is done."""
        self.body.output.append({})
        return len(self.body.output) - 1

    def _done(self, index: int, item: JsonObject) -> WireEvent:
        self.body.output[index] = item
        return self._event("response.output_item.done", output_index=index, item=item)

    def _text_event(self, type: str, item: TextItem, **fields: JsonValue) -> WireEvent:
        return self._event(
            type, item_id=item.id, output_index=item.index, content_index=0, **fields
        )

    def _call_event(self, type: str, call: CallItem, **fields: JsonValue) -> WireEvent:
        return self._event(type, item_id=call.item_id, output_index=call.index, **fields)

    def _state(self, type: str) -> WireEvent:
        return self._event(type, response=self.body.to_json())

    def _event(self, type: str, **fields: JsonValue) -> WireEvent:
        event: WireEvent = {"type": type, "sequence_number": self._number, **fields}
        self._number += 1
        return event


_INCOMPLETE = ("length", "cancelled", "error", "malformed_tool_call")


def _status(finished: RunFinished) -> str:
    return "incomplete" if finished.reason in _INCOMPLETE else "completed"
