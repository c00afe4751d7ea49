"""Calls without the template's delimiters: parsed as calls, with their tool's schema enforced."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from chat.support import Grammar, make_tool, merged, parse, turn_format
from hypothesis import given, settings
from hypothesis import strategies as st

from kronk_agent.chat.dialects import GENERIC, HERMES, TurnGrammar
from kronk_agent.chat.dialects.formats.call_format import CallFormat
from kronk_agent.chat.dialects.formats.json_calls import JsonCalls
from kronk_agent.chat.dialects.formats.pythonic import PythonCalls
from kronk_agent.chat.dialects.template_dialect import TemplateDialect
from kronk_agent.messages import (
    Delta,
    Message,
    TextDelta,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ResponseFormat, ToolChoice
from kronk_agent.tools import Tool

Compile = Callable[[TurnGrammar], Grammar]

WEATHER = make_tool(
    "get_weather",
    properties={"city": {"type": "string"}, "days": {"type": "integer"}},
    required=["city"],
)
NOTES = make_tool("list_notes", properties={})
TOOLS = (WEATHER, NOTES)
BARE = JsonCalls(
    trigger="{",
    before_name='{"name": "',
    before_arguments='", "parameters": ',
    after_arguments="}",
    separator="; ",
    starts_turn=True,
)
"""In the manner of Llama 3."""
FORMATS: dict[str, CallFormat] = {
    "hermes": HERMES,
    "generic": GENERIC,
    "bare": BARE,
    "python": PythonCalls("", "", "<|python_start|>", "<|python_end|>"),
}
ARGUMENTS = '{"city": "Oslo"}'
CALL = f'{{"name": "get_weather", "arguments": {ARGUMENTS}}}'
LISTED = '{"name": "list_notes", "arguments": {}}'
PRETTY = f'{{\n  "name": "get_weather",\n  "arguments": {ARGUMENTS}\n}}'

ONE_CALL = [
    CALL,
    PRETTY,
    f" \n{CALL}\n",
    CALL.replace("arguments", "parameters"),
    CALL.replace('{"name"', '{"type": "function", "name"'),
    f"[{CALL}]",
    f"```json\n{CALL}\n```",
    f"```json\n{PRETTY}\n```",
    f"```\n{CALL}\n```",
    f"```json\n{CALL}",
    f"```tool_call\n{CALL}\n```",
    f"```json\n[{CALL}]\n```\n",
    f"[tool_call]\n{CALL}\n[/tool_call]",
    f"<function_call>{CALL}</function_call>",
    f"<tools>\n{CALL}\n</tools>",
    f"```xml\n<tool>{CALL}</tool>\n```",
    f"<function=get_weather>{ARGUMENTS}</function>",
    f"<function=get_weather>\n{ARGUMENTS}\n</function>",
    f"get_weather({ARGUMENTS})",
    'get_weather(city="Oslo")',
    '[get_weather(city="Oslo")]',
    '```tool_code\nget_weather(city="Oslo")\n```',
]
TWO_CALLS = [
    f"```json\n{CALL}\n{LISTED}\n```",
    f"```json\n{CALL}\n```\n```json\n{LISTED}\n```",
    f"[{CALL}, {LISTED}]",
    f"{CALL}\n{LISTED}",
    f"<tools>{CALL}</tools>\n<tools>{LISTED}</tools>",
    f"```\n{CALL}\n```\n\n{LISTED}",
]
TEXTS = [
    "It is 4 °C.",
    '```json\n{"name": "nosuch", "arguments": {}}\n```',
    '```json\n{"name": "Ann", "age": 4}\n```',
    '{"name": "get_weather", "age": 4}',
    '{"name": "get_weather", "description": "The weather.", "parameters": {"type": "object"}}',
    '{"name": "get_weather_now", "arguments": {}}',
    '{"name": "get_weather", "arguments": "none"}',
    '[{"name": "Ann"}, 1]',
    "[1, 2]",
    "{}",
    "```",
    "```python\nprint(1)\n```",
    "```json",
    "<b>Hello</b>",
    "[tool_call] is a mark.",
    "<function=other>{}</function>",
    "get_weather(city) gives the weather.",
    "get_weather({",
    "get_weather tells the weather.",
    f"You could write:\n```json\n{CALL}\n```",
    f"Like `{CALL}`.",
    f"> {CALL}",
    "The tool is called\nget_weather(city='Oslo')",
]


def call(index: int, name: str, arguments: str) -> list[Delta]:
    return [
        ToolCallStart(index, f"id{index}", name),
        ToolCallArguments(index, arguments),
        ToolCallEnd(index),
    ]


def write(
    *tools: Tool,
    format: CallFormat = HERMES,
    choice: str | ToolChoice = "auto",
    max_calls: int = 8,
) -> TurnGrammar:
    dialect = TemplateDialect(format=turn_format(format))
    request = ChatRequest(
        messages=(Message.user("x"),),
        tools=tools or TOOLS,
        tool_choice=ToolChoice.parse(choice) if isinstance(choice, str) else choice,
        max_parallel_calls=max_calls,
    )
    grammar = dialect.start_turn("", request).grammar
    assert grammar is not None
    return grammar


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("text", ONE_CALL)
def test_a_form_that_starts_an_answer_is_a_call(text: str, format: CallFormat) -> None:
    for size in (1, 3, len(text)):
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
        first, *others = parse(chunks, format, *TOOLS)
        assert first == ToolCallStart(0, "id0", "get_weather")
        assert others[-1] == ToolCallEnd(0)
        arguments = "".join(d.fragment for d in others if isinstance(d, ToolCallArguments))
        assert json.loads(arguments) == {"city": "Oslo"}
        assert len(others) == 2


@pytest.mark.parametrize("text", TWO_CALLS)
def test_further_calls_follow_with_or_without_delimiters(text: str) -> None:
    expected = [*call(0, "get_weather", ARGUMENTS), *call(1, "list_notes", "{}")]
    assert parse([text], HERMES, *TOOLS) == expected
    assert parse(list(text), HERMES, *TOOLS) == expected


def test_text_after_the_calls_is_kept() -> None:
    deltas = parse([f"```json\n{CALL}\n```\nIt is cold."], HERMES, *TOOLS)
    assert deltas == [*call(0, "get_weather", ARGUMENTS), TextDelta("\nIt is cold.")]


@pytest.mark.parametrize("text", [text for text in TEXTS if text != "get_weather({"])
def test_anything_else_stays_text(text: str) -> None:
    assert parse([text], HERMES, *TOOLS) == [TextDelta(text)]
    assert parse(list(text), HERMES, *TOOLS) == [TextDelta(text)]


def test_without_tools_every_form_is_text() -> None:
    for text in ONE_CALL:
        assert parse([text], HERMES) == [TextDelta(text)]


def test_an_answer_that_must_be_json_is_not_a_call() -> None:
    dialect = TemplateDialect(format=turn_format(HERMES))
    request = ChatRequest(
        messages=(Message.user("x"),),
        tools=TOOLS,
        response_format=ResponseFormat(type="json_object"),
    )
    parser = dialect.start_turn("", request).parser
    assert merged([*parser.push(CALL), *parser.finish()]) == [TextDelta(CALL)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "arguments", "type", "city", "get_weather"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
WORDS = st.sampled_from(
    [
        "get_weather",
        "list_notes",
        "(",
        ")",
        "{",
        "```",
        "json\n",
        '"name": ',
        "[",
        "<tool>",
        " ",
        "=",
    ]
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.sampled_from(["", "```json\n", "```\n", "[", "<tools>", "> "]), st.data())
def test_other_json_stays_text_however_it_is_split(
    value: object, before: str, data: st.DataObject
) -> None:
    text = before + json.dumps(value, ensure_ascii=False)
    cut = data.draw(st.integers(0, len(text)))
    assert parse([text[:cut], text[cut:]], HERMES, WEATHER) == [TextDelta(text)]


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=8).map("".join), st.data())
def test_the_result_does_not_depend_on_the_chunks(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    assert parse([text[:cut], text[cut:]], HERMES, *TOOLS) == parse([text], HERMES, *TOOLS)


# --- the grammar ---------------------------------------------------------------------------------


def test_arguments_in_a_list_cannot_be_written(
    compile_grammar: Callable[[TurnGrammar], Grammar],
) -> None:
    grammar = compile_grammar(write())

    for begin in (
        '{"name": "get_weather", "arguments": ',
        '```json\n{\n  "name": "get_weather",\n  "arguments": ',
    ):
        assert grammar.accepts(begin + '{"city": "Oslo"}}')
        assert not grammar.accepts(begin + '[{"city": "Oslo"}]}')


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_the_grammar_allows_every_form_and_every_text(
    format: CallFormat, compile_grammar: Compile
) -> None:
    grammar = compile_grammar(write(format=format))
    refused = [text for text in (*ONE_CALL, *TWO_CALLS) if not grammar.accepts(text)]
    assert refused == []
    texts = [text for text in TEXTS if text != "get_weather({"]
    assert [text for text in texts if not grammar.accepts(text)] == []


@pytest.mark.parametrize("text", [text for text in ONE_CALL if '"city"' in text])
def test_the_tools_schema_is_enforced_from_the_name_on(text: str, compile_grammar: Compile) -> None:
    grammar = compile_grammar(write())
    for wrong in ('{"town": "Oslo"}', '{"city": 4}', "{}", '{"city": "Oslo", "days": "2"}'):
        assert not grammar.accepts(text.replace(ARGUMENTS, wrong))
    assert grammar.accepts(text.replace(ARGUMENTS, '{"city": "Oslo", "days": 2}'))


def test_the_number_of_calls_is_bounded_in_every_form(compile_grammar: Compile) -> None:
    grammar = compile_grammar(write(max_calls=1))
    assert all(grammar.accepts(text) for text in ONE_CALL)
    assert not any(grammar.accepts(text) for text in TWO_CALLS)


@pytest.mark.parametrize("begin", ["", "```json\n", "[", "<tools>\n"])
def test_text_that_starts_like_a_call_is_one_if_some_tools_are_not_allowed(
    begin: str, compile_grammar: Compile
) -> None:
    grammar = compile_grammar(write(choice=ToolChoice("auto", allowed=("list_notes",))))

    assert not grammar.accepts(begin + CALL)
    assert not grammar.accepts("<function=get_weather>{}</function>")
    assert grammar.accepts(begin + '{"name": "list_notes", "arguments": {}}')
    assert not grammar.accepts(begin + '{"name": "getWeather", "arguments": {}}')
    assert grammar.accepts(begin + '{"city": "Oslo"}')
    assert grammar.accepts("I cannot call get_weather.")


def test_a_required_call_has_the_templates_delimiters(compile_grammar: Compile) -> None:
    grammar = compile_grammar(write(choice="required"))
    assert not any(grammar.accepts(text) for text in ONE_CALL)
    assert grammar.accepts(f"<tool_call>\n{CALL}\n</tool_call>")


def test_three_hundred_tools_compile_and_their_calls_are_enforced(
    compile_grammar: Compile,
) -> None:
    others = [
        make_tool(f"tool_{i}", properties={"city": {"type": "string"}}, required=["city"])
        for i in range(300)
    ]
    grammar = compile_grammar(write(*TOOLS, *others))
    fenced = f"```json\n{CALL}\n```"
    assert grammar.accepts(fenced)
    assert grammar.accepts(fenced.replace("get_weather", "tool_299"))
    assert not grammar.accepts(fenced.replace("get_weather", "tool_299").replace("city", "town"))
    assert all(grammar.accepts(text) for text in TEXTS if "(" not in text)


# --- the step that must answer -------------------------------------------------------------------

WRITTEN = [
    *ONE_CALL,
    *TWO_CALLS,
    f"<tool_call>\n{CALL}\n</tool_call>",
    f"Let me see.\n{CALL}",
    f"So:\n\n```json\n{PRETTY}\n```",
    f'{{"tool_calls": [{{"function": {CALL}}}]}}',
    "So:\nget_weather(city='Oslo')",
    f"So:\n[get_weather({ARGUMENTS})]",
]


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_an_answer_that_may_not_call_has_no_call_in_any_form(
    format: CallFormat, compile_grammar: Compile
) -> None:
    grammar = compile_grammar(write(format=format, choice="none"))
    assert [text for text in WRITTEN if grammar.accepts(text)] == []
    assert not grammar.accepts("")
    assert not grammar.accepts(" \n ")


@pytest.mark.parametrize(
    "text",
    [
        "It is 4 °C.",
        "I asked get_weather for Oslo: 4 °C.\n\n- list_notes gave nothing.\n",
        "get_weather(city) gives the weather of a city.",
        "Call get_weather(city='Oslo') for that.",
        '{"name": "Ann", "tools": ["get_weather"]}',
        '```json\n{"city": "Oslo", "name": "x"}\n```',
        '\n\n"name": "get_weather_now", "name": 3',
    ],
)
def test_an_answer_that_may_not_call_may_be_any_other_text(
    text: str, compile_grammar: Compile
) -> None:
    assert compile_grammar(write(choice="none")).accepts(text)
