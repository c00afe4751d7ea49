"""Calls that must come, from upstreams that may not see to it.

Some servers hold the model to ``tool_choice``; some do not, but hold it to a ``response_format``;
some to nothing. Which it is, is found out with one small request (``Probe``), and a call that must
come is asked for accordingly.
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
from kronk_agent.model import ChatRequest, ResponseFormat, ToolChoice
from kronk_agent.tools import Tool, ToolContext, ToolOutput
from kronk_agent.tools.arguments import parse_json
from kronk_agent.tools.schema.walking import with_schemas
from kronk_agent.tools.signature import describe_tool

_MAX_CALLS: Final = 8
"""In one turn that must call, as in this process."""

_PROBE_TOKENS: Final = 2048
"""Room for a model that thinks first."""

_AS_SCHEMA: Final = """\
You can use these tools:

{tools}

Answer with a JSON object that says which to use now and with what arguments, such as
{{"tool_calls": [{{"name": "NAME", "arguments": {{"ARGUMENT": "VALUE"}}}}]}}"""

_AGAIN: Final = "{problem}. Call {which} now, and write nothing else."


class Enforcement(Enum):
    """What an upstream holds a model to."""

    TOOL_CHOICE = "tool_choice"
    RESPONSE_FORMAT = "response_format"
    NOTHING = "nothing"


@dataclass(slots=True)
class CollectedTurn:
    """A whole turn."""

    reasoning: str = ""
    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    """The complete ones."""
    finish: Finish | None = None
    _current: ToolCall | None = None

    def add(self, delta: Delta) -> None:
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
        return self.finish is not None and self.finish.reason == "length"

    def deltas(self) -> list[Delta]:
        """What is of use of it: thinking, calls and the end."""
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
    """The tools a turn that must call may call, by name."""
    return {tool.name: tool for tool in request.callable_tools}


def problem_of(calls: Sequence[ToolCall], tools: Mapping[str, Tool]) -> str | None:
    """What is wrong with the calls of a turn that must call; None if nothing is."""
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


def asked_as_schema(request: ChatRequest) -> ChatRequest:
    """The request with the tools said in words, for an answer under ``calls_format``."""
    text = "\n\n".join(describe_tool(tool) for tool in callable_tools(request).values())
    words = Message.system(_AS_SCHEMA.format(tools=text))
    first, *others = request.messages
    if first.role == "system":
        joined = replace(first, content=Message.system(f"{first.text}\n\n{words.text}").content)
        messages = (joined, *others)
    else:
        messages = (words, *request.messages)
    return replace(
        request,
        messages=messages,
        tools=(),
        tool_choice=ToolChoice("none"),
        response_format=ResponseFormat(),
    )


def calls_format(request: ChatRequest) -> JsonObject:
    """A ``response_format`` whose answer is the calls of the turn, as JSON."""
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
        "$defs": {name: _moved(tool.parameters, f"#/$defs/{name}") for name, tool in tools.items()},
    }
    return {"type": "json_schema", "json_schema": {"name": "tool_calls", "schema": schema}}


def calls_in(text: str) -> list[ToolCall]:
    """The calls in an answer under ``calls_format``; none if it is not one."""
    try:
        value = parse_json(text)
    except ValueError:
        return []
    found = value.get("tool_calls") if isinstance(value, dict) else None
    return [
        ToolCall(new_call_id(), name, json.dumps(arguments, ensure_ascii=False))
        for name, arguments in map(_name_and_arguments, found if isinstance(found, list) else [])
    ]


def asked_in_words(request: ChatRequest) -> ChatRequest:
    """The request with nothing to call but what it must, for an upstream that may refuse more."""
    tools = tuple(callable_tools(request).values())
    return _unforced(replace(request, tools=tools))


def asked_again(request: ChatRequest, turn: CollectedTurn, problem: str) -> ChatRequest:
    """The request once more, after what came of it: pinned to the tool that was tried, if any."""
    tools = callable_tools(request)
    tried = next((tools[call.name] for call in turn.calls if call.name in tools), None)
    left = (tried,) if tried else tuple(tools.values())
    which = " or ".join(tool.name for tool in left)
    said = turn.text or "\n".join(f"{call.name}({call.arguments})" for call in turn.calls)
    again = Message.user(_AGAIN.format(problem=problem, which=which))
    pinned = replace(
        request,
        messages=(*request.messages, *([Message.assistant(said)] if said else []), again),
        tools=left,
        sampling=replace(request.sampling, temperature=0.0),
    )
    return _unforced(pinned)


def _unforced(request: ChatRequest) -> ChatRequest:
    return replace(request, tool_choice=ToolChoice("auto"), response_format=ResponseFormat())


def probe_request(request: ChatRequest) -> ChatRequest:
    """As this request, but one in which no model would make a call that did not have to."""
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


def _moved(schema: JsonObject, place: str) -> JsonObject:
    """A schema that stands at another place, with its references to itself."""

    def move(inner: JsonValue) -> JsonValue:
        return _moved(inner, place) if isinstance(inner, dict) else inner

    moved = with_schemas(schema, move)
    reference = moved.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = place + reference.removeprefix("#")
    return moved


async def _never_called(arguments: JsonObject, context: ToolContext) -> ToolOutput:
    raise AssertionError


_PROBE_TOOL: Final = Tool(
    name="set_lamp",
    description="Set the colour of the lamp on the roof.",
    parameters=_closed(colour={"type": "string", "enum": ["teal", "umber"]}),
    call=_never_called,
)
