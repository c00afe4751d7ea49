"""Who waits to be admitted, and in which order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from kronk_agent.engine.sequence import Sequence


class RequestQueue:
    """Sequences in the order in which they get their turn: interactive before background ones,
    and within each those that had to give way before those that arrived. Guarded by its owner."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Sequence]] = {"interactive": deque(), "background": deque()}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[Sequence]:
        for line in self._lines.values():
            yield from line

    def append(self, sequence: Sequence) -> None:
        self._lines[sequence.priority].append(sequence)

    def put_first(self, sequence: Sequence) -> None:
        """One that was running and had to give way."""
        self._lines[sequence.priority].appendleft(sequence)

    def remove(self, sequence: Sequence) -> bool:
        """False where it is not in the line (any more)."""
        line = self._lines[sequence.priority]
        if sequence not in line:
            return False
        line.remove(sequence)
        return True

    def clear(self) -> list[Sequence]:
        """Empty the line; returns who was in it."""
        everyone = list(self)
        for line in self._lines.values():
            line.clear()
        return everyone
