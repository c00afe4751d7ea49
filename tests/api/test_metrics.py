"""``/metrics``, and its table in docs/http-api.md."""

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
from kronk_agent.api.middleware.engine_metrics import ENGINE_METRICS, EngineMetrics
from kronk_agent.api.middleware.metrics import Metrics
from kronk_agent.api.middleware.rate_limits import RateLimits
from kronk_agent.engine.kv_cache.prefix_cache import CacheCounters
from kronk_agent.engine.stats import EngineStats, StepCounters
from kronk_agent.testing import ScriptedModel, call

CHAPTER = Path(__file__).parents[2] / "docs" / "http-api.md"
HELLO: Any = [{"role": "user", "content": "Hello"}]


async def samples(server: Server) -> dict[tuple[str, ...], float]:
    """Values by metric name and label values, in the order of the label names."""
    response = await server.http.get("/metrics")
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def tokens(server: Server, model: str) -> tuple[float, float, float]:
    """Tokens counted so far: of prompts, of these from the cache, generated."""
    found = await samples(server)
    prompt, cached, generated = (
        found[f"kronk_agent_{name}_total", model]
        for name in ("prompt_tokens", "prompt_tokens_cached", "generation_tokens")
    )
    return prompt, cached, generated


async def test_requests_are_counted_by_route() -> None:
    async with running(scripted("Hi there.")) as server:
        await server.post("/v1/chat/completions", model="scripted", messages=HELLO)
        await server.http.get("/v1/some/secret/path")
        found = await samples(server)

    route = ("POST", "/v1/chat/completions")
    assert found["kronk_agent_http_requests_total", *route, "200"] == 1
    assert found["kronk_agent_http_request_duration_seconds_count", *route] == 1
    assert found["kronk_agent_http_time_to_first_byte_seconds_count", *route] == 1
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
async def test_tokens_of_a_chat_are_counted_in_every_protocol(
    path: str, body: dict[str, Any], stream: bool
) -> None:
    async with running(scripted("Hi there.")) as server:
        await server.post(path, model="scripted", **body, stream=stream)
        prompt, cached, generated = await tokens(server, "scripted")

    assert (cached, generated) == (0, 3)
    assert prompt > 0


async def test_every_turn_of_an_agent_is_counted_under_the_agents_name() -> None:
    async with running(scripted(call("add", a=1, b=2), "3")) as server:
        answer = await server.post("/v1/responses", model="agent/default", input="Add 1 and 2")
        usage = answer.json()["usage"]
        prompt, _, generated = await tokens(server, "agent/default")

    assert (prompt, generated) == (usage["input_tokens"], usage["output_tokens"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "fim", "prompt": ["a b", "c d"], "n": 2}),
        ("/v1/completions", {"model": "fim", "prompt": "a b", "best_of": 3, "n": 2}),
        ("/v1/embeddings", {"model": "bert", "input": ["a tree", "the sea"]}),
        ("/v1/rerank", {"model": "ranker", "query": "water", "documents": ["the sea", "a tree"]}),
    ],
)
async def test_token_counts_of_other_requests_equal_their_usage(
    models: Config, path: str, body: dict[str, Any]
) -> None:
    asked = body | ({"max_tokens": 4} if "prompt" in body else {})
    async with running(config=models) as server:
        usage = (await server.post(path, **asked)).json()["usage"]
        prompt, _, generated = await tokens(server, body["model"])

    assert prompt == usage["prompt_tokens"] > 0
    assert generated == usage.get("completion_tokens", 0)
    if "best_of" in body:
        assert generated == 3 * 4


async def test_tokens_of_llama_cpps_completions_are_counted(models: Config) -> None:
    async with running(config=models) as server:
        asked = {"model": "fim", "prompt": "a b", "n_predict": 4, "logit_bias": {"2": -100.0}}
        told = (await server.post("/completion", **asked)).json()
        prompt, _, generated = await tokens(server, "fim")

    assert (prompt, generated) == (told["tokens_evaluated"], 4)


async def test_a_turn_is_counted_even_if_its_run_fails_later() -> None:
    def fails(_: object) -> str:
        raise RuntimeError

    model: ScriptedModel = scripted(call("add", a=1, b=2), fails)
    async with running(model) as server:
        await server.post("/v1/chat/completions", model="agent/default", messages=HELLO)
        _, _, generated = await tokens(server, "agent/default")

    assert generated > 0


async def test_engines_have_metrics_once_they_are_loaded(models: Config) -> None:
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
            "num_requests_running",
            "num_requests_waiting",
            "kv_cells",
            "generation_tokens_total",
            "prefix_cache_hit_requests_total",
            "prefix_cache_hits_total",
            "prefix_cache_queries_total",
        )
    }
    assert told == {
        "num_requests_running": 0,
        "num_requests_waiting": 0,
        "kv_cells": models.engine.context_length,
        "generation_tokens_total": 8,
        "prefix_cache_hit_requests_total": 1,
        "prefix_cache_hits_total": usage["prompt_tokens_details"]["cached_tokens"],
        "prefix_cache_queries_total": 2 * usage["prompt_tokens"],
    }
    usage_key = "kronk_agent_engine_kv_cache_usage_perc", "fim"
    used = found["kronk_agent_engine_kv_cells_used", "fim"]
    assert found[usage_key] == used / told["kv_cells"] > 0


async def test_metrics_of_engines_can_be_read_while_they_generate() -> None:
    asked = {"prompt": "One, two,", "max_tokens": 1000, "stream": True}  # takes many seconds
    async with running() as server:
        model = server.runtime.models[0].name
        body = {**asked, "model": model}
        async with server.http.stream("POST", "/v1/completions", json=body) as response:
            await anext(response.aiter_lines())
            found = await samples(server)

    assert found["kronk_agent_engine_num_requests_running", model] == 1


def test_every_number_of_the_engine_statistics_is_a_metric() -> None:
    fields = {
        "kv_cache_usage",
        *_numbers(EngineStats),
        *(f"cache.{name}" for name in _numbers(CacheCounters)),
        *(f"steps.{name}" for name in _numbers(StepCounters)),
    }

    assert {metric.field for metric in ENGINE_METRICS} == fields


def test_the_docs_have_a_table_of_all_metrics() -> None:
    """``KRONK_UPDATE_DOCS=1`` writes the table."""
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
