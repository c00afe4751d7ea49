"""Line-based limits on a completion: ``n_indent`` and ``t_max_predict_ms``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class LineLimits:
    """Ends a code completion at a less indented line, or when its time is over.

    Both apply only after the first line break, so that at least one line is complete.

    Args:
        min_indent: minimum number of blanks and tabs of each further line; 0 is no limit.
        max_seconds: measured from the first token; None is no limit.
        clock: monotonic time in seconds.
    """

    min_indent: int = 0
    max_seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    is_over: bool = False
    _started: float | None = None
    _has_line: bool = False
    _indent: int | None = None
    """Indentation of the current line so far; None inside a line."""
    _held: list[str] = field(default_factory=list)
    """The current line's indentation, dropped if the line is."""

    def take(self, text: str) -> str:
        """Return the text that still belongs to the completion; sets ``is_over`` at its end."""
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
        """The indentation held back, for a completion that ends by itself."""
        return "".join(self._held)

    def _check_time(self) -> None:
        if self.max_seconds is None or self._started is None or not self._has_line:
            return
        self.is_over = self.is_over or self.clock() - self._started > self.max_seconds
