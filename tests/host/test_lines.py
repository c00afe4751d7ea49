"""What a server prints is decoded a whole line at a time, however it arrives."""

from __future__ import annotations

import codecs
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronk_agent.host.transport.lines import UTF_8_LINES, register


def decoded(chunks: list[bytes], errors: str = "strict") -> list[str]:
    register()
    decoder = codecs.getincrementaldecoder(UTF_8_LINES)(errors)
    return [*(decoder.decode(chunk) for chunk in chunks), decoder.decode(b"", final=True)]


def test_nothing_is_given_before_a_line_is_complete() -> None:
    assert decoded([b"one", b" tw", b"o\nthr", b"ee\n\nfo", b"ur"]) == [
        *("", "", "one two\n", "three\n\n"),
        *("", "four"),
    ]


@given(st.text(), st.lists(st.integers(0, 200)))
def test_every_way_to_cut_a_text_gives_the_text(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8")
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[begin:end] for begin, end in pairwise(edges)]

    assert "".join(decoded(chunks)) == text


def test_bytes_of_another_encoding_are_replaced_where_that_is_wanted() -> None:
    with pytest.raises(UnicodeDecodeError):
        decoded([b"caf\xe9\n"])
    assert decoded([b"caf\xe9\n"], "replace") == ["caf\ufffd\n", ""]
