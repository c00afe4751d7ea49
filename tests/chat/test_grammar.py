from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import pytest
from chat.support import THINK, Grammar, arguments_of, make_tool, parse, turn_format
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from kronk_agent.chat.dialects import GENERIC, HERMES, TurnGrammar
from kronk_agent.chat.dialects.families.gemma4 import GemmaCalls
from kronk_agent.chat.dialects.families.minimax_m3 import MiniMaxCalls
from kronk_agent.chat.dialects.formats.arguments import ArgumentDelimiters
from kronk_agent.chat.dialects.formats.call_format import CallFormat, DelimiterPair
from kronk_agent.chat.dialects.formats.pythonic import PythonCalls
from kronk_agent.chat.dialects.formats.tagged_calls import TaggedCalls
from kronk_agent.chat.dialects.template_dialect import TemplateDialect
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.messages import Message, ToolCall, ToolCallStart
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ToolChoice
from kronk_agent.tools import Tool
from kronk_agent.tools.schema.validator import lenient_validator

Compile = Callable[[TurnGrammar], Grammar]

LOOK = make_tool(
    "look", properties={"at": {"type": "string"}, "times": {"type": "integer"}}, required=["at"]
)
LOOK_UP = make_tool("look_up", properties={"word": {"enum": ["cat", "catfish", 'a "b"']}})
WAIT = make_tool("wait", properties={})
TOOLS = (LOOK, LOOK_UP, WAIT)

CALL = '<tool_call>\n{"name": "look", "arguments": {"at": "x", "times": 2}}\n</tool_call>'
LOOKED_UP = '<tool_call>\n{"name": "look_up", "arguments": {"word": "catfish"}}\n</tool_call>'
WAITED = '<tool_call>\n{"name": "wait", "arguments": {}}\n</tool_call>'


def write(
    *tools: Tool,
    format: CallFormat = HERMES,
    choice: str = "required",
    max_calls: int = 8,
    thinking: DelimiterPair | None = None,
    begun: str = "",
    special_tokens: Mapping[str, int] | None = None,
    **request: Any,
) -> TurnGrammar:
    dialect = TemplateDialect(
        format=turn_format(format, thinking), special_tokens=special_tokens or {}
    )
    asked = ChatRequest(
        messages=(Message.user("x"),),
        tools=tools or TOOLS,
        tool_choice=ToolChoice.parse(choice),
        max_parallel_calls=max_calls,
        **request,
    )
    grammar = dialect.start_turn(begun, asked).grammar
    assert grammar is not None
    return grammar


@pytest.mark.parametrize(
    ("text", "may"),
    [("", False), ("\n \n", False), ("No.", True), (f"\nSo: {CALL}", False), ("<tool", True)],
)
def test_a_turn_without_calls_is_text(text: str, may: bool, compile_grammar: Compile) -> None:
    assert compile_grammar(write(choice="none")).accepts(text) is may


@pytest.mark.parametrize(
    ("text", "may", "must", "must_one"),
    [
        ("", False, False, False),
        (" \n", False, False, False),
        ("Just text, 1 < 2.\n", True, False, False),
        ("<tool_call", True, False, False),
        (CALL, True, True, True),
        (LOOKED_UP, True, True, True),
        (WAITED, True, True, True),
        (f"Let me see.\n{CALL}", True, False, False),
        (f"{CALL}\n{LOOKED_UP}\n{WAITED}", True, True, False),
        # Not quite.
        ("<tool_call>", False, False, False),
        ("A <tool_call> is a mark", False, False, False),
        (CALL[:-1], False, False, False),
        # The separator is no promise of another call.
        (f"{CALL}\n", True, True, False),
        (f"{CALL}{WAITED}", False, False, False),
        (f"{CALL}\nAnd text", False, False, False),
        (CALL.replace("look", "lookup"), False, False, False),
        (CALL.replace("look", "Look"), False, False, False),
        (CALL.replace("arguments", "parameters"), False, False, False),
        (CALL.replace('"name": ', '"name":'), False, False, False),
        (CALL.replace(', "times": 2', ""), True, True, True),
        (CALL.replace('"x", ', '"x",'), False, False, False),
        (CALL.replace('"at": "x", ', ""), False, False, False),
        (CALL.replace('"x"', "1"), False, False, False),
        (CALL.replace("2", '"2"'), False, False, False),
        (CALL.replace("2", "2.5"), False, False, False),
        (CALL.replace("2", "9" * 19), False, False, False),
        (CALL.replace("2", '2, "more": 1'), False, False, False),
        (LOOKED_UP.replace("catfish", "dog"), False, False, False),
        (LOOKED_UP.replace("catfish", "cat"), True, True, True),
        (LOOKED_UP.replace("catfish", 'a \\"b\\"'), True, True, True),
        (WAITED.replace("{}", '{"a": 1}'), False, False, False),
    ],
)
def test_a_turn_is_text_or_calls_as_the_request_says(
    text: str, may: bool, must: bool, must_one: bool, compile_grammar: Compile
) -> None:
    assert compile_grammar(write(choice="auto")).accepts(text) is may
    assert compile_grammar(write()).accepts(text) is must
    assert compile_grammar(write(max_calls=1)).accepts(text) is must_one


def test_no_more_than_the_maximum_number_of_calls_is_accepted(compile_grammar: Compile) -> None:
    grammar = compile_grammar(write(max_calls=3))

    assert [grammar.accepts("\n".join([WAITED] * n)) for n in range(5)] == [
        False, True, True, True, False,
    ]  # fmt: skip


def test_a_named_tools_call_is_forced_up_to_its_arguments(compile_grammar: Compile) -> None:
    assert compile_grammar(write(WAIT, max_calls=1)).forced_text() == WAITED
    assert compile_grammar(write(LOOK, max_calls=1)).forced_text() == CALL[: CALL.index(' "x"')]


def test_delimiters_are_tokens_if_the_vocabulary_has_them(
    compile_grammar: Compile, vocabulary: Vocabulary
) -> None:
    begin, end = 11, 12
    tokens = {"<tool_call>": begin, "</tool_call>": end}
    body = vocabulary.tokenize(
        WAITED.removeprefix("<tool_call>").removesuffix("</tool_call>"), parse_special=False
    )
    text = vocabulary.tokenize("Hm.", parse_special=False)
    must = compile_grammar(write(special_tokens=tokens))
    may = compile_grammar(write(choice="auto", special_tokens=tokens))

    assert must.accepts_tokens([begin, *body, end])
    assert may.accepts_tokens([*text, begin, *body, end])
    assert may.accepts_tokens(text)
    assert not must.accepts(WAITED)
    assert not may.accepts(f"Hm.{WAITED}")
    assert not may.accepts_tokens([*text, begin])
    assert not may.accepts_tokens([*text, 13])


@pytest.mark.parametrize("special_tokens", [{}, {"<think>": 13, "</think>": 14}])
@pytest.mark.parametrize(
    ("begun", "choice", "parts", "expected"),
    [
        ("", "required", ["<think>", "\nAbout it\n", "</think>", f"\n\n{WAITED}"], True),
        ("", "required", [WAITED], True),
        ("", "required", ["<think>", "a", "</think>"], False),
        ("", "required", ["<think>", "a", WAITED], True),
        ("", "auto", ["<think>", "a", "</think>", "\n\n\nText"], True),
        ("", "auto", ["<think>", "a", "</think>", f"Text {WAITED}"], True),
        ("", "auto", ["<think>", "a", WAITED], True),
        ("", "auto", ["Text"], True),
        ("<think>", "auto", ["a", "</think>", "Text"], True),
        ("<think>", "auto", ["a"], False),
        ("<think>", "required", ["a", "</think>", WAITED], True),
        ("<think>", "required", [WAITED], True),
    ],
)
def test_thinking_comes_first_and_is_free(
    special_tokens: dict[str, int],
    begun: str,
    choice: str,
    parts: Sequence[str],
    expected: bool,
    compile_grammar: Compile,
    vocabulary: Vocabulary,
) -> None:
    lark = write(
        choice=choice,
        thinking=THINK,
        begun=begun,
        special_tokens=special_tokens,
    )
    tokens: list[int] = []
    for part in parts:
        known = special_tokens.get(part)
        tokens += vocabulary.tokenize(part, parse_special=False) if known is None else [known]

    assert compile_grammar(lark).accepts_tokens(tokens) is expected


SCHEMAS: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({}, ["{}"], ['{"a": 1}']),
    ({"properties": {}}, ["{}"], ['{"a": 1}']),
    ({"additionalProperties": True}, ["{}", '{"a": {"b": [1]}}'], ["[]"]),
    ({"properties": {}, "additionalProperties": {"type": "integer"}}, ['{"a": 1}'], ['{"a": ""}']),
    ({"properties": {"a": {}}}, ["{}", '{"a": [{"b": null}]}'], ['{"b": 1}']),
    ({"properties": {"a": True}, "required": ["a"]}, ['{"a": 1.5}'], ["{}"]),
    ({"required": ["a"], "properties": {}}, ['{"a": 1}'], ["{}"]),
    ({"properties": {"a": {"type": "object"}}}, ['{"a": {"b": 1}}'], ['{"a": 1}']),
    (
        {
            "properties": {"a": {"$ref": "#/$defs/Node"}},
            "required": ["a"],
            "$defs": {
                "Node": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "integer", "minimum": 1, "maximum": 7},
                        "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                    },
                    "required": ["value"],
                }
            },
        },
        ['{"a": {"value": 1}}', '{"a": {"value": 7, "next": {"value": 2, "next": null}}}'],
        ['{"a": {"value": 8}}', '{"a": {"value": 1, "next": {}}}', '{"a": {"value": 1, "b": 1}}'],
    ),
    (
        {
            "properties": {"a": {"type": "integer"}},
            "allOf": [{"properties": {"b": {"type": "string"}}, "required": ["b"]}],
        },
        ['{"a": 1, "b": "x"}', '{"b": "x"}'],
        ['{"a": 1}'],
    ),
    (
        {"anyOf": [{"properties": {"a": {"type": "null"}}, "required": ["a"]}]},
        ['{"a": null}'],
        ["{}", '{"a": 1}'],
    ),
    (
        {"properties": {"a": {"type": "string", "format": "path", "maxLength": 3}}},
        ['{"a": "/x"}', '{"a": "ü\\n"}'],
        ['{"a": "/xyz"}'],
    ),
    (
        {"properties": {"a": {"type": "string", "format": "date"}}},
        ['{"a": "2026-11-22"}'],
        ['{"a": "x"}'],
    ),
    (
        {"properties": {"a": {"type": "integer", "maximum": 2**63 - 1, "exclusiveMinimum": 0}}},
        ['{"a": 1}', '{"a": 1300000000000000000}'],
        ['{"a": 0}', '{"a": -1}'],
    ),
    (
        {"properties": {"a": {"type": ["integer", "null"]}}},
        ['{"a": null}', '{"a": -5}'],
        ['{"a": 1.5}'],
    ),
    ({"properties": {"a": {"type": "number"}}}, ['{"a": -1.5e3}', '{"a": 2}'], ['{"a": "2"}']),
    (
        {"properties": {"a": {"type": "array", "items": {"enum": ["x", 1]}, "maxItems": 2}}},
        ['{"a": []}', '{"a": ["x", 1]}'],
        ['{"a": ["y"]}', '{"a": [1, 1, 1]}', '{"a": [1,1]}'],
    ),
    (
        {"properties": {"a": {"type": "string", "pattern": r"^[[\]a]\cI[^]\u{41}$"}}},
        [r'{"a": "[\t\nA"}', r'{"a": "]\t\tA"}'],
        ['{"a": ""}', r'{"a": "b\t\tA"}'],
    ),
    (
        {"properties": {"a": {"type": "array", "items": [{"type": "null"}, {"enum": [1]}]}}},
        ['{"a": [null, 1, "x"]}', '{"a": [null]}'],
        ['{"a": [1]}'],
    ),
    (
        {"properties": {"a": {"type": "number", "minimum": 0, "exclusiveMinimum": True}}},
        ['{"a": 0.5}', '{"a": 1}'],
        ['{"a": 0}', '{"a": -1}'],
    ),
    (
        {"properties": {"a": {"enum": ["x"]}, "b": {"$ref": "#/properties/a"}}},
        ['{"a": "x", "b": "x"}'],
        ['{"b": "y"}'],
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), SCHEMAS)
def test_arguments_follow_the_schema(
    schema: dict[str, Any], good: list[str], bad: list[str], compile_grammar: Compile
) -> None:
    tool = make_tool("go", **schema)
    grammar = compile_grammar(write(tool))
    validator = lenient_validator(tool.parameters)

    def turn(arguments: str) -> str:
        return WAITED.replace("wait", "go").replace("{}", arguments)

    for arguments in good:
        assert validator.is_valid(json.loads(arguments))
        assert grammar.accepts(turn(arguments)), arguments
    for arguments in bad:
        assert not grammar.accepts(turn(arguments)), arguments


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("required", [[], ["a"], ["a", "b"]])
@pytest.mark.parametrize(("least", "most"), [(1, None), (2, None), (3, None), (0, 1), (2, 2)])
def test_the_number_of_properties_is_enforced(
    least: int, most: int | None, required: list[str], is_open: bool, compile_grammar: Compile
) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": "null"} for name in "abc"},
        "required": required,
        "minProperties": least,
    }
    if most is not None:
        schema["maxProperties"] = max(most, len(required))
    schema["additionalProperties"] = is_open
    grammar = compile_grammar(write(make_tool("go", properties={"x": schema}, required=["x"])))
    validator = Draft202012Validator(schema)

    for size in range(5):
        for names in combinations("abcde", size):
            value = dict.fromkeys(names)
            arguments = json.dumps({"x": value})
            is_accepted = grammar.accepts(WAITED.replace("wait", "go").replace("{}", arguments, 1))
            assert is_accepted is validator.is_valid(value), names


FREE_NAMES = {"type": "object", "additionalProperties": {"type": "integer"}}
NAMES: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({"propertyNames": {"type": "string"}}, ["{}", '{"b": 1}'], ['{"b": ""}']),
    ({"propertyNames": True}, ['{"b": 1}'], ['{"b": ""}']),
    ({"propertyNames": False}, ["{}"], ['{"b": 1}']),
    (
        {"propertyNames": {"type": "string", "enum": ["b", "c"]}, "required": ["c"]},
        ['{"c": 1}', '{"b": 1, "c": 2}'],
        ["{}", '{"b": 1}', '{"c": ""}', '{"c": 1, "d": 1}'],
    ),
    ({"propertyNames": {"const": "b"}}, ["{}", '{"b": 1}'], ['{"c": 1}']),
    ({"propertyNames": {"$ref": "#/$defs/Names"}}, ['{"b": 1}'], ['{"d": 1}']),
    (
        {"propertyNames": {"enum": ["b", "c"]}, "properties": {"c": {"type": "null"}, "d": {}}},
        ['{"c": null}', '{"c": null, "b": 1}'],
        ['{"c": 1}', '{"d": 1}'],
    ),
    (
        {"propertyNames": {"enum": ["b", "c"]}, "minProperties": 2},
        ['{"b": 1, "c": 1}'],
        ["{}", '{"b": 1}'],
    ),
    (
        {"propertyNames": {"type": "string", "pattern": "^x-[a-z]+$"}},
        ["{}", '{"x-b": 1, "x-cd": 2}'],
        ['{"b": 1}', '{"x-b": ""}', '{"x-": 1}'],
    ),
    (
        {"propertyNames": {"minLength": 1, "maxLength": 3}},
        ["{}", '{"é": 1}', '{"bcd": 1}'],
        ['{"": 1}', '{"bcde": 1}'],
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), NAMES)
def test_property_names_follow_the_schema(
    schema: dict[str, Any], good: list[str], bad: list[str], compile_grammar: Compile
) -> None:
    definitions: dict[str, Any] = {"$defs": {"Names": {"title": "Names", "enum": ["b", "c"]}}}
    record = FREE_NAMES | schema
    tool = make_tool("go", properties={"a": record}, required=["a"], **definitions)
    grammar = compile_grammar(write(tool))
    validator = Draft202012Validator({**record, **definitions})

    def turn(value: str) -> str:
        return WAITED.replace("wait", "go").replace("{}", f'{{"a": {value}}}', 1)

    for value in good + bad:
        assert grammar.accepts(turn(value)) is validator.is_valid(json.loads(value)), value
    assert [validator.is_valid(json.loads(value)) for value in good] == [True] * len(good)
    assert [validator.is_valid(json.loads(value)) for value in bad] == [False] * len(bad)


NOTATIONS: list[CallFormat] = [GemmaCalls(), PythonCalls("<call>", "</call>"), MiniMaxCalls()]


@pytest.mark.parametrize("format", NOTATIONS, ids=lambda format: type(format).__name__)
def test_a_notation_other_than_json_takes_only_listed_property_names(
    format: CallFormat, compile_grammar: Compile
) -> None:
    record = FREE_NAMES | {"propertyNames": {"enum": ["bb", "cc"]}}
    tool = make_tool("go", properties={"a": record}, required=["a"])
    written = write(tool, format=format)
    grammar = compile_grammar(written)

    def accepts(value: object) -> bool:
        call = ToolCall("call00001", "go", json.dumps({"a": value}))
        return grammar.accepts(format.write([call]))

    assert [accepts(value) for value in ({"bb": 1}, {"cc": 1, "bb": 2}, {"dd": 1})] == [
        True, True, False,
    ]  # fmt: skip
    assert written.unenforced == frozenset()


EXCLUSIVE: list[dict[str, Any]] = [
    {"oneOf": [{"type": "string"}, {"type": "null"}, {"type": "integer"}]},
    {"oneOf": [{"const": "a"}, {"const": "b"}]},
    {
        "oneOf": [
            {"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]}
            for kind in ("a", "b")
        ]
    },
    {"type": "string", "maxLength": 4, "x-unit": "m", "title": "A"},
]
LOOSE: list[tuple[dict[str, Any], set[str]]] = [
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, {"oneOf"}),
    ({"oneOf": [{"type": "string"}, {}]}, {"oneOf"}),
    (
        {"type": "array", "items": {"not": {"type": "null"}}, "uniqueItems": True},
        {"not", "uniqueItems"},
    ),
    ({**FREE_NAMES, "propertyNames": {"pattern": "^x"}}, {"patternProperties"}),
]


@pytest.mark.parametrize("format", NOTATIONS, ids=lambda format: type(format).__name__)
@pytest.mark.parametrize(("schema", "keywords"), [*((each, set()) for each in EXCLUSIVE), *LOOSE])
def test_a_grammar_names_the_keywords_that_it_does_not_enforce(
    schema: dict[str, Any], keywords: set[str], format: CallFormat
) -> None:
    tool = make_tool("go", properties={"a": schema}, required=["a"])

    assert write(tool, format=format).unenforced == keywords


TREE = {
    "type": "object",
    "properties": {"left": {"$ref": "#/$defs/Tree"}, "right": {"$ref": "#/$defs/Tree"}},
}
LINKED = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Linked"}, {"type": "null"}]}},
    "required": ["next"],
}
NESTED = {"type": "array", "items": {"$ref": "#/$defs/Nested"}}
FILTER = {"anyOf": [{"$ref": "#/$defs/Not"}, {"const": "x"}]}
NOT = {"type": "object", "properties": {"not": {"$ref": "#/$defs/Filter"}}, "required": ["not"]}


@pytest.mark.parametrize(
    ("name", "definitions", "step", "end", "deepest"),
    [
        ("Tree", {"Tree": TREE}, '{"right": %s}', "{}", 11),
        ("Linked", {"Linked": LINKED}, '{"next": %s}', "null", 12),
        ("Nested", {"Nested": NESTED}, "[%s]", "[]", 11),
        ("Filter", {"Filter": FILTER, "Not": NOT}, '{"not": %s}', '"x"', 5),
    ],
)
def test_recursion_comes_to_an_end(
    name: str,
    definitions: dict[str, Any],
    step: str,
    end: str,
    deepest: int,
    compile_grammar: Compile,
) -> None:
    schema: dict[str, Any] = {
        "properties": {"a": {"$ref": f"#/$defs/{name}", "description": "It."}},
        "required": ["a"],
        "$defs": definitions,
    }
    grammar = compile_grammar(write(make_tool("go", **schema)))

    def accepts(depth: int) -> bool:
        value = end
        for _ in range(depth):
            value = step % value
        return grammar.accepts(WAITED.replace("wait", "go").replace("{}", f'{{"a": {value}}}', 1))

    assert [accepts(depth) for depth in (0, 1, deepest, deepest + 1)] == [
        name != "Linked", True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "format": "json", "maxLength": 3}, ['"{}"'], ['"abcd"', "1"]),
        ({"type": "string", "format": "date"}, ['"2026-11-22"'], ['"x"']),
        ({"type": "string", "pattern": r"^\cI[^]\u{41}$"}, [r'"\t\nA"'], ['"A"']),
        (
            {
                "type": "object",
                "patternProperties": {"^x": {"type": "integer"}},
                "additionalProperties": False,
            },
            ["{}", '{"x": 1}'],
            ['{"x": "1"}'],
        ),
    ],
)
def test_arguments_written_as_in_python_follow_the_schema(
    schema: dict[str, Any], good: list[str], bad: list[str], compile_grammar: Compile
) -> None:
    tool = make_tool("go", properties={"a": schema}, required=["a"])
    grammar = compile_grammar(write(tool, format=PythonCalls("<call>", "</call>")))

    values = [*good, *bad]
    accepted = [value for value in values if grammar.accepts(f"<call>[go(a={value})]</call>")]
    assert accepted == good


def test_keywords_a_lenient_tool_cannot_enforce_are_dropped(compile_grammar: Compile) -> None:
    tool = make_tool(
        "go", strict=False, properties={"a": {"type": "array", "uniqueItems": True}}, required=["a"]
    )
    grammar = compile_grammar(write(tool))

    assert grammar.accepts(WAITED.replace("wait", "go").replace("{}", '{"a": [1, 1]}'))
    assert not grammar.accepts(WAITED.replace("wait", "go"))


SIMPLE = st.sampled_from(
    [
        {"type": "string", "maxLength": 5},
        {"type": "string", "enum": ["a", "ab", "é", '"']},
        {"type": "integer"},
        {"type": "integer", "minimum": -3, "maximum": 12},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "boolean"},
        {"type": "null"},
        {"const": {"x": [1, "y"]}},
        {"type": ["integer", "null"]},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": "^[a-c]{2,4}$"},
    ]
)
KEYS = st.sampled_from(["a", "ab", "b c", "é", 'q"q', "type", "properties", "$ref", "x<y"])


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def make(properties: dict[str, Any], num_required: int) -> dict[str, Any]:
        required = list(properties)[:num_required]
        return {"type": "object", "properties": properties, "required": required}

    return st.builds(make, st.dictionaries(KEYS, inner, max_size=3), st.integers(0, 3))


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return inner.map(lambda items: {"type": "array", "items": items, "maxItems": 3})


def unions(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})


ANY_SCHEMA = st.recursive(SIMPLE, lambda i: objects(i) | arrays(i) | unions(i), max_leaves=6)


@pytest.mark.parametrize("format", [HERMES, GENERIC], ids=["hermes", "generic"])
@given(schemas=st.lists(objects(ANY_SCHEMA), min_size=1, max_size=3), seed=st.integers(0))
@settings(max_examples=40, deadline=None)
def test_random_tokens_under_the_grammar_are_valid_calls(
    format: CallFormat, schemas: list[dict[str, Any]], seed: int, compile_grammar: Compile
) -> None:
    tools = [make_tool(f"tool_{'x' * i}", **schema) for i, schema in enumerate(schemas)]
    grammar = compile_grammar(write(*tools, format=format, max_calls=2))
    text = grammar.random_turn(random.Random(seed), max_tokens=1000)

    assert text is not None
    by_name = {tool.name: tool for tool in tools}
    deltas = parse([text], format, *tools)
    names = [delta.name for delta in deltas if isinstance(delta, ToolCallStart)]
    assert 1 <= len(names) <= 2
    for name, arguments in zip(names, arguments_of(deltas), strict=True):
        Draft202012Validator(by_name[name].parameters).validate(arguments)


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ({"type": "boolean"}, ["true", "false", "True", "False"]),
        ({"type": ["integer", "null"]}, ["null", "1", "None"]),
        ({"enum": [True, 1]}, ["true", "1", "True"]),
        ({"anyOf": [{"const": False}, {"type": "integer"}]}, ["false", "1", "False"]),
        ({"allOf": [{"type": "boolean"}, {"const": True}]}, ["true"]),
    ],
)
def test_python_literals_are_allowed_if_the_template_writes_them(
    schema: dict[str, Any], values: list[str], compile_grammar: Compile
) -> None:
    kinds = ["string", "integer", "number", "boolean", "null", "array", "object"]
    marks = ArgumentDelimiters(
        key_begin="<parameter=",
        value_begin=dict.fromkeys(kinds, ">"),
        value_end="</parameter>",
        has_python_words=True,
    )
    format = TaggedCalls(
        trigger="<function=",
        before_name="<function=",
        before_arguments=">",
        arguments=marks,
        after_arguments="</function>",
    )
    tool = make_tool("set", properties={"on": schema}, required=["on"])
    grammar = compile_grammar(write(tool, format=format))

    tried = ["true", "false", "null", "1", "True", "False", "None"]
    allowed = [
        value
        for value in tried
        if grammar.accepts(f"<function=set><parameter=on>{value}</parameter></function>")
    ]
    assert sorted(allowed) == sorted(values)


@pytest.mark.parametrize(
    ("written", "is_accepted"),
    [
        ("return 1", True),
        ('return "</parameter>"', True),
        ("</parameter></parameter>", True),
        ("a\n</parameter >\nb", True),
        ("a </function> b", True),
        ("a</parameter>\n<parameter=b", False),
        ("a</parameter></function>", False),
    ],
)
@pytest.mark.parametrize("as_enum", [False, True])
def test_a_closing_delimiter_is_allowed_in_a_string_if_it_is_parsed_as_text(
    written: str, is_accepted: bool, as_enum: bool, compile_grammar: Compile
) -> None:
    kinds = ["string", "integer", "number", "boolean", "null", "array", "object"]
    format = TaggedCalls(
        trigger="<function=",
        before_name="<function=",
        before_arguments=">\n",
        arguments=ArgumentDelimiters(
            key_begin="<parameter=",
            value_begin=dict.fromkeys(kinds, ">\n"),
            value_end="\n</parameter>\n",
        ),
        after_arguments="</function>",
    )
    schema: dict[str, Any] = {"enum": [written, "x"]} if as_enum else {"type": "string"}
    tool = make_tool("write", properties={"content": schema}, required=["content"])
    turn = f"<function=write>\n<parameter=content>\n{written}\n</parameter>\n</function>"

    grammar = compile_grammar(write(tool, format=format))

    assert grammar.accepts(turn) is is_accepted
    if is_accepted:
        assert arguments_of(parse([turn], format, tool)) == [{"content": written}]


@pytest.mark.parametrize("takes_many_calls", [False, True])
def test_a_turn_has_one_call_if_the_template_takes_one(
    takes_many_calls: bool, compile_grammar: Compile
) -> None:
    dialect = TemplateDialect(format=turn_format(HERMES), takes_many_calls=takes_many_calls)
    request = ChatRequest(
        messages=(Message.user("x"),), tools=TOOLS, tool_choice=ToolChoice("required")
    )
    written = dialect.start_turn("", request).grammar
    assert written is not None

    grammar = compile_grammar(written)

    assert grammar.accepts(CALL)
    assert grammar.accepts(f"{CALL}\n{WAITED}") is takes_many_calls
