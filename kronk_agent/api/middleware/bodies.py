"""Bodies of requests, read whole before their requests count as under way."""

from __future__ import annotations

from collections import Counter

from starlette.types import Message, Receive, Scope

from kronk_agent.api.errors import HttpError

_LARGEST_AT_A_TIME = 8
"""Bodies of the largest size that one caller may be sending at the same time."""
_JSON = "application/json"


class Bodies:
    """Reads them, within bounds for each and for all of a caller.

    Args:
        max_bytes: of one.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: Counter[str] = Counter()
        """Bytes of bodies that are not whole yet, by caller."""

    async def read(self, receive: Receive, caller: str) -> bytes | None:
        """The whole body; None where the client went away first.

        Raises:
            HttpError: it is too large (413), or this caller is sending too much (503).
        """
        body = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                more = message.get("body", b"")
                body += more
                self._held[caller] += len(more)
                self.check_size(len(body))
                if self._held[caller] > _LARGEST_AT_A_TIME * self._max_bytes:
                    raise HttpError(
                        "too many large requests are being sent at once: try again",
                        status=503,
                        code="overloaded",
                        retry_after_seconds=1.0,
                    )
                if not message.get("more_body", False):
                    return bytes(body)
        finally:
            self._held[caller] -= len(body)
            if not self._held[caller]:
                del self._held[caller]

    def check_size(self, num_bytes: int) -> None:
        """Refuse a body that is too large.

        Raises:
            HttpError: it is (413).
        """
        if num_bytes > self._max_bytes:
            raise HttpError(
                f"the request is over {self._max_bytes} bytes: server.max_body_bytes in the "
                "server's YAML says how large one may be",
                status=413,
                code="request_too_large",
            )


def check_json(content_type: str) -> None:
    """Refuse a body that is not declared as JSON.

    Raises:
        HttpError: it is not (415).
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind != _JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        raise HttpError(
            f"the content type is {kind or 'missing'}: send JSON with the header "
            f"`Content-Type: {_JSON}`",
            status=415,
            code="unsupported_media_type",
        )


def declared_as_json(scope: Scope) -> Scope:
    """The same request, with a body that is declared as JSON."""
    others = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    return {**scope, "headers": [*others, (b"content-type", _JSON.encode())]}


def replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body, and then what else comes of the client."""
    is_given = False

    async def give() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give
