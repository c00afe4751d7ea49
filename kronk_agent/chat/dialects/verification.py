"""Check an analysed turn format against turns that the template renders.

The samples use other words than those of the analysis, so a sample word left in a delimiter shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from kronk_agent.chat.dialects.grammar.turn_grammar import turn_grammar
from kronk_agent.chat.dialects.parsing.turn import TurnFormat, TurnParser
from kronk_agent.chat.dialects.samples import USER, Samples, atoms
from kronk_agent.chat.templates.capabilities import RenderValues
from kronk_agent.chat.templates.conversation import TemplateCapabilities
from kronk_agent.engine.structured_output.text import may_begin
from kronk_agent.messages import (
    JsonObject,
    JsonValue,
    Message,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from kronk_agent.model import ChatRequest
from kronk_agent.tools import Tool

_TEXT: Final = "First I look, then I tell."
_THOUGHT: Final = "It is not known yet.\nA look will tell."
_SPREAD_JSON: Final = re.compile(r'[{,]\n +"')
_TOOLS: Final = (
    Tool(
        name="look_there",
        description="Looks.",
        parameters={
            "type": "object",
            "properties": {
                "place": {"type": "string"},
                "times": {"type": "integer"},
                "sides": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["place"],
        },
    ),
    Tool(
        name="weigh",
        description="Weighs.",
        parameters={
            "type": "object",
            "properties": {"item": {"type": "string"}, "is_wet": {"type": "boolean"}},
        },
    ),
)
_LOOK: Final[JsonObject] = {"place": 'over the 2nd hill, "east"', "times": 3, "sides": ["a", "b"]}
_CALLS: Final = (
    ToolCall("abcdefghi", "look_there", json.dumps(_LOOK)),
    ToolCall("jklmnopqr", "weigh", json.dumps({"item": "one ship's anchor"})),
)


def matches_template(
    format: TurnFormat, render: RenderValues, capabilities: TemplateCapabilities
) -> bool:
    """Return true if a template writes calls as the format says. Takes some milliseconds.

    Turns with calls are rendered, parsed, and checked against the format's grammar. Turns that the
    template does not render are skipped.
    """
    samples = Samples(render, capabilities, _TOOLS)
    turns = [
        (message, shown)
        for message in _calling_turns(capabilities, format)
        if (shown := _shown(samples, message)) is not None
    ]
    is_clean = samples.header != ""
    return bool(turns) and all(
        _is_right(format, message, shown, is_clean=is_clean) for message, shown in turns
    )


def _calling_turns(capabilities: TemplateCapabilities, format: TurnFormat) -> Iterator[Message]:
    first, second = _CALLS
    yield _message("", "", [first])
    yield _message("", "", [second])
    if format.calls is None or not format.calls.starts_turn:
        yield _message(_TEXT, "", [first])
    yield _message("", _THOUGHT, [second])
    if capabilities.has_many_calls:
        yield _message("", "", [first, second])
        yield _message("", "", [second, second])


def _message(text: str, thought: str, calls: Sequence[ToolCall] = ()) -> Message:
    content = (TextPart(text),) if text else ()
    return Message(role="assistant", content=content, reasoning=thought, tool_calls=tuple(calls))


def _shown(samples: Samples, message: Message) -> str | None:
    """Render a turn; None if the template drops a call or puts text after the calls."""
    shown = samples.turn(message)
    if shown is None or any(call.name not in shown for call in message.tool_calls):
        return None
    first = shown.find(message.tool_calls[0].name) if message.tool_calls else len(shown)
    if shown.find(message.text) > first:
        return None
    # Some templates append another turn.
    next_turn = atoms(samples.header.strip())[:1] if message.tool_calls else []
    last = shown.rfind(message.tool_calls[-1].name) if message.tool_calls else 0
    cut = shown.find(next_turn[0], last) if next_turn and len(next_turn[0]) > 1 else -1
    return shown if cut < 0 else shown[:cut]


def _is_right(format: TurnFormat, message: Message, shown: str, *, is_clean: bool) -> bool:
    """Return true if a turn is parsed as it was meant and its grammar allows it.

    Args:
        format: the format to check.
        message: the turn.
        shown: the turn as the template renders it.
        is_clean: True if ``shown`` has no text of other turns.
    """
    end = format.end.strip()
    if end and shown.lstrip().startswith(end):  # ends the question's turn, or this turn's text
        rest = shown.lstrip().removeprefix(end)
        endless = replace(format, end="")
        ended = shown.rstrip().removesuffix(end)
        return _is_right(endless, message, ended, is_clean=is_clean) or _is_right(
            format, message, rest, is_clean=is_clean
        )
    text, thought, calls = _read(format, shown)
    written = [(call.name, json.loads(call.arguments)) for call in message.tool_calls]
    expected = message.text if message.text in shown else ""
    has_text = text == expected if is_clean else expected in text
    has_thought = (
        not message.reasoning
        or message.reasoning not in shown
        or message.reasoning in (thought or "")
    )
    if not (calls == written and has_text and has_thought):
        return False
    # A template may show JSON on several lines, but models write it on one.
    return _SPREAD_JSON.search(shown) is not None or _may_be_written(format, shown)


def _read(format: TurnFormat, shown: str) -> tuple[str, str, list[tuple[str, JsonValue]]]:
    """Parse a turn and return its text, thinking and calls."""
    parser = TurnParser(format, {tool.name: tool for tool in _TOOLS})
    text, thought, names, arguments = "", "", list[str](), list[str]()
    num_ended = 0
    for delta in (*parser.push(shown), *parser.finish()):
        match delta:
            case TextDelta(piece):
                text += piece
            case ReasoningDelta(piece):
                thought += piece
            case ToolCallStart(_, _, name):
                names.append(name)
                arguments.append("")
            case ToolCallArguments(_, piece):
                arguments[-1] += piece
            case ToolCallEnd():
                num_ended += 1
    calls = zip(names[:num_ended], map(json.loads, arguments[:num_ended]), strict=True)
    return text.strip(), thought.strip(), list(calls)


def _may_be_written(format: TurnFormat, shown: str) -> bool:
    """Return true if the format's grammar allows the turn."""
    request = ChatRequest(messages=(USER,), tools=_TOOLS)
    grammar = turn_grammar(format, request, "start", {})
    end = format.end.strip()
    turn = shown[: shown.rfind(end)] if end and end in shown else shown
    return grammar is None or any(
        may_begin(grammar.lark, grammar.parts, text) for text in (turn, turn.strip(), turn.rstrip())
    )
