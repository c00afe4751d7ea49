"""The worker thread: admit, fill one batch, decode it, sample, and again.

Every loop decodes first one row (or a few forced ones) for each generating sequence, then shares
what room is left fairly among the prompts that are being read. It never dies of a request.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.batch import Batch
from kronk_agent.engine.binding import Context, llama
from kronk_agent.engine.logprobs import RowLogprobs, TokenLogprob
from kronk_agent.engine.prefix_cache import PrefixCache, common_prefix_length
from kronk_agent.engine.sampling import Sampler
from kronk_agent.engine.sequence import Chunk, EndReason, Sequence
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import EngineError, KronkError, OverloadedError

logger = logging.getLogger(__name__)

_PREFILL_ROWS_WHILE_GENERATING = 64
"""Prompt rows in a batch while anyone generates: costs about 13 % of prefill speed and cuts the
longest gap between two tokens of a running sequence from over a second to 0.16 s (on 2 cores)."""

_WORTH_WAITING_FOR = 64
"""Tokens another prompt must be about to compute for us before waiting for it pays."""

_NO_CELLS = 1
"""``llama_decode``'s answer when the KV memory has no room for the batch."""


class Scheduler:
    """Owns a llama.cpp context and the thread that alone uses it."""

    def __init__(
        self,
        context: Context,
        vocabulary: Vocabulary,
        cache: PrefixCache,
        *,
        context_length: int,
        batch_size: int,
        max_sequences: int,
        queue_limit: int,
    ) -> None:
        self._context = context
        self._vocabulary = vocabulary
        self._cache = cache
        self._context_length = context_length
        self._batch = Batch(batch_size)
        self._max_sequences = max_sequences
        self._queue_limit = queue_limit
        self._running: list[Sequence] = []
        """Admitted sequences, oldest first."""
        self._waiting: deque[Sequence] = deque()
        """Submitted or preempted sequences, next first; guarded by ``_changed``."""
        self._is_full = False
        """Someone was preempted, and nothing has ended since."""
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="kronk-engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence. Safe from any thread.

        Raises:
            OverloadedError: the queue is full.
            EngineError: the engine is closed.
        """
        with self._changed:
            if self._is_closing:
                raise EngineError("the engine is closed")
            idle = max(0, self._max_sequences - len(self._running))
            if len(self._waiting) >= self._queue_limit + idle:
                raise OverloadedError(
                    f"{len(self._waiting)} requests are waiting already, which is the limit "
                    "(engine.queue_limit): try again in a moment",
                    retry_after_seconds=1.0,
                )
            self._waiting.append(sequence)
            self._changed.notify()

    def cancel(self, sequence: Sequence) -> None:
        """Let go of a sequence: now if it waits, at the next loop if it runs. Safe from any
        thread and at any time."""
        with self._changed:
            if sequence in self._waiting:
                self._waiting.remove(sequence)
                sequence.close()
                if sequence.admitted_at is not None:  # it had given way and wants its room no more
                    self._is_full = False
            sequence.is_cancelled = True

    def close(self) -> None:
        """End every sequence with an error and wait for the thread, one decode step at most."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    # --- the loop ---------------------------------------------------------------------------

    def _work(self) -> None:
        while self._wait_for_work():
            try:
                self._step()
            except Exception as error:  # boundary: the thread outlives any fault
                logger.exception("a decode step failed")
                self._fail(self._running, EngineError(f"the engine failed: {error}"))
                self._cache.clear()
        with self._changed:
            left = [*self._running, *self._waiting]
            self._waiting.clear()
        self._fail(left, EngineError("the engine was closed"))

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing or self._running or self._waiting)
            return not self._is_closing

    def _step(self) -> None:
        self._drop_cancelled()
        self._admit()
        rows = self._fill_batch()
        if not self._decode():
            return
        for part in rows:
            part.sequence.num_computed += part.count
            if part.last_row is not None:
                self._advance(part.sequence, part.last_row)

    # --- admission --------------------------------------------------------------------------

    def _drop_cancelled(self) -> None:
        for sequence in [s for s in self._running if s.is_cancelled]:
            self._retire(sequence)

    def _admit(self) -> None:
        """Start waiting sequences in order, save those whose prefix another one is computing at
        this moment: these wait and then share it."""
        with self._changed:
            waiting = list(self._waiting)
        for sequence in waiting:
            if self._is_full or len(self._running) >= self._max_sequences:
                return
            if self._is_worth_waiting(sequence):
                continue
            with self._changed:
                if sequence not in self._waiting:
                    continue  # cancelled meanwhile
                self._waiting.remove(sequence)
            with self._its_own_fault(sequence):
                self._start(sequence)

    def _is_worth_waiting(self, sequence: Sequence) -> bool:
        return self._cache.can_share and any(
            common_prefix_length(sequence.prefix, other.tokens[: other.num_tokens])
            >= other.num_computed + _WORTH_WAITING_FOR
            for other in self._running
        )

    def _start(self, sequence: Sequence) -> None:
        is_new = sequence.admitted_at is None
        if is_new and not self._prepare(sequence):
            return
        self._cache.admit(sequence, self._running)
        sequence.num_to_read = sequence.num_tokens
        if is_new:
            sequence.num_cached = min(sequence.num_computed, sequence.num_prompt_tokens)
        self._running.append(sequence)

    def _prepare(self, sequence: Sequence) -> bool:
        """Make the sampler and matcher; what the grammar forces at its very beginning is taken
        at once. False when that was all there is to generate."""
        sequence.admitted_at = time.perf_counter()
        sequence.sampler = Sampler(
            sequence.params,
            self._vocabulary,
            prompt=sequence.tokens[: sequence.num_prompt_tokens],
            context_length=self._context_length,
        )
        if sequence.constraint is None:
            return True
        sequence.matcher = sequence.constraint.start()
        forced = self._take_forced(sequence, sequence.room)
        return not forced or self._emit(sequence, forced)

    # --- one batch --------------------------------------------------------------------------

    def _fill_batch(self) -> list[_Rows]:
        """Choose the rows of this loop: generating sequences first, then prompts in fair shares."""
        self._batch.clear()
        generating = [s for s in self._running if not s.is_reading]
        reading = [s for s in self._running if s.is_reading]
        rows = [self._add_rows(s, len(s.pending)) for s in generating]
        room = self._batch.room
        if generating:
            room = min(room, _PREFILL_ROWS_WHILE_GENERATING)
        rows += [self._add_rows(s, share) for s, share in _fair_shares(reading, room)]
        return rows

    def _add_rows(self, sequence: Sequence, wanted: int) -> _Rows:
        count = min(wanted, self._batch.room)
        if count == 0:
            return _Rows(sequence, 0, None)
        assert sequence.id is not None
        is_last = count == len(sequence.pending)
        last_row = self._batch.add(
            sequence.pending[:count],
            position=sequence.num_computed,
            sequence_id=sequence.id,
            logits=is_last,
        )
        return _Rows(sequence, count, last_row if is_last else None)

    def _decode(self) -> bool:
        """Run the batch. False when there was no batch, or no room for it and one sequence had to
        give way: then the batch has to be filled anew."""
        if self._batch.size == 0:
            return False
        while (status := llama.llama_decode(self._context, self._batch.native)) == _NO_CELLS:
            if not self._cache.evict():
                self._preempt_youngest()
                return False
        if status != 0:
            raise EngineError(f"llama_decode answered {status}")
        return True

    def _preempt_youngest(self) -> None:
        if len(self._running) == 1:
            raise EngineError("the KV memory has no room for a single sequence")
        youngest = self._running.pop()
        self._cache.preempt(youngest)
        # Whoever gave way must not come straight back: nothing starts until something ends.
        self._is_full = True
        with self._changed:
            if youngest.is_cancelled:
                youngest.close()
            else:
                self._waiting.appendleft(youngest)

    # --- one sequence -----------------------------------------------------------------------

    def _advance(self, sequence: Sequence, row: int) -> None:
        """Choose the sequence's next token from the logits of ``row``, and what is then forced."""
        with self._its_own_fault(sequence):
            if sequence.top_logprobs is None:
                self._emit(sequence, self._next_tokens(sequence, row))
            else:
                distribution = RowLogprobs(self._logits(row), sequence.top_logprobs)
                tokens = self._next_tokens(sequence, row)
                self._emit(sequence, tokens, tuple(map(distribution.of, tokens)))

    def _next_tokens(self, sequence: Sequence, row: int) -> list[int]:
        """Empty when the sequence has said that it ends."""
        assert sequence.sampler is not None
        matcher = sequence.matcher
        logits = None if matcher is None else self._logits(row)
        token = sequence.sampler.sample(self._context, row, logits, matcher)
        if token in self._vocabulary.end_of_generation:
            return []
        if matcher is None:
            return [token]
        matcher.consume(token)
        return [token, *self._take_forced(sequence, sequence.room - 1)]

    def _take_forced(self, sequence: Sequence, limit: int) -> list[int]:
        """What the grammar leaves no choice of. With logprobs it is decoded like the rest, so that
        it too has logits."""
        assert sequence.sampler is not None
        if sequence.matcher is None or sequence.top_logprobs is not None:
            return []
        forced = sequence.matcher.take_forced(limit)
        sequence.sampler.accept_forced(forced)
        return forced

    def _emit(
        self, sequence: Sequence, tokens: list[int], logprobs: tuple[TokenLogprob, ...] = ()
    ) -> bool:
        """Hand tokens to whoever asked for them; False when the sequence ended with them."""
        sequence.extend(tokens)
        reason = self._end_reason(sequence, tokens)
        text = sequence.decode(tokens, self._vocabulary, is_last=reason is not None)
        end = None if reason is None else sequence.end(reason)
        sequence.sink(
            Chunk(tuple(tokens), text, end, logprobs, sequence.num_cached, sequence.queue_seconds)
        )
        if end is not None:
            self._retire(sequence)
        return end is None

    def _end_reason(self, sequence: Sequence, tokens: list[int]) -> EndReason | None:
        if not tokens or (sequence.matcher is not None and sequence.matcher.is_finished):
            return "stop"
        return "length" if sequence.room == 0 else None

    @contextmanager
    def _its_own_fault(self, sequence: Sequence) -> Iterator[None]:
        """What goes wrong in here ends this sequence and no other."""
        try:
            yield
        except EngineError as error:
            self._fail([sequence], error)
        except Exception as error:  # boundary: a request's fault is not the others'
            logger.exception("a sequence failed")
            self._fail([sequence], EngineError(f"the engine failed: {error}"))

    def _fail(self, sequences: Iterable[Sequence], error: KronkError) -> None:
        for sequence in list(sequences):
            sequence.sink(error)
            self._retire(sequence)

    def _retire(self, sequence: Sequence) -> None:
        """Let go of a sequence, wherever it is; what it computed stays for others to share."""
        if sequence in self._running:
            self._running.remove(sequence)
            self._is_full = False
        self._cache.finish(sequence)
        sequence.close()

    def _logits(self, row: int) -> NDArray[np.float32]:
        pointer = llama.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary.size,))


@dataclass(frozen=True, slots=True)
class _Rows:
    """A sequence's part of a batch."""

    sequence: Sequence
    count: int
    last_row: int | None
    """Batch row of its last token, when it is all the sequence had pending and can be sampled."""


def _fair_shares(sequences: list[Sequence], room: int) -> Iterator[tuple[Sequence, int]]:
    """Divide ``room`` rows equally; what a short prompt does not need goes to the longer ones."""
    by_need = sorted(sequences, key=lambda sequence: len(sequence.pending))
    for index, sequence in enumerate(by_need):
        share = -(-room // (len(by_need) - index))
        taken = min(share, len(sequence.pending))
        room -= taken
        yield sequence, taken
