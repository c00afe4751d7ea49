"""URLs in canonical form, and URL patterns that are compared component by component.

URLs are parsed by the URL standard (ada), so that tabs, backslashes, ``%2e``, alternative spellings
of hosts and IP addresses, and trailing dots make no difference. Programs that parse URLs by the
older RFC 3986 can disagree about the host: such a URL is interpreted both ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from posixpath import normpath
from urllib.parse import unquote, urlsplit

from kronk_agent.tools.policy.globs import matches, matches_path

PARTS = ("scheme", "host", "port", "path", "query")
"""Components of a URL that a rule can name, as in ``web_fetch(url.host=*.example.com)``."""

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_HAS_SCHEME = re.compile(r"[\x00-\x20]*h[\t\r\n]*t[\t\r\n]*t[\t\r\n]*p[\t\r\ns]*:", re.IGNORECASE)
_MAX_CHARS = 8_192
_DEEPLY_ENCODED = re.compile(r"%(?:25){8}")
"""Percent-encoded more than eight times."""
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
    """One interpretation of a URL."""

    scheme: str
    host: str
    """Lower case, in ASCII form, without a trailing dot."""
    port: str
    """The port, even if the URL omits it."""
    paths: tuple[str, ...]
    """The path as written, and as a server sees it after decoding and normalizing."""
    query: str

    @property
    def spellings(self) -> tuple[str, ...]:
        """The complete URL as text; the port only if it is not the scheme's default."""
        port = "" if self.port in ("", _DEFAULT_PORTS.get(self.scheme)) else f":{self.port}"
        query = f"?{unquote(self.query)}" if self.query else ""
        return tuple(f"{self.scheme}://{self.host}{port}{path}{query}" for path in self.paths)


@dataclass(frozen=True, slots=True)
class AddressPattern:
    """Globs on the components of a URL; None matches anything."""

    scheme: str | None = None
    host: str | None = None
    port: str | None = None
    """``default``: the default port of the scheme."""
    path: str | None = None
    query: str | None = None

    @classmethod
    def parse(cls, text: str, *, is_exact: bool) -> AddressPattern | None:
        """Parse ``scheme://host:port/path?query``; only the host is required.

        A host alone matches the whole site. With a path, an omitted port or query matches anything,
        and http also matches https; with ``is_exact`` the URL must omit them too.
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
        path = _normalized_path(path or "/")
        if is_exact:
            query = query or ""
        elif path == "/" and query is None:
            path = None
        return cls(scheme, _canonical_host(match["host"]), port, path, query)

    @classmethod
    def of_part(cls, part: str, glob: str) -> AddressPattern:
        """Return a pattern for one of ``PARTS``."""
        if part == "host":
            glob = _canonical_host(glob)
        return cls(**{part: _normalized_path(glob) if part == "path" and glob[:1] == "/" else glob})

    def matches(self, address: Address, *, is_exact: bool) -> bool:
        """True if every component matches; case of paths matters only if ``is_exact``."""
        if self.port == "default":
            is_port = address.port == _DEFAULT_PORTS.get(address.scheme)
        else:
            is_port = self.port is None or matches(address.port, self.port, is_exact=True)
        return (
            is_port
            and (self.scheme is None or matches(address.scheme, self.scheme.lower(), is_exact=True))
            and (self.host is None or matches(address.host, self.host, is_exact=True))
            and (self.path is None or matches_path(address.paths, self.path, is_exact=is_exact))
            and (
                self.query is None
                or matches(unquote(address.query), unquote(self.query), is_exact=is_exact)
            )
        )


def is_web_address(text: str) -> bool:
    """True if the text begins like an http or https URL, in any spelling."""
    return _HAS_SCHEME.match(text) is not None


def is_web_pattern(glob: str) -> bool:
    """True if the glob is for http or https URLs, or for any scheme."""
    scheme = glob.partition("://")[0].lower()
    return scheme in _DEFAULT_PORTS or "*" in scheme


def is_address(text: str) -> bool:
    """True if the text begins like a URL of any scheme."""
    return is_web_address(text) or _ANY_SCHEME.match(text) is not None


def readings(text: str) -> tuple[Address, ...]:
    """Interpret a URL by the URL standard, and by RFC 3986 if that differs.

    Returns:
        The interpretations; empty if the URL is invalid, or too long or too deeply encoded to parse
        quickly.
    """
    if len(text) > _MAX_CHARS or _DEEPLY_ENCODED.search(text):
        return ()
    found = (_read(text), _read_by_rfc(text))
    return tuple(dict.fromkeys(address for address in found if address is not None))


def loose_readings(text: str) -> tuple[Address, ...]:
    """Interpret like ``readings``, and also as a URL without its scheme."""
    if is_web_address(text):
        return readings(text)
    return (*readings(text), *readings(f"http://{text.strip().lstrip('/')}"))


def is_same_value(one: object, other: object) -> bool:
    """True if equal, or URLs that differ only in http/https or a trailing slash."""
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
        _normalized_host(url.hostname),
        url.port or _DEFAULT_PORTS.get(scheme, ""),
        (unquote(url.pathname), _normalized_path(url.pathname)),
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
    """Normalize the host of a pattern like those of URLs; ``*`` is kept."""
    from ada_url import URL

    host = host.rpartition("@")[2]
    try:
        return _normalized_host(URL(f"http://{host}/").hostname)
    except ValueError:  # such as 10.0.*.1
        return host.lower().rstrip(".")


def _normalized_host(host: str) -> str:
    """Remove a trailing dot, and convert ``::ffff:127.0.0.1`` to 127.0.0.1."""
    host = host.rstrip(".")
    if not host.startswith("["):
        return host
    address = ip_address(host.strip("[]"))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return host if mapped is None else str(mapped)


def _normalized_path(path: str) -> str:
    """Normalize as a server may: decode repeatedly, resolve ``//``, ``.`` and ``..``."""
    while (decoded := unquote(path)) != path:
        path = decoded
    path = path.replace("\\", "/")
    end = "/" if path.endswith(("/", "/.", "/..")) else ""
    clean = normpath(f"/{path}").lstrip("/")
    return f"/{clean}{end}" if clean else "/"
