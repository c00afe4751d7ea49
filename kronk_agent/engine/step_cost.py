"""How long a decode step takes, learnt from the steps there were."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

_NEWEST = 0.2
"""Weight of the newest step against those of about the same size before it: times follow a context
that fills up within some ten steps."""

_NEWEST_DRIFT = 0.25
"""The same for how far the latest steps of any size were off what was known."""


@dataclass(slots=True)
class _Point:
    """Steps of about the same size."""

    rows: float
    seconds: float


class StepCost:
    """Seconds by rows: straight lines between the sizes that were seen, by powers of two.

    It is no one line: on two CPU cores a second row costs almost what the first does, and the
    fiftieth a third of that; on a GPU the first fifty may cost nothing.
    """

    def __init__(self) -> None:
        self._points: dict[int, _Point] = {}
        self._drift = 1.0

    def add(self, rows: int, seconds: float) -> None:
        """Learn from one step."""
        if expected := self._on_curve(rows):
            self._drift += _NEWEST_DRIFT * (seconds / expected - self._drift)
        point = self._points.setdefault(rows.bit_length(), _Point(rows, seconds))
        point.rows += _NEWEST * (rows - point.rows)
        point.seconds += _NEWEST * (seconds - point.seconds)

    def seconds(self, rows: int) -> float:
        """How long a step of so many rows takes; 0 before anything is known."""
        return self._drift * self._on_curve(rows)

    def rows_within(self, seconds: float) -> int | None:
        """How many rows a step may have to take so long at most; None before it is known."""
        if not self._points:
            return None
        wanted = seconds / self._drift
        curve = self._curve()
        for lower, upper in pairwise(curve):
            if lower.seconds <= wanted < upper.seconds:
                share = (wanted - lower.seconds) / (upper.seconds - lower.seconds)
                return int(lower.rows + share * (upper.rows - lower.rows))
        last = curve[-1]
        return int(last.rows * wanted / last.seconds)

    def share_of_rows(self, rows: int) -> float:
        """Which part of the time of a step of so many rows grows with a few rows more, 0 to 1.

        By the next larger size that is known; but at least what the step takes longer than one of a
        single row, as the larger ones may be prompts, whose rows cost less.
        """
        larger = [point for point in self._points.values() if point.rows > rows]
        now = self._on_curve(rows)
        if not larger or not now:
            return 1.0
        following = min(larger, key=lambda point: point.rows)
        slope = (following.seconds - now) / (following.rows - rows)
        return min(max(slope * rows / now, 1 - self._on_curve(1) / now), 1.0)

    def share_of_rows_apart(self, rows: int, more: int) -> float:
        """The same where ``more`` rows are computed after the others and not with them: how long
        one of these takes, by how long one of the others does. More than 1 where there are fewer
        of them."""
        now = self._on_curve(rows)
        return self._on_curve(more) / more / (now / rows) if now else 1.0

    def _on_curve(self, rows: int) -> float:
        if not self._points:
            return 0.0
        curve = self._curve()
        for lower, upper in pairwise(curve):
            if lower.rows <= rows < upper.rows:
                share = (rows - lower.rows) / (upper.rows - lower.rows)
                return lower.seconds + share * (upper.seconds - lower.seconds)
        # Beyond what was seen a row is taken to cost what it did on the average.
        nearest = min(curve[1:] or curve, key=lambda point: abs(point.rows - rows))
        return nearest.seconds * rows / nearest.rows

    def _curve(self) -> list[_Point]:
        return [_Point(0, 0), *sorted(self._points.values(), key=lambda point: point.rows)]
