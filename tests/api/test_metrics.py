"""What ``/metrics`` tells, and that docs/http-api.md names all of it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api.support import Server, running, scripted
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from kronk_agent import Config
from kronk_agent.api.middleware.engine_metrics import FIGURES, EngineMetrics
from kronk_agent.api.middleware.metrics import Metrics
from kronk_agent.api.middleware.rate_limits import RateLimits
from kronk_agent.engine.kv_cache.prefix_cache import CacheCounters
from kronk_agent.engine.stats import EngineStats, StepCounters
from kronk_agent.testing import ScriptedModel, call

CHAPTER = Path(__file__).parents[2] / "docs" / "http-api.md"
HELLO: Any = [{"role": "user", "content": "Hello"}]


async def samples(server: Server) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels, in the order of the labels' names."""
    response = await server.http.get("/metrics")
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def tokens(server: Server, model: str) -> tuple[float, float, float]:
    """Read, found in the cache, written."""
    found = await samples(server)
    read, cached, written = (
        found["kronk_agent_tokens_total", kind, model] for kind in ("read", "cached", "written")
    )
    return read, cached, written


async def test_requests_are_counted_by_route() -> None:
    async with running(scripted("Hi there.")) as server:
        await server.post("/v1/chat/completions", model="scripted", messages=HELLO)
        await server.http.get("/v1/some/secret/path")
        found = await samples(server)

    route = ("POST", "/v1/chat/completions")
    assert found["kronk_agent_http_requests_total", *route, "200"] == 1
    assert found["kronk_agent_http_request_seconds_count", *route] == 1
    assert not any("secret" in label for labels in found for label in labels)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HELLO}),
        ("/v1/messages", {"messages": HELLO, "max_tokens": 9}),
        ("/v1/responses", {"input": "Hello"}),
    ],
)
async def test_tokens_of_a_chat_are_counted_whichever_protocol_asks(
    path: str, body: dict[str, Any], stream: bool
) -> None:
    async with running(scripted("Hi there.")) as server:
        await server.post(path, model="scripted", **body, stream=stream)
        read, cached, written = await tokens(server, "scripted")

    assert (cached, written) == (0, 3)
    assert read > 0


async def test_every_turn_of_an_agent_is_counted_under_its_name() -> None:
    async with running(scripted(call("add", a=1, b=2), "3")) as server:
        answer = await server.post("/v1/responses", model="agent/default", input="Add 1 and 2")
        usage = answer.json()["usage"]
        read, cached, written = await tokens(server, "agent/default")

    assert (read + cached, written) == (usage["input_tokens"], usage["output_tokens"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "fim", "prompt": ["a b", "c d"], "n": 2}),
        ("/v1/completions", {"model": "fim", "prompt": "a b", "best_of": 3, "n": 2}),
        ("/v1/embeddings", {"model": "bert", "input": ["a tree", "the sea"]}),
        ("/v1/rerank", {"model": "ranker", "query": "water", "documents": ["the sea", "a tree"]}),
    ],
)
async def test_tokens_of_other_requests_are_counted_as_they_are_told(
    models: Config, path: str, body: dict[str, Any]
) -> None:
    asked = body | ({"max_tokens": 4} if "prompt" in body else {})
    async with running(config=models) as server:
        usage = (await server.post(path, **asked)).json()["usage"]
        read, cached, written = await tokens(server, body["model"])

    assert read + cached == usage["prompt_tokens"] > 0
    assert written == usage.get("completion_tokens", 0)
    if "best_of" in body:
        assert written == 3 * 4


async def test_tokens_of_llama_cpps_completions_are_counted(models: Config) -> None:
    async with running(config=models) as server:
        asked = {"model": "fim", "prompt": "a b", "n_predict": 4, "logit_bias": {"2": -100.0}}
        told = (await server.post("/completion", **asked)).json()
        read, cached, written = await tokens(server, "fim")

    assert (read + cached, written) == (told["tokens_evaluated"], 4)


async def test_a_turn_counts_though_its_run_fails_later() -> None:
    def fails(_: object) -> str:
        raise RuntimeError

    model: ScriptedModel = scripted(call("add", a=1, b=2), fails)
    async with running(model) as server:
        await server.post("/v1/chat/completions", model="agent/default", messages=HELLO)
        _, _, written = await tokens(server, "agent/default")

    assert written > 0


async def test_engines_are_told_of_once_they_are_loaded(models: Config) -> None:
    prompt = "the quick brown fox and the lazy dog"
    asked: dict[str, Any] = {"model": "fim", "prompt": prompt, "max_tokens": 4, "seed": 1}
    async with running(config=models) as server:
        before = await samples(server)
        await server.post("/v1/completions", **asked)
        again = await server.post("/v1/completions", **asked)
        usage = again.json()["usage"]
        found = await samples(server)
        loaded = [one.name for one in server.runtime.models if one.is_loaded]

    assert not [name for name, *_ in before if name.startswith("kronk_agent_engine_")]
    assert loaded == ["fim"]
    assert {labels[1:] for labels in found if labels[0].startswith("kronk_agent_engine_")} == {
        ("fim",)
    }
    told = {
        name: found[f"kronk_agent_engine_{name}", "fim"]
        for name in (
            "running",
            "queue_depth",
            "cells",
            "generated_tokens_total",
            "cache_hits_total",
            "cache_hit_tokens_total",
        )
    }
    assert told == {
        "running": 0,
        "queue_depth": 0,
        "cells": models.engine.context_length,
        "generated_tokens_total": 8,
        "cache_hits_total": 1,
        "cache_hit_tokens_total": usage["prompt_tokens_details"]["cached_tokens"],
    }


async def test_engines_can_be_looked_at_while_they_generate() -> None:
    asked = {"prompt": "One, two,", "max_tokens": 1000, "stream": True}  # takes many seconds
    async with running() as server:
        model = server.runtime.models[0].name
        body = {**asked, "model": model}
        async with server.http.stream("POST", "/v1/completions", json=body) as response:
            await anext(response.aiter_lines())
            found = await samples(server)

    assert found["kronk_agent_engine_running", model] == 1


def test_every_number_of_an_engine_is_a_metric() -> None:
    fields = {
        *_numbers(EngineStats),
        *(f"cache.{name}" for name in _numbers(CacheCounters)),
        *(f"steps.{name}" for name in _numbers(StepCounters)),
    }

    assert {figure.field for figure in FIGURES} == fields


def test_the_table_of_metrics_is_what_there_is() -> None:
    """``KRONK_UPDATE_DOCS=1`` writes it anew."""
    pattern = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- end -->)", re.DOTALL)
    if os.environ.get("KRONK_UPDATE_DOCS"):
        text = CHAPTER.read_text(encoding="utf-8")
        CHAPTER.write_text(pattern.sub(lambda _: _table(), text), encoding="utf-8")
    found = pattern.search(CHAPTER.read_text(encoding="utf-8"))

    assert found
    assert found[0] == _table()


def _numbers(of: type[Any]) -> Iterator[str]:
    return (field.name for field in dataclasses.fields(of) if field.type in ("int", "float"))


def _table() -> str:
    families: list[Metric] = [
        *Metrics(RateLimits(1, 1)).registry.collect(),
        *EngineMetrics({}).collect(),
    ]
    lines = ["| metric | type | |", "|---|---|---|"]
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        lines.append(f"| `{name}` | {family.type} | {family.documentation} |")
    return "\n".join(lines) + "\n"
