"""Limits on a completion that hold from line to line: ``n_indent`` and ``t_max_predict_ms``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class LineLimits:
    """Ends a completion of code where its line is less indented, or its time is over.

    Both count from the first line break on: what is completed has a whole line at least.

    Args:
        min_indent: blanks and tabs that each further line begins with at least; 0 is no limit.
        max_seconds: from the first token on; None is no limit.
        clock: seconds that only go forward.
    """

    min_indent: int = 0
    max_seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    is_over: bool = False
    _started: float | None = None
    _has_line: bool = False
    _indent: int | None = None
    """Blanks so far of the line that begins; None inside of a line."""
    _held: list[str] = field(default_factory=list)
    """Those blanks: they are not shown if the line is left out."""

    def take(self, text: str) -> str:
        """As much of the text as belongs to the completion; ``is_over`` says if more may come."""
        if self._started is None:
            self._started = self.clock()
        kept: list[str] = []
        for character in text:
            if character == "\n":
                kept += [*self._held, character]
                self._held, self._indent, self._has_line = [], 0, True
            elif self._indent is None or not self.min_indent:
                kept.append(character)
            elif character in " \t":
                self._held.append(character)
                self._indent += 1
            elif self._indent < self.min_indent:
                self.is_over = True
                return "".join(kept)
            else:
                kept += [*self._held, character]
                self._held, self._indent = [], None
        self._check_time()
        return "".join(kept)

    def rest(self) -> str:
        """Blanks that were held back, where the completion ends by itself."""
        return "".join(self._held)

    def _check_time(self) -> None:
        if self.max_seconds is None or self._started is None or not self._has_line:
            return
        self.is_over = self.is_over or self.clock() - self._started > self.max_seconds
