from __future__ import annotations

import pytest
from chat.support import make_tool
from hypothesis import given
from hypothesis import strategies as st

from kronk_agent.chat.shown_tools import cut_at_sentence, shown_tools
from kronk_agent.tools import Tool

TEXT = (
    'Searches the web, e.g. for news. Do not use it for "local files." It is slow! Why? '
    "It asks four engines."
)


def count(text: str) -> int:
    """A word is a token."""
    return len(text.split())


@pytest.mark.parametrize(
    ("max_tokens", "expected"),
    [
        (100, TEXT),
        (21, TEXT),
        (20, 'Searches the web, e.g. for news. Do not use it for "local files." It is slow! Why?'),
        (15, 'Searches the web, e.g. for news. Do not use it for "local files."'),
        (6, "Searches the web, e.g. for news."),
        (5, "Searches the web, e.g. …"),
        (2, "Searches …"),
    ],
)
def test_a_description_is_cut_at_the_end_of_a_sentence(max_tokens: int, expected: str) -> None:
    assert cut_at_sentence(TEXT, max_tokens=max_tokens, count=count) == expected


def test_a_line_and_a_full_stop_of_other_scripts_end_a_sentence() -> None:
    assert cut_at_sentence("Title line\n- a list\n- and more", max_tokens=5, count=count) == (
        "Title line\n- a list"
    )
    assert cut_at_sentence("检索网页。需要网络。", max_tokens=5, count=len) == "检索网页。"
    assert cut_at_sentence("检索网页需要网络", max_tokens=5, count=len) == "检索网页…"


@given(text=st.text(max_size=200), max_tokens=st.integers(1, 40))
def test_no_cut_description_exceeds_its_token_limit(text: str, max_tokens: int) -> None:
    def characters(shown: str) -> int:
        return len(shown.encode(errors="replace"))

    cut = cut_at_sentence(text, max_tokens=max_tokens, count=characters)

    assert characters(cut) <= max_tokens
    assert text.startswith(cut.removesuffix("…").rstrip())
    if characters(text) <= max_tokens:
        assert cut == text


def test_tools_are_shown_shortened_and_enforced_fully() -> None:
    tool = make_tool(
        "search",
        "Finds pages. Needs a network.",
        title="search",
        properties={"query": {"type": "string", "title": "Query", "description": "One. Two."}},
    )

    [shown] = shown_tools([tool], 2, count)

    assert (shown.name, shown.description) == ("search", "Finds pages.")
    assert shown.parameters == {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "One. Two."}},
    }
    assert "title" in tool.parameters
    assert shown_tools([tool], None, count)[0].description == tool.description


def test_client_tools_are_shown_unchanged() -> None:
    theirs = Tool(name="x", description="A. B.", parameters={"type": "object", "title": "X"})

    assert shown_tools([theirs], 1, count) == [theirs]
