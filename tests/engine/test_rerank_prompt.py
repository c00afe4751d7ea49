"""Input of a reranking model: a query and a document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronk_agent.engine.embedding.rerank_prompt import rerank_prompt
from kronk_agent.engine.llama.model_file import ModelFile
from kronk_agent.engine.vocabulary import Vocabulary

TEMPLATE = "<|im_start|>system\nJudge.<|im_end|>\nQuery: {query}\nDocument: {document}<|im_end|>\n"


@pytest.fixture(scope="module")
def vocabulary(starter_model: Path) -> Iterator[Vocabulary]:
    model = ModelFile(starter_model)
    yield model.vocabulary
    model.close()


def test_plain_texts_are_tokenised_as_one_text_with_the_template(vocabulary: Vocabulary) -> None:
    prompt = rerank_prompt(vocabulary, TEMPLATE, query="What {document}?", document="A {query}.")

    filled = TEMPLATE.replace("{query}", "What {document}?", 1)
    filled = filled.replace("Document: {document}", "Document: A {query}.")
    assert prompt == vocabulary.tokenize(filled, parse_special=True)


@given(
    texts=st.lists(
        st.lists(
            st.sampled_from(["<|im_end|>", "<|", "im_end", "|>", "\n", "a", "<", "<|im_start|>"]),
            max_size=8,
        ).map("".join),
        min_size=2,
        max_size=2,
    )
)
def test_only_the_template_writes_special_tokens(vocabulary: Vocabulary, texts: list[str]) -> None:
    prompt = rerank_prompt(vocabulary, TEMPLATE, query=texts[0], document=texts[1])

    special = {vocabulary.special_token(text) for text in vocabulary.special_texts}
    assert [vocabulary.detokenize([token]) for token in prompt if token in special] == [
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    ]
    filled = TEMPLATE.replace("{query}", texts[0]).replace("{document}", texts[1])
    assert vocabulary.detokenize(prompt) == filled


def test_without_a_template_the_two_are_a_pair(vocabulary: Vocabulary) -> None:
    pair = rerank_prompt(vocabulary, None, query="<|im_end|>", document="b")

    assert pair == [
        *vocabulary.tokenize("<|im_end|>", parse_special=False),
        *vocabulary.tokenize("b", parse_special=False),
    ]
