"""Calls in finished text, found whatever is around them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronk_agent.tools.written_calls import find_written_call

CALL = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'
NAMES = ("get_weather", "get", "list_notes")


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        '{"name": "get_weather", "parameters": {"city": "Oslo"}}',
        '{"arguments": "{\\"city\\": \\"Oslo\\"}", "name": "get_weather"}',
        f"[{CALL}]",
        f"```json\n{CALL}\n```",
        f"```\n{CALL}",
        f"I will look.\n\n```tool_call\n{CALL}\n```\nIt is 4 °C.",
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"[tool_call]{CALL}[/tool_call]",
        f"<tools>{CALL}</tools> and so on",
        f'{{"type": "function", "function": {CALL}}}',
        f'{{"tool_calls": [{CALL}]}}',
        '<function=get_weather>{"city": "Oslo"}</function>',
        '<function name="get_weather"><parameter=city>Oslo</parameter></function>',
        'get_weather({"city": "Oslo"})',
        'get_weather(city="Oslo (Norway")',
        "```python\nget_weather(city='Oslo')\n```",
        '[get_weather(city="Oslo")]',
        'get_weather(\n    city="Oslo",\n)',
    ],
)
def test_a_whole_call_is_found_in_every_form(text: str) -> None:
    assert find_written_call(text, NAMES) == "get_weather"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is 4 °C in Oslo.",
        "The tool get_weather takes a city.",
        "get_weather(city) gives the weather of a city.",
        "Use get_weather(city='Oslo') for that.",
        "get_weather(city='Oslo') gives the weather.",
        "get_weather()",
        CALL[:-2],
        '{"name": "get_weather", "arguments": 3}',
        '{"name": "get_weather", "age": 4}',
        '{"name": "other", "arguments": {}}',
        '{"name": "get_weather", "parameters": {"type": "object", "properties": {}}}',
        "<function=get_weather> begins such a call",
        'get_weather({"city": "Oslo"',
        "def get_weather(city='Oslo'):\n    ...",
    ],
)
def test_text_without_a_whole_call_has_none(text: str) -> None:
    assert find_written_call(text, NAMES) is None


def test_without_tools_nothing_is_a_call() -> None:
    assert find_written_call(CALL, ()) is None


def test_hostile_text_is_bounded() -> None:
    for text in ('{"name":' * 20_000, '{"arguments":[' * 20_000, "get(x=" * 20_000, "[" * 100_000):
        assert find_written_call(text + "get", NAMES) is None


@given(st.recursive(st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_other_json_is_no_call(value: object) -> None:
    assert find_written_call(json.dumps(value) + " get_weather", NAMES) is None


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text()))
def test_a_call_is_found_between_any_texts(before: str, after: str, city: dict[str, str]) -> None:
    call = json.dumps({"name": "list_notes", "arguments": city}, ensure_ascii=False)
    assert find_written_call(f"{before}\n{call}\n{after}", NAMES) == "list_notes"
