"""Required tool calls from upstreams that may not enforce ``tool_choice``.

Some servers enforce ``tool_choice``; others ignore it but enforce ``response_format``; others
enforce neither. A small request finds out which (``probe_request``), and required calls are
requested accordingly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from kronk_agent.chat.dialects.parsing.output import new_call_id
from kronk_agent.errors import ToolError
from kronk_agent.messages import (
    Delta,
    Finish,
    FinishReason,
    JsonObject,
    JsonValue,
    Message,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ResponseFormat, ToolChoice
from kronk_agent.tools import Tool, ToolContext, ToolOutput
from kronk_agent.tools.arguments import parse_json
from kronk_agent.tools.schema.walking import with_schemas
from kronk_agent.tools.signature import describe_tool

_MAX_CALLS: Final = 8
"""In one turn that must call, as for local models."""

_PROBE_TOKENS: Final = 2048
"""Enough for a model that thinks first."""

_AS_SCHEMA: Final = """\
You can use these tools:

{tools}

Answer with a JSON object that says which to use now and with what arguments, such as
{{"tool_calls": [{{"name": "NAME", "arguments": {{"ARGUMENT": "VALUE"}}}}]}}"""

_AGAIN: Final = "{problem}. Call {which} now, and write nothing else."


class Enforcement(Enum):
    """Request field by which an upstream enforces required calls."""

    TOOL_CHOICE = "tool_choice"
    RESPONSE_FORMAT = "response_format"
    NOTHING = "nothing"


@dataclass(slots=True)
class CollectedTurn:
    """A complete turn."""

    reasoning: str = ""
    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    """Complete calls."""
    finish: Finish | None = None
    _current: ToolCall | None = None

    def add(self, delta: Delta) -> None:
        """Add a delta to the turn."""
        match delta:
            case ReasoningDelta(text):
                self.reasoning += text
            case TextDelta(text):
                self.text += text
            case ToolCallStart(_, id, name):
                self._current = ToolCall(id, name, "")
            case ToolCallArguments(_, fragment) if self._current is not None:
                arguments = self._current.arguments + fragment
                self._current = replace(self._current, arguments=arguments)
            case ToolCallEnd() if self._current is not None:
                self.calls.append(self._current)
            case Finish():
                self.finish = delta

    @property
    def is_cut_off(self) -> bool:
        """True if the turn ended at the token limit."""
        return self.finish is not None and self.finish.reason == "length"

    def deltas(self) -> list[Delta]:
        """Return the turn's thinking, calls and end as deltas, without its text."""
        assert self.finish is not None
        deltas: list[Delta] = [ReasoningDelta(self.reasoning)] if self.reasoning else []
        for index, call in enumerate(self.calls):
            deltas += [
                ToolCallStart(index, call.id, call.name),
                ToolCallArguments(index, call.arguments),
                ToolCallEnd(index),
            ]
        reason: FinishReason = "length" if self.is_cut_off and not self.calls else "tool_calls"
        return [*deltas, replace(self.finish, reason=reason)]


def callable_tools(request: ChatRequest) -> dict[str, Tool]:
    """Return the tools the turn may call, by name."""
    return {tool.name: tool for tool in request.callable_tools}


def find_problem(calls: Sequence[ToolCall], tools: Mapping[str, Tool]) -> str | None:
    """Return the first problem with the calls of a turn that must call; None if they are valid."""
    if not calls:
        return "No tool was called"
    for call in calls:
        tool = tools.get(call.name)
        if tool is None:
            return f"There is no tool {call.name!r}; there are {', '.join(tools)}"
        try:
            tool.parse_arguments(call.arguments)
        except ToolError as error:
            return str(error).rstrip(".")
    return None


def with_tools_as_text(request: ChatRequest) -> ChatRequest:
    """Return the request with its tools described as text, to be used with ``calls_format``."""
    text = "\n\n".join(describe_tool(tool) for tool in callable_tools(request).values())
    instructions = Message.system(_AS_SCHEMA.format(tools=text))
    first, *others = request.messages
    if first.role == "system":
        joined = replace(
            first, content=Message.system(f"{first.text}\n\n{instructions.text}").content
        )
        messages = (joined, *others)
    else:
        messages = (instructions, *request.messages)
    return replace(
        request,
        messages=messages,
        tools=(),
        tool_choice=ToolChoice("none"),
        response_format=ResponseFormat(),
    )


def calls_format(request: ChatRequest) -> JsonObject:
    """Return a ``response_format`` whose answer is the turn's calls as JSON."""
    tools = callable_tools(request)
    call_schemas: list[JsonValue] = [
        _closed(name={"type": "string", "const": name}, arguments={"$ref": f"#/$defs/{name}"})
        for name in tools
    ]
    calls: JsonObject = {
        "type": "array",
        "items": {"anyOf": call_schemas},
        "minItems": 1,
        "maxItems": request.max_calls or _MAX_CALLS,
    }
    schema: JsonObject = {
        **_closed(tool_calls=calls),
        "$defs": {
            name: _relocated(tool.parameters, f"#/$defs/{name}") for name, tool in tools.items()
        },
    }
    return {"type": "json_schema", "json_schema": {"name": "tool_calls", "schema": schema}}


def parse_calls(text: str) -> list[ToolCall]:
    """Parse the calls in an answer to ``calls_format``; empty if it is not one."""
    try:
        value = parse_json(text)
    except ValueError:
        return []
    found = value.get("tool_calls") if isinstance(value, dict) else None
    return [
        ToolCall(new_call_id(), name, json.dumps(arguments, ensure_ascii=False))
        for name, arguments in map(_name_and_arguments, found if isinstance(found, list) else [])
    ]


def with_auto_choice(request: ChatRequest) -> ChatRequest:
    """Return the request with only the allowed tools and ``auto``, which every upstream accepts."""
    tools = tuple(callable_tools(request).values())
    return _with_auto(replace(request, tools=tools))


def retry_request(request: ChatRequest, turn: CollectedTurn, problem: str) -> ChatRequest:
    """Return the request with the failed turn and its problem appended.

    Only the tool that was tried is offered, if any, at temperature 0.
    """
    tools = callable_tools(request)
    tried = next((tools[call.name] for call in turn.calls if call.name in tools), None)
    left = (tried,) if tried else tuple(tools.values())
    which = " or ".join(tool.name for tool in left)
    answer = turn.text or "\n".join(f"{call.name}({call.arguments})" for call in turn.calls)
    again = Message.user(_AGAIN.format(problem=problem, which=which))
    pinned = replace(
        request,
        messages=(*request.messages, *([Message.assistant(answer)] if answer else []), again),
        tools=left,
        sampling=replace(request.sampling, temperature=0.0),
    )
    return _with_auto(pinned)


def _with_auto(request: ChatRequest) -> ChatRequest:
    return replace(request, tool_choice=ToolChoice("auto"), response_format=ResponseFormat())


def probe_request(request: ChatRequest) -> ChatRequest:
    """Return a request like this one in which no model would call a tool unless forced to."""
    is_named = request.tool_choice.mode == "named"
    return ChatRequest(
        messages=(Message.user("Hello!"),),
        tools=(_PROBE_TOOL,),
        tool_choice=ToolChoice("named", _PROBE_TOOL.name) if is_named else request.tool_choice,
        parallel_tool_calls=False,
        sampling=request.sampling,
        max_tokens=_PROBE_TOKENS,
    )


def _name_and_arguments(value: JsonValue) -> tuple[str, JsonValue]:
    fields = value if isinstance(value, dict) else {}
    return str(fields.get("name", "")), fields.get("arguments", {})


def _closed(**properties: JsonValue) -> JsonObject:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _relocated(schema: JsonObject, path: str) -> JsonObject:
    """Adjust a schema's references to itself to its new path."""

    def move(inner: JsonValue) -> JsonValue:
        return _relocated(inner, path) if isinstance(inner, dict) else inner

    moved = with_schemas(schema, move)
    reference = moved.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = path + reference.removeprefix("#")
    return moved


async def _never_called(arguments: JsonObject, context: ToolContext) -> ToolOutput:
    raise AssertionError


_PROBE_TOOL: Final = Tool(
    name="set_lamp",
    description="Set the colour of the lamp on the roof.",
    parameters=_closed(colour={"type": "string", "enum": ["teal", "umber"]}),
    call=_never_called,
)
