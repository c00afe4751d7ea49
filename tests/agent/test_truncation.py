"""Results that are larger than what the context has room for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronk_agent.agent import Agent
from kronk_agent.agent.tool_calls.truncation import (
    result_token_budget,
    split_budget,
    truncate_results,
    truncate_text,
)
from kronk_agent.messages import ImagePart, Message, TextPart, ToolResult
from kronk_agent.testing import ScriptedModel, call
from kronk_agent.tools import StaticToolset, ToolOutput, tool

count_tokens = ScriptedModel([]).count_tokens

STORY = "".join(f"line {number} of the story\n" for number in range(1000))
MARKER = re.compile(r"\n\[Cut here: these are the first (\d+) of (\d+) characters\. .*\]$")
IMAGE = ImagePart(b"\x89PNG", "image/png")


def result_of(*texts: str, call_id: str = "call_1") -> ToolResult:
    return ToolResult(call_id, "read", tuple(TextPart(text) for text in texts))


@pytest.mark.parametrize(
    ("used", "max_tokens", "room"),
    [
        (0, 1000, 3500),  # half of 8000 - 1000
        (3000, 1000, 2000),
        (0, None, 3000),  # without a limit, a quarter is kept for the answer
        (0, 100_000, 3000),  # and never more
        (7500, 1000, 0),
        (9000, 1000, 0),
    ],
)
def test_the_room_is_half_of_what_is_left_beside_the_answer(
    used: int, max_tokens: int | None, room: int
) -> None:
    assert result_token_budget(context_length=8000, used=used, max_tokens=max_tokens) == room


@pytest.mark.parametrize(
    ("sizes", "room", "shares"),
    [
        ([], 10, []),
        ([3, 4], 10, [3, 4]),
        ([100], 10, [10]),
        ([100, 100], 10, [5, 5]),
        ([100, 2, 100], 10, [4, 2, 4]),
        ([5, 100], 0, [0, 0]),
    ],
)
def test_small_results_get_what_they_need_and_large_ones_share_the_rest(
    sizes: list[int], room: int, shares: list[int]
) -> None:
    assert split_budget(sizes, room) == shares


@given(st.lists(st.integers(0, 1000)), st.integers(0, 2000))
def test_shares_are_never_more_than_the_room_nor_than_the_need(sizes: list[int], room: int) -> None:
    shares = split_budget(sizes, room)

    assert sum(shares) <= room
    assert all(share <= size for share, size in zip(shares, sizes, strict=True))
    if sum(sizes) <= room:
        assert shares == sizes


@given(st.text(max_size=300), st.integers(0, 200))
def test_a_cut_text_is_a_beginning_that_fits_and_says_how_much_it_is(text: str, limit: int) -> None:
    cut = truncate_text(text, limit, count_tokens)

    match = MARKER.search(cut)
    assert match is not None
    kept = cut[: match.start()]
    assert text.startswith(kept)
    assert (int(match[1]), int(match[2])) == (len(kept), len(text))
    assert count_tokens(cut) <= limit or kept == ""


def test_a_text_is_cut_at_the_end_of_a_line_and_little_is_wasted() -> None:
    cut = truncate_text(STORY, 500, count_tokens)

    kept = cut[: cut.index("\n[Cut here")]
    assert STORY.startswith(kept + "\n")
    assert 450 <= count_tokens(cut) <= 500


def test_a_text_of_one_long_word_is_cut_all_the_same() -> None:
    cut = truncate_text("x" * 100_000, 500, count_tokens)

    assert 450 <= count_tokens(cut) <= 500


def test_a_huge_text_is_not_counted_as_a_whole() -> None:
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return count_tokens(text)

    (cut,) = truncate_results([result_of("long ago " * 1_000_000)], 100, count)

    assert count_tokens(cut.text) <= 100
    assert sum(counted) < 10_000


def test_results_that_fit_stay_as_they_are() -> None:
    results = [result_of("one", "two"), result_of("three")]

    assert truncate_results(results, 100, count_tokens) == results


def test_only_the_large_result_is_cut_and_keeps_its_images() -> None:
    small = result_of("small", call_id="call_2")
    large = ToolResult("call_1", "read", (TextPart(STORY), IMAGE, TextPart("end")), is_error=True)

    cut, kept = truncate_results([large, small], 300, count_tokens)

    assert kept == small
    assert (cut.call_id, cut.is_error, cut.content[1:]) == ("call_1", True, (IMAGE,))
    assert MARKER.search(cut.text)
    assert 250 <= count_tokens(cut.text) + count_tokens("small") <= 300


@tool
async def read(chapter: int) -> ToolOutput:
    """Read a chapter, which is far too long."""
    return ToolOutput((TextPart(f"Chapter {chapter}\n{STORY}"),))


async def test_a_run_goes_on_after_results_larger_than_its_context() -> None:
    model = ScriptedModel(
        [[call("read", chapter=1), call("read", chapter=2)], call("read", chapter=3), "The end."],
        context_length=2000,
    )

    answer = await Agent(model, [StaticToolset("book", (read,))]).answer([Message.user("Read.")])

    assert (answer.reason, answer.text) == ("stop", "The end.")
    sizes = [count_tokens(m.text) for m in answer.messages if m.role == "tool"]
    first, second, third = sizes
    assert abs(first - second) < 20  # the same room for both calls of one step
    assert third > 200  # and some left for the next


async def test_the_marker_is_all_there_is_when_no_room_is_left() -> None:
    question = Message.user("word " * 1500)
    model = ScriptedModel([call("read", chapter=1), "Cannot."], context_length=2000)

    answer = await Agent(model, [StaticToolset("book", (read,))]).answer([question])

    (text,) = (message.text for message in answer.messages if message.role == "tool")
    assert text.startswith("\n[Cut here: these are the first 0 of ")
    assert answer.reason == "stop"
