"""Converts items to messages for the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from kronk_agent.api.protocols.common.media import audio_in, image_at
from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.api.protocols.openai_responses.items.names import flat_name
from kronk_agent.api.protocols.openai_responses.items.opaque import unpack
from kronk_agent.api.protocols.openai_responses.items.schema import (
    CompactionItem,
    Content,
    CustomCallItem,
    CustomCallOutputItem,
    FindInPageAction,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudio,
    InputImage,
    InputItem,
    InputText,
    McpApprovalRequestItem,
    McpApprovalResponseItem,
    McpCallItem,
    McpListToolsItem,
    MessageItem,
    OpenPageAction,
    OtherCallItem,
    OtherCallOutputItem,
    OutputText,
    ReasoningItem,
    Refusal,
    ResultContent,
    SearchAction,
    WebSearchCallItem,
)
from kronk_agent.api.tools.client_tools import text_arguments
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonValue, Message, Part, Role, TextPart, ToolCall

APPROVAL_PREFIX = "mcpr_"
"""Prefix of approval request ids; the call's id follows."""
SUMMARY_HEAD = "Summary of the conversation so far:\n"

_RESULT_GONE = "[What was found is not at hand any more.{}]"


def to_messages(items: Sequence[InputItem], earlier: Sequence[Message] = ()) -> list[Message]:
    """Convert the items to messages that continue the earlier ones, which are not returned.

    Raises:
        InvalidRequestError: an image is not a ``data:`` URL, an output has no call, or encrypted
            content is not ours.
    """
    reader = _Reader({call.id: call.name for message in earlier for call in message.tool_calls})
    for index, item in enumerate(items):
        reader.read(item, f"input.{index}")
    reader.end_turn()
    return reader.messages


@dataclass(slots=True)
class _Reader:
    """Groups the items of one model turn: its thinking, text and calls."""

    names: dict[str, str]
    """Tool name of every call so far."""
    messages: list[Message] = field(default_factory=list)
    _reasoning: str = ""
    _texts: list[str] = field(default_factory=list)
    _calls: list[ToolCall] = field(default_factory=list)
    _results: list[Message] = field(default_factory=list)

    def read(self, item: InputItem, path: str) -> None:
        """Add an item."""
        match item:
            case MessageItem(role="assistant"):
                self._begin_step()
                self._texts.append(_assistant_text(item, path))
            case MessageItem():
                self.end_turn()
                role: Role = "user" if item.role == "user" else "system"
                self.messages.append(Message(role, _parts(item.content, f"{path}.content")))
            case ReasoningItem():
                self._begin_step()
                self._reasoning += _thinking(item, path)
            case FunctionCallItem():
                self._call(item.call_id, flat_name(item.namespace, item.name), item.arguments)
            case CustomCallItem():
                name = flat_name(item.namespace, item.name)
                self._call(item.call_id, name, text_arguments(item.input))
            case OtherCallItem():
                self._other_call(item, path)
            case OtherCallOutputItem():
                self.end_turn()
                id = _key(item, path)
                self.messages.append(self._result(id, (TextPart(_text(item.content)),), path))
            case FunctionCallOutputItem() | CustomCallOutputItem():
                self.end_turn()
                parts = _parts(item.output, f"{path}.output")
                self.messages.append(self._result(item.call_id, parts, f"{path}.call_id"))
            case McpCallItem():
                self._call(item.id, flat_name(item.server_label, item.name), item.arguments)
                output = item.output if item.error is None else encode(item.error)
                self._results.append(self._result(item.id, (TextPart(output or ""),), path))
            case WebSearchCallItem():
                self._search(item, path)
            case McpApprovalRequestItem():
                id = item.id.removeprefix(APPROVAL_PREFIX)
                self._call(id, flat_name(item.server_label, item.name), item.arguments)
            case CompactionItem():
                self.end_turn()
                text = unpack(item.encrypted_content, param=f"{path}.encrypted_content")
                self.messages.append(Message.system(SUMMARY_HEAD + text))
            case McpListToolsItem() | McpApprovalResponseItem():
                pass  # handled by context.py: known tools, and approvals
            case _:
                assert_never(item)

    def end_turn(self) -> None:
        """Complete the current turn, unless it is empty."""
        text = "".join(self._texts)
        if text or self._reasoning or self._calls:
            parts = (TextPart(text),) if text else ()
            calls = tuple(self._calls)
            self.messages.append(Message("assistant", parts, self._reasoning, calls))
        self.messages += self._results
        self._reasoning = ""
        self._texts, self._calls, self._results = [], [], []

    def _begin_step(self) -> None:
        """End the turn if it has calls: text and thinking after calls belong to the next one."""
        if self._calls:
            self.end_turn()

    def _call(self, id: str, name: str, arguments: str) -> None:
        self.names[id] = name
        self._calls.append(ToolCall(id, name, arguments))

    def _result(self, id: str, parts: tuple[Part, ...], path: str) -> Message:
        if id not in self.names:
            raise InvalidRequestError(f"{path}: no earlier call {id!r} in the input", param=path)
        return Message("tool", parts, tool_call_id=id, name=self.names[id])

    def _other_call(self, item: OtherCallItem, path: str) -> None:
        id = _key(item, path)
        self._call(id, item.name, encode(item.arguments))
        if item.is_hosted:
            gone = (TextPart(_RESULT_GONE.format("")),)
            self._results.append(self._result(id, gone, path))

    def _search(self, item: WebSearchCallItem, path: str) -> None:
        arguments: Mapping[str, object]
        name, arguments, found = "web_fetch", {}, ""
        match item.action:
            case SearchAction(query=query, queries=queries, sources=sources):
                name, arguments = "web_search", {"query": query or " ".join(queries or ())}
                found = "".join(f"\n{source.url}" for source in sources or ())
            case OpenPageAction(url=url):
                arguments = {"url": url or ""}
            case FindInPageAction(url=url, pattern=pattern):
                arguments = {"url": url, "find": pattern}
            case _:
                assert_never(item.action)
        self._call(item.id, name, encode(arguments))
        text = _RESULT_GONE.format(f" The pages were:{found}" if found else "")
        self._results.append(self._result(item.id, (TextPart(text),), path))


def _key(item: OtherCallItem | OtherCallOutputItem, path: str) -> str:
    if item.key is None:
        raise InvalidRequestError(f"{path}.call_id: Field required", param=f"{path}.call_id")
    return item.key


def _text(output: JsonValue) -> str:
    """A tool output of any form as text."""
    match output:
        case str(text) | {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            return text
        case list():
            return "\n".join(_text(part) for part in output)
        case _:
            return encode(output)


def _assistant_text(item: MessageItem, path: str) -> str:
    if isinstance(item.content, str):
        return item.content
    texts: list[str] = []
    for index, part in enumerate(item.content):
        match part:
            case OutputText(text=text) | InputText(text=text) | Refusal(refusal=text):
                texts.append(text)
            case _:
                raise InvalidRequestError(
                    f"{path}.content.{index}: an assistant message may contain only text",
                    param=f"{path}.content.{index}",
                )
    return "".join(texts)


def _thinking(item: ReasoningItem, path: str) -> str:
    if item.encrypted_content:
        return unpack(item.encrypted_content, param=f"{path}.encrypted_content")
    parts = item.content or item.summary
    return "".join(part.text for part in parts)


def _parts(
    content: str | Sequence[Content] | Sequence[ResultContent], path: str
) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    return tuple(_part(part, f"{path}.{index}") for index, part in enumerate(content))


def _part(part: Content, path: str) -> Part:
    match part:
        case InputText(text=text) | OutputText(text=text) | Refusal(refusal=text):
            return TextPart(text)
        case InputImage(image_url=url):
            return image_at(url, f"{path}.image_url")
        case InputAudio(input_audio=audio):
            return audio_in(audio.data, audio.format, f"{path}.input_audio.data")
        case _:
            assert_never(part)
