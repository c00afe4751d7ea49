from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, JsonValue

from kronk_agent.api.completions.request import Tokens, prompt_tokens
from kronk_agent.api.sampling import SamplingFields
from kronk_agent.api.wire import Refused, Wire
from kronk_agent.engine.constraint import gbnf_to_lark
from kronk_agent.engine.engine import Constraint, Engine, GenerateOptions
from kronk_agent.errors import ConstraintError, InvalidRequestError
from kronk_agent.model import SamplingParams

_RANDOM_SEEDS = (-1, 2**32 - 1)
"""llama.cpp's default, as a client writes it and as its server shows it."""

Prompt: TypeAlias = str | Annotated[Tokens, Field(min_length=1)]


class LlamaFields(SamplingFields):
    """What ``/completion`` and ``/infill`` have in common beside the prompt."""

    model: str | None = None
    """The id of a plain model on a file; the default model when left out."""
    n_predict: Annotated[int, Field(ge=-1)] | None = None
    """Tokens to generate at most; -1, and left out, is up to the end of the context."""
    stop: list[str] | None = None
    """Texts that end the completion and are not part of it."""
    stream: bool | None = None
    n_probs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Tell every token's probability, with so many alternatives; 0 tells none."""
    return_tokens: bool | None = None
    """Give the token ids too; a stream always does."""
    grammar: str | None = None
    """The completion follows this GBNF grammar."""
    json_schema: dict[str, JsonValue] | None = None
    """The completion follows this JSON Schema."""
    cache_prompt: Literal[True] | None = None
    """Prompts always share what they begin with."""
    id_slot: Literal[-1] | None = None
    """Any: prompts share what they begin with whichever slot they had."""
    n_keep: Literal[0] | None = None
    """Nothing is discarded: a completion ends where the context does."""
    n_cmpl: Literal[1] | None = None
    """/v1/completions has n."""
    n_indent: Literal[0] | None = None
    min_keep: Literal[0] | None = None
    ignore_eos: Literal[False] | None = None
    timings_per_token: Literal[False] | None = None
    return_progress: Literal[False] | None = None
    post_sampling_probs: Literal[False] | None = None
    n_cache_reuse: Annotated[None, Refused("what prompts begin with is shared anyway")] = None
    n_discard: Annotated[None, Refused("a completion ends where the context does")] = None
    t_max_predict_ms: Annotated[None, Refused("bound it with n_predict, or close")] = None
    t_max_prompt_ms: Annotated[None, Refused("close the connection to end a completion")] = None
    response_fields: Annotated[None, Refused("leave aside the fields you do not want")] = None
    lora: Annotated[None, Refused("adapters are in engine.lora of the server's YAML")] = None
    sse_ping_interval: Annotated[
        None, Refused("server.keep_alive_seconds in the server's YAML says it for all")
    ] = None

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

    def sampling(self, default: SamplingParams) -> SamplingParams:
        """As ``SamplingFields.sampling``; llama.cpp's default seed draws one."""
        params = super().sampling(default)
        return replace(params, seed=None) if self.seed in _RANDOM_SEEDS else params

    async def options(self, engine: Engine) -> GenerateOptions:
        """What the engine is asked for beside the prompt and the sampling.

        Raises:
            ConstraintError: the grammar or schema cannot be compiled.
        """
        return GenerateOptions(
            max_tokens=None if self.n_predict == -1 else self.n_predict,
            stop=self.stop or [],
            top_logprobs=self.n_probs or None,
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
    prompt: Prompt
    """A text or token ids. In a text, what looks like a special token is one."""

    def tokens(self, engine: Engine) -> list[int]:
        """The prompt as the engine takes it."""
        return prompt_tokens(engine, self.prompt, None)


class ExtraText(Wire):
    filename: str
    text: str


class InfillRequest(LlamaFields):
    input_prefix: str = ""
    """What comes before the middle."""
    input_suffix: str = ""
    """What comes after it."""
    input_extra: list[ExtraText] | None = None
    """More for the model to know: it reads name and text of each before all else."""
    prompt: str = ""
    """What the middle begins with."""

    def tokens(self, engine: Engine) -> list[int]:
        """The prompt as the engine takes it; nothing in the texts becomes a special token.

        Raises:
            InvalidRequestError: the model cannot fill in a middle.
        """
        extra = "".join(f"{one.filename}\n{one.text}\n" for one in self.input_extra or ())
        return [
            *(engine.tokenize(extra) if extra else ()),
            *prompt_tokens(engine, self.input_prefix, self.input_suffix),
            *(engine.tokenize(self.prompt) if self.prompt else ()),
        ]
