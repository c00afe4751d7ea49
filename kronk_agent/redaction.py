"""Removes secrets from errors and logs: known values, and values that their names give away."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qsl, quote, quote_plus, unquote

MASK = "***"

_MIN_LENGTH = 6
"""Shorter secrets are masked only as complete words, since they may be part of plain words."""

_SCHEME = re.compile(r"\b(Bearer|Basic|DPoP)(\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
_NAMES = (
    "access_token|refresh_token|id_token|client_secret|client_assertion|code_verifier|assertion"
    "|authorization|proxy-authorization|set-cookie|cookie|x-api-key|api[_-]?key|password|secret"
)
# Matches JSON, forms, URLs, and bytes or text in the repr of a header list.
_NAMED_VALUE = re.compile(
    rf"""(?P<name>(?<![a-z0-9])(?:{_NAMES})\b["']?\s*(?:[:=]|,\s*(?=b?["']))\s*)"""
    rf"""(?P<value>b?"[^"]*"|b?'[^']*'|[^\s"'&,;)}}\]]+)""",
    re.IGNORECASE,
)
_PYDANTIC_INPUT = re.compile(r"input_value=.*?(?=, input_type=|\]|$)", re.DOTALL)
_HTTP_URL = re.compile(r"(https?://[^\s\"'<>?#/]*)([^\s\"'<>?#]*)(\?[^\s\"'<>#]*)?", re.IGNORECASE)
_PARAMETER = re.compile(r"(?<=[?&])([^=&]+=)?[^&]+")
_IN_QUERY = re.compile(
    r"([?&][\w.-]*(?:key|token|secret|code|state|sig|auth|pass)[\w.-]*=)[^\s&\"']+", re.IGNORECASE
)
# mcp's errors quote the answer of an authorization server, up to the next traceback.
_SIGN_IN_ANSWER = re.compile(
    r"((?:Token exchange|Registration) failed\W{1,3}\d+\)?|State parameter mismatch)"
    r".*?(?=\n\s*(?:[|+]|Traceback|During|The above)|\Z)",
    re.DOTALL,
)
_USER = re.compile(r"(?<=://)[^\s/?#\"'<>]+@")
_URL = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:([^/?#]*)@)?[^/?#]*([^?#]*)(?:\?([^#]*))?", re.IGNORECASE
)
_TOKEN_IN_PATH = re.compile(
    r"""(?<=/) (?=[^/]*\d)
    (?: [A-Za-z0-9_=~]{20,}
      | [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}
      | (?=[^/]*[a-z])(?=[^/]*[A-Z])[A-Za-z0-9_.=~-]{20,} )
    (?=/|$)""",
    re.VERBOSE,
)
"""A path segment that looks like a key: long, and neither words nor a number."""


class Redactor:
    """Masks known secrets in texts, in any common encoding.

    Also masks inputs quoted by pydantic, and users and passwords in URLs.
    """

    def __init__(self, secrets: Iterable[str | None]) -> None:
        known = {spelling for secret in secrets if secret for spelling in _spellings(secret)}
        # Longest first: a secret can be part of another.
        patterns = [_pattern(spelling) for spelling in sorted(known, key=len, reverse=True)]
        self._known = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(MASK, text)
        text = _PYDANTIC_INPUT.sub(f"input_value={MASK}", text)
        return _USER.sub(f"{MASK}@", text)


def redacted(text: str) -> str:
    """Mask tokens, passwords and the like, as far as their names reveal them.

    For untrusted text: logs of libraries, and responses to a login.
    """
    text = Redactor(())(text)
    text = _HTTP_URL.sub(_mask_url, text)
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    text = _NAMED_VALUE.sub(_mask, text)
    text = _SIGN_IN_ANSWER.sub(rf"\1: {MASK}", text)
    return _IN_QUERY.sub(rf"\1{MASK}", text)


def secrets_in_url(url: str | None) -> Iterator[str]:
    """Yield possible secrets of a URL: user, password, query, and long tokens in its path."""
    match = _URL.match(url or "")
    if match is None:
        return
    user, path, query = match.groups(default="")
    if user:
        name, _, password = user.partition(":")
        yield from (user, password or name, unquote(password or name))
    yield query
    yield from (value for _, value in parse_qsl(query))
    yield from _TOKEN_IN_PATH.findall(path)


def secrets_in_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of headers, with and without an authentication scheme."""
    for value in headers.values():
        yield value
        scheme, _, credentials = value.partition(" ")
        yield credentials
        if scheme.lower() == "basic":
            yield from _basic(credentials)


def _basic(credentials: str) -> Iterator[str]:
    try:
        user, _, password = base64.b64decode(credentials).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return
    yield from (f"{user}:{password}", password)


def _spellings(secret: str) -> Iterator[str]:
    yield from (secret, quote(secret, safe=""), quote(secret), quote_plus(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (repr(secret)[1:-1], " ".join(secret.split()))
    if len(secret) >= _MIN_LENGTH:
        yield base64.b64encode(secret.encode()).decode()


def _pattern(spelling: str) -> str:
    escaped = re.escape(spelling)
    return escaped if len(spelling) >= _MIN_LENGTH else rf"(?<!\w){escaped}(?!\w)"


def _mask_url(match: re.Match[str]) -> str:
    origin, path, query = match.groups(default="")
    return origin + _TOKEN_IN_PATH.sub(MASK, path) + _PARAMETER.sub(rf"\1{MASK}", query)


def _mask(match: re.Match[str]) -> str:
    value = match["value"]
    mark = value.lstrip("b")[0] if value.lstrip("b")[:1] in ("'", '"') else ""
    return f"{match['name']}{mark}{MASK}{mark}"
