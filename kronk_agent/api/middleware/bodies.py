"""Reads request bodies whole, before the requests count as in progress."""

from __future__ import annotations

from collections import Counter

from starlette.types import Message, Receive, Scope

from kronk_agent.api.errors import HttpError

_MAX_PARALLEL_BODIES = 8
"""Bodies of the maximum size that one client may upload at a time."""
_JSON = "application/json"


class Bodies:
    """Reads bodies within limits, per body and per client.

    Args:
        max_bytes: maximum size of one body.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes: Counter[str] = Counter()
        """Bytes of incomplete bodies, by client."""

    async def read(self, receive: Receive, client_id: str) -> bytes | None:
        """Read the whole body; None if the client disconnected first.

        Raises:
            HttpError: the body is too large (413), or the client uploads too much at a time (503).
        """
        body = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                more = message.get("body", b"")
                body += more
                self._num_bytes[client_id] += len(more)
                self.check_size(len(body))
                if self._num_bytes[client_id] > _MAX_PARALLEL_BODIES * self._max_bytes:
                    raise HttpError(
                        "too many large requests are being uploaded: try again",
                        status=503,
                        code="overloaded",
                        retry_after_seconds=1.0,
                    )
                if not message.get("more_body", False):
                    return bytes(body)
        finally:
            self._num_bytes[client_id] -= len(body)
            if not self._num_bytes[client_id]:
                del self._num_bytes[client_id]

    def check_size(self, num_bytes: int) -> None:
        """Reject a body that is too large.

        Raises:
            HttpError: the body exceeds the limit (413).
        """
        if num_bytes > self._max_bytes:
            raise HttpError(
                f"request body exceeds {self._max_bytes} bytes (server.max_body_bytes in the "
                "server's YAML)",
                status=413,
                code="request_too_large",
            )


def check_json(content_type: str) -> None:
    """Reject a body that is not declared as JSON.

    Raises:
        HttpError: it is declared as something else, or not at all (415).
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind != _JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        raise HttpError(
            f"content type is {kind or 'missing'}: send JSON with the header `Content-Type: "
            f"{_JSON}`",
            status=415,
            code="unsupported_media_type",
        )


def declared_as_json(scope: Scope) -> Scope:
    """The same request, with its body declared as JSON."""
    others = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    return {**scope, "headers": [*others, (b"content-type", _JSON.encode())]}


def replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that replays the body first, and then continues with ``receive``."""
    is_given = False

    async def give() -> Message:
        """Return the body once, then the client's further messages."""
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give
