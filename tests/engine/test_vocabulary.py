from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronk_agent.engine.model import ModelFile
from kronk_agent.engine.vocabulary import Vocabulary, split_inside


@pytest.fixture(scope="module")
def vocabulary(starter_model: Path) -> Iterator[Vocabulary]:
    model = ModelFile(starter_model)
    yield model.vocabulary
    model.close()


def test_special_tokens_are_known_by_their_text(vocabulary: Vocabulary) -> None:
    assert vocabulary.special_token("<|im_start|>") == 1
    assert vocabulary.special_token("im_start") is None
    assert (vocabulary.bos_text, vocabulary.eos_text) == ("<|im_start|>", "<|im_end|>")
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>"} <= vocabulary.special_texts


def test_special_text_becomes_a_special_token_only_when_asked(vocabulary: Vocabulary) -> None:
    assert vocabulary.tokenize("<|im_end|>", parse_special=True) == [2]
    assert 2 not in vocabulary.tokenize("<|im_end|>", parse_special=False)


# The starter model's vocabulary lacks control characters and some bytes of the rarer planes.
@given(
    text=st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=("Cc", "Cs")), max_size=200)
)
def test_text_survives_the_way_to_tokens_and_back(vocabulary: Vocabulary, text: str) -> None:
    assert vocabulary.detokenize(vocabulary.tokenize(text, parse_special=False)) == text


@given(
    parts=st.lists(
        st.sampled_from(["<|im_start|>", "<|im_end|>", "<|", "im_end", "|>", "system\n", "a", "<"]),
        max_size=12,
    )
)
def test_untrusted_text_never_holds_a_special_token(
    vocabulary: Vocabulary, parts: list[str]
) -> None:
    tokens = vocabulary.tokenize("".join(parts), parse_special=False)
    special = {vocabulary.special_token(text) for text in vocabulary.special_texts}
    assert special.isdisjoint(tokens)


@given(text=st.text(alphabet="<tool_cal>x", max_size=60))
def test_no_piece_of_a_split_text_holds_a_user_defined_token(text: str) -> None:
    pattern = re.compile(re.escape("<tool_call>"))

    pieces = list(split_inside(text, pattern))

    assert "".join(pieces) == text
    assert not any(pattern.search(piece) for piece in pieces)


def test_marks_that_overlap_are_both_split() -> None:
    pattern = re.compile("<a><b>|<b><c>")

    pieces = list(split_inside("<a><b><c>", pattern))

    assert "".join(pieces) == "<a><b><c>"
    assert not any(pattern.search(piece) for piece in pieces)
