"""Streamed responses, and runs that are cancelled when their client disconnects.

A run lives in the task of its response, so that nothing of it outlives the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import anyio
from anyio import CancelScope
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kronk_agent.api.errors import HttpError, error_response, http_error
from kronk_agent.concurrency.task_group import open_task_group

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 15.0
"""Interval that keeps proxies and clients from closing a silent connection."""
DONE = "data: [DONE]\n\n"
"""Ends a stream of OpenAI's chat completions and completions."""
_COMMENT = ": keep-alive\n\n"
_MEDIA_TYPE = "text/event-stream; charset=utf-8"

Write: TypeAlias = Callable[[str], Awaitable[None]]
"""Sends complete frames, each with its terminator."""
Produce: TypeAlias = Callable[[Write], Awaitable[None]]
"""Writes a response. An exception before the first frame becomes an ordinary error response with
its status; afterwards, an error frame."""

T = TypeVar("T")


class EventStream(Response):
    """A stream of server-sent events, or of frames in another format.

    Args:
        produce: writes the frames; cancelled when the client disconnects.
        error_frame: formats an error that occurs within the stream.
        keep_alive_seconds: silence after which a keep-alive frame is sent.
        keep_alive: the keep-alive frame; an SSE comment unless the protocol has its own.
        media_type: of the response.
    """

    def __init__(
        self,
        produce: Produce,
        *,
        error_frame: Callable[[HttpError], str],
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        keep_alive: str = _COMMENT,
        media_type: str = _MEDIA_TYPE,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self._produce = produce
        self._error_frame = error_frame
        self._keep_alive_seconds = keep_alive_seconds
        self._keep_alive = keep_alive
        self._media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writer = _Writer(send, self._media_type)
        async with open_task_group() as tasks:
            tasks.start_soon(_cancel_when_gone, receive, tasks.cancel_scope)
            tasks.start_soon(writer.keep_alive, self._keep_alive_seconds, self._keep_alive)
            try:
                await self._produce(writer.write)
            except Exception as error:  # noqa: BLE001  # boundary: a request fails alone
                if not writer.has_begun:
                    await error_response(error, scope)(scope, receive, send)
                    tasks.cancel_scope.cancel()
                    return
                await writer.write(self._error_frame(http_error(error)))
            await writer.end()
            tasks.cancel_scope.cancel()


class _Writer:
    def __init__(self, send: Send, media_type: str) -> None:
        self._send = send
        self._headers = [
            (b"content-type", media_type.encode("latin-1")),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),  # otherwise nginx buffers the frames
        ]
        self.has_begun = False
        self._has_ended = False
        self._num_frames = 0

    async def write(self, frames: str) -> None:
        """Send frames, and the response's head before the first."""
        self._num_frames += 1
        await self._begin()
        await self._send({"type": "http.response.body", "body": frames.encode(), "more_body": True})

    async def _begin(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            start = {"type": "http.response.start", "status": 200, "headers": self._headers}
            await self._send(start)

    async def end(self) -> None:
        """End the response."""
        self._has_ended = True
        await self._begin()
        await self._send({"type": "http.response.body", "body": b""})

    async def keep_alive(self, seconds: float, frame: str) -> None:
        """Send ``frame`` whenever nothing was sent for ``seconds``."""
        while True:
            num_frames = self._num_frames
            await anyio.sleep(seconds)
            if num_frames == self._num_frames and not self._has_ended:
                await self.write(frame)


async def while_connected(request: Request, produce: Callable[[], Awaitable[T]]) -> T:
    """Return the result of ``produce``, which is cancelled when the client disconnects.

    The request's body must have been read.

    Raises:
        HttpError: the client disconnected (499).
    """
    async with open_task_group() as tasks:
        tasks.start_soon(_cancel_when_gone, request.receive, tasks.cancel_scope)
        result = await produce()
        tasks.cancel_scope.cancel()
        return result
    raise HttpError("the client disconnected", status=499)


async def _cancel_when_gone(receive: Receive, scope: CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    logger.debug("the client disconnected")
    scope.cancel()
