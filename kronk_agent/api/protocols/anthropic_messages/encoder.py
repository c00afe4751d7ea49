"""Encodes the events of a run as Anthropic's stream events; collect.py assembles them.

The order is Anthropic's: ``message_start``, then block after block, each with
``content_block_start``, deltas and ``content_block_stop``, then ``message_delta`` and
``message_stop``. Blocks do not overlap, so results of server tools follow the turn that called
them, in the order of the calls; the message does not depend on when the tools finished.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, assert_never

from kronk_agent.api.protocols.anthropic_messages.results import (
    citations_of,
    fetch_block,
    mcp_block,
    search_block,
)
from kronk_agent.api.protocols.anthropic_messages.thinking import signature_of
from kronk_agent.errors import KronkError
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
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    ToolFinished,
    ToolProgress,
    ToolResult,
    ToolStarted,
    Usage,
)

CallBlock: TypeAlias = Literal["tool_use", "server_tool_use", "mcp_tool_use"]

_ID_PREFIXES: dict[CallBlock, str] = {
    "tool_use": "toolu_",
    "server_tool_use": "srvtoolu_",
    "mcp_tool_use": "mcptoolu_",
}
_WEB_TOOLS = ("web_search", "web_fetch")
_MARKER = re.compile(r"\[(\d{1,6})\]")
_LONGEST_MARKER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFormat:
    """Everything that determines how a message is encoded."""

    id: str
    model: str
    """The name used in the request."""
    client_tools: frozenset[str] = frozenset()
    servers: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Server and own name of each server tool, by the name the model sees."""
    max_tokens: int | None = None
    shows_thinking: bool = True
    cites_pages: bool = False
    """True if pages read by ``web_fetch`` are cited; results of ``web_search`` always are."""
    more: JsonObject = field(default_factory=dict)
    """Additional fields of the message, such as ``diagnostics``."""
    context_management: JsonObject | None = None
    """Edits applied to the conversation; None if the request asked for none."""

    def call_block(self, name: str) -> CallBlock:
        """The block type of a call."""
        if name in self.client_tools:
            return "tool_use"
        return "server_tool_use" if name in _WEB_TOOLS else "mcp_tool_use"


@dataclass(frozen=True, slots=True)
class _Call:
    use_id: str
    name: str
    block: CallBlock


class MessagesEncoder:
    """Encodes one message: run events in, Anthropic's events out.

    Args:
        form: determines the encoding.
        prompt_tokens: reported at the start; how many were cached is reported at the end.
    """

    def __init__(self, form: MessageFormat, *, prompt_tokens: int = 0) -> None:
        self._form = form
        self._prompt_tokens = prompt_tokens
        self._has_begun = False
        self._num_blocks = 0
        self._open: str | None = None
        """Type of the open block; None if no block is open."""
        self._thinking = ""
        self._text_end = ""
        self._cited: set[int] = set()
        """Numbers cited in the open block."""
        self._citations: dict[int, JsonObject] = {}
        self._calls: dict[str, _Call] = {}
        """Server tool calls of this step, by our call id."""
        self._results: dict[str, ToolResult] = {}
        self._num_searches = 0
        self._num_fetches = 0
        self._last_usage = Usage()
        self._notices: list[JsonValue] = []

    def write(self, event: Event) -> Iterator[JsonObject]:
        """Encode an event; the first one with output starts the message.

        Raises:
            KronkError: the run failed.
        """
        for written in self._written(event):
            if not self._has_begun:
                yield from self._begin()
            yield written

    def _written(self, event: Event) -> Iterator[JsonObject]:
        match event:
            case TextDelta(text):
                yield from self._text(text)
            case ReasoningDelta(text):
                yield from self._reasoning(text)
            case ToolCallStart(_, id, name):
                yield from self._call(id, name)
            case ToolCallArguments(_, fragment):
                yield self._delta({"type": "input_json_delta", "partial_json": fragment})
            case ToolCallEnd():
                yield from self._close()
            case ToolFinished(result):
                self._results[result.call_id] = result
            case StepFinished():
                self._last_usage = event.usage
                yield from self._close()
                yield from self._write_results()
            case RunFinished():
                yield from self._finish(event)
            case Notice() | ContextCompacted():
                self._notices.append(event.text)
            case StepStarted() | ToolStarted() | ToolProgress():
                pass  # no equivalent in this protocol
            case _:
                assert_never(event)

    def _begin(self) -> Iterator[JsonObject]:
        """The events before the first block."""
        self._has_begun = True
        yield {
            "type": "message_start",
            "message": {
                "id": self._form.id,
                "type": "message",
                "role": "assistant",
                "model": self._form.model,
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "stop_details": None,
                **self._form.more,
                "usage": {
                    "input_tokens": self._prompt_tokens,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 0,
                    "service_tier": "standard",
                },
            },
        }
        yield {"type": "ping"}

    # --- blocks ----------------------------------------------------------------------------------

    def _text(self, text: str) -> Iterator[JsonObject]:
        yield from self._in("text", {"type": "text", "text": ""})
        yield self._delta({"type": "text_delta", "text": text})
        yield from self._cite(text)

    def _cite(self, text: str) -> Iterator[JsonObject]:
        """A citation for each ``[n]`` that is complete now."""
        begun = len(self._text_end)
        seen = self._text_end + text
        for found in _MARKER.finditer(seen):
            number = int(found[1])
            citation = self._citations.get(number)
            if found.end() > begun and citation is not None and number not in self._cited:
                self._cited.add(number)
                yield self._delta({"type": "citations_delta", "citation": citation})
        self._text_end = seen[-_LONGEST_MARKER:]

    def _reasoning(self, text: str) -> Iterator[JsonObject]:
        yield from self._in("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if self._form.shows_thinking:
            self._thinking += text
            yield self._delta({"type": "thinking_delta", "thinking": text})

    def _call(self, id: str, name: str) -> Iterator[JsonObject]:
        kind = self._form.call_block(name)
        call = _Call(_ID_PREFIXES[kind] + id.removeprefix("call_"), name, kind)
        block: JsonObject = {"type": kind, "id": call.use_id, "name": name, "input": {}}
        if kind == "mcp_tool_use":
            server, own_name = self._form.servers.get(name, ("kronk-agent", name))
            block |= {"name": own_name, "server_name": server}
        if kind != "tool_use":
            self._calls[id] = call
        yield from self._in(f"call {id}", block)

    def _in(self, kind: str, block: JsonObject) -> Iterator[JsonObject]:
        """Continue the open block of this kind, or start a new one."""
        if self._open == kind:
            return
        yield from self._close()
        yield {"type": "content_block_start", "index": self._num_blocks, "content_block": block}
        self._open = kind
        self._num_blocks += 1

    def _delta(self, delta: JsonObject) -> JsonObject:
        return {"type": "content_block_delta", "index": self._num_blocks - 1, "delta": delta}

    def _close(self) -> Iterator[JsonObject]:
        if self._open is None:
            return
        if self._open == "thinking":
            signature = signature_of(self._thinking)
            yield self._delta({"type": "signature_delta", "signature": signature})
        yield {"type": "content_block_stop", "index": self._num_blocks - 1}
        self._open = None
        self._thinking = self._text_end = ""
        self._cited.clear()

    # --- results ---------------------------------------------------------------------------------

    def _write_results(self) -> Iterator[JsonObject]:
        for id, call in self._calls.items():
            result = self._results.get(id)
            if result is not None:
                yield from self._in(f"result {id}", self._result_block(call, result))
                yield from self._close()
        self._calls.clear()
        self._results.clear()

    def _result_block(self, call: _Call, result: ToolResult) -> JsonObject:
        if call.block == "mcp_tool_use":
            return mcp_block(call.use_id, result)
        cites_pages = self._form.cites_pages
        self._citations |= citations_of(result, has_citations=cites_pages)
        if call.name == "web_search":
            self._num_searches += not result.is_error
            return search_block(call.use_id, result)
        self._num_fetches += not result.is_error
        return fetch_block(call.use_id, result, has_citations=cites_pages)

    # --- the end ---------------------------------------------------------------------------------

    def _finish(self, run: RunFinished) -> Iterator[JsonObject]:
        if run.reason in ("error", "cancelled"):
            raise run.exception or KronkError(run.error or "the answer was cancelled")
        yield from self._close()
        delta: JsonObject = {
            "type": "message_delta",
            "delta": {
                "stop_reason": self._stop_reason(run),
                "stop_sequence": run.stop_sequence,
                "stop_details": None,
            },
            "usage": self._usage(run.usage),
        }
        if self._notices:
            delta["kronk"] = {"notices": self._notices}
        if self._form.context_management is not None:
            delta["context_management"] = self._form.context_management
        yield delta
        yield {"type": "message_stop"}

    def _stop_reason(self, run: RunFinished) -> str:
        match run.reason:
            case "tool_calls":
                return "tool_use"
            case "length":
                limit = self._form.max_tokens
                is_context = limit is None or self._last_usage.completion_tokens < limit
                return "model_context_window_exceeded" if is_context else "max_tokens"
            case _:
                return "end_turn" if run.stop_sequence is None else "stop_sequence"

    def _usage(self, usage: Usage) -> JsonObject:
        counts: dict[str, JsonValue] = {
            "input_tokens": usage.prompt_tokens - usage.cached_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage.cached_tokens,
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        }
        if self._num_searches or self._num_fetches:
            counts["server_tool_use"] = {
                "web_search_requests": self._num_searches,
                "web_fetch_requests": self._num_fetches,
            }
        return counts
