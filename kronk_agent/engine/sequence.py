"""State of one generation in the engine."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.kv_cache.radix_tree import CacheKey
from kronk_agent.engine.sampling.logprobs import TokenIdLogprob
from kronk_agent.engine.sampling.sampler import Sampler
from kronk_agent.engine.sampling.speculation import PromptLookup
from kronk_agent.engine.sampling.stops import StopFinder
from kronk_agent.engine.structured_output.constraint import Constraint, Matcher
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import KronkError
from kronk_agent.messages import Timings, Usage
from kronk_agent.settings import SamplingParams

EndReason: TypeAlias = Literal["stop", "length"]

Priority: TypeAlias = Literal["interactive", "background"]
"""Interactive sequences are admitted before background ones and may preempt them."""


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """End of a generation: reason, usage and timings."""

    reason: EndReason
    usage: Usage
    timings: Timings
    stop_text: str | None = None
    """The stop sequence that ended it, if one did."""
    num_steps: int = 0
    """Decode steps that produced tokens; fewer than tokens if some were fast-forward tokens or
    accepted drafts."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Output of one decode step for one sequence."""

    tokens: tuple[int, ...]
    text: str
    """Complete characters only. Special tokens appear as their text, except the one that ends the
    generation."""
    end: GenerationEnd | None = None
    """Set on the last chunk only."""
    logprobs: tuple[TokenIdLogprob, ...] = ()
    """One per token, if requested."""
    prompt_logprobs: tuple[TokenIdLogprob, ...] = ()
    """On the first chunk, if requested: one per prompt token except the first, which has no
    preceding context."""
    num_cached: int = 0
    """Prompt tokens that came from the prefix cache; 0 until the sequence is admitted."""
    queue_seconds: float = 0.0
    """Time the sequence waited to be admitted."""


Sink: TypeAlias = Callable[[Chunk | KronkError], None]
"""Receives a sequence's output on the event loop; must not block."""


@dataclass(slots=True, eq=False, kw_only=True)
class Sequence:
    """State of one generation.

    ``tokens[:num_computed]`` are in the KV cache under ``id``; the rest up to ``num_tokens`` is
    pending, that is, waits for a batch. Pending is first the prompt, then the tokens sampled or
    fast-forwarded last, and all tokens again after a preemption: one rule covers all three.
    """

    tokens: NDArray[np.int32]
    """Buffer for all tokens this sequence can have; the first ``num_tokens`` are set."""
    num_prompt_tokens: int
    params: SamplingParams
    constraint: Constraint | None
    sink: Sink
    num_tokens: int
    stops: StopFinder
    top_logprobs: int | None = None
    """Alternatives per token logprob; None computes no logprobs."""
    logprobs_after_sampling: bool = False
    """True if logprobs are taken after the samplers, False for the model's own."""
    top_prompt_logprobs: int | None = None
    """Like ``top_logprobs`` for the prompt's tokens, all of which are then computed."""
    priority: Priority = "interactive"
    is_streamed: bool = True
    """True if the caller reads tokens as they arrive."""
    deadline: float | None = None
    """Deadline on the clock of ``time.perf_counter``; None is no deadline."""
    cache_salt: str = ""
    """Cached states are shared only between prompts of the same salt."""
    shared_prefix: int = 0
    """Leading prompt tokens that all salts share and whose state is saved to a file."""
    pin: int | None = None
    """Number of the pin that keeps its KV cells after it has ended."""
    leader: Sequence | None = None
    """Sequence with the same prompt whose KV cells this one reuses: it waits until the leader has
    computed them."""
    num_computed: int = 0
    num_cached: int = 0
    """Prompt tokens found in the prefix cache at the first admission."""
    num_to_prefill: int = 0
    """Tokens it had when it was last admitted: prefill lasts until these are computed."""
    id: int | None = None
    """Sequence id in the KV cache; None while it waits."""
    sampler: Sampler | None = None
    matcher: Matcher | None = None
    lookup: PromptLookup | None = None
    """Drafts tokens; None if drafting is off for this sequence."""
    draft: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """Drafted tokens in the current batch beyond ``num_tokens``, for the model to verify."""
    checkpoints: set[int] = field(default_factory=set)
    """Values of ``num_computed`` at which its state is to be saved."""
    prompt_logprobs: list[TokenIdLogprob] = field(default_factory=list)
    num_steps: int = 0
    saw_eog_token: bool = False
    """True if the last sampled token was an end-of-generation token."""
    is_cancelled: bool = False
    """Set by any thread; the worker drops the sequence at its next step."""
    is_closed: bool = False
    submitted_at: float = field(default_factory=time.perf_counter)
    admitted_at: float | None = None
    first_token_at: float | None = None
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    @property
    def pending(self) -> NDArray[np.int32]:
        """Tokens not yet in the KV cache."""
        return self.tokens[self.num_computed : self.num_tokens]

    @property
    def computed(self) -> CacheKey:
        """Key of the tokens in the KV cache."""
        return self.key(self.num_computed)

    @property
    def prefix(self) -> CacheKey:
        """Key of the tokens that may come from the prefix cache.

        Excludes the last token, whose logits are needed for sampling. Empty while prompt logprobs
        are incomplete, as they need the logits of every prompt token.
        """
        return self.key(0 if self.is_scoring else self.num_tokens - 1)

    def key(self, length: int) -> CacheKey:
        """Prefix cache key of the first ``length`` tokens."""
        return CacheKey(self.tokens[:length], self.cache_salt, self.shared_prefix)

    @property
    def is_new(self) -> bool:
        """True if it was never admitted."""
        return self.num_to_prefill == 0

    @property
    def is_scoring(self) -> bool:
        """True while requested prompt logprobs are incomplete."""
        return (
            self.top_prompt_logprobs is not None
            and len(self.prompt_logprobs) < self.num_prompt_tokens - 1
        )

    @property
    def is_streaming(self) -> bool:
        """True if a user would notice a pause: it is streamed and interactive."""
        return self.is_streamed and self.priority == "interactive"

    @property
    def is_prefilling(self) -> bool:
        """True while tokens it had at admission are not computed."""
        return self.num_computed < self.num_to_prefill

    @property
    def num_remaining(self) -> int:
        """Tokens it may still generate."""
        return len(self.tokens) - self.num_tokens

    @property
    def num_generated(self) -> int:
        """Tokens generated so far."""
        return self.num_tokens - self.num_prompt_tokens

    @property
    def is_prefill_only(self) -> bool:
        """True if only its prompt is to be computed (``max_tokens=0``)."""
        return len(self.tokens) == self.num_prompt_tokens

    def is_past_deadline(self, now: float) -> bool:
        """True if its deadline has passed at ``now``, a time of ``time.perf_counter``."""
        return self.deadline is not None and now > self.deadline

    def extend(self, tokens: list[int]) -> None:
        """Append generated tokens."""
        if self.first_token_at is None:
            self.first_token_at = time.perf_counter()
        self.tokens[self.num_tokens : self.num_tokens + len(tokens)] = tokens
        self.num_tokens += len(tokens)

    def decode(self, tokens: list[int], vocabulary: Vocabulary) -> tuple[str, int]:
        """Convert generated tokens to text, up to the first stop sequence.

        Returns:
            The characters that these tokens complete, and the number of tokens up to the one that
            completes a stop sequence (all of them if none does).
        """
        text = ""
        for number, token in enumerate(tokens, 1):
            text += self.stops.push(self._decoder.decode(vocabulary.piece(token)), is_last=False)
            if self.stops.found is not None:
                return text, number
        return text, len(tokens)

    def flush_text(self) -> str:
        """Return the text held back as a possible stop sequence. Call it once, at the end."""
        return self.stops.push(self._decoder.decode(b"", True), is_last=True)

    def close(self) -> None:
        """Mark the sequence as ended and free its sampler."""
        self.is_closed = True
        if self.sampler is not None:
            self.sampler.close()

    @property
    def queue_seconds(self) -> float:
        """Time from submission to the first admission; 0 if it was not admitted yet."""
        return 0.0 if self.admitted_at is None else self.admitted_at - self.submitted_at

    def end(self, reason: EndReason) -> GenerationEnd:
        """Describe the end of the generation, as of now."""
        now = time.perf_counter()
        first = self.first_token_at or now
        return GenerationEnd(
            reason,
            Usage(self.num_prompt_tokens, self.num_generated, self.num_cached),
            Timings(self.queue_seconds, first - self.submitted_at, now - first),
            self.stops.found,
            self.num_steps,
        )
