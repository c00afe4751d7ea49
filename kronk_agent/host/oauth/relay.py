"""Checks the requests of a login flow, and normalizes their responses."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.shared.auth import OAuthMetadata

from kronk_agent.host.oauth.answers import are_same_issuer, metadata, registration, token_answer
from kronk_agent.messages import JsonObject

_JSON = "application/json"


@dataclass(slots=True)
class FlowStep:
    """One request of a flow. The sender fills in its response."""

    request: httpx2.Request
    response: httpx2.Response | None = None


class FlowRelay:
    """Sits between one provider's flows and the network."""

    def __init__(self, provider: OAuthClientProvider) -> None:
        self._provider = provider
        self._own_issuer: str | None = None
        """The authorization server's own spelling of its issuer, if others spelled it
        differently."""

    async def run(
        self, request: httpx2.Request, flow: AsyncGenerator[httpx2.Request, httpx2.Response]
    ) -> AsyncGenerator[FlowStep, None]:
        """Yield the flow's requests, after checking that the server may send us to their addresses.

        Raises:
            OAuthFlowError: an address is not allowed.
        """
        try:
            step = FlowStep(await anext(flow))
            while True:
                is_own = step.request is not request
                if is_own:
                    check_address(str(step.request.url), request.url.host)
                    step.request.headers.setdefault("Accept", _JSON)
                yield step
                assert step.response is not None
                response = await self._normalized(step) if is_own else step.response
                step = FlowStep(await flow.asend(response))
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    def restore_issuer(self) -> None:
        """Restore the issuer's own spelling, for ``iss`` and as an audience."""
        context = self._provider.context
        if context.oauth_metadata is not None and self._own_issuer is not None:
            found = context.oauth_metadata.model_dump(mode="json") | {"issuer": self._own_issuer}
            context.oauth_metadata = OAuthMetadata.model_validate(found)

    def own_spelling(self, issuer: str | None) -> str | None:
        """The issuer's own spelling, if it only differs in a trailing slash."""
        own = self._own_issuer
        return own if own and issuer and are_same_issuer(own, issuer) else issuer

    async def _normalized(self, step: FlowStep) -> httpx2.Response:
        request, response = step.request, step.response
        assert response is not None
        if response.next_request is not None:
            return response
        body = await response.aread()
        if request.method == "GET" and response.status_code == 200:
            return _answer(response, 200, self._with_expected_issuer(metadata(body)))
        if request.method != "POST" or not response.is_success:
            return response
        if request.headers.get("content-type", "").startswith(_JSON):
            return _answer(response, response.status_code, registration(body))
        answer, is_error = token_answer(body)
        return _answer(response, 400 if is_error else 200, answer)

    def _with_expected_issuer(self, found: JsonObject) -> JsonObject:
        """Spell the issuer as the protected resource does, which the SDK compares exactly."""
        issuer, expected = found.get("issuer"), self._provider._expected_issuer()
        if isinstance(issuer, str) and are_same_issuer(issuer, expected):
            self._own_issuer = issuer
            return found | {"issuer": expected}
        return found


def _answer(response: httpx2.Response, status: int, content: JsonObject) -> httpx2.Response:
    return httpx2.Response(
        status,
        headers={"content-type": _JSON},
        content=json.dumps(content),
        request=response.request,
    )


def check_address(url: str, server_host: str) -> None:
    """Refuse addresses that a server must not send us to.

    Only https and public addresses are allowed. A server on this machine may name other addresses
    on this machine, also with http.

    Raises:
        OAuthFlowError: the address is refused.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) and is_loopback(server_host) and parts.scheme in ("http", "https"):
        return
    shown = f"{parts.scheme}://{host}"
    if parts.scheme != "https" or not host:
        raise OAuthFlowError(f"the server sends us to {shown}, and signing in needs https")
    if _is_private(host) and host != server_host:
        raise OAuthFlowError(f"the server sends us to {shown}, which is not a public address")


def is_loopback(host: str) -> bool:
    """True for ``localhost`` and loopback addresses."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_private(host: str) -> bool:
    """True for private addresses, as far as can be told without DNS."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
