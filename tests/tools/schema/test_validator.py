"""Arguments under schemas of every draft, with JavaScript's patterns, whole or broken."""

from __future__ import annotations

import pytest

from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools import Tool, ToolContext, ToolOutput


async def never(arguments: JsonObject, context: ToolContext) -> ToolOutput:
    raise AssertionError("called")


def tool_with(x: JsonValue, **more: JsonValue) -> Tool:
    schema: JsonObject = {"type": "object", "properties": {"x": x, "y": {}}, **more}
    return Tool(name="t", description="", parameters=schema, call=never, strict=False)


def text(pattern: str) -> JsonObject:
    return {"type": "string", "pattern": pattern}


TUPLE: JsonObject = {
    "type": "array",
    "items": [{"type": "string"}, {"type": "integer"}],
    "additionalItems": False,
}
ABOVE_ZERO: JsonObject = {"type": "number", "minimum": 0, "exclusiveMinimum": True}
BELOW_ONE: JsonObject = {"type": "number", "maximum": 1, "exclusiveMaximum": True}
NAMED: JsonObject = {
    "type": "object",
    "patternProperties": {r"^\p{Lu}+$": {"type": "integer"}},
    "additionalProperties": False,
}
DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFTS: list[JsonObject] = [{}, {"$schema": DRAFT_7}]

RIGHT_AND_WRONG = [
    (text(r"^\p{L}+$"), '"Bö"', '"B0"'),
    (text(r"^(?<y>\d{4})-(?<m>\d\d)$"), '"2024-01"', '"2024-1"'),
    (text(r"^(?<quote>['\"]).*\k<quote>$"), "\"'a'\"", '"\'a"'),
    (text(r"^\u{1F600}$"), '"😀"', '"x"'),
    (text(r"^\uD83D\uDE00$"), '"😀"', '"x"'),
    (text(r"^a[^]b$"), '"a\\nb"', '"ab"'),
    (text(r"^\cI$"), '"\\t"', '"I"'),
    (text(r"^a$"), '"a"', '"a\\n"'),
    (text(r"^[$]$"), '"$"', '""'),
    (text(r"a\/b"), '"a/b"', '"ab"'),
    (TUPLE, '["a", 1]', '["a", "b"]'),
    (TUPLE, '["a", 1]', '["a", 1, 2]'),
    (NAMED, '{"AÄ": 1}', '{"AÄ": "1"}'),
    (NAMED, "{}", '{"a": 1}'),
    ({"properties": {"a": {}}, "dependencies": {"a": ["b"]}}, '{"a": 1, "b": 2}', '{"a": 1}'),
]


@pytest.mark.parametrize("draft", DRAFTS, ids=["no draft", "draft 7"])
@pytest.mark.parametrize(("schema", "right", "wrong"), RIGHT_AND_WRONG)
def test_patterns_and_older_forms_are_checked(
    schema: JsonObject, right: str, wrong: str, draft: JsonObject
) -> None:
    made = tool_with(schema, **draft)

    assert made.parse_arguments(f'{{"x": {right}}}')
    with pytest.raises(ToolError, match=r"^t\.x"):
        made.parse_arguments(f'{{"x": {wrong}}}')


@pytest.mark.parametrize("draft", [{}, {"$schema": DRAFT_4}], ids=["no draft", "draft 4"])
@pytest.mark.parametrize(("schema", "wrong"), [(ABOVE_ZERO, "0"), (BELOW_ONE, "1")])
def test_a_bound_may_be_exclusive_as_in_draft_4(
    schema: JsonObject, wrong: str, draft: JsonObject
) -> None:
    made = tool_with(schema, **draft)

    assert made.parse_arguments('{"x": 0.5}') == {"x": 0.5}
    with pytest.raises(ToolError, match=r"^t\.x: "):
        made.parse_arguments(f'{{"x": {wrong}}}')


@pytest.mark.parametrize(
    "reference", ["#/$defs/count", "https://example.com/t.json#/$defs/count", "t.json#/$defs/count"]
)
def test_a_reference_is_followed_within_a_schema_that_has_an_id(reference: str) -> None:
    more: JsonObject = {
        "$id": "https://example.com/t.json",
        "$defs": {"count": {"type": "integer"}},
    }
    made = tool_with({"$ref": reference}, **more)

    with pytest.raises(ToolError, match=r"^t\.x: 'a' is not of type 'integer'"):
        made.parse_arguments('{"x": "a"}')


UNCHECKABLE: list[JsonObject] = [
    {"$ref": "#/$defs/missing"},
    {"$ref": "http://127.0.0.1:9/schema.json"},
    {"type": "nonsense"},
    {"pattern": "("},
    {"minimum": "three"},
    {"required": True},
    {"enum": 7},
    {"allOf": {}},
    {"patternProperties": {"(": {}}, "additionalProperties": False},
    {"$ref": "#/properties/x"},
]


@pytest.mark.parametrize("x", ['"1"', "1", '{"a": 1}'])
@pytest.mark.parametrize("schema", UNCHECKABLE)
def test_a_keyword_that_cannot_be_checked_is_not_checked(schema: JsonObject, x: str) -> None:
    made = tool_with(schema)

    assert made.parse_arguments(f'{{"x": {x}}}')


def test_the_other_keywords_beside_it_are_checked() -> None:
    made = tool_with({"type": "string", "pattern": "(", "maxLength": 3})

    with pytest.raises(ToolError, match=r"^t\.x: 'long' is too long"):
        made.parse_arguments('{"x": "long"}')
    assert [str(problem) for problem in made.schema_problems] == [
        "properties.x.pattern: the pattern '(' is invalid: missing ) at position 1"
    ]


@pytest.mark.parametrize(
    ("value", "step"), [(19.99, 0.01), (0.3, 0.1), (7.35, 0.05), (1e300, 0.5), (3, 1.5)]
)
def test_decimals_are_counted_exactly(value: float, step: float) -> None:
    made = tool_with({"type": "number", "multipleOf": step})

    assert made.parse_arguments(f'{{"x": {value}}}') == {"x": value}
    with pytest.raises(ToolError, match=rf"^t\.x: .* is not a multiple of {step}"):
        made.parse_arguments('{"x": 0.007}')


def test_many_endless_references_end() -> None:
    """Each would be tried at every depth, if the search went on where the stack ended."""
    endless: JsonObject = {"allOf": [{"$ref": "#/properties/x"}, {"$ref": "#/properties/x"}]}

    assert tool_with(endless).parse_arguments('{"x": 1}') == {"x": 1}


def test_a_pattern_that_backtracks_for_ever_is_given_up() -> None:
    made = tool_with(text(r"^(?:(a|aa)(b?))+\1\2!$"))

    assert made.parse_arguments('{"x": "' + "a" * 90 + '"}')


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        (TUPLE, '["text", 1]'),
        ({"type": "array", "prefixItems": [{"const": 7}]}, "[7]"),
        ({"type": "string", "format": "date"}, '"2026-01-31"'),
    ],
)
def test_an_example_follows_tuples_and_formats(schema: JsonObject, example: str) -> None:
    made = tool_with(schema, required=["x"])

    with pytest.raises(ToolError) as caught:
        made.parse_arguments("{}")
    assert str(caught.value).endswith(f'for example: {{"x": {example}}}')
