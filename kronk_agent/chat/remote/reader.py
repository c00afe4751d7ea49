"""Turn the chunks of one answer into deltas."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kronk_agent.chat.dialects.parsing.output import new_call_id
from kronk_agent.chat.remote.schema import (
    ChatChunk,
    ChunkChoice,
    LogprobEntry,
    ToolCallChunk,
    TopLogprobEntry,
    UsageChunk,
)
from kronk_agent.errors import UpstreamError
from kronk_agent.messages import (
    Delta,
    Finish,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
}


@dataclass(slots=True)
class _OpenCall:
    """The call that is being read."""

    index: int
    """Our index, counted from 0."""
    upstream_index: int
    """The upstream's index; some upstreams give every call the same one."""
    id: str | None
    has_arguments: bool = False


class ChunkReader:
    """Turns the chunks of one answer into deltas.

    Call ids are our own: some upstreams send none, or the same one again.

    Args:
        url: the upstream's, for errors.
        max_calls: further calls are dropped; None means no limit.
        new_id: makes the id of each call.
    """

    def __init__(
        self,
        url: str,
        *,
        max_calls: int | None = None,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self._url = url
        self._max_calls = max_calls
        self._new_id = new_id
        self._num_calls = 0
        self._call: _OpenCall | None = None
        self._reason: str | None = None
        self._stop_text: str | None = None
        self._logprobs: list[TokenLogprob] = []
        """Of tokens whose text has not arrived yet."""
        self._usage: UsageChunk | None = None
        self._begun_at = time.perf_counter()
        self._first_at: float | None = None
        self._last_at = self._begun_at

    @property
    def has_usage(self) -> bool:
        """True once the upstream reported token counts."""
        return self._usage is not None

    def read(self, chunk: ChatChunk) -> list[Delta]:
        """Return the deltas this chunk adds.

        Raises:
            UpstreamError: it has part of a call without a name.
        """
        self._usage = chunk.usage or self._usage
        deltas = [delta for choice in chunk.choices for delta in self._read_choice(choice)]
        if deltas:
            self._last_at = time.perf_counter()
            self._first_at = self._first_at or self._last_at
        return deltas

    def finish(self) -> list[Delta]:
        """Return the end of the last call, unless it was cut off, and ``Finish``.

        Raises:
            UpstreamError: the answer has no finish reason, or one that is not an answer's.
        """
        if self._reason is None:
            raise UpstreamError(f"{self._url} ended the stream in the middle of its answer")
        reason = _REASONS.get(self._reason)
        if reason is None:
            raise UpstreamError(f"{self._url} ended its answer early: {self._reason}")
        deltas: list[Delta] = []
        if reason != "length":
            deltas = self._end_call()
            reason = "tool_calls" if self._num_calls else "stop"
        stop_text = self._stop_text if reason == "stop" else None
        return [*deltas, Finish(reason, self._total(), self._timings(), stop_text)]

    def _read_choice(self, choice: ChunkChoice) -> list[Delta]:
        self._reason = choice.finish_reason or self._reason
        for stop in (choice.stop_reason, choice.matched_stop):
            self._stop_text = stop if isinstance(stop, str) else self._stop_text
        if choice.logprobs is not None:
            self._logprobs += map(_logprob, choice.logprobs.content or ())
        delta = choice.delta
        deltas: list[Delta] = []
        if reasoning := delta.reasoning_content or delta.reasoning:
            deltas.append(ReasoningDelta(reasoning))
        if text := delta.content or delta.refusal:
            deltas.append(TextDelta(text, tuple(self._logprobs)))
        for call in delta.tool_calls or ():
            deltas += self._read_call(call)
        if deltas:
            self._logprobs.clear()
        return deltas

    def _read_call(self, chunk: ToolCallChunk) -> list[Delta]:
        deltas: list[Delta] = []
        if self._is_new(chunk):
            deltas = self._end_call()
            self._call = _OpenCall(self._num_calls, chunk.index or 0, chunk.id)
            self._num_calls += 1
            if not self._is_left_out:
                name = chunk.function.name or ""
                deltas.append(ToolCallStart(self._call.index, self._new_id(), name))
        if self._call is None:
            raise UpstreamError(f"{self._url} sent part of a tool call without a name")
        if chunk.function.arguments and not self._is_left_out:
            self._call.has_arguments = True
            deltas.append(ToolCallArguments(self._call.index, chunk.function.arguments))
        return deltas

    def _is_new(self, chunk: ToolCallChunk) -> bool:
        if not chunk.function.name:
            return False
        call = self._call
        return (
            call is None
            or (chunk.index or 0) != call.upstream_index
            or (chunk.id is not None and chunk.id != call.id)
        )

    @property
    def _is_left_out(self) -> bool:
        return self._max_calls is not None and self._num_calls > self._max_calls

    def _end_call(self) -> list[Delta]:
        call, self._call = self._call, None
        if call is None or (self._max_calls is not None and call.index >= self._max_calls):
            return []
        empty = [] if call.has_arguments else [ToolCallArguments(call.index, "{}")]
        return [*empty, ToolCallEnd(call.index)]

    def _total(self) -> Usage:
        usage = self._usage
        if usage is None:
            return Usage()
        prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
        return Usage(
            usage.prompt_tokens,
            usage.completion_tokens,
            (prompt.cached_tokens if prompt else None) or 0,
            (completion.reasoning_tokens if completion else None) or 0,
        )

    def _timings(self) -> Timings:
        first = self._first_at or self._last_at
        return Timings(
            ttft_seconds=first - self._begun_at, generation_seconds=self._last_at - first
        )


def _logprob(entry: TopLogprobEntry) -> TokenLogprob:
    top = entry.top_logprobs if isinstance(entry, LogprobEntry) else ()
    data = entry.token.encode() if entry.bytes is None else bytes(entry.bytes)
    return TokenLogprob(entry.token, data, None, entry.logprob, tuple(map(_logprob, top)))
