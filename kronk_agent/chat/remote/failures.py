"""What an upstream says went wrong, as errors of ours, never with the key in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

from kronk_agent.errors import (
    ContextLengthError,
    InvalidRequestError,
    KronkError,
    OverloadedError,
    UpstreamError,
)
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.redaction import Redactor

_MAX_BYTES = 64_000
_MAX_CHARACTERS = 500
_RETRY_SECONDS = 5.0
"""Where the upstream does not say."""


async def failure_of_response(response: httpx2.Response, redact: Redactor) -> KronkError:
    """The error that a response with an error status stands for."""
    error = _error_in(await _body(response))
    url = redact(str(response.request.url.copy_with(query=None)))
    said = _said(error, redact)
    status = response.status_code
    told = f"{url} answers {status}" + (f": {said}" if said else "")
    match status:
        case 400 | 413 | 422:
            return _refusal(told, error)
        case 401 | 403:
            return UpstreamError(f"{told} (is the model's api_key right?)")
        case 404:
            return UpstreamError(f"{told} (are the model's url, with its /v1, and name right?)")
        case 429 | 503:
            return OverloadedError(told, retry_after_seconds=_retry_after(response.headers))
        case _ if response.is_redirect:
            target = redact(response.headers.get("location", ""))
            return UpstreamError(f"{told}: it is at {target}, give the model that url")
        case _:
            return UpstreamError(told)


def failure_of_chunk(url: str, error: JsonValue, redact: Redactor) -> KronkError:
    """The error that a chunk in the middle of an answer stands for."""
    fields: JsonObject = error if isinstance(error, dict) else {"message": error}
    return UpstreamError(f"{url} failed: {_said(fields, redact) or 'it does not say why'}")


async def _body(response: httpx2.Response) -> bytes:
    """What is said of the error; what is longer than any such text is cut."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_BYTES:
            break
    return body[:_MAX_BYTES]


def _error_in(body: bytes) -> JsonObject:
    """OpenAI's ``{"error": {…}}``, or others' ``error`` or ``detail`` as text, or flat."""
    try:
        value: JsonValue = json.loads(body)
    except (ValueError, RecursionError):
        return {"message": body.decode(errors="replace")}
    if not isinstance(value, dict):
        return {}
    match value:
        case {"error": dict(error)}:
            return error
        case {"error": str(text)} | {"detail": str(text)}:
            return {"message": text}
        case {"detail": detail}:
            return {"message": json.dumps(detail)}
        case _:
            return value


def _said(error: JsonObject, redact: Redactor) -> str:
    message = error.get("message")
    text = " ".join(message.split()) if isinstance(message, str) else ""
    return redact(text)[:_MAX_CHARACTERS]  # some servers repeat the key they do not know


def _refusal(told: str, error: JsonObject) -> InvalidRequestError:
    match error:
        case {"n_prompt_tokens": int(tokens), "n_ctx": int(length)}:  # llama-server
            return ContextLengthError(num_prompt_tokens=tokens, context_length=length)
        case {"code": "context_length_exceeded"}:
            return InvalidRequestError(told, param="messages")
        case {"param": str(param)}:
            return InvalidRequestError(told, param=param)
        case _:
            # vLLM and SGLang have no code for it.
            is_too_long = re.search(r"context length|longer than the model", told)
            return InvalidRequestError(told, param="messages" if is_too_long else None)


def _retry_after(headers: Mapping[str, str]) -> float:
    """In seconds; the header has seconds or a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,6}(\.\d+)?", value):
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return _RETRY_SECONDS
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max((until - datetime.now(UTC)).total_seconds(), 0.0)
