from __future__ import annotations

import pytest

from kronk_agent.tools.arguments import ArgumentsCheck
from kronk_agent.tools.schema.formats import EXAMPLES

RIGHT = {
    "email": ["a@b.example", "a.b+c@localhost", "jürgen@example.org"],
    "uri": ["https://example.com/a?b#c", "mailto:a@b", "urn:isbn:1", "file:///tmp/x"],
    "date": ["2024-02-29"],
    "date-time": ["2024-02-29T23:59:59Z", "2024-02-29t23:59:59.5+02:00"],
}
WRONG = {
    "email": ["", "nonsense", "@b", "a@", "a b@c", "a@b@c", "a@b..c"],
    "uri": ["", "nonsense", "//example.com", "http://", "https://a b", "http://[::1"],
    "date": ["", "2023-02-29", "20240229", "29.2.2024", "2024-2-9", "2024-02-29T00:00:00Z"],
    "date-time": ["", "2024-02-29", "2024-02-29T23:59:59", "2024-02-29T25:00:00Z"],
}


def problem(format_: str, value: object) -> str | None:
    return ArgumentsCheck({"format": format_}, check_formats=True).problem(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(("format_", "value"), [(f, v) for f in RIGHT for v in (*RIGHT[f], 5)])
def test_a_right_value_and_what_is_no_text_pass(format_: str, value: object) -> None:
    assert problem(format_, value) is None


@pytest.mark.parametrize(("format_", "value"), [(f, v) for f in WRONG for v in WRONG[f]])
def test_a_wrong_value_is_refused(format_: str, value: str) -> None:
    assert f"is not a '{format_}'" in str(problem(format_, value))


@pytest.mark.parametrize("format_", EXAMPLES)
def test_each_example_is_right(format_: str) -> None:
    assert problem(format_, EXAMPLES[format_]) is None


def test_formats_of_tools_are_left_to_the_tools() -> None:
    assert ArgumentsCheck({"format": "email"}).problem("nonsense") is None
