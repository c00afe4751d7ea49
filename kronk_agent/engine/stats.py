"""What the engine is doing and has done, for people and metrics."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from typing import Literal

from kronk_agent.engine.kv_cache.prefix_cache import CacheCounters
from kronk_agent.engine.sequence import Priority, Sequence


@dataclass(slots=True)
class StepCounters:
    """Totals since the engine was opened; seconds are of the worker thread."""

    steps: int = 0
    rows: int = 0
    prefill_tokens: int = 0
    """Prompt tokens that were computed."""
    generated_tokens: int = 0
    forced_tokens: int = 0
    """Of the generated ones: those that a grammar left no choice of."""
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    """Of the drafted ones: those the model agreed with."""
    preemptions: int = 0
    prefill_seconds: float = 0.0
    """In ``llama_decode``, the prompt rows' part of it."""
    decode_seconds: float = 0.0
    """In ``llama_decode``, all of it."""
    sampling_seconds: float = 0.0
    """In samplers and grammar checks."""
    busy_seconds: float = 0.0
    """All the time in which there was anything to do."""

    def add_step(self, seconds: float, *, rows: int, prefill_tokens: int) -> None:
        self.steps += 1
        self.rows += rows
        self.prefill_tokens += prefill_tokens
        self.decode_seconds += seconds
        self.prefill_seconds += seconds * prefill_tokens / rows


@dataclass(frozen=True, slots=True)
class SequenceState:
    """One generation in the engine."""

    state: Literal["waiting", "reading", "generating"]
    priority: Priority
    prompt_tokens: int
    computed_tokens: int
    """Tokens in the KV memory."""
    generated_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """A look at the engine between two steps."""

    queue_depth: int
    running: int
    resident: int
    """Finished and pinned sequences whose cells are kept for others to share."""
    cells_used: int
    cells_total: int
    sequences: tuple[SequenceState, ...]
    cache: CacheCounters
    steps: StepCounters

    @property
    def rows_per_step(self) -> float:
        """Mean batch occupancy."""
        return self.steps.rows / self.steps.steps if self.steps.steps else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens by the time the engine was busy."""
        busy = self.steps.busy_seconds
        return self.steps.generated_tokens / busy if busy else 0.0

    @staticmethod
    def of(
        steps: StepCounters,
        cache: CacheCounters,
        *,
        running: Many[Sequence],
        waiting: Many[Sequence],
        resident: int,
        cells_used: int,
        cells_total: int,
    ) -> EngineStats:
        """A copy of it all."""
        return EngineStats(
            queue_depth=len(waiting),
            running=len(running),
            resident=resident,
            cells_used=cells_used,
            cells_total=cells_total,
            sequences=tuple(_state(sequence) for sequence in [*running, *waiting]),
            cache=replace(cache),
            steps=replace(steps),
        )


def _state(sequence: Sequence) -> SequenceState:
    state: Literal["waiting", "reading", "generating"] = "generating"
    if sequence.id is None:
        state = "waiting"
    elif sequence.is_reading:
        state = "reading"
    return SequenceState(
        state,
        sequence.priority,
        sequence.num_prompt_tokens,
        sequence.num_computed,
        sequence.num_generated,
        sequence.num_cached,
    )
