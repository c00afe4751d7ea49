"""Metrics of the loaded engines. Collecting them loads no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from kronk_agent.engine.stats import EngineStats
from kronk_agent.runtime import Runtime

MetricType: TypeAlias = Literal["counter", "gauge"]

_PREFIX = "kronk_agent_engine_"


@dataclass(frozen=True, slots=True)
class EngineMetric:
    """One metric of an engine. Where vLLM has the same metric, the name ends as vLLM's does."""

    field: str
    """Attribute path in ``EngineStats``."""
    type: MetricType
    name: str
    """Name without the common prefix, and for counters without ``_total``."""
    documentation: str

    def family(self, stats: Mapping[str, EngineStats]) -> Metric:
        """One sample for each loaded model, labelled ``model``."""
        form = CounterMetricFamily if self.type == "counter" else GaugeMetricFamily
        family = form(_PREFIX + self.name, self.documentation, labels=("model",))
        for model, one in stats.items():
            family.add_metric((model,), float(attrgetter(self.field)(one)))
        return family


ENGINE_METRICS = (
    EngineMetric("num_waiting", "gauge", "num_requests_waiting", "Requests in the queue."),
    EngineMetric("num_running", "gauge", "num_requests_running", "Requests in prefill or decode."),
    EngineMetric(
        "cached_sequences", "gauge", "cached_sequences", "Idle sequences kept in the KV cache."
    ),
    EngineMetric(
        "kv_cells_used",
        "gauge",
        "kv_cells_used",
        "KV cells in use, cached sequences included; one per token.",
    ),
    EngineMetric("kv_cells_total", "gauge", "kv_cells", "KV cells of the context."),
    EngineMetric(
        "kv_cache_usage",
        "gauge",
        "kv_cache_usage_perc",
        "Share of the KV cells in use, cached sequences included; 1 means all.",
    ),
    EngineMetric(
        "cache.hits",
        "counter",
        "prefix_cache_hit_requests",
        "Requests that found a part of their prompt in the prefix cache.",
    ),
    EngineMetric(
        "cache.misses",
        "counter",
        "prefix_cache_miss_requests",
        "Requests that found nothing in the prefix cache.",
    ),
    EngineMetric(
        "cache.queried_tokens",
        "counter",
        "prefix_cache_queries",
        "Prompt tokens looked up in the prefix cache.",
    ),
    EngineMetric(
        "cache.hit_tokens",
        "counter",
        "prefix_cache_hits",
        "Prompt tokens found in the prefix cache.",
    ),
    EngineMetric(
        "cache.evictions",
        "counter",
        "kv_cache_evictions",
        "Idle sequences evicted from the KV cache.",
    ),
    EngineMetric(
        "cache.offloads",
        "counter",
        "kv_cache_offloads",
        "Sequence states saved to host memory.",
    ),
    EngineMetric(
        "cache.restores",
        "counter",
        "kv_cache_restores",
        "Sequence states restored from host memory or files.",
    ),
    EngineMetric("steps.steps", "counter", "steps", "Batches computed."),
    EngineMetric("steps.rows", "counter", "batch_rows", "Batch rows computed; one per token."),
    EngineMetric("steps.prefill_tokens", "counter", "prefill_tokens", "Prompt tokens computed."),
    EngineMetric("steps.generated_tokens", "counter", "generation_tokens", "Tokens generated."),
    EngineMetric(
        "steps.fast_forward_tokens",
        "counter",
        "fast_forward_tokens",
        "Generated tokens that the grammar left no choice about.",
    ),
    EngineMetric(
        "steps.drafted_tokens",
        "counter",
        "spec_decode_num_draft_tokens",
        "Tokens drafted by prompt lookup.",
    ),
    EngineMetric(
        "steps.accepted_tokens",
        "counter",
        "spec_decode_num_accepted_tokens",
        "Drafted tokens that the model accepted.",
    ),
    EngineMetric("steps.preemptions", "counter", "num_preemptions", "Requests preempted."),
    EngineMetric(
        "steps.prefill_seconds", "counter", "prefill_seconds", "Time computing prompt tokens."
    ),
    EngineMetric(
        "steps.compute_seconds",
        "counter",
        "compute_seconds",
        "Time in llama_decode, prefill included.",
    ),
    EngineMetric(
        "steps.sampling_seconds",
        "counter",
        "sampling_seconds",
        "Time in samplers and grammar checks.",
    ),
    EngineMetric(
        "steps.busy_seconds", "counter", "busy_seconds", "Time with at least one request to serve."
    ),
)


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """Metrics of all loaded engines at one moment, as a collector for ``generate_latest``."""

    stats: Mapping[str, EngineStats]
    """Statistics by model name."""

    @classmethod
    async def of(cls, runtime: Runtime) -> EngineMetrics:
        """Read the statistics of every loaded engine between two of its steps."""
        stats: dict[str, EngineStats] = {}
        for entry in runtime.models:
            if entry.place != "local":
                continue
            with runtime.loaded_engine(entry.name) as engine:
                if engine is not None:
                    stats[entry.name] = await engine.stats()
        return cls(stats)

    def collect(self) -> Iterator[Metric]:
        """One metric family for each of ``ENGINE_METRICS``."""
        for metric in ENGINE_METRICS:
            yield metric.family(self.stats)
