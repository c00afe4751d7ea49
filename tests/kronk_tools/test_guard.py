from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import seconds

from kronk_agent.errors import ToolError
from kronk_tools.fetching.address_guard import Address, AddressGuard, Network
from kronk_tools.fetching.http import Fetcher

PRIVATE_IPV4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]

REFUSED = [
    # IPv4, by range
    ("0.0.0.0", "an address of this machine"),
    ("10.1.2.3", "in a private network"),
    ("100.100.100.200", "in a carrier's private network"),
    ("127.0.0.1", "an address of this machine"),
    ("127.255.255.254", "an address of this machine"),
    ("168.63.129.16", "a cloud's metadata service"),
    ("169.254.169.254", "a link-local address or a cloud's metadata service"),
    ("172.31.255.255", "in a private network"),
    ("192.0.0.192", "reserved for protocols"),
    ("192.0.2.1", "reserved for documentation"),
    ("192.88.99.1", "a 6to4 relay"),
    ("192.168.0.1", "in a private network"),
    ("198.19.0.1", "reserved for benchmarks"),
    ("224.0.0.251", "a multicast address"),
    ("255.255.255.255", "reserved"),
    # other spellings of 127.0.0.1, 10.0.0.1 and 169.254.169.254
    ("2130706433", "an address of this machine"),
    ("0x7f000001", "an address of this machine"),
    ("017700000001", "an address of this machine"),
    ("0177.0.0.01", "an address of this machine"),
    ("0x7f.0.0.0x1", "an address of this machine"),
    ("127.1", "an address of this machine"),
    ("127.0.0.1.", "an address of this machine"),
    ("0", "an address of this machine"),
    ("10.1", "in a private network"),
    ("0xa9fea9fe", "a link-local address or a cloud's metadata service"),
    # IPv6, by range
    ("::", "an address of this machine"),
    ("::1", "an address of this machine"),
    ("0:0:0:0:0:0:0:1", "an address of this machine"),
    ("::7f00:1", "not a public IPv6 address"),
    ("64:ff9b::8.8.8.8", "an IPv4 address behind NAT64"),
    ("64:ff9b:1::a00:1", "not a public IPv6 address"),
    ("100::1", "not a public IPv6 address"),
    ("2001::1", "reserved for protocols"),
    ("2001:db8::1", "reserved for documentation"),
    ("2002:7f00:1::", "an IPv4 address behind 6to4"),
    ("3fff::1", "reserved for documentation"),
    ("fc00::1", "in a private network"),
    ("fd00:ec2::254", "in a private network"),
    ("fe80::1", "a link-local address"),
    ("fe80::1%eth0", "a link-local address"),
    ("fec0::1", "not a public IPv6 address"),
    ("ff02::fb", "a multicast address"),
    # IPv4 in IPv6
    ("::ffff:127.0.0.1", "an address of this machine"),
    ("::ffff:a00:1", "in a private network"),
    ("0:0:0:0:0:ffff:a9fe:a9fe", "a link-local address or a cloud's metadata service"),
]


def answering(
    *answers: Sequence[str],
) -> tuple[Callable[[str, int], Awaitable[Sequence[Address]]], list[str]]:
    """A resolver that gives one answer after another, and the list of names it was asked for."""
    remaining = iter(answers)
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[Address]:
        asked.append(host)
        return [ip_address(address) for address in next(remaining)]

    return resolve, asked


NEVER_ASKED, _ = answering()


@pytest.mark.parametrize(("host", "reason"), REFUSED)
async def test_an_address_that_is_not_public_is_refused_without_asking_a_resolver(
    host: str, reason: str
) -> None:
    with pytest.raises(ToolError) as refusal:
        await AddressGuard(resolve=NEVER_ASKED).addresses(host, 80)

    assert f" is {reason}, and only public addresses may be reached" in str(refusal.value)
    assert "web_fetch.allow_private" in str(refusal.value)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("1.1", "1.0.0.1"),
        ("172.32.0.1", "172.32.0.1"),
        ("2606:4700:4700::1111", "2606:4700:4700::1111"),
    ],
)
async def test_a_public_address_passes_as_it_is(host: str, address: str) -> None:
    guard = AddressGuard(resolve=NEVER_ASKED)

    assert await guard.addresses(host, 80) == [ip_address(address)]


async def test_every_address_of_a_name_must_be_public() -> None:
    resolve, _ = answering(["93.184.215.14", "2606:4700::1"], ["93.184.215.14", "10.0.0.1"])
    guard = AddressGuard(resolve=resolve)

    assert await guard.addresses("both.example", 443) == [
        IPv4Address("93.184.215.14"),
        IPv6Address("2606:4700::1"),
    ]
    with pytest.raises(ToolError, match=r"^both\.example \(10\.0\.0\.1\) is in a private network"):
        await guard.addresses("both.example", 443)


async def test_the_name_localhost_is_refused_by_what_the_real_resolver_says() -> None:
    with pytest.raises(ToolError, match="is an address of this machine"):
        await AddressGuard().addresses("localhost", 80)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example", "..", "a b"])
async def test_a_host_without_an_address_is_a_clear_error(host: str) -> None:
    with pytest.raises(ToolError, match="no address was found for the host"):
        await AddressGuard().addresses(host, 80)


async def test_a_resolver_that_finds_nothing_is_a_clear_error() -> None:
    resolve, _ = answering([])

    with pytest.raises(ToolError, match=r"no address was found for the host 'empty\.example'"):
        await AddressGuard(resolve=resolve).addresses("empty.example", 80)


@pytest.mark.parametrize(
    ("network", "opened", "still_refused"),
    [
        (IPv4Network("127.0.0.0/8"), "127.0.0.1", "10.0.0.1"),
        (IPv4Network("127.0.0.0/8"), "::ffff:127.0.0.1", "::1"),
        (IPv6Network("fd00::/8"), "fd00::1", "fc00::1"),
        (IPv6Network("64:ff9b::/96"), "64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1"),
        (IPv6Network("2002::/16"), "2002:808:808::1", "2002:a00:1::1"),
    ],
)
def test_allow_private_opens_the_named_network_and_no_other(
    network: Network, opened: str, still_refused: str
) -> None:
    guard = AddressGuard((network,))

    assert guard.refusal(ip_address(opened)) is None
    assert guard.refusal(ip_address(still_refused)) is not None


@pytest.mark.parametrize("port", [80, 443, 8443])
async def test_the_ports_of_the_web_and_those_that_were_opened_may_be_reached(port: int) -> None:
    guard = AddressGuard(resolve=NEVER_ASKED, allow_ports=(8443,))

    assert await guard.addresses("8.8.8.8", port) == [ip_address("8.8.8.8")]


async def test_other_ports_may_be_reached_in_opened_networks_only() -> None:
    resolve, _ = answering(["10.0.0.1"], ["10.0.0.1", "8.8.8.8"])
    guard = AddressGuard((IPv4Network("10.0.0.0/8"),), resolve)

    assert await guard.addresses("inside.example", 8080) == [ip_address("10.0.0.1")]
    with pytest.raises(ToolError, match=r"web_fetch\.allow_ports"):
        await guard.addresses("both.example", 8080)
    with pytest.raises(ToolError, match=r"8\.8\.8\.8:22: only the ports 80 and 443"):
        await guard.addresses("8.8.8.8", 22)


def test_for_a_proxy_what_is_spelled_out_is_judged_without_asking_a_resolver() -> None:
    guard = AddressGuard(resolve=NEVER_ASKED)

    guard.check_unresolved("example.com", 443)
    for host, port in (("0x7f.1", 80), ("::1", 443), ("example.com", 25)):
        with pytest.raises(ToolError):
            guard.check_unresolved(host, port)


# --- no spelling of a private address passes ----------------------------------------------------


@st.composite
def private_ipv4(draw: st.DrawFn) -> IPv4Address:
    network = draw(st.sampled_from(PRIVATE_IPV4))
    offset = draw(st.integers(0, network.num_addresses - 1))
    return network.network_address + offset


@st.composite
def spelled(draw: st.DrawFn, addresses: st.SearchStrategy[IPv4Address]) -> str:
    """The address as inet_aton reads it: 1 to 4 parts, each decimal, octal or hexadecimal."""
    value = int(draw(addresses))
    num_parts = draw(st.integers(1, 4))
    last_bits = 8 * (5 - num_parts)
    parts = [value >> (24 - 8 * index) & 0xFF for index in range(num_parts - 1)]
    parts.append(value & ((1 << last_bits) - 1))
    text = ".".join(_written(draw, part) for part in parts)
    return text + draw(st.sampled_from(["", "."]))


def _written(draw: st.DrawFn, part: int) -> str:
    zeros = "0" * draw(st.integers(0, 3))
    return draw(
        st.sampled_from([str(part), f"0{zeros}{part:o}", f"0x{zeros}{part:x}", f"0X{part:X}"])
    )


@st.composite
def wrapped(draw: st.DrawFn, addresses: st.SearchStrategy[IPv4Address]) -> str:
    """The address inside an IPv6 one, written in any of several ways."""
    value = int(draw(addresses))
    carriers = [0xFFFF << 32 | value, 0x64_FF9B << 96 | value, 0x2002 << 112 | value << 80, value]
    address = IPv6Address(draw(st.sampled_from(carriers)))
    return draw(st.sampled_from([str(address), address.exploded, address.exploded.upper()]))


@given(host=st.one_of(spelled(private_ipv4()), wrapped(private_ipv4())))
async def test_no_spelling_of_a_private_address_passes(host: str) -> None:
    with pytest.raises(ToolError, match="only public addresses may be reached"):
        await AddressGuard(resolve=NEVER_ASKED).addresses(host, 80)


WIDE = str.maketrans("0123456789abcdefx.", "０１２３４５６７８９ａｂｃｄｅｆｘ。")


@st.composite
def in_a_url(draw: st.DrawFn, hosts: st.SearchStrategy[str]) -> str:
    """The host in an address, perhaps in other characters that mean the same."""
    host = draw(hosts)
    if ":" in host:
        host = f"[{host}]"
    else:
        host = draw(st.sampled_from([host, host.translate(WIDE), host.upper(), _percent(host)]))
    scheme = draw(st.sampled_from(["http", "https", "HTTP"]))
    port = draw(st.sampled_from(["", ":80", ":443"]))
    return f"{scheme}://{host}{port}/"


def _percent(host: str) -> str:
    return "".join(f"%{ord(char):02x}" for char in host)


@given(url=in_a_url(st.one_of(spelled(private_ipv4()), wrapped(private_ipv4()))))
async def test_no_address_of_the_web_leads_to_a_private_address(url: str) -> None:
    """Refused as such, or as no valid address, or as a name that a resolver does not know."""

    async def resolve(host: str, port: int) -> Sequence[Address]:
        raise OSError(-2, "Name or service not known")

    fetcher = Fetcher(
        guard=AddressGuard(resolve=resolve),
        timeout_seconds=seconds(5),
        max_bytes=1_000,
        accepts=lambda _: True,
    )
    with pytest.raises(ToolError) as error:
        await fetcher.get(url)

    # What gets past the guard fails to connect, here without a network or with one.
    assert "could not be fetched" not in str(error.value)
    assert "took longer" not in str(error.value)


@given(address=st.ip_addresses())
def test_what_passes_is_global_unicast_for_the_standard_library_too(
    address: IPv4Address | IPv6Address,
) -> None:
    if AddressGuard().refusal(address) is None:
        assert address.is_global
        assert not address.is_multicast
