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
    """A prompt as llama.cpp's server has it beside images."""

    prompt_string: str
    multimodal_data: Annotated[list[str], Field(max_length=0)] | None = None
    """None here: completions see no images, chats do."""


_Token: TypeAlias = Annotated[int, Field(ge=0)]
Mixed: TypeAlias = Annotated[list[_Token | str], Field(min_length=1)]
"""Token ids and texts, one behind the other."""
Prompt: TypeAlias = str | Mixed | PromptObject
Prompts: TypeAlias = (
    str | PromptObject | Annotated[list[_Token | str | Mixed | PromptObject], Field(min_length=1)]
)


def separate(given: Prompts) -> list[Prompt]:
    """The prompts of a request that may have one, or several.

    Raises:
        InvalidRequestError: they are too many, or no list of prompts.
    """
    if not isinstance(given, list):
        return [given]
    parts = [one for one in given if isinstance(one, int | str)]
    if any(isinstance(one, int) for one in parts):
        if len(parts) < len(given):
            raise InvalidRequestError(
                "prompt: a list has the tokens and texts of one prompt, or several prompts",
                param="prompt",
            )
        return [parts]
    if len(given) > _MAX_PROMPTS:
        raise InvalidRequestError(
            f"prompt: at most {_MAX_PROMPTS} prompts, got {len(given)}", param="prompt"
        )
    return [one for one in given if not isinstance(one, int)]


class StreamOptions(RequestModel):
    include_usage: bool | None = None
    """A last chunk with the usage, and null in all others."""


class CompletionRequest(SamplingFields):
    model: str = ""
    """The id of a plain model on a file; the default model when left out."""
    prompt: Prompts
    """A text, token ids, both mixed, or several of these. In texts, what looks like a special token
    is one."""
    suffix: str | None = None
    """Fill in what comes between the prompt and this, for models made to."""
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    """16 when left out."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    """Only with stream."""
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    """Completions of each prompt; with a seed, completion i has seed + i."""
    best_of: Annotated[int, Field(ge=1, le=128)] | None = None
    """Generate so many and give the n likeliest; not with stream."""
    echo: bool | None = None
    """Begin with the prompt."""
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Tell every token's, with so many alternatives; with echo the prompt's too."""
    stop: str | list[str] | None = None
    cache_salt: CacheSalt | None = None
    """The prompt shares the cache only with your prompts of the same salt."""
    user: str | None = None
    """Who asked, in the client's words; nothing here depends on it."""
    grammar: Annotated[None, Unsupported("use lark, or json_schema")] = None
    lark: str | None = None
    """The completion follows this Lark grammar, as llguidance has them."""
    json_schema: dict[str, JsonValue] | None = None
    """The completion follows this JSON Schema."""

    @property
    def prompts(self) -> list[Prompt]:
        return separate(self.prompt)

    @property
    def num_choices(self) -> int:
        return self.n or 1

    def check(self) -> None:
        """Refuse fields that contradict each other.

        Raises:
            InvalidRequestError: names one.
        """
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError(
                "stream_options: only when stream is true", param="stream_options"
            )
        if self.best_of is not None and self.stream and self.best_of > self.num_choices:
            raise InvalidRequestError(
                "best_of: the best are known when all are whole, so not with stream",
                param="best_of",
            )
        if self.best_of is not None and self.best_of < self.num_choices:
            raise InvalidRequestError(
                f"best_of: must be at least n, which is {self.num_choices}", param="best_of"
            )
        if self.lark is not None and self.json_schema is not None:
            raise InvalidRequestError(
                "json_schema: the completion has one form, and lark says which",
                param="json_schema",
            )

    async def options(self, engine: Engine, cache_salt: str) -> GenerateOptions:
        """What the engine is asked for beside the prompt and the sampling.

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
    """The prompt as the engine takes it.

    Raises:
        InvalidRequestError: there is a suffix, and the model cannot fill in a middle.
    """
    if isinstance(prompt, PromptObject):
        prompt = prompt.prompt_string
    if suffix is None:
        if not isinstance(prompt, str):
            return _mixed(engine, prompt)
        # A prompt from /v1/apply-template may have the BOS token already.
        bos = engine.vocabulary.bos_text
        has_bos = bos != "" and prompt.startswith(bos)
        return engine.tokenize(prompt, add_special=not has_bos, parse_special=True)
    fim = engine.vocabulary.fim
    if fim is None:
        raise InvalidRequestError(
            "suffix: this model was not made to fill in a middle; take one that was, such as "
            "Qwen2.5-Coder, StarCoder2 or CodeGemma (/v1/models says which can: fim)",
            param="suffix",
        )
    before = engine.tokenize(prompt) if isinstance(prompt, str) else _mixed(engine, prompt)
    return [fim.prefix, *before, fim.suffix, *engine.tokenize(suffix), fim.middle]


def _mixed(engine: Engine, parts: Sequence[int | str]) -> list[int]:
    """The tokens of token ids and texts; a text at the beginning begins as a prompt does."""
    tokens: list[int] = []
    for index, part in enumerate(parts):
        if isinstance(part, int):
            tokens.append(part)
        else:
            tokens += engine.tokenize(part, add_special=index == 0, parse_special=True)
    return tokens
