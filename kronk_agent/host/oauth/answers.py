"""Normalizes responses of authorization servers to what the RFCs specify.

A response to a token request is never quoted, since it contains the token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from kronk_agent.messages import JsonObject, JsonValue


def token_answer(body: bytes) -> tuple[JsonObject, bool]:
    """Parse a token response; True if it is an error.

    It may be JSON or a form (GitHub); numbers may be strings or have a fraction, scopes a list.
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
    if (seconds := _integer(answer.get("expires_in"))) is not None:
        tokens["expires_in"] = seconds
    if scope := _scope(answer.get("scope")):
        tokens["scope"] = scope
    return tokens, False


def metadata(body: bytes) -> JsonObject:
    """Metadata of a server or resource, without members of an invalid type."""
    kept: JsonObject = {}
    for key, value in _parsed(body).items():
        if value in (None, "") or (_is_list(key) and not _are_strings(value)):
            continue
        if key.endswith(("_endpoint", "_uri")) and not isinstance(value, str):
            continue
        kept[key] = value
    return kept


def registration(body: bytes) -> JsonObject:
    """Client registration response; some servers fill every member with null or an empty value."""
    given = _parsed(body).items()
    kept: JsonObject = {key: value for key, value in given if value not in (None, "")}
    for key in ("client_id_issued_at", "client_secret_expires_at"):
        if key in kept:
            kept[key] = _integer(kept[key]) or 0
    if "scope" in kept:
        kept["scope"] = _scope(kept["scope"])
    return kept


def are_same_issuer(one: str, other: str) -> bool:
    """True if two issuers differ at most in a trailing slash."""
    return one.rstrip("/") == other.rstrip("/")


def _parsed(body: bytes) -> Mapping[str, JsonValue]:
    text = body.decode(json.detect_encoding(body), "replace").strip("\ufeff \r\n")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return dict(parse_qsl(text))
    return answer if isinstance(answer, dict) else {}


def _is_other_kind(kind: JsonValue) -> bool:
    """True for token types other than bearer tokens, which are not supported."""
    return isinstance(kind, str) and kind.lower() in ("dpop", "mac", "pop", "n_a")


def _is_list(key: str) -> bool:
    return key.endswith(("_supported", "authorization_servers")) and not key.startswith(
        ("client_id_metadata", "authorization_response_iss")
    )


def _are_strings(value: JsonValue) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _integer(value: JsonValue) -> int | None:
    try:
        return max(0, int(float(value)))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _scope(value: JsonValue) -> str:
    """Scopes separated by spaces (RFC 6749); GitHub uses commas, others a list."""
    match value:
        case str():
            return " ".join(value.replace(",", " ").split())
        case list():
            return " ".join(str(item) for item in value)
        case _:
            return ""
