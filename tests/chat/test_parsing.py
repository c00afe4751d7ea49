from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from chat.support import THINK, make_parser, make_tool, merged, parse
from hypothesis import given, settings
from hypothesis import strategies as st

from kronk_agent.chat.dialects import GENERIC, HERMES
from kronk_agent.chat.dialects.formats.call_format import CallFormat
from kronk_agent.chat.dialects.formats.json_calls import JsonCalls
from kronk_agent.chat.dialects.parsing.turn import TurnParser
from kronk_agent.messages import (
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)

LIST = JsonCalls(
    trigger="[TOOL_CALLS]",
    section_begin="[TOOL_CALLS][",
    before_name='{"name": "',
    before_arguments='", "arguments": ',
    after_arguments="}",
    separator=", ",
    section_end="]",
)
"""A list of calls, in the manner of Mistral: a format with a section."""
FORMATS = [HERMES, GENERIC, LIST]
TOOLS = [make_tool(name, additionalProperties=True) for name in ("look", "go", "a", "b")]


def call(index: int, name: str, arguments: str) -> list[Delta]:
    return [
        ToolCallStart(index, f"id{index}", name),
        ToolCallArguments(index, arguments),
        ToolCallEnd(index),
    ]


ONE = '<tool_call>\n{"name": "look", "arguments": {"at": "a <b> \\"}\\\\"}}\n</tool_call>'
TWO = '<tool_call>\n{"name": "go", "arguments": {}}\n</tool_call>'
ONE_CALL = call(0, "look", '{"at": "a <b> \\"}\\\\"}')

TABLE: list[tuple[CallFormat, str, list[Delta]]] = [
    (HERMES, "", []),
    (HERMES, "Just text.\n", [TextDelta("Just text.\n")]),
    (HERMES, ONE, ONE_CALL),
    (HERMES, f"\n {ONE}", ONE_CALL),
    # What the template writes between text and calls belongs to neither; other blanks are text.
    (HERMES, f"Let me see.\n{ONE}", [TextDelta("Let me see."), *ONE_CALL]),
    (HERMES, f"Let me see. \n\n{ONE}", [TextDelta("Let me see. \n"), *ONE_CALL]),
    (HERMES, f"{ONE}\n{TWO}\n", [*ONE_CALL, *call(1, "go", "{}")]),
    (HERMES, f"{ONE}{TWO}", [*ONE_CALL, *call(1, "go", "{}")]),
    (HERMES, f"{ONE}\nDone.", [*ONE_CALL, TextDelta("\nDone.")]),
    (HERMES, f"{ONE} <b>{TWO}", [*ONE_CALL, TextDelta(" <b>"), *call(1, "go", "{}")]),
    (HERMES, "a < b <tool_ <tool_call", [TextDelta("a < b <tool_ <tool_call")]),
    (
        HERMES,
        '<tool_call>{"name":"go","arguments":{"a": 1}}</tool_call>',
        call(0, "go", '{"a": 1}'),
    ),
    # Members in another order, and more of them.
    (
        HERMES,
        '<tool_call>{"arguments":{"a": 1}, "id": "x", "name":"go"}</tool_call>',
        call(0, "go", '{"a": 1}'),
    ),
    (
        HERMES,
        '<tool_call>{"type":"function","function":{"name":"go","arguments":"{}"}}</tool_call>',
        call(0, "go", "{}"),
    ),
    (HERMES, '<tool_call>{"name": "go", "x": [1]}</tool_call>', call(0, "go", "{}")),
    # What is no call is text.
    (HERMES, "<tool_call> is a mark", [TextDelta("<tool_call> is a mark")]),
    (
        HERMES,
        '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
        [TextDelta('<tool_call>{"name": "unknown", "arguments": {}}</tool_call>')],
    ),
    (HERMES, f"<tool_call>{TWO}", [TextDelta("<tool_call>"), *call(0, "go", "{}")]),
    # A call that has begun and is none is never complete.
    (
        HERMES,
        '<tool_call>{"name": "go", "arguments": [1]} and ' + TWO,
        [ToolCallStart(0, "id0", "go"), TextDelta("[1]} and "), *call(1, "go", "{}")],
    ),
    (
        HERMES,
        '<tool_call>{"name": "go", "arguments": {}]' + TWO,
        [
            ToolCallStart(0, "id0", "go"),
            ToolCallArguments(0, "{}"),
            TextDelta("]"),
            *call(1, "go", "{}"),
        ],
    ),
    (
        HERMES,
        '<tool_call>{"name": "go", "arguments": {"a": {1}}}</tool_call>',
        [ToolCallStart(0, "id0", "go"), ToolCallArguments(0, '{"a": {1}}')],
    ),
    # Cut off.
    (HERMES, '<tool_call>\n{"na', []),
    (HERMES, 'Hm.\n<tool_call>\n{"name": "lo', [TextDelta("Hm.")]),
    (HERMES, '<tool_call>\n{"name": "go", "arguments"', [ToolCallStart(0, "id0", "go")]),
    (
        HERMES,
        '<tool_call>\n{"name": "go", "arguments": {"a": {"b": 1}',
        [ToolCallStart(0, "id0", "go"), ToolCallArguments(0, '{"a": {"b": 1}')],
    ),
    (HERMES, f"{TWO}\n<tool_call>\n{{", call(0, "go", "{}")),
    (
        GENERIC,
        'So: {"tool_call": {"name": "go", "arguments": {"a": 1}}}',
        [TextDelta("So: "), *call(0, "go", '{"a": 1}')],
    ),
    (GENERIC, '{"tool": 1} {"tool_call"', [TextDelta('{"tool": 1} {"tool_call"')]),
    (
        LIST,
        'So\n[TOOL_CALLS][{"name": "a", "arguments": {}}, '
        '{"name": "b", "arguments": {"x": "]"}}] done',
        [TextDelta("So"), *call(0, "a", "{}"), *call(1, "b", '{"x": "]"}'), TextDelta(" done")],
    ),
]


@pytest.mark.parametrize(("format", "text", "expected"), TABLE)
def test_a_turn_is_read_the_same_at_every_split(
    format: CallFormat, text: str, expected: list[Delta]
) -> None:
    assert parse([text], format, *TOOLS) == expected
    assert parse(list(text), format, *TOOLS) == expected
    for split in range(len(text)):
        assert parse([text[:split], text[split:]], format, *TOOLS) == expected
    for first, second in pairwise(range(0, len(text), 3)):
        chunks = [text[:first], text[first:second], text[second:]]
        assert parse(chunks, format, *TOOLS) == expected


@pytest.mark.parametrize(
    "text", [ONE, f"Text {ONE}\n{TWO}", '<tool_call>\n{"na', "<think>a</think>"]
)
def test_without_calls_or_thinking_everything_is_text(text: str) -> None:
    assert parse(list(text), None) == [TextDelta(text)]
    assert parse(list(text), HERMES) == [TextDelta(text)]


THOUGHTS: list[tuple[str, str, list[Delta]]] = [
    ("", "<think>\nHm.\n</think>\n\nYes.", [ReasoningDelta("Hm."), TextDelta("Yes.")]),
    ("", "<think>\n\n</think>\n\nYes.", [TextDelta("Yes.")]),
    ("", "<think>a < b\n\nc</think>", [ReasoningDelta("a < b\n\nc")]),
    ("", "</think>Yes.", [TextDelta("Yes.")]),
    # Many models go over to calling without a word.
    ("", f"<think>Hm.\n{TWO}", [ReasoningDelta("Hm."), *call(0, "go", "{}")]),
    (
        "",
        "<think>A <tool_call> is</think>Yes",
        [ReasoningDelta("A <tool_call> is"), TextDelta("Yes")],
    ),
    ("", "Yes <think>no</think>", [TextDelta("Yes <think>no</think>")]),
    ("", "<thi", [TextDelta("<thi")]),
    ("", "<thing>", [TextDelta("<thing>")]),
    ("", "<think>cut off </th", [ReasoningDelta("cut off </th")]),
    ("", "<think>cut off \n", [ReasoningDelta("cut off")]),
    ("<think>\n", "Hm.\n</think>\n\nYes.", [ReasoningDelta("Hm."), TextDelta("Yes.")]),
    ("<think>\n", "</think>Yes. </think>", [TextDelta("Yes. </think>")]),
    ("<think>\n", "Hm", [ReasoningDelta("Hm")]),
    ("<think>\n\n</think>\n\n", "Yes", [TextDelta("Yes")]),
]


@pytest.mark.parametrize(("begun", "text", "expected"), THOUGHTS)
def test_thinking_is_separated_from_the_answer_at_every_split(
    begun: str, text: str, expected: list[Delta]
) -> None:
    for split in range(len(text) + 1):
        chunks = [text[:split], *text[split:]]
        assert parse(chunks, HERMES, *TOOLS, thinking=THINK, begun=begun) == expected


def test_thinking_about_a_call_is_not_a_call_in_families_that_close_thinking() -> None:
    text = f"<think>{TWO}</think>\n{TWO}"
    for split in range(len(text) + 1):
        deltas = parse(
            [text[:split], text[split:]],
            HERMES,
            *TOOLS,
            thinking=THINK,
            call_ends_reasoning=False,
        )
        assert deltas == [ReasoningDelta(TWO), *call(0, "go", "{}")]


@pytest.mark.parametrize(
    ("before", "is_call"),
    [
        ("", True),
        ("Hm.", True),
        ("Hm.\n", True),
        ("Hm.\n  ", True),
        ("They want it as ", False),
        ("They want it as `", False),
        ('"', False),
        ("(", False),
    ],
)
def test_a_call_that_is_quoted_in_thinking_is_not_a_call(before: str, is_call: bool) -> None:
    turn = f"<think>{before}{TWO} that is all</think>Done."

    for split in range(len(turn) + 1):
        deltas = parse([turn[:split], turn[split:]], HERMES, *TOOLS, thinking=THINK)
        has_call = any(isinstance(delta, ToolCallStart) for delta in deltas)
        assert has_call is is_call
        if not is_call:
            thought = f"{before}{TWO} that is all".strip()
            assert deltas == [ReasoningDelta(thought), TextDelta("Done.")]


NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
CALLS = st.lists(
    st.tuples(NAMES, st.dictionaries(st.text(), VALUES, max_size=3)), min_size=1, max_size=3
)


@pytest.mark.parametrize("format", FORMATS)
@given(
    calls=CALLS,
    text=st.text(),
    is_ascii=st.booleans(),
    sizes=st.lists(st.integers(1, 9), min_size=1),
)
@settings(max_examples=60, deadline=None)
def test_written_calls_are_parsed_back(
    format: JsonCalls,
    calls: list[tuple[str, dict[str, Any]]],
    text: str,
    is_ascii: bool,
    sizes: list[int],
) -> None:
    texts = [json.dumps(arguments, ensure_ascii=is_ascii) for _, arguments in calls]
    written = [
        ToolCall(f"id{i}", name, arguments)
        for i, ((name, _), arguments) in enumerate(zip(calls, texts, strict=True))
    ]
    said = text.replace(format.trigger, "").strip()
    rest = f"{said}\n{format.write(written)}"
    chunks = []
    while rest:
        for size in sizes:
            chunks.append(rest[:size])
            rest = rest[size:]

    expected: list[Delta] = [TextDelta(said)] if said else []
    for index, made in enumerate(written):
        expected += call(index, made.name, made.arguments)
    tools = [make_tool(name) for name in {name for name, _ in calls}]
    assert parse(chunks, format, *tools) == expected


def test_calls_get_distinct_ids_of_our_own() -> None:
    format = make_parser(HERMES)._format
    parser = TurnParser(format, {tool.name: tool for tool in TOOLS})
    deltas = merged(parser.push(f"{ONE}\n{TWO}"))

    ids = [delta.id for delta in deltas if isinstance(delta, ToolCallStart)]
    assert all(id.startswith("call_") and len(id) == 29 for id in ids)
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("text", "num_calls", "is_inside_call"),
    [
        ("text", 0, False),
        ("<tool_call", 0, False),
        ("<tool_call>", 0, True),
        ('<tool_call>\n{"name": "lo', 0, True),
        (TWO[:-14], 0, True),
        (TWO, 1, False),
        (f"{TWO}\n", 1, False),
        (f"{TWO}\n<tool_call>", 1, True),
        (f"{TWO}\n{TWO}", 2, False),
        (f"{TWO}\nDone", 1, False),
    ],
)
def test_the_parser_knows_whether_a_call_is_complete(
    text: str, num_calls: int, is_inside_call: bool
) -> None:
    parser = make_parser(HERMES, *TOOLS)
    for character in text:
        parser.push(character)
    parser.finish(is_cut=True)

    assert (parser.num_calls, parser.is_inside_call) == (num_calls, is_inside_call)


@pytest.mark.timeout(10)  # quadratic work would take minutes
@pytest.mark.parametrize("unit", [" ", "<", "a", '<tool_call>{"name": "', f"{TWO} <"])
@pytest.mark.parametrize("start", ["", '<tool_call>{"name": "', ONE[:45], "<think>"])
@pytest.mark.parametrize("size", [1, 100_000])
def test_long_output_is_read_in_linear_time(start: str, unit: str, size: int) -> None:
    parser = make_parser(HERMES, *TOOLS, thinking=THINK)
    parser.push(start)
    text = unit * (100_000 // len(unit))
    for at in range(0, len(text), size):
        parser.push(text[at : at + size])
    parser.finish()
