"""Answers of authorization servers, put as the RFCs have them.

Nothing of an answer to a token request is ever quoted: the token is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from kronk_agent.messages import JsonObject, JsonValue


def token_answer(body: bytes) -> tuple[JsonObject, bool]:
    """The members of a token answer, and whether it is an error.

    It may be JSON or a form (GitHub); numbers may be texts or have a fraction, scopes a list.
    """
    answer = _parsed(body)
    if isinstance(answer.get("error"), str) and not answer.get("access_token"):
        kept = ("error", "error_description")
        return {key: answer[key] for key in kept if isinstance(answer.get(key), str)}, True
    tokens: JsonObject = {}
    for key in ("access_token", "refresh_token"):
        if isinstance(value := answer.get(key), str) and value:
            tokens[key] = value
    kind = answer.get("token_type")
    tokens["token_type"] = kind if _is_other_kind(kind) else "Bearer"
    if (seconds := _whole_number(answer.get("expires_in"))) is not None:
        tokens["expires_in"] = seconds
    if scope := _words(answer.get("scope")):
        tokens["scope"] = scope
    return tokens, False


def metadata(body: bytes) -> JsonObject:
    """Metadata of a server or resource, without the members that cannot be what they should be."""
    kept: JsonObject = {}
    for key, value in _parsed(body).items():
        if value in (None, "") or (_is_list(key) and not _are_texts(value)):
            continue
        if key.endswith(("_endpoint", "_uri")) and not isinstance(value, str):
            continue
        kept[key] = value
    return kept


def registration(body: bytes) -> JsonObject:
    """What a registration gave: some servers fill in every member, with null or nothing."""
    given = _parsed(body).items()
    kept: JsonObject = {key: value for key, value in given if value not in (None, "")}
    for key in ("client_id_issued_at", "client_secret_expires_at"):
        if key in kept:
            kept[key] = _whole_number(kept[key]) or 0
    if "scope" in kept:
        kept["scope"] = _words(kept["scope"])
    return kept


def are_same_issuer(one: str, other: str) -> bool:
    """True if two issuers differ at most in a slash at the end."""
    return one.rstrip("/") == other.rstrip("/")


def _parsed(body: bytes) -> Mapping[str, JsonValue]:
    text = body.decode(json.detect_encoding(body), "replace").strip("\ufeff \r\n")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return dict(parse_qsl(text))
    return answer if isinstance(answer, dict) else {}


def _is_other_kind(kind: JsonValue) -> bool:
    """True for tokens that a request does not just carry, which we cannot use."""
    return isinstance(kind, str) and kind.lower() in ("dpop", "mac", "pop", "n_a")


def _is_list(key: str) -> bool:
    return key.endswith(("_supported", "authorization_servers")) and not key.startswith(
        ("client_id_metadata", "authorization_response_iss")
    )


def _are_texts(value: JsonValue) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _whole_number(value: JsonValue) -> int | None:
    try:
        return max(0, int(float(value)))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _words(value: JsonValue) -> str:
    """Scopes as RFC 6749 writes them: GitHub has commas, others a list."""
    match value:
        case str():
            return " ".join(value.replace(",", " ").split())
        case list():
            return " ".join(str(item) for item in value)
        case _:
            return ""
