"""Worker thread of an embedding context: fill a batch with inputs, compute it, repeat."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.llama.batch import Batch
from kronk_agent.engine.llama.binding import ContextHandle, llama
from kronk_agent.errors import EngineError, OverloadedError

logger = logging.getLogger(__name__)


class EmbeddingJob:
    """Inputs of one call, computed in one or more batches.

    Args:
        inputs: token ids, none of them empty or longer than a batch.
        width: number of values in the result of one input.
        on_end: called once on the worker thread, when ``results`` is complete or ``error`` is set.
    """

    def __init__(
        self, inputs: list[NDArray[np.int32]], *, width: int, on_end: Callable[[], None]
    ) -> None:
        self.inputs = inputs
        self.results = np.empty((len(inputs), width), np.float32)
        self.error: EngineError | None = None
        self.is_cancelled = False
        """Set by any thread; remaining inputs are not computed."""
        self.num_taken = 0
        """Inputs that were put into a batch."""
        self.num_done = 0
        self._on_end = on_end

    @property
    def next_input(self) -> NDArray[np.int32]:
        """Next input to put into a batch."""
        return self.inputs[self.num_taken]

    @property
    def is_taken(self) -> bool:
        """True if all inputs were put into batches."""
        return self.num_taken == len(self.inputs)

    def put(self, index: int, result: NDArray[np.float32]) -> None:
        """Store the result of an input; the last one completes the job."""
        self.results[index] = result
        self.num_done += 1
        if self.num_done == len(self.inputs):
            self._on_end()

    def fail(self, error: EngineError) -> None:
        """End the job with an error; later errors are ignored."""
        if self.error is None:
            self.error = error
            self.is_cancelled = True
            self._on_end()


@dataclass(frozen=True, slots=True)
class _BatchedInput:
    """One input in a batch; its sequence id is its index in the list."""

    job: EmbeddingJob
    index: int


class EmbeddingWorker:
    """Owns a llama.cpp context with pooling, and the only thread that uses it.

    Args:
        compute: ``llama_encode`` or ``llama_decode``.
        num_rows: rows of a batch.
        width: number of values in the result of one input.
    """

    def __init__(
        self,
        context: ContextHandle,
        *,
        compute: Callable[[ContextHandle, Any], int],
        num_rows: int,
        max_sequences: int,
        width: int,
        queue_limit: int,
    ) -> None:
        self._context = context
        self._compute = compute
        self._memory = llama.llama_get_memory(context)
        self._batch = Batch(num_rows)
        self._max_sequences = max_sequences
        self.width = width
        self._queue_limit = queue_limit
        self._jobs: deque[EmbeddingJob] = deque()
        """Jobs with inputs left, next first; guarded by ``_changed``."""
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="kronk-embedding", daemon=True)

    def start(self) -> None:
        """Start the worker thread."""
        self._thread.start()

    def submit(self, job: EmbeddingJob) -> None:
        """Queue a job. Thread-safe.

        Raises:
            OverloadedError: the queue is full.
            EngineError: the engine is closed.
        """
        with self._changed:
            if self._is_closing:
                raise EngineError("the engine is closed")
            waiting = sum(not job.is_cancelled for job in self._jobs)
            if waiting > self._queue_limit:  # one of them is being computed
                raise OverloadedError(
                    f"the queue is full ({waiting - 1} waiting, the limit of engine.queue_limit): "
                    "try again in a moment",
                    retry_after_seconds=1.0,
                )
            self._jobs.append(job)
            self._changed.notify()

    def close(self) -> None:
        """End all jobs with an error and wait for the thread, at most one batch."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batched := self._fill_batch():
            try:
                self._run(batched)
            except Exception as error:  # boundary: the thread outlives any fault
                logger.exception("a batch of embeddings failed")
                _fail((one.job for one in batched), EngineError(f"the engine failed: {error}"))
        with self._changed:
            unfinished = list(self._jobs)
            self._jobs.clear()
        _fail(unfinished, EngineError("the engine was closed"))

    def _fill_batch(self) -> list[_BatchedInput]:
        """Fill the batch with one input of each job in turn; empty if the engine closes."""
        batched: list[_BatchedInput] = []
        self._batch.clear()
        with self._changed:
            while not batched:
                self._changed.wait_for(lambda: self._is_closing or self._jobs)
                if self._is_closing:
                    return []
                while (job := self._next_job(len(batched))) is not None:
                    self._add(job, sequence_id=len(batched))
                    batched.append(_BatchedInput(job, job.num_taken - 1))
        return batched

    def _next_job(self, num_batched: int) -> EmbeddingJob | None:
        """Job with the next input; None if no job is left or it does not fit the batch."""
        while self._jobs and self._jobs[0].is_cancelled:
            self._jobs.popleft()
        if not self._jobs or num_batched == self._max_sequences:
            return None
        return self._jobs[0] if len(self._jobs[0].next_input) <= self._batch.room else None

    def _add(self, job: EmbeddingJob, *, sequence_id: int) -> None:
        self._jobs.popleft()
        self._batch.add(
            job.next_input, position=0, sequence_id=sequence_id, num_logits=len(job.next_input)
        )
        job.num_taken += 1
        if not job.is_taken:
            self._jobs.append(job)

    def _run(self, batched: list[_BatchedInput]) -> None:
        if self._memory is not None:
            llama.llama_memory_clear(self._memory, False)
        status = self._compute(self._context, self._batch.native)
        if status != 0:
            raise EngineError(f"llama.cpp failed with status {status}")
        for sequence_id, one in enumerate(batched):
            pointer = llama.llama_get_embeddings_seq(self._context, sequence_id)
            one.job.put(one.index, np.ctypeslib.as_array(pointer, shape=(self.width,)))


def _fail(jobs: Iterable[EmbeddingJob], error: EngineError) -> None:
    for job in jobs:
        job.fail(error)
