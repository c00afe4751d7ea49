from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field, JsonValue

from kronk_agent.api.protocols.common.sampling import NEVER, SamplingFields
from kronk_agent.api.protocols.common.schema import LenientModel, NoEffect, Unsupported
from kronk_agent.api.protocols.llama_server.limits import LineLimits
from kronk_agent.api.protocols.openai_completions.request import Prompts, prompt_tokens, separate
from kronk_agent.engine.engine import Constraint, Engine, GenerateOptions
from kronk_agent.engine.structured_output.constraint import gbnf_to_lark
from kronk_agent.errors import ConstraintError, InvalidRequestError
from kronk_agent.model import SamplingParams

_RANDOM_SEEDS = (-1, 2**32 - 1)
"""llama.cpp's default, as a client writes it and as its server shows it."""

_Spent: TypeAlias = Annotated[object, NoEffect("a completion ends where the context does")]
_Shared: TypeAlias = Annotated[object, NoEffect("any place finds what is cached")]


class LlamaFields(LenientModel, SamplingFields):
    """What ``/completion`` and ``/infill`` have in common beside the prompt.

    A field that nobody knows is left out, with a notice.
    """

    model_config = ConfigDict(extra="allow")

    model: str = ""
    """The id of a plain model on a file; the default model when left out."""
    n_predict: Annotated[int, Field(ge=-1)] | None = None
    """Tokens to generate at most; -1, and left out, is up to the end of the context."""
    stop: str | list[str] | None = None
    """Texts that end the completion and are not part of it."""
    stream: bool | None = None
    n_probs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Tell every token's probability, with so many alternatives; 0 tells none."""
    post_sampling_probs: bool | None = None
    """Tell what the samplers left of the probabilities, instead of the model's own."""
    return_tokens: bool | None = None
    """Give the token ids too; a stream always does."""
    grammar: str | None = None
    """The completion follows this GBNF grammar."""
    json_schema: dict[str, JsonValue] | None = None
    """The completion follows this JSON Schema."""
    cache_prompt: bool | None = None
    """False: nothing of the prompt is taken from the cache."""
    ignore_eos: bool | None = None
    """The completion does not end by itself."""
    n_indent: Annotated[int, Field(ge=0)] | None = None
    """After the first line, end before a line that begins with fewer blanks; 0 is no limit."""
    t_max_predict_ms: float | None = None
    """After the first line, end when so many milliseconds are over; 0 is no limit."""
    response_fields: list[str] | None = None
    """Give only these at the end; ``a/b`` is b in a."""
    n_cmpl: Literal[1] | None = None
    """/v1/completions has n."""
    id_slot: _Shared = None
    n_cache_reuse: _Shared = None
    n_keep: _Spent = None
    n_discard: _Spent = None
    min_keep: Annotated[object, NoEffect("samplers keep one token at least")] = None
    t_max_prompt_ms: Annotated[object, NoEffect("close the connection to end it")] = None
    timings_per_token: Annotated[object, NoEffect("the end has the timings")] = None
    return_progress: Annotated[object, NoEffect("a stream begins with its first token")] = None
    sse_ping_interval: Annotated[object, NoEffect("server.keep_alive_seconds says it")] = None
    image_data: Annotated[list[JsonValue], Field(max_length=0)] | None = None
    """None: completions see no images, chats do."""
    lora: Annotated[None, Unsupported("adapters are in engine.lora of the server's YAML")] = None

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    def check(self) -> None:
        """Refuse fields that contradict each other.

        Raises:
            InvalidRequestError: names one.
        """
        if self.grammar is not None and self.json_schema is not None:
            raise InvalidRequestError(
                "json_schema: the completion has one form, and grammar says which",
                param="json_schema",
            )

    def sampling(
        self, default: SamplingParams, tokenize: Callable[[str], list[int]] | None = None
    ) -> SamplingParams:
        """As ``SamplingFields.sampling``; llama.cpp's default seed draws one."""
        params = super().sampling(default, tokenize)
        return replace(params, seed=None) if self.seed in _RANDOM_SEEDS else params

    def sampling_on(self, engine: Engine, default: SamplingParams) -> SamplingParams:
        """The sampling on an engine, whose tokens for the end may have to be kept out."""
        params = self.sampling(default, engine.tokenize)
        if not self.ignore_eos:
            return params
        ends = dict.fromkeys(engine.vocabulary.end_of_generation, NEVER)
        return replace(params, logit_bias={**params.logit_bias, **ends})

    def line_limits(self) -> LineLimits | None:
        """The limits that end the completion at a line break; None for none."""
        if not self.n_indent and not self.t_max_predict_ms:
            return None
        seconds = self.t_max_predict_ms / 1000 if self.t_max_predict_ms else None
        return LineLimits(self.n_indent or 0, seconds)

    async def options(self, engine: Engine) -> GenerateOptions:
        """What the engine is asked for beside the prompt and the sampling.

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
    prompt: Prompts
    """A text, token ids, both mixed, or several of these. In texts, what looks like a special token
    is one."""

    def prompts(self, engine: Engine) -> list[list[int]]:
        """The prompts as the engine takes them."""
        return [prompt_tokens(engine, prompt, None) for prompt in separate(self.prompt)]

    @property
    def has_several(self) -> bool:
        return len(separate(self.prompt)) > 1


class ExtraText(LenientModel):
    filename: str = ""
    text: str
    time: Annotated[object, NoEffect("the order says what is newest")] = None


class InfillRequest(LlamaFields):
    input_prefix: str = ""
    """What comes before the middle."""
    input_suffix: str = ""
    """What comes after it."""
    input_extra: list[ExtraText] | None = None
    """More for the model to know: it reads name and text of each before all else."""
    prompt: str = ""
    """What the middle begins with."""

    @property
    def has_several(self) -> bool:
        return False

    def prompts(self, engine: Engine) -> list[list[int]]:
        """The one prompt as the engine takes it; nothing in the texts becomes a special token.

        Raises:
            InvalidRequestError: the model cannot fill in a middle.
        """
        extra = "".join(f"{one.filename}\n{one.text}\n" for one in self.input_extra or ())
        tokens = [
            *(engine.tokenize(extra) if extra else ()),
            *prompt_tokens(engine, self.input_prefix, self.input_suffix),
            *(engine.tokenize(self.prompt) if self.prompt else ()),
        ]
        return [tokens]
