"""Chunked prefill: how many tokens of which prompts each step computes."""

from __future__ import annotations

from typing import TypeAlias

from kronk_agent.engine.scheduling.step_time import StepTimeModel
from kronk_agent.engine.sequence import Sequence

_STEP_SECONDS = 0.25
"""Maximum step time with prompts in the batch, and so the longest a new prompt waits for a step.
On 2 CPU cores and a small model that is about 80 tokens; on a GPU it is more than a batch holds."""

_LONG_STEP_SECONDS = 1.0
"""Maximum step time if it delays no user: a single prompt with no other requests expected, or
prompts that finish in the step while no sequence is streamed. Larger steps make prefill a third
faster on a CPU."""

_STREAMING_STEP_SECONDS = 0.1
"""Maximum step time while a sequence is streamed: it is also the gap between two of its tokens.
Costs about 15 % of the prefill speed on a CPU."""

_SHARED_STREAMING_STEP_SECONDS = 0.2
"""The same with several prompts in prefill, so that short ones finish sooner."""

_MIN_PREFILL_SECONDS = 0.1
"""Minimum prefill time per step. Thirty streams alone take longer than the maximum step time:
prompts would be computed a few tokens at a time, and the streams would start and end one by one."""

_MIN_PREFILL_ROWS = 8
"""Minimum prompt tokens per step, of all prompts together, however slow the steps are."""

_OLDEST_PROMPT_DIVISOR = 32
"""One of this many prompt rows is reserved for the oldest prompt, so shorter ones cannot starve
it."""

_LONG_PROMPT_STEPS = 8
"""A prompt that needs more steps than this is long."""

FA_TILE_ROWS = 64
"""Rows of one sequence from which ggml's FlashAttention on a CPU computes them as a tile
(``GGML_FA_TILE_Q`` in its ``ops.cpp``): 64 rows take no longer than 48 computed one by one."""

TILED_ROW_COST = 0.6
"""Cost of a KV cell for a row in a tile, relative to a row outside: 0.5 to 0.6 measured with
contexts of 1,000 to 6,000 tokens."""

PrefillShare: TypeAlias = tuple[Sequence, int]


class PrefillPolicy:
    """Chooses how many tokens of each prompt a step computes.

    Args:
        step_time: predicts how long steps take.
        capacity: rows of a batch.
        is_unified: True if all sequences share one KV cache, False if each has its own.
    """

    def __init__(self, step_time: StepTimeModel, *, capacity: int, is_unified: bool) -> None:
        self._step_time = step_time
        self._capacity = capacity
        self._is_unified = is_unified

    def schedule(
        self,
        prefilling: list[Sequence],
        decoding: list[Sequence],
        num_rows: int,
        *,
        expects_more_requests: bool,
        since_last: float = 0.0,
    ) -> list[PrefillShare]:
        """Choose how many tokens of each prompt the next step computes.

        Args:
            prefilling: sequences in prefill, oldest first, at least one.
            decoding: sequences that generate in this step.
            num_rows: rows of ``decoding`` in the batch.
            expects_more_requests: True if more requests are likely to arrive soon.
            since_last: seconds since the last step; part of the gap between two streamed tokens.
        """
        cells = sum(self.cells(sequence, 1) for sequence in decoding)
        has_streams = any(sequence.is_streaming for sequence in (*decoding, *prefilling))
        if not has_streams and (chosen := self._finishable_prompts(prefilling, num_rows, cells)):
            return chosen
        delays_streams = any(sequence.is_streaming for sequence in decoding)
        if delays_streams:
            is_shared = len(prefilling) > 1
            seconds = _SHARED_STREAMING_STEP_SECONDS if is_shared else _STREAMING_STEP_SECONDS
        elif decoding or len(prefilling) > 1 or expects_more_requests:
            seconds = _STEP_SECONDS
        else:
            seconds = _LONG_STEP_SECONDS
        seconds = max(
            seconds, self._step_time.seconds(num_rows, cells=cells) + _MIN_PREFILL_SECONDS
        )
        if delays_streams:
            seconds -= since_last
        return self._split_budget(
            prefilling, seconds, num_rows, cells, is_prefill_only=not decoding
        )

    def cells(self, sequence: Sequence, rows: int) -> float:
        """Cost of attention of ``rows`` more rows of a sequence, in KV cells.

        0 in a unified KV cache, where every row passes over all cells and cells make no
        difference.
        """
        if self._is_unified:
            return 0
        return rows * sequence.num_computed * (TILED_ROW_COST if rows >= FA_TILE_ROWS else 1)

    def _finishable_prompts(
        self, prefilling: list[Sequence], num_rows: int, cells: float
    ) -> list[PrefillShare]:
        """The shortest prompts that one step can complete; may be empty."""
        chosen: list[PrefillShare] = []
        for sequence in sorted(prefilling, key=_num_pending):
            count = _num_pending(sequence)
            # Without a unified KV cache, llama.cpp computes prompts together up to the length of
            # the shorter one; neither of the resulting parts may then be large enough for a tile.
            if chosen and count >= FA_TILE_ROWS and not self._is_unified:
                break
            total_rows = num_rows + count
            cells += self.cells(sequence, count)
            seconds = self._step_time.seconds(total_rows, cells=cells)
            if total_rows > self._capacity or seconds > _LONG_STEP_SECONDS:
                break
            num_rows = total_rows
            chosen.append((sequence, count))
        if chosen and all(sequence is not prefilling[0] for sequence, _ in chosen):
            reserved = max(1, num_rows // _OLDEST_PROMPT_DIVISOR)
            chosen.append((prefilling[0], min(reserved, self._capacity - num_rows)))
        return chosen

    def _split_budget(
        self,
        prefilling: list[Sequence],
        seconds: float,
        num_rows: int,
        cells: float,
        *,
        is_prefill_only: bool,
    ) -> list[PrefillShare]:
        """Split a step of ``seconds`` between the prompts, shortest first.

        A long prompt does not delay a short one; the oldest prompt always gets some rows, so that
        it cannot starve. A step that completes a prompt is not filled up with long prompts that
        continue after it, so that it ends sooner.
        """
        capacity = self._capacity
        if num_rows >= capacity:
            return []
        shortest_first = sorted(prefilling, key=_num_pending)
        shortest, oldest = shortest_first[0], prefilling[0]
        budget = max(self._max_rows(shortest, seconds, num_rows, cells), _MIN_PREFILL_ROWS)
        if is_prefill_only and budget >= FA_TILE_ROWS // 2:
            budget = -(-budget // FA_TILE_ROWS) * FA_TILE_ROWS
            if _num_pending(shortest) <= 2 * budget:
                budget = max(budget, _num_pending(shortest))
        budget = min(budget, capacity - num_rows)
        seconds = max(
            seconds,
            self._step_time.seconds(num_rows + budget, cells=cells + self.cells(shortest, budget)),
        )
        before_prefill = num_rows, cells
        chosen = dict.fromkeys(prefilling, 0)
        reserved = budget if oldest is shortest else max(1, budget // _OLDEST_PROMPT_DIVISOR)
        chosen[oldest] = min(_num_pending(oldest), reserved)
        num_rows += chosen[oldest]
        cells += self.cells(oldest, chosen[oldest])
        finishes_a_prompt = False
        for sequence in shortest_first:
            wanted = _num_pending(sequence) - chosen[sequence]
            if finishes_a_prompt and wanted > _LONG_PROMPT_STEPS * self._max_rows(
                sequence, seconds, *before_prefill
            ):
                continue
            fitting = min(self._max_rows(sequence, seconds, num_rows, cells), capacity - num_rows)
            taken = min(wanted, fitting)
            finishes_a_prompt |= taken == wanted
            chosen[sequence] += taken
            num_rows += taken
            cells += self.cells(sequence, taken)
            if taken == fitting:
                break
        return [*chosen.items()]

    def _max_rows(self, sequence: Sequence, seconds: float, num_rows: int, cells: float) -> int:
        """Maximum number of rows of a sequence that can be added to a step of ``seconds``."""

        def within(cells_each: float) -> int | None:
            return self._step_time.max_rows_within(
                seconds, beside=num_rows, cells=cells, cells_each=cells_each
            )

        rows = within(self.cells(sequence, FA_TILE_ROWS) / FA_TILE_ROWS)
        if rows is None:
            return self._capacity
        if rows >= FA_TILE_ROWS:
            return rows
        return min(within(self.cells(sequence, 1)) or 0, FA_TILE_ROWS - 1)


def _num_pending(sequence: Sequence) -> int:
    return len(sequence.pending)
