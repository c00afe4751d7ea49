"""Connection errors that the host can recover from."""

from __future__ import annotations

from kronk_agent.errors import KronkError, ServerUnavailableError


class StartError(ServerUnavailableError):
    """The connection failed before the server listed its tools."""

    def __init__(
        self, message: str, *, is_early_exit: bool = False, http_status: int | None = None
    ) -> None:
        self.is_early_exit = is_early_exit
        """True if the server closed the connection instead of answering."""
        self.http_status = http_status
        """HTTP status the server answered with."""
        super().__init__(message)


class SessionExpiredError(KronkError):
    """The server no longer knows the session, so the request had no effect and can be repeated."""
