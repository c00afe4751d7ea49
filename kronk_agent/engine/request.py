"""What can be asked of the engine, checked before it is queued."""

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
from kronk_agent.model import SamplingParams

MAX_GENERATIONS = 128
"""Generations of one prompt at a time, as OpenAI's API has it."""
_MAX_TOP_LOGPROBS = 20
"""As OpenAI's API."""
_MAX_STOPS = 64
_MAX_STOP_LENGTH = 1024


class CacheOptions(TypedDict, total=False):
    """How a prompt uses the prefix cache; all of it may be left out."""

    cache_salt: str
    """The prompt shares cached states only with prompts of the same salt, as in vLLM; "", the
    default, is one salt."""
    shared_prefix: int
    """Leading prompt tokens, an operator's instructions and tools for instance, that prompts of all
    salts share, and whose state is saved to a file for later starts (``EngineParams.cache_dir``);
    0 is the default."""


class GenerateOptions(CacheOptions, total=False):
    """What ``Engine.generate`` takes beside the prompt and the sampling; all of it may be left
    out."""

    max_tokens: int | None
    """None, or more than the context has room for, means up to the context's end (the reason is
    then ``length``); 0 only computes the prompt."""
    constraint: Constraint | None
    """What the tokens may be."""
    stop: Many[str]
    """Texts that end the generation and are not part of its text."""
    top_logprobs: int | None
    """Gives every token's logprob, with so many alternatives, 0 to 20. Tokens that a grammar
    forces are then decoded like the rest, and nothing is drafted."""
    logprobs_after_sampling: bool
    """Logprobs are what the samplers and the constraint left, not the model's own."""
    prompt_logprobs: int | None
    """The same for the prompt's tokens, always the model's own. All of them are then computed,
    nothing comes from the prefix cache."""
    priority: Priority
    """``background`` waits for, and gives way to, ``interactive``, which is the default."""
    streamed: bool
    """False when nobody reads the tokens as they come. The engine may then hold them back for a
    moment, and take longer steps, which is faster for everyone. True is the default."""
    deadline_seconds: float | None
    """The time it has from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A prompt and what is wanted of it; the other fields are those of ``GenerateOptions``."""

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
        """Raise for what can never work.

        Raises:
            InvalidRequestError: ``param`` names the field.
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
                f"max_tokens must not be negative: {self.max_tokens}", param="max_tokens"
            )
        for name in ("top_logprobs", "prompt_logprobs"):
            number = getattr(self, name)
            if number is not None and not 0 <= number <= min(_MAX_TOP_LOGPROBS, vocabulary_size):
                raise InvalidRequestError(
                    f"{name} must be from 0 to {_MAX_TOP_LOGPROBS}, not {number}", param=name
                )
        if self.logprobs_after_sampling and self.top_logprobs is None:
            raise InvalidRequestError(
                "logprobs_after_sampling needs top_logprobs", param="logprobs_after_sampling"
            )
        self._check_stop()
        if not 0 <= self.shared_prefix <= len(self.prompt):
            raise InvalidRequestError(
                f"shared_prefix must be from 0 to {len(self.prompt)}, the prompt's length, "
                f"not {self.shared_prefix}",
                param="shared_prefix",
            )
        if self.deadline_seconds is not None and not self.deadline_seconds > 0:
            raise InvalidRequestError(
                f"deadline_seconds must be over 0, not {self.deadline_seconds}",
                param="deadline_seconds",
            )

    def sequence(self, sink: Sink, *, context_length: int) -> Sequence:
        """A sequence for this request, which has been checked."""
        length = len(self.prompt)
        room = context_length - length
        wanted = room if self.max_tokens is None else min(self.max_tokens, room)
        tokens = np.empty(length + wanted, np.int32)
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
        """The same request so many times, each with a seed of its own where there is a seed.

        Raises:
            InvalidRequestError: the number is out of range.
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
                f"stop has {len(self.stop)} texts, and {_MAX_STOPS} is the most", param="stop"
            )
        for text in self.stop:
            if not 0 < len(text) <= _MAX_STOP_LENGTH:
                raise InvalidRequestError(
                    f"a stop text must have 1 to {_MAX_STOP_LENGTH} characters, not {len(text)}",
                    param="stop",
                )


_NUM_SEEDS = 2**32 - 1


def _check_tokens(tokens: Iterable[int], param: str, vocabulary_size: int) -> None:
    wrong = next((token for token in tokens if not 0 <= token < vocabulary_size), None)
    if wrong is not None:
        raise InvalidRequestError(
            f"{param} has token {wrong}, and this model's are 0 to {vocabulary_size - 1}",
            param=param,
        )
