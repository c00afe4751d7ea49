"""A server over HTTP that wants OAuth, and the authorization server it names, on another port.

Arguments: the authorization server's port, the server's own. Everybody is let in who asks for the
server's own resource. Paths below /test tell what happened and change what will.
"""

from __future__ import annotations

import base64
import secrets
import socket
import sys
import time
from threading import Thread

import jwt
import uvicorn
from mcp.server.auth.handlers.authorize import AuthorizationHandler
from mcp.server.auth.handlers.register import RegistrationHandler
from mcp.server.auth.handlers.token import TokenHandler
from mcp.server.auth.middleware.client_auth import ClientAuthenticator
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    TokenVerifier,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

AUTHORIZATION_PORT, PORT = int(sys.argv[1]), int(sys.argv[2])
ISSUER, RESOURCE = f"http://127.0.0.1:{AUTHORIZATION_PORT}", f"http://127.0.0.1:{PORT}/mcp"
CLIENT = "program"
SECRET = "s3cret-of-the-program"


class Authority(
    OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken], TokenVerifier
):
    """Lets everybody in, and rotates refresh tokens."""

    def __init__(self) -> None:
        self.clients: dict[str, OAuthClientInformationFull] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.access: dict[str, AccessToken] = {}
        self.refresh: dict[str, RefreshToken] = {}
        self.log: list[str] = []
        self.public_key = ""

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self.log.append("register")
        self.clients[client_info.client_id] = client_info

    async def authorize(
        self, client: OAuthClientInformationFull, params: AuthorizationParams
    ) -> str:
        self.log.append(f"authorize {' '.join(params.scopes or [])}".strip())
        assert params.resource == RESOURCE
        code = AuthorizationCode(
            code=secrets.token_urlsafe(),
            scopes=params.scopes or [],
            expires_at=time.time() + 60,
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        self.codes[code.code] = code
        return construct_redirect_uri(
            str(params.redirect_uri), code=code.code, state=params.state, iss=ISSUER
        )

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        self.log.append("code")
        del self.codes[authorization_code.code]
        return self.issue(client.client_id, authorization_code.scopes)

    async def load_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: str
    ) -> RefreshToken | None:
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        self.log.append("refresh")
        del self.refresh[refresh_token.token]
        return self.issue(client.client_id, scopes)

    def issue(self, client_id: str, scopes: list[str]) -> OAuthToken:
        access, refresh = secrets.token_urlsafe(), secrets.token_urlsafe()
        self.access[access] = AccessToken(
            token=access, client_id=client_id, scopes=scopes, resource=RESOURCE
        )
        self.refresh[refresh] = RefreshToken(token=refresh, client_id=client_id, scopes=scopes)
        return OAuthToken(
            access_token=access,
            expires_in=3600,
            refresh_token=refresh,
            scope=" ".join(scopes),
        )

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.access.get(token)

    async def verify_token(self, token: str) -> AccessToken | None:
        return self.access.get(token)

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        self.log.append("revoke")
        self.access.pop(token.token, None)
        self.refresh.pop(token.token, None)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


authority = Authority()


async def token(request: Request) -> Response:
    """Client credentials, which the SDK's own token endpoint does not know."""
    form = await request.form()
    if form["grant_type"] != "client_credentials":
        response: Response = await sdk_token(request)
        return response
    assert form["resource"] == RESOURCE
    given = request.headers.get("Authorization", "").removeprefix("Basic ")
    if given:
        is_known = base64.b64decode(given).decode() == f"{CLIENT}:{SECRET}"
    else:
        claims = jwt.decode(
            str(form["client_assertion"]), authority.public_key, ["ES256"], audience=ISSUER
        )
        is_known = claims["iss"] == claims["sub"] == CLIENT
    if not is_known:
        return JSONResponse({"error": "invalid_client"}, 401)
    authority.log.append("client_credentials")
    issued = authority.issue(CLIENT, ["read"])
    return JSONResponse(issued.model_dump(exclude={"refresh_token"}, exclude_none=True))


async def test(request: Request) -> Response:
    """What a test wants to know or to have changed."""
    match request.path_params["what"]:
        case "log":
            log, authority.log = authority.log, []
            return JSONResponse(log)
        case "reset":
            authority.__init__()  # type: ignore[misc]
            refusals.clear()
            endpoints.clear()
        case "client":
            body = (await request.body()).decode()
            client = OAuthClientInformationFull.model_validate_json(body)
            authority.clients[client.client_id] = client
        case "forget-access":
            authority.access.clear()
        case "forget-all":
            authority.access.clear()
            authority.refresh.clear()
        case "key":
            authority.public_key = (await request.body()).decode()
        case "refuse":
            refusals.append("access_denied")
        case "wrong-issuer":
            refusals.append("wrong-issuer")
        case "wrong-state":
            refusals.append("wrong-state")
        case "send-to-http":
            endpoints["authorization_endpoint"] = "http://elsewhere.example/authorize"
    return JSONResponse("done")


refusals: list[str] = []
endpoints: dict[str, str] = {}


async def authorize(request: Request) -> Response:
    if not refusals:
        return await sdk_authorize(request)
    back, state = request.query_params["redirect_uri"], request.query_params["state"]
    match refusals.pop():
        case "access_denied":
            words = {
                "error": "access_denied",
                "error_description": "not \x1b[31mtoday",
                "iss": ISSUER,
            }
            url = construct_redirect_uri(back, state=state, **words)
        case "wrong-issuer":
            url = construct_redirect_uri(back, state=state, code="x", iss="http://evil.example")
        case _:
            url = construct_redirect_uri(back, state="guessed", code="x", iss=ISSUER)
    return RedirectResponse(url)


async def metadata(request: Request) -> Response:
    return JSONResponse(
        {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "registration_endpoint": f"{ISSUER}/register",
            "revocation_endpoint": f"{ISSUER}/revoke",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": [
                "none",
                "client_secret_basic",
                "client_secret_post",
                "private_key_jwt",
            ],
            "authorization_response_iss_parameter_supported": True,
            **endpoints,
        }
    )


authenticator = ClientAuthenticator(authority)


async def revoke(request: Request) -> Response:
    """As RFC 7009 says. The SDK's own wants the secret in the form, even beside a header."""
    client = await authenticator.authenticate_request(request)
    text = str((await request.form())["token"])
    token = await authority.load_refresh_token(client, text)
    if token is not None:
        await authority.revoke_token(token)
    return Response()


sdk_token = TokenHandler(authority, authenticator).handle
sdk_authorize = AuthorizationHandler(authority).handle
registration = RegistrationHandler(
    authority,
    ClientRegistrationOptions(
        enabled=True, valid_scopes=["read", "write"], default_scopes=["read", "write"]
    ),
)
authorization_server = Starlette(
    routes=[
        Route("/.well-known/oauth-authorization-server", metadata),
        Route("/authorize", authorize),
        Route("/token", token, methods=["POST"]),
        Route("/register", registration.handle, methods=["POST"]),
        Route("/revoke", revoke, methods=["POST"]),
        Route("/test/{what}", test, methods=["POST"]),
    ]
)

server = MCPServer(
    "guarded",
    log_level="WARNING",
    token_verifier=authority,
    auth=AuthSettings.model_validate(  # not its constructor, which wants URLs with a slash more
        {
            "issuer_url": ISSUER,
            "resource_server_url": RESOURCE,
            "required_scopes": ["read"],
            "validate_token_resource": True,
        }
    ),
)


@server.tool()
def whisper() -> str:
    """Tell a secret."""
    return "the secret"


def serve_authorization() -> None:
    uvicorn.run(authorization_server, port=AUTHORIZATION_PORT, log_level="warning")


if __name__ == "__main__":
    Thread(target=serve_authorization, daemon=True).start()
    while not is_open(AUTHORIZATION_PORT):
        time.sleep(0.02)
    server.run("streamable-http", port=PORT)
