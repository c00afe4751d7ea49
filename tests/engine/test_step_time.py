"""The step time model learns from the steps so far."""

from __future__ import annotations

import pytest

from kronk_agent.engine.scheduling.step_time import StepTimeModel


def learnt(*steps: tuple[int, float]) -> StepTimeModel:
    cost = StepTimeModel()
    for rows, seconds in steps:
        for _ in range(20):
            cost.add(rows, seconds)
    return cost


def test_the_model_predicts_nothing_before_the_first_step() -> None:
    cost = StepTimeModel()
    assert (cost.seconds(8), cost.max_rows_within(0.1), cost.marginal_row_cost(1)) == (0, None, 1)


def test_times_lie_between_those_of_the_sizes_that_were_seen() -> None:
    cost = learnt((1, 0.01), (64, 0.2), (512, 1.4))

    assert cost.seconds(1) == pytest.approx(0.01, rel=0.01)
    assert cost.seconds(288) == pytest.approx(0.8, rel=0.01)
    assert cost.seconds(1024) == pytest.approx(2.8, rel=0.01)
    assert cost.max_rows_within(0.8) == pytest.approx(288, abs=2)
    assert cost.max_rows_within(2.8) == pytest.approx(1024, abs=2)


def test_a_further_row_costs_less_with_more_rows() -> None:
    cost = learnt((1, 0.009), (2, 0.016), (8, 0.040), (16, 0.071))

    assert cost.marginal_row_cost(1) == pytest.approx(7 / 9)
    assert cost.marginal_row_cost(8) == pytest.approx(31 / 40)
    assert cost.marginal_row_cost(16) == 1  # no larger size was seen


def test_cheap_prompt_rows_do_not_lower_the_cost_of_many_streams() -> None:
    cost = learnt((1, 0.009), (30, 0.150), (200, 0.250))

    assert cost.marginal_row_cost(30) == pytest.approx(1 - 9 / 150)


def test_where_rows_are_free_no_part_of_the_time_is_theirs() -> None:
    assert learnt((1, 0.01), (64, 0.01)).marginal_row_cost(1) == 0


def test_rows_that_look_at_many_cells_take_longer_than_as_many_that_do_not() -> None:
    """A long prompt and short ones in turn, with separate KV caches."""
    cost = StepTimeModel()
    for _ in range(60):
        cost.add(17, 0.060 + 17 * 5000 * 2e-6, cells=17 * 5000)
        for _ in range(3):
            cost.add(45, 0.150 + 45 * 50 * 2e-6, cells=45 * 50)

    assert cost.seconds(17, cells=17 * 5000) == pytest.approx(0.230, rel=0.1)
    assert cost.seconds(45, cells=45 * 50) == pytest.approx(0.155, rel=0.1)
    assert cost.max_rows_within(0.1, cells_each=5000) == pytest.approx(7, abs=2)
    assert cost.max_rows_within(0.155, beside=1, cells_each=50) == pytest.approx(44, abs=4)


def true_seconds(rows: int, cells: float) -> float:
    return 0.006 + 0.003 * rows + 2.5e-6 * cells


def test_the_cost_of_rows_is_kept_when_all_attend_to_many_cells() -> None:
    """A long prompt beside a stream: steps of nine rows are seen only late in it, where a KV cell
    takes a little longer than before."""
    cost = StepTimeModel()
    for _ in range(10):
        for rows in (1, 50):
            cost.add(rows, true_seconds(rows, 0))
    for at in range(1000, 5000, 9):
        cells = 9 * at
        cost.add(9, true_seconds(9, cells) + 2e-11 * at * cells, cells=cells)
        cost.add(1, true_seconds(1, 50), cells=50)

    assert cost.seconds(1) == pytest.approx(true_seconds(1, 0), rel=0.05)
    assert cost.seconds(9) == pytest.approx(true_seconds(9, 0), rel=0.1)
    assert cost.seconds(50) == pytest.approx(true_seconds(50, 0), rel=0.05)
    assert cost.seconds(58, cells=40_000) == pytest.approx(true_seconds(58, 40_000), rel=0.1)


def test_sizes_first_seen_far_on_are_corrected_by_steps_that_are_not() -> None:
    cost = StepTimeModel()
    for _ in range(20):
        cost.add(20, true_seconds(20, 80_000), cells=80_000)
    assert cost.seconds(20, cells=80_000) == pytest.approx(true_seconds(20, 80_000), rel=0.05)

    for _ in range(10):
        for rows in (1, 64):
            cost.add(rows, true_seconds(rows, 0))

    assert cost.seconds(20) == pytest.approx(true_seconds(20, 0), rel=0.05)


def test_a_context_that_fills_up_makes_all_sizes_slower() -> None:
    cost = learnt((4, 0.02), (64, 0.2))
    for _ in range(10):
        cost.add(64, 0.4)

    assert cost.seconds(64) == pytest.approx(0.4, rel=0.15)
    assert 0.02 < cost.seconds(4) < 0.05
