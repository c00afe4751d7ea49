"""Prompt tokens per step, beside decoding sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from kronk_agent.engine.scheduling.prefill import PrefillPolicy
from kronk_agent.engine.scheduling.step_time import StepTimeModel

ROW = 0.004
"""Seconds per row."""
CELL = 2e-6
"""Additional seconds per KV cell that a row attends to."""


@dataclass(eq=False)
class Prompt:
    """The attributes of a sequence that the prefill policy uses."""

    num_pending: int
    num_computed: int = 0
    is_streaming: bool = True

    @property
    def pending(self) -> range:
        return range(self.num_pending)


@dataclass(eq=False)
class Stream(Prompt):
    num_pending: int = 1


def learned() -> StepTimeModel:
    cost = StepTimeModel()
    for _ in range(40):
        for rows in (1, 8, 16, 32, 64, 128, 256, 512):
            cost.add(rows, ROW * rows)
        cost.add(8, ROW * 8 + CELL * 8 * 4000, cells=8 * 4000)
    return cost


def schedule(
    *prompts: Prompt,
    beside: tuple[Stream, ...] = (),
    is_unified: bool = False,
    expects_more_requests: bool = False,
    since_last: float = 0.0,
    cost: StepTimeModel | None = None,
) -> list[int]:
    prefill = PrefillPolicy(cost or learned(), capacity=512, is_unified=is_unified)
    prefilling: list[Any] = [*prompts]
    decoding: list[Any] = [*beside]
    chosen: dict[Any, int] = dict(
        prefill.schedule(
            prefilling,
            decoding,
            len(decoding),
            expects_more_requests=expects_more_requests,
            since_last=since_last,
        )
    )
    return [chosen.get(prompt, 0) for prompt in prefilling]


STREAMED = (Stream(),)
NOT_STREAMED = (Stream(is_streaming=False),)


def long(number: int = 6000, *, is_streaming: bool = True) -> Prompt:
    return Prompt(number, is_streaming=is_streaming)


def short(number: int = 40, *, is_streaming: bool = False) -> Prompt:
    return Prompt(number, is_streaming=is_streaming)


def test_the_first_step_has_all_prompt_tokens() -> None:
    assert schedule(long(), cost=StepTimeModel()) == [512]


def test_beside_a_stream_a_prompt_gets_a_tenth_of_a_second() -> None:
    assert schedule(long(), beside=STREAMED) == [pytest.approx(0.1 / ROW, abs=2)]


def test_time_between_two_steps_is_part_of_the_gap_of_a_stream() -> None:
    late = schedule(long(), beside=STREAMED, since_last=0.06)
    too_late = schedule(long(), beside=STREAMED, since_last=0.3)
    unwatched = schedule(long(), beside=NOT_STREAMED, since_last=0.3)

    assert late == [pytest.approx(0.04 / ROW, abs=2)]
    assert too_late == [8]
    assert unwatched == schedule(long(), beside=NOT_STREAMED)


def test_a_step_takes_no_longer_for_the_last_tokens_of_a_prompt_beside_another() -> None:
    """However little a row more adds to what a step takes in any case."""
    cost = learned()
    for _ in range(40):
        cost.add(1, 0.1)
        cost.add(2, 0.1)

    oldest, ending = schedule(Prompt(50, num_computed=4000), short(2), beside=STREAMED, cost=cost)

    seconds = cost.seconds(3 + oldest, cells=oldest * 4000)
    assert ending == 2
    assert seconds == pytest.approx(0.2, abs=0.02)


def test_the_shortest_prompt_comes_first_and_the_oldest_progresses() -> None:
    oldest, youngest = schedule(long(), short(45), beside=STREAMED)

    assert (oldest > 0, youngest) == (True, 45)


def test_a_step_is_filled_up_with_other_short_prompts() -> None:
    assert schedule(short(20), short(22), short(24), beside=STREAMED) == [
        20,
        22,
        pytest.approx(7, abs=1),
    ]


def test_rows_that_look_at_many_cells_take_up_more_room() -> None:
    near = schedule(Prompt(60), short(10), beside=STREAMED)[0]
    far = schedule(Prompt(60, num_computed=4000), short(10), beside=STREAMED)[0]

    assert far == pytest.approx(near * ROW / (ROW + 4000 * CELL), abs=3)


def test_a_long_prompt_does_not_extend_a_step_that_completes_a_short_one() -> None:
    oldest, youngest = schedule(long(), short(20), beside=STREAMED)

    assert (oldest <= 2, youngest) == (True, 20)


def test_without_streams_prompts_are_completed() -> None:
    assert schedule(short(100), beside=NOT_STREAMED) == [100]
    assert schedule(short(40), short(45), short(50), beside=NOT_STREAMED) == [40, 45, 50]
    assert schedule(short(40), short(45), long(5000, is_streaming=False)) == [40, 45, 0]


def test_without_streams_the_oldest_prompt_progresses() -> None:
    oldest = long(is_streaming=False)

    assert schedule(oldest, short(40), short(50)) == [2, 40, 50]
    assert schedule(oldest, short(20)) == [1, 20]


def test_in_separate_kv_caches_two_prompts_with_tiles_are_computed_in_turn() -> None:
    prompts = [short(70), short(90), short(30), short(20)]

    assert schedule(*prompts, beside=NOT_STREAMED) == [1, 0, 30, 20]
    assert schedule(*prompts[:2], beside=NOT_STREAMED) == [70, 0]
    assert schedule(*prompts, beside=NOT_STREAMED, is_unified=True) == [70, 90, 30, 20]


def test_a_stream_gets_short_steps_beside_any_other_sequence() -> None:
    assert schedule(short(100), beside=(*STREAMED, *NOT_STREAMED))[0] < 30
    assert schedule(short(100), short(100, is_streaming=True), beside=NOT_STREAMED)[0] <= 64


def test_a_prompt_too_long_for_a_step_does_not_stall_decoding_sequences() -> None:
    assert schedule(long(is_streaming=False), beside=NOT_STREAMED)[0] < 64


def test_a_single_prompt_is_computed_in_whole_tiles() -> None:
    assert schedule(long()) == [256]
    assert schedule(Prompt(6000, num_computed=4000)) == [128]
    assert schedule(long(), expects_more_requests=True) == [64]


def test_a_rest_no_longer_than_a_step_is_not_left_over() -> None:
    assert schedule(Prompt(300, num_computed=2000)) == [300]


def test_a_full_batch_has_no_room_for_prompts() -> None:
    streams = tuple(Stream() for _ in range(512))

    assert schedule(short(10), beside=streams) == [0]
