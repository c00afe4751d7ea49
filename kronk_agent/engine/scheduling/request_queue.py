"""Queue of sequences that wait to be admitted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from kronk_agent.engine.sequence import Sequence


class RequestQueue:
    """Waiting sequences in order of admission. Not thread-safe: its owner locks it.

    Interactive sequences come before background ones. Within a priority, preempted sequences come
    before new ones, which are in order of arrival.
    """

    def __init__(self) -> None:
        self._queues: dict[str, deque[Sequence]] = {"interactive": deque(), "background": deque()}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator[Sequence]:
        for queue in self._queues.values():
            yield from queue

    def append(self, sequence: Sequence) -> None:
        """Add a new sequence, last of its priority."""
        self._queues[sequence.priority].append(sequence)

    def append_first(self, sequence: Sequence) -> None:
        """Add a preempted sequence, first of its priority."""
        self._queues[sequence.priority].appendleft(sequence)

    def remove(self, sequence: Sequence) -> bool:
        """Remove a sequence; returns False if it is not in the queue."""
        queue = self._queues[sequence.priority]
        if sequence not in queue:
            return False
        queue.remove(sequence)
        return True

    def clear(self) -> list[Sequence]:
        """Remove and return all sequences."""
        sequences = list(self)
        for queue in self._queues.values():
            queue.clear()
        return sequences
