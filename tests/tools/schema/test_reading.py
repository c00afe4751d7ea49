"""Schemas of every draft and of other writers are read, and what is wrong in them is left out."""

from __future__ import annotations

import pytest

from kronk_agent.errors import ConfigError, InvalidRequestError
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.settings import ResponseFormat
from kronk_agent.tools import Tool
from kronk_agent.tools.schema.reading import read_schema

TEXT: JsonObject = {"type": "string"}
DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def member(schema: JsonValue, **more: JsonValue) -> JsonObject:
    return {"type": "object", "properties": {"a": schema}, **more}


LEGAL: list[JsonObject] = [
    member(TEXT, required=["a"], additionalProperties=False),
    {**member({"$ref": "#/$defs/A"}), "$defs": {"A": TEXT}},
    member({"enum": [{"$ref": "nowhere"}, None]}),
    member({"const": {"type": "nonsense"}, "default": {"minimum": "x"}}),
    {"type": "object", "properties": {"$ref": TEXT, "pattern": TEXT, "items": TEXT}},
    member({"type": ["string", "null"], "x-order": 1, "$comment": "kept", "examples": ["b"]}),
    member(True),
    {"anyOf": [{"type": "array"}, {"not": {"type": "string"}}]},
]


@pytest.mark.parametrize("schema", LEGAL)
def test_what_is_legal_stays_as_it_is(schema: JsonObject) -> None:
    read = read_schema(schema)

    assert (read.schema, read.problems) == (schema, ())
    assert list(read.schema) == list(schema)


OTHER_FORMS: list[tuple[JsonObject, JsonObject]] = [
    ({"type": "int"}, {"type": "integer"}),
    ({"type": "STRING"}, TEXT),
    ({"type": ["str", "None"]}, {"type": ["string", "null"]}),
    ({"type": "any"}, {}),
    ({"type": ["string", {"minimum": 1}]}, {"allOf": [{"anyOf": [TEXT, {"minimum": 1}]}]}),
    ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
    (
        {"type": "string", "nullable": True, "enum": ["a"]},
        {"type": ["string", "null"], "enum": ["a", None]},
    ),
    ({"minimum": 0, "exclusiveMinimum": True}, {"exclusiveMinimum": 0}),
    ({"maximum": 0, "exclusiveMaximum": False}, {"maximum": 0}),
    ({"divisibleBy": 2}, {"multipleOf": 2}),
    ({"minimum": "1", "maximum": "2.5"}, {"minimum": 1, "maximum": 2.5}),
    ({"minLength": 2.0, "maxLength": None}, {"minLength": 2}),
    ({"items": [TEXT], "additionalItems": False}, {"prefixItems": [TEXT], "items": False}),
    ({"items": TEXT, "additionalItems": False}, {"items": TEXT}),
    ({"additionalProperties": "false"}, {"additionalProperties": False}),
    (
        {"dependencies": {"a": ["b"], "c": "d", "e": TEXT}},
        {"dependentRequired": {"a": ["b"], "c": ["d"]}, "dependentSchemas": {"e": TEXT}},
    ),
    (
        {"extends": TEXT, "disallow": "null"},
        {"allOf": [{"not": {"anyOf": [{"type": "null"}]}}, TEXT]},
    ),
    ({"properties": {"b": None}}, {"properties": {"b": {}}}),
    ({"properties": {"b": {"required": True}}}, {"properties": {"b": {}}, "required": ["b"]}),
    ({"required": ["a", "a"]}, {"required": ["a"]}),
]


@pytest.mark.parametrize(("schema", "expected"), OTHER_FORMS)
def test_other_forms_are_read_as_the_newest_draft_has_them(
    schema: JsonObject, expected: JsonObject
) -> None:
    read = read_schema(member(schema))

    assert (read.schema, read.problems) == (member(expected), ())


REFERENCES: list[tuple[JsonObject, JsonObject]] = [
    (
        {**member({"$ref": "#/definitions/z"}), "definitions": {"z": TEXT, "unused": TEXT}},
        {**member({"$ref": "#/$defs/z"}), "$defs": {"z": TEXT}},
    ),
    (
        {"$id": "https://x.org/s", **member({"$ref": "s#/$defs/z"}), "$defs": {"z": TEXT}},
        {**member({"$ref": "#/$defs/z"}), "$defs": {"z": TEXT}},
    ),
    (
        {**member({"$ref": "z.json"}), "$defs": {"z": {"$id": "z.json", **TEXT}}},
        {**member({"$ref": "#/$defs/z.json"}), "$defs": {"z.json": TEXT}},
    ),
    (
        {"$schema": DRAFT_7, **member({"$ref": "#z"}), "definitions": {"y": {"$id": "#z", **TEXT}}},
        {**member({"$ref": "#/$defs/z"}), "$defs": {"z": TEXT}},
    ),
    (
        {**member({"$ref": "#z"}), "$defs": {"y": {"$anchor": "z", **TEXT}}},
        {**member({"$ref": "#/$defs/z"}), "$defs": {"z": TEXT}},
    ),
    (
        {
            "$schema": DRAFT_4,
            "id": "https://x.org/s",
            **member({"$ref": "t"}),
            "definitions": {"z": {"id": "t", **TEXT}},
        },
        {**member({"$ref": "#/$defs/t"}), "$defs": {"t": TEXT}},
    ),
    (
        {
            "$schema": DRAFT_7,
            **member({"$ref": "#/definitions/z", "minLength": 3}),
            "definitions": {"z": TEXT},
        },
        {**member({"$ref": "#/$defs/z"}), "$defs": {"z": TEXT}},
    ),
    (
        {"properties": {"a": TEXT, "b": {"$ref": "#/properties/a"}}},
        {"properties": {"a": TEXT, "b": {"$ref": "#/$defs/a"}}, "$defs": {"a": TEXT}},
    ),
    (
        {"properties": {"a": {"items": [TEXT]}, "b": {"$ref": "#/properties/a/items/0"}}},
        {
            "properties": {"a": {"prefixItems": [TEXT]}, "b": {"$ref": "#/$defs/0"}},
            "$defs": {"0": TEXT},
        },
    ),
    (
        {
            **member({"$ref": "#/$defs/a~1b"}),
            "$defs": {"a/b": {"items": {"$ref": "#/$defs/c%20d"}}, "c d": TEXT},
        },
        {
            **member({"$ref": "#/$defs/a_1b"}),
            "$defs": {"a_1b": {"items": {"$ref": "#/$defs/c_20d"}}, "c_20d": TEXT},
        },
    ),
    (
        member({"items": {"$ref": "#"}}),
        {
            **member({"items": {"$ref": "#/$defs/root"}}),
            "$defs": {"root": member({"items": {"$ref": "#/$defs/root"}})},
        },
    ),
    (
        {**member({"$dynamicRef": "#n"}), "$defs": {"z": {"$dynamicAnchor": "n", **TEXT}}},
        {**member({"$ref": "#/$defs/n"}), "$defs": {"n": TEXT}},
    ),
]


@pytest.mark.parametrize(("schema", "expected"), REFERENCES)
def test_every_reference_leads_to_the_definitions(schema: JsonObject, expected: JsonObject) -> None:
    read = read_schema(schema)

    assert (read.schema, read.problems) == (expected, ())


WRONG: list[tuple[JsonObject, JsonObject, list[str]]] = [
    ({"type": "text/html", "minLength": 1}, {"minLength": 1}, ["type: 'text/html' is not a type"]),
    (
        {"enum": [], "maxLength": 3},
        {"maxLength": 3},
        ["enum: it must be a list of values that is not empty"],
    ),
    ({"minLength": -1}, {}, ["minLength: it must be a whole number, 0 or more"]),
    ({"multipleOf": 0}, {}, ["multipleOf: it must be a number greater than 0"]),
    ({"minimum": "low"}, {}, ["minimum: it must be a number"]),
    (
        {"pattern": "["},
        {},
        ["pattern: the pattern '[' is invalid: unterminated character set at position 1"],
    ),
    (
        {"properties": {"b": "string"}},
        {"properties": {"b": {}}},
        ["properties.b.schema: it must be an object"],
    ),
    (
        {"$ref": "#/$defs/none", "type": "string"},
        TEXT,
        ["$ref: '#/$defs/none' cannot be resolved in this schema"],
    ),
    (
        {"$ref": "http://127.0.0.1:9/s"},
        {},
        ["$ref: 'http://127.0.0.1:9/s' cannot be resolved in this schema"],
    ),
    ({"$ref": "#/properties/a"}, {}, ["$ref: '#/properties/a' cannot be resolved in this schema"]),
    (
        {"patternProperties": {"(": TEXT, "b": TEXT}, "additionalProperties": False},
        {"patternProperties": {"b": TEXT}},
        ["patternProperties.(.pattern: the pattern '(' is invalid: missing ) at position 1"],
    ),
    ({"not": {"type": "no"}, "minLength": 1}, {"minLength": 1}, ["not.type: 'no' is not a type"]),
    (
        {"if": {"$ref": "#/none"}, "then": {"minLength": 1}},
        {},
        ["if.$ref: '#/none' cannot be resolved in this schema"],
    ),
    (
        {"oneOf": [{"type": "no"}, TEXT]},
        {"allOf": [{"anyOf": [{}, TEXT]}]},
        ["oneOf.0.type: 'no' is not a type"],
    ),
]


@pytest.mark.parametrize(("schema", "expected", "problems"), WRONG)
def test_a_keyword_that_says_nothing_legal_goes_alone(
    schema: JsonObject, expected: JsonObject, problems: list[str]
) -> None:
    """And nothing that was allowed before is refused without it."""
    read = read_schema(member(schema))

    assert read.schema == member(expected)
    assert [str(problem) for problem in read.problems] == [f"properties.a.{p}" for p in problems]


def test_a_schema_of_ones_own_that_is_wrong_is_refused_by_name() -> None:
    wrong = member({"type": "no"})

    with pytest.raises(ConfigError) as refused:
        Tool(name="t", description="", parameters=wrong)
    assert str(refused.value) == (
        "tool t: invalid JSON Schema: properties.a.type: 'no' is not a type"
    )
    with pytest.raises(InvalidRequestError) as refused_form:
        ResponseFormat(type="json_schema", schema=wrong)
    assert str(refused_form.value) == (
        "response_format: invalid JSON Schema: properties.a.type: 'no' is not a type"
    )
    assert ResponseFormat(type="json_schema", schema=wrong, strict=False).schema == member({})


def test_a_schema_without_a_type_is_an_objects() -> None:
    made = Tool(name="t", description="", parameters={"properties": {"a": TEXT}})

    assert made.parameters == member(TEXT)


def test_what_is_nested_too_deeply_is_not_read() -> None:
    deep: JsonObject = {}
    for _ in range(100_000):
        deep = {"items": deep}

    read = read_schema(deep)

    assert read.schema == {}
    assert [str(problem) for problem in read.problems] == ["schema: it is nested too deeply"]
