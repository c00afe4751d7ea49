"""What loaded engines are doing and have done, as metrics. Nothing is loaded for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from kronk_agent.engine.stats import EngineStats
from kronk_agent.runtime import Runtime

Kind: TypeAlias = Literal["counter", "gauge"]

_PREFIX = "kronk_agent_engine_"


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the numbers of an engine."""

    field: str
    """Where it is in ``EngineStats``."""
    kind: Kind
    name: str
    """Without what all begin with, and counters without their ``_total``."""
    documentation: str

    def family(self, stats: Mapping[str, EngineStats]) -> Metric:
        """This number of each model's engine."""
        form = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = form(_PREFIX + self.name, self.documentation, labels=("model",))
        for model, one in stats.items():
            family.add_metric((model,), float(attrgetter(self.field)(one)))
        return family


FIGURES = (
    Figure("queue_depth", "gauge", "queue_depth", "Generations that wait for a place."),
    Figure("running", "gauge", "running", "Generations that are read or written."),
    Figure("resident", "gauge", "resident", "Sequences kept for others to share."),
    Figure("cells_used", "gauge", "cells_used", "Cells of the KV memory in use; one a token."),
    Figure("cells_total", "gauge", "cells", "Cells of the KV memory there are."),
    Figure(
        "cache.hits",
        "counter",
        "cache_hits",
        "Generations that found a part of their prompt computed.",
    ),
    Figure("cache.misses", "counter", "cache_misses", "Generations that found nothing computed."),
    Figure("cache.hit_tokens", "counter", "cache_hit_tokens", "Prompt tokens found computed."),
    Figure("cache.miss_tokens", "counter", "cache_miss_tokens", "Prompt tokens that were not."),
    Figure("cache.evictions", "counter", "cache_evictions", "Sequences that lost their cells."),
    Figure("cache.spills", "counter", "cache_spills", "States saved to host memory."),
    Figure("cache.restores", "counter", "cache_restores", "States put back from there."),
    Figure("steps.steps", "counter", "steps", "Batches that were computed."),
    Figure("steps.rows", "counter", "rows", "Rows of all batches; one a token."),
    Figure("steps.prefill_tokens", "counter", "prefill_tokens", "Prompt tokens computed."),
    Figure("steps.generated_tokens", "counter", "generated_tokens", "Tokens generated."),
    Figure(
        "steps.forced_tokens", "counter", "forced_tokens", "Generated tokens that a grammar forced."
    ),
    Figure("steps.drafted_tokens", "counter", "drafted_tokens", "Tokens guessed ahead."),
    Figure(
        "steps.accepted_tokens",
        "counter",
        "accepted_tokens",
        "Guessed tokens that the model agreed with.",
    ),
    Figure("steps.preemptions", "counter", "preemptions", "Generations that made room for others."),
    Figure("steps.prefill_seconds", "counter", "prefill_seconds", "Spent on computing prompts."),
    Figure(
        "steps.decode_seconds", "counter", "decode_seconds", "Spent on computing, prompts included."
    ),
    Figure(
        "steps.sampling_seconds", "counter", "sampling_seconds", "Spent in samplers and grammars."
    ),
    Figure("steps.busy_seconds", "counter", "busy_seconds", "In which there was anything to do."),
)


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """The figures of all loaded engines at one moment, for ``generate_latest``."""

    stats: Mapping[str, EngineStats]
    """By model."""

    @classmethod
    async def of(cls, runtime: Runtime) -> EngineMetrics:
        """Look at every engine between two of its steps."""
        stats: dict[str, EngineStats] = {}
        for entry in runtime.models:
            if entry.place != "local":
                continue
            with runtime.loaded_engine(entry.name) as engine:
                if engine is not None:
                    stats[entry.name] = await engine.stats()
        return cls(stats)

    def collect(self) -> Iterator[Metric]:
        for figure in FIGURES:
            yield figure.family(self.stats)
