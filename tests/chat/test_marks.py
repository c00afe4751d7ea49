from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronk_agent.chat.marks import BlankTrimmer, JsonObjectEnd, MarkFinder

MARKS = ("abc", "ca", "aab", "b ")


def first_end(text: str) -> tuple[str, str | None]:
    """What is before and after the mark that is complete first, by trying every prefix."""
    for end in range(len(text) + 1):
        found = [mark for mark in MARKS if text[:end].endswith(mark)]
        if found:
            return text[: end - max(map(len, found))], text[end:]
    return text, None


@given(st.lists(st.text("abc ", max_size=5)))
def test_the_first_complete_mark_is_found_however_the_text_is_split(chunks: list[str]) -> None:
    finder = MarkFinder(*MARKS)
    before = ""
    for index, chunk in enumerate(chunks):
        clear, rest = finder.push(chunk)
        before += clear
        if rest is not None:
            assert (before, rest + "".join(chunks[index + 1 :])) == first_end("".join(chunks))
            return
    assert (before + finder.flush(), None) == first_end("".join(chunks))


def test_only_the_possible_start_of_a_mark_is_held_back() -> None:
    finder = MarkFinder("<tool_call>")

    assert finder.push("1 < 2 <b> <tool") == ("1 < 2 <b> ", None)
    assert finder.push("box> <") == ("<toolbox> ", None)
    assert finder.flush() == "<"


def test_without_marks_everything_is_let_through() -> None:
    assert MarkFinder().push("text") == ("text", None)


@given(st.lists(st.text("a \n")))
def test_blanks_come_only_before_more_text(chunks: list[str]) -> None:
    trimmer = BlankTrimmer()
    passed = ""
    for chunk in chunks:
        passed += trimmer.push(chunk)
        assert passed == passed.rstrip()
    assert passed + trimmer.flush() == "".join(chunks)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\{}[]'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('a"\\}'), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text('a"\\}'), JSON), st.text('{}"\\ '), st.data())
def test_the_end_of_an_object_is_found_however_it_is_split(
    value: dict[str, object], following: str, data: st.DataObject
) -> None:
    written = json.dumps(value)[1:]
    text = written + following
    split = data.draw(st.integers(0, len(text)))
    finder = JsonObjectEnd()

    end = finder.find(text[:split])
    if end is None:
        rest = finder.find(text[split:])
        end = None if rest is None else split + rest

    assert end == len(written)


@pytest.mark.parametrize("text", ['"a": 1', '"a": "}', '"a": "\\"}', '"a": {}', ""])
def test_an_unfinished_object_has_no_end(text: str) -> None:
    assert JsonObjectEnd().find(text) is None
