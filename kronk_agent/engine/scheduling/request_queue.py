"""Who waits to be admitted, and in which order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from kronk_agent.engine.sequence import Sequence


class RequestQueue:
    """Sequences in the order in which they get their turn: interactive before background ones,
    and within each those that had to give way before those that arrived. Guarded by its owner."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Sequence]] = {"interactive": deque(), "background": deque()}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator[Sequence]:
        for queue in self._queues.values():
            yield from queue

    def append(self, sequence: Sequence) -> None:
        self._queues[sequence.priority].append(sequence)

    def append_first(self, sequence: Sequence) -> None:
        """One that was running and had to give way."""
        self._queues[sequence.priority].appendleft(sequence)

    def remove(self, sequence: Sequence) -> bool:
        """False where it is not in the line (any more)."""
        queue = self._queues[sequence.priority]
        if sequence not in queue:
            return False
        queue.remove(sequence)
        return True

    def clear(self) -> list[Sequence]:
        """Empty the line; returns who was in it."""
        sequences = list(self)
        for queue in self._queues.values():
            queue.clear()
        return sequences
