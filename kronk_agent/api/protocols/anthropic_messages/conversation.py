"""Converts Anthropic's conversations to our messages.

One of Anthropic's assistant messages may hold several turns of the model, with results of server
tools between them; in ours each turn is a message. Tool results are parts of user messages in
Anthropic's format, and messages in ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never

from kronk_agent.api.protocols.anthropic_messages.results import fetch_text, mcp_text, search_text
from kronk_agent.api.protocols.anthropic_messages.schema import (
    AnswerBlock,
    AssistantMessage,
    Base64Source,
    ContentSource,
    DocumentBlock,
    FileSource,
    ImageBlock,
    McpToolResultBlock,
    McpToolUseBlock,
    MessageParam,
    RedactedThinkingBlock,
    ResultBlock,
    SearchResultBlock,
    ServerToolUseBlock,
    SystemMessage,
    TextBlock,
    TextSource,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
    UserBlock,
    UserMessage,
    WebFetchResultBlock,
    WebSearchResultBlock,
)
from kronk_agent.api.protocols.anthropic_messages.thinking import is_ours
from kronk_agent.api.protocols.common.media import decoded
from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import ImagePart, Message, Part, TextPart, ToolCall

McpNames: TypeAlias = Mapping[tuple[str, str], str]
"""Names of tools here, by MCP server and own name."""

_BILLING = "x-anthropic-billing-header"


def to_messages(
    system: Sequence[TextBlock], wire: Sequence[MessageParam], mcp_names: McpNames
) -> list[Message]:
    """Convert the conversation of a request.

    Raises:
        InvalidRequestError: a block is unsupported, a result has no call, or a call has no result;
            ``param`` names it.
    """
    messages = _system(system)
    calls = _Calls()
    for index, message in enumerate(wire):
        path = f"messages.{index}"
        match message:
            case SystemMessage():
                messages += _system(message.content)
            case UserMessage():
                messages += _user(message.content, calls, f"{path}.content")
            case AssistantMessage():
                calls.check_answered(path)
                messages += _assistant(message.content, calls, mcp_names, f"{path}.content")
            case _:
                assert_never(message)
    calls.check_answered("messages")
    return _merged(messages)


def _system(blocks: Iterable[TextBlock]) -> list[Message]:
    # Claude Code's first block differs in each conversation and means nothing to the model. With
    # it, no two conversations would share a prefix, and no prompt would be cached.
    texts = [block.text for block in blocks if not block.text.startswith(_BILLING)]
    text = "\n\n".join(text for text in texts if text)
    return [Message.system(text)] if text else []


@dataclass(slots=True)
class _Calls:
    """The calls of the conversation: their tools, and which have no result yet."""

    names: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    """Path of each call without a result, by call id."""

    def add(self, id: str, name: str, path: str) -> None:
        """Add a call.

        Raises:
            InvalidRequestError: the id is not unique.
        """
        if id in self.names:
            raise InvalidRequestError(f"{path}.id: duplicate call id {id!r}", param=path)
        self.names[id] = name
        self.pending[id] = path

    def answer(self, id: str, path: str) -> str:
        """Match a result with its call, and return the tool's name.

        Raises:
            InvalidRequestError: no call is waiting for this result.
        """
        if self.pending.pop(id, None) is None:
            waiting = ", ".join(self.pending) or "none"
            raise InvalidRequestError(
                f"{path}.tool_use_id: no call {id!r} is waiting for a result; waiting: {waiting}",
                param=f"{path}.tool_use_id",
            )
        return self.names[id]

    def check_answered(self, path: str) -> None:
        """Check that every call has a result.

        Raises:
            InvalidRequestError: a call has none.
        """
        for id, where in self.pending.items():
            raise InvalidRequestError(
                f"{path}: call {id!r} ({where}) has no tool_result before this", param=path
            )


# --- user messages -----------------------------------------------------------------------------


def _user(blocks: Sequence[UserBlock], calls: _Calls, path: str) -> list[Message]:
    """Results come first: they answer the previous message, wherever they are in this one."""
    messages: list[Message] = []
    parts: list[Part] = []
    for index, block in enumerate(blocks):
        where = f"{path}.{index}"
        if isinstance(block, ToolResultBlock):
            name = calls.answer(block.tool_use_id, where)
            content = _result(block, f"{where}.content")
            messages.append(Message("tool", content, tool_call_id=block.tool_use_id, name=name))
        else:
            parts += _parts(block, where)
    if parts or not messages:
        messages.append(Message("user", _joined(parts, "\n\n")))
    return messages


def _result(block: ToolResultBlock, path: str) -> tuple[Part, ...]:
    parts = [
        part
        for index, inner in enumerate(block.content)
        for part in _parts(inner, f"{path}.{index}")
    ]
    content = _joined(parts, "\n")
    if block.is_error:
        content = _joined([TextPart("The call failed:"), *content], " ")
    return content


def _parts(block: ResultBlock, path: str) -> list[Part]:
    match block:
        case TextBlock(text=text):
            return [TextPart(text)] if text else []
        case ImageBlock(source=source):
            return [_image(source, f"{path}.source")]
        case DocumentBlock():
            return _document(block, path)
        case SearchResultBlock():
            _reject_citations(block, path)
            texts = [TextPart(part.text) for part in block.content]
            return [TextPart(f"{block.title}\n{block.source}"), *texts]
        case ToolReferenceBlock(tool_name=name):
            return [TextPart(f"The tool {name} can be used.")]
        case _:
            assert_never(block)


def _image(source: Base64Source | UrlSource | FileSource, path: str) -> ImagePart:
    if not isinstance(source, Base64Source):
        raise InvalidRequestError(
            f"{path}.type: {source.type} is not supported: send the image as base64",
            param=f"{path}.type",
        )
    if not source.media_type.startswith("image/"):
        raise InvalidRequestError(
            f"{path}.media_type: {source.media_type!r} is not an image type",
            param=f"{path}.media_type",
        )
    return ImagePart(decoded(source.data, f"{path}.data"), source.media_type)


def _document(block: DocumentBlock, path: str) -> list[Part]:
    _reject_citations(block, path)
    head = [TextPart(text) for text in (block.title, block.context) if text]
    match block.source:
        case TextSource(data=data):
            return [*head, TextPart(data)]
        case ContentSource(content=content):
            inner = f"{path}.source.content"
            parts = [p for i, b in enumerate(content) for p in _parts(b, f"{inner}.{i}")]
            return [*head, *parts]
        case other:
            raise InvalidRequestError(
                f"{path}.source.type: documents of type {other.type} are not supported: send "
                "their text (type text)",
                param=f"{path}.source.type",
            )


def _reject_citations(block: DocumentBlock | SearchResultBlock, path: str) -> None:
    if block.citations is not None and block.citations.enabled:
        raise InvalidRequestError(
            f"{path}.citations.enabled: citations are only supported for web_search and "
            "web_fetch: leave it out",
            param=f"{path}.citations.enabled",
        )


def _joined(parts: Iterable[Part], separator: str) -> tuple[Part, ...]:
    """Join adjacent texts with a separator, so that blocks do not run together."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(last, TextPart) and isinstance(part, TextPart):
            joined[-1] = TextPart(f"{last.text}{separator}{part.text}")
        else:
            joined.append(part)
    return tuple(joined)


# --- assistant messages ------------------------------------------------------------------------


@dataclass(slots=True)
class _Turn:
    """One turn of the model, with the results of its calls."""

    text: str = ""
    reasoning: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    results: dict[str, Message] = field(default_factory=dict)

    def messages(self) -> list[Message]:
        """The turn as messages: its own, then its results."""
        if not (self.text or self.reasoning or self.calls):
            return []
        turn = replace(
            Message.assistant(self.text, tuple(self.calls)),
            reasoning=self.reasoning,
        )
        results = [self.results[call.id] for call in self.calls if call.id in self.results]
        return [turn, *results]


def _assistant(
    blocks: Sequence[AnswerBlock], calls: _Calls, mcp_names: McpNames, path: str
) -> list[Message]:
    turns = [_Turn()]
    for index, block in enumerate(blocks):
        where = f"{path}.{index}"
        match block:
            case WebSearchResultBlock() | WebFetchResultBlock() | McpToolResultBlock():
                _add_result(turns[-1], block, calls, where)
                continue
            case RedactedThinkingBlock():
                continue  # written by another model, and encrypted
        if turns[-1].results:
            turns.append(_Turn())
        turn = turns[-1]
        match block:
            case TextBlock(text=text):
                turn.text += text
            case ThinkingBlock():
                turn.reasoning += block.thinking if is_ours(block) else ""
            case ToolUseBlock() | ServerToolUseBlock() | McpToolUseBlock():
                name = _name(block, mcp_names)
                calls.add(block.id, name, where)
                turn.calls.append(ToolCall(block.id, name, encode(block.input)))
            case _:
                assert_never(block)
    for turn in turns:
        _close_server_calls(turn, calls)
    return [message for turn in turns for message in turn.messages()]


def _name(block: ToolUseBlock | ServerToolUseBlock | McpToolUseBlock, names: McpNames) -> str:
    if isinstance(block, McpToolUseBlock):
        key = (block.server_name, block.name)
        return names.get(key, f"{block.server_name}__{block.name}")
    return block.name


def _add_result(
    turn: _Turn,
    block: WebSearchResultBlock | WebFetchResultBlock | McpToolResultBlock,
    calls: _Calls,
    path: str,
) -> None:
    id = block.tool_use_id
    name = calls.answer(id, path)
    match block:
        case WebSearchResultBlock():
            call = next((call for call in turn.calls if call.id == id), None)
            text = search_text(block, _query(call))
        case WebFetchResultBlock():
            text = fetch_text(block)
        case McpToolResultBlock():
            text = mcp_text(block)
        case _:
            assert_never(block)
    turn.results[id] = Message("tool", (TextPart(text),), tool_call_id=id, name=name)


def _query(call: ToolCall | None) -> object:
    arguments = json.loads(call.arguments) if call else {}
    return arguments.get("query", "")


def _close_server_calls(turn: _Turn, calls: _Calls) -> None:
    """Close server tool calls whose stream ended early; the client cannot answer them."""
    for call in turn.calls:
        if call.id in calls.pending and call.id.startswith(("srvtoolu_", "mcptoolu_")):
            calls.answer(call.id, "")
            text = TextPart("cancelled before it was finished")
            turn.results[call.id] = Message("tool", (text,), tool_call_id=call.id, name=call.name)


def _merged(messages: Iterable[Message]) -> list[Message]:
    """Merge consecutive user messages, as this API does."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role == "user":
            content = _joined([*merged[-1].content, *message.content], "\n\n")
            merged[-1] = replace(merged[-1], content=content)
        else:
            merged.append(message)
    return merged
