"""OAuth 2.1 for remote servers: what requests carry, and what a login leaves behind.

The flow itself (discovery, registration, PKCE, ``state``, ``iss``, ``resource``) is the SDK's. Here
is what it leaves to a host: logins that outlive the process together with what refreshing needs,
and no request to a place a server should not be able to send us to.
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
from kronk_agent.host.oauth.relay import Relay
from kronk_agent.host.oauth.token_store import TokenStore

CLIENT_NAME = "kronk-agent"


class LoginNeededError(ServerUnavailableError):
    """The server wants a person to sign in."""

    def __init__(self, server: str) -> None:
        super().__init__(f"wants you to sign in: run `kronk-agent mcp login {server}`")


class Login(BaseModel):
    """What is kept of a login. It holds for one URL: another server may get the name."""

    url: str
    tokens: OAuthToken | None = None
    expires_at: float | None = None
    """Seconds since 1970."""
    client: OAuthClientInformationFull | None = None
    """Who we are to the authorization server."""
    authorization_server: OAuthMetadata | None = None
    resource: ProtectedResourceMetadata | None = None


class Logins:
    """The logins in a store, by server."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store

    @property
    def place(self) -> str:
        return self._store.place

    async def read(self, server: str, url: str) -> Login:
        """What is kept for the server at this URL; an empty login where nothing is."""
        text = await to_thread.run_sync(self._store.read, server)
        try:
            login = Login.model_validate_json(text) if text else Login(url=url)
        except ValidationError:  # of another version of ours
            return Login(url=url)
        return login if login.url == url else Login(url=url)

    async def write(self, server: str, login: Login) -> None:
        text = login.model_dump_json(exclude_none=True)
        await to_thread.run_sync(self._store.write, server, text)

    async def delete(self, server: str) -> None:
        await to_thread.run_sync(self._store.delete, server)


@dataclass(frozen=True, slots=True)
class Browser:
    """How a person signs in."""

    redirect_uri: str
    show: Callable[[str], Awaitable[None]]
    """Take the person to this page of the authorization server."""
    come_back: Callable[[], Awaitable[AuthorizationCodeResult]]
    """Wait until the browser comes back with a code."""


async def authentication(
    server: str, config: McpServerConfig, logins: Logins, browser: Browser | None = None
) -> httpx2.Auth | None:
    """What signs the requests to a remote server; None where nothing is known to sign them with.

    Args:
        server: the name it is registered under.
        config: its configuration.
        logins: where its login is, and stays up to date.
        browser: for a person to sign in; without one nobody is asked, and a request that would
            need it raises ``LoginNeededError``.

    Raises:
        ServerUnavailableError: the private key cannot be read.
        TokenStoreError: the logins cannot be read.
    """
    assert config.url is not None
    if any(name.lower() == "authorization" for name in config.headers):
        return None
    storage = _Storage(server, config.url, logins)
    if config.oauth.flow == "client_credentials":
        return await _for_a_program(config.url, config.oauth, storage)
    if browser is None and (await logins.read(server, config.url)).tokens is None:
        return None
    return _ForAPerson(server, config.url, config.oauth, storage, browser)


class _Storage(TokenStorage):
    """One server's login as the SDK wants to have it, always as it is in the store."""

    def __init__(self, server: str, url: str, logins: Logins) -> None:
        self._server = server
        self._url = url
        self._logins = logins

    async def read(self) -> Login:
        return await self._logins.read(self._server, self._url)

    async def update(self, **changes: object) -> None:
        login = await self.read()
        await self._logins.write(self._server, login.model_copy(update=changes))

    async def get_tokens(self) -> OAuthToken | None:
        return (await self.read()).tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        expires_at = None if tokens.expires_in is None else time.time() + tokens.expires_in
        await self.update(tokens=tokens, expires_at=expires_at)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return (await self.read()).client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        await self.update(client=client_info)


class _ForAPerson(OAuthClientProvider):
    """The authorization code flow; afterwards its tokens, refreshed for as long as that works."""

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
            callback_handler=browser.come_back if browser else None,
            client_metadata_url=config.client_metadata_url,
        )
        self._server = server
        self._config = config
        self._login = storage
        self._browser = browser
        self._relay = Relay(self)

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if not self.context.is_token_valid():
            self._initialized = False  # another process may have refreshed them
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
        context.client_info = own_client(self._config) or login.client
        self._initialized = True

    async def _perform_authorization(self) -> httpx2.Request:
        """Ask for tokens: refuse to bother anyone who is not there."""
        self._relay.restore_issuer()
        if self._browser is not None:
            if self._config.scopes:  # in place of those the server named
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
            tokens.refresh_token = prior.refresh_token  # it stays as it was
            await self._login.set_tokens(tokens)
        await self._login.update(
            authorization_server=self.context.oauth_metadata,
            resource=self.context.protected_resource_metadata,
        )


def own_client(config: OAuthConfig) -> OAuthClientInformationFull | None:
    """Who we are to the authorization server, where the configuration says so."""
    if config.client_id is None:
        return None
    method = "client_secret_basic" if config.client_secret else "none"
    return OAuthClientInformationFull(
        client_id=config.client_id,
        client_secret=config.client_secret,
        token_endpoint_auth_method=method,
        issuer=config.issuer,
    )


async def _for_a_program(url: str, config: OAuthConfig, storage: _Storage) -> httpx2.Auth:
    assert config.client_id is not None
    scope = " ".join(config.scopes) or None
    if config.client_secret is not None:
        return _WithSecret(
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
    return _WithKey(
        url,
        storage,
        client_id=config.client_id,
        assertion_provider=signing.create_assertion_provider(),
        scope=scope,
        issuer=config.issuer,
    )


class _Unattended(OAuthClientProvider):
    """What the flows without a person share: they go through the relay."""

    _issuer: str | None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._relay = Relay(self)

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        async for step in self._relay.run(request, super().async_auth_flow(request)):
            step.response = yield step.request

    async def _perform_authorization(self) -> httpx2.Request:
        self._relay.restore_issuer()  # it is the audience of what a key signs
        self._issuer = self._relay.own_name(self._issuer)
        return await super()._perform_authorization()


class _WithSecret(_Unattended, ClientCredentialsOAuthProvider):
    """The client credentials flow with a secret."""


class _WithKey(_Unattended, PrivateKeyJWTOAuthProvider):
    """The client credentials flow with an assertion that a key signs."""
