"""The requests of a login flow, guarded on their way out, and their answers, put right."""

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
class Step:
    """One request of a flow, whose response whoever sends it fills in."""

    request: httpx2.Request
    response: httpx2.Response | None = None


class Relay:
    """Stands between one provider's flows and the network."""

    def __init__(self, provider: OAuthClientProvider) -> None:
        self._provider = provider
        self._own_issuer: str | None = None
        """What the authorization server calls itself, where it was named otherwise before."""

    async def run(
        self, request: httpx2.Request, flow: AsyncGenerator[httpx2.Request, httpx2.Response]
    ) -> AsyncGenerator[Step, None]:
        """The flow's requests, none of which leaves for a place the server has no business with."""
        try:
            step = Step(await anext(flow))
            while True:
                is_own = step.request is not request
                if is_own:
                    check_address(str(step.request.url), request.url.host)
                    step.request.headers.setdefault("Accept", _JSON)
                yield step
                assert step.response is not None
                response = await self._mended(step) if is_own else step.response
                step = Step(await flow.asend(response))
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    def restore_issuer(self) -> None:
        """Call the authorization server what it calls itself: for ``iss`` and as an audience."""
        context = self._provider.context
        if context.oauth_metadata is not None and self._own_issuer is not None:
            found = context.oauth_metadata.model_dump(mode="json") | {"issuer": self._own_issuer}
            context.oauth_metadata = OAuthMetadata.model_validate(found)

    def own_name(self, issuer: str | None) -> str | None:
        """The issuer as it calls itself, where it differs from that by a slash."""
        own = self._own_issuer
        return own if own and issuer and are_same_issuer(own, issuer) else issuer

    async def _mended(self, step: Step) -> httpx2.Response:
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
        """The SDK wants the issuer as the protected resource wrote it, to the last slash."""
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
    """Refuse addresses a server has no business to send us to.

    Only https, and no address of this machine or network; a server that is itself on this machine
    may name others here, by http too.

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
        raise OAuthFlowError(f"the server sends us to {shown}, which is no public address")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_private(host: str) -> bool:
    """As far as can be told without asking a name server."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
