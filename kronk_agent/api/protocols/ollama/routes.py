from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from kronk_agent.api.errors import HttpError, envelope
from kronk_agent.api.model_router import Serving, as_asked
from kronk_agent.api.protocols.common.schema import encode, left_out
from kronk_agent.api.protocols.ollama.context import to_context
from kronk_agent.api.protocols.ollama.events import AnswerReader, End, Piece, joined
from kronk_agent.api.protocols.ollama.messages import to_messages
from kronk_agent.api.protocols.ollama.models import load, model_id, unload
from kronk_agent.api.protocols.ollama.options import is_unloading, response_format
from kronk_agent.api.protocols.ollama.request import (
    ChatRequest,
    EmbeddingsRequest,
    EmbedRequest,
    GenerateRequest,
    Generating,
)
from kronk_agent.api.protocols.ollama.response import MEDIA_TYPE, Answer
from kronk_agent.api.protocols.ollama.tools import to_tools
from kronk_agent.api.protocols.openai_completions.request import prompt_tokens
from kronk_agent.api.sse import EventStream, Write, while_connected
from kronk_agent.chat.logprobs import LogprobAligner
from kronk_agent.engine.embedding.engine import EmbeddingEngine
from kronk_agent.engine.engine import Constraint, Engine, GenerateOptions
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject, Message, TextDelta, Usage
from kronk_agent.tools import Tool

Take: TypeAlias = Callable[[Piece], Awaitable[None]]
"""Gets each piece of an answer."""


def router(serving: Serving) -> APIRouter:
    """The routes of what models do."""
    routes = APIRouter(prefix="/api", tags=["ollama"])

    @routes.post("/chat", response_model=None)
    async def chat(body: ChatRequest, request: Request) -> Response:
        """Answer a conversation."""
        answer = Answer(kind="chat", model=body.model)
        return await _respond(serving, body, answer, request)

    @routes.post("/generate", response_model=None)
    async def generate(body: GenerateRequest, request: Request) -> Response:
        """Answer a prompt, go on with it, or fill in a middle."""
        answer = Answer(kind="generate", model=body.model)
        return await _respond(serving, body, answer, request)

    @routes.post("/embed", response_model=None)
    async def embed(body: EmbedRequest, request: Request) -> Response:
        """Turn texts into vectors of length 1."""
        return JSONResponse(await while_connected(request, lambda: _embed(serving, body)))

    @routes.post("/embeddings", response_model=None)
    async def embeddings(body: EmbeddingsRequest, request: Request) -> Response:
        """Turn a text into a vector: the older form."""
        one = EmbedRequest.model_validate({**body.model_dump(), "input": body.prompt})
        found = await while_connected(request, lambda: _embed(serving, one))
        vectors = found["embeddings"]
        assert isinstance(vectors, list)
        return JSONResponse({"embedding": vectors[0] if vectors else []})

    return routes


async def _respond(
    serving: Serving, body: ChatRequest | GenerateRequest, answer: Answer, request: Request
) -> Response:
    if body.stream:

        async def produce(write: Write) -> None:
            async def take(piece: Piece) -> None:
                await write(answer.frame(piece))

            await write(answer.last_frame(await _answered(serving, body, answer, take)))

        return EventStream(
            produce,
            error_frame=_error_frame,
            keep_alive=answer.frame(Piece()),
            keep_alive_seconds=serving.config.keep_alive_seconds,
            media_type=MEDIA_TYPE,
        )

    async def collect() -> JsonObject:
        pieces: list[Piece] = []

        async def take(piece: Piece) -> None:
            pieces.append(piece)

        end = await _answered(serving, body, answer, take)
        return answer.whole(joined(pieces), end)

    return JSONResponse(await while_connected(request, collect))


async def _answered(
    serving: Serving, body: ChatRequest | GenerateRequest, answer: Answer, take: Take
) -> End:
    """Give an answer, piece by piece, and unload the model if the request says so.

    Raises:
        KronkError: it cannot be given.
    """
    id = model_id(serving, body.model)
    unloads = is_unloading(body.keep_alive)
    answer.notices = [*left_out(body)]
    match body:
        case ChatRequest(messages=[]) | GenerateRequest(prompt="", images=[], suffix=""):
            if not unloads:
                await load(serving, id)
            end = End("unload" if unloads else "load")
        case ChatRequest():
            messages = to_messages(body.messages)
            end = await _run(serving, id, body, answer, messages, to_tools(body.tools), take)
        case GenerateRequest():
            end = await _completed(serving, id, body, answer, take)
    if unloads and (notice := await unload(serving, id)):
        answer.notices = [*answer.notices, notice]
    return end


async def _completed(
    serving: Serving, id: str, body: GenerateRequest, answer: Answer, take: Take
) -> End:
    if body.template:
        raise InvalidRequestError(
            "template: templates of Go are not rendered here: leave it out, or write the whole "
            "prompt and say raw",
            param="template",
        )
    if body.is_raw:
        return await _continued(serving, id, body, answer, take)
    said: list[str] = []

    async def take_and_keep(piece: Piece) -> None:
        said.append(piece.text)
        await take(piece)

    messages = body.messages
    end = await _run(serving, id, body, answer, messages, (), take_and_keep)
    context = to_context([*messages, Message.assistant("".join(said))])
    return End(end.reason, end.usage, end.timings, context)


async def _run(
    serving: Serving,
    id: str,
    body: Generating,
    answer: Answer,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    take: Take,
) -> End:
    """Run an agent, or a plain model as one."""
    await serving.need_for(id, list(messages))
    agent = await serving.agent(id)
    answer.loaded()
    context_length = agent.model.info.context_length
    answer.notices = [*answer.notices, *body.options.notices(context_length)]
    agent = as_asked(agent, options=body.agent_options(agent.options))
    reader = AnswerReader(frozenset(tool.name for tool in tools))
    known = serving.open_turns.restore(messages)
    async with agent.run(known, client_tools=tools) as run:
        async for event in run:
            piece = reader.read(event)
            if piece is not None:
                await take(piece)
    assert reader.finished is not None
    serving.open_turns.keep(reader.finished, reader.calls)
    return reader.end


async def _continued(
    serving: Serving, id: str, body: GenerateRequest, answer: Answer, take: Take
) -> End:
    """Go on with a prompt as it stands, or fill in what is between it and the suffix."""
    if body.suffix:
        await serving.need(id, "fim")
    async with serving.engine(id) as engine:
        answer.loaded()
        answer.notices = [*answer.notices, *body.options.notices(engine.context_length)]
        prompt = prompt_tokens(engine, body.prompt, body.suffix or None)
        options = GenerateOptions(
            max_tokens=body.options.max_tokens,
            stop=body.options.stops,
            top_logprobs=body.top_logprobs if body.logprobs else None,
            constraint=await _constraint(engine, body),
            streamed=body.stream,
            cache_salt=serving.cache_salt(),
        )
        aligner = LogprobAligner(engine.vocabulary.piece)
        sampling = body.options.sampling(serving.sampling)
        async with aclosing(engine.generate(prompt, sampling=sampling, **options)) as chunks:
            async for chunk in chunks:
                aligner.add(chunk.logprobs)
                said = aligner.align(TextDelta(chunk.text))
                assert isinstance(said, TextDelta)
                if chunk.text:
                    await take(Piece(chunk.text, logprobs=said.logprobs))
                if chunk.end is not None:
                    serving.count(id, chunk.end.usage)
                    return End(chunk.end.reason, chunk.end.usage, chunk.end.timings)
    raise AssertionError("a generation ends")


async def _constraint(engine: Engine, body: GenerateRequest) -> Constraint | None:
    form = response_format(body.format)
    if form is None:
        return None
    schema = {"type": "object"} if form.schema is None else form.schema
    return await engine.compile(f"start: %json {encode(schema)}")


async def _embed(serving: Serving, body: EmbedRequest) -> JsonObject:
    started = time.monotonic_ns()
    id = model_id(serving, body.model)
    await serving.need(id, "embed")
    async with serving.runtime.embedder(id) as embedder:
        loaded = time.monotonic_ns()
        inputs = [_input(embedder, text) if body.truncate else text for text in body.inputs]
        vectors: list[list[float]] = []
        num_tokens = 0
        if inputs:
            found = await embedder.embed(inputs, dimensions=body.dimensions)
            vectors, num_tokens = found.vectors.tolist(), found.num_tokens
            serving.count(id, Usage(num_tokens))
    notices = [*left_out(body)]
    if is_unloading(body.keep_alive) and (notice := await unload(serving, id)):
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
    """The text, or as many of its tokens as an input may have."""
    tokens = embedder.vocabulary.tokenize(text, parse_special=False, add_special=True)
    most = embedder.max_input_tokens
    # The last token may be one that the model wants at the end.
    return text if len(tokens) <= most else [*tokens[: most - 1], tokens[-1]]


def _error_frame(error: HttpError) -> str:
    return f"{encode(envelope(error, 'ollama'))}\n"
