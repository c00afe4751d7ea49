"""URLs in canonical form, and patterns of them that are compared part by part.

The URL standard's own parser (ada) reads them, so that tabs, backslashes, ``%2e``, other ways to
write a host or an IP address, and dots at its end make no difference. Programs that read URLs by
the older RFC 3986 can disagree about the host: an address is then read both ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from kronk_agent.tools.policy.globs import fits, fits_path

PARTS = ("scheme", "host", "port", "path", "query")
"""What a rule may name of an address, as in ``web_fetch(url.host=*.example.com)``."""

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_HAS_SCHEME = re.compile(r"[\x00-\x20]*h[\t\r\n]*t[\t\r\n]*t[\t\r\n]*p[\t\r\ns]*:", re.IGNORECASE)
_MAX_CHARS = 8_192
_NESTED = re.compile(r"%(?:25){8}")
"""Encoded more than eight times over."""
_ANY_SCHEME = re.compile(r"[\x00-\x20]*[a-z][a-z0-9+.-]*:[/\\]", re.IGNORECASE)
_PATTERN = re.compile(
    r"""
    (?: (?P<scheme>[^:/?\#]*) :// )?
    (?P<host> (?: [^/?\#@]*@ )? (?: \[[^\]]*\] | [^/?\#:]* ) )
    (?: : (?P<port>[^/?\#]*) )?
    (?P<path> /[^?\#]* )?
    (?: \? (?P<query>[^\#]*) )?
    (?: \# .* )?
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Address:
    """One reading of a URL."""

    scheme: str
    host: str
    """Lower case, in its ASCII form, without a dot at the end."""
    port: str
    """Also where the URL leaves it out."""
    paths: tuple[str, ...]
    """As it is, and as a server that decodes and cleans it sees it."""
    query: str

    @property
    def spellings(self) -> tuple[str, ...]:
        """The whole address as text, with the port only where it is not the scheme's own."""
        port = "" if self.port in ("", _DEFAULT_PORTS.get(self.scheme)) else f":{self.port}"
        query = f"?{unquote(self.query)}" if self.query else ""
        return tuple(f"{self.scheme}://{self.host}{port}{path}{query}" for path in self.paths)


@dataclass(frozen=True, slots=True)
class AddressPattern:
    """Globs on the parts of an address; a part that is None may be anything."""

    scheme: str | None = None
    host: str | None = None
    port: str | None = None
    """``default``: the one of the scheme."""
    path: str | None = None
    query: str | None = None

    @classmethod
    def parse(cls, text: str, *, is_exact: bool) -> AddressPattern | None:
        """From ``scheme://host:port/path?query``, of which only the host must be there.

        A host alone is the whole site. Beside a path, a port or query that is left out may be
        anything, and http is https; where ``is_exact`` they must be left out of the address too.
        """
        match = _PATTERN.fullmatch(text)
        if match is None or not match["host"]:
            return None
        scheme, path, query = match["scheme"], match["path"], match["query"]
        port = match["port"]
        if port is None and is_exact:
            port = "default"
        if scheme in _DEFAULT_PORTS and not is_exact:
            scheme = "http*"
        if path is None and query is None:
            return cls(scheme, _canonical_host(match["host"]), port)
        path = _cleaned(path or "/")
        if is_exact:
            query = query or ""
        elif path == "/" and query is None:
            path = None
        return cls(scheme, _canonical_host(match["host"]), port, path, query)

    @classmethod
    def of_part(cls, part: str, glob: str) -> AddressPattern:
        """A glob on one of ``PARTS``."""
        if part == "host":
            glob = _canonical_host(glob)
        return cls(**{part: _cleaned(glob) if part == "path" and glob[:1] == "/" else glob})

    def fits(self, address: Address, *, is_exact: bool) -> bool:
        """True if every part of the address matches; the case of a path counts only if exact."""
        if self.port == "default":
            is_port = address.port == _DEFAULT_PORTS.get(address.scheme)
        else:
            is_port = self.port is None or fits(address.port, self.port, is_exact=True)
        return (
            is_port
            and (self.scheme is None or fits(address.scheme, self.scheme.lower(), is_exact=True))
            and (self.host is None or fits(address.host, self.host, is_exact=True))
            and (self.path is None or fits_path(address.paths, self.path, is_exact=is_exact))
            and (
                self.query is None
                or fits(unquote(address.query), unquote(self.query), is_exact=is_exact)
            )
        )


def is_web_address(text: str) -> bool:
    """True if a text begins like an http or https URL, however it is spelled."""
    return _HAS_SCHEME.match(text) is not None


def is_web_pattern(glob: str) -> bool:
    """True if a glob is of http or https addresses, or of those of any scheme."""
    scheme = glob.partition("://")[0].lower()
    return scheme in _DEFAULT_PORTS or "*" in scheme


def is_address(text: str) -> bool:
    """True if a text begins like a URL of any scheme."""
    return is_web_address(text) or _ANY_SCHEME.match(text) is not None


def readings(text: str) -> tuple[Address, ...]:
    """What a URL can mean: by the URL standard, and by RFC 3986 where that differs.

    Empty if it means nothing, or is so long or so often encoded that reading it takes a while.
    """
    if len(text) > _MAX_CHARS or _NESTED.search(text):
        return ()
    found = (_read(text), _read_by_rfc(text))
    return tuple(dict.fromkeys(address for address in found if address is not None))


def loose_readings(text: str) -> tuple[Address, ...]:
    """The same, also of an address without its scheme, which a server may put before it."""
    if is_web_address(text):
        return readings(text)
    return (*readings(text), *readings(f"http://{text.strip().lstrip('/')}"))


def is_same_value(one: object, other: object) -> bool:
    """True if two values are equal, or addresses that differ in http and https, or a last slash."""
    if not isinstance(one, str) or not isinstance(other, str):
        return one == other
    pages = [[_without_scheme(address) for address in readings(text)] for text in (one, other)]
    return one == other or (pages[0] == pages[1] and len(pages[0]) == 1)


def _without_scheme(address: Address) -> tuple[str, str, str, str]:
    port = "" if address.port in _DEFAULT_PORTS.values() else address.port
    return address.host, port, address.paths[0].rstrip("/"), address.query


def _read(text: str) -> Address | None:
    from ada_url import URL  # 25 ms

    try:
        url = URL(text)
    except ValueError:
        return None
    scheme = url.protocol.rstrip(":")
    return Address(
        scheme,
        _spelled_once(url.hostname),
        url.port or _DEFAULT_PORTS.get(scheme, ""),
        (unquote(url.pathname), _cleaned(url.pathname)),
        url.search.removeprefix("?"),
    )


def _read_by_rfc(text: str) -> Address | None:
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return None
    if not parts.netloc:
        return None
    host = parts.netloc.rpartition("@")[2]
    path = parts.path.replace("\\", "%5C")
    return _read(f"{parts.scheme}://{host}{path}" + (f"?{parts.query}" if parts.query else ""))


def _canonical_host(host: str) -> str:
    """The host of a pattern as those of addresses are written; ``*`` stays."""
    from ada_url import URL

    host = host.rpartition("@")[2]
    try:
        return _spelled_once(URL(f"http://{host}/").hostname)
    except ValueError:  # such as 10.0.*.1
        return host.lower().rstrip(".")


def _spelled_once(host: str) -> str:
    """Without the dot that may end a name; ``::ffff:127.0.0.1`` is 127.0.0.1."""
    host = host.rstrip(".")
    if not host.startswith("["):
        return host
    address = ip_address(host.strip("[]"))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return host if mapped is None else str(mapped)


def _cleaned(path: str) -> str:
    """The path as a server may see it: decoded for as long as that changes it, without ``//``,
    ``.`` and ``..``."""
    while (decoded := unquote(path)) != path:
        path = decoded
    path = path.replace("\\", "/")
    end = "/" if path.endswith(("/", "/.", "/..")) else ""
    clean = normpath(f"/{path}").lstrip("/")
    return f"/{clean}{end}" if clean else "/"
