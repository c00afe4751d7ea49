from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field, JsonValue

from kronk_agent.api.protocols.common.sampling import NEVER, SamplingFields
from kronk_agent.api.protocols.common.schema import LenientModel, NoEffect, Unsupported
from kronk_agent.api.protocols.llama_server.limits import LineLimits
from kronk_agent.api.protocols.openai_completions.request import Prompts, prompt_tokens, separate
from kronk_agent.engine.engine import Constraint, Engine, GenerateOptions
from kronk_agent.engine.structured_output.constraint import gbnf_to_lark
from kronk_agent.errors import ConstraintError, InvalidRequestError
from kronk_agent.settings import SamplingParams

_RANDOM_SEEDS = (-1, 2**32 - 1)
"""llama.cpp's default seed, as sent by clients and as shown by its server."""

MAX_COMPLETIONS = 128
"""Maximum number of completions of a request, over all its prompts."""

_Spent: TypeAlias = Annotated[object, NoEffect("a completion ends at the context length")]
_Shared: TypeAlias = Annotated[object, NoEffect("cached prefixes are found by any slot")]


class LlamaFields(LenientModel, SamplingFields):
    """The fields that ``/completion`` and ``/infill`` share, besides the prompt.

    Unknown fields are ignored, with a notice.
    """

    model_config = ConfigDict(extra="allow")

    model: str = ""
    """The id of a plain local model; the default model when left out."""
    n_predict: Annotated[int, Field(ge=-1)] | None = None
    """Maximum number of tokens; -1 or left out: up to the context length."""
    stop: str | list[str] | None = None
    """Texts that end the completion; not part of it."""
    stream: bool | None = None
    n_probs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Return each token's probability with this many alternatives; 0 for none."""
    post_sampling_probs: bool | None = None
    """Return the probabilities after sampling, instead of the model's own."""
    return_tokens: bool | None = None
    """Return the token ids too; a stream always does."""
    grammar: str | None = None
    """The completion must match this GBNF grammar."""
    json_schema: dict[str, JsonValue] | None = None
    """The completion must match this JSON Schema."""
    cache_prompt: bool | None = None
    """False: compute the prompt without the cache."""
    ignore_eos: bool | None = None
    """Continue past end-of-generation tokens."""
    n_indent: Annotated[int, Field(ge=0)] | None = None
    """After the first line, stop before a line with less indentation; 0 is no limit."""
    t_max_predict_ms: float | None = None
    """After the first line, stop after this many milliseconds; 0 is no limit."""
    response_fields: list[str] | None = None
    """Fields of the final response; ``a/b`` selects b in a."""
    n_cmpl: Annotated[int, Field(ge=1, le=MAX_COMPLETIONS)] | None = None
    """Number of completions of each prompt; with a seed, completion i has seed + i."""
    n: Annotated[int, Field(ge=1, le=MAX_COMPLETIONS)] | None = None
    """OpenAI's name for n_cmpl, which takes precedence."""
    id_slot: _Shared = None
    n_cache_reuse: _Shared = None
    n_keep: _Spent = None
    n_discard: _Spent = None
    min_keep: Annotated[object, NoEffect("samplers always keep one token")] = None
    t_max_prompt_ms: Annotated[object, NoEffect("close the connection to stop")] = None
    timings_per_token: Annotated[object, NoEffect("timings are at the end")] = None
    return_progress: Annotated[object, NoEffect("a stream begins with its first token")] = None
    sse_ping_interval: Annotated[object, NoEffect("set by server.keep_alive_seconds")] = None
    image_data: Annotated[list[JsonValue], Field(max_length=0)] | None = None
    """Must be empty: completions take no images; use chat completions."""
    lora: Annotated[None, Unsupported("configure adapters in engine.lora in the server's YAML")] = (
        None
    )

    @property
    def num_copies(self) -> int:
        """Number of completions of each prompt."""
        return self.n_cmpl or self.n or 1

    @property
    def stops(self) -> list[str]:
        """The stop sequences as a list."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    def check(self) -> None:
        """Check for contradictory fields.

        Raises:
            InvalidRequestError: two fields contradict each other; names one.
        """
        if self.grammar is not None and self.json_schema is not None:
            raise InvalidRequestError(
                "json_schema: cannot be combined with grammar",
                param="json_schema",
            )

    def sampling(
        self, default: SamplingParams, tokenize: Callable[[str], list[int]] | None = None
    ) -> SamplingParams:
        """See ``SamplingFields.sampling``; llama.cpp's default seed is random."""
        params = super().sampling(default, tokenize)
        return replace(params, seed=None) if self.seed in _RANDOM_SEEDS else params

    def sampling_on(self, engine: Engine, default: SamplingParams) -> SamplingParams:
        """The sampling for an engine; ``ignore_eos`` bans its end-of-generation tokens."""
        params = self.sampling(default, engine.tokenize)
        if not self.ignore_eos:
            return params
        ends = dict.fromkeys(engine.vocabulary.end_of_generation, NEVER)
        return replace(params, logit_bias={**params.logit_bias, **ends})

    def line_limits(self) -> LineLimits | None:
        """The limits that apply at line breaks; None for no limits."""
        if not self.n_indent and not self.t_max_predict_ms:
            return None
        seconds = self.t_max_predict_ms / 1000 if self.t_max_predict_ms else None
        return LineLimits(self.n_indent or 0, seconds)

    async def options(self, engine: Engine) -> GenerateOptions:
        """The engine's options, besides prompt and sampling.

        Raises:
            ConstraintError: the grammar or schema cannot be compiled.
        """
        return GenerateOptions(
            max_tokens=None if self.n_predict == -1 else self.n_predict,
            stop=self.stops,
            top_logprobs=self.n_probs or None,
            logprobs_after_sampling=bool(self.post_sampling_probs and self.n_probs),
            constraint=await self._constraint(engine),
            streamed=bool(self.stream),
        )

    async def _constraint(self, engine: Engine) -> Constraint | None:
        try:
            if self.grammar is not None:
                return await engine.compile(gbnf_to_lark(self.grammar))
            if self.json_schema is not None:
                return await engine.compile(f"start: %json {json.dumps(self.json_schema)}")
        except ConstraintError as error:
            param = "json_schema" if self.grammar is None else "grammar"
            raise ConstraintError(f"{param}: {error}", param=param) from error
        return None


class LlamaCompletionRequest(LlamaFields):
    """A request for llama.cpp's ``/completion``."""

    prompt: Prompts
    """A text, token ids, both mixed, or several of these. Texts of special tokens are parsed as
    those tokens."""

    def prompts(self, engine: Engine) -> list[list[int]]:
        """Tokenize the prompts."""
        return [prompt_tokens(engine, prompt, None) for prompt in separate(self.prompt)]

    @property
    def has_several(self) -> bool:
        """True if the request has several completions."""
        return len(separate(self.prompt)) * self.num_copies > 1


class ExtraText(LenientModel):
    """Additional text for an infill request."""

    filename: str = ""
    text: str
    time: Annotated[object, NoEffect("the order tells which is newest")] = None


class InfillRequest(LlamaFields):
    """A request for llama.cpp's ``/infill``."""

    input_prefix: str = ""
    """Text before the gap."""
    input_suffix: str = ""
    """Text after the gap."""
    input_extra: list[ExtraText] | None = None
    """Additional context: the name and text of each come before everything else."""
    prompt: str = ""
    """The beginning of the text to fill in."""

    @property
    def has_several(self) -> bool:
        """True if the request has several completions."""
        return self.num_copies > 1

    def prompts(self, engine: Engine) -> list[list[int]]:
        """Tokenize the prompt; the texts are not parsed for special tokens.

        Raises:
            InvalidRequestError: the model does not support fill-in-the-middle.
        """
        extra = "".join(f"{one.filename}\n{one.text}\n" for one in self.input_extra or ())
        tokens = [
            *(engine.tokenize(extra) if extra else ()),
            *prompt_tokens(engine, self.input_prefix, self.input_suffix),
            *(engine.tokenize(self.prompt) if self.prompt else ()),
        ]
        return [tokens]
