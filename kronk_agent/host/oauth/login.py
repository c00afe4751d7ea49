"""Login to a remote server, and logout."""

from __future__ import annotations

import webbrowser
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias
from urllib.parse import quote, urlsplit

import anyio
import httpx2
from anyio import to_thread
from mcp import Client
from mcp.client.auth import OAuthFlowError, OAuthRegistrationError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import KronkError, ServerUnavailableError, unwrap
from kronk_agent.host.diagnostics.failures import redactor_of
from kronk_agent.host.diagnostics.sign_in import sign_in_problem, sign_in_remedy
from kronk_agent.host.oauth.callback import listening
from kronk_agent.host.oauth.flow import (
    Browser,
    Login,
    Logins,
    authentication,
    configured_client,
)
from kronk_agent.host.oauth.relay import check_address
from kronk_agent.host.tools.sanitize import strip_invisible
from kronk_agent.redaction import redacted

OpenPage: TypeAlias = Callable[[str], Awaitable[None]]
"""Shows the user a page of the authorization server."""

LOGIN_SECONDS = 600.0
"""Time limit for the user to sign in."""
_HTTP_SECONDS = 30.0
_MAX_SHOWN = 400


async def sign_in(
    server: str, config: McpServerConfig, logins: Logins, open_page: OpenPage
) -> bool:
    """Sign in, replacing an earlier login; False if the server does not require one.

    Raises:
        ServerUnavailableError: the server or its authorization server failed or refused.
        TokenStoreError: the login cannot be stored.
    """
    assert config.url is not None
    kept = await logins.read(server, config.url)
    port = config.oauth.callback_port or _registered_port(kept)
    try:
        with anyio.fail_after(LOGIN_SECONDS):
            async with listening(port, is_fixed=config.oauth.callback_port is not None) as page:
                client = kept.client if _is_registered_for(kept, page.redirect_uri) else None
                await logins.write(server, Login(url=config.url, client=client))
                browser = Browser(
                    page.redirect_uri, partial(_open_checked, open_page, config.url), page.wait
                )
                await _connect(server, config, logins, browser)
    except TimeoutError:
        message = f"did not get a login within {LOGIN_SECONDS:g} s: run the command again"
        raise _failure(server, message) from None
    except Exception as error:  # boundary: any failure of the flow or the server
        raise _explained(server, config, unwrap(error)) from error
    return (await logins.read(server, config.url)).tokens is not None


async def _connect(server: str, config: McpServerConfig, logins: Logins, browser: Browser) -> None:
    """Send a request, so that the server asks for the login."""
    assert config.url is not None
    auth = await authentication(server, config, logins, browser)

    def http_client(*_: object, **__: object) -> httpx2.AsyncClient:
        """Create a client with the login's authentication."""
        return httpx2.AsyncClient(auth=auth, headers=config.headers, timeout=_HTTP_SECONDS)

    if config.transport == "sse":
        async with Client(sse_client(config.url, httpx_client_factory=http_client)) as client:
            await client.list_tools()
        return
    async with (
        http_client() as http,
        Client(streamable_http_client(config.url, http_client=http)) as client,
    ):
        await client.list_tools()


async def _open_checked(open_page: OpenPage, server_url: str, url: str) -> None:
    # Only web pages may be opened in a browser, not file: or javascript: URLs.
    check_address(url, urlsplit(server_url).hostname or "")
    await open_page(url)


async def open_browser(url: str) -> bool:
    """Open the user's browser, without a shell; False if no browser is available."""
    return await to_thread.run_sync(webbrowser.open, url)


async def sign_out(server: str, config: McpServerConfig, logins: Logins) -> bool:
    """Delete the login and revoke its tokens; False if there was none.

    Raises:
        TokenStoreError: the login cannot be deleted.
    """
    assert config.url is not None
    login = await logins.read(server, config.url)
    await logins.delete(server)
    if login.tokens is not None:
        await _revoke(login, configured_client(config.oauth) or login.client)
    return login.tokens is not None


async def _revoke(login: Login, client: OAuthClientInformationFull | None) -> None:
    """Revoke the tokens (RFC 7009), if supported. The login is deleted in any case."""
    metadata, tokens = login.authorization_server, login.tokens
    assert tokens is not None
    if metadata is None or client is None or metadata.revocation_endpoint is None:
        return
    form = {
        "token": tokens.refresh_token or tokens.access_token,
        "token_type_hint": "refresh_token" if tokens.refresh_token else "access_token",
        "client_id": client.client_id,
    }
    auth: tuple[str, str] | None = None
    if client.client_secret is not None:
        if client.token_endpoint_auth_method == "client_secret_basic":  # RFC 6749, section 2.3.1
            auth = (quote(client.client_id, safe=""), quote(client.client_secret, safe=""))
        else:
            form["client_secret"] = client.client_secret
    url = str(metadata.revocation_endpoint)
    try:
        check_address(url, urlsplit(login.url).hostname or "")
        async with httpx2.AsyncClient(auth=auth, timeout=_HTTP_SECONDS) as http:
            await http.post(url, data=form)
    except (OAuthFlowError, httpx2.HTTPError):
        return


def _registered_port(login: Login) -> int | None:
    """Port of the registered redirect URI, which many servers require to be the same."""
    uris = (login.client and login.client.redirect_uris) or []
    return next((uri.port for uri in uris), None)


def _is_registered_for(login: Login, redirect_uri: str) -> bool:
    uris = (login.client and login.client.redirect_uris) or []
    return redirect_uri in map(str, uris)


def _explained(server: str, config: McpServerConfig, error: BaseException) -> KronkError:
    redact = redactor_of(config)
    match error:
        case ServerUnavailableError():
            message = str(error)
        case KronkError():
            return error
        case OAuthRegistrationError():
            problem = sign_in_problem(error)
            message = f"does not let us register ({problem}): {sign_in_remedy(server, error)}"
        case OAuthFlowError():  # and OAuthTokenError
            problem = sign_in_problem(error)
            message = f"did not let us sign in ({problem}): {sign_in_remedy(server, error)}"
        case httpx2.HTTPError():
            message = (
                f"cannot be reached ({redact(_message(error))}): correct mcp_servers.{server}.url"
            )
        case _:
            message = (
                f"cannot be signed in to ({redact(_message(error))}): see that {config.url} is MCP"
            )
    return _failure(server, _shortened(redact(message)))


def _message(error: BaseException) -> str:
    return redacted(str(error)) or type(error).__name__


def _shortened(text: str) -> str:
    return " ".join(strip_invisible(text).split())[:_MAX_SHOWN]


def _failure(server: str, message: str) -> ServerUnavailableError:
    return ServerUnavailableError(f"MCP server {server!r} {message}")
