"""Embeddings and reranking.

``/v1/embeddings`` follows OpenAI, ``/v1/rerank`` Jina, Cohere, vLLM and TEI, and ``/embedding``
llama.cpp.
"""

from __future__ import annotations

import base64
import math
from typing import Annotated, Literal, TypeAlias

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import Field

from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.common.schema import (
    Count,
    NoEffect,
    RequestModel,
    UnicodeBody,
    one_or_many,
)
from kronk_agent.api.sse import while_connected
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject, Usage

_MAX_INPUTS = 2048
_EUCLIDEAN = 2
_MIN_SCORE = -700.0
"""Below this, the sigmoid is practically 0."""

Tokens: TypeAlias = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
Input: TypeAlias = (
    str
    | Tokens
    | Annotated[list[str], Field(min_length=1, max_length=_MAX_INPUTS)]
    | Annotated[list[Tokens], Field(min_length=1, max_length=_MAX_INPUTS)]
)


class EmbeddingRequest(UnicodeBody):
    """A request for OpenAI's ``/v1/embeddings``."""

    model: str = ""
    """The default model when left out."""
    input: Input
    """A text, token ids, or a list of either."""
    encoding_format: Literal["float", "base64"] | None = None
    """base64: the vector's little-endian 32-bit floats."""
    dimensions: Count | None = None
    """Truncate the vectors to this length, for models trained for it."""
    user: str | None = None
    """The client's name for its user; no effect."""

    @property
    def inputs(self) -> list[str | list[int]]:
        """The inputs as a list."""
        return one_or_many(self.input)


class RerankDocument(RequestModel):
    """A document to rank."""

    text: str


Documents: TypeAlias = Annotated[
    list[str | RerankDocument], Field(min_length=1, max_length=_MAX_INPUTS)
]


class RerankRequest(UnicodeBody):
    """A rerank request in the format of Jina, Cohere and vLLM, or with ``texts`` in that of TEI."""

    model: str = ""
    """The default model when left out."""
    query: str
    documents: Documents | None = None
    top_n: Count | None = None
    """Return only this many of the best documents; all when left out."""
    return_documents: bool | None = None
    """Include the documents in the results."""
    texts: Documents | None = None
    """The documents, in TEI's format; the response is then TEI's too."""
    raw_scores: bool = False
    """TEI: return the raw scores of the model's head, instead of their sigmoid (0 to 1)."""
    return_text: bool = False
    """TEI's name for return_documents."""
    truncate: Annotated[object, NoEffect("inputs over the limit are rejected")] = None
    truncation_direction: Annotated[object, NoEffect("inputs over the limit are rejected")] = None

    @property
    def candidates(self) -> list[str]:
        """The texts to rank.

        Raises:
            InvalidRequestError: neither or both of ``documents`` and ``texts`` are given.
        """
        if (self.documents is None) == (self.texts is None):
            raise InvalidRequestError(
                "documents: give either documents, or texts for a response in TEI's format",
                param="documents",
            )
        given = self.documents or self.texts or ()
        return [one if isinstance(one, str) else one.text for one in given]


class LlamaEmbeddingRequest(UnicodeBody):
    """A request for llama.cpp's ``/embedding``."""

    model: str = ""
    """The default model when left out."""
    content: Input | None = None
    """A text, token ids, or a list of either."""
    input: Input | None = None
    """Newer name of content."""
    embd_normalize: Literal[-1, 2] = 2
    """2 normalizes the vectors to length 1; -1 leaves them unscaled."""

    @property
    def inputs(self) -> list[str | list[int]]:
        """The inputs as a list.

        Raises:
            InvalidRequestError: neither ``content`` nor ``input`` is given.
        """
        given = self.input if self.content is None else self.content
        if given is None:
            raise InvalidRequestError("content: Field required", param="content")
        return one_or_many(given)


def router(models: ModelRouter) -> APIRouter:
    """The routes for embeddings and reranking."""
    routes = APIRouter(tags=["embeddings"])

    @routes.post("/v1/embeddings", response_model=None)
    async def create_embeddings(body: EmbeddingRequest, request: Request) -> Response:
        """Create embeddings of length 1."""
        resolved = models.with_resolved_id(body)
        return JSONResponse(await while_connected(request, lambda: _embed(models, resolved)))

    @routes.post("/embedding", response_model=None, tags=["llama.cpp"])
    @routes.post("/embeddings", response_model=None, include_in_schema=False)
    async def llama_embedding(body: LlamaEmbeddingRequest, request: Request) -> Response:
        """Create embeddings, in the format of llama.cpp's server."""
        resolved = models.with_resolved_id(body)
        return JSONResponse(await while_connected(request, lambda: _llama_embed(models, resolved)))

    @routes.post("/v1/rerank", response_model=None)
    @routes.post("/v1/reranking", response_model=None, include_in_schema=False)
    @routes.post("/rerank", response_model=None, include_in_schema=False)
    @routes.post("/reranking", response_model=None, include_in_schema=False)
    async def rerank(body: RerankRequest, request: Request) -> Response:
        """Rank documents by relevance to a query."""
        resolved = models.with_resolved_id(body)
        return JSONResponse(await while_connected(request, lambda: _rerank(models, resolved)))

    return routes


async def _embed(models: ModelRouter, body: EmbeddingRequest) -> JsonObject:
    await models.need(body.model, "embed")
    async with models.runtime.embedder(body.model) as embedder:
        result = await embedder.embed(body.inputs, dimensions=body.dimensions)
    models.count(body.model, Usage(result.num_tokens))
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


async def _llama_embed(models: ModelRouter, body: LlamaEmbeddingRequest) -> list[JsonObject]:
    await models.need(body.model, "embed")
    is_scaled = body.embd_normalize == _EUCLIDEAN
    async with models.runtime.embedder(body.model) as embedder:
        result = await embedder.embed(body.inputs, normalize=is_scaled)
    models.count(body.model, Usage(result.num_tokens))
    return [
        {"index": index, "embedding": [vector.tolist()]}
        for index, vector in enumerate(result.vectors)
    ]


async def _rerank(models: ModelRouter, body: RerankRequest) -> JsonObject | list[JsonObject]:
    await models.need(body.model, "rerank")
    texts = body.candidates
    async with models.runtime.embedder(body.model) as embedder:
        ranking = await embedder.rerank(body.query, texts)
    models.count(body.model, Usage(ranking.num_tokens))
    best_first = sorted(range(len(texts)), key=lambda index: -ranking.scores[index])
    if body.texts is not None:
        return [
            _tei_result(body, index, ranking.scores[index], texts[index]) for index in best_first
        ]
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


def _tei_result(body: RerankRequest, index: int, score: float, text: str) -> JsonObject:
    """A ranked text in TEI's format."""
    shown = score if body.raw_scores else 1 / (1 + math.exp(-max(score, _MIN_SCORE)))
    return {"index": index, "score": shown, **({"text": text} if body.return_text else {})}


def _base64(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
