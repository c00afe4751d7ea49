from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from kronk_agent.api.errors import openai_error_frame
from kronk_agent.api.llama_server.request import InfillRequest, LlamaCompletionRequest
from kronk_agent.api.llama_server.response import Answer, settings_to_wire
from kronk_agent.api.serving import Serving
from kronk_agent.api.sse import EventStream, Write, while_connected
from kronk_agent.engine.engine import Chunk
from kronk_agent.messages import JsonObject


def router(serving: Serving) -> APIRouter:
    routes = APIRouter(tags=["llama.cpp"])

    @routes.post("/completion", response_model=None)
    async def complete(body: LlamaCompletionRequest, request: Request) -> Response:
        """Go on with a prompt, as llama.cpp's server has it."""
        return await _respond(serving, body, request)

    @routes.post("/infill", response_model=None)
    async def infill(body: InfillRequest, request: Request) -> Response:
        """Fill in what is between two texts, as llama.cpp's server has it."""
        await serving.need(serving.named(body.model), "fim")
        return await _respond(serving, body, request)

    return routes


async def _respond(
    serving: Serving, body: LlamaCompletionRequest | InfillRequest, request: Request
) -> Response:
    body.check()
    if body.stream:

        async def produce(write: Write) -> None:
            async with _generating(serving, body) as (answer, chunks):
                async for chunk in chunks:
                    if chunk.tokens or chunk.text:
                        await write(answer.frame(chunk))
                    if chunk.end is not None:
                        await write(answer.last_frame(chunk.end))

        return EventStream(
            produce,
            error_frame=openai_error_frame,
            keep_alive_seconds=serving.config.keep_alive_seconds,
        )

    async def collect() -> JsonObject:
        async with _generating(serving, body) as (answer, chunks):
            whole = [chunk async for chunk in chunks]
            return answer.whole(whole, with_tokens=bool(body.return_tokens))

    return JSONResponse(await while_connected(request, collect))


@asynccontextmanager
async def _generating(
    serving: Serving, body: LlamaCompletionRequest | InfillRequest
) -> AsyncIterator[tuple[Answer, AsyncIterator[Chunk]]]:
    """The generation a request asks for; leaving the block ends it."""
    model = serving.named(body.model)
    async with serving.engine(model) as engine:
        sampling = body.sampling(serving.sampling)
        prompt = body.tokens(engine)
        options = await body.options(engine)
        options["cache_salt"] = serving.cache_salt()
        settings = settings_to_wire(sampling, context_length=engine.context_length)
        asked = body.model_dump(include={"n_predict", "stop", "stream", "n_probs"})
        settings |= {name: value for name, value in asked.items() if value is not None}
        answer = Answer(engine=engine, model=model, prompt=prompt, settings=settings)

        async def counted() -> AsyncIterator[Chunk]:
            async for chunk in chunks:
                if chunk.end is not None:
                    serving.count(model, chunk.end.usage)
                yield chunk

        async with aclosing(engine.generate(prompt, sampling=sampling, **options)) as chunks:
            yield answer, counted()
