"""``/v1/embeddings`` as OpenAI has it, and ``/v1/rerank`` as Jina, Cohere and vLLM have it."""

from __future__ import annotations

import base64
from typing import Annotated, Literal, TypeAlias

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import Field

from kronk_agent.api.serving import Serving
from kronk_agent.api.sse import while_connected
from kronk_agent.api.wire import Count, Wire, one_or_many
from kronk_agent.messages import JsonObject, Usage

_MAX_INPUTS = 2048

Tokens: TypeAlias = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
Input: TypeAlias = (
    str
    | Tokens
    | Annotated[list[str], Field(min_length=1, max_length=_MAX_INPUTS)]
    | Annotated[list[Tokens], Field(min_length=1, max_length=_MAX_INPUTS)]
)


class EmbeddingRequest(Wire):
    model: str
    input: Input
    """A text, token ids, or several of either."""
    encoding_format: Literal["float", "base64"] | None = None
    """base64: little-endian 32-bit floats."""
    dimensions: Count | None = None
    """Cut the vectors to so many, for models trained that way."""
    user: str | None = None
    """Who asked, in the client's words; nothing here depends on it."""

    @property
    def inputs(self) -> list[str | list[int]]:
        return one_or_many(self.input)


class Document(Wire):
    text: str


class RerankRequest(Wire):
    model: str
    query: str
    documents: Annotated[list[str | Document], Field(min_length=1, max_length=_MAX_INPUTS)]
    top_n: Count | None = None
    """Give only the best so many; all when left out."""
    return_documents: bool | None = None
    """Give the documents too."""


def router(serving: Serving) -> APIRouter:
    routes = APIRouter(tags=["embeddings"])

    @routes.post("/v1/embeddings", response_model=None)
    async def create_embeddings(body: EmbeddingRequest, request: Request) -> Response:
        """Turn texts into vectors of length 1."""
        return JSONResponse(await while_connected(request, lambda: _embed(serving, body)))

    @routes.post("/v1/rerank", response_model=None)
    @routes.post("/v1/reranking", response_model=None, include_in_schema=False)
    @routes.post("/rerank", response_model=None, include_in_schema=False)
    async def rerank(body: RerankRequest, request: Request) -> Response:
        """Order documents by how well they answer a query."""
        return JSONResponse(await while_connected(request, lambda: _rerank(serving, body)))

    return routes


async def _embed(serving: Serving, body: EmbeddingRequest) -> JsonObject:
    await serving.need(body.model, "embed")
    async with serving.runtime.embedder(body.model) as embedder:
        result = await embedder.embed(body.inputs, dimensions=body.dimensions)
    serving.count(body.model, Usage(result.num_tokens))
    is_text = body.encoding_format == "base64"
    return {
        "object": "list",
        "model": body.model,
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _base64(vector) if is_text else vector.tolist(),
            }
            for index, vector in enumerate(result.vectors)
        ],
        "usage": {"prompt_tokens": result.num_tokens, "total_tokens": result.num_tokens},
    }


async def _rerank(serving: Serving, body: RerankRequest) -> JsonObject:
    await serving.need(body.model, "rerank")
    texts = [one if isinstance(one, str) else one.text for one in body.documents]
    async with serving.runtime.embedder(body.model) as embedder:
        ranking = await embedder.rerank(body.query, texts)
    serving.count(body.model, Usage(ranking.num_tokens))
    best_first = sorted(range(len(texts)), key=lambda index: -ranking.scores[index])
    results: list[JsonObject] = [
        {"index": index, "relevance_score": ranking.scores[index]}
        for index in best_first[: body.top_n]
    ]
    if body.return_documents:
        for result, index in zip(results, best_first, strict=False):
            result["document"] = {"text": texts[index]}
    return {
        "object": "list",
        "model": body.model,
        "results": list(results),
        "usage": {"prompt_tokens": ranking.num_tokens, "total_tokens": ranking.num_tokens},
    }


def _base64(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
