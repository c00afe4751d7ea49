"""Arguments of a call as they are typed."""

from __future__ import annotations

import json

import pytest

from kronk_agent.cli.commands.call_arguments import arguments_as_json
from kronk_agent.messages import JsonObject, JsonValue

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "n": {"type": "integer"},
        "flag": {"type": "boolean"},
        "list": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "any": {},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    },
    "required": ["n"],
    "$defs": {"item": {"type": "integer"}},
}


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["text=a=b"], {"text": "a=b"}),
        (["text=3"], {"text": "3"}),
        (["text="], {"text": ""}),
        (["n=3", "flag=true"], {"n": 3, "flag": True}),
        (["n=three"], {"n": "three"}),
        (["list=[1, 2]"], {"list": [1, 2]}),
        (["any=[1"], {"any": "[1"}),
        (["any=null"], {"any": None}),
        (["either=3"], {"either": 3}),
        (["unknown=1"], {"unknown": 1}),
    ],
)
def test_a_value_is_what_the_schema_takes(words: list[str], arguments: JsonValue) -> None:
    assert json.loads(arguments_as_json(words, SCHEMA)) == arguments


@pytest.mark.parametrize("text", ['{"n": 3}', "{", "nonsense", '{"text": "a=b"}', ""])
def test_one_word_that_is_no_pair_is_left_for_the_tool_to_read(text: str) -> None:
    assert arguments_as_json([text], SCHEMA) == text


def test_no_words_are_no_arguments() -> None:
    assert arguments_as_json([], SCHEMA) == "{}"
