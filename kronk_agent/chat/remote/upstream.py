"""HTTP client for an OpenAI-compatible server."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
from pydantic import ValidationError

from kronk_agent.chat.remote.failures import failure_of_chunk, failure_of_response
from kronk_agent.chat.remote.schema import ChatChunk, ModelList
from kronk_agent.chat.remote.server_profiles import KINDS, Kind, UpstreamType
from kronk_agent.errors import KronkError, ModelError, UpstreamError
from kronk_agent.messages import JsonObject
from kronk_agent.redaction import Redactor, secrets_in_url

_CONNECT_SECONDS = 10.0
_MAX_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Address and settings of a remote model."""

    url: str
    """Base URL, including ``/v1``."""
    model: str
    """The model's name on the server."""
    type: UpstreamType = "compatible"
    api_key: str | None = field(default=None, repr=False)
    context_length: int | None = None
    """Tokens; None asks the server."""
    timeout_seconds: float = 300.0
    """Longest time without data from the server."""

    @property
    def kind(self) -> Kind:
        """API differences of the server's type."""
        return KINDS[self.type]


class UpstreamClient:
    """HTTP client of one upstream. Created by ``open_client``."""

    def __init__(self, upstream: Upstream, http: httpx2.AsyncClient) -> None:
        self._upstream = upstream
        self._http = http
        self._redact = Redactor([upstream.api_key, *secrets_in_url(upstream.url)])
        self._url = self._redact(upstream.url)

    async def chunks(self, body: JsonObject) -> AsyncGenerator[ChatChunk, None]:
        """Stream the answer to a chat completion request; closing the generator disconnects.

        Raises:
            InvalidRequestError: the upstream refuses the request.
            OverloadedError: the upstream is overloaded.
            UpstreamError: it cannot be reached, fails, or sends an invalid answer.
        """
        try:
            async with self._http.stream("POST", "chat/completions", json=body) as response:
                if not response.is_success:
                    raise await failure_of_response(response, self._redact)
                async for event in httpx2.EventSource(response):
                    if event.data == "[DONE]":
                        return
                    yield self._chunk(event.data)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._unreachable(error) from error

    async def context_length(self) -> int:
        """Return the context length the upstream reports for the model.

        Raises:
            ModelError: the upstream does not report it, has no such model, or cannot be reached.
        """
        try:
            response = await self._http.get("models")
            if not response.is_success:
                raise await failure_of_response(response, self._redact)
            models = ModelList.model_validate_json(response.content).data
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ModelError(str(self._unreachable(error))) from error
        except KronkError as error:
            raise ModelError(str(error)) from error
        except ValidationError:
            models = ()
        found = {model.id: model.tokens for model in models}
        name = self._upstream.model
        if models and name not in found and not self._has_any_name:
            similar = difflib.get_close_matches(name, found, n=_MAX_SHOWN, cutoff=0.0)
            available = ", ".join(map(repr, similar))
            raise ModelError(f"{self._url}: unknown model {name!r}; available: {available}")
        tokens = found.get(name) or (models[0].tokens if self._has_any_name and models else None)
        if tokens is None:
            raise ModelError(
                f"{self._url} does not report the context length of {name!r}: "
                "set context_length in the model's configuration"
            )
        return tokens

    @property
    def _has_any_name(self) -> bool:
        """True for llama-server, which has one model and accepts any name."""
        return self._upstream.type == "llama-server"

    def _chunk(self, data: str) -> ChatChunk:
        try:
            chunk = ChatChunk.model_validate_json(data)
        except ValidationError as error:
            raise UpstreamError(f"{self._url} sent an invalid chat completion chunk") from error
        if chunk.error is not None:
            raise failure_of_chunk(self._url, chunk.error, self._redact)
        return chunk

    def _unreachable(self, error: httpx2.HTTPError | httpx2.InvalidURL) -> UpstreamError:
        match error:
            case httpx2.ReadTimeout():
                problem = f"sent nothing for {self._upstream.timeout_seconds:g} seconds"
            case httpx2.ConnectError() | httpx2.ConnectTimeout():
                problem = f"cannot be reached: {self._text(error)}"
            case httpx2.SSEError():
                problem = f"did not send an event stream: {self._text(error)}"
            case _:
                problem = f"closed the connection: {self._text(error)}"
        return UpstreamError(f"{self._url} {problem}")

    def _text(self, error: Exception) -> str:
        return self._redact(str(error)) or type(error).__name__


@asynccontextmanager
async def open_client(upstream: Upstream) -> AsyncIterator[UpstreamClient]:
    """Open a client; connections are opened as needed and closed at the end."""
    headers = {} if upstream.api_key is None else {"Authorization": f"Bearer {upstream.api_key}"}
    async with httpx2.AsyncClient(
        base_url=upstream.url,
        headers=headers,
        timeout=httpx2.Timeout(upstream.timeout_seconds, connect=_CONNECT_SECONDS),
        limits=httpx2.Limits(max_connections=None),
    ) as http:
        yield UpstreamClient(upstream, http)
