"""Templates that nobody has published: right in prompt, grammar and parser, or given up honestly.

``KRONK_INVENTED_TEMPLATES=500`` tries as many of each kind; one takes about a third of a second.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from chat.changed_templates import change
from chat.invented_templates import invent
from chat.support import PUBLISHED_TEMPLATES, Grammar, make_tool, merged

from kronk_agent.chat.dialects import Dialect, TurnGrammar, dialect_for
from kronk_agent.chat.templates.chat_template import ChatTemplate
from kronk_agent.messages import (
    JsonObject,
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

OF_ONE_TEMPLATE = ("harmony", "functionary", "kimi-k3", "minimax-m3", "gemma4", "llama4", "lfm2")
"""Dialects with code of their own, which knows the marks."""
NUM_TEMPLATES = int(os.environ.get("KRONK_INVENTED_TEMPLATES", "40"))
TOOLS = (
    make_tool(
        "paint",
        properties={
            "colour": {"type": "string"},
            "coats": {"type": "integer"},
            "rooms": {"type": "array", "items": {"type": "string"}},
            "is_gloss": {"type": "boolean"},
        },
        required=["colour"],
    ),
    make_tool("sand-down", properties={"grain": {"type": "number"}}),
)
PAINT: JsonObject = {"colour": "sea {green}", "coats": 2, "rooms": ["hall"], "is_gloss": False}
CALLS = (
    ToolCall("call_aaaaaaaaaaaaaaaaaaaaaaaa", "paint", json.dumps(PAINT)),
    ToolCall("call_bbbbbbbbbbbbbbbbbbbbbbbb", "sand-down", '{"grain": 1.5}'),
)
ASKED = Message.user("Paint the hall, please.")
SAID = "I begin with the walls.\nThen the doors."
THOUGHT = "Two coats, or three?\n\nTwo."


def turn(text: str = "", thought: str = "", *calls: ToolCall) -> Message:
    content = (TextPart(text),) if text else ()
    return Message(role="assistant", content=content, reasoning=thought, tool_calls=calls)


TURNS = [
    turn(SAID),
    turn(SAID, THOUGHT),
    turn("", "", CALLS[0]),
    turn("", THOUGHT, CALLS[1]),
    turn(SAID, "", CALLS[1]),
    turn("", "", *CALLS),
]


@pytest.mark.parametrize("seed", range(NUM_TEMPLATES))
def test_a_template_is_fully_understood_or_generic(
    seed: int, compile_grammar: Callable[[TurnGrammar], Grammar]
) -> None:
    invented = invent(seed)
    template = ChatTemplate({"default": invented.source})
    dialect = dialect_for(template, {})

    assert_prompts_have_everything(template, dialect)
    assert_turns_are_right(template, dialect, compile_grammar, invented.features)


@pytest.mark.skipif(
    not PUBLISHED_TEMPLATES.is_dir(), reason="published templates are not beside the project"
)
@pytest.mark.parametrize("seed", range(NUM_TEMPLATES))
def test_a_changed_published_template_is_understood_or_generic(
    seed: int, compile_grammar: Callable[[TurnGrammar], Grammar]
) -> None:
    source, changes = change(seed, analysed_templates())
    template = ChatTemplate({"default": source})

    assert_turns_are_right(template, dialect_for(template, {}), compile_grammar, changes)


@cache
def analysed_templates() -> list[Path]:
    """Published templates whose dialect is found by analysis."""
    return [
        file
        for file in sorted(PUBLISHED_TEMPLATES.glob("*.jinja"))
        if dialect_for(ChatTemplate({"default": file.read_text(encoding="utf-8")}), {}).name
        not in OF_ONE_TEMPLATE
    ]


def test_most_templates_are_understood() -> None:
    names = [
        dialect_for(ChatTemplate({"default": invent(seed).source}), {}).name for seed in range(40)
    ]

    assert sum(name != "generic" for name in names) >= 22


def assert_turns_are_right(
    template: ChatTemplate,
    dialect: Dialect,
    compile_grammar: Callable[[TurnGrammar], Grammar],
    about: str,
) -> None:
    """What the template writes is read as it was meant, and in the grammar of a turn."""
    for message in TURNS:
        if message.text and message.tool_calls and starts_turn(dialect):
            continue  # calls that nothing marks can only be where a turn begins
        if dialect.name == "generic" and message.tool_calls:
            continue  # ours, which other tests are about
        written = written_by(template, dialect, message)
        if not is_one_turn(template, message, written):
            continue
        text, thought, calls = read(dialect, written)
        assert (text, calls) == (message.text, list(message.tool_calls)), about
        assert thought == (message.reasoning if THOUGHT in written else ""), about
        grammar = dialect.start_turn("", ChatRequest(messages=(ASKED,), tools=TOOLS)).grammar
        assert grammar is not None
        accepts = compile_grammar(grammar).accepts
        # Blanks around a turn are the template's affair.
        assert any(map(accepts, (written, written.rstrip(), written.strip()))), about


def is_one_turn(template: ChatTemplate, message: Message, written: str) -> bool:
    """False where a template leaves something out, has the text behind the calls, or takes only
    one call in a turn."""
    names = [call.name for call in message.tool_calls]
    places = [written.find(words) for words in (message.text, *names)]
    return (
        -1 not in places
        and places == sorted(places)
        and (len(names) < 2 or template.capabilities.has_many_calls)
    )


def assert_prompts_have_everything(template: ChatTemplate, dialect: Dialect) -> None:
    results = [
        Message("tool", (TextPart(f"done {call.name}"),), tool_call_id=call.id, name=call.name)
        for call in CALLS
    ]
    conversation = [
        Message.system("Be brief."),
        ASKED,
        turn(SAID, "", *CALLS),
        *results,
        turn("Ready."),
    ]
    messages, tools = dialect.prepare_messages([*conversation, Message.user("Thanks!")], TOOLS)

    prompt = template.render(messages, tools).text

    for words in (
        "Be brief.",
        ASKED.text,
        SAID,
        "sea {green}",
        "done sand-down",
        "Ready.",
        "Thanks!",
    ):
        assert words in prompt, words


def starts_turn(dialect: Dialect) -> bool:
    format = getattr(dialect, "format", None)
    return format is not None and format.calls is not None and format.calls.starts_turn


def written_by(template: ChatTemplate, dialect: Dialect, message: Message) -> str:
    """A turn as the template writes it, between what begins and what ends it; empty where what is
    before it changes with it."""
    before = template.render([ASKED], TOOLS, add_generation_prompt=False).text
    shown = template.render([ASKED, message], TOOLS, add_generation_prompt=False).text
    if not shown.startswith(before):
        return ""
    shown = shown.removeprefix(before)
    format = getattr(dialect, "format")  # noqa: B009  # of every dialect that these can have
    end = format.end.strip()
    shown = shown.partition(format.header)[2] if format.header else shown
    return shown.rpartition(end)[0] if end else shown


def read(dialect: Dialect, written: str) -> tuple[str, str, list[ToolCall]]:
    """Text, thinking and calls, the latter with the ids of ``CALLS``."""
    parser = dialect.start_turn("", ChatRequest(messages=(ASKED,), tools=TOOLS)).parser
    deltas = merged([*parser.push(written), *parser.finish()])
    names = [delta.name for delta in deltas if isinstance(delta, ToolCallStart)]
    arguments: list[Any] = [d.fragment for d in deltas if isinstance(d, ToolCallArguments)]
    assert sum(isinstance(delta, ToolCallEnd) for delta in deltas) == len(names)
    ids = {call.name: call.id for call in CALLS}
    calls = [
        ToolCall(ids[name], name, json.dumps(json.loads(text)))
        for name, text in zip(names, arguments, strict=True)
    ]
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    thought = "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))
    return text.strip(), thought.strip(), calls
