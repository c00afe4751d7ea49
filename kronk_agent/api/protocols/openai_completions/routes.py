from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from kronk_agent.api.errors import openai_error_frame
from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.openai_completions.encoder import (
    CompletionEncoder,
    Logprobs,
    choice,
    usage_to_wire,
)
from kronk_agent.api.protocols.openai_completions.request import CompletionRequest, prompt_tokens
from kronk_agent.api.sse import EventStream, Write, while_connected
from kronk_agent.concurrency.task_group import open_task_group
from kronk_agent.engine.best_of import generate_best
from kronk_agent.engine.engine import Chunk, Engine, GenerateOptions, GenerationEnd
from kronk_agent.messages import JsonObject, Usage
from kronk_agent.settings import SamplingParams


def router(models: ModelRouter) -> APIRouter:
    """The route for completions."""
    routes = APIRouter(tags=["completions"])

    @routes.post("/v1/completions", response_model=None)
    async def create_completion(body: CompletionRequest, request: Request) -> Response:
        """Create a completion."""
        body = models.with_resolved_id(body)
        body.check()
        options = body.stream_options
        encoder = CompletionEncoder(
            model=body.model, include_usage=bool(options and options.include_usage)
        )
        if body.stream:

            async def produce(write: Write) -> None:
                """Stream the completion."""
                await _stream(models, body, encoder, write)

            return EventStream(
                produce,
                error_frame=openai_error_frame,
                keep_alive_seconds=models.config.keep_alive_seconds,
            )
        return JSONResponse(await while_connected(request, lambda: _collect(models, body, encoder)))

    return routes


@dataclass(frozen=True, slots=True)
class CompletionRun:
    """A parsed request, ready to run on its engine."""

    body: CompletionRequest
    engine: Engine
    sampling: SamplingParams
    options: GenerateOptions
    prompts: Sequence[list[int]]

    @classmethod
    async def of(
        cls, models: ModelRouter, body: CompletionRequest, engine: Engine
    ) -> CompletionRun:
        """Parse a request for an engine.

        Raises:
            InvalidRequestError: a field is invalid for this model.
        """
        prompts = [prompt_tokens(engine, prompt, body.suffix) for prompt in body.prompts]
        sampling = body.sampling(models.sampling, engine.tokenize)
        options = await body.options(engine, models.cache_salt(body.cache_salt))
        return cls(body, engine, sampling, options, prompts)

    def echo(self, index: int) -> str:
        """The text at the beginning of a choice: the prompt, if ``echo`` is set."""
        if not self.body.echo:
            return ""
        prompt_index = index // self.body.num_choices
        prompt = self.body.prompts[prompt_index]
        return (
            prompt
            if isinstance(prompt, str)
            else self.engine.detokenize(self.prompts[prompt_index])
        )

    def writer(self, index: int) -> _ChoiceWriter:
        """A writer for one choice."""
        return _ChoiceWriter(self, index)


class _ChoiceWriter:
    """Encodes one choice, chunk by chunk."""

    def __init__(self, job: CompletionRun, index: int) -> None:
        self._job = job
        self._index = index
        self._logprobs = Logprobs(job.engine)
        self._has_begun = False

    def write(self, chunk: Chunk) -> JsonObject:
        """Encode a chunk."""
        text, scored = chunk.text, list(chunk.logprobs)
        tokens = list(chunk.tokens)
        shown: JsonObject | None = None
        if not self._has_begun:
            self._has_begun = True
            text = self._job.echo(self._index) + text
            if chunk.prompt_logprobs:
                prompt = self._job.prompts[self._index // self._job.body.num_choices]
                tokens = [*prompt, *tokens]
                scored = [*chunk.prompt_logprobs, *scored]
                shown = self._logprobs.to_wire(tokens, [None, *scored])
        if shown is None and self._job.body.logprobs is not None:
            shown = self._logprobs.to_wire(tokens, scored)
        return choice(self._index, text, shown, chunk.end.reason if chunk.end else None)


async def _stream(
    models: ModelRouter, body: CompletionRequest, encoder: CompletionEncoder, write: Write
) -> None:
    async with models.engine(body.model) as engine:
        job = await CompletionRun.of(models, body, engine)

        async def take(part: JsonObject) -> None:
            """Write a part of a choice."""
            await write(encoder.frame(part))

        ends = await _generate(job, take)
        await write(encoder.last_frames(_usage(models, job, ends)))


async def _collect(
    models: ModelRouter, body: CompletionRequest, encoder: CompletionEncoder
) -> object:
    async with models.engine(body.model) as engine:
        job = await CompletionRun.of(models, body, engine)
        if body.best_of is not None and body.best_of > body.num_choices:
            return await _best(models, job, encoder)
        parts: dict[int, JsonObject] = {}

        async def take(part: JsonObject) -> None:
            """Append a part to its choice."""
            index = part["index"]
            assert isinstance(index, int)
            parts[index] = _joined(parts[index], part) if index in parts else part

        ends = await _generate(job, take)
        choices = [parts[index] for index in sorted(parts)]
        return encoder.whole(choices, _usage(models, job, ends))


async def _generate(
    job: CompletionRun, take: Callable[[JsonObject], Awaitable[None]]
) -> list[list[GenerationEnd]]:
    """Generate all choices of all prompts in parallel; returns their ends, by prompt."""
    number = job.body.num_choices
    ends: list[list[GenerationEnd]] = [[] for _ in job.prompts]

    async def run(prompt_index: int, prompt: list[int]) -> None:
        """Generate the choices of one prompt."""
        writers = [job.writer(prompt_index * number + index) for index in range(number)]
        stream = job.engine.generate_many(prompt, number, sampling=job.sampling, **job.options)
        async with aclosing(stream):
            async for index, chunk in stream:
                if chunk.end is not None:
                    ends[prompt_index].append(chunk.end)
                await take(writers[index].write(chunk))

    async with open_task_group() as tasks:
        for prompt_index, prompt in enumerate(job.prompts):
            tasks.start_soon(run, prompt_index, prompt)
    return ends


async def _best(models: ModelRouter, job: CompletionRun, encoder: CompletionEncoder) -> object:
    number, best_of = job.body.num_choices, job.body.best_of
    assert best_of is not None
    choices: list[JsonObject] = []
    ends: list[list[GenerationEnd]] = []
    for prompt_index, prompt in enumerate(job.prompts):
        ranked = await generate_best(
            job.engine, prompt, n=best_of, best_of=best_of, sampling=job.sampling, **job.options
        )
        ends.append([completion.end for completion in ranked])
        for index, completion in enumerate(ranked[:number]):
            whole = Chunk(completion.tokens, completion.text, completion.end, completion.logprobs)
            choices.append(job.writer(prompt_index * number + index).write(whole))
    return encoder.whole(choices, _usage(models, job, ends))


def _usage(
    models: ModelRouter, job: CompletionRun, ends: Sequence[Sequence[GenerationEnd]]
) -> JsonObject:
    """Count and encode the usage of all generations, including those not returned.

    Args:
        ends: ends of all generations, by prompt.
    """
    usage = Usage(
        sum(map(len, job.prompts)),
        sum(end.usage.completion_tokens for group in ends for end in group),
        # All choices of a prompt but the first find it in the cache; only the first counts.
        sum(min(end.usage.cached_tokens for end in group) for group in ends),
    )
    models.count(job.body.model, usage)
    return usage_to_wire(usage)


def _joined(first: JsonObject, more: JsonObject) -> JsonObject:
    """Append a later part to a choice."""
    logprobs, added = first["logprobs"], more["logprobs"]
    if isinstance(logprobs, dict) and isinstance(added, dict):
        for key, values in added.items():
            earlier = logprobs[key]
            assert isinstance(earlier, list)
            assert isinstance(values, list)
            earlier += values
    return {**more, "text": f"{first['text']}{more['text']}", "logprobs": logprobs}
