"""llama.cpp's samplers, chained in llama.cpp's own order, one chain for each sequence."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine import binding
from kronk_agent.engine.binding import Context, llama
from kronk_agent.engine.constraint import Matcher
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.model import SamplingParams


class Sampler:
    """Chooses the next token of one sequence; seeded, and never shared."""

    def __init__(
        self,
        params: SamplingParams,
        vocabulary: Vocabulary,
        *,
        prompt: NDArray[np.int32],
        context_length: int,
    ) -> None:
        last_n = context_length if params.repeat_last_n < 0 else params.repeat_last_n
        last_n = min(last_n, context_length)
        self._has_penalties = last_n > 0 and _has_penalties(params)
        self._chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        for stage in _stages(params, vocabulary, last_n):
            llama.llama_sampler_chain_add(self._chain, stage)
        # Penalties look back into the prompt, as in llama.cpp's server.
        self.accept_forced(prompt[-last_n:].tolist())

    def sample(
        self,
        context: Context,
        row: int,
        logits: NDArray[np.float32] | None,
        matcher: Matcher | None,
    ) -> int:
        """The token after batch row ``row``, one that ``matcher`` allows.

        ``logits`` views that row, and is needed, and may be changed, where there is a matcher.
        """
        if matcher is None or logits is None:
            return self._sample(context, row)
        if not self._has_penalties:
            token = self._sample(context, row)
            if matcher.allows(token):
                return token
        # llama.cpp records what it samples for the penalties, so with them a token that would be
        # refused must not be sampled in the first place.
        matcher.mask(logits)
        return self._sample(context, row)

    def accept_forced(self, tokens: list[int]) -> None:
        """Tell the penalties of tokens that were not sampled."""
        if self._has_penalties:
            for token in tokens:
                llama.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        if self._chain:
            llama.llama_sampler_free(self._chain)
            self._chain = None

    def _sample(self, context: Context, row: int) -> int:
        return int(llama.llama_sampler_sample(self._chain, context, row))


def _has_penalties(params: SamplingParams) -> bool:
    strengths = (params.repeat_penalty - 1, params.frequency_penalty, params.presence_penalty)
    return any(strengths)


def _stages(
    params: SamplingParams, vocabulary: Vocabulary, last_n: int
) -> Iterator[binding.Sampler]:
    if params.logit_bias:
        biases = [llama.llama_logit_bias(token, bias) for token, bias in params.logit_bias.items()]
        array = (llama.llama_logit_bias * len(biases))(*biases)
        yield llama.llama_sampler_init_logit_bias(vocabulary.size, len(biases), array)
    if last_n > 0 and _has_penalties(params):
        yield llama.llama_sampler_init_penalties(
            vocabulary.size,
            last_n,
            params.repeat_penalty,
            params.frequency_penalty,
            params.presence_penalty,
        )
    if params.temperature == 0:
        yield llama.llama_sampler_init_greedy()
        return
    if params.top_k > 0:
        yield llama.llama_sampler_init_top_k(params.top_k)
    if params.typical_p < 1:
        yield llama.llama_sampler_init_typical(params.typical_p, 1)
    if params.top_p < 1:
        yield llama.llama_sampler_init_top_p(params.top_p, 1)
    if params.min_p > 0:
        yield llama.llama_sampler_init_min_p(params.min_p, 1)
    yield llama.llama_sampler_init_temp(params.temperature)
    seed = secrets.randbelow(2**32 - 1) if params.seed is None else params.seed
    yield llama.llama_sampler_init_dist(seed)
