"""An OpenAI-compatible server over HTTP: what is asked, what comes back, what goes wrong."""

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
    """Where a remote model is, and what it is called there."""

    url: str
    """Up to and with ``/v1``."""
    model: str
    type: UpstreamType = "compatible"
    api_key: str | None = field(default=None, repr=False)
    context_length: int | None = None
    """Tokens; None asks the server."""
    timeout_seconds: float = 300.0
    """How long it may send nothing."""

    @property
    def kind(self) -> Kind:
        return KINDS[self.type]


class UpstreamClient:
    """Speaks to one upstream. See ``open_client``."""

    def __init__(self, upstream: Upstream, http: httpx2.AsyncClient) -> None:
        self._upstream = upstream
        self._http = http
        self._redact = Redactor([upstream.api_key, *secrets_in_url(upstream.url)])
        self._where = self._redact(upstream.url)

    async def chunks(self, body: JsonObject) -> AsyncGenerator[ChatChunk, None]:
        """The answer to a chat completion request, as it comes; closing it hangs up.

        Raises:
            InvalidRequestError: the upstream refuses the request.
            OverloadedError: it has too much to do.
            UpstreamError: it cannot be reached, fails, or sends what is no answer.
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
        """How long the model's context is, as the upstream tells.

        Raises:
            ModelError: it does not tell, has no such model, or cannot be reached.
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
            known = difflib.get_close_matches(name, found, n=_MAX_SHOWN, cutoff=0.0)
            raise ModelError(f"{self._where} has no model {name!r}; it has {known}")
        tokens = found.get(name) or (models[0].tokens if self._has_any_name and models else None)
        if tokens is None:
            raise ModelError(
                f"{self._where} does not say how long the context of {name!r} is: "
                "give the model its context_length in the configuration"
            )
        return tokens

    @property
    def _has_any_name(self) -> bool:
        """llama-server has one model, and answers to every name."""
        return self._upstream.type == "llama-server"

    def _chunk(self, data: str) -> ChatChunk:
        try:
            chunk = ChatChunk.model_validate_json(data)
        except ValidationError as error:
            words = "sent what is no chat completion chunk"
            raise UpstreamError(f"{self._where} {words}") from error
        if chunk.error is not None:
            raise failure_of_chunk(self._where, chunk.error, self._redact)
        return chunk

    def _unreachable(self, error: httpx2.HTTPError | httpx2.InvalidURL) -> UpstreamError:
        match error:
            case httpx2.ReadTimeout():
                words = f"sent nothing for {self._upstream.timeout_seconds:g} seconds"
            case httpx2.ConnectError() | httpx2.ConnectTimeout():
                words = f"cannot be reached: {self._words(error)}"
            case httpx2.SSEError():
                words = f"sent no event stream: {self._words(error)}"
            case _:
                words = f"broke off: {self._words(error)}"
        return UpstreamError(f"{self._where} {words}")

    def _words(self, error: Exception) -> str:
        return self._redact(str(error)) or type(error).__name__


@asynccontextmanager
async def open_client(upstream: Upstream) -> AsyncIterator[UpstreamClient]:
    """Open connections to an upstream as they are needed."""
    headers = {} if upstream.api_key is None else {"Authorization": f"Bearer {upstream.api_key}"}
    async with httpx2.AsyncClient(
        base_url=upstream.url,
        headers=headers,
        timeout=httpx2.Timeout(upstream.timeout_seconds, connect=_CONNECT_SECONDS),
        limits=httpx2.Limits(max_connections=None),
    ) as http:
        yield UpstreamClient(upstream, http)
