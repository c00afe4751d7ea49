"""HTTP client that repairs the responses of careless MCP servers before the SDK reads them.

The SDK's transports use it. It corrects wrong content types, byte order marks, missing ids and
truncated responses, so that the SDK reads clean messages and every request gets an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
from mcp.client.streamable_http import MCP_SESSION_ID
from mcp.shared._httpx_utils import next_request_within_origin
from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCResponse, jsonrpc_message_adapter
from pydantic import ValidationError

from kronk_agent.host.transport.connection_state import (
    ConnectionState,
    RequestState,
    current_request,
)
from kronk_agent.host.transport.messages import (
    SyntheticErrorCode,
    read_messages,
    synthetic_error,
    to_text,
)
from kronk_agent.host.transport.pending import PendingRequests

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""Size limit of one event or one response body. The SDK's default, 1 MiB, is less than a
screenshot."""

_MAX_REFUSAL_TEXT = 300
# No read timeout: an event stream may be silent for hours, and calls have their own timeouts.
_TIMEOUT = httpx2.Timeout(30.0, read=None)
_EVENTS = "text/event-stream"
_JSON = "application/json"
_TAG = re.compile(r"<[^>]*>")


class EndpointError(httpx2.SSEError):
    """An SSE server announced an endpoint of another origin. The message is meant for users."""


class McpHttpClient(httpx2.AsyncClient):
    """Sends the SDK's requests and repairs the responses.

    Args:
        headers: sent with every request.
        auth: authenticates the requests.
        connection_state: records rejected requests.
        pending: requests waiting for an answer.
        deliver_answer: receives answers whose HTTP response body the SDK ignores, as in the SSE
            transport; None for streamable HTTP.
    """

    def __init__(
        self,
        *,
        headers: dict[str, str],
        auth: httpx2.Auth | None,
        connection_state: ConnectionState,
        pending: PendingRequests,
        deliver_answer: Callable[[JSONRPCMessage], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(headers=headers, timeout=_TIMEOUT, auth=auth)
        self._connection_state = connection_state
        self._pending = pending
        self._deliver_answer = deliver_answer

    async def send(
        self, request: httpx2.Request, *, stream: bool = False, **more: Any
    ) -> httpx2.Response:
        """Send the request; the response is repaired unless it is not a message."""
        response = await super().send(request, stream=True, **more)
        if self._is_passed_through(response):
            if not stream:
                await response.aread()
            return response
        id, request_state = _id_of(request), current_request.get()
        if request_state is not None:
            request_state.has_session = (
                MCP_SESSION_ID in request.headers or self._deliver_answer is not None
            )
        self._note_status(response, request_state)
        if response.is_success and _media_type(response) == _EVENTS:
            return _with_stream(response, self._events(response, id))
        body, is_whole = await _read(response)
        text = to_text(body)
        if response.is_success and not _media_type(response) and _looks_like_events(text):
            return self._as_events(response, text, id)
        if id is None:
            return _with_body(response, body)
        is_read = self._deliver_answer is None and response.is_success
        if is_read and _is_answer(text, id):
            return _with_body(response, text.encode(), _JSON)
        answers = self._answers(text, id, response, is_whole)
        if self._deliver_answer is not None:
            for answer in answers:
                await self._deliver_answer(answer)
            return httpx2.Response(202, request=request)
        if request_state is not None and not response.is_success and not answers:
            request_state.refusal_text = _refusal_text(text)
        return _with_messages(response, answers, body)

    def _is_passed_through(self, response: httpx2.Response) -> bool:
        """True for responses without messages, and redirects that the SDK handles itself."""
        if response.request.method not in ("GET", "POST"):
            return True
        is_reported = self._deliver_answer is None or response.request.method == "GET"
        return response.next_request is not None and (
            is_reported or next_request_within_origin(response) is not None
        )

    def _note_status(self, response: httpx2.Response, request_state: RequestState | None) -> None:
        """Record a rejected POST; a rejected GET only means that the server has no event stream."""
        if response.is_success or response.request.method != "POST":
            return
        self._connection_state.http_status = response.status_code
        if self._deliver_answer is not None:
            self._connection_state.posted_to = str(response.request.url)
        if request_state is not None:
            request_state.http_status = response.status_code

    def _answers(
        self, text: str, id: int | str, response: httpx2.Response, is_whole: bool
    ) -> Sequence[JSONRPCMessage]:
        """Messages for the SDK to read instead of the body; empty if the status says enough."""
        messages = read_messages(text, self._pending, id)
        if not response.is_success:
            errors = [each for each in messages if isinstance(each, JSONRPCError)]
            if self._deliver_answer is None:
                return errors
            message = f"HTTP {response.status_code}: {_refusal_text(text)}".removesuffix(": ")
            return errors or [synthetic_error(id, SyntheticErrorCode.REFUSED, message)]
        if self._deliver_answer is not None or response.status_code == 202:
            return messages
        if any(isinstance(each, JSONRPCResponse | JSONRPCError) for each in messages):
            return messages
        if not is_whole or not text.strip():
            message = "broke off" if text.strip() else "is empty"
            return [
                *messages,
                synthetic_error(id, SyntheticErrorCode.CUT_OFF, f"the answer {message}"),
            ]
        return [*messages, self._unreadable(id, _media_type(response) or "an answer", text)]

    async def _events(
        self, response: httpx2.Response, id: int | str | None
    ) -> AsyncGenerator[bytes, None]:
        """The response's events, each with a message that the SDK can read."""
        source = httpx2.EventSource(response, max_event_size=MAX_EVENT_BYTES)
        async for event in source:
            for each in self._readable(event, id, str(response.request.url)):
                yield each

    def _readable(
        self, event: httpx2.ServerSentEvent, id: int | str | None, url: str
    ) -> list[bytes]:
        if event.event == "endpoint":
            self._connection_state.endpoint = event.data
            _check_endpoint(url, event.data)
            return [_to_bytes(event, event.data)]
        if not event.data or _is_message(event.data):
            return [_to_bytes(event, event.data)]
        messages = read_messages(event.data, self._pending, id)
        if not messages and event.event == "message" and id is not None:
            messages = [self._unreadable(id, "an event", event.data)]
        if not messages:
            return [_to_bytes(event, event.data)]
        return [
            _to_bytes(httpx2.ServerSentEvent(id=event.id, retry=event.retry), _to_json(message))
            for message in messages
        ]

    def _unreadable(self, id: int | str, kind: str, text: str) -> JSONRPCError:
        """Error for a request whose response is not a message.

        The SDK logs errors, and a response may repeat a secret, so its text is recorded in the
        diagnostics instead.
        """
        self._connection_state.refusal_text = _refusal_text(text)
        if (request_state := current_request.get()) is not None:
            request_state.refusal_text = self._connection_state.refusal_text
        return synthetic_error(id, SyntheticErrorCode.UNREADABLE, kind)

    def _as_events(
        self, response: httpx2.Response, text: str, id: int | str | None
    ) -> httpx2.Response:
        """Treat a body as an event stream although its content type does not say so."""
        headers = {"content-type": _EVENTS}
        named = httpx2.Response(200, headers=headers, text=text, request=response.request)
        named.headers["content-type"] = _EVENTS
        return _with_stream(named, self._events(named, id))


class _Stream(httpx2.AsyncByteStream):
    """Rewritten bytes of a response; closing it closes the original response."""

    def __init__(self, response: httpx2.Response, chunks: AsyncGenerator[bytes, None]) -> None:
        self._response = response
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                yield chunk

    async def aclose(self) -> None:
        """Close the original response."""
        await self._response.aclose()


def _with_stream(response: httpx2.Response, chunks: AsyncGenerator[bytes, None]) -> httpx2.Response:
    return httpx2.Response(
        response.status_code,
        headers=_kept_headers(response) | {"content-type": _EVENTS},
        stream=_Stream(response, chunks),
        request=response.request,
    )


def _with_body(
    response: httpx2.Response, body: bytes, media_type: str | None = None
) -> httpx2.Response:
    headers = _kept_headers(response)
    if media_type is not None:
        headers["content-type"] = media_type
    return httpx2.Response(
        response.status_code, headers=headers, content=body, request=response.request
    )


def _with_messages(
    response: httpx2.Response, messages: Sequence[JSONRPCMessage], body: bytes
) -> httpx2.Response:
    """Replace the body by these messages; without any, the body stays."""
    if not messages:
        return _with_body(response, body)
    if len(messages) == 1:
        return _with_body(response, _to_json(messages[0]).encode(), _JSON)
    events = [_to_bytes(httpx2.ServerSentEvent(), _to_json(message)) for message in messages]
    return _with_body(response, b"".join(events), _EVENTS)


def _kept_headers(response: httpx2.Response) -> dict[str, str]:
    """Headers of the response, without length, encoding and transfer encoding."""
    dropped = ("content-length", "content-encoding", "transfer-encoding")
    return {name: value for name, value in response.headers.items() if name not in dropped}


async def _read(response: httpx2.Response) -> tuple[bytes, bool]:
    """Read the body, up to ``MAX_EVENT_BYTES``; False if it is incomplete."""
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_EVENT_BYTES:
                return bytes(body), False
    except (httpx2.TransportError, httpx2.DecodingError):
        return bytes(body), False
    finally:
        await response.aclose()
    return bytes(body), True


def _id_of(request: httpx2.Request) -> int | str | None:
    """The id of a posted JSON-RPC request; None for anything else."""
    if request.method != "POST":
        return None
    try:
        match json.loads(request.content):
            case {"jsonrpc": "2.0", "method": str(), "id": int() | str() as id}:
                return id
    except ValueError:
        pass
    return None


def _media_type(response: httpx2.Response) -> str:
    header: str = response.headers.get("content-type", "")
    return header.partition(";")[0].strip().lower()


def _looks_like_events(text: str) -> bool:
    return text.lstrip("\ufeff\r\n").startswith(("data:", "event:", "id:", "retry:", ":"))


def _is_answer(text: str, id: int | str) -> bool:
    """True if the SDK can read the body as it is, so that large results are not rewritten."""
    try:
        message = jsonrpc_message_adapter.validate_json(text, by_name=False)
    except ValidationError:
        return False
    return isinstance(message, JSONRPCResponse) and message.id == id


def _is_message(data: str) -> bool:
    try:
        jsonrpc_message_adapter.validate_json(data, by_name=False)
    except ValidationError:
        return False
    return True


def _to_json(message: JSONRPCMessage) -> str:
    return message.model_dump_json(by_alias=True, exclude_unset=True)


def _to_bytes(event: httpx2.ServerSentEvent, data: str) -> bytes:
    lines = [f"event: {event.event}"]
    if event.id:
        lines.append(f"id: {event.id}")
    if event.retry is not None:
        lines.append(f"retry: {event.retry}")
    lines += [f"data: {line}" for line in data.split("\n")]
    return ("\n".join(lines) + "\n\n").encode()


def _refusal_text(text: str) -> str:
    """Readable text of a response that is not a message: a JSON reason, or HTML without tags."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        for key in ("message", "detail", "error_description", "error", "title"):
            if isinstance(found := value.get(key), str) and found:
                return found[:_MAX_REFUSAL_TEXT]
    return " ".join(_TAG.sub(" ", text).split())[:_MAX_REFUSAL_TEXT]


def _check_endpoint(url: str, endpoint: str) -> None:
    """Refuse to post to another origin than the configured one.

    Raises:
        EndpointError: the endpoint has another origin.
    """
    configured, announced = urlsplit(url), urlsplit(urljoin(url, endpoint))
    if (configured.scheme, configured.netloc) != (announced.scheme, announced.netloc):
        raise EndpointError(
            f"says to post to {announced.scheme}://{announced.hostname}:{announced.port}, "
            f"which is another origin than {configured.scheme}://{configured.netloc}"
        )
