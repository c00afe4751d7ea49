"""Signing in to a remote server, and out again."""

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
    own_client,
)
from kronk_agent.host.oauth.relay import check_address
from kronk_agent.host.tools.sanitize import strip_invisible
from kronk_agent.redaction import redacted

TakeTo: TypeAlias = Callable[[str], Awaitable[None]]
"""Takes the person to a page of the authorization server."""

LOGIN_SECONDS = 600.0
"""How long a person may take."""
_HTTP_SECONDS = 30.0
_MAX_SHOWN = 400


async def sign_in(server: str, config: McpServerConfig, logins: Logins, take_to: TakeTo) -> bool:
    """Sign in, forgetting an earlier login; False where the server wants none.

    Raises:
        ServerUnavailableError: the server or its authorization server failed or refused.
        TokenStoreError: the login cannot be kept.
    """
    assert config.url is not None
    kept = await logins.read(server, config.url)
    port = config.oauth.callback_port or _registered_port(kept)
    try:
        with anyio.fail_after(LOGIN_SECONDS):
            async with listening(port, is_fixed=config.oauth.callback_port is not None) as page:
                client = kept.client if _is_registered_for(kept, page.redirect_uri) else None
                await logins.write(server, Login(url=config.url, client=client))
                browser = Browser(page.redirect_uri, partial(_take, take_to, config.url), page.wait)
                await _connect(server, config, logins, browser)
    except TimeoutError:
        words = f"nobody signed in within {LOGIN_SECONDS:g} s: run the command again"
        raise _failure(server, words) from None
    except Exception as error:  # boundary: everything the flow and the server may do
        raise _explained(server, config, unwrap(error)) from error
    return (await logins.read(server, config.url)).tokens is not None


async def _connect(server: str, config: McpServerConfig, logins: Logins, browser: Browser) -> None:
    """Any request will do: the server asks for the login."""
    assert config.url is not None
    auth = await authentication(server, config, logins, browser)

    def http_client(*_: object, **__: object) -> httpx2.AsyncClient:
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


async def _take(take_to: TakeTo, server_url: str, url: str) -> None:
    # What a browser is given must be a web page: file: and javascript: are more than that.
    check_address(url, urlsplit(server_url).hostname or "")
    await take_to(url)


async def open_browser(url: str) -> bool:
    """Open the person's browser, without a shell in between; False where there is none."""
    return await to_thread.run_sync(webbrowser.open, url)


async def sign_out(server: str, config: McpServerConfig, logins: Logins) -> bool:
    """Forget the login, and tell the authorization server so; False where there is none.

    Raises:
        TokenStoreError: the login cannot be deleted.
    """
    assert config.url is not None
    login = await logins.read(server, config.url)
    await logins.delete(server)
    if login.tokens is not None:
        await _revoke(login, own_client(config.oauth) or login.client)
    return login.tokens is not None


async def _revoke(login: Login, client: OAuthClientInformationFull | None) -> None:
    """As RFC 7009 says, where the authorization server can; the login is forgotten in any case."""
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
    """The port the browser came back to when we registered: many servers insist on it."""
    uris = (login.client and login.client.redirect_uris) or []
    return next((uri.port for uri in uris), None)


def _is_registered_for(login: Login, redirect_uri: str) -> bool:
    uris = (login.client and login.client.redirect_uris) or []
    return redirect_uri in map(str, uris)


def _explained(server: str, config: McpServerConfig, error: BaseException) -> KronkError:
    redact = redactor_of(config)
    match error:
        case ServerUnavailableError():
            words = str(error)
        case KronkError():
            return error
        case OAuthRegistrationError():
            said = sign_in_problem(error)
            words = f"does not let us register ({said}): {sign_in_remedy(server, error)}"
        case OAuthFlowError():  # and OAuthTokenError
            said = sign_in_problem(error)
            words = f"did not let us sign in ({said}): {sign_in_remedy(server, error)}"
        case httpx2.HTTPError():
            words = f"cannot be reached ({redact(_words(error))}): correct mcp_servers.{server}.url"
        case _:
            words = (
                f"cannot be signed in to ({redact(_words(error))}): see that {config.url} is MCP"
            )
    return _failure(server, _shortened(redact(words)))


def _words(error: BaseException) -> str:
    return redacted(str(error)) or type(error).__name__


def _shortened(text: str) -> str:
    return " ".join(strip_invisible(text).split())[:_MAX_SHOWN]


def _failure(server: str, words: str) -> ServerUnavailableError:
    return ServerUnavailableError(f"MCP server {server!r} {words}")
