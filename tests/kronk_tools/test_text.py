from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronk_tools.text import clean, one_line, part_end

PERSIAN = "می\u200cخواهم"
FAMILY = "👩\u200d👧"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("  plain\ttext  ", "plain\ttext"),
        ("a\r\nb\rc\u2028d\u2029e\x85f\x0cg", "a\nb\nc\nd\ne\nf\ng"),
        ("a\n\n\n \t\n\nb", "a\n\nb"),
        ("in\u200bvis\u2060ib\ufeffle\u00ad", "invisible"),
        ("\u202eevil\u202c \u2066x\u2069 \u200e\u200f\u061c", "evil x"),
        ("hidden\U000e0069\U000e0067\U000e006e", "hidden"),
        ("\x1b[31mred\x00\x07\x9b", "[31mred"),
        ("variation\ufe0f\U000e0100", "variation"),
        ("filler\u3164\uffa0\u115f", "filler"),
        (PERSIAN, PERSIAN),
        (FAMILY, FAMILY),
        ("a\u200db \u200c\u200d\u200cm\u200d\u200dn", "ab mn"),
        ("é\u200d\u200c\u200dé", "éé"),
    ],
)
def test_only_what_a_person_sees_is_kept(text: str, seen: str) -> None:
    assert clean(text) == seen


@given(text=st.text())
def test_no_control_or_format_character_is_left_but_joiners(text: str) -> None:
    left = {char for char in clean(text) if unicodedata.category(char) in ("Cc", "Cf")}

    # The few others are visible: signs that stand before Arabic, Syriac and Kaithi numbers …
    visible = {char for char in left if unicodedata.bidirectional(char) in ("AN", "AL", "L", "ON")}
    assert left - visible <= {"\t", "\n", "\u200c", "\u200d"}


def test_one_line_is_one_line_and_not_longer_than_asked() -> None:
    assert one_line(" a\n\n b\u200b\tc ", max_chars=5) == "a b c"
    assert one_line("one two three", max_chars=8) == "one two…"


@pytest.mark.parametrize(
    ("text", "first_part"),
    [
        ("short", "short"),
        ("0123456789", "0123456789"),
        ("abcde\n\nf\nx y", "abcde\n\n"),
        ("abcdef\nx y z", "abcdef\n"),
        ("abcdef x.yz", "abcdef "),
        ("abcdefghijklmno", "abcdefghij"),
        ("a\n\nbcdefghijklm", "a\n\nbcdefgh"),
    ],
)
def test_a_part_ends_where_a_reader_would_stop(text: str, first_part: str) -> None:
    assert text[: part_end(text, 0, max_chars=10)] == first_part


@given(text=st.text(alphabet="ab \n", max_size=200), max_chars=st.integers(2, 50))
def test_the_parts_of_a_text_are_the_text(text: str, max_chars: int) -> None:
    parts = []
    start = 0
    while start < len(text):
        end = part_end(text, start, max_chars=max_chars)
        parts.append(text[start:end])
        start = end

    assert "".join(parts) == text
    assert all(0 < len(part) <= max_chars for part in parts)
