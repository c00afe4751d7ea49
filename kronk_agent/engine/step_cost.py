"""How long a decode step takes, learnt from the steps there were."""

from __future__ import annotations

_DECAY = 0.98
"""What one step's weight is a step later: the line follows the last fifty or so."""

_DRIFT_DECAY = 0.75
"""The same for how far the latest steps were off the line: as a context fills up they get slower
sooner than a line through fifty of them would tell."""


class StepCost:
    """Seconds ≈ fixed + per row · rows: a least-squares line that forgets.

    The fixed part is reading the weights, which all rows of a batch share. It is most of a small
    step on a GPU and half of a step of one row on two CPU cores.
    """

    def __init__(self) -> None:
        self._weight = self._x = self._y = self._xx = self._xy = 0.0
        self._drift = 1.0

    def add(self, rows: int, seconds: float) -> None:
        """Learn from one step."""
        if expected := self._on_line(rows):
            self._drift += (1 - _DRIFT_DECAY) * (seconds / expected - self._drift)
        self._weight = self._weight * _DECAY + 1
        self._x = self._x * _DECAY + rows
        self._y = self._y * _DECAY + seconds
        self._xx = self._xx * _DECAY + rows * rows
        self._xy = self._xy * _DECAY + rows * seconds

    @property
    def seconds_per_row(self) -> float:
        """0 before anything was learnt."""
        if not self._weight:
            return 0.0
        spread = self._weight * self._xx - self._x**2
        slope = (self._weight * self._xy - self._x * self._y) / spread if spread > 1e-3 else 0.0
        # Steps that were all alike do not tell the two parts apart: then all of it is the rows'.
        return slope if slope > 0 else self._y / self._x

    @property
    def fixed_seconds(self) -> float:
        if not self._weight:
            return 0.0
        return max(0.0, (self._y - self.seconds_per_row * self._x) / self._weight)

    def seconds(self, rows: int) -> float:
        """How long a step of so many rows takes."""
        return self._drift * self._on_line(rows)

    def rows_within(self, seconds: float) -> int | None:
        """How many rows a step may have to take so long at most; None before it is known."""
        per_row = self.seconds_per_row
        return int((seconds / self._drift - self.fixed_seconds) / per_row) if per_row else None

    def share_of_rows(self, rows: int) -> float:
        """Which part of the time of a step of so many rows grows with the rows, 0 to 1."""
        if not self._weight:
            return 1.0
        variable = self.seconds_per_row * rows
        return variable / (self.fixed_seconds + variable)

    def _on_line(self, rows: int) -> float:
        return self.fixed_seconds + self.seconds_per_row * rows
