"""Completions, tokens, embeddings and rankings, on models of every kind."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pytest
from api.support import frames, running

from kronk_agent import Config

PROMPT = "the quick brown"


async def test_a_completion_in_chunks_is_the_same_as_whole(models: Config) -> None:
    asked: dict[str, Any] = {
        "model": "fim",
        "prompt": [PROMPT, "once upon"],
        "max_tokens": 6,
        "n": 2,
        "seed": 7,
        "logprobs": 2,
        "echo": True,
    }
    async with running(config=models) as server:
        whole = await server.openai.completions.create(**asked)
        chunks = [
            chunk.choices[0]
            async for chunk in await server.openai.completions.create(**asked, stream=True)
        ]

    for choice in whole.choices:
        mine = [chunk for chunk in chunks if chunk.index == choice.index]
        assert "".join(chunk.text for chunk in mine) == choice.text
        tokens = [t for c in mine if c.logprobs for t in c.logprobs.tokens or []]
        assert choice.logprobs
        assert tokens == choice.logprobs.tokens
        assert mine[-1].finish_reason == choice.finish_reason == "length"
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert whole.choices[0].text.startswith(PROMPT)
    assert whole.choices[2].text.startswith("once upon")
    assert whole.usage
    assert whole.usage.completion_tokens == 4 * 6


async def test_a_prompt_may_be_tokens_and_is_scored_without_going_on(models: Config) -> None:
    async with running(config=models) as server:
        tokens = (await server.post("/v1/tokenize", model="fim", input=PROMPT)).json()["tokens"]
        response = await server.post(
            "/v1/completions", model="fim", prompt=tokens, max_tokens=0, echo=True, logprobs=1
        )
        choice = response.json()["choices"][0]

    assert choice["text"].strip() == PROMPT
    assert choice["logprobs"]["token_logprobs"][0] is None
    assert len(choice["logprobs"]["token_logprobs"]) == len(tokens)
    assert all(one < 0 for one in choice["logprobs"]["token_logprobs"][1:])


async def test_the_best_of_several_is_given(models: Config) -> None:
    asked: dict[str, Any] = {"model": "fim", "prompt": PROMPT, "seed": 1, "logprobs": 0}
    async with running(config=models) as server:
        every = (await server.post("/v1/completions", **asked, n=4)).json()["choices"]
        best = (await server.post("/v1/completions", **asked, best_of=4)).json()["choices"]

    def mean(choice: Any) -> float:
        return float(np.mean(choice["logprobs"]["token_logprobs"]))

    assert [choice["text"] for choice in best] == [max(every, key=mean)["text"]]


async def test_a_middle_is_filled_in_by_models_made_for_it(models: Config) -> None:
    async with running(config=models) as server:
        asked = {"prompt": "def f(", "suffix": "return x", "max_tokens": 4}
        filled = await server.post("/v1/completions", model="fim", **asked)
        refused = await server.post("/v1/completions", model="chatty", **asked)

    assert filled.json()["usage"]["completion_tokens"] == 4
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "suffix")
    assert "does not support fill-in-the-middle" in refused.json()["error"]["message"]


async def test_a_completion_follows_a_schema(models: Config) -> None:
    schema = {"enum": ["yes", "no"]}
    async with running(config=models) as server:
        response = await server.post(
            "/v1/completions", model="fim", prompt=PROMPT, json_schema=schema
        )

    assert response.json()["choices"][0]["text"] in ('"yes"', '"no"')


async def test_tokens_and_text_are_each_others(models: Config) -> None:
    async with running(config=models) as server:
        made = (await server.post("/v1/tokenize", model="fim", input=PROMPT)).json()
        theirs = (
            await server.post("/tokenize", model="fim", content=PROMPT, with_pieces=True)
        ).json()
        back = (await server.post("/v1/detokenize", model="fim", tokens=made["tokens"])).json()[
            "text"
        ]
        wrong = await server.post("/v1/detokenize", model="fim", tokens=[10**9])

    assert (back, made["count"]) == (PROMPT, len(made["tokens"]))
    assert [one["id"] for one in theirs["tokens"]] == made["tokens"]
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "tokens")


async def test_texts_become_vectors_whichever_way_they_are_encoded(models: Config) -> None:
    async with running(config=models) as server:
        floats = await server.openai.embeddings.create(
            model="bert", input=["a tree", "the sea"], encoding_format="float"
        )
        coded = await server.post(
            "/v1/embeddings", model="bert", input="the sea", encoding_format="base64", dimensions=8
        )

    vectors = np.array([one.embedding for one in floats.data], np.float32)
    short = np.frombuffer(base64.b64decode(coded.json()["data"][0]["embedding"]), "<f4")
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(short, vectors[1][:8] / np.linalg.norm(vectors[1][:8]), atol=1e-5)
    assert floats.usage.prompt_tokens == floats.usage.total_tokens > 2


async def test_texts_are_ranked_in_teis_form(models: Config) -> None:
    texts = ["one", "two words", "and three words"]
    async with running(config=models) as server:
        asked: dict[str, Any] = {"model": "ranker", "query": "words", "texts": texts}
        plain = (await server.post("/rerank", **asked)).json()
        raw = (await server.post("/rerank", **asked, raw_scores=True, return_text=True)).json()
        ours = await server.post("/v1/rerank", model="ranker", query="words", documents=texts)
        neither = await server.post("/rerank", model="ranker", query="words")

    scores = [(item["index"], item["relevance_score"]) for item in ours.json()["results"]]
    assert [(item["index"], item["score"]) for item in raw] == scores
    assert [item["text"] for item in raw] == [texts[index] for index, _ in scores]
    expected = [{"index": i, "score": pytest.approx(1 / (1 + math.exp(-s)))} for i, s in scores]
    assert plain == expected
    assert (neither.status_code, neither.json()["error"]["param"]) == (400, "documents")


async def test_documents_are_ordered_best_first(models: Config) -> None:
    documents = ["a tree", "the sea", "a fish"]
    async with running(config=models) as server:
        response = await server.post(
            "/v1/rerank",
            model="ranker",
            query="water",
            documents=documents,
            top_n=2,
            return_documents=True,
        )
        results = response.json()["results"]

    assert [one["document"]["text"] for one in results] == [documents[r["index"]] for r in results]
    assert results[0]["relevance_score"] >= results[1]["relevance_score"]
    assert len(results) == 2


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (
            "/v1/embeddings",
            {"model": "chatty", "input": "x"},
            "cannot embed; models that can: bert",
        ),
        (
            "/v1/rerank",
            {"model": "bert", "query": "x", "documents": ["y"]},
            "cannot rank documents; models that can: ranker",
        ),
        (
            "/v1/chat/completions",
            {"model": "bert", "messages": [{"role": "user", "content": "x"}]},
            "cannot generate text in a chat; models that can: chatty, agent/default",
        ),
        (
            "/v1/chat/completions",
            {
                "model": "chatty",
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "image_url",
                                "image_url": {"url": "data:image/png;base64,iVBORw0K"},
                            }
                        ],
                    }
                ],
            },
            "cannot see images; no model here can",
        ),
        ("/v1/completions", {"model": "agent/default", "prompt": "x"}, "is an agent"),
    ],
)
async def test_what_a_model_was_not_made_for_is_refused_before_it_is_loaded(
    models: Config, path: str, body: dict[str, Any], words: str
) -> None:
    async with running(config=models) as server:
        response = await server.http.post(path, json=body)
        loaded = [one.name for one in server.runtime.models if one.is_loaded]

    assert (response.status_code, response.json()["error"]["param"]) == (400, "model")
    assert words in response.json()["error"]["message"]
    assert loaded == []


@pytest.mark.parametrize(
    "path", ["/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/v1/tokenize"]
)
async def test_a_model_there_is_not_is_not_found(models: Config, path: str) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "/v1/completions": {"prompt": "x"},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
        "/v1/embeddings": {"input": "x"},
        "/v1/tokenize": {"input": "x"},
    }
    async with running(config=models) as server:
        response = await server.http.post(path, json={"model": "gpt", **bodies[path]})

    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


async def test_the_list_of_models_says_what_each_can_do(models: Config) -> None:
    async with running(config=models) as server:
        listed = (await server.http.get("/v1/models")).json()["data"]

    assert {one["id"]: set(one["capabilities"]) for one in listed} == {
        "chatty": {"chat", "generate", "tools"},
        "fim": {"generate", "fim"},
        "bert": {"embed"},
        "ranker": {"rerank"},
        "agent/default": {"chat", "generate", "tools"},
    }


async def test_a_stream_of_completions_ends_with_its_usage_when_asked(models: Config) -> None:
    async with running(config=models) as server:
        response = await server.post(
            "/v1/completions",
            model="fim",
            prompt=PROMPT,
            max_tokens=2,
            stream=True,
            stream_options={"include_usage": True},
        )

    *_, usage, done = frames(response.text)
    assert (usage["choices"], usage["usage"]["completion_tokens"], done) == ([], 2, "[DONE]")
