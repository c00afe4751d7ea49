"""How a connection may fail, for those who can do something about it."""

from __future__ import annotations

from kronk_agent.errors import KronkError, ServerUnavailableError


class StartError(ServerUnavailableError):
    """The server did not get as far as listing its tools."""

    def __init__(
        self, message: str, *, is_early_exit: bool = False, http_status: int | None = None
    ) -> None:
        self.is_early_exit = is_early_exit
        """It hung up instead of answering."""
        self.http_status = http_status
        """The HTTP status it refused us with."""
        super().__init__(message)


class SessionExpiredError(KronkError):
    """The server no longer knows our session, so the request had no effect and can be repeated."""
