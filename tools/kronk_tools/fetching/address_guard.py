"""SSRF protection: the web tools only connect to public addresses and to configured networks.

A host name is resolved once, here; each of its addresses is checked; and the connection is made to
a checked address (by ``http.py``). A name that resolves differently the second time (DNS rebinding)
therefore gains nothing. With a proxy, only the proxy resolves names, so it has to check the
addresses.

The ranges are listed explicitly because ``ipaddress.is_global`` is not sufficient: it treats
multicast, NAT64 and 6to4 as global, and its results differ between patch releases of Python.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

import anyio

from kronk_agent.errors import ToolError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Resolves a host name. Raises ``OSError`` if it has no addresses."""

_SPECIAL_IPV4 = {
    IPv4Network("0.0.0.0/8"): "an address of this machine",
    IPv4Network("10.0.0.0/8"): "in a private network",
    IPv4Network("100.64.0.0/10"): "in a carrier's private network",
    IPv4Network("127.0.0.0/8"): "an address of this machine",
    IPv4Network("168.63.129.16/32"): "a cloud's metadata service",
    IPv4Network("169.254.0.0/16"): "a link-local address or a cloud's metadata service",
    IPv4Network("172.16.0.0/12"): "in a private network",
    IPv4Network("192.0.0.0/24"): "reserved for protocols",
    IPv4Network("192.0.2.0/24"): "reserved for documentation",
    IPv4Network("192.88.99.0/24"): "a 6to4 relay",
    IPv4Network("192.168.0.0/16"): "in a private network",
    IPv4Network("198.18.0.0/15"): "reserved for benchmarks",
    IPv4Network("198.51.100.0/24"): "reserved for documentation",
    IPv4Network("203.0.113.0/24"): "reserved for documentation",
    IPv4Network("224.0.0.0/4"): "a multicast address",
    IPv4Network("240.0.0.0/4"): "reserved",
}
_NAT64 = IPv6Network("64:ff9b::/96")
_SPECIAL_IPV6 = {
    IPv6Network("::/127"): "an address of this machine",
    _NAT64: "an IPv4 address behind NAT64",
    IPv6Network("2001::/23"): "reserved for protocols",
    IPv6Network("2001:db8::/32"): "reserved for documentation",
    IPv6Network("2002::/16"): "an IPv4 address behind 6to4",
    IPv6Network("3fff::/20"): "reserved for documentation",
    IPv6Network("fc00::/7"): "in a private network",
    IPv6Network("fe80::/10"): "a link-local address",
    IPv6Network("ff00::/8"): "a multicast address",
}
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_WEB_PORTS = (80, 443)


async def resolve_name(host: str, port: int) -> Sequence[Address]:
    """Resolve a host name with the system's resolver, without blocking the event loop."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in found))


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """Resolves hosts to addresses that are allowed."""

    allow_private: tuple[Network, ...] = ()
    """Networks that may be reached although they are not public, on every port."""
    resolve: Resolve = resolve_name
    allow_ports: tuple[int, ...] = ()
    """Ports that may be reached on public addresses, in addition to 80 and 443."""

    async def addresses(self, host: str, port: int) -> Sequence[Address]:
        """Return the host's addresses, all of them allowed.

        Raises:
            ToolError: the host is unknown, or one of its addresses, or the port, is not allowed.
        """
        literal = _literal(host)
        found = [literal] if literal else await self._resolved(host, port)
        self._check(host, port, found)
        return found

    def check_unresolved(self, host: str, port: int) -> None:
        """Check what can be checked if a proxy resolves the name: a literal address, and the port.

        Raises:
            ToolError: the address or port is not allowed.
        """
        literal = _literal(host)
        self._check(host, port, [literal] if literal else [])

    def refusal(self, address: Address) -> str | None:
        """Reason why the address is not allowed; None if it is."""
        address = _without_mapping(address)
        if not self._is_allowed_network(address):
            return _special_range(address)
        embedded = _embedded_ipv4(address)
        return None if embedded is None else self.refusal(embedded)

    def _check(self, host: str, port: int, addresses: Sequence[Address]) -> None:
        for address in addresses:
            reason = self.refusal(address)
            if reason is not None:
                where = host if str(address) == host else f"{host} ({address})"
                raise ToolError(
                    f"{where} is {reason}, and only public addresses may be reached; the person "
                    "who runs this can open its network with the setting web_fetch.allow_private",
                    code="url_not_allowed",
                )
        is_allowed = bool(addresses) and all(map(self._is_allowed_network, addresses))
        if not (is_allowed or port in _WEB_PORTS or port in self.allow_ports):
            raise ToolError(
                f"{host}:{port}: only the ports 80 and 443 may be reached; the person who runs "
                "this can open another with the setting web_fetch.allow_ports",
                code="url_not_allowed",
            )

    def _is_allowed_network(self, address: Address) -> bool:
        return any(_without_mapping(address) in network for network in self.allow_private)

    async def _resolved(self, host: str, port: int) -> Sequence[Address]:
        try:
            found = await self.resolve(host, port)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a valid name"
            raise ToolError(
                f"no address was found for the host {host!r} ({reason}): check the spelling; "
                "if it is right, the network may be down"
            ) from error
        if not found:
            raise ToolError(f"no address was found for the host {host!r}: check the spelling")
        return found


def _literal(host: str) -> Address | None:
    """The address that a host spells, even in decimal, octal, hexadecimal or short form."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return None


def _without_mapping(address: Address) -> Address:
    """Convert an IPv4-mapped address: ``::ffff:127.0.0.1`` is 127.0.0.1."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _embedded_ipv4(address: Address) -> IPv4Address | None:
    """The IPv4 address that a gateway would connect to for a NAT64 or 6to4 address."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour


def _special_range(address: Address) -> str | None:
    special: dict[IPv4Network, str] | dict[IPv6Network, str]
    special = _SPECIAL_IPV4 if isinstance(address, IPv4Address) else _SPECIAL_IPV6
    for network, reason in special.items():
        if address in network:
            return reason
    if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return "not a public IPv6 address"
    return None
