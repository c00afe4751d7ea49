from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.schema.prompt_schema import prompt_schema


def test_what_only_costs_tokens_goes() -> None:
    schema: JsonObject = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "generated",
        "title": "SearchArguments",
        "description": " ",
        "type": "object",
        "properties": {
            "max_results": {"type": "integer", "title": "Max Results", "default": 5},
            "query": {"type": "string", "title": "What to look for"},
            "site": {"title": "Where", "description": "A domain.", "anyOf": [{"title": "S"}]},
        },
        "required": [],
        "additionalProperties": False,
        "$defs": {"Page": {"title": "Page", "type": "object", "properties": {}}},
    }

    assert prompt_schema(schema) == {
        "type": "object",
        "properties": {
            "max_results": {"type": "integer", "default": 5},
            "query": {"type": "string", "title": "What to look for"},
            "site": {"description": "A domain.", "anyOf": [{}]},
        },
        "additionalProperties": False,
        "$defs": {"Page": {"type": "object", "properties": {}}},
    }


@pytest.mark.parametrize("keyword", ["const", "default", "enum", "examples"])
def test_data_and_names_stay_as_they_are(keyword: str) -> None:
    value: list[JsonValue] = [{"title": "x", "$schema": "y", "description": "", "required": []}]
    schema: JsonObject = {
        "properties": {"title": {keyword: value}, "$schema": {}, "description": {}},
        "required": ["title", "$schema"],
    }

    assert prompt_schema(schema) == schema


def test_descriptions_are_shortened_at_any_depth() -> None:
    schema: JsonObject = {
        "description": "one two",
        "properties": {"description": {"items": {"description": "three four"}}},
    }

    assert prompt_schema(schema, lambda text: text.split()[0]) == {
        "description": "one",
        "properties": {"description": {"items": {"description": "three"}}},
    }


_WORDS = st.sampled_from(["title", "description", "$comment", "required", "a"])
_SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "object", "array"])},
        optional={"title": st.text(max_size=3), "description": st.text(max_size=3)},
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(_WORDS, inner, max_size=3)},
        optional={
            "required": st.lists(_WORDS, max_size=2, unique=True),
            "additionalProperties": st.booleans(),
            "title": st.text(max_size=3),
        },
    ),
    max_leaves=6,
)
_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(schema=_SCHEMAS, value=_VALUES)
def test_the_same_values_are_accepted(schema: JsonObject, value: JsonValue) -> None:
    shown = prompt_schema(schema)

    before, after = Draft202012Validator(schema), Draft202012Validator(shown)
    assert before.is_valid(value) == after.is_valid(value)
