"""HTTP transport that only connects to addresses the guard allows.

Import on use: httpx2 is heavy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import cast

import httpcore2
import httpx2

from kronk_agent.errors import ToolError
from kronk_tools.fetching.address_guard import AddressGuard

_PORTS = {"http": 80, "https": 443}


class GuardedTransport(httpx2.AsyncBaseTransport):
    """httpx2 transport with a guarded network backend, which httpx2's own does not support.

    The connection pool uses host names: the Host header, the TLS server name and the certificate
    check are those of the name, whatever address the backend connects to.
    """

    def __init__(self, guard: AddressGuard, *, max_bytes: int, proxy: str | None = None) -> None:
        self._guard = guard
        self._is_proxied = proxy is not None
        self._pool = _proxy_pool(proxy) if proxy is not None else _direct_pool(guard)
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request; the size of the response is limited."""
        url = request.url
        if self._is_proxied:
            self._guard.check_unresolved(url.host, url.port or _PORTS[url.scheme])
        response = await self._pool.handle_async_request(
            httpcore2.Request(
                request.method,
                httpcore2.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                extensions=request.extensions,
            )
        )
        body = _Body(response, url, max_bytes=self._max_bytes)
        return httpx2.Response(response.status, headers=response.headers, stream=body)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


def _direct_pool(guard: AddressGuard) -> httpcore2.AsyncConnectionPool:
    return httpcore2.AsyncConnectionPool(network_backend=_GuardedBackend(guard))


def _proxy_pool(proxy: str) -> httpcore2.AsyncConnectionPool:
    """Pool for a proxy. The proxy's own address is configured by the operator and not checked."""
    url = httpx2.URL(proxy)
    return httpcore2.AsyncHTTPProxy(
        str(url.copy_with(userinfo=b"")),
        proxy_auth=(url.username, url.password) if url.userinfo else None,
    )


def too_large(url: httpx2.URL, max_bytes: int) -> ToolError:
    """Error for a body that exceeds the limit."""
    return ToolError(
        f"{url} is larger than {max_bytes:,} bytes: use a smaller page or another source; the "
        "person who runs this can raise the setting web_fetch.max_bytes",
        code="content_too_large",
    )


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects only to the addresses that the guard returns for a host."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        # httpcore2 also defines this class without a base, for installations without anyio.
        self._network = cast(httpcore2.AsyncNetworkBackend, httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # required by the base class
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers."""
        *others, last = await self._guard.addresses(host, port)
        for address in others:
            try:
                return await self._network.connect_tcp(str(address), port, timeout)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._network.connect_tcp(str(last), port, timeout)


class _Body(httpx2.AsyncByteStream):
    """Compressed body with a size limit: a decompressor may consume endlessly without output."""

    def __init__(self, response: httpcore2.Response, url: httpx2.URL, *, max_bytes: int) -> None:
        self._response = response
        self._url = url
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        num_bytes = 0
        async with aclosing(self._response.aiter_stream()) as chunks:
            async for chunk in chunks:
                num_bytes += len(chunk)
                if num_bytes > self._max_bytes:
                    raise too_large(self._url, self._max_bytes)
                yield chunk

    async def aclose(self) -> None:
        """Close the response."""
        await self._response.aclose()
