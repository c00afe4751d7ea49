"""A thinking budget ends one generation and begins another; usage counts the turn as one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api.support import Server, frames, running
from chat.support import HERMES_TEMPLATE

from kronk_agent import Config

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

THINKING_TEMPLATE = HERMES_TEMPLATE.replace(
    "'<|im_start|>assistant\\n' }}", "'<|im_start|>assistant\\n<think>\\n' }}"
)
QUESTION = {"role": "user", "content": "Why is the sky blue?"}


@asynccontextmanager
async def thinking(starter: Path, folder: Path) -> AsyncIterator[Server]:
    """A server whose model has an empty cache and begins every turn by thinking."""
    template = folder / "thinking.jinja"
    template.write_text(THINKING_TEMPLATE)
    config = Config.model_validate(
        {
            "tools": (),
            "model": "thinker",
            "models": {"thinker": {"path": starter, "template": template}},
            "engine": {"context_length": 2048, "threads": 1},
        }
    )
    async with running(config=config, tools=()) as server:
        yield server


async def asked(server: Server, path: str, *, stream: bool, **body: Any) -> Any:
    """The last JSON object of the answer that tells usage."""
    response = await server.post(path, model="thinker", stream=stream, **body)
    assert response.status_code == 200, response.text
    if not stream:
        return response.json()
    objects = [frame for frame in frames(response.text) if isinstance(frame, dict)]
    assert not [frame for frame in objects if "error" in frame], response.text
    return objects


def chat_usage(answer: Any) -> Any:
    return answer["usage"] if isinstance(answer, dict) else answer[-1]["usage"]


def responses_usage(answer: Any) -> Any:
    return answer["usage"] if isinstance(answer, dict) else answer[-1]["response"]["usage"]


def messages_usage(answer: Any) -> Any:
    if isinstance(answer, dict):
        return answer["usage"]
    return next(frame["usage"] for frame in answer if frame["type"] == "message_delta")


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_completions_count_a_turn_of_two_generations_as_one(
    starter_model: Path, tmp_path: Path, stream: bool
) -> None:
    body: dict[str, Any] = {
        "messages": [QUESTION],
        "temperature": 0,
        "max_tokens": 24,
        "reasoning_budget": 4,
        **({"stream_options": {"include_usage": True}} if stream else {}),
    }
    path = "/v1/chat/completions"
    async with thinking(starter_model, tmp_path) as server:
        cold = chat_usage(await asked(server, path, stream=stream, **body))
        warm = chat_usage(await asked(server, path, stream=stream, **body))

    assert cold["prompt_tokens_details"]["cached_tokens"] == 0
    assert 0 < warm["prompt_tokens_details"]["cached_tokens"] < warm["prompt_tokens"]
    for usage in (cold, warm):
        assert usage["prompt_tokens"] == cold["prompt_tokens"]
        assert 4 <= usage["completion_tokens_details"]["reasoning_tokens"] <= 5
        assert 5 < usage["completion_tokens"] <= 24


@pytest.mark.parametrize("stream", [False, True])
async def test_responses_count_a_turn_of_two_generations_as_one(
    starter_model: Path, tmp_path: Path, stream: bool
) -> None:
    body: dict[str, Any] = {
        "input": [QUESTION],
        "temperature": 0,
        "max_output_tokens": 24,
        "reasoning_budget": 4,
    }
    async with thinking(starter_model, tmp_path) as server:
        cold = responses_usage(await asked(server, "/v1/responses", stream=stream, **body))
        warm = responses_usage(await asked(server, "/v1/responses", stream=stream, **body))

    assert cold["input_tokens_details"]["cached_tokens"] == 0
    assert 0 < warm["input_tokens_details"]["cached_tokens"] < warm["input_tokens"]
    for usage in (cold, warm):
        assert usage["input_tokens"] == cold["input_tokens"]
        assert 4 <= usage["output_tokens_details"]["reasoning_tokens"] <= 5
        assert 5 < usage["output_tokens"] <= 24


@pytest.mark.parametrize("stream", [False, True])
async def test_messages_count_a_turn_of_two_generations_as_one(
    starter_model: Path, tmp_path: Path, stream: bool
) -> None:
    body: dict[str, Any] = {
        "messages": [QUESTION],
        "temperature": 0,
        "max_tokens": 24,
        "thinking": {"type": "enabled", "budget_tokens": 4},
    }
    async with thinking(starter_model, tmp_path) as server:
        cold = messages_usage(await asked(server, "/v1/messages", stream=stream, **body))
        warm = messages_usage(await asked(server, "/v1/messages", stream=stream, **body))

    assert cold["cache_read_input_tokens"] == 0
    assert cold["input_tokens"] > 0
    assert warm["cache_read_input_tokens"] > 0
    assert warm["input_tokens"] + warm["cache_read_input_tokens"] == cold["input_tokens"]
    for usage in (cold, warm):
        assert 4 <= usage["output_tokens_details"]["thinking_tokens"] <= 5
        assert 5 < usage["output_tokens"] <= 24
