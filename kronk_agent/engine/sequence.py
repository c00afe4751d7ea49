"""One generation in flight."""

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
from kronk_agent.model import SamplingParams

EndReason: TypeAlias = Literal["stop", "length"]

Priority: TypeAlias = Literal["interactive", "background"]
"""Interactive generations are admitted before background ones, and do not give way to them."""


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """How a generation ended and what it cost."""

    reason: EndReason
    usage: Usage
    timings: Timings
    stop_text: str | None = None
    """The one of the stop texts that ended it."""
    num_steps: int = 0
    """Decode steps that gave it tokens; fewer than tokens where some were forced or drafted."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one decode step gave one generation."""

    tokens: tuple[int, ...]
    text: str
    """Whole characters only. Special tokens appear as their text; the one that ends the
    generation does not."""
    end: GenerationEnd | None = None
    """Only on the last chunk."""
    logprobs: tuple[TokenIdLogprob, ...] = ()
    """One for each token, where they were asked for."""
    prompt_logprobs: tuple[TokenIdLogprob, ...] = ()
    """On the first chunk, where they were asked for: one for each prompt token but the first,
    which nothing comes before."""
    num_cached: int = 0
    """Prompt tokens that came from the KV memory, once that is known."""
    queue_seconds: float = 0.0
    """How long the generation waited to be admitted."""


Sink: TypeAlias = Callable[[Chunk | KronkError], None]
"""Where a sequence's output goes; called by the worker thread, must not block."""


@dataclass(slots=True, eq=False, kw_only=True)
class Sequence:
    """All there is to know of one generation.

    ``tokens[:num_computed]`` are in the KV memory under ``id``; the rest up to ``num_tokens`` wait
    for a batch. That is the prompt at first, then what was sampled or forced last, and everything
    again after the sequence was preempted: one rule for all three.
    """

    tokens: NDArray[np.int32]
    """Room for every token this sequence may ever have; the first ``num_tokens`` are set."""
    num_prompt_tokens: int
    params: SamplingParams
    constraint: Constraint | None
    sink: Sink
    num_tokens: int
    stops: StopFinder
    top_logprobs: int | None = None
    """How many alternatives each token's logprob comes with; None gives no logprobs."""
    logprobs_after_sampling: bool = False
    """Are the logprobs those that the samplers left, and not the model's own?"""
    top_prompt_logprobs: int | None = None
    """The same for the prompt's tokens, all of which are then computed."""
    priority: Priority = "interactive"
    is_streamed: bool = True
    """Does somebody read its tokens as they come?"""
    deadline: float | None = None
    """On the clock of ``time.perf_counter``."""
    cache_salt: str = ""
    """Its prompt shares cached states only with those of the same salt."""
    shared_prefix: int = 0
    """Leading prompt tokens that all salts share, and whose state is to be saved to a file."""
    pin: int | None = None
    """The pin that keeps its cells once it has ended."""
    leader: Sequence | None = None
    """One with the same prompt, whose cells it shares: it waits until they are computed."""
    num_computed: int = 0
    num_cached: int = 0
    """Prompt tokens that did not have to be computed when it was first admitted."""
    num_to_prefill: int = 0
    """Tokens it had when it was admitted: it reads until these are computed, then generates."""
    id: int | None = None
    """Sequence id in the KV memory while admitted."""
    sampler: Sampler | None = None
    matcher: Matcher | None = None
    lookup: PromptLookup | None = None
    """Drafts its next tokens, where that is allowed."""
    draft: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """Tokens that are in the batch beyond ``num_tokens``, for the model to check."""
    checkpoints: set[int] = field(default_factory=set)
    """Numbers of computed tokens at which its state is to be saved."""
    prompt_logprobs: list[TokenIdLogprob] = field(default_factory=list)
    num_steps: int = 0
    saw_eog_token: bool = False
    """Was the last thing sampled a token that ends the generation?"""
    is_cancelled: bool = False
    """Set by any thread; the worker lets go of the sequence at its next loop."""
    is_closed: bool = False
    submitted_at: float = field(default_factory=time.perf_counter)
    admitted_at: float | None = None
    first_token_at: float | None = None
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    @property
    def pending(self) -> NDArray[np.int32]:
        """Tokens that are not in the KV memory yet."""
        return self.tokens[self.num_computed : self.num_tokens]

    @property
    def computed(self) -> CacheKey:
        """Tokens that are in the KV memory."""
        return self.key(self.num_computed)

    @property
    def prefix(self) -> CacheKey:
        """What may come from the KV memory. Not the last token: its logits are sampled from. And
        nothing as long as every token's logits are wanted."""
        return self.key(0 if self.is_scoring else self.num_tokens - 1)

    def key(self, length: int) -> CacheKey:
        """The first tokens, as the prefix cache knows them."""
        return CacheKey(self.tokens[:length], self.cache_salt, self.shared_prefix)

    @property
    def is_new(self) -> bool:
        """Was it never admitted?"""
        return self.num_to_prefill == 0

    @property
    def is_scoring(self) -> bool:
        """Are there prompt tokens whose logprobs are still to be found?"""
        return (
            self.top_prompt_logprobs is not None
            and len(self.prompt_logprobs) < self.num_prompt_tokens - 1
        )

    @property
    def is_streaming(self) -> bool:
        """Would somebody see it stand still for a moment?"""
        return self.is_streamed and self.priority == "interactive"

    @property
    def is_prefilling(self) -> bool:
        return self.num_computed < self.num_to_prefill

    @property
    def num_remaining(self) -> int:
        """Tokens it may still generate."""
        return len(self.tokens) - self.num_tokens

    @property
    def num_generated(self) -> int:
        return self.num_tokens - self.num_prompt_tokens

    @property
    def is_prefill_only(self) -> bool:
        """Is it there to have its prompt computed, and to generate nothing?"""
        return len(self.tokens) == self.num_prompt_tokens

    def is_past_deadline(self, now: float) -> bool:
        """Is its deadline over?"""
        return self.deadline is not None and now > self.deadline

    def extend(self, tokens: list[int]) -> None:
        if self.first_token_at is None:
            self.first_token_at = time.perf_counter()
        self.tokens[self.num_tokens : self.num_tokens + len(tokens)] = tokens
        self.num_tokens += len(tokens)

    def decode(self, tokens: list[int], vocabulary: Vocabulary) -> tuple[str, int]:
        """The characters these tokens complete, and how many of the tokens they are of: those
        after a stop text are not."""
        text = ""
        for number, token in enumerate(tokens, 1):
            text += self.stops.push(self._decoder.decode(vocabulary.piece(token)), is_last=False)
            if self.stops.found is not None:
                return text, number
        return text, len(tokens)

    def flush_text(self) -> str:
        """What was held back, now that nothing follows it."""
        return self.stops.push(self._decoder.decode(b"", True), is_last=True)

    def close(self) -> None:
        """Free the sampler. The sequence is over."""
        self.is_closed = True
        if self.sampler is not None:
            self.sampler.close()

    @property
    def queue_seconds(self) -> float:
        return 0.0 if self.admitted_at is None else self.admitted_at - self.submitted_at

    def end(self, reason: EndReason) -> GenerationEnd:
        now = time.perf_counter()
        first = self.first_token_at or now
        return GenerationEnd(
            reason,
            Usage(self.num_prompt_tokens, self.num_generated, self.num_cached),
            Timings(self.queue_seconds, first - self.submitted_at, now - first),
            self.stops.found,
            self.num_steps,
        )
