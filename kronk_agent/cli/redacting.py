"""Secrets taken out of the log, whose libraries log requests and answers as they are."""

from __future__ import annotations

import re

MASK = "***"

_SCHEME = re.compile(r"\b(Bearer|Basic|DPoP)(\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
_NAMES = (
    "access_token|refresh_token|id_token|client_secret|client_assertion|code_verifier|assertion"
    "|authorization|proxy-authorization|set-cookie|cookie|x-api-key|api[_-]?key|password|secret"
)
# In JSON, in a form or URL, and as bytes or text in the repr of a header list.
_NAMED = re.compile(
    rf"""(?P<name>(?<![a-z0-9])(?:{_NAMES})\b["']?\s*(?:[:=]|,\s*(?=b?["']))\s*)"""
    rf"""(?P<value>b?"[^"]*"|b?'[^']*'|[^\s"'&,;)}}\]]+)""",
    re.IGNORECASE,
)
_CODE = re.compile(r"([?&](?:code|state|token)=)[^\s&\"']+", re.IGNORECASE)


def redacted(text: str) -> str:
    """The text with tokens, passwords and the like masked, as far as their names tell them."""
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    text = _NAMED.sub(_mask, text)
    return _CODE.sub(rf"\1{MASK}", text)


def _mask(match: re.Match[str]) -> str:
    value = match["value"]
    quote = value.lstrip("b")[0] if value.lstrip("b")[:1] in ("'", '"') else ""
    return f"{match['name']}{quote}{MASK}{quote}"
