"""Who is told of changes: since 2026 those who listen, before that every session."""

from __future__ import annotations

from collections import OrderedDict

import mcp.types as t
from mcp import MCPError
from mcp.server.session import ServerSession
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)

from kronk_mcp_servers.serving.call import Context

_SESSION_ID = "mcp-session-id"
_MAX_SESSIONS = 1000
"""Beyond that the one that was heard of longest ago is no longer told."""
_MAX_URIS = 1000
"""That one session may subscribe to."""


class Listeners:
    """Keeps the sessions of before 2026, and the bus for the others."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self._bus)
        self._sessions: OrderedDict[str, _Listener] = OrderedDict()

    def heard_from(self, context: Context) -> _Listener:
        """A session that is to be told of changes from now on."""
        key = _key(context)
        listener = self._sessions.setdefault(key, _Listener(context.session))
        listener.session = context.session
        self._sessions.move_to_end(key)
        while len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return listener

    def subscribe(self, context: Context, uri: str) -> None:
        """Tell this session when that resource changes.

        Raises:
            MCPError: it has subscribed to too many.
        """
        uris = self.heard_from(context).uris
        if len(uris) >= _MAX_URIS:
            raise MCPError(t.INVALID_PARAMS, f"no more than {_MAX_URIS} resources can be watched")
        uris.add(uri)

    def unsubscribe(self, context: Context, uri: str) -> None:
        self.heard_from(context).uris.discard(uri)

    def set_log_level(self, context: Context, level: t.LoggingLevel) -> None:
        """Log to this session from that level on."""
        self.heard_from(context).log_level = level

    def log_level(self, context: Context) -> t.LoggingLevel:
        return self.heard_from(context).log_level

    async def tools_changed(self) -> None:
        await self._tell(ToolsListChanged(), t.ToolListChangedNotification())

    async def prompts_changed(self) -> None:
        await self._tell(PromptsListChanged(), t.PromptListChangedNotification())

    async def resources_changed(self) -> None:
        await self._tell(ResourcesListChanged(), t.ResourceListChangedNotification())

    async def resource_updated(self, uri: str) -> None:
        params = t.ResourceUpdatedNotificationParams(uri=uri)
        news = t.ResourceUpdatedNotification(params=params)
        await self._tell(ResourceUpdated(uri=uri), news, only_for=uri)

    async def _tell(
        self, event: ServerEvent, notification: t.ServerNotification, only_for: str | None = None
    ) -> None:
        await self._bus.publish(event)
        for listener in list(self._sessions.values()):
            if only_for is None or only_for in listener.uris:
                await listener.session.send_notification(notification)


class _Listener:
    def __init__(self, session: ServerSession) -> None:
        self.session = session
        self.uris: set[str] = set()
        self.log_level: t.LoggingLevel = "info"


def _key(context: Context) -> str:
    """One session over HTTP; on stdio there is only one."""
    if context.request is None:
        return ""
    found: str = context.request.headers.get(_SESSION_ID, "")
    return found
