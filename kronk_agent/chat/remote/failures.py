"""Convert an upstream's errors to ours, with the API key redacted."""

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
"""Used if the upstream does not send ``Retry-After``."""


async def failure_of_response(response: httpx2.Response, redact: Redactor) -> KronkError:
    """Convert a response with an error status to an error."""
    error = _error_in(await _body(response))
    url = redact(str(response.request.url.copy_with(query=None)))
    message = _message(error, redact)
    status = response.status_code
    text = f"{url} answers {status}" + (f": {message}" if message else "")
    match status:
        case 400 | 413 | 422:
            return _refusal(text, error)
        case 401 | 403:
            return UpstreamError(f"{text} (check the model's api_key)")
        case 404:
            return UpstreamError(f"{text} (check the model's url, including /v1, and its name)")
        case 429 | 503:
            return OverloadedError(text, retry_after_seconds=_retry_after(response.headers))
        case _ if response.is_redirect:
            target = redact(response.headers.get("location", ""))
            return UpstreamError(f"{text}: redirected to {target}; set the model's url to it")
        case _:
            return UpstreamError(text)


def failure_of_chunk(url: str, error: JsonValue, redact: Redactor) -> KronkError:
    """Convert an error chunk in the middle of an answer to an error."""
    fields: JsonObject = error if isinstance(error, dict) else {"message": error}
    return UpstreamError(f"{url} failed: {_message(fields, redact) or 'no reason given'}")


async def _body(response: httpx2.Response) -> bytes:
    """Read the body, cut at 64,000 bytes."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_BYTES:
            break
    return body[:_MAX_BYTES]


def _error_in(body: bytes) -> JsonObject:
    """Find the error: OpenAI's ``{"error": {…}}``, ``error`` or ``detail`` as text, or flat."""
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


def _message(error: JsonObject, redact: Redactor) -> str:
    message = error.get("message")
    text = " ".join(message.split()) if isinstance(message, str) else ""
    return redact(text)[:_MAX_CHARACTERS]  # some servers quote an unknown API key


def _refusal(text: str, error: JsonObject) -> InvalidRequestError:
    match error:
        case {"n_prompt_tokens": int(tokens), "n_ctx": int(length)}:  # llama-server
            return ContextLengthError(num_prompt_tokens=tokens, context_length=length)
        case {"code": "context_length_exceeded"}:
            return InvalidRequestError(text, param="messages")
        case {"param": str(param)}:
            return InvalidRequestError(text, param=param)
        case _:
            # vLLM and SGLang have no error code for context overflow.
            is_too_long = re.search(r"context length|longer than the model", text)
            return InvalidRequestError(text, param="messages" if is_too_long else None)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds to wait; the header has seconds or a date (RFC 9110, 10.2.3)."""
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
