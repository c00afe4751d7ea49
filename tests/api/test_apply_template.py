"""The prompt of a chat completion, as the model reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api.support import WEATHER, running
from engine.tiny_gguf import TinyModels

from kronk_agent import Config
from kronk_agent.config.schema.model import LocalModelConfig, RemoteModelConfig

HELLO: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
THINKER = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: <think>\n{% endif %}"
)


async def test_a_prompt_is_the_one_that_a_chat_completion_reads() -> None:
    asked: dict[str, Any] = {"messages": HELLO, "tools": [WEATHER]}
    async with running() as server:
        model = server.runtime.models[0].name
        ours = (await server.post("/v1/apply-template", model=model, **asked)).json()
        theirs = (await server.post("/apply-template", **asked)).json()
        answer = await server.openai.chat.completions.create(model=model, max_tokens=1, **asked)
        tokens = await server.post(
            "/v1/tokenize", model=model, input=ours["prompt"], parse_special=True
        )

    assert ours["prompt"].startswith("<|im_start|>system\n")
    assert ours["prompt"].endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    assert "Be brief." in ours["prompt"]
    assert "weather" in ours["prompt"]
    assert answer.usage
    assert ours["count"] == answer.usage.prompt_tokens == tokens.json()["count"]
    assert (theirs, ours["model"]) == ({"prompt": ours["prompt"]}, model)


async def test_an_unfinished_answer_ends_the_prompt(models: Config) -> None:
    begun = [*HELLO, {"role": "assistant", "content": "Hi th"}]
    async with running(config=models) as server:
        response = await server.post("/apply-template", messages=begun, continue_final_message=True)

    assert response.json() == {"prompt": "system: Be brief.\nuser: Hello\nHi th"}


async def test_thoughts_that_a_template_begins_and_nobody_wants_are_ended_in_the_prompt(
    tiny: TinyModels, models: Config, tmp_path: Path
) -> None:
    template = tmp_path / "thinker.jinja"
    template.write_text(THINKER)
    config = models.model_copy(
        update={"models": {"chatty": LocalModelConfig(path=tiny.llama, template=template)}}
    )
    asked: dict[str, Any] = {"model": "chatty", "messages": HELLO, "enable_thinking": False}
    async with running(config=config) as server:
        made = (await server.post("/v1/apply-template", **asked)).json()
        answer = await server.post("/v1/chat/completions", **asked, max_tokens=1)

    _, _, opening = made["prompt"].partition("assistant: <think>\n")
    assert opening.strip() == "</think>"
    assert made["count"] == answer.json()["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"model": "far"}, "model", "is remote and its prompts are rendered by its server"),
        ({"model": "agent/default"}, "model", "is an agent; this endpoint takes a plain model"),
        ({"model": "bert"}, "model", "cannot generate text in a chat; models that can: chatty"),
        ({"model": "chatty", "temperature": 1}, "temperature", "temperature"),
        ({"model": "chatty", "chat_template_kwargs": {"messages": []}}, "chat_template_kwargs", ""),
    ],
)
async def test_what_has_no_prompt_of_ours_is_refused(
    models: Config, body: dict[str, Any], param: str, words: str
) -> None:
    # Nothing listens there, and nothing is asked of it.
    far = RemoteModelConfig(url="http://127.0.0.1:1/v1", model="theirs", context_length=4096)
    config = models.model_copy(update={"models": {**models.models, "far": far}})
    async with running(config=config) as server:
        response = await server.post("/v1/apply-template", messages=HELLO, **body)

    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert words in response.json()["error"]["message"]
