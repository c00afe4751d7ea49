"""The worker thread: admit sequences, fill a batch, decode it, sample, repeat.

A batch has first the rows of each decoding sequence (its last token, fast-forward tokens and
drafts); the remaining rows are split between the prompts in prefill, shortest first. An error of
one request never ends the thread.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.kv_cache.prefix_cache import PrefixCache
from kronk_agent.engine.kv_cache.prefix_saver import PrefixSaver
from kronk_agent.engine.llama.batch import Batch
from kronk_agent.engine.llama.binding import ContextHandle, llama
from kronk_agent.engine.sampling.logprobs import RowLogprobs, TokenIdLogprob
from kronk_agent.engine.sampling.sampler import Sampler
from kronk_agent.engine.sampling.speculation import FIRST_DRAFT_LENGTH, PromptLookup
from kronk_agent.engine.scheduling.prefill import PrefillPolicy
from kronk_agent.engine.scheduling.request_queue import RequestQueue
from kronk_agent.engine.scheduling.step_time import StepTimeModel
from kronk_agent.engine.sequence import Chunk, EndReason, Sequence, Sink
from kronk_agent.engine.stats import EngineStats, StepCounters
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import (
    DeadlineError,
    EngineError,
    InvalidRequestError,
    KronkError,
    OverloadedError,
)

logger = logging.getLogger(__name__)

_FLUSH_INTERVAL_SECONDS = 0.015
"""Maximum time a streamed token is held back so that several are delivered together. Waking the
event loop costs more than everything else Python does in a step, and takes a core from llama.cpp's
threads, which wait for each other: on 2 cores and a small model, one wake-up per token costs a
tenth of the speed."""

_BATCH_FLUSH_INTERVAL_SECONDS = 0.25
"""The same for sequences that are not streamed. Short enough for a caller that collects the tokens
to stop the generation in time."""

_BURST_WINDOW_SECONDS = 5.0
"""Time in which more requests are expected after one that arrived while others were running."""

_MAX_SCORED_PROMPT_ROWS = 64
"""Maximum rows per step of a prompt whose logprobs are requested: each row needs logits, which are
as large as the vocabulary."""

_NO_KV_SLOT = 1
"""Status of ``llama_decode`` if the KV cache has no room for the batch."""

SequenceOutput: TypeAlias = tuple[Sink, Chunk | KronkError]


class Scheduler:
    """Owns a llama.cpp context and the only thread that uses it.

    Args:
        deliver: called on the worker thread with the collected outputs; must not block.
        prefixes: saves shared prefixes to files while nothing runs.
        context_length: tokens one sequence may have.
        num_cells: KV cells of the context.
        batch_size: rows of a batch.
        speculation: draft tokens by prompt lookup.
    """

    def __init__(
        self,
        context: ContextHandle,
        vocabulary: Vocabulary,
        cache: PrefixCache,
        prefixes: PrefixSaver,
        *,
        deliver: Callable[[list[SequenceOutput]], None],
        context_length: int,
        num_cells: int,
        batch_size: int,
        max_sequences: int,
        queue_limit: int,
        speculation: bool,
    ) -> None:
        self._context = context
        self._vocabulary = vocabulary
        self._cache = cache
        self._prefixes = prefixes
        self._deliver = deliver
        self._context_length = context_length
        self._num_cells = num_cells
        self._batch = Batch(batch_size)
        self._max_sequences = max_sequences
        self._queue_limit = queue_limit
        self._speculation = speculation
        self._step_time = StepTimeModel()
        self._prefill = PrefillPolicy(
            self._step_time, capacity=batch_size, is_unified=cache.is_unified
        )
        self._counters = StepCounters()
        self._output: list[SequenceOutput] = []
        """Outputs not delivered yet."""
        self._flush_deadline = math.inf
        """Latest time to deliver them, on the clock of ``time.perf_counter``."""
        self._running: list[Sequence] = []
        """Admitted sequences, oldest first."""
        self._waiting = RequestQueue()
        """Submitted or preempted sequences; guarded by ``_changed``."""
        self._callbacks: list[Callable[[], None]] = []
        """Functions to call between two steps; guarded by ``_changed``."""
        self._is_admission_blocked = False
        """True if a sequence was preempted and none has ended since."""
        self._burst_until = 0.0
        """Time until which more requests are expected, on the clock of ``time.perf_counter``."""
        self._last_step_at = 0.0
        """End of the last step, on the same clock."""
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="kronk-engine", daemon=True)

    def start(self) -> None:
        """Start the worker thread."""
        self._thread.start()

    def submit(self, sequences: list[Sequence]) -> None:
        """Queue all of the sequences or none. Thread-safe.

        Raises:
            InvalidRequestError: more sequences than the engine and its queue can hold.
            OverloadedError: the queue is full.
            EngineError: the engine is closed.
        """
        with self._changed:
            self._check_open()
            if len(sequences) > self._queue_limit + self._max_sequences:
                raise InvalidRequestError(
                    f"{len(sequences)} generations at once are more than engine.max_sequences "
                    f"({self._max_sequences}) and engine.queue_limit ({self._queue_limit}) allow",
                    param="n",
                )
            idle = max(0, self._max_sequences - len(self._running))
            if len(self._waiting) + len(sequences) > self._queue_limit + idle:
                raise OverloadedError(
                    f"the queue is full ({len(self._waiting)} waiting, engine.queue_limit is "
                    f"{self._queue_limit}): try again in a moment",
                    retry_after_seconds=1.0,
                )
            if self._running or self._waiting:
                self._burst_until = time.perf_counter() + _BURST_WINDOW_SECONDS
            for sequence in sequences:
                self._waiting.append(sequence)
            self._changed.notify()

    def cancel(self, sequence: Sequence) -> None:
        """Cancel a sequence: at once if it waits, at the next step if it runs. Thread-safe."""
        with self._changed:
            if self._waiting.remove(sequence):
                sequence.close()
                if sequence.admitted_at is not None:  # preempted: its reservation lapses
                    self._is_admission_blocked = False
            sequence.is_cancelled = True

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call a function on the worker thread between two steps. Thread-safe.

        Raises:
            EngineError: the engine is closed.
        """
        with self._changed:
            self._check_open()
            self._callbacks.append(callback)
            self._changed.notify()

    def close(self) -> None:
        """End all sequences with an error and wait for the thread, at most one decode step."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def stats(self) -> EngineStats:
        """Snapshot of the engine. Call it only through ``call_soon``."""
        return EngineStats.of(
            self._counters,
            self._cache.counters,
            running=self._running,
            waiting=list(self._waiting),
            kv_cells_used=self._cache.num_cells(self._running),
            kv_cells_total=self._num_cells,
            cached_sequences=self._cache.num_cached_sequences,
        )

    def check(self) -> None:
        """Assert that the bookkeeping is consistent. For tests; call it through ``call_soon``."""
        self._cache.check(self._running)
        assert all(sequence.id is not None for sequence in self._running)
        assert len(self._running) <= self._max_sequences

    def _check_open(self) -> None:
        if self._is_closing:
            raise EngineError("the engine is closed")

    # --- the loop ---------------------------------------------------------------------------

    def _work(self) -> None:
        while self._wait_for_work():
            started_at = time.perf_counter()
            try:
                self._run_callbacks()
                self._step()
            except Exception as error:  # boundary: the thread outlives any fault
                logger.exception("a decode step failed")
                for sequence in self._running:
                    sequence.id = None  # its state in the KV cache is unknown
                self._cache.clear()
                self._fail(self._running, EngineError(f"the engine failed: {error}"))
            if not self._running:
                self._flush()
            self._counters.busy_seconds += time.perf_counter() - started_at
            if not self._running and not self._waiting:
                self._save_prefixes(self._prefixes.save)
        with self._changed:
            unfinished = [*self._running, *self._waiting.clear()]
        self._fail(unfinished, EngineError("the engine was closed"))
        self._flush()
        self._run_callbacks()
        self._save_prefixes(self._prefixes.close)

    def _save_prefixes(self, save: Callable[[], None]) -> None:
        try:
            save()
        except Exception:  # boundary: prefixes that are not saved are computed again
            logger.exception("cannot save prompt prefixes")

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closing or self._running or self._waiting or self._callbacks
            )
            return not self._is_closing

    def _run_callbacks(self) -> None:
        with self._changed:
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def _step(self) -> None:
        self._drop_ended()
        self._admit()
        self._cache.compact_sequence_ids(self._running)
        rows = self._fill_batch()
        cells = sum(
            self._prefill.cells(scheduled.sequence, scheduled.num_rows) for scheduled in rows
        )
        self._flush(next_output_in=self._step_time.seconds(self._batch.size, cells=cells))
        if not self._decode(rows, cells):
            return
        for scheduled in rows:
            self._advance(scheduled)

    def _flush(self, *, next_output_in: float = math.inf) -> None:
        """Deliver the outputs, unless their deadline allows waiting for the next ones."""
        if self._output and self._flush_deadline <= time.perf_counter() + next_output_in:
            self._deliver(self._output)
            self._output = []
            self._flush_deadline = math.inf

    # --- admission --------------------------------------------------------------------------

    def _drop_ended(self) -> None:
        """Drop cancelled sequences and those past their deadline."""
        for sequence in [s for s in self._running if s.is_cancelled]:
            sequence.pin = None
            self._retire(sequence)
        now = time.perf_counter()
        with self._changed:
            expired = [s for s in [*self._running, *self._waiting] if s.is_past_deadline(now)]
            for sequence in expired:
                if self._waiting.remove(sequence) and not sequence.is_new:
                    self._is_admission_blocked = False  # preempted: its reservation lapses
        for sequence in expired:
            self._fail([sequence], DeadlineError(num_tokens=sequence.num_generated))

    def _admit(self) -> None:
        """Start waiting sequences in order.

        A sequence whose prefix is being computed by another one waits, to reuse it.
        """
        if not self._waiting:  # without the lock: a sequence added now is seen in the next step
            return
        with self._changed:
            waiting = list(self._waiting)
        for sequence in waiting:
            is_at_capacity = self._is_admission_blocked or len(self._running) >= self._max_sequences
            if is_at_capacity and not self._can_preempt_background(sequence):
                return
            if self._waits_for_prefix(sequence):
                continue
            with self._changed:
                if not self._waiting.remove(sequence):
                    continue  # cancelled meanwhile
            if is_at_capacity:
                self._swap_out(self._running[-1])
                self._is_admission_blocked = False  # its cells can be evicted now
            with self._isolated(sequence):
                self._start(sequence)

    def _can_preempt_background(self, sequence: Sequence) -> bool:
        """True if a background sequence can be preempted for this one."""
        return (
            sequence.priority == "interactive"
            and bool(self._running)
            and self._running[-1].priority == "background"
        )

    def _waits_for_prefix(self, sequence: Sequence) -> bool:
        leader = sequence.leader
        if leader is not None and not leader.is_closed and leader.num_generated == 0:
            return True
        return self._cache.should_wait_for_prefix(sequence, self._running)

    def _start(self, sequence: Sequence) -> None:
        if sequence.is_new and not self._prepare(sequence):
            return
        if sequence.is_scoring:  # preempted before they were complete: start over
            sequence.prompt_logprobs.clear()
        self._prefixes.schedule_save(sequence)
        self._cache.admit(sequence, self._running)
        if sequence.is_new:
            sequence.num_cached = min(sequence.num_computed, sequence.num_prompt_tokens)
        sequence.num_to_prefill = sequence.num_tokens
        self._running.append(sequence)
        # Background sequences come last, so that they are preempted first.
        self._running.sort(key=lambda s: s.priority == "background")

    def _prepare(self, sequence: Sequence) -> bool:
        """Create the sampler and matcher, and take the grammar's first fast-forward tokens.

        Returns False if these tokens already end the generation.
        """
        sequence.admitted_at = time.perf_counter()
        sequence.sampler = Sampler(
            sequence.params,
            self._vocabulary,
            prompt=sequence.tokens[: sequence.num_prompt_tokens],
            context_length=self._context_length,
        )
        if (
            self._speculation
            and sequence.top_logprobs is None
            and self._cache.supports_partial_removal
        ):
            sequence.lookup = PromptLookup(sequence.tokens)
        if sequence.constraint is None:
            return True
        sequence.matcher = sequence.constraint.start()
        fast_forward = self._take_fast_forward(sequence, sequence.num_remaining)
        return not fast_forward or self._emit(sequence, fast_forward)

    # --- one batch --------------------------------------------------------------------------

    def _fill_batch(self) -> list[_ScheduledRows]:
        """Fill the batch: rows of decoding sequences first, then prompt tokens."""
        self._batch.clear()
        decoding = [s for s in self._running if not s.is_prefilling]
        prefilling = [s for s in self._running if s.is_prefilling]
        chosen: list[tuple[Sequence, int]] = []
        num_rows = 0
        # No drafts while prompts are in prefill: these use all spare rows.
        min_acceptance = math.inf if prefilling else self._break_even_acceptance(len(decoding))
        for sequence in decoding:
            room = self._batch.capacity - num_rows - len(decoding)
            self._draft(sequence, room - 1, min_acceptance)
            chosen.append((sequence, len(sequence.pending)))
            num_rows += len(sequence.pending) + len(sequence.draft)
        if prefilling:
            now = time.perf_counter()
            chosen += self._prefill.schedule(
                prefilling,
                decoding,
                num_rows,
                expects_more_requests=now < self._burst_until,
                since_last=now - self._last_step_at,
            )
        if not self._cache.is_unified:
            # llama.cpp computes rows of separate KV caches together only if ids are consecutive.
            chosen.sort(key=lambda choice: choice[0].id or 0)
        rows = [self._add_rows(sequence, count) for sequence, count in chosen]
        return [scheduled for scheduled in rows if scheduled.count]

    def _break_even_acceptance(self, num_decoding: int) -> float:
        """Acceptance rate from which drafting makes generation faster.

        k more rows in a step of n give m more tokens if m of them are right. That is faster if
        (n + m) / (fixed + each·(n + k)) > n / (fixed + each·n), which is m/k > each·n / (fixed +
        each·n). Where each sequence has a KV cache of its own, several rows of one sequence are
        not computed together with the single rows of the others.
        """
        if num_decoding > 1 and not self._cache.is_unified:
            return self._step_time.separate_row_cost(num_decoding, FIRST_DRAFT_LENGTH)
        return self._step_time.marginal_row_cost(num_decoding)

    def _draft(self, sequence: Sequence, limit: int, min_acceptance: float) -> None:
        """Draft up to ``limit`` next tokens if verifying them is likely to pay off."""
        sequence.draft = sequence.draft[:0]
        if sequence.lookup is None or len(sequence.pending) != 1:
            return
        limit = min(sequence.num_remaining - 1, limit)
        draft = sequence.lookup.draft(sequence.num_tokens, limit, min_acceptance=min_acceptance)
        if len(draft) and sequence.matcher is not None:
            draft = draft[: sequence.matcher.count_allowed(draft.tolist())]
        sequence.draft = draft.copy()

    def _add_rows(self, sequence: Sequence, wanted: int) -> _ScheduledRows:
        count = min(wanted, self._batch.room)
        if sequence.is_scoring:
            count = min(count, _MAX_SCORED_PROMPT_ROWS)
        if sequence.checkpoints:
            ahead = (at - sequence.num_computed for at in sequence.checkpoints)
            count = min([count, *(number for number in ahead if number > 0)])
        if count == 0:
            return _ScheduledRows(sequence, 0, None)
        assert sequence.id is not None
        is_last = count == len(sequence.pending)
        first_row = self._batch.add(
            sequence.pending[:count],
            position=sequence.num_computed,
            sequence_id=sequence.id,
            num_logits=count if sequence.is_scoring else int(is_last),
        )
        if not is_last:
            sequence.draft = sequence.draft[:0]
        if len(sequence.draft):
            self._batch.add(
                sequence.draft,
                position=sequence.num_tokens,
                sequence_id=sequence.id,
                num_logits=len(sequence.draft),
            )
        return _ScheduledRows(
            sequence, count, first_row + count - 1 if is_last else None, first_row
        )

    def _decode(self, rows: list[_ScheduledRows], cells: float) -> bool:
        """Decode the batch.

        Returns False if the batch is empty, or if a sequence was preempted to make room for it; it
        must then be filled again.
        """
        if self._batch.size == 0:
            return False
        started_at = time.perf_counter()
        while (status := llama.llama_decode(self._context, self._batch.native)) == _NO_KV_SLOT:
            if not self._cache.evict():
                self._preempt_youngest()
                return False
        # A GPU computes asynchronously: wait, so that the time is measured here.
        llama.llama_synchronize(self._context)
        self._last_step_at = time.perf_counter()
        seconds = self._last_step_at - started_at
        if status != 0:
            raise EngineError(f"llama_decode failed with status {status}")
        self._step_time.add(self._batch.size, seconds, cells=cells)
        self._counters.add_step(
            seconds,
            rows=self._batch.size,
            prefill_tokens=sum(
                scheduled.count for scheduled in rows if scheduled.sequence.is_prefilling
            ),
        )
        return True

    def _preempt_youngest(self) -> None:
        if len(self._running) == 1:
            if self._cache.evict(even_pinned=True):
                return
            raise EngineError("the KV cache has no room for a single sequence")
        youngest = self._running[-1]
        self._cache.preempt(youngest)
        youngest.draft = youngest.draft[:0]
        self._running.pop()
        self._counters.preemptions += 1
        # It must not be admitted again at once: nothing starts until a sequence ends.
        self._is_admission_blocked = True
        self._requeue(youngest)

    def _swap_out(self, sequence: Sequence) -> None:
        """Preempt a running sequence; its KV cells stay until they are needed."""
        self._cache.finish(sequence)
        self._running.remove(sequence)
        sequence.num_computed = 0
        self._counters.preemptions += 1
        self._requeue(sequence)

    def _requeue(self, sequence: Sequence) -> None:
        with self._changed:
            if sequence.is_cancelled:
                sequence.close()
                self._is_admission_blocked = False
            else:
                self._waiting.append_first(sequence)

    # --- one sequence -----------------------------------------------------------------------

    def _advance(self, scheduled: _ScheduledRows) -> None:
        """Account for the computed rows of a sequence and choose its next tokens."""
        sequence = scheduled.sequence
        with self._isolated(sequence):
            if sequence.is_scoring:
                self._score_prompt(sequence, scheduled)
            sequence.num_computed += scheduled.count
            self._cache.checkpoint(sequence)
            if scheduled.last_row is None:
                return
            sequence.num_steps += 1
            if sequence.num_remaining == 0:  # only its prompt was requested
                self._emit(sequence, [])
            elif sequence.top_logprobs is not None:
                self._emit(sequence, *self._next_with_logprobs(sequence, scheduled.last_row))
            elif len(sequence.draft):
                self._emit(sequence, self._check_draft(sequence, scheduled.last_row))
            else:
                self._emit(
                    sequence,
                    self._next_tokens(sequence, scheduled.last_row, sequence.num_remaining),
                )

    def _score_prompt(self, sequence: Sequence, scheduled: _ScheduledRows) -> None:
        """Record the logprobs of the prompt tokens that follow these rows."""
        assert sequence.top_prompt_logprobs is not None
        following = sequence.tokens[sequence.num_computed + 1 : sequence.num_prompt_tokens]
        for row, token in enumerate(following[: scheduled.count].tolist(), scheduled.first_row):
            distribution = RowLogprobs(self._logits(row), sequence.top_prompt_logprobs)
            sequence.prompt_logprobs.append(distribution.of(token))

    def _next_with_logprobs(
        self, sequence: Sequence, row: int
    ) -> tuple[list[int], tuple[TokenIdLogprob, ...]]:
        """Sample the next token with its logprob, before or after the samplers as requested."""
        assert sequence.top_logprobs is not None
        assert sequence.sampler is not None
        if not sequence.logprobs_after_sampling:
            distribution = RowLogprobs(self._logits(row), sequence.top_logprobs)
            tokens = self._next_tokens(sequence, row, sequence.num_remaining)
            return tokens, tuple(map(distribution.of, tokens))
        scored = sequence.sampler.sample_scored(
            self._logits(row), sequence.matcher, sequence.top_logprobs
        )
        if scored.token in self._vocabulary.end_of_generation:
            sequence.saw_eog_token = True
            return [], ()
        if sequence.matcher is not None:
            sequence.matcher.consume(scored.token)
        return [scored.token], (scored,)

    def _check_draft(self, sequence: Sequence, row: int) -> list[int]:
        """Sample as without a draft, for as long as the samples equal the draft.

        The rows after ``row`` are the draft's: each has the logits that are valid if the draft up
        to that row is right.
        """
        draft = sequence.draft.tolist()
        chosen: list[int] = []
        right = 0
        while right <= len(draft):
            tokens = self._next_tokens(sequence, row + right, sequence.num_remaining - len(chosen))
            chosen += tokens
            same = _common_prefix_length(tokens, draft[right:])
            right += same
            if not tokens or same < len(tokens) or len(chosen) >= sequence.num_remaining:
                break
        sequence.num_computed += right
        if right < len(draft):
            self._cache.truncate(sequence, sequence.num_computed)
        assert sequence.lookup is not None
        sequence.lookup.learn(len(draft), right)
        sequence.draft = sequence.draft[:0]
        self._counters.drafted_tokens += len(draft)
        self._counters.accepted_tokens += right
        return chosen

    def _next_tokens(self, sequence: Sequence, row: int, limit: int) -> list[int]:
        """Sample a token from the logits of ``row`` and append the fast-forward tokens after it.

        Empty if the sequence ends: its grammar is complete, or an end-of-generation token was
        sampled.
        """
        assert sequence.sampler is not None
        matcher = sequence.matcher
        if matcher is not None and matcher.is_finished:
            return []
        started_at = time.perf_counter()
        token = sequence.sampler.sample(self._context, row, self._logits(row), matcher)
        self._counters.sampling_seconds += time.perf_counter() - started_at
        if token in self._vocabulary.end_of_generation:
            sequence.saw_eog_token = True
            return []
        if matcher is None:
            return [token]
        matcher.consume(token)
        return [token, *self._take_fast_forward(sequence, limit - 1)]

    def _take_fast_forward(self, sequence: Sequence, limit: int) -> list[int]:
        """Consume and return the tokens that the grammar leaves no choice about.

        None with logprobs: every token is then decoded, so that it has logits.
        """
        assert sequence.sampler is not None
        if sequence.matcher is None or sequence.top_logprobs is not None or sequence.is_scoring:
            return []
        fast_forward = sequence.matcher.take_fast_forward(limit)
        sequence.sampler.accept(fast_forward)
        self._counters.fast_forward_tokens += len(fast_forward)
        return fast_forward

    def _emit(
        self, sequence: Sequence, tokens: list[int], logprobs: tuple[TokenIdLogprob, ...] = ()
    ) -> bool:
        """Output generated tokens; returns False if they end the sequence."""
        prompt_logprobs = () if sequence.num_generated else tuple(sequence.prompt_logprobs)
        text, count = sequence.decode(tokens, self._vocabulary)
        tokens, logprobs = tokens[:count], logprobs[:count]
        sequence.extend(tokens)
        # An accepted draft may extend beyond a stop sequence.
        sequence.num_computed = min(sequence.num_computed, sequence.num_tokens)
        self._counters.generated_tokens += len(tokens)
        reason = self._end_reason(sequence)
        if reason is not None and sequence.stops.found is None:
            text += sequence.flush_text()
        end = None if reason is None else sequence.end(reason)
        chunk = Chunk(
            tuple(tokens),
            text,
            end,
            logprobs,
            prompt_logprobs,
            sequence.num_cached,
            sequence.queue_seconds,
        )
        if end is not None:
            delay = 0.0
        elif not sequence.is_streaming:
            delay = _BATCH_FLUSH_INTERVAL_SECONDS
        else:
            is_first = sequence.num_generated == len(tokens)
            delay = 0.0 if is_first else _FLUSH_INTERVAL_SECONDS
        self._enqueue_output((sequence.sink, chunk), delay=delay)
        if end is not None:
            self._retire(sequence)
        return end is None

    def _enqueue_output(self, output: SequenceOutput, *, delay: float) -> None:
        """Queue an output for delivery within ``delay`` seconds."""
        self._output.append(output)
        self._flush_deadline = min(self._flush_deadline, time.perf_counter() + delay)

    def _end_reason(self, sequence: Sequence) -> EndReason | None:
        if sequence.is_prefill_only:
            return "length"
        is_complete = sequence.matcher is not None and sequence.matcher.is_finished
        if sequence.saw_eog_token or is_complete or sequence.stops.found is not None:
            return "stop"
        return "length" if sequence.num_remaining == 0 else None

    @contextmanager
    def _isolated(self, sequence: Sequence) -> Iterator[None]:
        """Let an error inside the block end this sequence and no other."""
        try:
            yield
        except KronkError as error:
            self._fail([sequence], error)
        except Exception as error:  # boundary: one request must not fail the others
            logger.exception("a sequence failed")
            self._fail([sequence], EngineError(f"the engine failed: {error}"))

    def _fail(self, sequences: Iterable[Sequence], error: KronkError) -> None:
        for sequence in list(sequences):
            sequence.pin = None
            self._enqueue_output((sequence.sink, error), delay=0)
            self._retire(sequence)

    def _retire(self, sequence: Sequence) -> None:
        """End a sequence, running or waiting; what it computed stays in the prefix cache."""
        if sequence in self._running:
            self._running.remove(sequence)
            self._is_admission_blocked = False
        self._cache.finish(sequence)
        sequence.close()

    def _logits(self, row: int) -> NDArray[np.float32]:
        pointer = llama.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary.size,))


@dataclass(frozen=True, slots=True)
class _ScheduledRows:
    """Rows of one sequence in a batch."""

    sequence: Sequence
    count: int
    """Pending tokens in the batch, without the draft."""
    last_row: int | None
    """Batch row to sample from: that of the last pending token. None if tokens remain pending."""
    first_row: int = 0

    @property
    def num_rows(self) -> int:
        """Rows including the draft."""
        return self.count + len(self.sequence.draft)


def _common_prefix_length(tokens: list[int], draft: list[int]) -> int:
    """Length of the common prefix of two token lists."""
    pairs = zip(tokens, draft, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(tokens), len(draft)))
