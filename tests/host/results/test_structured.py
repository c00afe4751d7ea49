"""Structured content is shown to the model once: not at all is as wrong as twice."""

from __future__ import annotations

import pytest

from kronk_agent.host.results.structured import is_shown, violation
from kronk_agent.messages import JsonObject, JsonValue

ROWS: JsonValue = [{"id": 1, "city": "Graz", "price": 4.5}, {"id": 2, "city": "Wien", "price": 6}]


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ({"a": 1}, ['{\n  "a": 1\n}']),
        ({"result": 5}, ["5"]),
        ({"result": "words"}, ["words"]),
        ({"result": ["a", "b"]}, ['"a"', '"b"']),
        ({"a": [1]}, ['Here it is: {"a": [1]} and so on']),
        (
            {"rows": ROWS, "unit": "EUR per night"},
            ["| id | city | price |\n| 1 | Graz | 4.5 |\n| 2 | Wien | 6 |\n(EUR per night)"],
        ),
        ({}, ["nothing"]),
    ],
)
def test_what_the_text_says_is_not_said_again(value: JsonValue, texts: list[str]) -> None:
    assert is_shown(value, texts)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ({"rows": ROWS}, ["Found 2 rows."]),
        ({"rows": ROWS}, ["Query took 12 ms.", "2 rows."]),
        ({"a": 1}, ["It took 1 s"]),
        ({"rows": ROWS}, ['{"id": 1}']),
        ({"a": 1}, []),
        ([1, 2], ["two numbers"]),
    ],
)
def test_what_the_text_leaves_out_is_said(value: JsonValue, texts: list[str]) -> None:
    assert not is_shown(value, texts)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {"a": {"type": "string"}}}, "$.a (type)"),
        ({"properties": {"a": {"type": "integer"}}}, None),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, None),
        ({"properties": {"a": {"type": ["string", 3]}}}, None),
    ],
)
def test_a_broken_promise_is_named_without_the_value(schema: JsonObject, said: str | None) -> None:
    assert violation({"a": 17}, schema) == said
