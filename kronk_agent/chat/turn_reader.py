"""Turn the engine's chunks into deltas: parsing, stop sequences, usage and timings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from kronk_agent.chat.decision import CallDecision
from kronk_agent.chat.dialects import TurnParserProtocol
from kronk_agent.chat.dialects.parsing.reader import Delimiters
from kronk_agent.chat.logprobs import LogprobAligner
from kronk_agent.chat.repeat_filter import RepeatFilter
from kronk_agent.engine.engine import Chunk, GenerationEnd
from kronk_agent.messages import (
    Delta,
    Finish,
    FinishReason,
    TextDelta,
    Timings,
    Usage,
)


class TurnReader:
    """Turns the chunks of one turn into deltas.

    A turn that repeats one of its calls exactly ends before the repeat, which is dropped: small
    models otherwise repeat it up to the limit.

    Args:
        parser: a fresh one, from the dialect.
        stop: sequences that end the turn when they occur in the answer's text; they may occur in
        thinking and calls.
        num_prompt_tokens: prompt tokens of the first generation.
        decision: the generation before the turn that decided whether to call, if any.
        aligner: adds logprobs to text deltas, if they were requested.
    """

    def __init__(
        self,
        parser: TurnParserProtocol,
        stop: Sequence[str],
        *,
        num_prompt_tokens: int,
        decision: CallDecision | None = None,
        aligner: LogprobAligner | None = None,
    ) -> None:
        self.is_over = False
        """True once ``Finish`` was returned."""
        self._parser = parser
        self._stop = _StopSequenceFilter(stop)
        self._aligner = aligner
        self._num_earlier = 0
        """Completion tokens of the generations before the current one."""
        self._is_first_generation = decision is None
        """True while the engine's prompt counts and timings are those of the turn."""
        self._usage = Usage(
            prompt_tokens=num_prompt_tokens,
            cached_tokens=decision.cached_tokens if decision else 0,
        )
        self._started_at = time.perf_counter() - (decision.seconds if decision else 0.0)
        self._first_token_at: float | None = None
        self._queue_seconds = decision.queue_seconds if decision else 0.0
        self._repeats = RepeatFilter()

    @property
    def num_reasoning_tokens(self) -> int:
        """Thinking tokens so far."""
        return self._usage.reasoning_tokens

    @property
    def num_tokens(self) -> int:
        """Completion tokens so far."""
        return self._usage.completion_tokens

    def insert(self, text: str, num_tokens: int) -> list[Delta]:
        """Inject text that the model did not write; a new generation continues after it."""
        self._usage += Usage(completion_tokens=num_tokens)
        self._num_earlier = self._usage.completion_tokens
        self._is_first_generation = False
        return self._parser.push(text)

    def cut(self) -> list[Delta]:
        """End the turn between two generations, when the context has no space for the next one."""
        self.is_over = True
        deltas = self._parser.finish(is_cut=True)
        return [*deltas, Finish("length", self._usage, self._timings(None))]

    def read(self, chunk: Chunk) -> list[Delta]:
        """Return the deltas this chunk adds; ``Finish`` is the last of the turn."""
        deltas = self._read(chunk)
        if self._aligner is None:
            return deltas
        self._aligner.add(chunk.logprobs)
        return [self._aligner.align(delta) for delta in deltas]

    def _read(self, chunk: Chunk) -> list[Delta]:
        self._count(chunk)
        deltas = self._parser.push(chunk.text)
        if chunk.end is not None:
            deltas += self._parser.finish(is_cut=chunk.end.reason == "length")
        deltas, reason = self._up_to_stop(deltas)
        if reason is not None:
            self.is_over = True
            return [*deltas, self._stopped(reason, chunk.end)]
        if chunk.end is not None:
            self.is_over = True
            held = [*self._repeats.flush(), *_text(self._stop.flush())]
            return [*deltas, *held, self._ended(chunk.end)]
        return deltas

    def _count(self, chunk: Chunk) -> None:
        num_tokens = len(chunk.tokens)
        if self._is_first_generation:
            self._usage = replace(self._usage, cached_tokens=chunk.num_cached)
            self._queue_seconds = chunk.queue_seconds
        if self._first_token_at is None and num_tokens:
            self._first_token_at = time.perf_counter()
        num_thinking = num_tokens if self._parser.is_thinking else 0
        self._usage += Usage(completion_tokens=num_tokens, reasoning_tokens=num_thinking)

    def _up_to_stop(self, deltas: Sequence[Delta]) -> tuple[list[Delta], FinishReason | None]:
        passed: list[Delta] = []
        for delta in deltas:
            if not isinstance(delta, TextDelta):
                passed += [*_text(self._stop.flush()), *self._repeats.push(delta)]
                if self._repeats.has_found:
                    return passed, "tool_calls"
                continue
            passed += _text(self._stop.push(delta.text))
            if self._stop.found is not None:
                return passed, "stop"
        return passed, None

    def _stopped(self, reason: FinishReason, end: GenerationEnd | None) -> Finish:
        usage = self._usage if end is None else self._total(end)
        return Finish(reason, usage, self._timings(end), self._stop.found)

    def _ended(self, end: GenerationEnd) -> Finish:
        is_complete = self._parser.num_calls > 0 and not self._parser.is_inside_call
        reason: FinishReason = "tool_calls" if is_complete else end.reason
        return Finish(reason, self._total(end), self._timings(end))

    def _total(self, end: GenerationEnd) -> Usage:
        completion_tokens = self._num_earlier + end.usage.completion_tokens
        return replace(self._usage, completion_tokens=completion_tokens)

    def _timings(self, end: GenerationEnd | None) -> Timings:
        """Return the engine's timings if they cover the whole turn, else our own."""
        if end is not None and self._is_first_generation:
            return end.timings
        now = time.perf_counter()
        first = self._first_token_at or now
        return Timings(
            self._queue_seconds,
            ttft_seconds=first - self._started_at,
            generation_seconds=now - first,
        )


class _StopSequenceFilter:
    """Passes text on up to the first stop sequence; holds back text that may start one."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.found: str | None = None
        """The stop sequence that occurred first; None so far."""
        self._sequences = Delimiters(texts)
        self._held = ""

    def push(self, chunk: str) -> str:
        """Add text and return the part that is certain, at most up to a stop sequence."""
        text = self._held + chunk
        found = self._sequences.find(text, 0)
        if found is not None:
            self.found, self._held = found.group(), ""
            return text[: found.start()]
        clear = self._sequences.possible_start(text, 0)
        self._held = text[clear:]
        return text[:clear]

    def flush(self) -> str:
        """Return the held text at the end of the turn."""
        held, self._held = self._held, ""
        return held


def _text(text: str) -> list[Delta]:
    return [TextDelta(text)] if text else []
