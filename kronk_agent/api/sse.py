"""Responses that are written while a run is under way, and runs that end with their client.

The run lives in the same task as the response, so that nothing of it outlives the connection.
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
"""Proxies and clients give up on a connection that says nothing for long."""
DONE = "data: [DONE]\n\n"
"""Ends a stream of OpenAI's completions."""
_COMMENT = ": keep-alive\n\n"
_MEDIA_TYPE = "text/event-stream; charset=utf-8"

Write: TypeAlias = Callable[[str], Awaitable[None]]
"""Sends frames, whole ones, each with what ends it."""
Produce: TypeAlias = Callable[[Write], Awaitable[None]]
"""Writes a response. What it raises before its first frame becomes an ordinary response with the
status of an error; afterwards, a frame."""

T = TypeVar("T")


class EventStream(Response):
    """Server-sent events, or the frames of another form.

    Args:
        produce: writes them; it is cancelled when the client goes away.
        error_frame: how the protocol says in a stream that something went wrong.
        keep_alive_seconds: after so long without a frame, one is sent that says nothing.
        keep_alive: that frame; a comment, unless the protocol has one of its own.
        media_type: of all frames together.
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
            (b"x-accel-buffering", b"no"),  # nginx would hold the frames back
        ]
        self.has_begun = False
        self._has_ended = False
        self._num_frames = 0

    async def write(self, frames: str) -> None:
        self._num_frames += 1
        await self._begin()
        await self._send({"type": "http.response.body", "body": frames.encode(), "more_body": True})

    async def _begin(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            start = {"type": "http.response.start", "status": 200, "headers": self._headers}
            await self._send(start)

    async def end(self) -> None:
        self._has_ended = True
        await self._begin()
        await self._send({"type": "http.response.body", "body": b""})

    async def keep_alive(self, seconds: float, frame: str) -> None:
        while True:
            num_frames = self._num_frames
            await anyio.sleep(seconds)
            if num_frames == self._num_frames and not self._has_ended:
                await self.write(frame)


async def while_connected(request: Request, produce: Callable[[], Awaitable[T]]) -> T:
    """What ``produce`` gives; it is cancelled when the client goes away.

    The request's body must have been read.
    """
    async with open_task_group() as tasks:
        tasks.start_soon(_cancel_when_gone, request.receive, tasks.cancel_scope)
        result = await produce()
        tasks.cancel_scope.cancel()
        return result
    raise HttpError("the client went away", status=499)


async def _cancel_when_gone(receive: Receive, scope: CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    logger.debug("the client went away")
    scope.cancel()
