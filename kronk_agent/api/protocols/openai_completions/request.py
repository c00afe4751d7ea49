from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, TypeAlias

from pydantic import Field, JsonValue

from kronk_agent.api.protocols.common.sampling import SamplingFields
from kronk_agent.api.protocols.common.schema import (
    CacheSalt,
    LenientModel,
    RequestModel,
    Unsupported,
)
from kronk_agent.engine.engine import Constraint, Engine, GenerateOptions
from kronk_agent.errors import InvalidRequestError

_MAX_PROMPTS = 128
_DEFAULT_MAX_TOKENS = 16


class PromptObject(LenientModel):
    """llama.cpp's form of a prompt, which may come with images."""

    prompt_string: str
    multimodal_data: Annotated[list[str], Field(max_length=0)] | None = None
    """Must be empty: completions take no images; use chat completions."""


_Token: TypeAlias = Annotated[int, Field(ge=0)]
Mixed: TypeAlias = Annotated[list[_Token | str], Field(min_length=1)]
"""Token ids and texts, concatenated."""
Prompt: TypeAlias = str | Mixed | PromptObject
Prompts: TypeAlias = (
    str | PromptObject | Annotated[list[_Token | str | Mixed | PromptObject], Field(min_length=1)]
)


def separate(given: Prompts) -> list[Prompt]:
    """Split the ``prompt`` of a request into prompts.

    Raises:
        InvalidRequestError: too many prompts, or a list of mixed forms.
    """
    if not isinstance(given, list):
        return [given]
    parts = [one for one in given if isinstance(one, int | str)]
    if any(isinstance(one, int) for one in parts):
        if len(parts) < len(given):
            raise InvalidRequestError(
                "prompt: a list must hold either the tokens and texts of one prompt, or several "
                "prompts",
                param="prompt",
            )
        return [parts]
    if len(given) > _MAX_PROMPTS:
        raise InvalidRequestError(
            f"prompt: at most {_MAX_PROMPTS} prompts, got {len(given)}", param="prompt"
        )
    return [one for one in given if not isinstance(one, int)]


class StreamOptions(RequestModel):
    """Options of a streamed completion."""

    include_usage: bool | None = None
    """Send the usage in a last chunk, and null in all others."""


class CompletionRequest(SamplingFields):
    """A request for ``/v1/completions``."""

    model: str = ""
    """The id of a plain local model; the default model when left out."""
    prompt: Prompts
    """A text, token ids, both mixed, or several of these. Texts of special tokens are parsed as
    those tokens."""
    suffix: str | None = None
    """Fill in the text between prompt and suffix, for models trained for it."""
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    """Maximum tokens of each completion; 16 when left out."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    """Only with stream."""
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    """Completions per prompt; with a seed, completion i uses seed + i."""
    best_of: Annotated[int, Field(ge=1, le=128)] | None = None
    """Generate this many and return the n most likely; not with stream."""
    echo: bool | None = None
    """Prepend the prompt."""
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Return logprobs with this many alternatives per token; with echo also for the prompt."""
    stop: str | list[str] | None = None
    cache_salt: CacheSalt | None = None
    """The prompt shares the cache only with your prompts of the same salt."""
    user: str | None = None
    """The client's name for its user; no effect."""
    grammar: Annotated[None, Unsupported("use lark or json_schema")] = None
    lark: str | None = None
    """The completion must match this Lark grammar, in llguidance's syntax."""
    json_schema: dict[str, JsonValue] | None = None
    """The completion must match this JSON Schema."""

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts as a list."""
        return separate(self.prompt)

    @property
    def num_choices(self) -> int:
        """Completions per prompt."""
        return self.n or 1

    def check(self) -> None:
        """Check for contradictory fields.

        Raises:
            InvalidRequestError: two fields contradict each other; names one.
        """
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options needs stream: true", param="stream_options")
        if self.best_of is not None and self.stream and self.best_of > self.num_choices:
            raise InvalidRequestError(
                "best_of: not supported with stream; best_of must equal n",
                param="best_of",
            )
        if self.best_of is not None and self.best_of < self.num_choices:
            raise InvalidRequestError(
                f"best_of: must be at least n ({self.num_choices})", param="best_of"
            )
        if self.lark is not None and self.json_schema is not None:
            raise InvalidRequestError(
                "json_schema: cannot be combined with lark",
                param="json_schema",
            )

    async def options(self, engine: Engine, cache_salt: str) -> GenerateOptions:
        """The engine's options, besides prompt and sampling.

        Raises:
            ConstraintError: the grammar or schema cannot be compiled.
        """
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        options = GenerateOptions(
            max_tokens=_DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens,
            stop=stop,
            top_logprobs=self.logprobs,
            prompt_logprobs=self.logprobs if self.echo else None,
            streamed=bool(self.stream),
            cache_salt=cache_salt,
        )
        constraint = await self._constraint(engine)
        if constraint is not None:
            options["constraint"] = constraint
        return options

    async def _constraint(self, engine: Engine) -> Constraint | None:
        if self.lark is not None:
            return await engine.compile(self.lark)
        if self.json_schema is not None:
            return await engine.compile(f"start: %json {json.dumps(self.json_schema)}")
        return None


def prompt_tokens(engine: Engine, prompt: Prompt, suffix: str | None) -> list[int]:
    """Tokenize the prompt, with the suffix for fill-in-the-middle.

    Raises:
        InvalidRequestError: a suffix is given, and the model does not support it.
    """
    if isinstance(prompt, PromptObject):
        prompt = prompt.prompt_string
    if suffix is None:
        if not isinstance(prompt, str):
            return _mixed(engine, prompt)
        # A prompt from /v1/apply-template may start with the BOS token already.
        bos = engine.vocabulary.bos_text
        has_bos = bos != "" and prompt.startswith(bos)
        return engine.tokenize(prompt, add_special=not has_bos, parse_special=True)
    fim = engine.vocabulary.fim
    if fim is None:
        raise InvalidRequestError(
            "suffix: this model does not support fill-in-the-middle; use one that does, such as "
            "Qwen2.5-Coder (capability fim in /v1/models)",
            param="suffix",
        )
    before = engine.tokenize(prompt) if isinstance(prompt, str) else _mixed(engine, prompt)
    return [fim.prefix, *before, fim.suffix, *engine.tokenize(suffix), fim.middle]


def _mixed(engine: Engine, parts: Sequence[int | str]) -> list[int]:
    """Tokenize a mix of token ids and texts; a leading text gets the prompt's special tokens."""
    tokens: list[int] = []
    for index, part in enumerate(parts):
        if isinstance(part, int):
            tokens.append(part)
        else:
            tokens += engine.tokenize(part, add_special=index == 0, parse_special=True)
    return tokens
