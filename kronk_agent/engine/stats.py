"""Engine statistics: current state and totals, for users and metrics."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from typing import Literal

from kronk_agent.engine.kv_cache.prefix_cache import CacheCounters
from kronk_agent.engine.sequence import Priority, Sequence


@dataclass(slots=True)
class StepCounters:
    """Totals since the engine was opened; seconds are wall-clock time of the worker thread."""

    steps: int = 0
    """Batches computed."""
    rows: int = 0
    """Rows of all batches; one per token."""
    prefill_tokens: int = 0
    """Prompt tokens computed."""
    generated_tokens: int = 0
    fast_forward_tokens: int = 0
    """Generated tokens that the grammar left no choice about."""
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    """Drafted tokens that the model accepted."""
    preemptions: int = 0
    prefill_seconds: float = 0.0
    """Time in ``llama_decode``, in proportion to the prompt rows of each batch."""
    compute_seconds: float = 0.0
    """Time in ``llama_decode``, prefill included."""
    sampling_seconds: float = 0.0
    """Time in samplers and grammar checks."""
    busy_seconds: float = 0.0
    """Time with at least one sequence to run."""

    def add_step(self, seconds: float, *, rows: int, prefill_tokens: int) -> None:
        """Count one batch of ``rows`` rows that took ``seconds``."""
        self.steps += 1
        self.rows += rows
        self.prefill_tokens += prefill_tokens
        self.compute_seconds += seconds
        self.prefill_seconds += seconds * prefill_tokens / rows


@dataclass(frozen=True, slots=True)
class SequenceState:
    """One generation in the engine."""

    state: Literal["waiting", "prefill", "decode"]
    priority: Priority
    prompt_tokens: int
    computed_tokens: int
    """Tokens in the KV cache."""
    generated_tokens: int
    cached_tokens: int
    """Prompt tokens that came from the prefix cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Snapshot of the engine between two steps."""

    num_waiting: int
    """Sequences in the queue."""
    num_running: int
    """Sequences in prefill or decode."""
    cached_sequences: int
    """Finished and pinned sequences whose KV cells are kept for reuse."""
    kv_cells_used: int
    kv_cells_total: int
    sequences: tuple[SequenceState, ...]
    """Running sequences, then waiting ones."""
    cache: CacheCounters
    steps: StepCounters

    @property
    def kv_cache_usage(self) -> float:
        """Share of the KV cells in use, 0 to 1."""
        return self.kv_cells_used / self.kv_cells_total

    @property
    def rows_per_step(self) -> float:
        """Mean batch occupancy."""
        return self.steps.rows / self.steps.steps if self.steps.steps else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens per second of busy time."""
        busy = self.steps.busy_seconds
        return self.steps.generated_tokens / busy if busy else 0.0

    @staticmethod
    def of(
        steps: StepCounters,
        cache: CacheCounters,
        *,
        running: Many[Sequence],
        waiting: Many[Sequence],
        cached_sequences: int,
        kv_cells_used: int,
        kv_cells_total: int,
    ) -> EngineStats:
        """Copy the counters and the state of the sequences."""
        return EngineStats(
            num_waiting=len(waiting),
            num_running=len(running),
            cached_sequences=cached_sequences,
            kv_cells_used=kv_cells_used,
            kv_cells_total=kv_cells_total,
            sequences=tuple(_state(sequence) for sequence in [*running, *waiting]),
            cache=replace(cache),
            steps=replace(steps),
        )


def _state(sequence: Sequence) -> SequenceState:
    state: Literal["waiting", "prefill", "decode"] = "decode"
    if sequence.id is None:
        state = "waiting"
    elif sequence.is_prefilling:
        state = "prefill"
    return SequenceState(
        state,
        sequence.priority,
        sequence.num_prompt_tokens,
        sequence.num_computed,
        sequence.num_generated,
        sequence.num_cached,
    )
