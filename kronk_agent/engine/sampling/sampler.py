"""Sampling with llama.cpp's samplers, chained in llama.cpp's order, one chain per sequence."""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.llama.binding import ContextHandle, SamplerHandle, llama
from kronk_agent.engine.sampling.logprobs import TokenIdLogprob
from kronk_agent.engine.structured_output.constraint import Matcher
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.settings import SamplerName, SamplingParams

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""``llama_token_data``."""

_MIROSTAT_M = 100
"""Tokens that Mirostat 1 estimates from; the value of the paper."""


class Sampler:
    """Chooses the next tokens of one sequence. Stateful, so it belongs to that sequence.

    Args:
        params: sampling parameters; without a seed a random one is used.
        vocabulary: the model's vocabulary.
        prompt: the prompt's token ids, for samplers that look back.
        context_length: maximum tokens that these can look back.
    """

    def __init__(
        self,
        params: SamplingParams,
        vocabulary: Vocabulary,
        *,
        prompt: NDArray[np.int32],
        context_length: int,
    ) -> None:
        looks_back = _looks_back(params, context_length)
        stages = list(_stages(params, vocabulary, context_length))
        self._is_greedy = params.temperature == 0 and len(stages) == 1
        self._is_stateful = bool(looks_back or params.mirostat or params.adaptive_target >= 0)
        self._chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        for stage in stages:
            llama.llama_sampler_chain_add(self._chain, stage)
        if looks_back:
            # Penalties apply to the prompt, too, as in llama.cpp's server.
            self.accept(prompt[-looks_back:].tolist())

    def sample(
        self,
        context: ContextHandle,
        row: int,
        logits: NDArray[np.float32],
        matcher: Matcher | None,
    ) -> int:
        """Sample the token after batch row ``row``.

        Args:
            context: the context that computed the row.
            row: index in the batch.
            logits: view of that row's logits; changed in place if ``matcher`` masks them.
            matcher: allows the token; None allows all.

        Raises:
            ConstraintError: the matcher failed.
        """
        if matcher is None:
            return self._sample(context, row, logits)
        if not self._is_stateful:
            token = self._sample(context, row, logits)
            if matcher.allows(token):
                return token
        # Sampling changes the state of these samplers, so a token that the grammar refuses must
        # not be sampled in the first place.
        matcher.mask(logits)
        return self._sample(context, row, logits)

    def sample_scored(
        self, logits: NDArray[np.float32], matcher: Matcher | None, num_top: int
    ) -> TokenIdLogprob:
        """Sample the next token and return the logprobs that remain after the samplers.

        Args:
            logits: of its row; changed in place if ``matcher`` is given.
            matcher: allows the token; None allows all.
            num_top: number of alternatives to return.

        Raises:
            ConstraintError: the matcher failed.
        """
        if matcher is not None:
            matcher.mask(logits)
        candidates = np.empty(len(logits), _CANDIDATE)
        candidates["id"] = np.arange(len(logits))
        candidates["logit"] = logits
        candidates["p"] = 0
        array = llama.llama_token_data_array(
            data=candidates.ctypes.data_as(ctypes.POINTER(llama.llama_token_data)),
            size=len(logits),
            selected=-1,
            sorted=False,
        )
        llama.llama_sampler_apply(self._chain, ctypes.byref(array))
        token = int(candidates["id"][array.selected])
        llama.llama_sampler_accept(self._chain, token)
        remaining = candidates[: array.size]
        if not remaining["p"].any():  # greedy: no probabilities are computed
            return TokenIdLogprob(token, 0.0, ((token, 0.0),) if num_top else ())
        with np.errstate(divide="ignore"):
            logprobs = np.log(remaining["p"].astype(np.float64))
        likeliest = np.argsort(-logprobs, kind="stable")[:num_top].tolist()
        top = tuple((int(remaining["id"][i]), float(logprobs[i])) for i in likeliest)
        return TokenIdLogprob(token, float(logprobs[array.selected]), top)

    def accept(self, tokens: list[int]) -> None:
        """Pass tokens that were not sampled to the samplers that look back."""
        if self._is_stateful:
            for token in tokens:
                llama.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        """Free the chain. Idempotent."""
        if self._chain:
            llama.llama_sampler_free(self._chain)
            self._chain = None

    def _sample(self, context: ContextHandle, row: int, logits: NDArray[np.float32]) -> int:
        if self._is_greedy:  # faster than llama.cpp, which first lists all candidates
            return int(logits.argmax())
        return int(llama.llama_sampler_sample(self._chain, context, row))


def _last_n(number: int, context_length: int) -> int:
    """Size of a look-back window, at most the context: llama.cpp allocates a buffer of it."""
    return context_length if number < 0 else min(number, context_length)


def _looks_back(params: SamplingParams, context_length: int) -> int:
    """Number of prompt tokens at the end that the samplers look back on."""
    penalties = _last_n(params.repeat_last_n, context_length) if params.has_penalties else 0
    dry = _last_n(params.dry_penalty_last_n, context_length) if params.dry_multiplier > 0 else 0
    return max(penalties, dry)


def _stages(
    params: SamplingParams, vocabulary: Vocabulary, context_length: int
) -> Iterator[SamplerHandle]:
    if params.logit_bias:
        biases = [llama.llama_logit_bias(token, bias) for token, bias in params.logit_bias.items()]
        array = (llama.llama_logit_bias * len(biases))(*biases)
        yield llama.llama_sampler_init_logit_bias(vocabulary.size, len(biases), array)
    seed = secrets.randbelow(2**32 - 1) if params.seed is None else params.seed
    if params.mirostat:
        yield llama.llama_sampler_init_temp(params.temperature)
        yield _mirostat(params, vocabulary, seed)
        return
    for name in params.samplers:
        # At temperature 0 only these can change which token is the likeliest.
        if params.temperature > 0 or name in ("penalties", "dry", "infill"):
            yield from _stage(name, params, vocabulary, context_length, seed)
    if params.temperature == 0:
        yield llama.llama_sampler_init_greedy()
    elif params.adaptive_target >= 0:
        yield llama.llama_sampler_init_adaptive_p(
            params.adaptive_target, params.adaptive_decay, seed
        )
    else:
        yield llama.llama_sampler_init_dist(seed)


def _stage(
    name: SamplerName,
    params: SamplingParams,
    vocabulary: Vocabulary,
    context_length: int,
    seed: int,
) -> Iterator[SamplerHandle]:
    """The sampler of this name, or none if it is off."""
    match name:
        case "penalties" if params.has_penalties:
            yield llama.llama_sampler_init_penalties(
                vocabulary.size,
                _last_n(params.repeat_last_n, context_length),
                params.repeat_penalty,
                params.frequency_penalty,
                params.presence_penalty,
            )
        case "dry" if params.dry_multiplier > 0:
            yield _dry(params, vocabulary, context_length)
        case "top_n_sigma" if params.top_n_sigma > 0:
            yield llama.llama_sampler_init_top_n_sigma(params.top_n_sigma)
        case "top_k" if params.top_k > 0:
            yield llama.llama_sampler_init_top_k(params.top_k)
        case "typ_p" if params.typical_p < 1:
            yield llama.llama_sampler_init_typical(params.typical_p, 1)
        case "top_p" if params.top_p < 1:
            yield llama.llama_sampler_init_top_p(params.top_p, 1)
        case "min_p" if params.min_p > 0:
            yield llama.llama_sampler_init_min_p(params.min_p, 1)
        case "xtc" if params.xtc_probability > 0:
            yield llama.llama_sampler_init_xtc(
                params.xtc_probability, params.xtc_threshold, 1, seed
            )
        case "temperature":
            yield llama.llama_sampler_init_temp_ext(
                params.temperature, params.dynatemp_range, params.dynatemp_exponent
            )
        case "infill":
            with vocabulary.in_use() as handle:
                yield llama.llama_sampler_init_infill(handle)
        case _:
            return


def _dry(params: SamplingParams, vocabulary: Vocabulary, context_length: int) -> SamplerHandle:
    breakers = [text.encode() for text in params.dry_sequence_breakers]
    with vocabulary.in_use() as handle:
        sampler: SamplerHandle = llama.llama_sampler_init_dry(
            handle,
            params.dry_multiplier,
            params.dry_base,
            params.dry_allowed_length,
            _last_n(params.dry_penalty_last_n, context_length),
            (ctypes.c_char_p * len(breakers))(*breakers),
            len(breakers),
        )
    return sampler


def _mirostat(params: SamplingParams, vocabulary: Vocabulary, seed: int) -> SamplerHandle:
    tau, eta = params.mirostat_tau, params.mirostat_eta
    sampler: SamplerHandle = (
        llama.llama_sampler_init_mirostat(vocabulary.size, seed, tau, eta, _MIROSTAT_M)
        if params.mirostat == 1
        else llama.llama_sampler_init_mirostat_v2(seed, tau, eta)
    )
    return sampler
