"""Tries what the guard is there for, and keeps the table in docs/web-tools.md true.

When the table is stale the test fails; run with ``KRONK_UPDATE_DOCS=1`` it writes it anew.
"""

from __future__ import annotations

import gzip
import importlib
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import anyio
import brotli  # type: ignore[import-untyped]  # has no types
from limits import seconds
from loopback_web import LOOPBACK, Answer, LoopbackWeb, loopback_web

from kronk_agent.errors import ToolError
from kronk_tools.fetching.address_guard import Address, AddressGuard, Network, Resolve
from kronk_tools.fetching.http import Fetcher
from kronk_tools.reading.formats import is_readable

CHAPTER = Path(__file__).parents[2] / "docs" / "web-tools.md"
BEGIN, END = "<!-- guard table: begin -->\n", "<!-- guard table: end -->"
UPDATE = "KRONK_UPDATE_DOCS"

NAMES = {
    "public.example": ["93.184.215.14"],
    "inside.example": ["10.0.0.1"],
    "mixed.example": ["93.184.215.14", "10.0.0.1"],
    "local.example": ["127.0.0.1"],
}
"""What the resolver of these tests knows; ``rebind.example`` changes with every question."""
zstd = importlib.import_module(
    "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
)
OPEN: tuple[Network, ...] = (LOOPBACK,)


@dataclass(frozen=True, slots=True)
class Case:
    """Something tried: an address, on a web that is prepared for it."""

    what: str
    url: str
    allow_private: tuple[Network, ...] = ()
    prepare: Callable[[LoopbackWeb, LoopbackWeb], None] = lambda web, other: None


def spelled(what: str, *urls: str) -> Iterator[Case]:
    return (Case(what, url) for url in urls)


def served(what: str, prepare: Callable[[LoopbackWeb, LoopbackWeb], None]) -> Case:
    """What a server does that may be reached: the address is /start on it."""
    return Case(what, "{web}/start", OPEN, prepare)


def redirect(what: str, target: str) -> Case:
    return served(
        f"redirect to {what}",
        lambda web, other: web.answers.update(
            {"/start": Answer(status=302, headers={"Location": target.format(other=other.url)})}
        ),
    )


def bomb(encoding: str, body: bytes) -> Case:
    answer = Answer(body, "text/plain", headers={"Content-Encoding": encoding})
    return served(
        f"{encoding} bomb, 20 MB", lambda web, other: web.answers.update({"/start": answer})
    )


def stream(what: str, write: Callable[[BaseHTTPRequestHandler, LoopbackWeb], None]) -> Case:
    def prepare(web: LoopbackWeb, other: LoopbackWeb) -> None:
        web.answers["/start"] = lambda handler: write(handler, web)

    return served(what, prepare)


def head(handler: BaseHTTPRequestHandler, media_type: str = "text/plain") -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", media_type)
    handler.end_headers()


def endless(handler: BaseHTTPRequestHandler, web: LoopbackWeb) -> None:
    head(handler)
    while True:
        handler.wfile.write(b"more " * 1_000)


def dripping(handler: BaseHTTPRequestHandler, web: LoopbackWeb) -> None:
    head(handler)
    while not web.closing.wait(0.02):
        handler.wfile.write(b"drop ")


def loop(web: LoopbackWeb, other: LoopbackWeb) -> None:
    web.redirect("/start", "/start")


def page(web: LoopbackWeb, other: LoopbackWeb) -> None:
    web.html("/start", "<p>the page")


def sound(web: LoopbackWeb, other: LoopbackWeb) -> None:
    web.answers["/start"] = Answer(b"RIFF", "audio/wav")


CASES: Sequence[Case] = (
    *spelled("another scheme", "file:///etc/passwd", "ftp://public.example/", "javascript:a()"),
    *spelled("no host", "http://", "http:///etc/passwd"),
    *spelled("user name and password", "http://user:secret@public.example/"),
    *spelled("user name and password", "http://public.example\\@10.0.0.1/"),
    *spelled("another port", "http://public.example:22/", "http://public.example:8080/"),
    *spelled("another port", "http://public.example:99999/"),
    *spelled("this machine", "http://127.0.0.1/", "http://127.1.2.3/", "http://0.0.0.0/"),
    *spelled("this machine", "http://[::1]/", "http://[::]/", "http://localhost/"),
    *spelled("private", "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.1.1/"),
    *spelled("private", "http://[fd00::1]/", "http://[fec0::1]/"),
    *spelled("carrier-grade NAT", "http://100.64.0.1/"),
    *spelled("link-local", "http://169.254.1.1/", "http://[fe80::1]/"),
    *spelled("metadata of clouds", "http://169.254.169.254/latest/meta-data/"),
    *spelled("metadata of clouds", "http://168.63.129.16/", "http://100.100.100.200/"),
    *spelled("metadata of clouds", "http://[fd00:ec2::254]/"),
    *spelled("multicast, broadcast", "http://224.0.0.1/", "http://255.255.255.255/"),
    *spelled("multicast, broadcast", "http://[ff02::1]/"),
    *spelled("reserved", "http://240.0.0.1/", "http://198.18.0.1/", "http://192.0.2.1/"),
    *spelled("reserved", "http://[2001:db8::1]/"),
    *spelled("decimal, octal, hexadecimal", "http://2130706433/", "http://017700000001/"),
    *spelled("decimal, octal, hexadecimal", "http://0x7f000001/", "http://0x7f.1/"),
    *spelled("short", "http://127.1/", "http://0/"),
    *spelled("IPv4 in IPv6", "http://[::ffff:127.0.0.1]/", "http://[::ffff:a00:1]/"),
    *spelled("IPv4 in IPv6", "http://[::7f00:1]/"),
    *spelled("NAT64, 6to4, Teredo", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/"),
    *spelled("NAT64, 6to4, Teredo", "http://[2001::1]/"),
    *spelled("look-alike characters", "http://127。0。0。1/", "http://①②⑦.⓪.⓪.①/"),
    *spelled("look-alike characters", "http://ⓛocalhost/"),
    *spelled("encoded", "http://%31%32%37.0.0.1/", "http://127.0.0.1%00.public.example/"),
    *spelled("a name for a private address", "http://inside.example/"),
    *spelled("a name with one private address among public ones", "http://mixed.example/"),
    *spelled("a name for nothing", "http://no-such-host.example/"),
    Case("an opened network", "{web}/start", OPEN, page),
    Case("another network than the opened one", "{web}/start", (IPv4Network("10.0.0.0/8"),), page),
    Case("a name for an opened network", "http://local.example:{port}/start", OPEN, page),
    redirect("a private address", "http://10.0.0.1/"),
    redirect("the metadata of clouds", "http://169.254.169.254/latest/meta-data/"),
    redirect("another scheme", "file:///etc/passwd"),
    redirect("user name and password", "http://user:secret@public.example/"),
    redirect("another port of a public address", "http://public.example:22/"),
    redirect("a name that has become another address (DNS rebinding)", "http://rebind.example/"),
    served("redirect to itself", loop),
    bomb("gzip", gzip.compress(b"\0" * 20_000_000)),
    bomb("deflate", zlib.compress(b"\0" * 20_000_000)),
    bomb("br", brotli.compress(b"\0" * 20_000_000)),
    bomb("zstd", zstd.compress(b"\0" * 20_000_000)),
    bomb("gzip, gzip", gzip.compress(gzip.compress(b"\0" * 20_000_000))),
    stream("a body without end", endless),
    stream("a body that drips", dripping),
    stream("no answer", lambda handler, web: (web.closing.wait(), None)[1]),
    served("an unwanted type", sound),
)


async def test_the_guard_table_is_true() -> None:
    table = "\n".join(
        ["| tried | address | outcome |", "|---|---|---|", *[await _row(c) for c in CASES]]
    )
    chapter = CHAPTER.read_text(encoding="utf-8")
    before, _, rest = chapter.partition(BEGIN)
    written, end, after = rest.partition(END)
    assert end, f"{CHAPTER.name} has no place for the table"

    if os.environ.get(UPDATE):
        CHAPTER.write_text(f"{before}{BEGIN}{table}\n{END}{after}", encoding="utf-8")
        return

    assert written.splitlines() == table.splitlines(), f"stale: run this with {UPDATE}=1"


def test_everything_tried_that_was_not_opened_is_refused() -> None:
    rows = (
        CHAPTER.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].splitlines()[2:]
    )

    fetched = [row.split(" | ")[0].removeprefix("| ") for row in rows if "| fetched |" in row]
    assert fetched == ["an opened network", "a name for an opened network"]
    assert len(rows) == len(CASES)
    assert "secret" not in "".join(row.rpartition(" | ")[2] for row in rows)


async def _row(case: Case) -> str:
    with ExitStack() as stack:
        web, other = (stack.enter_context(loopback_web()) for _ in range(2))
        case.prepare(web, other)
        url = case.url.format(web=web.url, port=web.port)
        outcome = await _outcome(url, case)
        shown = [
            re.sub(r"(127\.0\.0\.1|local\.example):\d+", r"\1:PORT", text)
            for text in (url, outcome)
        ]
    return f"| {case.what} | `{shown[0]}` | {_cell(shown[1])} |"


async def _outcome(url: str, case: Case) -> str:
    fetcher = Fetcher(
        guard=AddressGuard(case.allow_private, _resolver()),
        timeout_seconds=2,
        max_bytes=100_000,
        accepts=is_readable,
    )
    try:
        with anyio.fail_after(seconds(10)):
            await fetcher.get(url)
    except ToolError as error:
        return str(error)
    return "fetched"


def _resolver() -> Resolve:
    rebinding = iter(["169.254.169.254"])

    async def resolve(host: str, port: int) -> Sequence[Address]:
        if host == "localhost":
            return [ip_address("127.0.0.1"), ip_address("::1")]
        if host == "rebind.example":
            return [ip_address(next(rebinding))]
        if host not in NAMES:
            raise OSError(-2, "Name or service not known")
        return [ip_address(address) for address in NAMES[host]]

    return resolve


def _cell(outcome: str) -> str:
    """Without what is the same in most: the advice at the end."""
    for advice in ("; the person who runs this", ": use another", ": check the", ": try again"):
        outcome = outcome.partition(advice)[0]
    return outcome.replace(", and only public addresses may be reached", "").replace("|", "\\|")
