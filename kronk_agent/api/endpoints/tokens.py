"""Tokenize and detokenize texts: ``/v1/tokenize``, ``/v1/detokenize``, and llama.cpp's own."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.common.schema import RequestModel
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.messages import JsonValue


class TokenizeRequest(RequestModel):
    """A request for ``/v1/tokenize``."""

    model: str = ""
    """The default model when left out."""
    input: str
    add_special: bool = False
    """Add the special tokens the model expects around a text (BOS, EOS)."""
    parse_special: bool = False
    """Parse the texts of special tokens as those tokens."""
    with_pieces: bool = False
    """Return each token's text too, or its bytes if they are not valid UTF-8."""


class DetokenizeRequest(RequestModel):
    """A request for ``/v1/detokenize``."""

    model: str = ""
    """The default model when left out."""
    tokens: list[Annotated[int, Field(ge=0)]]


class LlamaTokenizeRequest(RequestModel):
    """A request for llama.cpp's ``/tokenize``."""

    content: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False
    model: str | None = None
    """The default model when left out."""


class LlamaDetokenizeRequest(RequestModel):
    """A request for llama.cpp's ``/detokenize``."""

    tokens: list[Annotated[int, Field(ge=0)]]
    model: str | None = None
    """The default model when left out."""


def router(models: ModelRouter) -> APIRouter:
    """The routes for tokens."""
    routes = APIRouter(tags=["tokens"])

    @routes.post("/v1/tokenize")
    async def tokenize(body: TokenizeRequest) -> dict[str, Any]:
        """Return the tokens of a text, and their number."""
        body = models.with_resolved_id(body)
        async with models.engine(body.model) as engine:
            tokens = engine.tokenize(
                body.input, add_special=body.add_special, parse_special=body.parse_special
            )
            shown = _encode_tokens(engine.vocabulary, tokens, body.with_pieces)
        return {"model": body.model, "tokens": shown, "count": len(tokens)}

    @routes.post("/v1/detokenize")
    async def detokenize(body: DetokenizeRequest) -> dict[str, Any]:
        """Return the text of tokens, including special ones."""
        body = models.with_resolved_id(body)
        async with models.engine(body.model) as engine:
            return {"model": body.model, "text": engine.detokenize(body.tokens)}

    @routes.post("/tokenize", tags=["llama.cpp"])
    async def llama_tokenize(body: LlamaTokenizeRequest) -> dict[str, Any]:
        """Tokenize a text, in the format of llama.cpp's server."""
        async with models.engine(models.resolve_id(body.model)) as engine:
            tokens = engine.tokenize(
                body.content, add_special=body.add_special, parse_special=body.parse_special
            )
            return {"tokens": _encode_tokens(engine.vocabulary, tokens, body.with_pieces)}

    @routes.post("/detokenize", tags=["llama.cpp"])
    async def llama_detokenize(body: LlamaDetokenizeRequest) -> dict[str, Any]:
        """Detokenize, in the format of llama.cpp's server."""
        async with models.engine(models.resolve_id(body.model)) as engine:
            return {"content": engine.detokenize(body.tokens)}

    return routes


def _encode_tokens(vocabulary: Vocabulary, tokens: list[int], with_pieces: bool) -> list[JsonValue]:
    if not with_pieces:
        return list[JsonValue](tokens)
    return [{"id": token, "piece": _piece(vocabulary.piece(token))} for token in tokens]


def _piece(data: bytes) -> JsonValue:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return list[JsonValue](data)
