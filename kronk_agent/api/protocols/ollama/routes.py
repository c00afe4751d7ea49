from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from kronk_agent.api.errors import HttpError, envelope
from kronk_agent.api.model_router import ModelRouter, as_asked
from kronk_agent.api.protocols.common.sampling import with_token_bias
from kronk_agent.api.protocols.common.schema import encode, left_out
from kronk_agent.api.protocols.ollama.context import to_context
from kronk_agent.api.protocols.ollama.encoder import MEDIA_TYPE, OllamaEncoder
from kronk_agent.api.protocols.ollama.events import AnswerReader, End, OllamaDelta, join_deltas
from kronk_agent.api.protocols.ollama.messages import to_messages
from kronk_agent.api.protocols.ollama.models import keep, load, model_id
from kronk_agent.api.protocols.ollama.options import keep_alive_seconds, response_format
from kronk_agent.api.protocols.ollama.request import (
    EmbeddingsRequest,
    EmbedRequest,
    GenerateRequest,
    GenerationRequest,
    OllamaChatRequest,
)
from kronk_agent.api.protocols.ollama.tools import to_tools
from kronk_agent.api.protocols.openai_completions.request import prompt_tokens
from kronk_agent.api.sse import EventStream, Write, while_connected
from kronk_agent.chat.logprobs import LogprobAligner
from kronk_agent.engine.embedding.engine import EmbeddingEngine
from kronk_agent.engine.engine import Constraint, Engine, GenerateOptions
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject, Message, TextDelta, Usage
from kronk_agent.tools import Tool

Take: TypeAlias = Callable[[OllamaDelta], Awaitable[None]]
"""Receives each delta of an answer."""


def router(models: ModelRouter) -> APIRouter:
    """The routes that run models."""
    routes = APIRouter(prefix="/api", tags=["ollama"])

    @routes.post("/chat", response_model=None)
    async def chat(body: OllamaChatRequest, request: Request) -> Response:
        """Answer a conversation."""
        encoder = OllamaEncoder(kind="chat", model=body.model)
        return await _respond(models, body, encoder, request)

    @routes.post("/generate", response_model=None)
    async def generate(body: GenerateRequest, request: Request) -> Response:
        """Answer a prompt, continue it, or fill in the middle."""
        encoder = OllamaEncoder(kind="generate", model=body.model)
        return await _respond(models, body, encoder, request)

    @routes.post("/embed", response_model=None)
    async def embed(body: EmbedRequest, request: Request) -> Response:
        """Create embeddings of length 1."""
        return JSONResponse(await while_connected(request, lambda: _embed(models, body)))

    @routes.post("/embeddings", response_model=None)
    async def embeddings(body: EmbeddingsRequest, request: Request) -> Response:
        """Create one embedding; the older endpoint."""
        one = EmbedRequest.model_validate({**body.model_dump(), "input": body.prompt})
        found = await while_connected(request, lambda: _embed(models, one))
        vectors = found["embeddings"]
        assert isinstance(vectors, list)
        return JSONResponse({"embedding": vectors[0] if vectors else []})

    return routes


async def _respond(
    models: ModelRouter,
    body: OllamaChatRequest | GenerateRequest,
    encoder: OllamaEncoder,
    request: Request,
) -> Response:
    if body.stream:

        async def produce(write: Write) -> None:
            """Stream the answer."""

            async def take(delta: OllamaDelta) -> None:
                """Write a delta."""
                await write(encoder.frame(delta))

            await write(encoder.last_frame(await _answer(models, body, encoder, take)))

        return EventStream(
            produce,
            error_frame=_error_frame,
            keep_alive=encoder.frame(OllamaDelta()),
            keep_alive_seconds=models.config.keep_alive_seconds,
            media_type=MEDIA_TYPE,
        )

    async def collect() -> JsonObject:
        """Collect the answer."""
        deltas: list[OllamaDelta] = []

        async def take(delta: OllamaDelta) -> None:
            """Collect a delta."""
            deltas.append(delta)

        end = await _answer(models, body, encoder, take)
        return encoder.whole(join_deltas(deltas), end)

    return JSONResponse(await while_connected(request, collect))


async def _answer(
    models: ModelRouter,
    body: OllamaChatRequest | GenerateRequest,
    encoder: OllamaEncoder,
    take: Take,
) -> End:
    """Answer a request delta by delta, and apply its ``keep_alive``.

    Raises:
        KronkError: the request failed.
    """
    id = model_id(models, body.model)
    kept = keep_alive_seconds(body.keep_alive)
    encoder.notices = [*left_out(body)]
    match body:
        case OllamaChatRequest(messages=[]) | GenerateRequest(prompt="", images=[], suffix=""):
            if kept != 0:
                await load(models, id)
            end = End("unload" if kept == 0 else "load")
        case OllamaChatRequest():
            messages = to_messages(body.messages)
            end = await _run(models, id, body, encoder, messages, to_tools(body.tools), take)
        case GenerateRequest():
            end = await _generate(models, id, body, encoder, take)
    if kept is not None and (notice := await keep(models, id, kept)):
        encoder.notices = [*encoder.notices, notice]
    return end


async def _generate(
    models: ModelRouter, id: str, body: GenerateRequest, encoder: OllamaEncoder, take: Take
) -> End:
    if body.template:
        raise InvalidRequestError(
            "template: Go templates are not supported: leave it out, or send the whole prompt "
            "with raw",
            param="template",
        )
    if body.is_raw:
        return await _complete_raw(models, id, body, encoder, take)
    texts: list[str] = []

    async def take_and_keep(delta: OllamaDelta) -> None:
        """Record the text, and pass the delta on."""
        texts.append(delta.text)
        await take(delta)

    messages = body.messages
    end = await _run(models, id, body, encoder, messages, (), take_and_keep)
    context = to_context([*messages, Message.assistant("".join(texts))])
    return End(end.reason, end.usage, end.timings, context)


async def _run(
    models: ModelRouter,
    id: str,
    body: GenerationRequest,
    encoder: OllamaEncoder,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    take: Take,
) -> End:
    """Run the agent or plain model."""
    await models.check_media(id, list(messages))
    agent = await models.agent(id)
    encoder.loaded()
    context_length = agent.model.info.context_length
    encoder.notices = [*encoder.notices, *body.options.notices(context_length)]
    options = await with_token_bias(models, id, body.options)
    biased = body.model_copy(update={"options": options})
    agent = as_asked(agent, options=biased.agent_options(agent.options))
    reader = AnswerReader(frozenset(tool.name for tool in tools))
    conversation = models.pending_turns.restore(messages)
    async with agent.run(conversation, client_tools=tools) as run:
        async for event in run:
            delta = reader.read(event)
            if delta is not None:
                await take(delta)
    assert reader.finished is not None
    models.pending_turns.keep(reader.finished, reader.calls)
    return reader.end


async def _complete_raw(
    models: ModelRouter, id: str, body: GenerateRequest, encoder: OllamaEncoder, take: Take
) -> End:
    """Continue a raw prompt, or fill in between it and the suffix."""
    if body.suffix:
        await models.need(id, "fim")
    async with models.engine(id) as engine:
        encoder.loaded()
        encoder.notices = [*encoder.notices, *body.options.notices(engine.context_length)]
        prompt = prompt_tokens(engine, body.prompt, body.suffix or None)
        options = GenerateOptions(
            max_tokens=body.options.max_tokens,
            stop=body.options.stops,
            top_logprobs=body.top_logprobs if body.logprobs else None,
            constraint=await _constraint(engine, body),
            streamed=body.stream,
            cache_salt=models.cache_salt(),
        )
        aligner = LogprobAligner(engine.vocabulary.piece)
        sampling = body.options.sampling(models.sampling, engine.tokenize)
        async with aclosing(engine.generate(prompt, sampling=sampling, **options)) as chunks:
            async for chunk in chunks:
                aligner.add(chunk.logprobs)
                scored = aligner.align(TextDelta(chunk.text))
                assert isinstance(scored, TextDelta)
                if chunk.text:
                    await take(OllamaDelta(chunk.text, logprobs=scored.logprobs))
                if chunk.end is not None:
                    models.count(id, chunk.end.usage)
                    return End(chunk.end.reason, chunk.end.usage, chunk.end.timings)
    raise AssertionError("generate() ends with an end chunk")


async def _constraint(engine: Engine, body: GenerateRequest) -> Constraint | None:
    form = response_format(body.format)
    if form is None:
        return None
    schema = {"type": "object"} if form.schema is None else form.schema
    return await engine.compile(f"start: %json {encode(schema)}")


async def _embed(models: ModelRouter, body: EmbedRequest) -> JsonObject:
    started = time.monotonic_ns()
    id = model_id(models, body.model)
    kept = keep_alive_seconds(body.keep_alive)
    await models.need(id, "embed")
    async with models.runtime.embedder(id) as embedder:
        loaded = time.monotonic_ns()
        inputs = [_input(embedder, text) if body.truncate else text for text in body.inputs]
        vectors: list[list[float]] = []
        num_tokens = 0
        if inputs:
            found = await embedder.embed(inputs, dimensions=body.dimensions)
            vectors, num_tokens = found.vectors.tolist(), found.num_tokens
            models.count(id, Usage(num_tokens))
    notices = [*left_out(body)]
    if kept is not None and (notice := await keep(models, id, kept)):
        notices.append(notice)
    return {
        "model": body.model,
        "embeddings": [list(vector) for vector in vectors],
        "total_duration": time.monotonic_ns() - started,
        "load_duration": loaded - started,
        "prompt_eval_count": num_tokens,
        **({"kronk": {"notices": list(notices)}} if notices else {}),
    }


def _input(embedder: EmbeddingEngine, text: str) -> str | list[int]:
    """The text, truncated to the maximum number of input tokens."""
    tokens = embedder.vocabulary.tokenize(text, parse_special=False, add_special=True)
    limit = embedder.max_input_tokens
    # Keep the last token: it may be the model's end token.
    return text if len(tokens) <= limit else [*tokens[: limit - 1], tokens[-1]]


def _error_frame(error: HttpError) -> str:
    return f"{encode(envelope(error, 'ollama'))}\n"
