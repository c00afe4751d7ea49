"""Ollama's message schema, and its conversion to our messages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue

from kronk_agent.api.protocols.common.media import picture
from kronk_agent.api.protocols.common.schema import LenientModel, encode
from kronk_agent.api.tools.client_tools import parsed_arguments
from kronk_agent.messages import Message, Part, Role, TextPart, ToolCall


def _as_object(value: Any) -> Any:
    """Parse arguments sent as JSON text, in OpenAI's format."""
    return parsed_arguments(value) if isinstance(value, str) else value


class FunctionOfCall(LenientModel):
    """The name and the arguments of a call."""

    name: str
    arguments: Annotated[dict[str, JsonValue], BeforeValidator(_as_object)] = Field(
        default_factory=dict
    )
    index: int | None = None
    description: str | None = None


class WireCall(LenientModel):
    """A tool call."""

    function: FunctionOfCall
    id: str | None = None
    type: str | None = None


class WireMessage(LenientModel):
    """A message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str = ""
    thinking: str = ""
    """The assistant's thinking."""
    images: tuple[str, ...] = ()
    """Base64-encoded."""
    tool_calls: tuple[WireCall, ...] = ()
    tool_name: str | None = None
    """Of a tool result: the tool's name."""
    name: str | None = None
    """Former name of tool_name."""
    tool_call_id: str | None = None
    """Of a tool result: the call's id; left out, the next call of ``tool_name``."""


def to_messages(wire: Sequence[WireMessage]) -> list[Message]:
    """Convert the messages of a request.

    Raises:
        InvalidRequestError: an image is invalid.
    """
    reader = _Reader()
    for index, message in enumerate(wire):
        reader.read(message, f"messages.{index}")
    return reader.messages


@dataclass(slots=True)
class _Reader:
    """Matches tool results with their calls: most clients send only the tool's name."""

    messages: list[Message] = field(default_factory=list)
    _waiting: OrderedDict[str, str] = field(default_factory=OrderedDict)
    """Tool names of the calls without a result, by call id, oldest first."""
    _num_calls: int = 0

    def read(self, wire: WireMessage, path: str) -> None:
        """Add a message."""
        match wire.role:
            case "tool":
                self._result(wire)
            case "assistant":
                self._assistant(wire)
            case "user":
                self.messages.append(Message("user", _parts(wire, path)))
            case _:
                role: Role = "system"
                self.messages.append(Message(role, (TextPart(wire.content),)))

    def _assistant(self, wire: WireMessage) -> None:
        calls = tuple(self._call(call) for call in wire.tool_calls)
        parts = (TextPart(wire.content),) if wire.content else ()
        self.messages.append(Message("assistant", parts, wire.thinking, calls))

    def _call(self, wire: WireCall) -> ToolCall:
        function = wire.function
        call = ToolCall(wire.id or self._new_id(), function.name, encode(function.arguments))
        self._waiting[call.id] = call.name
        return call

    def _result(self, wire: WireMessage) -> None:
        name = wire.tool_name or wire.name
        id = wire.tool_call_id if wire.tool_call_id in self._waiting else self._next(name)
        if id is None:  # Ollama accepts results without a call, so invent a call without arguments
            id = self._new_id()
            self._waiting[id] = name or "tool"
            call = ToolCall(id, self._waiting[id], "{}")
            self.messages.append(Message.assistant("", (call,)))
        tool = self._waiting.pop(id)
        parts = (TextPart(wire.content),)
        self.messages.append(Message("tool", parts, tool_call_id=id, name=tool))

    def _next(self, name: str | None) -> str | None:
        """The oldest waiting call of this tool, or of any tool if none is named."""
        return next((id for id, tool in self._waiting.items() if name in (None, tool)), None)

    def _new_id(self) -> str:
        self._num_calls += 1
        return f"call_{self._num_calls}"


def _parts(wire: WireMessage, path: str) -> tuple[Part, ...]:
    images = [picture(data, f"{path}.images.{n}") for n, data in enumerate(wire.images)]
    text = (TextPart(wire.content),) if wire.content or not images else ()
    return (*images, *text)
