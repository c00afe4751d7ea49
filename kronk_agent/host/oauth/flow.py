"""OAuth 2.1 for remote servers: authentication of requests, and persistence of logins.

The SDK implements the flow itself (discovery, registration, PKCE, ``state``, ``iss``,
``resource``). This module stores logins together with what refreshing needs, and blocks requests to
addresses that a server must not send us to.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
from anyio import to_thread
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from pydantic import AnyUrl, BaseModel, ValidationError

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.config.schema.mcp_server import OAuthConfig
from kronk_agent.errors import ServerUnavailableError
from kronk_agent.host.oauth.relay import FlowRelay
from kronk_agent.host.oauth.token_store import TokenStore

CLIENT_NAME = "kronk-agent"


class LoginNeededError(ServerUnavailableError):
    """The server requires the user to sign in."""

    def __init__(self, server: str) -> None:
        super().__init__(f"wants you to sign in: run `kronk-agent mcp login {server}`")


class Login(BaseModel):
    """Stored login. It is bound to one URL, since another server may be given the name."""

    url: str
    tokens: OAuthToken | None = None
    expires_at: float | None = None
    """Unix time in seconds; None: unknown."""
    client: OAuthClientInformationFull | None = None
    """Our client registration at the authorization server."""
    authorization_server: OAuthMetadata | None = None
    resource: ProtectedResourceMetadata | None = None


class Logins:
    """Stored logins, by server."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store

    @property
    def location(self) -> str:
        """Location of the store, for display."""
        return self._store.location

    async def read(self, server: str, url: str) -> Login:
        """Read the server's login for this URL; without one, return an empty login.

        Raises:
            TokenStoreError: the store cannot be read.
        """
        text = await to_thread.run_sync(self._store.read, server)
        try:
            login = Login.model_validate_json(text) if text else Login(url=url)
        except ValidationError:  # written by another version of kronk-agent
            return Login(url=url)
        return login if login.url == url else Login(url=url)

    async def write(self, server: str, login: Login) -> None:
        """Store a login.

        Raises:
            TokenStoreError: the store cannot be written.
        """
        text = login.model_dump_json(exclude_none=True)
        await to_thread.run_sync(self._store.write, server, text)

    async def delete(self, server: str) -> None:
        """Delete a login; missing ones are ignored.

        Raises:
            TokenStoreError: the store cannot be written.
        """
        await to_thread.run_sync(self._store.delete, server)


@dataclass(frozen=True, slots=True)
class Browser:
    """Interactive part of a login."""

    redirect_uri: str
    show: Callable[[str], Awaitable[None]]
    """Shows the user this page of the authorization server."""
    wait_for_code: Callable[[], Awaitable[AuthorizationCodeResult]]
    """Waits until the browser returns with a code."""


async def authentication(
    server: str, config: McpServerConfig, logins: Logins, browser: Browser | None = None
) -> httpx2.Auth | None:
    """Create the authentication for a remote server; None without credentials.

    Args:
        server: name the server is registered under.
        config: its configuration.
        logins: store of its login, which is kept up to date.
        browser: lets the user sign in; None: a request that requires it raises
            ``LoginNeededError``.

    Raises:
        ServerUnavailableError: the private key cannot be read.
        TokenStoreError: the logins cannot be read.
    """
    assert config.url is not None
    if any(name.lower() == "authorization" for name in config.headers):
        return None
    storage = _Storage(server, config.url, logins)
    if config.oauth.flow == "client_credentials":
        return await _client_credentials(config.url, config.oauth, storage)
    if browser is None and (await logins.read(server, config.url)).tokens is None:
        return None
    return _AuthorizationCodeProvider(server, config.url, config.oauth, storage, browser)


class _Storage(TokenStorage):
    """One server's login as the SDK's token storage; always reads the store."""

    def __init__(self, server: str, url: str, logins: Logins) -> None:
        self._server = server
        self._url = url
        self._logins = logins

    async def read(self) -> Login:
        """Read the login."""
        return await self._logins.read(self._server, self._url)

    async def update(self, **changes: object) -> None:
        """Change some fields of the login."""
        login = await self.read()
        await self._logins.write(self._server, login.model_copy(update=changes))

    async def get_tokens(self) -> OAuthToken | None:
        """Read the tokens."""
        return (await self.read()).tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Store new tokens with their expiry time."""
        expires_at = None if tokens.expires_in is None else time.time() + tokens.expires_in
        await self.update(tokens=tokens, expires_at=expires_at)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Read the client registration."""
        return (await self.read()).client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Store the client registration."""
        await self.update(client=client_info)


class _AuthorizationCodeProvider(OAuthClientProvider):
    """Authorization code flow; afterwards its tokens, refreshed for as long as possible."""

    def __init__(
        self,
        server: str,
        url: str,
        config: OAuthConfig,
        storage: _Storage,
        browser: Browser | None,
    ) -> None:
        redirect_uri = browser.redirect_uri if browser else "http://127.0.0.1/callback"
        super().__init__(
            server_url=url,
            client_metadata=OAuthClientMetadata(
                client_name=CLIENT_NAME,
                redirect_uris=[AnyUrl(redirect_uri)],
                grant_types=["authorization_code", "refresh_token"],
                scope=" ".join(config.scopes) or None,
            ),
            storage=storage,
            redirect_handler=browser.show if browser else None,
            callback_handler=browser.wait_for_code if browser else None,
            client_metadata_url=config.client_metadata_url,
        )
        self._server = server
        self._config = config
        self._login = storage
        self._browser = browser
        self._relay = FlowRelay(self)

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send the flow's requests through the relay."""
        if not self.context.is_token_valid():
            self._initialized = False  # another process may have refreshed the tokens
        async for step in self._relay.run(request, super().async_auth_flow(request)):
            step.response = yield step.request

    async def _initialize(self) -> None:
        login = await self._login.read()
        context = self.context
        context.current_tokens, context.token_expiry_time = login.tokens, login.expires_at
        context.oauth_metadata, context.protected_resource_metadata = (
            login.authorization_server,
            login.resource,
        )
        if login.authorization_server is not None:
            context.auth_server_url = str(login.authorization_server.issuer)
        context.client_info = configured_client(self._config) or login.client
        self._initialized = True

    async def _perform_authorization(self) -> httpx2.Request:
        """Request tokens; without a browser only by refreshing."""
        self._relay.restore_issuer()
        if self._browser is not None:
            if self._config.scopes:  # override the scopes that the server names
                self.context.client_metadata.scope = " ".join(self._config.scopes)
            return await super()._perform_authorization()
        if not self.context.can_refresh_token():
            raise LoginNeededError(self._server)
        return await self._refresh_token()  # tokens can be refused before they expire

    async def _handle_token_response(self, response: httpx2.Response) -> None:
        if self._browser is None and response.status_code != 200:
            raise LoginNeededError(self._server)
        prior = self.context.current_tokens
        await super()._handle_token_response(response)
        tokens = self.context.current_tokens
        assert tokens is not None
        if self._browser is None and prior is not None and tokens.refresh_token is None:
            tokens.refresh_token = prior.refresh_token  # still valid unless replaced
            await self._login.set_tokens(tokens)
        await self._login.update(
            authorization_server=self.context.oauth_metadata,
            resource=self.context.protected_resource_metadata,
        )


def configured_client(config: OAuthConfig) -> OAuthClientInformationFull | None:
    """The client registration from the configuration; None if it has no ``client_id``."""
    if config.client_id is None:
        return None
    method = "client_secret_basic" if config.client_secret else "none"
    return OAuthClientInformationFull(
        client_id=config.client_id,
        client_secret=config.client_secret,
        token_endpoint_auth_method=method,
        issuer=config.issuer,
    )


async def _client_credentials(url: str, config: OAuthConfig, storage: _Storage) -> httpx2.Auth:
    assert config.client_id is not None
    scope = " ".join(config.scopes) or None
    if config.client_secret is not None:
        return _SecretProvider(
            url,
            storage,
            client_id=config.client_id,
            client_secret=config.client_secret,
            scope=scope,
            issuer=config.issuer,
        )
    assert config.private_key_file is not None
    file = config.private_key_file
    try:
        key = await to_thread.run_sync(file.read_text)
    except (OSError, UnicodeDecodeError) as error:
        raise ServerUnavailableError(f"cannot read private_key_file {file}") from error
    signing = SignedJWTParameters(
        issuer=config.client_id,
        subject=config.client_id,
        signing_key=key,
        signing_algorithm=config.signing_algorithm,
    )
    return _KeyProvider(
        url,
        storage,
        client_id=config.client_id,
        assertion_provider=signing.create_assertion_provider(),
        scope=scope,
        issuer=config.issuer,
    )


class _UnattendedProvider(OAuthClientProvider):
    """Base of the flows without a user, which go through the relay."""

    _issuer: str | None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._relay = FlowRelay(self)

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send the flow's requests through the relay."""
        async for step in self._relay.run(request, super().async_auth_flow(request)):
            step.response = yield step.request

    async def _perform_authorization(self) -> httpx2.Request:
        self._relay.restore_issuer()  # it is the audience of signed assertions
        self._issuer = self._relay.own_spelling(self._issuer)
        return await super()._perform_authorization()


class _SecretProvider(_UnattendedProvider, ClientCredentialsOAuthProvider):
    """Client credentials flow with a secret."""


class _KeyProvider(_UnattendedProvider, PrivateKeyJWTOAuthProvider):
    """Client credentials flow with an assertion signed by a private key."""
