"""Generation requests, validated before they are queued."""

from __future__ import annotations

import time
from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np

from kronk_agent.engine.sampling.stops import StopFinder
from kronk_agent.engine.sequence import Priority, Sequence, Sink
from kronk_agent.engine.structured_output.constraint import Constraint
from kronk_agent.errors import ContextLengthError, InvalidRequestError
from kronk_agent.settings import SamplingParams

MAX_GENERATIONS = 128
"""Completions of one prompt per request; the limit of OpenAI's API."""
_MAX_TOP_LOGPROBS = 20
"""The limit of OpenAI's API."""
_MAX_STOPS = 64
_MAX_STOP_LENGTH = 1024
"""Characters."""


class CacheOptions(TypedDict, total=False):
    """Prefix cache options; all are optional."""

    cache_salt: str
    """Cached states are shared only between prompts of the same salt, as in vLLM. Default: ""."""
    shared_prefix: int
    """Number of leading prompt tokens, such as the operator's instructions and tools, that prompts
    of all salts share and whose state is saved to a file for later starts
    (``EngineParams.cache_dir``). Default: 0."""


class GenerateOptions(CacheOptions, total=False):
    """Options of ``Engine.generate`` besides the prompt and the sampling; all are optional."""

    max_tokens: int | None
    """Maximum tokens to generate. None, or more than fit, means up to the end of the context (the
    end reason is then ``length``); 0 only computes the prompt."""
    constraint: Constraint | None
    """Compiled grammar that the generated tokens must match."""
    stop: Many[str]
    """Stop sequences; the one that ends the generation is not part of its text."""
    top_logprobs: int | None
    """Return the logprob of every token and of this many alternatives, 0 to 20. None returns none.
    With logprobs, fast-forward tokens are decoded one by one and no tokens are drafted."""
    logprobs_after_sampling: bool
    """Return probabilities after the samplers and the constraint, instead of the model's own."""
    prompt_logprobs: int | None
    """Like ``top_logprobs`` for the prompt's tokens, always the model's own. All prompt tokens are
    then computed; none come from the prefix cache."""
    priority: Priority
    """``background`` waits for ``interactive``, and can be preempted by it. Default:
    ``interactive``."""
    streamed: bool
    """False if the caller does not read tokens as they arrive. The engine may then batch its
    output and take longer steps, which is faster for all requests. Default: True."""
    deadline_seconds: float | None
    """Time limit in seconds from the start of the request; None is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A prompt with its sampling parameters and the fields of ``GenerateOptions``."""

    prompt: Many[int]
    sampling: SamplingParams
    max_tokens: int | None = None
    constraint: Constraint | None = None
    stop: Many[str] = ()
    top_logprobs: int | None = None
    logprobs_after_sampling: bool = False
    prompt_logprobs: int | None = None
    priority: Priority = "interactive"
    streamed: bool = True
    deadline_seconds: float | None = None
    cache_salt: str = ""
    shared_prefix: int = 0

    def check(self, *, vocabulary_size: int, context_length: int) -> None:
        """Validate the request.

        Raises:
            InvalidRequestError: a field is invalid; ``param`` names it.
            ContextLengthError: the prompt does not fit the context.
        """
        if not len(self.prompt):
            raise InvalidRequestError("the prompt is empty", param="prompt")
        _check_tokens(self.prompt, "prompt", vocabulary_size)
        _check_tokens(self.sampling.logit_bias, "logit_bias", vocabulary_size)
        if len(self.prompt) >= context_length:
            raise ContextLengthError(
                num_prompt_tokens=len(self.prompt), context_length=context_length
            )
        if self.max_tokens is not None and self.max_tokens < 0:
            raise InvalidRequestError(
                f"max_tokens must be 0 or more, not {self.max_tokens}", param="max_tokens"
            )
        for name in ("top_logprobs", "prompt_logprobs"):
            number = getattr(self, name)
            if number is not None and not 0 <= number <= min(_MAX_TOP_LOGPROBS, vocabulary_size):
                raise InvalidRequestError(
                    f"{name} must be from 0 to {_MAX_TOP_LOGPROBS}, not {number}", param=name
                )
        if self.logprobs_after_sampling and self.top_logprobs is None:
            raise InvalidRequestError(
                "logprobs_after_sampling requires top_logprobs", param="logprobs_after_sampling"
            )
        self._check_stop()
        if not 0 <= self.shared_prefix <= len(self.prompt):
            raise InvalidRequestError(
                f"shared_prefix must be from 0 to {len(self.prompt)} (the prompt's length), "
                f"not {self.shared_prefix}",
                param="shared_prefix",
            )
        if self.deadline_seconds is not None and not self.deadline_seconds > 0:
            raise InvalidRequestError(
                f"deadline_seconds must be more than 0, not {self.deadline_seconds}",
                param="deadline_seconds",
            )

    def sequence(self, sink: Sink, *, context_length: int) -> Sequence:
        """Create the sequence of this request, which must have been checked."""
        length = len(self.prompt)
        available = context_length - length
        max_new = available if self.max_tokens is None else min(self.max_tokens, available)
        tokens = np.empty(length + max_new, np.int32)
        tokens[:length] = self.prompt
        seconds = self.deadline_seconds
        return Sequence(
            tokens=tokens,
            num_prompt_tokens=length,
            num_tokens=length,
            params=self.sampling,
            constraint=self.constraint,
            sink=sink,
            stops=StopFinder(self.stop),
            top_logprobs=self.top_logprobs,
            logprobs_after_sampling=self.logprobs_after_sampling,
            top_prompt_logprobs=self.prompt_logprobs,
            priority=self.priority,
            is_streamed=self.streamed,
            deadline=None if seconds is None else time.perf_counter() + seconds,
            cache_salt=self.cache_salt,
            shared_prefix=self.shared_prefix,
        )

    def copies(self, number: int) -> list[Request]:
        """Copies of the request; if it has a seed, copy i has seed + i.

        Raises:
            InvalidRequestError: ``number`` is out of range.
        """
        if not 1 <= number <= MAX_GENERATIONS:
            raise InvalidRequestError(
                f"n must be from 1 to {MAX_GENERATIONS}, not {number}", param="n"
            )
        seed = self.sampling.seed
        if seed is None:
            return [self] * number
        seeds = ((seed + index) % _NUM_SEEDS for index in range(number))
        return [replace(self, sampling=replace(self.sampling, seed=one)) for one in seeds]

    def _check_stop(self) -> None:
        if len(self.stop) > _MAX_STOPS:
            raise InvalidRequestError(
                f"stop: at most {_MAX_STOPS} sequences, got {len(self.stop)}", param="stop"
            )
        for text in self.stop:
            if not 0 < len(text) <= _MAX_STOP_LENGTH:
                raise InvalidRequestError(
                    f"stop: a sequence must have 1 to {_MAX_STOP_LENGTH} characters, "
                    f"got {len(text)}",
                    param="stop",
                )


_NUM_SEEDS = 2**32 - 1


def _check_tokens(tokens: Iterable[int], param: str, vocabulary_size: int) -> None:
    wrong = next((token for token in tokens if not 0 <= token < vocabulary_size), None)
    if wrong is not None:
        raise InvalidRequestError(
            f"{param}: unknown token id {wrong}; this model's are 0 to {vocabulary_size - 1}",
            param=param,
        )
