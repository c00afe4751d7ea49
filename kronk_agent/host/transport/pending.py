"""Requests of ours that wait for an answer, noted as they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, RequestId

from kronk_agent.host.transport.streams import Closing

if TYPE_CHECKING:
    from mcp.client._transport import WriteStream

_STAY_OPEN = {"subscriptions/listen"}
"""Requests that are answered when a connection ends, so never the one an answer is missing for."""


class PendingRequests:
    """The methods of requests under way, by id."""

    def __init__(self) -> None:
        self._methods: dict[RequestId, str] = {}

    def note_sent(self, message: JSONRPCMessage) -> None:
        match message:
            case JSONRPCRequest():
                self._methods[message.id] = message.method
            case JSONRPCNotification(method="notifications/cancelled", params={"requestId": id}):
                self._methods.pop(id, None)
            case _:
                pass

    def note_answered(self, id: RequestId) -> None:
        self._methods.pop(id, None)

    def method_of(self, id: RequestId) -> str | None:
        return self._methods.get(id)

    def find(self, id: object) -> RequestId | None:
        """The id of the request that this answers, also where a number came back as text."""
        for known in self._methods:
            if known == id or str(known) == str(id):
                return known
        return None

    def only(self) -> RequestId | None:
        """The one request that can be meant by an answer without an id; None for none or many."""
        ids = [id for id, method in self._methods.items() if method not in _STAY_OPEN]
        return ids[0] if len(ids) == 1 else None


class Outgoing(Closing):
    """The stream to the server, which notes the requests that leave."""

    def __init__(self, stream: WriteStream[SessionMessage], pending: PendingRequests) -> None:
        self._stream = stream
        self._pending = pending

    async def send(self, item: SessionMessage, /) -> None:
        self._pending.note_sent(item.message)
        await self._stream.send(item)

    async def aclose(self) -> None:
        await self._stream.aclose()
