"""Change notifications: to subscribed clients since 2026, before that to every session."""

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

from kronk_mcp_servers.serving.request_context import MessageContext

_SESSION_ID = "mcp-session-id"
_MAX_SESSIONS = 1000
"""Maximum notified sessions; the one inactive for longest is dropped."""
_MAX_URIS = 1000
"""Maximum subscriptions of one session."""


class Listeners:
    """The sessions of clients from before 2026, and the subscription bus for others."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self._bus)
        self._sessions: OrderedDict[str, _Listener] = OrderedDict()

    def heard_from(self, context: MessageContext) -> _Listener:
        """Register the session for change notifications."""
        key = _key(context)
        listener = self._sessions.setdefault(key, _Listener(context.session))
        listener.session = context.session
        self._sessions.move_to_end(key)
        while len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return listener

    def subscribe(self, context: MessageContext, uri: str) -> None:
        """Notify this session when the resource changes.

        Raises:
            MCPError: it has too many subscriptions.
        """
        uris = self.heard_from(context).uris
        if len(uris) >= _MAX_URIS:
            raise MCPError(
                t.INVALID_PARAMS, f"too many subscriptions: at most {_MAX_URIS} per session"
            )
        uris.add(uri)

    def unsubscribe(self, context: MessageContext, uri: str) -> None:
        """Stop notifying this session of the resource."""
        self.heard_from(context).uris.discard(uri)

    def set_log_level(self, context: MessageContext, level: t.LoggingLevel) -> None:
        """Send log messages of at least this level to the session."""
        self.heard_from(context).log_level = level

    def log_level(self, context: MessageContext) -> t.LoggingLevel:
        """Return the session's minimum log level."""
        return self.heard_from(context).log_level

    async def tools_changed(self) -> None:
        """Notify clients that the tool list changed."""
        await self._notify(ToolsListChanged(), t.ToolListChangedNotification())

    async def prompts_changed(self) -> None:
        """Notify clients that the prompt list changed."""
        await self._notify(PromptsListChanged(), t.PromptListChangedNotification())

    async def resources_changed(self) -> None:
        """Notify clients that the resource list changed."""
        await self._notify(ResourcesListChanged(), t.ResourceListChangedNotification())

    async def resource_updated(self, uri: str) -> None:
        """Notify subscribers that the resource changed."""
        params = t.ResourceUpdatedNotificationParams(uri=uri)
        notification = t.ResourceUpdatedNotification(params=params)
        await self._notify(ResourceUpdated(uri=uri), notification, only_for=uri)

    async def _notify(
        self, event: ServerEvent, notification: t.ServerNotification, only_for: str | None = None
    ) -> None:
        await self._bus.publish(event)
        for listener in list(self._sessions.values()):
            if only_for is None or only_for in listener.uris:
                await listener.session.send_notification(notification)


class _Listener:
    """A session with its subscriptions."""

    def __init__(self, session: ServerSession) -> None:
        self.session = session
        self.uris: set[str] = set()
        self.log_level: t.LoggingLevel = "info"


def _key(context: MessageContext) -> str:
    """Return the session ID over HTTP; empty on stdio, which has one session."""
    if context.request is None:
        return ""
    found: str = context.request.headers.get(_SESSION_ID, "")
    return found
