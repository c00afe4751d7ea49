"""What the prompts get of a step, beside those who generate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from kronk_agent.engine.scheduling.prefill import PrefillPolicy
from kronk_agent.engine.scheduling.step_time import StepTimeModel

ROW = 0.004
"""Seconds a row takes."""
CELL = 2e-6
"""Seconds more for each cell at which it looks."""


@dataclass(eq=False)
class Prompt:
    """What the prefill policy reads of a sequence."""

    num_pending: int
    num_computed: int = 0
    is_streaming: bool = True

    @property
    def pending(self) -> range:
        return range(self.num_pending)


@dataclass(eq=False)
class Stream(Prompt):
    num_pending: int = 1


def learnt() -> StepTimeModel:
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
    prefill = PrefillPolicy(cost or learnt(), capacity=512, is_unified=is_unified)
    reading: list[Any] = [*prompts]
    generating: list[Any] = [*beside]
    chosen: dict[Any, int] = dict(
        prefill.schedule(
            reading,
            generating,
            len(generating),
            expects_more_requests=expects_more_requests,
            since_last=since_last,
        )
    )
    return [chosen.get(prompt, 0) for prompt in reading]


WATCHED = (Stream(),)
UNWATCHED = (Stream(is_streaming=False),)


def long(number: int = 6000, *, is_streaming: bool = True) -> Prompt:
    return Prompt(number, is_streaming=is_streaming)


def short(number: int = 40, *, is_streaming: bool = False) -> Prompt:
    return Prompt(number, is_streaming=is_streaming)


def test_before_anything_is_known_a_step_is_all_there_is_to_read() -> None:
    assert schedule(long(), cost=StepTimeModel()) == [512]


def test_beside_a_stream_a_prompt_gets_a_tenth_of_a_second() -> None:
    assert schedule(long(), beside=WATCHED) == [pytest.approx(0.1 / ROW, abs=2)]


def test_what_came_between_two_steps_is_part_of_the_gap_a_stream_sees() -> None:
    late = schedule(long(), beside=WATCHED, since_last=0.06)
    too_late = schedule(long(), beside=WATCHED, since_last=0.3)
    unwatched = schedule(long(), beside=UNWATCHED, since_last=0.3)

    assert late == [pytest.approx(0.04 / ROW, abs=2)]
    assert too_late == [8]
    assert unwatched == schedule(long(), beside=UNWATCHED)


def test_a_step_takes_no_longer_for_the_last_tokens_of_a_prompt_beside_another() -> None:
    """However little a row more adds to what a step takes in any case."""
    cost = learnt()
    for _ in range(40):
        cost.add(1, 0.1)
        cost.add(2, 0.1)

    oldest, ending = schedule(Prompt(50, num_computed=4000), short(2), beside=WATCHED, cost=cost)

    seconds = cost.seconds(3 + oldest, cells=oldest * 4000)
    assert ending == 2
    assert seconds == pytest.approx(0.2, abs=0.02)


def test_the_shortest_prompt_is_read_first_and_the_oldest_gets_on() -> None:
    oldest, youngest = schedule(long(), short(45), beside=WATCHED)

    assert (oldest > 0, youngest) == (True, 45)


def test_a_step_is_filled_up_with_other_short_prompts() -> None:
    assert schedule(short(20), short(22), short(24), beside=WATCHED) == [
        20,
        22,
        pytest.approx(7, abs=1),
    ]


def test_rows_that_look_at_many_cells_take_up_more_room() -> None:
    near = schedule(Prompt(60), short(10), beside=WATCHED)[0]
    far = schedule(Prompt(60, num_computed=4000), short(10), beside=WATCHED)[0]

    assert far == pytest.approx(near * ROW / (ROW + 4000 * CELL), abs=3)


def test_a_long_prompt_does_not_draw_out_a_step_with_which_a_short_one_ends() -> None:
    oldest, youngest = schedule(long(), short(20), beside=WATCHED)

    assert (oldest <= 2, youngest) == (True, 20)


def test_where_nobody_watches_prompts_are_read_to_their_ends() -> None:
    assert schedule(short(100), beside=UNWATCHED) == [100]
    assert schedule(short(40), short(45), short(50), beside=UNWATCHED) == [40, 45, 50]
    assert schedule(short(40), short(45), long(5000, is_streaming=False)) == [40, 45, 0]


def test_where_nobody_watches_the_oldest_gets_on_whatever_ends_before_it() -> None:
    oldest = long(is_streaming=False)

    assert schedule(oldest, short(40), short(50)) == [2, 40, 50]
    assert schedule(oldest, short(20)) == [1, 20]


def test_in_memories_of_their_own_two_prompts_that_make_tiles_are_read_in_turn() -> None:
    prompts = [short(70), short(90), short(30), short(20)]

    assert schedule(*prompts, beside=UNWATCHED) == [1, 0, 30, 20]
    assert schedule(*prompts[:2], beside=UNWATCHED) == [70, 0]
    assert schedule(*prompts, beside=UNWATCHED, is_unified=True) == [70, 90, 30, 20]


def test_whoever_is_watched_gets_short_steps_whoever_else_is_there() -> None:
    assert schedule(short(100), beside=(*WATCHED, *UNWATCHED))[0] < 30
    assert schedule(short(100), short(100, is_streaming=True), beside=UNWATCHED)[0] <= 64


def test_a_prompt_too_long_for_a_step_leaves_those_who_generate_their_tokens() -> None:
    assert schedule(long(is_streaming=False), beside=UNWATCHED)[0] < 64


def test_a_prompt_alone_is_read_in_whole_tiles() -> None:
    assert schedule(long()) == [256]
    assert schedule(Prompt(6000, num_computed=4000)) == [128]
    assert schedule(long(), expects_more_requests=True) == [64]


def test_a_rest_no_longer_than_a_step_is_not_left_over() -> None:
    assert schedule(Prompt(300, num_computed=2000)) == [300]


def test_a_full_batch_has_no_room_for_prompts() -> None:
    streams = tuple(Stream() for _ in range(512))

    assert schedule(short(10), beside=streams) == [0]
