"""Authentication of requests to remote servers with stored logins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ServerUnavailableError

if TYPE_CHECKING:
    import httpx2


async def authenticate(server: str, config: McpServerConfig) -> httpx2.Auth | None:
    """Create the authentication for a server; None without a login.

    Raises:
        ServerUnavailableError: the login cannot be read.
    """
    from kronk_agent.host.oauth.flow import Logins, authentication  # heavy, like the next one
    from kronk_agent.host.oauth.token_store import TokenStoreError, open_token_store

    try:
        logins = Logins(await to_thread.run_sync(open_token_store))
        return await authentication(server, config, logins)
    except TokenStoreError as error:
        raise ServerUnavailableError(f"cannot be signed in to: {error}") from error
