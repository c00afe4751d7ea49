"""Which addresses the web tools may connect to: the public internet, and what a person opened.

A host name is resolved once, here; every address it has is judged; and the connection is made to
an address that was judged (``http.py`` sees to that), so a name that answers differently the
second time (DNS rebinding) gains nothing. Behind a proxy only the proxy knows what a name stands
for, and the check of addresses is the proxy's.

The ranges are spelled out because ``ipaddress.is_global`` will not do: it holds multicast, NAT64
and 6to4 for global, and its answers differ between patch releases of Python.
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
"""Finds the addresses of a host name. Raises ``OSError`` when there are none."""

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
    """All addresses of a host name, by the system's resolver, without blocking the loop."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(sockaddr[0]) for *_, sockaddr in found))


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """Turns a host into addresses that may be connected to."""

    allow_private: tuple[Network, ...] = ()
    """Networks that may be reached although they are not public, on every port."""
    resolve: Resolve = resolve_name
    allow_ports: tuple[int, ...] = ()
    """Ports that may be reached on public addresses, beside 80 and 443."""

    async def addresses(self, host: str, port: int) -> Sequence[Address]:
        """The host's addresses, every one of them permitted.

        Raises:
            ToolError: the host is unknown, or one of its addresses, or the port, is refused.
        """
        literal = _literal(host)
        found = [literal] if literal else await self._resolved(host, port)
        self._check(host, port, found)
        return found

    def check_spelled(self, host: str, port: int) -> None:
        """Judge what can be judged when another resolves the name: a spelled address, the port.

        Raises:
            ToolError: it is refused.
        """
        literal = _literal(host)
        self._check(host, port, [literal] if literal else [])

    def refusal(self, address: Address) -> str | None:
        """Why the address may not be reached; None if it may."""
        address = _without_mapping(address)
        if not self._is_opened(address):
            return _special_range(address)
        carried = _carried_ipv4(address)
        return None if carried is None else self.refusal(carried)

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
        is_opened = bool(addresses) and all(map(self._is_opened, addresses))
        if not (is_opened or port in _WEB_PORTS or port in self.allow_ports):
            raise ToolError(
                f"{host}:{port}: only the ports 80 and 443 may be reached; the person who runs "
                "this can open another with the setting web_fetch.allow_ports",
                code="url_not_allowed",
            )

    def _is_opened(self, address: Address) -> bool:
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
    """The address that a host spells, also in decimal, octal, hexadecimal or short; else None."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return None


def _without_mapping(address: Address) -> Address:
    """``::ffff:127.0.0.1`` is another spelling of 127.0.0.1."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _carried_ipv4(address: Address) -> IPv4Address | None:
    """The IPv4 address that a gateway would take a NAT64 or 6to4 address to."""
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
