"""How long a decode step takes, learnt from the steps there were."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

_ROWS_LEARNING_RATE = 0.2
"""Weight of the newest step against those of about the same size before it: times follow a context
that fills up within some ten steps."""

_NEGLIGIBLE_CELLS = 256
"""A row that looks at no more takes hardly longer than one that looks at none, of any model."""

_CELLS_LEARNING_RATE = 0.5
"""The same for what cells cost."""

_MAX_ROWS = 1 << 16
"""No batch has more."""

_DRIFT_LEARNING_RATE = 0.25
"""The same for how far the latest steps of any size were off what was known, where it is not known
at how many cells they looked."""


@dataclass(slots=True)
class _Point:
    """Steps of about the same size."""

    rows: float
    seconds: float


class StepTimeModel:
    """Seconds by rows, and by the cells at which all of them together look.

    By rows it is straight lines between the sizes that were seen, by powers of two, and no one
    line: on two CPU cores a second row costs almost what the first does, and the fiftieth a third
    of that; on a GPU the first fifty may cost nothing. The cells make a difference where each
    sequence has a memory of its own: a row of a prompt of 6,000 tokens takes four times as long as
    one of a new prompt there, while in a memory for all each row passes over all cells.
    """

    def __init__(self) -> None:
        self._points: dict[int, _Point] = {}
        """By powers of two."""
        self._few_cell_sizes: set[int] = set()
        """Which of these are from steps that looked at few cells."""
        self._curve = [_Point(0, 0)]
        self._drift = 1.0
        self._per_cell = 0.0
        self._mean_square_cells = 0.0

    def add(self, rows: int, seconds: float, *, cells: float = 0) -> None:
        """Learn from one step: of rows where these look at few cells, else of cells."""
        expected = self.seconds(rows, cells=cells)
        has_few_cells = cells <= rows * _NEGLIGIBLE_CELLS
        if not has_few_cells:
            self._learn_cells(seconds - expected, cells)
        elif expected and not cells:
            self._drift += _DRIFT_LEARNING_RATE * (
                seconds / self._seconds_by_rows(rows) - self._drift
            )
        self._learn_rows(rows, seconds, cells, has_few_cells=has_few_cells)
        self._curve = self._monotone_curve()

    def seconds(self, rows: int, *, cells: float = 0) -> float:
        """How long a step of so many rows takes; 0 before anything is known."""
        return self._drift * self._seconds_by_rows(rows) + self._per_cell * cells

    def max_rows_within(
        self, seconds: float, *, beside: int = 0, cells: float = 0, cells_each: float = 0
    ) -> int | None:
        """How many rows that each look at so many cells a step may have ``beside`` others for it to
        take so long at most; None before anything is known.

        Args:
            seconds: how long it may take.
            beside: other rows in the step.
            cells: those at which these look, all together.
            cells_each: those at which each of the rows in question looks.
        """
        if not self._points:
            return None

        def is_too_long(more: int) -> bool:
            taken = self.seconds(beside + more, cells=cells + more * cells_each)
            return taken > seconds

        return max(bisect_left(range(_MAX_ROWS), True, key=is_too_long) - 1, 0)

    def _learn_cells(self, error: float, cells: float) -> None:
        """By normalized least mean squares: the more cells a step had, the more of what was not
        foretold is theirs."""
        self._mean_square_cells += _CELLS_LEARNING_RATE * (cells * cells - self._mean_square_cells)
        share = cells / (cells * cells + self._mean_square_cells)
        self._per_cell = max(self._per_cell + _CELLS_LEARNING_RATE * error * share, 0.0)

    def _learn_rows(self, rows: int, seconds: float, cells: float, *, has_few_cells: bool) -> None:
        """From steps that look at many cells only for sizes that cannot be told from those that do
        not: rows that cost nothing and cells that cost more, or the other way round, would explain
        as well what steps of one size take that all look at about as many."""
        size = rows.bit_length()
        rate = _ROWS_LEARNING_RATE
        row_seconds = max(seconds - self._per_cell * cells, 0.0)
        if not has_few_cells:
            if self._is_within_few_cell_sizes(size):
                return
            rate *= (row_seconds / seconds) ** 2
        elif size not in self._few_cell_sizes:
            many_cell_sizes = self._points.keys() - self._few_cell_sizes
            self._few_cell_sizes.add(size)
            for outdated in filter(self._is_within_few_cell_sizes, many_cell_sizes):
                del self._points[outdated]
        point = self._points.setdefault(size, _Point(rows, row_seconds))
        point.rows += rate * (rows - point.rows)
        point.seconds += rate * (row_seconds - point.seconds)

    def _is_within_few_cell_sizes(self, size: int) -> bool:
        return bool(self._few_cell_sizes) and min(self._few_cell_sizes) <= size <= max(
            self._few_cell_sizes
        )

    def marginal_row_cost(self, rows: int) -> float:
        """Which part of the time of a step of so many rows grows with a few rows more, 0 to 1.

        By the next larger size that is known; but at least what the step takes longer than one of a
        single row, as the larger ones may be prompts, whose rows cost less.
        """
        larger = [point for point in self._points.values() if point.rows > rows]
        now = self._seconds_by_rows(rows)
        if not larger or not now:
            return 1.0
        following = min(larger, key=lambda point: point.rows)
        slope = (following.seconds - now) / (following.rows - rows)
        return min(max(slope * rows / now, 1 - self._seconds_by_rows(1) / now), 1.0)

    def separate_row_cost(self, rows: int, more: int) -> float:
        """The same where ``more`` rows are computed after the others and not with them: how long
        one of these takes, by how long one of the others does. More than 1 where there are fewer
        of them."""
        now = self._seconds_by_rows(rows)
        return self._seconds_by_rows(more) / more / (now / rows) if now else 1.0

    def _seconds_by_rows(self, rows: int) -> float:
        if not self._points:
            return 0.0
        for lower, upper in pairwise(self._curve):
            if lower.rows <= rows < upper.rows:
                share = (rows - lower.rows) / (upper.rows - lower.rows)
                return lower.seconds + share * (upper.seconds - lower.seconds)
        # Beyond what was seen a row is taken to cost what it did on the average.
        nearest = min(self._curve[1:], key=lambda point: abs(point.rows - rows))
        return nearest.seconds * rows / nearest.rows

    def _monotone_curve(self) -> list[_Point]:
        """The points by size, with no larger size taking less time: where it did, the smaller one's
        rows had more cells to look at than was known."""
        curve: list[_Point] = []
        least = math.inf
        for point in sorted(self._points.values(), key=lambda point: -point.rows):
            least = min(least, point.seconds)
            curve.append(_Point(point.rows, least))
        return [_Point(0, 0), *reversed(curve)]
