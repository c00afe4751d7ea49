from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import monotonic

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from kronk_agent.api.errors import openai_error_frame
from kronk_agent.api.model_router import ModelRouter, seeded
from kronk_agent.api.protocols.common.schema import left_out, new_id
from kronk_agent.api.protocols.llama_server.encoder import LlamaCompletionEncoder, settings_to_wire
from kronk_agent.api.protocols.llama_server.request import (
    MAX_COMPLETIONS,
    InfillRequest,
    LlamaCompletionRequest,
)
from kronk_agent.api.sse import EventStream, Write, while_connected
from kronk_agent.concurrency.task_group import open_task_group
from kronk_agent.engine.engine import Chunk, Engine, GenerateOptions, GenerationEnd
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject, Timings, Usage
from kronk_agent.settings import SamplingParams


def router(models: ModelRouter) -> APIRouter:
    """The routes for llama.cpp's completions."""
    routes = APIRouter(tags=["llama.cpp"])

    @routes.post("/completion", response_model=None)
    @routes.post("/completions", response_model=None, include_in_schema=False)
    async def complete(body: LlamaCompletionRequest, request: Request) -> Response:
        """Continue a prompt, in the format of llama.cpp's server."""
        return await _respond(models, models.with_resolved_id(body), request)

    @routes.post("/infill", response_model=None)
    async def infill(body: InfillRequest, request: Request) -> Response:
        """Fill in text between a prefix and a suffix, in the format of llama.cpp's server."""
        body = models.with_resolved_id(body)
        await models.need(body.model, "fim")
        return await _respond(models, body, request)

    return routes


async def _respond(
    models: ModelRouter, body: LlamaCompletionRequest | InfillRequest, request: Request
) -> Response:
    body.check()
    if body.stream:

        async def produce(write: Write) -> None:
            """Stream all completions."""

            async def stream(run: LlamaCompletionRun) -> None:
                """Stream one completion."""
                has_new_line = False
                async for chunk in run.chunks():
                    has_new_line = has_new_line or "\n" in chunk.text
                    if chunk.tokens or chunk.text:
                        await write(run.encoder.frame(chunk))
                    if chunk.end is not None:
                        await write(run.encoder.last_frame(chunk.end, has_new_line=has_new_line))

            await _run_all(models, body, stream)

        return EventStream(
            produce,
            error_frame=openai_error_frame,
            keep_alive_seconds=models.config.keep_alive_seconds,
        )

    async def collect() -> JsonObject | list[JsonObject]:
        """Collect all completions."""
        found: dict[int, JsonObject] = {}

        async def keep(run: LlamaCompletionRun) -> None:
            """Collect one completion."""
            chunks = [chunk async for chunk in run.chunks()]
            with_tokens = bool(body.return_tokens)
            found[run.encoder.index] = run.encoder.whole(chunks, with_tokens=with_tokens)

        await _run_all(models, body, keep)
        whole = [found[index] for index in sorted(found)]
        return whole if body.has_several else whole[0]

    return JSONResponse(await while_connected(request, collect))


@dataclass(frozen=True, slots=True)
class LlamaCompletionRun:
    """One completion of a request, ready to run."""

    models: ModelRouter
    body: LlamaCompletionRequest | InfillRequest
    engine: Engine
    prompt: Sequence[int]
    sampling: SamplingParams
    options: GenerateOptions
    encoder: LlamaCompletionEncoder

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Generate within the request's limits, and count the usage."""
        generating = self.engine.generate(self.prompt, sampling=self.sampling, **self.options)
        async with aclosing(self._limited(generating)) as chunks:
            async for chunk in chunks:
                if chunk.end is not None:
                    self.models.count(self.body.model, chunk.end.usage)
                yield chunk

    async def _limited(
        self, generating: AsyncGenerator[Chunk, None]
    ) -> AsyncGenerator[Chunk, None]:
        limits = self.body.line_limits()
        clock = _Clock(len(self.prompt))
        async with aclosing(generating) as chunks:
            async for chunk in chunks:
                if limits is None:
                    yield chunk
                    continue
                clock.note(chunk)
                text = limits.take(chunk.text)
                if limits.is_over:
                    yield replace(chunk, text=text, end=chunk.end or clock.end())
                    return
                yield replace(chunk, text=text + limits.rest() if chunk.end else text)


class _Clock:
    """Measures a generation that is ended from outside.

    Args:
        num_prompt_tokens: length of its prompt.
    """

    def __init__(self, num_prompt_tokens: int) -> None:
        self._num_prompt_tokens = num_prompt_tokens
        self._begun = monotonic()
        self._first: float | None = None
        self._num_tokens = 0
        self._num_cached = 0
        self._queue_seconds = 0.0

    def note(self, chunk: Chunk) -> None:
        """Record a chunk."""
        self._first = self._first or monotonic()
        self._num_tokens += len(chunk.tokens)
        self._num_cached = max(self._num_cached, chunk.num_cached)
        self._queue_seconds = max(self._queue_seconds, chunk.queue_seconds)

    def end(self) -> GenerationEnd:
        """The end of the generation, with the usage and timings so far."""
        first = self._first or monotonic()
        usage = Usage(self._num_prompt_tokens, self._num_tokens, self._num_cached)
        timings = Timings(self._queue_seconds, first - self._begun, monotonic() - first)
        return GenerationEnd("length", usage, timings)


async def _run_all(
    models: ModelRouter,
    body: LlamaCompletionRequest | InfillRequest,
    use: Callable[[LlamaCompletionRun], Coroutine[None, None, None]],
) -> None:
    """Run all completions of a request in parallel."""
    async with models.engine(body.model) as engine:
        runs = await _parse(models, body, engine)
        if len(runs) == 1:
            await use(runs[0])
            return
        async with open_task_group() as tasks:
            for run in runs:
                tasks.start_soon(use, run)


async def _parse(
    models: ModelRouter, body: LlamaCompletionRequest | InfillRequest, engine: Engine
) -> list[LlamaCompletionRun]:
    sampling = body.sampling_on(engine, models.sampling)
    options = await body.options(engine)
    # A fresh salt shares no cached prefix with any prompt.
    salt = new_id("uncached-") if body.cache_prompt is False else None
    options["cache_salt"] = models.cache_salt(salt)
    settings = settings_to_wire(sampling, context_length=engine.context_length)
    asked = body.model_dump(include={"n_predict", "stop", "stream", "n_probs"})
    settings |= {name: value for name, value in asked.items() if value is not None}
    encoder = LlamaCompletionEncoder(
        engine=engine,
        model=body.model,
        prompt=(),
        settings=settings,
        fields=body.response_fields,
        is_scored_after_sampling=bool(body.post_sampling_probs),
        notices=[*left_out(body)],
    )
    prompts = body.prompts(engine)
    if len(prompts) * body.num_copies > MAX_COMPLETIONS:
        raise InvalidRequestError(
            f"n_cmpl: at most {MAX_COMPLETIONS} completions over all prompts, got "
            f"{len(prompts)} x {body.num_copies}",
            param="n_cmpl",
        )
    return [
        LlamaCompletionRun(
            models,
            body,
            engine,
            prompt,
            seeded(sampling, copy),
            options,
            replace(encoder, prompt=prompt, index=number * body.num_copies + copy),
        )
        for number, prompt in enumerate(prompts)
        for copy in range(body.num_copies)
    ]
