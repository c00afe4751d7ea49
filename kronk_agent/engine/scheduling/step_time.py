"""Model of how long a step takes, learned from the steps so far."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

_ROWS_LEARNING_RATE = 0.2
"""Weight of the newest step against earlier ones of about the same size: the model follows a
context that fills up within about ten steps."""

_NEGLIGIBLE_CELLS = 256
"""KV cells per row up to which attention adds hardly any time, with any model."""

_CELLS_LEARNING_RATE = 0.5
"""Weight of the newest step for the cost of KV cells."""

_MAX_ROWS = 1 << 16
"""Upper bound of the rows of a batch."""

_DRIFT_LEARNING_RATE = 0.25
"""Weight of the newest step for the drift: how far the latest steps of any size were off the
prediction. Used where the KV cells are not known (unified KV cache)."""


@dataclass(slots=True)
class _Point:
    """Mean of the steps of about the same size."""

    rows: float
    seconds: float


class StepTimeModel:
    """Predicts step time from the number of rows and the KV cells that all rows attend to.

    Over rows it is piecewise linear between the sizes seen, grouped by powers of two. One line
    would not do: on two CPU cores a second row costs almost as much as the first, and the fiftieth
    a third of that; on a GPU the first fifty may cost nothing. Cells matter where each sequence
    has a KV cache of its own: a row of a prompt of 6,000 tokens takes four times as long as one of
    a new prompt there. In a unified KV cache every row passes over all cells.
    """

    def __init__(self) -> None:
        self._points: dict[int, _Point] = {}
        """Points by bit length of the number of rows."""
        self._few_cell_sizes: set[int] = set()
        """Keys of the points that come from steps with few cells."""
        self._curve = [_Point(0, 0)]
        self._drift = 1.0
        self._per_cell = 0.0
        self._mean_square_cells = 0.0

    def add(self, rows: int, seconds: float, *, cells: float = 0) -> None:
        """Learn from one step.

        Args:
            rows: rows of the batch.
            seconds: time the step took.
            cells: KV cells that all rows together attend to; 0 if they are not counted.
        """
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
        """Predicted time of a step; 0 before the first step."""
        return self._drift * self._seconds_by_rows(rows) + self._per_cell * cells

    def max_rows_within(
        self, seconds: float, *, beside: int = 0, cells: float = 0, cells_each: float = 0
    ) -> int | None:
        """Largest number of additional rows that keeps a step within ``seconds``.

        Args:
            seconds: maximum time of the step.
            beside: rows already in the step.
            cells: KV cells that these attend to, all together.
            cells_each: KV cells that each additional row attends to.

        Returns:
            None before the first step.
        """
        if not self._points:
            return None

        def is_too_long(more: int) -> bool:
            taken = self.seconds(beside + more, cells=cells + more * cells_each)
            return taken > seconds

        return max(bisect_left(range(_MAX_ROWS), True, key=is_too_long) - 1, 0)

    def _learn_cells(self, error: float, cells: float) -> None:
        """Attribute the prediction error to the KV cells (normalized least mean squares)."""
        self._mean_square_cells += _CELLS_LEARNING_RATE * (cells * cells - self._mean_square_cells)
        share = cells / (cells * cells + self._mean_square_cells)
        self._per_cell = max(self._per_cell + _CELLS_LEARNING_RATE * error * share, 0.0)

    def _learn_rows(self, rows: int, seconds: float, cells: float, *, has_few_cells: bool) -> None:
        """Update the point of this size.

        A step with many cells counts only for sizes outside the range of those seen with few
        cells. Where all steps of a size have about as many cells, their times do not tell the
        cost of rows from the cost of cells.
        """
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
        """Relative growth of the step time with the number of rows, 0 to 1.

        1 means that twice the rows take twice the time, 0 that more rows are free. Estimated from
        the next larger size seen, but at least the share by which the step is slower than one of a
        single row: larger steps may be prefill, whose rows cost less.
        """
        larger = [point for point in self._points.values() if point.rows > rows]
        now = self._seconds_by_rows(rows)
        if not larger or not now:
            return 1.0
        following = min(larger, key=lambda point: point.rows)
        slope = (following.seconds - now) / (following.rows - rows)
        return min(max(slope * rows / now, 1 - self._seconds_by_rows(1) / now), 1.0)

    def separate_row_cost(self, rows: int, more: int) -> float:
        """Cost of a row if ``more`` rows are computed separately from ``rows`` others.

        Relative to the cost of one of the others; usually more than 1 if ``more`` is smaller.
        """
        now = self._seconds_by_rows(rows)
        return self._seconds_by_rows(more) / more / (now / rows) if now else 1.0

    def _seconds_by_rows(self, rows: int) -> float:
        if not self._points:
            return 0.0
        for lower, upper in pairwise(self._curve):
            if lower.rows <= rows < upper.rows:
                share = (rows - lower.rows) / (upper.rows - lower.rows)
                return lower.seconds + share * (upper.seconds - lower.seconds)
        # Outside the sizes seen, assume the mean cost per row of the nearest one.
        nearest = min(self._curve[1:], key=lambda point: abs(point.rows - rows))
        return nearest.seconds * rows / nearest.rows

    def _monotone_curve(self) -> list[_Point]:
        """Points by size, made non-decreasing in time.

        A larger size can only seem faster if the smaller one's rows had more KV cells than
        counted.
        """
        curve: list[_Point] = []
        least = math.inf
        for point in sorted(self._points.values(), key=lambda point: -point.rows):
            least = min(least, point.seconds)
            curve.append(_Point(point.rows, least))
        return [_Point(0, 0), *reversed(curve)]
