"""Text to tokens and back: ``/v1/tokenize`` and ``/v1/detokenize``, and llama.cpp's own."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.common.schema import RequestModel
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.messages import JsonValue


class TokenizeRequest(RequestModel):
    model: str = ""
    """The default model when left out."""
    input: str
    add_special: bool = False
    """Add what the model wants around a text of its own (BOS, EOS)."""
    parse_special: bool = False
    """May the text of a special token become that token?"""
    with_pieces: bool = False
    """Tell each token's text too, or its bytes where they are no whole characters."""


class DetokenizeRequest(RequestModel):
    model: str = ""
    """The default model when left out."""
    tokens: list[Annotated[int, Field(ge=0)]]


class LlamaTokenizeRequest(RequestModel):
    content: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False
    model: str | None = None
    """The default model when left out."""


class LlamaDetokenizeRequest(RequestModel):
    tokens: list[Annotated[int, Field(ge=0)]]
    model: str | None = None
    """The default model when left out."""


def router(models: ModelRouter) -> APIRouter:
    routes = APIRouter(tags=["tokens"])

    @routes.post("/v1/tokenize")
    async def tokenize(body: TokenizeRequest) -> dict[str, Any]:
        """The tokens of a text, and how many they are."""
        body = models.as_named(body)
        async with models.engine(body.model) as engine:
            tokens = engine.tokenize(
                body.input, add_special=body.add_special, parse_special=body.parse_special
            )
            shown = _shown(engine.vocabulary, tokens, body.with_pieces)
        return {"model": body.model, "tokens": shown, "count": len(tokens)}

    @routes.post("/v1/detokenize")
    async def detokenize(body: DetokenizeRequest) -> dict[str, Any]:
        """The text of tokens, special ones included."""
        body = models.as_named(body)
        async with models.engine(body.model) as engine:
            return {"model": body.model, "text": engine.detokenize(body.tokens)}

    @routes.post("/tokenize", tags=["llama.cpp"])
    async def llama_tokenize(body: LlamaTokenizeRequest) -> dict[str, Any]:
        """As llama.cpp's server has it."""
        async with models.engine(models.named(body.model)) as engine:
            tokens = engine.tokenize(
                body.content, add_special=body.add_special, parse_special=body.parse_special
            )
            return {"tokens": _shown(engine.vocabulary, tokens, body.with_pieces)}

    @routes.post("/detokenize", tags=["llama.cpp"])
    async def llama_detokenize(body: LlamaDetokenizeRequest) -> dict[str, Any]:
        """As llama.cpp's server has it."""
        async with models.engine(models.named(body.model)) as engine:
            return {"content": engine.detokenize(body.tokens)}

    return routes


def _shown(vocabulary: Vocabulary, tokens: list[int], with_pieces: bool) -> list[JsonValue]:
    if not with_pieces:
        return list[JsonValue](tokens)
    return [{"id": token, "piece": _piece(vocabulary.piece(token))} for token in tokens]


def _piece(data: bytes) -> JsonValue:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return list[JsonValue](data)
