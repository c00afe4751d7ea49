"""Error responses: maps exceptions to HTTP errors, in each protocol's own envelope."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Scope

from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.errors import (
    ConfigError,
    ContextLengthError,
    DeadlineError,
    InvalidRequestError,
    KronkError,
    ModelError,
    OverloadedError,
    ServerUnavailableError,
    StoreError,
    UnknownModelError,
    UpstreamError,
)
from kronk_agent.messages import JsonObject

logger = logging.getLogger(__name__)

Protocol: TypeAlias = Literal["openai", "anthropic", "ollama"]

_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    **_OPENAI_TYPES,
    413: "request_too_large",
    503: "overloaded_error",
}


class HttpError(KronkError):
    """An error with its HTTP status and the machine-readable fields of its response."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        param: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.param = param
        """Path of the invalid field in the request; None if the error is not about one field."""
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response: ``retry-after``, where the client should wait."""
        if self.retry_after_seconds is None:
            return {}
        return {"retry-after": str(math.ceil(self.retry_after_seconds))}


def http_error(error: BaseException) -> HttpError:
    """Map any exception to an HTTP error. An unexpected one is logged, and becomes a 500."""
    match error:
        case HttpError():
            return error
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return HttpError(str(error.detail), status=error.status_code)
        case ContextLengthError():
            return HttpError(
                str(error), status=400, code="context_length_exceeded", param=error.param
            )
        case InvalidRequestError():
            return HttpError(str(error), status=400, param=error.param)
        case OverloadedError():
            return HttpError(
                str(error),
                status=503,
                code="overloaded",
                retry_after_seconds=error.retry_after_seconds,
            )
        case UnknownModelError():
            return HttpError(str(error), status=404, code="model_not_found", param="model")
        case ModelError():
            return HttpError(str(error), status=503, code="model_unavailable")
        case ServerUnavailableError():
            return HttpError(str(error), status=503, code="server_unavailable")
        case UpstreamError():
            return HttpError(str(error), status=502, code="upstream_error")
        case DeadlineError():
            return HttpError(str(error), status=504, code="deadline_exceeded")
        case StoreError() | ConfigError(path=Path()):
            logger.error("%s", error)
            message = (
                "the server cannot use one of its files; the server's log names the file and "
                "the remedy"
            )
            return HttpError(message, status=500)
        case KronkError():
            return HttpError(str(error), status=500)
        case _:
            logger.error("a request failed", exc_info=error)
            return HttpError("internal error; see the server's log", status=500)


def protocol_of(scope: Scope) -> Protocol:
    """The protocol whose error format the client expects, by path or header."""
    path: str = scope["path"]
    if path == "/v1/messages" or path.startswith("/v1/messages/"):
        return "anthropic"
    if path.startswith("/api/"):
        return "ollama"
    is_shared = path in ("/", "/v1/models") or path.startswith("/v1/models/")
    has_header = any(name == b"anthropic-version" for name, _ in scope["headers"])
    return "anthropic" if is_shared and has_header else "openai"


def envelope(error: HttpError, protocol: Protocol) -> JsonObject:
    """The JSON body of the error response."""
    if protocol == "anthropic":
        kind = _ANTHROPIC_TYPES.get(error.status)
        kind = kind or ("api_error" if error.status >= 500 else "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": str(error)}}
    if protocol == "ollama":
        return {"error": str(error)}
    kind = _OPENAI_TYPES.get(error.status)
    kind = kind or ("server_error" if error.status >= 500 else "invalid_request_error")
    return {
        "error": {"message": str(error), "type": kind, "param": error.param, "code": error.code}
    }


def openai_error_frame(error: HttpError) -> str:
    """An error within an OpenAI stream that has already started."""
    return f"data: {encode(envelope(error, 'openai'))}\n\n"


def error_response(error: BaseException, scope: Scope) -> JSONResponse:
    """The complete response to a failed request."""
    failure = http_error(error)
    protocol = protocol_of(scope)
    # 529 is Anthropic's own status for overload; its SDKs handle it.
    is_overloaded = protocol == "anthropic" and failure.status == 503
    return JSONResponse(
        envelope(failure, protocol),
        status_code=529 if is_overloaded else failure.status,
        headers=failure.headers,
    )


def _invalid(error: RequestValidationError) -> HttpError:
    """The most relevant validation error of a request, with the path of the invalid field."""
    # Of a union's alternatives, the intended one is that whose error lies deepest.
    worst = max(error.errors(), key=lambda detail: len(detail["loc"]))
    kind, message = worst["type"], worst["msg"].removeprefix("Value error, ")
    if kind == "json_invalid":
        return HttpError(f"invalid JSON in the body: {worst['ctx']['error']}", status=400)
    # The first step names the part of the request: the body or the query.
    field = _field_path(worst["loc"][1:], error.body, is_missing=kind == "missing")
    if not field:
        return HttpError(f"the body must be a JSON object: {message}", status=400)
    if kind == "extra_forbidden":
        message, code = "not supported here: leave it out", "unsupported_parameter"
        return HttpError(f"{field}: {message}", status=400, code=code, param=field)
    return HttpError(f"{field}: {message}", status=400, param=field)


def _field_path(steps: Sequence[str | int], body: object, *, is_missing: bool) -> str:
    """The path of a field, without the steps that only name an alternative of a union."""
    for end in range(len(steps), 0, -1):
        path = _existing_steps(steps[:end], body, is_missing=is_missing and end == len(steps))
        if path is not None:
            return ".".join(path)
    return ""


def _existing_steps(
    steps: Sequence[str | int], value: object, *, is_missing: bool
) -> list[str] | None:
    """The steps of a location that exist in ``value``; None if the last one does not.

    A step may be both a field and the name of an alternative, such as ``text``.
    """
    step, *rest = steps
    exists = (isinstance(value, dict) and step in value) or (
        isinstance(value, list) and isinstance(step, int) and step < len(value)
    )
    if not rest:
        return [str(step)] if exists or is_missing else None
    if exists:
        after = _existing_steps(rest, value[step], is_missing=is_missing)  # type: ignore[index]  # seen to be there
        if after is not None:
            return [str(step), *after]
    return _existing_steps(rest, value, is_missing=is_missing)
