"""Requests waiting for an answer, recorded as they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, RequestId

from kronk_agent.host.transport.streams import ClosableStream

if TYPE_CHECKING:
    from mcp.client._transport import WriteStream

_STAY_OPEN = {"subscriptions/listen"}
"""Requests that are only answered when a connection ends, so an answer without an id is never
theirs."""


class PendingRequests:
    """Methods of the requests in progress, by id."""

    def __init__(self) -> None:
        self._methods: dict[RequestId, str] = {}

    def note_sent(self, message: JSONRPCMessage) -> None:
        """Record a request; a cancellation removes its request."""
        match message:
            case JSONRPCRequest():
                self._methods[message.id] = message.method
            case JSONRPCNotification(method="notifications/cancelled", params={"requestId": id}):
                self._methods.pop(id, None)
            case _:
                pass

    def note_answered(self, id: RequestId) -> None:
        """Remove an answered request."""
        self._methods.pop(id, None)

    def method_of(self, id: RequestId) -> str | None:
        """Method of a pending request; None if it is not pending."""
        return self._methods.get(id)

    def find(self, id: object) -> RequestId | None:
        """The pending id that this id refers to, even if a number came back as a string."""
        for pending_id in self._methods:
            if pending_id == id or str(pending_id) == str(id):
                return pending_id
        return None

    def only(self) -> RequestId | None:
        """The only request that an answer without an id can belong to; None if ambiguous."""
        ids = [id for id, method in self._methods.items() if method not in _STAY_OPEN]
        return ids[0] if len(ids) == 1 else None


class OutgoingStream(ClosableStream):
    """The stream to the server; records the requests that are sent."""

    def __init__(self, stream: WriteStream[SessionMessage], pending: PendingRequests) -> None:
        self._stream = stream
        self._pending = pending

    async def send(self, item: SessionMessage, /) -> None:
        """Send a message."""
        self._pending.note_sent(item.message)
        await self._stream.send(item)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
