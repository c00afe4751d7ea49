"""How many tokens of which prompts a step reads."""

from __future__ import annotations

from typing import TypeAlias

from kronk_agent.engine.scheduling.step_time import StepTimeModel
from kronk_agent.engine.sequence import Sequence

_STEP_SECONDS = 0.25
"""How long the prompts in a step may make it: what a prompt that comes now waits to be looked at.
On 2 CPU cores and a small model that is about 80 tokens; on a GPU it is more than a batch holds."""

_LONG_STEP_SECONDS = 1.0
"""The same where it holds up nobody: a prompt has the engine to itself, and had for a while; or
nobody watches what is generated, and prompts end with the step. Larger steps read a third faster
on a CPU."""

_STREAMING_STEP_SECONDS = 0.1
"""The same while somebody is watched generating: then it is the gap between two of their tokens
too. It costs about 15 % of the speed at which a prompt is read on a CPU."""

_STREAMING_STEP_SECONDS_MANY_PROMPTS = 0.2
"""The same with several prompts: the short ones get on sooner."""

_MIN_PREFILL_SECONDS = 0.1
"""What prompts get of a step in any case. With thirty streams, which take longer than that, they
would else be read a few tokens at a time, and the streams would start and end one by one."""

_MIN_PREFILL_ROWS = 8
"""Prompts go on by at least this many tokens a step, together, however slow the steps are."""

_OLDEST_PROMPT_DIVISOR = 32
"""One prompt row of so many is the oldest prompt's, however many shorter ones come."""

_LONG_PROMPT_STEPS = 8
"""A prompt is long that takes more steps than that."""

FA_TILE_ROWS = 64
"""From so many rows of one sequence on ggml's FlashAttention computes them together on a CPU
(``GGML_FA_TILE_Q`` in its ``ops.cpp``), with which 64 rows take no longer than 48 one by one."""

TILED_ROW_COST = 0.6
"""What a cell costs a row that is computed so, by what it costs others: 0.5 to 0.6 measured with
contexts of 1,000 to 6,000 tokens."""

PrefillShare: TypeAlias = tuple[Sequence, int]


class PrefillPolicy:
    """Chooses what prompts get of a step.

    Args:
        cost: what steps have taken so far.
        capacity: rows of a batch.
        is_unified: is there one KV memory for all?
    """

    def __init__(self, cost: StepTimeModel, *, capacity: int, is_unified: bool) -> None:
        self._step_time = cost
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
        """How many tokens of each prompt this step reads.

        Args:
            reading: the prompts, the oldest first, at least one.
            generating: who generates in this step.
            num_rows: the rows these have in it.
            expects_others: are more requests likely to come soon?
            since_last: seconds since the last step, which are part of the gap between two tokens
                of those who generate.
        """
        cells = sum(self.cells(sequence, 1) for sequence in decoding)
        is_streaming = any(sequence.is_streaming for sequence in (*decoding, *prefilling))
        if not is_streaming and (
            finishable := self._finishable_prompts(prefilling, num_rows, cells)
        ):
            return finishable
        delays_streams = any(sequence.is_streaming for sequence in decoding)
        if delays_streams:
            seconds = (
                _STREAMING_STEP_SECONDS_MANY_PROMPTS
                if len(prefilling) > 1
                else _STREAMING_STEP_SECONDS
            )
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
        """Cells at which so many rows of a sequence look, all together, beyond those at which all
        rows look: so many as take as long."""
        if self._is_unified:
            return 0
        return rows * sequence.num_computed * (TILED_ROW_COST if rows >= FA_TILE_ROWS else 1)

    def _finishable_prompts(
        self, prefilling: list[Sequence], num_rows: int, cells: float
    ) -> list[PrefillShare]:
        """The shortest prompts that can be read to their ends in one step; none may be."""
        chosen: list[PrefillShare] = []
        for sequence in sorted(prefilling, key=_num_pending):
            count = _num_pending(sequence)
            # In memories of their own prompts are computed together as far as the shorter one
            # goes, and neither of these parts might be a tile.
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
        """As many rows of the shortest prompt as a step of so many seconds may have, and where that
        leaves time those of the next: a long prompt does not hold up a short one. Some are the
        oldest's in any case, so that it gets on too.

        A step with which a prompt ends is not filled up with long ones that go on after it: it is
        over sooner.
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
        """How many rows of a sequence a step may have at most, beside those it has."""

        def within(cells_each: float) -> int | None:
            return self._step_time.max_rows_within(
                seconds, beside=num_rows, cells=cells, cells_each=cells_each
            )

        rows = within(self.cells(sequence, FA_TILE_ROWS) / FA_TILE_ROWS)
        if rows is None:
            return self._capacity
        return (
            rows
            if rows >= FA_TILE_ROWS
            else min(within(self.cells(sequence, 1)) or 0, FA_TILE_ROWS - 1)
        )


def _num_pending(sequence: Sequence) -> int:
    return len(sequence.pending)
