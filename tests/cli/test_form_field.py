"""What a person is asked of a field, and what is made of the answer."""

from __future__ import annotations

import re

import pytest

from kronk_agent.cli.interactive.form_field import FormField, FormValue, fields_of
from kronk_agent.host import FormElicitation
from kronk_agent.messages import JsonObject

TITLED: JsonObject = {
    "type": "string",
    "oneOf": [{"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}],
}
NAMED: JsonObject = {"type": "string", "enum": ["r", "g"], "enumNames": ["Red", "Green"]}
SOME: JsonObject = {
    "type": "array",
    "items": {"anyOf": [{"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}]},
    "minItems": 1,
    "default": ["r", "g"],
}


def text(format_: str) -> JsonObject:
    return {"type": "string", "format": format_}


@pytest.mark.parametrize(
    ("schema", "label"),
    [
        ({}, "x"),
        ({"type": "string", "title": "X", "default": "a b"}, "x (X) [a b]"),
        ({"type": "string", "title": "X", "description": "What it is"}, "x (What it is)"),
        ({"type": "integer", "default": 2}, "x [2]"),
        ({"type": "boolean"}, "x [y/n]"),
        ({"type": "boolean", "default": True}, "x [Y/n]"),
        ({"type": "boolean", "default": False}, "x [y/N]"),
        (TITLED, "x, one of r (Red), g (Green)"),
        (NAMED, "x, one of r (Red), g (Green)"),
        ({"enum": ["r", "g"], "default": "g"}, "x, one of r, g [g]"),
        (SOME, "x, any of r (Red), g (Green), separated by commas [r, g]"),
    ],
)
def test_the_label_says_what_can_be_typed(schema: JsonObject, label: str) -> None:
    assert FormField("x", schema).label == label


@pytest.mark.parametrize(
    ("schema", "typed", "value"),
    [
        ({"type": "string"}, "a, b", "a, b"),
        ({"type": "integer"}, "-3", -3),
        ({"type": "number"}, "3", 3),
        ({"type": "number"}, "2.5", 2.5),
        ({"type": "boolean"}, "Y", True),
        ({"type": "boolean"}, "no", False),
        (TITLED, "r", "r"),
        (TITLED, "green", "g"),
        (NAMED, "Red", "r"),
        (SOME, "Green, r", ["g", "r"]),
        (text("email"), "a@b.example", "a@b.example"),
        (text("uri"), "https://b.example/", "https://b.example/"),
        (text("date"), "2026-01-31", "2026-01-31"),
        (text("date-time"), "2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
    ],
)
def test_an_answer_becomes_a_value(schema: JsonObject, typed: str, value: FormValue) -> None:
    assert FormField("x", schema).parse(typed) == value
    assert type(FormField("x", schema).parse(typed)) is type(value)


@pytest.mark.parametrize(
    ("schema", "typed", "problem"),
    [
        ({"type": "string", "minLength": 3}, "ab", "'ab' is too short"),
        ({"type": "integer"}, "2.5", "must be a whole number"),
        ({"type": "integer", "minimum": 1}, "0", "0 is less than the minimum of 1"),
        ({"type": "number"}, "nan", "must be a number"),
        ({"type": "boolean"}, "maybe", "must be y or n"),
        (TITLED, "blue", "must be one of r (Red), g (Green)"),
        (SOME, "blue", "must be any of r (Red), g (Green), separated by commas"),
        (SOME, ",", "[] should be non-empty"),
        (text("email"), "nonsense", "must be an e-mail address, such as name@example.com"),
        (text("uri"), "nonsense", "must be a URI, such as https://example.com/page"),
        (text("date"), "tomorrow", "must be a date, such as 2026-01-31"),
        (text("date-time"), "now", "must be a date and time, such as 2026-01-31T12:00:00Z"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_in_words(
    schema: JsonObject, typed: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        FormField("x", schema).parse(typed)


@pytest.mark.parametrize(
    ("value", "typed"), [(True, "yes"), (2, "2"), ("a b", "a b"), (["r", "g"], "r, g")]
)
def test_a_value_is_shown_as_it_is_typed(value: FormValue, typed: str) -> None:
    assert FormField("x", {}).format_value(value) == typed


def test_a_form_knows_which_fields_are_required() -> None:
    a: JsonObject = {"type": "string"}
    form = FormElicitation("s", "", {"properties": {"a": a, "b": True}, "required": ["b"]})

    assert fields_of(form) == [FormField("a", a), FormField("b", {}, is_required=True)]


@pytest.mark.parametrize("schema", [{}, {"properties": 3}, {"properties": {}, "required": 5}])
def test_a_form_without_fields_has_none(schema: JsonObject) -> None:
    assert fields_of(FormElicitation("s", "", schema)) == []
