"""Explanations of failed logins, with a remedy and without tokens."""

from __future__ import annotations

import json
import re

from pydantic import ValidationError

from kronk_agent.redaction import redacted

_SIGN_IN_ANSWER = re.compile(
    r"(?P<what>State parameter mismatch|(?:Token exchange|Registration) failed\W*\d+\)?)"
    r"(?P<answer>.*)",
    re.DOTALL,
)
_REMEDIES = {
    "issuer mismatch": "ask the server's operator to correct its issuer",
    "iss mismatch": "do not sign in: another server answered; check {key}.url",
    "missing iss": "do not sign in: another server may have answered; check {key}.url",
    "does not match expected": "set {key}.url to the URL the server declares for itself",
    "needs https": "ask the server's operator to use https URLs",
    "not a public address": "ask the server's operator to use public addresses",
    "invalid_client": "correct {key}.oauth.client_id and client_secret",
    "unauthorized_client": "correct {key}.oauth.client_id, or have it authorized there",
    "invalid_scope": "correct {key}.oauth.scopes",
    "invalid_target": "set {key}.url to the URL the server declares for itself",
    "access_denied": "approve the login in the browser, or request access there",
    "Registration": "register a client manually, and set {key}.oauth.client_id",
    "registration": "register a client manually, and set {key}.oauth.client_id",
    "metadata": "try again later, or check {key}.url",
}
"""By substring of the problem; the first match applies."""
_REMEDY = "run `kronk-agent mcp login {name}` again, or check {key}.oauth"


def sign_in_remedy(server: str, error: BaseException) -> str:
    """Remedy for a failed login."""
    problem = sign_in_problem(error)
    found = next((remedy for pattern, remedy in _REMEDIES.items() if pattern in problem), _REMEDY)
    return found.format(name=server, key=f"mcp_servers.{server}")


def sign_in_problem(error: BaseException) -> str:
    """Why a login failed, without quoting the authorization server.

    The SDK quotes its response, which may contain a token: only ``error`` and ``error_description``
    are kept (RFC 6749, section 5.2).
    """
    text = str(error) or type(error).__name__
    for cause in (error.__cause__, error.__context__):
        if isinstance(cause, ValueError):
            problem = f": {problem_of(cause)}" if isinstance(cause, ValidationError) else ""
            return f"{text.partition(':')[0]}{problem}"
    match = _SIGN_IN_ANSWER.match(text)
    if match is None:
        return redacted(text.partition("\n")[0])
    reason = _oauth_error(match["answer"])
    return f"{match['what']}: {redacted(reason)}" if reason else match["what"]


def _oauth_error(answer: str) -> str:
    try:
        body = json.loads(answer[answer.find("{") :])
    except (ValueError, RecursionError):
        return ""
    if not isinstance(body, dict):
        return ""
    fields = [body.get(name) for name in ("error", "error_description")]
    return ": ".join(field for field in fields if isinstance(field, str))


def problem_of(error: ValidationError) -> str:
    """The first validation error and its location, without the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
