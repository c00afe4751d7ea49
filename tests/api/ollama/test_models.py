"""The models there are, as Ollama's clients see, load and unload them; and vectors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from api.ollama.support import USER, serving, steady
from api.support import scripted
from inline_snapshot import snapshot
from limits import seconds

from kronk_agent import Config
from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.config.schema.server import ServerConfig

_HEX = set("0123456789abcdef")


async def test_models_and_agents_are_listed_with_tags(models: Config) -> None:
    async with serving(config=models) as served:
        found = await served.ollama.list()
        loaded = [entry.name for entry in served.server.runtime.models if entry.is_loaded]

    assert [one.model for one in found.models] == [
        "chatty:latest",
        "fim:latest",
        "bert:latest",
        "ranker:latest",
        "agent/default:latest",
    ]
    chatty = found.models[0]
    assert steady(chatty.details and chatty.details.model_dump()) == snapshot(
        {
            "parent_model": "",
            "format": "gguf",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "121.0K",
            "quantization_level": "",
        }
    )
    assert chatty.size == models.models["chatty"].path.stat().st_size  # type: ignore[union-attr]
    assert len({one.digest for one in found.models}) == 5
    assert all(
        len(one.digest or "") == 64 and set(one.digest or "") <= _HEX for one in found.models
    )
    assert loaded == []


async def test_a_model_is_shown_with_what_its_file_says(models: Config) -> None:
    async with serving(config=models) as served:
        chatty = await served.ollama.show("chatty")
        fim = await served.ollama.show("fim:latest")
        bert = await served.server.post("/api/show", name="bert")
        agent = await served.ollama.show("agent/default")
        unknown = await served.refusal("/api/show", model="llama3")
        nameless = await served.refusal("/api/show", model="")

    about: Any = chatty.modelinfo
    assert about["general.architecture"] == "llama"
    assert (about["llama.context_length"], about["general.parameter_count"] > 0) == (4096, True)
    assert "{{ m.role }}" in (chatty.template or "")
    assert [one for one in (chatty.parameters or "").splitlines() if "top_k" in one] == [
        f"{'top_k':<30} {models.sampling.top_k}"
    ]
    assert chatty.capabilities == ["completion", "tools"]
    assert "insert" in (fim.capabilities or ())
    assert bert.json()["capabilities"] == ["embedding"]
    assert agent.capabilities == ["completion", "tools"]
    assert unknown[0] == 404
    assert nameless == (400, "model: Field required")


async def test_a_model_that_is_no_file_is_listed_and_shown_too() -> None:
    async with serving(scripted()) as served:
        names = [one.model for one in (await served.ollama.list()).models]
        shown = await served.ollama.show("scripted")

    assert "scripted:latest" in names
    assert (shown.capabilities, shown.template) == (["completion", "tools"], "")


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_a_request_without_words_loads_a_model_or_unloads_it(
    models: Config, path: str
) -> None:
    async with serving(config=models) as served:
        before = await served.ollama.ps()
        loading = await served.whole(path, model="chatty", keep_alive="5m")
        (running,) = (await served.ollama.ps()).models
        unloading = await served.whole(path, model="chatty", keep_alive="0s")
        after = await served.ollama.ps()
        again = await served.whole(path, model="chatty")

    assert (before.models, after.models) == ([], [])
    assert (running.model, running.size_vram, running.context_length) == ("chatty:latest", 0, 512)
    assert isinstance(running.expires_at, datetime)
    assert [one["done_reason"] for one in (loading, unloading, again)] == [
        "load",
        "unload",
        "load",
    ]


async def test_a_model_is_unloaded_after_its_last_answer(models: Config) -> None:
    options = {"num_predict": 2}
    async with serving(config=models) as served:
        await served.whole(model="chatty", messages=[USER], options=options, keep_alive=0)
        after = await served.ollama.ps()
        await served.whole("/api/embed", model="bert", input="a", keep_alive=0)
        embedded = await served.ollama.ps()

    assert (after.models, embedded.models) == ([], [])


@pytest.mark.parametrize("keep_alive", [0.001, "1ms"])
async def test_a_model_is_unloaded_when_keep_alive_has_passed_since_its_last_use(
    models: Config, keep_alive: object
) -> None:
    async with serving(config=models) as served:
        await served.whole(model="chatty", keep_alive="1h")
        await served.whole("/api/embed", model="bert", input="a", keep_alive="1h")
        await served.whole(model="chatty", keep_alive=keep_alive)
        with anyio.fail_after(seconds(10)):
            while len(left := (await served.ollama.ps()).models) > 1:
                pass
        again = await served.whole(model="chatty", messages=[USER], options={"num_predict": 2})

    assert [one.model for one in left] == ["bert:latest"]
    assert again["message"]["content"]


async def test_the_running_models_say_when_they_are_unloaded(models: Config) -> None:
    async def expires() -> datetime:
        (running,) = (await served.ollama.ps()).models
        assert running.expires_at is not None
        return running.expires_at

    began = datetime.now(UTC)
    async with serving(config=models) as served:
        await served.whole(model="chatty")
        unsaid = await expires()
        await served.whole(model="chatty", keep_alive="1h30m")
        first = await expires()
        await served.whole(model="chatty")
        second = await expires()
        await served.whole(model="chatty", keep_alive="-1m")
        never = await expires()
        await served.whole(model="chatty", keep_alive=1e300)
        late = await expires()

    assert [at.year for at in (unsaid, never, late)] == [9999] * 3
    kept = timedelta(hours=1, minutes=30)
    assert began + kept < first < second < datetime.now(UTC) + kept


async def test_only_an_admin_unloads_a_model_where_keys_are_needed(
    models: Config, own_folders: None
) -> None:
    user = KeyFile().create("user")
    admin = KeyFile().create("admin", scopes=("generate", "admin"))
    config = models.model_copy(update={"server": ServerConfig(require_api_key=True)})
    asked = {"model": "chatty", "stream": False, "keep_alive": 0}
    async with serving(config=config) as served:

        async def ask(key: str) -> Any:
            headers = {"authorization": f"Bearer {key}"}
            await served.server.http.post(
                "/api/chat", json={**asked, "keep_alive": -1}, headers=headers
            )
            return (await served.server.http.post("/api/chat", json=asked, headers=headers)).json()

        theirs = await ask(user)
        is_loaded = served.server.runtime.models[0].is_loaded
        ours = await ask(admin)

    assert theirs["kronk"]["notices"] == [
        "keep_alive: the API key lacks the scope admin, so the model stays loaded as before"
    ]
    assert is_loaded
    assert "kronk" not in ours
    assert not served.server.runtime.models[0].is_loaded


async def test_a_model_in_use_is_unloaded_once_it_is_idle(models: Config) -> None:
    engine = models.engine.model_copy(update={"context_length": 4096})
    never_ends = {"logit_bias": {"2": -100.0}, "num_predict": 4000}
    async with serving(config=models.model_copy(update={"engine": engine})) as served:
        body = {"model": "chatty", "messages": [USER], "options": never_ends}
        async with served.server.http.stream("POST", "/api/chat", json=body) as response:
            lines = response.aiter_lines()  # held, or the stream ends here
            await anext(lines)
            await served.whole(model="chatty", keep_alive=0)
            is_loaded = served.server.runtime.models[0].is_loaded
        with anyio.fail_after(seconds(10)):  # the client has gone, so the model is idle
            while (await served.ollama.ps()).models:
                pass

    assert is_loaded


async def test_texts_become_vectors_of_length_one(models: Config) -> None:
    async with serving(config=models) as served:
        found = await served.ollama.embed("bert", ["one", "two"])
        one = await served.ollama.embed("bert:latest", "one", dimensions=8)
        none = await served.ollama.embed("bert", "")
        old = await served.ollama.embeddings("bert", "one")
        ours = await served.server.post("/v1/embeddings", model="bert", input="one")
        chatty = await served.refusal("/api/embed", model="chatty", input="one")

    expected = ours.json()["data"][0]["embedding"]
    assert [len(vector) for vector in found.embeddings] == [len(expected)] * 2
    assert list(found.embeddings[0]) == pytest.approx(expected)
    assert list(old.embedding) == pytest.approx(expected)
    assert (len(one.embeddings[0]), one.prompt_eval_count) == (
        8,
        ours.json()["usage"]["prompt_tokens"],
    )
    assert none.embeddings == []
    assert chatty == (400, "model 'chatty' cannot embed; models that can: bert")


async def test_an_input_that_is_too_long_is_cut_unless_the_request_says_not(models: Config) -> None:
    words = "word " * 3000
    async with serving(config=models) as served:
        cut = await served.ollama.embed("bert", words)
        status, said = await served.refusal("/api/embed", model="bert", input=words, truncate=False)

    assert cut.prompt_eval_count == 512
    assert (status, said.startswith("input[0]: at most ")) == (400, True)


async def test_the_server_says_what_it_speaks_and_what_it_does_not() -> None:
    async with serving(scripted()) as served:
        http = served.server.http
        root = await http.get("/")
        version = (await http.get("/api/version")).json()
        pulled = await served.ollama.pull("scripted")
        missing = await served.refusal("/api/pull", model="llama3")
        refused = [
            (await http.request(method, path, json={"model": "scripted"})).status_code
            for method, path in (
                ("POST", "/api/push"),
                ("POST", "/api/create"),
                ("POST", "/api/copy"),
                ("DELETE", "/api/delete"),
            )
        ]
        unknown = await http.post("/api/frobnicate", json={})

    assert root.text == "Ollama is running"
    assert version == {"version": "0.32.0", "kronk_agent": "0.1.0"}
    assert pulled.status == "success"
    assert missing == (
        404,
        "unknown model 'llama3'; models are not downloaded over HTTP: add a GGUF file's "
        "path under models in the server's YAML",
    )
    assert refused == [501] * 4
    assert (unknown.status_code, unknown.json()) == (404, {"error": "Not Found"})
