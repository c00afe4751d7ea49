"""Logins, against a real authorization server in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from host.support import SERVERS, serving, unused_port
from limits import seconds
from mcp import Client
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.streamable_http import streamable_http_client

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ServerUnavailableError, unwrap
from kronk_agent.host.oauth.flow import LoginNeededError, Logins, authentication
from kronk_agent.host.oauth.login import sign_in, sign_out
from kronk_agent.host.oauth.relay import check_address
from kronk_agent.host.oauth.token_store import EncryptedFiles


@dataclass(frozen=True)
class Guarded:
    """The server, and what can be asked of its authorization server."""

    url: str
    authority: str

    def told(self, what: str, body: str = "") -> object:
        return httpx2.post(f"{self.authority}/test/{what}", content=body, timeout=seconds(5)).json()


@pytest.fixture(scope="module")
def shared() -> Iterator[Guarded]:
    authority, port = unused_port(), unused_port()
    with serving(port, str(SERVERS / "guarded.py"), str(authority)):
        yield Guarded(f"http://127.0.0.1:{port}/mcp", f"http://127.0.0.1:{authority}")


@pytest.fixture
def guarded(shared: Guarded) -> Guarded:
    shared.told("reset")
    return shared


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    return Logins(EncryptedFiles(tmp_path / "logins", tmp_path / "key", None))


def config(guarded: Guarded, **oauth: object) -> McpServerConfig:
    return McpServerConfig.model_validate({"url": guarded.url, "oauth": oauth})


async def browse(url: str) -> None:
    """The person's browser, which follows redirects to us and is done."""
    async with httpx2.AsyncClient(follow_redirects=True, timeout=seconds(5)) as http:
        (await http.get(url)).raise_for_status()


async def expire(logins: Logins, url: str) -> None:
    """Let the hour pass that tokens live."""
    login = await logins.read("work", url)
    assert login.expires_at is not None
    await logins.write("work", login.model_copy(update={"expires_at": login.expires_at - 3601}))


async def whisper(config: McpServerConfig, logins: Logins) -> str:
    """A call of a tool, as the host makes it, nobody being there to sign in."""
    assert config.url is not None
    auth = await authentication("work", config, logins)
    async with (
        httpx2.AsyncClient(auth=auth, timeout=seconds(5)) as http,
        Client(streamable_http_client(config.url, http_client=http)) as client,
    ):
        result = await client.call_tool("whisper", {})
        return str(result.content[0].text)  # type: ignore[union-attr]


async def test_a_login_lasts_beyond_the_process_and_needs_one_registration(
    guarded: Guarded, logins: Logins
) -> None:
    server = config(guarded)

    assert await sign_in("work", server, logins, browse)
    assert await whisper(server, logins) == "the secret"
    assert await whisper(server, logins) == "the secret"

    assert guarded.told("log") == ["register", "authorize read", "code"]


async def test_nothing_is_signed_before_a_login(guarded: Guarded, logins: Logins) -> None:
    assert await authentication("work", config(guarded), logins) is None


async def test_a_header_of_the_persons_own_is_left_alone(guarded: Guarded, logins: Logins) -> None:
    await sign_in("work", config(guarded), logins, browse)
    server = McpServerConfig(url=guarded.url, headers={"authorization": "Bearer mine"})

    assert await authentication("work", server, logins) is None


async def test_a_login_is_not_sent_to_another_server_of_the_same_name(
    guarded: Guarded, logins: Logins
) -> None:
    await sign_in("work", config(guarded), logins, browse)

    moved = McpServerConfig(url="http://127.0.0.1:1/mcp")

    assert await authentication("work", moved, logins) is None


async def test_tokens_that_expire_are_refreshed_where_they_came_from(
    guarded: Guarded, logins: Logins
) -> None:
    server = config(guarded)
    await sign_in("work", server, logins, browse)
    await expire(logins, guarded.url)
    guarded.told("log")

    assert await whisper(server, logins) == "the secret"
    assert await whisper(server, logins) == "the secret"
    assert guarded.told("log") == ["refresh"]


async def test_tokens_that_are_refused_before_they_expire_are_refreshed_too(
    guarded: Guarded, logins: Logins
) -> None:
    server = config(guarded)
    await sign_in("work", server, logins, browse)
    guarded.told("forget-access")
    guarded.told("log")

    assert await whisper(server, logins) == "the secret"
    assert guarded.told("log") == ["refresh"]


async def test_tokens_another_process_refreshed_are_used(guarded: Guarded, logins: Logins) -> None:
    """A refresh token works once: who uses an old one may lose the login."""
    server = config(guarded)
    await sign_in("work", server, logins, browse)
    auth = await authentication("work", server, logins)
    assert isinstance(auth, OAuthClientProvider)
    async with httpx2.AsyncClient(auth=auth, timeout=seconds(5)) as http:
        await http.post(guarded.url, json={})
        auth.context.token_expiry_time = 0
        await expire(logins, guarded.url)
        assert await whisper(server, logins) == "the secret"  # in another process, so to say

        await http.post(guarded.url, json={})

    assert guarded.told("log") == ["register", "authorize read", "code", "refresh"]


@pytest.mark.parametrize("is_expired", [True, False])
async def test_a_login_that_is_over_says_how_to_get_another(
    guarded: Guarded, logins: Logins, is_expired: bool
) -> None:
    server = config(guarded)
    await sign_in("work", server, logins, browse)
    if is_expired:
        await expire(logins, guarded.url)
    guarded.told("forget-all")

    with pytest.raises(Exception) as caught:  # noqa: PT011  # the SDK wraps it in groups
        await whisper(server, logins)

    error = unwrap(caught.value)
    assert isinstance(error, LoginNeededError)
    assert str(error) == "wants you to sign in: run `kronk-agent mcp login work`"


async def test_a_second_login_asks_again_without_a_second_registration(
    guarded: Guarded, logins: Logins
) -> None:
    server = config(guarded)
    await sign_in("work", server, logins, browse)
    guarded.told("log")

    assert await sign_in("work", server, logins, browse)
    assert guarded.told("log") == ["authorize read", "code"]


async def test_our_own_client_and_scopes_are_used_where_the_configuration_has_them(
    guarded: Guarded, logins: Logins
) -> None:
    port = unused_port()
    registered = (
        '{"client_id": "known", "client_secret": "sec ret", "scope": "read write", '
        '"token_endpoint_auth_method": "client_secret_basic", '
        f'"redirect_uris": ["http://127.0.0.1:{port}/callback"]}}'
    )
    guarded.told("client", registered)
    server = config(
        guarded,
        client_id="known",
        client_secret="sec ret",
        issuer=guarded.authority,
        scopes=["read", "write"],
        callback_port=port,
    )

    assert await sign_in("work", server, logins, browse)
    assert await whisper(server, logins) == "the secret"
    assert guarded.told("log") == ["authorize read write", "code"]
    assert await sign_out("work", server, logins)
    assert guarded.told("log") == ["revoke"]


async def test_a_program_signs_in_with_its_secret(guarded: Guarded, logins: Logins) -> None:
    server = config(
        guarded,
        flow="client_credentials",
        client_id="program",
        client_secret="s3cret-of-the-program",
        issuer=guarded.authority,
    )

    assert await whisper(server, logins) == "the secret"
    assert await whisper(server, logins) == "the secret"
    assert guarded.told("log") == ["client_credentials"]


async def test_a_program_signs_in_with_its_key(
    guarded: Guarded, logins: Logins, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "key.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    guarded.told("key", public.decode())
    server = config(
        guarded,
        flow="client_credentials",
        client_id="program",
        private_key_file=str(file),
        issuer=guarded.authority,
    )

    assert await whisper(server, logins) == "the secret"
    assert guarded.told("log") == ["client_credentials"]


async def test_a_programs_secret_goes_to_its_issuer_alone(guarded: Guarded, logins: Logins) -> None:
    server = config(
        guarded,
        flow="client_credentials",
        client_id="program",
        client_secret="s3cret-of-the-program",
        issuer="https://login.example.com",
    )

    with pytest.raises(Exception) as caught:  # noqa: PT011  # the SDK wraps it in groups
        await whisper(server, logins)

    assert "login.example.com" in str(unwrap(caught.value))
    assert guarded.told("log") == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("refuse", "refused the login (access_denied: not today)"),
        ("wrong-issuer", "did not let us sign in (Authorization response iss mismatch"),
        ("wrong-state", "did not let us sign in (State parameter mismatch"),
        ("send-to-http", "did not let us sign in (the server sends us to http://elsewhere.example"),
    ],
)
async def test_a_login_that_goes_wrong_is_told_and_leaves_nothing(
    guarded: Guarded, logins: Logins, fault: str, message: str
) -> None:
    guarded.told(fault)
    server = config(guarded)

    with pytest.raises(ServerUnavailableError) as caught:
        await sign_in("work", server, logins, browse)

    assert str(caught.value).startswith(f"MCP server 'work' {message}")
    assert (await logins.read("work", guarded.url)).tokens is None


async def test_a_port_that_is_taken_is_told(guarded: Guarded, logins: Logins) -> None:
    port = int(guarded.authority.rpartition(":")[2])

    with pytest.raises(ServerUnavailableError) as caught:
        await sign_in("work", config(guarded, callback_port=port), logins, browse)

    assert str(caught.value) == (
        f"MCP server 'work' cannot be signed in to: port {port} is taken: "
        "change oauth.callback_port"
    )


async def test_signing_out_forgets_the_login_on_both_sides(
    guarded: Guarded, logins: Logins
) -> None:
    server = config(guarded)
    await sign_in("work", server, logins, browse)
    guarded.told("log")

    assert await sign_out("work", server, logins)

    assert guarded.told("log") == ["revoke"]
    assert await authentication("work", server, logins) is None
    assert not await sign_out("work", server, logins)


async def test_a_server_that_wants_no_login_is_told_apart(demo_url: str, logins: Logins) -> None:
    assert not await sign_in("demo", McpServerConfig(url=demo_url), logins, browse)


async def test_a_server_that_is_not_there_is_told(logins: Logins) -> None:
    server = McpServerConfig(url=f"http://127.0.0.1:{unused_port()}/mcp")

    with pytest.raises(ServerUnavailableError) as caught:
        await sign_in("work", server, logins, browse)

    assert str(caught.value).startswith("MCP server 'work' cannot be reached (")


@pytest.mark.parametrize(
    ("url", "server", "is_fine"),
    [
        ("https://login.example.com/authorize", "mcp.example.com", True),
        ("http://127.0.0.1:9/token", "localhost", True),
        ("http://login.example.com/token", "mcp.example.com", False),
        ("http://127.0.0.1:9/token", "mcp.example.com", False),
        ("https://localhost/token", "mcp.example.com", False),
        ("https://10.0.0.1/token", "mcp.example.com", False),
        ("https://[::ffff:169.254.169.254]/token", "mcp.example.com", False),
        ("https://10.0.0.1/token", "10.0.0.1", True),
        ("file:///etc/passwd", "mcp.example.com", False),
        ("javascript:alert(1)", "127.0.0.1", False),
        ("https:///token", "mcp.example.com", False),
    ],
)
def test_a_server_sends_us_to_public_https_addresses_only(
    url: str, server: str, is_fine: bool
) -> None:
    if is_fine:
        check_address(url, server)
    else:
        with pytest.raises(OAuthFlowError):
            check_address(url, server)
