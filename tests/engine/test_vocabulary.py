from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.tiny_gguf import TinyModels
from hypothesis import given
from hypothesis import strategies as st

from kronk_agent.engine.llama.model_file import ModelFile
from kronk_agent.engine.vocabulary import Vocabulary, split_inside


@pytest.fixture(scope="module")
def vocabulary(starter_model: Path) -> Iterator[Vocabulary]:
    model = ModelFile(starter_model)
    yield model.vocabulary
    model.close()


@pytest.fixture(scope="module")
def sentence_pieces(tiny: TinyModels) -> Iterator[Vocabulary]:
    model = ModelFile(tiny.llama)
    yield model.vocabulary
    model.close()


def test_special_tokens_are_known_by_their_text(vocabulary: Vocabulary) -> None:
    assert vocabulary.special_token("<|im_start|>") == 1
    assert vocabulary.special_token("im_start") is None
    assert (vocabulary.bos_text, vocabulary.eos_text) == ("<|im_start|>", "<|im_end|>")
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>"} <= vocabulary.special_texts


def test_special_text_becomes_a_special_token_only_with_parse_special(
    vocabulary: Vocabulary,
) -> None:
    assert vocabulary.tokenize("<|im_end|>", parse_special=True) == [2]
    assert 2 not in vocabulary.tokenize("<|im_end|>", parse_special=False)


# The starter model's vocabulary lacks control characters and some bytes of the rarer planes.
@given(
    text=st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=("Cc", "Cs")), max_size=200)
)
def test_text_survives_the_way_to_tokens_and_back(vocabulary: Vocabulary, text: str) -> None:
    assert vocabulary.detokenize(vocabulary.tokenize(text, parse_special=False)) == text


@given(text=st.text(st.characters(exclude_characters="▁", codec="utf-8")))
def test_no_blank_is_left_of_those_that_sentencepiece_adds(
    sentence_pieces: Vocabulary, text: str
) -> None:
    tokens = sentence_pieces.tokenize(text, parse_special=False)
    with_bos = sentence_pieces.tokenize(text, parse_special=False, add_special=True)

    assert sentence_pieces.detokenize(tokens) == text
    assert sentence_pieces.detokenize(with_bos) == "<s>" + text


def test_tokens_to_fill_in_the_middle_are_known(tiny: TinyModels) -> None:
    with_them, without = ModelFile(tiny.llama_with_fim), ModelFile(tiny.llama)

    fim = with_them.vocabulary.fim

    assert fim is not None
    names = [with_them.vocabulary.piece(t) for t in (fim.prefix, fim.suffix, fim.middle)]
    assert names == [b"<|fim_prefix|>", b"<|fim_suffix|>", b"<|fim_middle|>"]
    assert without.vocabulary.fim is None
    with_them.close()
    without.close()


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
