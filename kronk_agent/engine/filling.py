"""How many tokens of which prompts a step reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from kronk_agent.engine.sequence import Sequence
from kronk_agent.engine.step_cost import StepCost

_SECONDS = 0.25
"""How long the prompts in a step may make it: what a prompt that comes now waits to be looked at.
On 2 CPU cores and a small model that is about 80 tokens; on a GPU it is more than a batch holds."""

_SECONDS_UNWATCHED = 1.0
"""The same where it holds up nobody: a prompt has the engine to itself, and had for a while; or
nobody watches what is generated, and prompts end with the step. Larger steps read a third faster
on a CPU."""

_SECONDS_GENERATING = 0.1
"""The same while somebody is watched generating: then it is the gap between two of their tokens
too. It costs about 15 % of the speed at which a prompt is read on a CPU."""

_SECONDS_BOTH = 0.2
"""The same with several prompts: the short ones get on sooner."""

_PROMPT_SECONDS = 0.1
"""What prompts get of a step in any case. With thirty streams, which take longer than that, they
would else be read a few tokens at a time, and the streams would start and end one by one."""

_FEWEST_ROWS = 8
"""Prompts go on by at least this many tokens a step, together, however slow the steps are."""

_RESERVED_SHARE = 32
"""One prompt row of so many is the oldest prompt's, however many shorter ones come."""

_LONG_STEPS = 8
"""A prompt is long that takes more steps than that."""

_TILE = 64
"""From so many rows of one sequence on ggml's FlashAttention computes them together on a CPU
(``GGML_FA_TILE_Q`` in its ``ops.cpp``), with which 64 rows take no longer than 48 one by one."""

_TILED_CELL = 0.6
"""What a cell costs a row that is computed so, by what it costs others: 0.5 to 0.6 measured with
contexts of 1,000 to 6,000 tokens."""

Share: TypeAlias = tuple[Sequence, int]


class Filling:
    """Chooses what prompts get of a step.

    Args:
        cost: what steps have taken so far.
        capacity: rows of a batch.
        is_unified: is there one KV memory for all?
    """

    def __init__(self, cost: StepCost, *, capacity: int, is_unified: bool) -> None:
        self._cost = cost
        self._capacity = capacity
        self._is_unified = is_unified

    def shares(
        self,
        reading: list[Sequence],
        generating: list[Sequence],
        num_rows: int,
        *,
        expects_others: bool,
    ) -> list[Share]:
        """How many tokens of each prompt this step reads.

        Args:
            reading: the prompts, the oldest first, at least one.
            generating: who generates in this step.
            num_rows: the rows these have in it.
            expects_others: are more requests likely to come soon?
        """
        cells = sum(self.cells(sequence, 1) for sequence in generating)
        is_watched = any(sequence.is_watched for sequence in (*generating, *reading))
        if not is_watched and (whole := self._whole(reading, num_rows, cells)):
            return whole
        if any(sequence.is_watched for sequence in generating):
            seconds = _SECONDS_BOTH if len(reading) > 1 else _SECONDS_GENERATING
        elif generating or len(reading) > 1 or expects_others:
            seconds = _SECONDS
        else:
            seconds = _SECONDS_UNWATCHED
        seconds = max(seconds, self._cost.seconds(num_rows, cells=cells) + _PROMPT_SECONDS)
        shortest = min(reading, key=_num_pending)
        room = self._room(shortest, seconds, num_rows, cells)
        if not generating and room >= _TILE // 2:
            room = -(-room // _TILE) * _TILE
            if _num_pending(shortest) <= 2 * room:
                room = max(room, _num_pending(shortest))
        return list(_divide(reading, min(room, self._capacity - num_rows), self._seconds_a_row))

    def cells(self, sequence: Sequence, rows: int) -> float:
        """Cells at which so many rows of a sequence look, all together, beyond those at which all
        rows look: so many as take as long."""
        if self._is_unified:
            return 0
        return rows * sequence.num_computed * (_TILED_CELL if rows >= _TILE else 1)

    def _whole(self, reading: list[Sequence], num_rows: int, cells: float) -> list[Share]:
        """The shortest prompts that can be read to their ends in one step; none may be."""
        chosen: list[Share] = []
        for sequence in sorted(reading, key=_num_pending):
            count = _num_pending(sequence)
            # In memories of their own prompts are computed together as far as the shorter one
            # goes, and neither of these parts might be a tile.
            if chosen and count >= _TILE and not self._is_unified:
                break
            with_it = num_rows + count
            cells += self.cells(sequence, count)
            seconds = self._cost.seconds(with_it, cells=cells)
            if with_it > self._capacity or seconds > _SECONDS_UNWATCHED:
                break
            num_rows = with_it
            chosen.append((sequence, count))
        if chosen and all(sequence is not reading[0] for sequence, _ in chosen):
            reserved = max(1, num_rows // _RESERVED_SHARE)
            chosen.append((reading[0], min(reserved, self._capacity - num_rows)))
        return chosen

    def _room(self, sequence: Sequence, seconds: float, num_rows: int, cells: float) -> int:
        """How many rows of a sequence a step may have at most, beside those it has."""

        def within(cells_each: float) -> int | None:
            return self._cost.rows_within(
                seconds, beside=num_rows, cells=cells, cells_each=cells_each
            )

        rows = within(self.cells(sequence, _TILE) / _TILE)
        if rows is None:
            return self._capacity
        if rows < _TILE:
            rows = min(within(self.cells(sequence, 1)) or 0, _TILE - 1)
        return max(rows, _FEWEST_ROWS)

    def _seconds_a_row(self, sequence: Sequence, room: int) -> float:
        """What one of its rows takes in a step with about so much room; 0 before anything is known.

        Steps with the last few rows of a long prompt tell nothing of what as many of a short one
        take, so that its own number counts.
        """
        rows = min(_num_pending(sequence), max(room, _TILE - 1))
        return self._cost.seconds(rows, cells=self.cells(sequence, rows)) / rows


def _divide(
    reading: list[Sequence], room: int, seconds_a_row: Callable[[Sequence, int], float]
) -> Iterator[Share]:
    """Divide ``room`` rows of the shortest prompt, or what takes as long: the shortest first, so
    that a long prompt does not hold up a short one, but some for the one that has been reading
    longest, so that it gets on too.

    A step with which a prompt ends is not filled up with long ones that go on after it: it is over
    sooner.

    Args:
        reading: the prompts, the oldest first.
        room: how many rows.
        seconds_a_row: what a row of a prompt takes in a step with so much room.
    """
    if room <= 0:
        return
    shortest_first = sorted(reading, key=_num_pending)
    seconds = [seconds_a_row(sequence, room) for sequence in shortest_first]
    oldest = reading[0]
    reserved = min(len(oldest.pending), max(1, room // _RESERVED_SHARE))
    left = room - reserved * _ratio(seconds[shortest_first.index(oldest)], seconds[0])
    someone_ends = False
    for sequence, each in zip(shortest_first, seconds, strict=True):
        price = _ratio(each, seconds[0])
        own = reserved if sequence is oldest else 0
        wanted = len(sequence.pending) - own
        is_long = wanted * price > _LONG_STEPS * room
        taken = 0 if someone_ends and is_long else min(wanted, max(int(left / price), 0))
        someone_ends |= taken == wanted
        left -= taken * price
        yield sequence, own + taken


def _ratio(a: float, b: float) -> float:
    """1 where nothing is known."""
    return a / b if a and b else 1.0


def _num_pending(sequence: Sequence) -> int:
    return len(sequence.pending)
