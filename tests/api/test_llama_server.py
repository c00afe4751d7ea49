"""llama.cpp's own completions, on models with and without tokens to fill in a middle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api.support import frames, running

from kronk_agent import Config
from kronk_agent.config.schema.model import LocalModelConfig

PROMPT = "the quick brown"
NEVER_ENDS = {"2": -100.0}
"""The tiny models' token for the end."""


async def test_a_completion_is_that_of_openais_route_in_llama_cpps_form() -> None:
    async with running() as server:
        model = server.runtime.models[0].name
        asked: dict[str, Any] = {"prompt": "One, two, three,", "temperature": 0, "stop": ["six"]}
        theirs = await server.post("/completion", **asked, n_predict=16, return_tokens=True)
        ours = await server.post("/v1/completions", model=model, **asked, max_tokens=16)
        back = await server.post("/detokenize", tokens=theirs.json()["tokens"])
        body = theirs.json()

    assert body["content"] == ours.json()["choices"][0]["text"] == " four, five, "
    assert back.json()["content"] == " four, five, six"
    assert body["tokens_evaluated"] == ours.json()["usage"]["prompt_tokens"]
    told = ("model", "stop", "stop_type", "stopping_word", "truncated", "prompt", "index")
    assert {name: body[name] for name in told} == {
        "model": model,
        "stop": True,
        "stop_type": "word",
        "stopping_word": "six",
        "truncated": False,
        "prompt": "One, two, three,",
        "index": 0,
    }
    assert body["generation_settings"]["temperature"] == 0
    assert body["generation_settings"]["n_predict"] == 16


async def test_a_streamed_completion_is_the_same_as_whole(models: Config) -> None:
    asked: dict[str, Any] = {
        "model": "fim",
        "prompt": PROMPT,
        "n_predict": 6,
        "seed": 7,
        "n_probs": 2,
        "return_tokens": True,
        "cache_prompt": True,
    }
    async with running(config=models) as server:
        whole = (await server.post("/completion", **asked)).json()
        *chunks, last = frames((await server.post("/completion", **asked, stream=True)).text)

    assert "".join(chunk["content"] for chunk in chunks) == whole["content"]
    assert [t for chunk in chunks for t in chunk["tokens"]] == whole["tokens"]
    scored = [s for chunk in chunks for s in chunk["completion_probabilities"]]
    assert [s["id"] for s in scored] == [s["id"] for s in whole["completion_probabilities"]]
    assert [len(s["top_logprobs"]) for s in scored] == [2] * 6
    assert {chunk["stop"] for chunk in chunks} == {False}
    assert (last["content"], last["stop"], last["stop_type"]) == ("", True, "limit")
    assert last["tokens_predicted"] == whole["tokens_predicted"] == 6


async def test_a_rendered_prompt_goes_on_as_it_was_rendered(models: Config, tmp_path: Path) -> None:
    template = tmp_path / "bos.jinja"
    template.write_text("{{ bos_token }}{% for m in messages %}{{ m.content }}\n{% endfor %}")
    chatty = models.models["chatty"]
    assert isinstance(chatty, LocalModelConfig)
    chatty = chatty.model_copy(update={"template": template})
    config = models.model_copy(update={"models": {"chatty": chatty}})
    messages = [{"role": "user", "content": "Hello"}]
    async with running(config=config) as server:
        made = (await server.post("/v1/apply-template", model="chatty", messages=messages)).json()
        answer = (await server.post("/completion", prompt=made["prompt"], n_predict=1)).json()

    assert made["count"] == answer["tokens_evaluated"]
    assert answer["prompt"] == made["prompt"]


async def test_a_middle_is_filled_in_between_two_texts(models: Config) -> None:
    asked: dict[str, Any] = {
        "model": "fim",
        "input_prefix": "def f(",
        "input_suffix": "return x",
        "input_extra": [{"filename": "a.py", "text": "x = 1"}],
        "prompt": "x",
        "n_predict": 4,
        "temperature": 0,
    }
    async with running(config=models) as server:
        answer = (await server.post("/infill", **asked)).json()
        plain = (
            await server.post("/infill", **{**asked, "input_extra": None, "prompt": ""})
        ).json()
        ours = await server.post(
            "/v1/completions",
            model="fim",
            prompt="def f(",
            suffix="return x",
            max_tokens=4,
            temperature=0,
        )
        refused = await server.post("/infill", **{**asked, "model": "chatty"})
        loaded = [one.name for one in server.runtime.models if one.is_loaded]

    assert plain["content"] == ours.json()["choices"][0]["text"]
    assert answer["prompt"].replace(" ", "") == (
        "a.py\nx=1\n<|fim_prefix|>deff(<|fim_suffix|>returnx<|fim_middle|>x"
    )
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")
    assert "cannot fill in the middle; models that can: fim" in refused.json()["error"]["message"]
    assert loaded == ["fim"]


@pytest.mark.parametrize(
    "form",
    [{"grammar": 'root ::= "yes" | "no"'}, {"json_schema": {"enum": ["yes", "no"]}}],
    ids=["grammar", "schema"],
)
async def test_a_completion_follows_a_grammar_or_a_schema(
    models: Config, form: dict[str, Any]
) -> None:
    async with running(config=models) as server:
        answer = (await server.post("/completion", prompt=PROMPT, **form)).json()

    assert answer["content"].strip('"') in ("yes", "no")
    assert answer["stop_type"] == "eos"


async def test_a_seed_of_minus_one_is_drawn_every_time(models: Config) -> None:
    asked: dict[str, Any] = {"prompt": PROMPT, "n_predict": 24, "temperature": 2}
    async with running(config=models) as server:
        drawn = [(await server.post("/completion", **asked, seed=-1)).json() for _ in range(2)]
        given = [(await server.post("/completion", **asked, seed=5)).json() for _ in range(2)]

    assert drawn[0]["content"] != drawn[1]["content"]
    assert given[0]["content"] == given[1]["content"]


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"lora": [{"id": 0, "scale": 1}]}, "lora", "engine.lora"),
        ({"image_data": [{"id": 1}]}, "image_data", "at most 0 items"),
        (
            {"prompt": {"prompt_string": "a", "multimodal_data": ["AA"]}},
            "prompt.multimodal_data",
            "at most 0 items",
        ),
        ({"prompt": [1, [2]]}, "prompt", "the tokens and texts of one prompt, or several"),
        ({"prompt": ["a"] * 129}, "prompt", "at most 128 prompts, got 129"),
        ({"grammar": "root ::= (", "n_predict": 1}, "grammar", "the GBNF grammar was refused"),
        ({"json_schema": {"type": "nothing"}}, "json_schema", "the grammar was refused"),
        (
            {"grammar": 'root ::= "a"', "json_schema": {}},
            "json_schema",
            "cannot be combined with grammar",
        ),
        ({"n_predict": -2}, "n_predict", "-1"),
        ({"model": "agent/default"}, "model", "is an agent"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(
    models: Config, body: dict[str, Any], param: str, words: str
) -> None:
    async with running(config=models) as server:
        response = await server.http.post("/completion", json={"prompt": PROMPT, **body})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert words in response.json()["error"]["message"]


async def test_only_loaded_models_are_shown_and_none_is_loaded_for_it(models: Config) -> None:
    async with running(config=models) as server:
        before = await server.http.get("/props")
        none = (await server.http.get("/slots")).json()
        loaded = [one.name for one in server.runtime.models if one.is_loaded]
        await server.post("/completion", prompt=PROMPT, n_predict=1)
        after = (await server.http.get("/props")).json()
        idle = (await server.http.get("/slots")).json()
        other = (await server.http.get("/slots", params={"model": "fim"})).json()
        unknown = await server.http.get("/slots", params={"model": "gpt"})

    assert (before.status_code, before.json()["error"]["param"]) == (400, "model")
    assert "is not loaded; its first completion loads it" in before.json()["error"]["message"]
    assert (none, loaded, other) == ([], [], [])
    settings = after["default_generation_settings"]
    assert (after["model_alias"], after["total_slots"], settings["n_ctx"]) == ("chatty", 4, 512)
    assert settings["params"]["top_k"] == models.sampling.top_k
    assert after["modalities"] == {"vision": False, "audio": False}
    assert idle == [
        {"id": index, "model": "chatty", "n_ctx": 512, "is_processing": False} for index in range(4)
    ]
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_slot_shows_what_is_being_generated(models: Config) -> None:
    # It goes on for seconds, unless the client goes away.
    engine = models.engine.model_copy(update={"context_length": 4096})
    async with running(config=models.model_copy(update={"engine": engine})) as server:
        body = {"prompt": PROMPT, "n_predict": 4000, "stream": True, "logit_bias": NEVER_ENDS}
        async with server.http.stream("POST", "/completion", json=body) as response:
            lines = response.aiter_lines()
            await anext(lines)
            slots = (await server.http.get("/slots")).json()

    assert [slot["is_processing"] for slot in slots] == [True, False, False, False]
    busy = slots[0]
    assert busy["n_prompt_tokens_processed"] == busy["n_prompt_tokens"] > 0
    assert busy["next_token"][0]["n_decoded"] >= 1


# --- as llama-server's clients ask --------------------------------------------------------------


async def test_several_prompts_give_as_many_answers_streamed_or_not(models: Config) -> None:
    asked: dict[str, Any] = {"model": "fim", "n_predict": 4, "temperature": 0}
    prompts: list[Any] = [PROMPT, {"prompt_string": "a b"}, [3, 4, "a b"]]
    async with running(config=models) as server:
        alone = [(await server.post("/completion", **asked, prompt=one)).json() for one in prompts]
        together = (await server.post("/completions", **asked, prompt=prompts)).json()
        chunks = frames(
            (await server.post("/completion", **asked, prompt=prompts, stream=True)).text
        )
        openai = await server.post("/v1/completions", model="fim", prompt=prompts, max_tokens=4)
        one = (await server.post("/completion", **asked, prompt=[PROMPT])).json()

    expected = [answer["content"] for answer in alone]
    assert [answer["content"] for answer in together] == expected
    assert [answer["index"] for answer in together] == [0, 1, 2]
    streamed = ["".join(c["content"] for c in chunks if c["index"] == i) for i in range(3)]
    assert streamed == expected
    assert len(openai.json()["choices"]) == 3
    assert one["content"] == expected[0]


async def test_llama_vims_request_is_answered(models: Config) -> None:
    asked = {
        "id_slot": 0,
        "input_prefix": "def f(",
        "input_suffix": "return x",
        "input_extra": [{"filename": "a.py", "text": "x = 1", "time": [1, 2]}],
        "prompt": "x",
        "n_predict": 4,
        "stop": [],
        "n_indent": 0,
        "top_k": 40,
        "top_p": 0.9,
        "samplers": ["top_k", "top_p", "infill"],
        "stream": False,
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 500,
        "response_fields": ["content", "timings/prompt_n", "generation_settings/top_k", "nothing"],
    }
    warming = {
        **asked,
        "n_predict": 0,
        "samplers": [],
        "t_max_prompt_ms": 1,
        "response_fields": [""],
    }
    config = models.model_copy(update={"model": "fim"})
    async with running(config=config) as server:
        warm = await server.post("/infill", **warming)
        answer = await server.post("/infill", **asked)

    assert (warm.status_code, warm.json()) == (200, {})
    assert set(answer.json()) == {"content", "timings/prompt_n", "generation_settings/top_k"}
    assert answer.json()["generation_settings/top_k"] == 40


LINES = 'root ::= "a\\n    b\\n  c\\n"'


@pytest.mark.parametrize(
    ("min_indent", "content"), [(0, "a\n    b\n  c\n"), (2, "a\n    b\n  c\n"), (4, "a\n    b\n")]
)
async def test_a_completion_of_code_ends_before_a_line_that_is_less_indented(
    models: Config, min_indent: int, content: str
) -> None:
    asked: dict[str, Any] = {"prompt": PROMPT, "grammar": LINES, "n_indent": min_indent}
    async with running(config=models) as server:
        whole = (await server.post("/completion", **asked)).json()
        *chunks, last = frames((await server.post("/completion", **asked, stream=True)).text)

    assert whole["content"] == "".join(chunk["content"] for chunk in chunks) == content
    assert whole["has_new_line"] is last["has_new_line"] is True
    assert whole["tokens_predicted"] == last["tokens_predicted"] > 0


async def test_a_completion_of_code_ends_when_its_time_is_over(models: Config) -> None:
    asked: dict[str, Any] = {"prompt": PROMPT, "n_predict": 400, "ignore_eos": True}
    endless = {**asked, "grammar": 'root ::= "a\\n" [x-z]+'}
    async with running(config=models) as server:
        short = (await server.post("/completion", **endless, t_max_predict_ms=1e-3)).json()
        line = (
            await server.post(
                "/completion", **asked, grammar="root ::= [x-z]+", t_max_predict_ms=1e-3
            )
        ).json()

    assert (short["stop_type"], short["content"][:2]) == ("limit", "a\n")
    assert short["tokens_predicted"] < 100
    assert line["tokens_predicted"] == 400  # of one line, which is not over


async def test_several_completions_of_a_prompt_come_as_a_list(models: Config) -> None:
    asked: dict[str, Any] = {"n_predict": 8, "temperature": 1, "seed": 5, "return_tokens": True}
    prompts = [PROMPT, "over the lazy"]
    async with running(config=models) as server:
        several = (await server.post("/completion", prompt=prompts, **asked, n_cmpl=2)).json()
        alone = [
            (await server.post("/completion", prompt=prompt, **{**asked, "seed": seed})).json()
            for prompt in prompts
            for seed in (5, 6)
        ]
        parts = frames(
            (await server.post("/completion", prompt=PROMPT, **asked, n=2, stream=True)).text
        )
        many = await server.post("/completion", prompt=prompts, n_cmpl=65)

    assert [one["index"] for one in several] == [0, 1, 2, 3]
    assert [one["tokens"] for one in several] == [one["tokens"] for one in alone]
    streamed = [
        [token for part in parts if part["index"] == index for token in part["tokens"]]
        for index in (0, 1)
    ]
    assert streamed == [one["tokens"] for one in several[:2]]
    assert many.status_code == 400
    assert many.json()["error"]["param"] == "n_cmpl"


async def test_a_bias_is_an_object_or_pairs_of_ids_or_texts(models: Config) -> None:
    asked: dict[str, Any] = {"prompt": PROMPT, "n_predict": 1, "temperature": 0}
    asked["return_tokens"] = True
    async with running(config=models) as server:
        (token,) = (await server.post("/completion", **asked)).json()["tokens"]
        without = [
            (await server.post("/completion", **asked, logit_bias=bias)).json()["tokens"]
            for bias in ([[token, False]], {str(token): False}, [[token, -100]])
        ]
        likely = (await server.post("/tokenize", content="zebra")).json()["tokens"]
        texts = [
            (await server.post("/completion", **asked, logit_bias=bias)).json()["tokens"]
            for bias in ([["zebra", 100]], {"zebra": 100})
        ]

    assert len({tuple(tokens) for tokens in without}) == 1
    assert without[0] != [token]
    assert texts[0] == texts[1]
    assert texts[0][0] in likely


@pytest.mark.parametrize("bias", [[["z", 100]], {"z": 100}])
async def test_chats_take_a_bias_by_text_too(models: Config, bias: object) -> None:
    said = [{"role": "user", "content": PROMPT}]
    asked: dict[str, Any] = {"temperature": 0, "logit_bias": bias}
    options = {**asked, "num_predict": 3}
    async with running(config=models) as server:
        chat = await server.post("/v1/chat/completions", messages=said, max_tokens=3, **asked)
        response = await server.post("/v1/responses", input=PROMPT, max_output_tokens=3, **asked)
        ollama = [
            await server.post(path, model="chatty", stream=False, options=options, **given)
            for path, given in (
                ("/api/chat", {"messages": said}),
                ("/api/generate", {"prompt": PROMPT, "raw": True}),
            )
        ]

    texts = [
        chat.json()["choices"][0]["message"]["content"],
        response.json()["output"][0]["content"][0]["text"],
        ollama[0].json()["message"]["content"],
        ollama[1].json()["response"],
    ]
    assert all(set(text) <= set(" z") for text in texts)  # tiny models begin each text with a blank


async def test_probabilities_after_sampling_and_an_end_that_does_not_come(models: Config) -> None:
    asked: dict[str, Any] = {"prompt": PROMPT, "n_predict": 40, "n_probs": 2, "temperature": 1}
    async with running(config=models) as server:
        answer = await server.post(
            "/completion", **asked, post_sampling_probs=True, ignore_eos=True, seed=1
        )
        named = await server.post("/completion", prompt=PROMPT, n_predict=1, frobnicate=1)
        uncached = [
            (await server.post("/completion", prompt="a b c d", n_predict=1, cache_prompt=False))
            for _ in range(2)
        ]

    scored = answer.json()["completion_probabilities"]
    assert len(scored) == 40
    assert all(0 <= top["prob"] <= 1 for one in scored for top in one["top_probs"])
    assert named.json()["kronk"]["notices"] == ["frobnicate: unknown field, ignored"]
    assert [one.json()["tokens_cached"] for one in uncached] == [0, 0]


async def test_paths_without_v1_are_those_of_llama_server(models: Config) -> None:
    said = [{"role": "user", "content": "Hi"}]
    async with running(config=models) as server:
        chat = await server.post("/chat/completions", messages=said, max_tokens=1)
        counted = await server.post("/v1/chat/completions/input_tokens", messages=said)
        listed = (await server.http.get("/models")).json()
        one = (await server.http.get("/models/fim")).json()
        vectors = await server.post("/embedding", model="bert", content=["a", "b"])
        whole = await server.post("/embeddings", model="bert", input="a", embd_normalize=-1)
        ours = (await server.post("/v1/embeddings", model="bert", input="a")).json()
        ranked = await server.post("/reranking", model="ranker", query="a", documents=["a", "b"])
        props = (await server.http.get("/props")).json()
        begun = await server.post("/responses", input="Hi", max_output_tokens=1, background=True)
        read = await server.http.get(f"/responses/{begun.json()['id']}")

    prompt_tokens = chat.json()["usage"]["prompt_tokens"]
    assert counted.json() == {"object": "response.input_tokens", "input_tokens": prompt_tokens}
    assert listed["data"][0]["id"] == "chatty"
    assert one["id"] == "fim"
    assert [item["index"] for item in vectors.json()] == [0, 1]
    assert vectors.json()[0]["embedding"][0] == pytest.approx(ours["data"][0]["embedding"])
    assert sum(x * x for x in whole.json()[0]["embedding"][0]) != pytest.approx(1)
    assert len(ranked.json()["results"]) == 2
    assert props["model_path"].endswith(".gguf")
    assert (read.status_code, read.json()["id"]) == (200, begun.json()["id"])


async def test_a_model_that_is_left_out_is_the_default(models: Config) -> None:
    config = models.model_copy(update={"model": "fim"})
    said = [{"role": "user", "content": "Hi"}]
    async with running(config=config) as server:
        answers = [
            await server.post("/v1/completions", prompt="a", max_tokens=1),
            await server.post("/v1/tokenize", input="a"),
            await server.post("/v1/detokenize", tokens=[5]),
        ]
        asked = [
            await server.post("/v1/messages", messages=said, max_tokens=1),
            await server.post("/v1/responses", input="Hi", store=False),
            await server.post("/v1/apply-template", messages=said),
            await server.post("/v1/embeddings", input="a"),
            await server.post("/v1/rerank", query="a", documents=["b"]),
        ]

    assert [answer.json()["model"] for answer in answers] == ["fim"] * 3
    assert answers[0].json()["system_fingerprint"].startswith("kronk-agent-")
    assert all("'fim' cannot" in answer.text for answer in asked), [a.text for a in asked]
